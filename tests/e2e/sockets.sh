# shellcheck shell=bash
# `ivaltctl enable sshd` where sshd has its socket from the service manager. There is no systemd in the sandbox: the first
# process of a process namespace is in its place (service-manager), and a script in systemctl's.

manager=/run/manager

# `service_manager ACCEPT CGROUP_PATH`
service_manager() {
    untouched_system
    visitor_has_the_key
    stop_sshd
    rm -rf "$manager" && mkdir "$manager"
    printf '0::%s\n' "$2" >"$manager/cgroup"
    : >"$manager/systemctl.log"
    in_process_namespace "$repo/tests/e2e/service-manager" "$1" "$manager/cgroup"
    wait_for 'the service manager' test -e "$manager/ready"
}

systemd_is_there() {
    mkdir -p /run/systemd/system
    # shellcheck disable=SC2016 # for the other shell
    printf '%s\n' '#!/bin/sh' 'echo "$*" >>/run/manager/systemctl.log' '[ ! -e /run/manager/broken ] || { echo "Job failed." >&2; exit 1; }' \
        'case $* in show*) printf "LoadState=loaded\nWantedBy=sysinit.target\n";; esac' \
        'case $* in *try-restart*) touch /run/manager/restart; while [ -e /run/manager/restart ]; do sleep 0.05; done;; esac' \
        >"$sandbox/systemctl"
    chmod 0755 "$sandbox/systemctl"
    mount --bind "$sandbox/systemctl" /usr/bin/systemctl
}

# Runs a command as the first process of a process namespace.
in_process_namespace() {
    unshare --pid --fork --kill-child --mount-proc "$@" &
    first_parent=$!
    wait_for 'the first process' has_child "$first_parent"
    first=$(pgrep -P "$first_parent")
}
has_child() { pgrep -P "$1" >/dev/null; }

end_process_namespace() {
    kill -KILL "$first_parent"
    wait_for 'the end of the process namespace' process_gone "$first"
    rm -f /run/sshd.pid
    rm -rf /run/systemd
    ! mountpoint -q /usr/bin/systemctl || umount /usr/bin/systemctl
    start_sshd
}

inside() { nsenter --target "$first" --pid --mount "$@"; }
ivaltctl_inside() { run_captured "$1" inside ivaltctl "${@:2}"; }

expect_restarts() {
    local expected
    expected=$(for ((i = 0; i < $1; i++)); do printf '%s\n' 'reset-failed ssh.service' '--job-mode=ignore-dependencies try-restart ssh.service'; done)
    [[ $(grep ' ssh.service$' "$manager/systemctl.log") == "$expected" ]] || fault "systemctl: $(cat "$manager/systemctl.log")"
}

# ssh.socket of Debian 12, Debian 13 and Ubuntu: nothing is to be told before the first connection; from then on one sshd
# has the socket, which SIGHUP would take from it.
sockets_accept_no_case() {
    systemd_is_there
    service_manager no /system.slice/ssh.service
    ivaltctl_inside 0 enable sshd --yes --confirm-within 60s
    expect_captured 'systemd listens and starts sshd for a connection; it reads its configuration then'
    expect_restarts 0
    key_is_not_enough
    ivaltctl_inside 0 confirm
    expect_restarts 1
    start_session
    local service
    service=$(cat "$manager/main")
    ivaltctl_inside 0 disable sshd --yes
    expect_restarts 2
    [[ $(cat "$manager/main") != "$service" ]] || fault 'no other sshd'
    expect_untouched
    key_alone_is_enough
    expect_session
    ivaltctl_inside 0 enable sshd --yes --confirm-within 10s
    expect_restarts 3
    key_is_not_enough
    wait_for 'the end of the waiter' no_waiter_runs
    expect_restarts 4
    expect_untouched
    key_alone_is_enough
    end_process_namespace
}

start_session() {
    answers '' accept-9
    run_as visitor ssh -f -i "$sandbox/key" alice@localhost 'while :; do sleep 1; done'
    wait_for 'the session' pgrep -u alice -x sh
}
expect_session() {
    pgrep -u alice -x sh >/dev/null || fault 'the session has ended'
    pkill -u visitor -x ssh || true
}

# What systemctl says; then the files are as before, and it is said that sshd may not be.
sockets_service_that_does_not_restart_case() {
    systemd_is_there
    service_manager no /system.slice/ssh.service
    key_alone_is_enough
    touch "$manager/broken"
    ivaltctl_inside 1 enable sshd --yes --confirm-within 10s
    expect_captured "sshd (process $(cat "$manager/main")) could not be restarted: Job failed.; systemctl try-restart ssh.service; the files were put back, and sshd may still have the settings that it had: sshd (process $(cat "$manager/main")) could not be restarted: Job failed.; systemctl try-restart ssh.service"
    expect_not_captured 'could not be put back'
    expect_untouched
    rm "$manager/broken"
    wait_for 'the end of the waiter' no_waiter_runs
    [[ $(grep -c try-restart "$manager/systemctl.log") -eq 3 ]] || fault "systemctl: $(cat "$manager/systemctl.log")"
    end_process_namespace
}

# ssh.socket of Debian 11, sshd.socket of Fedora and Arch.
sockets_accept_yes_case() {
    systemd_is_there
    service_manager yes ''
    key_alone_is_enough
    ivaltctl_inside 0 enable sshd --yes --confirm-within 60s
    expect_captured 'systemd listens and starts sshd for a connection; it reads its configuration then'
    key_is_not_enough
    ivaltctl_inside 0 confirm
    ivaltctl_inside 0 disable sshd --yes
    key_alone_is_enough
    expect_restarts 0
    end_process_namespace
}

# A first process that is no systemd, and one that has not started sshd as a service: nobody knows what to call.
sockets_of_another_manager_case() {
    service_manager no /system.slice/ssh.service
    ivaltctl_inside 1 enable sshd --yes
    expect_captured "nothing was changed: what listens on port 22 is not sshd, so it is not clear what must reload sshd's configuration; /etc/init.d/ssh reload"
    key_alone_is_enough
    ivaltctl_inside 1 enable sshd --yes
    expect_captured "nothing was changed: sshd (process $(cat "$manager/main")) has its socket from process 1, which is not systemd or has not started it as a service"
    expect_untouched
    end_process_namespace
    systemd_is_there
    service_manager no /user.slice/user-0.slice/session-3.scope
    key_alone_is_enough
    ivaltctl_inside 1 enable sshd --yes
    expect_captured 'has its socket from process 1, which is not systemd or has not started it as a service'
    expect_restarts 0
    expect_untouched
    end_process_namespace
}

# `sshd -D` of a container, without systemd or beside a folder of it that the image brought along.
sockets_sshd_as_the_first_process_case() {
    local folder
    for folder in '' /run/systemd/system; do
        untouched_system
        visitor_has_the_key
        stop_sshd
        ${folder:+mkdir -p "$folder"}
        in_process_namespace /usr/sbin/sshd -D
        wait_for sshd test -s /run/sshd.pid
        ivaltctl_inside 0 enable sshd --yes --confirm-within 10s
        key_is_not_enough
        wait_for 'the end of the waiter' no_waiter_runs
        expect_untouched
        key_alone_is_enough
        end_process_namespace
    done
}
