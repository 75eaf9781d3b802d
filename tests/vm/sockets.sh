# shellcheck shell=bash
# Every way sshd runs on Debian: `ivaltctl enable`, `confirm`, `disable` and the rollback are in force at once, and a
# session that was open before stays.

ssh_service_case() {
    sshd_runs_by 'systemctl daemon-reload
        systemctl is-active ssh.service'
}

# Debian 13's own, which is Debian 12's: Accept=no. One sshd takes all connections, with systemd's socket.
ssh_socket_case() {
    sshd_runs_by 'systemctl --no-reload disable --now ssh.service
        systemctl enable --now ssh.socket'
}

# As after a boot with both enabled: systemd gives the socket to ssh.service at its start.
ssh_socket_and_service_case() {
    sshd_runs_by 'systemctl stop ssh.service
        systemctl enable --now ssh.socket
        systemctl start ssh.service'
}

# Debian 11's ssh.socket: a process for each connection.
ssh_socket_for_each_connection_case() {
    sshd_runs_by "$(declare -f write_sshd_for_each)"'
        systemctl --no-reload disable --now ssh.service
        write_sshd_for_each
        mkdir /etc/systemd/system/ssh.socket.d
        printf "[Socket]\nAccept=yes\n" >/etc/systemd/system/ssh.socket.d/accept.conf
        systemctl enable --now ssh.socket'
}

# Debian 12 ships none; this one is as Debian 11's was.
write_sshd_for_each() {
    local unit=/etc/systemd/system/ssh@.service
    if is_debian 12; then
        # shellcheck disable=SC2016 # for systemd
        printf '%s\n' '[Service]' 'EnvironmentFile=-/etc/default/ssh' 'ExecStart=-/usr/sbin/sshd -i $SSHD_OPTS' \
            'StandardInput=socket' 'RuntimeDirectory=sshd' 'RuntimeDirectoryMode=0755' >"$unit"
    else
        cp /usr/lib/systemd/system/sshd@.service "$unit"
    fi
}

# `sshd_runs_by COMMANDS`, which have systemd read its units anew.
sshd_runs_by() {
    start_from installed
    guest "$(declare -f limit_starts way_works expect_session)
        write_ivalt_settings
        limit_starts
        $1
        way_works"
}

# systemd closes the socket of a service that is started more often; ours do not count.
limit_starts() {
    mkdir -p /etc/systemd/system/ssh.service.d
    printf '[Unit]\nStartLimitIntervalSec=600\nStartLimitBurst=2\n' >/etc/systemd/system/ssh.service.d/limit.conf
}

way_works() {
    answers ''
    run_as visitor ssh -f -i visitor.key -o PreferredAuthentications=publickey alice@localhost 'exec sleep 4321'
    run_ivaltctl 0 enable sshd --yes
    expect_key not-enough
    expect_session
    run_ivaltctl 0 confirm
    expect_captured 'sshd: iVALT stays enabled'
    run_ivaltctl 0 disable sshd --yes
    expect_key enough
    run_ivaltctl 0 enable sshd --yes --confirm-within 5s
    wait_for 'the rollback' test ! -e /etc/ssh/sshd_config.d/00-ivalt.conf
    wait_for 'the end of the waiter' bash -c '! pgrep -x ivaltctl >/dev/null'
    expect_key enough
    expect_session
    ! systemctl --quiet is-failed ssh.socket ssh.service || fault "$(systemctl status ssh.socket ssh.service)"
}

expect_session() { pgrep -u alice -f '^sleep 4321$' >/dev/null || fault 'the session has ended'; }

ssh_service_that_is_stopped_case() {
    start_from installed
    guest 'write_ivalt_settings
        systemctl stop ssh.service
        [[ ! -e /run/sshd ]] || fault "/run/sshd is there"
        run_ivaltctl 0 enable sshd --yes
        expect_captured "sshd is not running; it reads its configuration when it starts"
        run_ivaltctl 0 confirm
        systemctl start ssh.service
        expect_key not-enough
        systemctl stop ssh.service
        run_ivaltctl 0 disable sshd --yes
        expect_captured "sshd is not running; it reads its configuration when it starts"
        run_ivaltctl 0 enable sshd --yes --confirm-within 5s
        wait_for "the rollback" test ! -e /etc/ssh/sshd_config.d/00-ivalt.conf
        wait_for "the end of the waiter" bash -c "! pgrep -x ivaltctl >/dev/null"
        systemctl start ssh.service
        expect_key enough'
}

# An upgrade starts the unit that puts back what nobody waits for, while sshd runs, which is ordered after that unit.
ssh_socket_and_the_unit_before_it_case() {
    start_from installed
    guest 'write_ivalt_settings
        systemctl --no-reload disable --now ssh.service
        systemctl enable --now ssh.socket
        run_ivaltctl 0 enable sshd --yes
        expect_key not-enough
        systemctl stop ivaltctl-rollback-sshd.service
        wait_for "the end of the waiter" bash -c "! pgrep -x ivaltctl >/dev/null"
        run_captured 0 systemctl restart ivaltctl-rollback.service
        expect_key enough'
}
