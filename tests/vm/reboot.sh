# shellcheck shell=bash
# What nobody has confirmed when the machine goes down is put back when it starts again, before anybody can log in.

# Enabled, and not confirmed, with an hour to do so.
# shellcheck disable=SC2016 # for the guest
enable_sshd_for_an_hour='run_ivaltctl 0 enable sshd --yes --confirm-within 1h
    expect_captured "Without it, everything is put back automatically, also if the machine reboots first."
    expect_captured "Until when: systemctl status ivaltctl-rollback-sshd"
    [[ $(systemctl is-active ivaltctl-rollback-sshd) == active ]] || fault "no unit waits"
    expect_key not-enough'

# The snapshot `pending`: what was not synced then is lost where the machine is not shut down.
pending_first_time() {
    start_from installed
    # shellcheck disable=SC2154 # of cuts.sh
    guest "$in_cuts; write_ivalt_settings; lose_what_is_not_synced noauto_da_alloc; $enable_sshd_for_an_hour"
}

# Put back by the unit, in this boot, before sshd and the ordinary start of the system; and nothing was dropped for it.
# shellcheck disable=SC2016 # for the guest
put_back_before_sshd='sshd_has_started
    expect_logins_without_ivalt
    journal -b -u ivaltctl-rollback --output=cat >"$terminal/captured"
    expect_captured "sshd: not confirmed before the machine went down; put back: "
    ended() { systemctl show --value --property="$2" "$1"; }
    rollback=$(ended ivaltctl-rollback ExecMainExitTimestampMonotonic)
    ssh=$(ended ssh ExecMainStartTimestampMonotonic)
    sysinit=$(ended sysinit.target ActiveEnterTimestampMonotonic)
    [[ $rollback -gt 0 && $rollback -lt $sysinit && $sysinit -lt $ssh ]] || fault "put back at $rollback, sysinit at $sysinit, sshd at $ssh"
    ! journal -b | grep -i "ordering cycle" || fault "an ordering cycle"
    run_ivaltctl 1 confirm
    expect_captured "too late"'

rollback_after_a_reboot_case() {
    start_from pending
    guest 'systemd-analyze --man=no verify ivaltctl-rollback.service; boot_as_a_server'
    reboot_guest
    guest "$put_back_before_sshd"
}

rollback_after_a_hard_reset_case() {
    start_from pending
    reset_guest
    guest "$put_back_before_sshd"
}

# All processes end and start again; the kernel, /run and the boot's id go on. systemd takes over the units that have no
# conflict with shutdown.target as active, such as the guest's shell, and then finds that their processes have ended.
# Debian 12's systemd has none.
rollback_after_a_soft_reboot_case() {
    start_from pending
    if guest 'is_debian 12'; then
        guest 'run_captured 1 systemctl soft-reboot; expect_captured "Unknown command verb soft-reboot."'
        echo 'note: left out, Debian 12 has no soft reboot'
        return
    fi
    guest 'mkdir -p /run/systemd/system/serial-shell.service.d
        printf "[Service]\nRestart=always\n" >/run/systemd/system/serial-shell.service.d/restart.conf
        systemctl daemon-reload'
    send_to_guest rebooting 'systemctl soft-reboot'
    wait_for_ready
    guest "${put_back_before_sshd/ before the machine went down/, and the process that waited has ended}"
}

# Whatever was confirmed stays.
confirmed_stays_after_a_power_cut_case() {
    start_from pending
    guest 'run_ivaltctl 0 confirm'
    power_cut
    boot
    # shellcheck disable=SC2016 # for the guest
    guest 'sshd_has_started
        expect_key not-enough
        journal -b -u ivaltctl-rollback --output=cat >"$terminal/captured"
        expect_not_captured "put back"'
}

# While a process waits, starting the unit, as an upgrade does, changes nothing; and who is killed is started again.
rollback_leaves_a_waiter_alone_case() {
    start_from pending
    # shellcheck disable=SC2016 # for the guest
    guest 'systemctl restart ivaltctl-rollback
        expect_key not-enough
        old=$(systemctl show --value --property=MainPID ivaltctl-rollback-sshd)
        kill -KILL "$old"
        waits_anew() { local now; now=$(systemctl show --value --property=MainPID ivaltctl-rollback-sshd); [[ $now != 0 && $now != "$old" ]]; }
        wait_for "the next process" waits_anew
        systemctl restart ivaltctl-rollback-sshd
        systemctl restart ivaltctl-rollback
        expect_key not-enough
        run_ivaltctl 0 confirm
        over() { ! systemctl is-active --quiet ivaltctl-rollback-sshd; }
        wait_for "the end of the unit" over
        journal -u ivaltctl-rollback-sshd --output=cat >"$terminal/captured"
        expect_captured "sshd: confirmed; iVALT stays enabled"'
}

# What cannot be put back keeps nobody out, and is tried again.
rollback_that_fails_at_boot_case() {
    start_from pending
    guest 'chmod 0644 /var/lib/ivalt/rollback-sshd.lock && sync'
    reboot_guest
    guest 'sshd_has_started
        expect_key not-enough
        chmod 0600 /var/lib/ivalt/rollback-sshd.lock
        wait_for "the next try" test ! -e /etc/ssh/sshd_config.d/00-ivalt.conf
        tried_again() { grep -q "put back: " <<<"$(journal -b -u ivaltctl-rollback --output=cat)"; }
        wait_for "its end" tried_again
        expect_key enough'
}

# logind kills all that a session has left behind, and `ivaltctl enable` was called there. Root's it kills only where
# somebody else is excluded.
rollback_after_a_session_that_is_killed_case() {
    start_from installed
    guest 'write_ivalt_settings
        mkdir -p /etc/systemd/logind.conf.d ~root/.ssh
        printf "[Login]\nKillUserProcesses=yes\nKillExcludeUsers=nobody\n" >/etc/systemd/logind.conf.d/kill.conf
        systemctl restart systemd-logind
        cat /home/alice/.ssh/authorized_keys >>~root/.ssh/authorized_keys
        chmod -R go= ~root/.ssh
        answers ""
        run_as visitor ssh -i visitor.key root@localhost "sleep 4321 </dev/null >/dev/null 2>&1 & ivaltctl enable sshd --yes --confirm-within 30s"
        gone() { ! pgrep -x sleep -a | grep -q 4321; }
        wait_for "the end of the session" gone
        [[ $(systemctl is-active ivaltctl-rollback-sshd) == active || ! -e /etc/ssh/sshd_config.d/00-ivalt.conf ]] || fault "the rollback was killed, too"
        wait_for "the rollback" test ! -e /etc/ssh/sshd_config.d/00-ivalt.conf
        over() { ! systemctl is-active --quiet ivaltctl-rollback-sshd; }
        wait_for "the end of the unit" over
        expect_key enough'
}
