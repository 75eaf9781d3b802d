# shellcheck shell=bash
# The sandbox: private mount, process, network and IPC namespaces in which the real sshd, ssh, sudo, su and login run
# with throw-away users and settings.
#
# /usr, /etc and /var are overlays whose upper layer is one tmpfs; /run, /tmp, /home and /root are folders of that
# tmpfs; everything else is mounted read-only. So no write can reach the machine, and the files of Debian packages are
# where they belong (/usr/sbin/sshd, /usr/bin/sudo with its setuid bit) without being installed. Overlays rather than
# bind mounts of single files, because those need a mount point, and the machine has none for a program it lacks.
# The network is a private loopback: nobody outside can reach an sshd whose passwords are in fixtures.sh.
#
# The sandbox ends with its first process, however that ends: the kernel then kills the rest and drops the mounts.

sandbox_programs=(sshd=openssh-server ssh=openssh-client ssh-keygen=openssh-client sudo=sudo login=login
    rsyslogd=rsyslog journalctl=systemd fail2ban-regex=fail2ban strace=strace)
# With it, fail2ban reads systemd's journal.
sandbox_libraries=(python3-systemd)

require_sandbox() {
    unshare --mount --net --ipc --pid --fork true 2>/dev/null ||
        die "this machine does not let root make namespaces (a container without privileges?); run it on a real or virtual machine, or in a container started with --privileged"
    grep -qw overlay /proc/filesystems || modprobe overlay 2>/dev/null ||
        die "this kernel has no overlay file system, which the private /usr and /etc need; load it: modprobe overlay"
}

fetch_sandbox_packages() {
    local packages
    mapfile -t packages < <({ missing_packages "${sandbox_programs[@]}" && printf '%s\n' "${sandbox_libraries[@]}"; } | sort -u)
    [[ ${#packages[@]} -eq 0 ]] || say "unpacking for the sandbox, not installing: ${packages[*]}"
    sandbox_packages=$(fetch_packages sandbox "${packages[@]}")
}

# Builds and fetches everything the sandbox needs.
prepare_sandbox() {
    require_compiler
    require_sandbox
    link_with_libpam
    say 'building the module and the stand-in for iVALT (minutes the first time)'
    build_module
    build_helpers
    fetch_sandbox_packages
}

in_sandbox() { [[ $repo == /run/sandbox ]]; }

# `in_namespaces [UNSHARE_OPTION…] -- SCRIPT [ARGUMENT…]`: runs it as the first process of private mount, network, IPC and
# process namespaces and returns its exit status. Killing `unshare` ends all: the first process of the namespace dies
# with it. The same happens when the script that called this is killed.
in_namespaces() {
    local options=()
    while [[ $1 != -- ]]; do options+=("$1") && shift; done
    shift
    child_signal=KILL
    run_child env -i --default-signal PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM="${TERM:-dumb}" \
        setpriv --pdeathsig KILL \
        unshare "${options[@]}" --mount --net --ipc --pid --fork --kill-child --mount-proc --propagation private \
        setsid --wait bash "$@"
}

# Runs a script of the checkout in the sandbox and returns its exit status.
run_in_sandbox() {
    as_builder mkdir -p "$cache/mount-point"
    in_namespaces -- "$repo/scripts/lib/enter-sandbox" "$cache/mount-point" "$sandbox_packages" \
        "$(module_file)" "$(ivaltctl_file)" "$(helper_file syslog-sink)" "$(helper_file ivalt-stand-in)" "$@"
}
