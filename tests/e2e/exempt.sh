# shellcheck shell=bash
# Whoever comes from policy.exempt_networks is not asked: the real sshd on IPv4 and IPv6, and sudo, which never is.

office=198.51.100.77
office6=2001:db8::77
elsewhere=203.0.113.9
elsewhere6=2001:db9::9

# `add_addresses`: to the sandbox's own loopback interface; a loopback address is never exempt.
add_addresses() {
    perl -MSocket=:all -e '
        socket(V4, AF_INET, SOCK_DGRAM, 0) && socket(V6, AF_INET6, SOCK_DGRAM, 0) or die "socket: $!\n";
        my $label = 0;
        for (@ARGV) {
            # SIOCSIFADDR with struct ifreq, and with struct in6_ifreq, in which 1 is the index of lo.
            my $done = /:/ ? ioctl(V6, 0x8916, pack("a16 I i", inet_pton(AF_INET6, $_), 128, 1))
                : ioctl(V4, 0x8916, pack("a16 S n a4 x8 x8", "lo:" . ++$label, AF_INET, 0, inet_aton($_)));
            $done or $!{EEXIST} or die "$_: $!\n";
        }' "$@"
}

# `exempt_office [LINE…]`: in settings with these further lines below [policy].
exempt_office() {
    add_addresses "$office" "$elsewhere" "$office6" "$elsewhere6"
    ivalt_settings '[policy]' 'exempt_networks = ["198.51.100.0/24", "2001:db8::/32"]' "$@"
}

sshd_on_both() { sshd_with 'ListenAddress ::1' 'PasswordAuthentication no' 'AuthenticationMethods keyboard-interactive' "$@"; }

# `ssh_from ADDRESS USER [OPTION…]`
ssh_from() {
    local address=$1 user=$2 to=127.0.0.1
    shift 2
    [[ $address != *:* ]] || to=::1
    run_as visitor ssh -b "$address" -o HostName="$to" -o HostKeyAlias=localhost "$@" "$user@localhost" whoami
}

expect_exempt() {
    expect_let_in alice
    expect_log ignore exempt-network sshd alice
    expect_the_line "outcome=ignore reason=exempt-network user=alice service=sshd rhost=$1 tty=ssh ruser= mobile=\\*\\*\\*4746 http= code= detail= cause=$2 attempts=0 elapsed_ms=0"
    expect_requests 0
}

exempt_client_is_asked_for_the_password_alone_case() {
    exempt_office
    sshd_on_both
    remove_delays
    answers "$alice_password" accept-1
    ssh_from "$office" alice
    expect_exempt "$office" 198.51.100.0/24
    expect_dialogue "(alice@localhost) Password: $alice_password"
    answers "$alice_password" accept-1
    ssh_from "$office6" alice
    expect_exempt "$office6" 2001:db8::/32
    answers 'not-the-password' accept-1
    ssh_from "$office" alice
    expect_refused 255
}

exempt_everybody_else_is_asked_case() {
    local address
    exempt_office
    sshd_on_both
    remove_delays
    for address in "$elsewhere" "$elsewhere6" 127.0.0.1 ::1; do
        answers "$alice_password" accept-1
        ssh_from "$address" alice
        expect_let_in alice
        expect_log allow verified sshd alice
        expect_the_line ".* rhost=$address .* cause= attempts=1 .*"
        expect_requests 1
    done
}

# The host keeps its IPv4 and IPv6 clients on one socket, as ssh.socket of systemd does.
exempt_client_on_a_dual_stack_socket_case() {
    exempt_office
    sshd_on_both
    remove_delays
    python3 - <<-'END' &
		import socket, subprocess
		listener = socket.socket(socket.AF_INET6)
		listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
		listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
		listener.bind(("::", 2222))
		listener.listen()
		client, address = listener.accept()
		open("/run/sandbox/mapped", "w").write(address[0])
		subprocess.run(["/usr/sbin/sshd", "-i"], stdin=client, stdout=client)
	END
    wait_for 'the listener' port_is_listened_at 2222
    answers "$alice_password" accept-1
    ssh_from "$office" alice -p 2222
    wait $!
    [[ $(cat "$sandbox/mapped") == "::ffff:$office" ]] || fault "no mapped address: $(cat "$sandbox/mapped")"
    expect_exempt "$office" 198.51.100.0/24
}

