# shellcheck shell=bash
# The stage: a private mount, process and network namespace in which the real sshd, ssh, sudo, su and login run
# against throw-away users and settings.
#
# /usr, /etc and /var are overlays whose upper layer is one tmpfs; /run, /tmp, /home and /root are folders of that
# tmpfs; everything else is mounted read-only. So no write can reach the machine, and what Debian packages bring lies
# where it belongs (/usr/sbin/sshd, /usr/bin/sudo with its setuid bit) without being installed. Overlays rather than
# binds file by file, because a bind needs a mount point, and the machine has none for a program it lacks.
# The network is a loopback of its own: nobody outside can reach an sshd whose passwords stand in this file's neighbour.
#
# The stage ends with its first process, however that ends: the kernel then kills the rest and drops the mounts.

stage_programs=(sshd=openssh-server ssh=openssh-client ssh-keygen=openssh-client sudo=sudo login=login
    rsyslogd=rsyslog journalctl=systemd fail2ban-regex=fail2ban)
# fail2ban reads the journal with it.
stage_libraries=(python3-systemd)

# --- outside -------------------------------------------------------------------------------------------------------

require_stage() {
    unshare --mount --net --pid --fork true 2>/dev/null ||
        die "this machine does not let root make namespaces (a container without privileges?); run it on a real or virtual machine, or in a container started with --privileged"
    grep -qw overlay /proc/filesystems || modprobe overlay 2>/dev/null ||
        die "this kernel has no overlay file system, which the private /usr and /etc are made of; load it: modprobe overlay"
}

fetch_stage_packages() {
    local packages
    mapfile -t packages < <({ missing_packages "${stage_programs[@]}" && printf '%s\n' "${stage_libraries[@]}"; } | sort -u)
    [[ ${#packages[@]} -eq 0 ]] || say "unpacking for the stage, not installing: ${packages[*]}"
    stage_packages=$(fetch_packages stage "${packages[@]}")
}

# Builds and fetches whatever the stage is made of.
prepare_stage() {
    require_compiler
    require_stage
    link_with_libpam
    say 'building the module and the stand-in for iVALT (minutes the first time)'
    build_module
    build_helpers
    fetch_stage_packages
}

on_stage() { [[ $repo == /run/stage ]]; }

# Runs a script as the first process of private mount, network and process namespaces and returns its exit status.
# Words before "--" are for unshare. Killing `unshare` ends it all: the first process of the namespace dies with it.
# The same happens when the script that called this is killed itself.
in_namespaces() {
    local more=()
    while [[ $1 != -- ]]; do more+=("$1") && shift; done
    shift
    child_ends_by=KILL
    run_child env -i --default-signal PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM="${TERM:-dumb}" \
        setpriv --pdeathsig KILL \
        unshare "${more[@]}" --mount --net --pid --fork --kill-child --mount-proc --propagation private \
        setsid --wait bash "$@"
}

# Runs a script of the checkout on the stage and returns its exit status.
run_on_stage() {
    as_builder mkdir -p "$stage_cache/root"
    in_namespaces -- "$repo/scripts/lib/enter-stage" "$stage_cache/root" "$stage_packages" \
        "$(module_file)" "$(tool_file)" "$(helper_file syslog-sink)" "$(helper_file ivalt-stand-in)" "$@"
}
