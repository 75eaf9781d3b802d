# shellcheck shell=bash
# Without a network at the start of the system sshd starts, and a login ends with the right reason.

network_down_at_boot_case() {
    start_from installed
    # Qemu has a name server there, which `restrict=on` keeps from answering.
    # shellcheck disable=SC2016 # for the guest
    guest 'write_ivalt_settings
        ivalt_settings "timeout_seconds = 10"
        run_ivaltctl 0 enable sshd --yes
        run_ivaltctl 0 confirm
        boot_as_a_server
        sed -i "/api.ivalt.test/d" /etc/hosts
        echo "nameserver 10.0.2.3" >/etc/resolv.conf
        sync'
    reboot_guest without_a_link
    # shellcheck disable=SC2016 # for the guest
    guest "$(declare -f expect_unavailable)"'
        sshd_has_started
        [[ $(cat /sys/class/net/e*/operstate) == down ]] || fault "the link is up"
        expect_unavailable'
    monitor set_link net on
    # shellcheck disable=SC2016 # for the guest
    guest "$(declare -f expect_unavailable)"'
        has_address() { ip -4 -brief address show up | grep -q 10.0.2.15; }
        wait_for "the address" has_address
        expect_unavailable
        write_name_service
        expect_key not-enough'
}

# As soon as qemu has the machine's state, of which the link is a part.
without_a_link() {
    until [[ $(monitor info migrate) == *completed* ]]; do sleep 0.1; done
    monitor set_link net off
}

# Whatever it was, it took no longer than all of iVALT may take.
expect_unavailable() {
    local line
    answers '' "$(new_token)"
    by_key alice
    expect_refused 255
    expect_seen 'iVALT cannot be reached'
    expect_log deny unavailable sshd alice
    line=$(log_lines)
    expect_the_line '.* cause="dns: [^"]*" .*'
    echo "note: refused, ${line##*cause=}"
    [[ $line =~ \ elapsed_ms=([0-9]+)$ && ${BASH_REMATCH[1]} -le 10000 ]] || fault "it took longer: $line"
}