# A name is what the client's own name server says, whatever network it is in.
exempt_client_with_a_name_is_asked_case() {
    exempt_office
    sshd_on_both 'UseDNS yes'
    remove_delays
    printf '%s office.example\n%s office6.example\n' "$office" "$office6" >>/etc/hosts
    answers "$alice_password" accept-1
    ssh_from "$office" alice
    expect_let_in alice
    expect_log allow verified sshd alice
    expect_the_line '.* rhost=office.example .*'
    answers "$alice_password" accept-2
    ssh_from "$office6" alice
    expect_let_in alice
    expect_log allow verified sshd alice
    expect_the_line '.* rhost=office6.example .*'
    # sshd itself refuses a name that is an address.
    write_name_service
    printf '%s %s\n' "$elsewhere" "$office" >>/etc/hosts
    answers "$alice_password" accept-3
    ssh_from "$elsewhere" alice
    expect_let_in alice
    expect_log allow verified sshd alice
    expect_the_line ".* rhost=$elsewhere .*"
    # Without a name sshd gives the address.
    answers "$alice_password" accept-4
    ssh_from "$office" alice
    expect_exempt "$office" 198.51.100.0/24
    write_name_service
}

exempt_disabled_and_unenrolled_users_are_denied_case() {
    exempt_office
    sshd_on_both
    remove_delays
    answers "$carol_password" accept-1
    ssh_from "$office" carol
    expect_refused 255
    expect_log deny disabled sshd carol
    answers "$bob_password" accept-1
    ssh_from "$office" bob
    expect_refused 255
    expect_log deny not-enrolled sshd bob
    exempt_office 'unenrolled = "ignore"'
    answers "$bob_password" accept-1
    ssh_from "$office" bob
    expect_let_in bob
    expect_log ignore exempt-network sshd bob
    answers "$carol_password" accept-1
    ssh_from "$office" carol
    expect_refused 255
    expect_log deny disabled sshd carol
    expect_requests 0
}

# After a key only the line with only_after= lets in: alone in the stack, an ignored module is a denial to libpam.
exempt_client_with_a_key_case() {
    exempt_office
    sshd_key_or_password_and_ivalt
    remove_delays
    answers '' accept-1
    ssh_from "$office" alice -i visitor.key
    expect_exempt "$office" 198.51.100.0/24
    expect_dialogue ''
    sshd_key_and_ivalt
    remove_delays
    answers '' accept-1
    ssh_from "$office" alice -i visitor.key
    expect_refused 255
    expect_log ignore exempt-network sshd alice
    expect_requests 0
}

# sudo says nothing of a client, and with pam_rhost the name of this host.
exempt_never_under_sudo_case() {
    exempt_office
    answers "$alice_password" accept-1
    run_as alice sudo -A whoami
    expect_let_in root
    expect_log allow verified sudo alice
    expect_the_line '.* service=sudo rhost= .*'
    echo 'Defaults pam_rhost' >>/etc/sudoers
    answers "$alice_password" accept-2
    run_as alice env SSH_CONNECTION="$office 40000 127.0.0.1 22" SSH_CLIENT="$office 40000 22" sudo -A whoami
    expect_let_in root
    expect_log allow verified sudo alice
    # Debian's sudo asks for the name that belongs to its own, which is the first of that line in /etc/hosts.
    expect_the_line '.* service=sudo rhost=localhost .*'
    expect_requests 1
}

# Of whom users.toml says nothing.
synced_users_log_in_case() {
    sed -i '1i synced_users_file = "/etc/ivalt/users-synced.toml"' /etc/ivalt/ivalt.toml
    printf '%s\n' '# ivaltctl users sync' '[users]' 'alice = "+4915112345690"' 'bob = "+4915112345691"' 'carol = "+4915112345692"' \
        >/etc/ivalt/users-synced.toml
    chmod 0600 /etc/ivalt/users-synced.toml
    password_and_token
    answers "$bob_password" accept-1
    run_as visitor ssh bob@localhost whoami
    expect_let_in bob
    expect_log allow verified sshd bob
    expect_the_line '.* user=bob .* mobile=\*\*\*5691 .*'
    answers "$alice_password" accept-2
    run_as visitor ssh alice@localhost whoami
    expect_let_in alice
    expect_log allow verified sshd alice
    expect_the_line '.* user=alice .* mobile=\*\*\*4746 .*'
    answers "$carol_password" accept-3
    run_as visitor ssh carol@localhost whoami
    expect_refused 255
    expect_log deny disabled sshd carol
    rm /etc/ivalt/users-synced.toml
    answers "$bob_password" accept-4
    run_as visitor ssh bob@localhost whoami
    expect_refused 255
    expect_log deny misconfigured sshd bob
    answers "$alice_password" accept-5
    run_as visitor ssh alice@localhost whoami
    expect_let_in alice
}
