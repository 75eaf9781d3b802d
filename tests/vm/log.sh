# shellcheck shell=bash disable=SC2154 # variables of scripts/lib
# A /dev/log that takes no log lines, in the ways in which that happens under systemd: `ivaltctl check` finds it, and what it
# offers makes journald take the lines of logins again.

stale_log_case() {
    start_from installed
    guest "$(declare -f stale_log_ways socket_of_a_dead_daemon expect_no_log_and_fix)
        write_ivalt_settings
        run_ivaltctl 0 enable sshd --yes
        run_ivaltctl 0 confirm
        run_ivaltctl 1 check
        expect_not_captured '[no-log]'
        stale_log_ways
        expect_key not-enough"
}

stale_log_ways() {
    local nobody='nobody listens at /dev/log: logins work, but nothing is logged' link='ln -sfn /run/systemd/journal/dev-log /dev/log'
    local restart='systemctl restart systemd-journald.service systemd-journald-dev-log.socket'
    # A log daemon that took journald's place, and was killed.
    socket_of_a_dead_daemon /dev/log
    expect_no_log_and_fix "$nobody" "$link"
    rm /dev/log
    expect_no_log_and_fix 'there is no /dev/log: logins work, but nothing is logged' "$link"
    # Where Docker was to mount it into a container while it was missing.
    rm /dev/log
    mkdir /dev/log
    expect_no_log_and_fix '/dev/log is a folder: logins work, but nothing is logged' "rmdir /dev/log && $link"
    socket_of_a_dead_daemon /var/tmp/log
    rm /dev/log
    touch /dev/log
    mount --bind /var/tmp/log /dev/log
    expect_no_log_and_fix "$nobody" "umount /dev/log && $link"
    rm /dev/log
    mkdir /dev/log
    mount --bind /var/tmp /dev/log
    expect_no_log_and_fix '/dev/log is a folder: logins work, but nothing is logged' "umount /dev/log && rmdir /dev/log && $link"
    # Nothing starts journald's socket again while journald runs.
    systemctl stop systemd-journald-dev-log.socket
    rm /run/systemd/journal/dev-log
    run_captured 1 systemctl start systemd-journald-dev-log.socket
    expect_no_log_and_fix '/dev/log is a link to nothing: logins work, but nothing is logged' "$restart"
    expect_key not-enough
    rm /run/systemd/journal/dev-log
    socket_of_a_dead_daemon /dev/log
    expect_no_log_and_fix "$nobody" "$restart && $link"
}

socket_of_a_dead_daemon() {
    rm -f "$1"
    perl -MSocket -e 'socket(S, AF_UNIX, SOCK_DGRAM, 0) && bind(S, sockaddr_un(shift)) or die' "$1"
}

# `expect_no_log_and_fix WHAT FIX`: check says so, and no longer after the fix, since lines are written again.
expect_no_log_and_fix() {
    run_ivaltctl 1 check
    grep -A 2 -F '[no-log]' "$terminal/captured" >/var/tmp/found || fault "not found: $1"
    printf '%s\n' 'warning /dev/log [no-log]' "  $1" "  fix: $2" | diff - /var/tmp/found || fault "not as expected: $1"
    run_captured 0 bash -c "$(sed -n 's/^  fix: //p' /var/tmp/found)"
    run_ivaltctl 1 check
    expect_not_captured '[no-log]'
    log_is_written
}

# Where another daemon listens, its place is not taken. And the host's socket, mounted into a container, is another one once
# the host has started it anew.
log_of_others_case() {
    start_from installed
    guest "$(declare -f listens_for_streams in_container)
        write_ivalt_settings
        run_ivaltctl 0 enable sshd --yes
        run_ivaltctl 0 confirm
        listens_for_streams
        run_ivaltctl 1 check
        expect_captured 'who listens at /dev/log takes streams alone: logins work, but nothing is logged'
        expect_captured 'fix: have that log daemon take datagrams: in syslog-ng, unix-dgram(\"/dev/log\")'
        kill \$!
        ln -sfn /run/systemd/journal/dev-log /dev/log
        in_container 'systemctl restart systemd-journald.service systemd-journald-dev-log.socket'
        expect_captured 'nobody listens at /dev/log: logins work, but nothing is logged'
        expect_captured \"fix: restart this container: the socket that was mounted there is no longer the host's\"
        in_container true
        expect_not_captured '[no-log]'"
}

listens_for_streams() {
    rm /dev/log
    perl -MSocket -e 'socket(S, AF_UNIX, SOCK_STREAM, 0) && bind(S, sockaddr_un("/dev/log")) && listen(S, 5) or die;
        open(READY, ">", "/run/listens"); sleep 600' &
    wait_for 'the daemon' test -e /run/listens
}

# `in_container COMMAND`: what check says in one that was started before the host ran this command.
in_container() {
    # shellcheck disable=SC2016 # for the inner shell
    run_captured 1 unshare --mount --propagation private bash -c 'mount -t tmpfs container /mnt
        cp -a /dev/{null,zero,urandom} /mnt/
        touch /mnt/log
        mount --bind /run/systemd/journal/dev-log /mnt/log
        nsenter --target "$PPID" --mount bash -c "$1"
        mount --move /mnt /dev
        mount -t tmpfs container /run/systemd
        exec ivaltctl check' - "$1"
}
