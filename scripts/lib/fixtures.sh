# shellcheck shell=bash
# What the sandbox holds: accounts, settings, the log, the stand-in for iVALT, sshd. All of it is private and ends with
# the sandbox, so the passwords may be written here.

sandbox=/run/sandbox
terminal=$sandbox/terminal
log=$sandbox/authpriv.log
ivalt=$sandbox/ivalt
requests=$ivalt/requests.jsonl

alice_password='alice-unix-password'
bob_password='bob-unix-password'
carol_password='carol-unix-password'
root_password='root-unix-password'
# The log shows only the last four digits.
alice_mobile='+916283974746'

setup_sandbox() {
    write_accounts
    write_name_service
    write_pam_services
    write_sudoers
    write_ivalt_settings
    write_ssh_client
    prepare_folders
    start_log
    start_ivalt
}

# Without the machine's own accounts and password hashes. A plain sh, because the machine's bashrc may print something.
write_accounts() {
    cat >/etc/passwd <<-'END'
		root:x:0:0:root:/root:/bin/sh
		nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
		sshd:x:100:65534::/run/sshd:/usr/sbin/nologin
		alice:x:1001:1001:enrolled:/home/alice:/bin/sh
		bob:x:1002:1002:not enrolled:/home/bob:/bin/sh
		carol:x:1003:1003:enrolled, disabled:/home/carol:/bin/sh
		visitor:x:1004:1004:runs ssh:/home/visitor:/bin/sh
	END
    cat >/etc/group <<-'END'
		root:x:0:
		adm:x:4:
		tty:x:5:
		utmp:x:43:
		shadow:x:42:
		nogroup:x:65534:
		alice:x:1001:
		bob:x:1002:
		carol:x:1003:
		visitor:x:1004:
	END
    sed 's/:.*/:*:19000:0:99999:7:::/' /etc/passwd >/etc/shadow
    chmod 0640 /etc/shadow && chgrp shadow /etc/shadow
    set_passwords
    make_homes
}

set_passwords() {
    chpasswd --crypt-method SHA512 <<-END
		root:$root_password
		alice:$alice_password
		bob:$bob_password
		carol:$carol_password
	END
}

make_homes() {
    local account
    for account in alice bob carol visitor; do
        install -d -o "$account" -g "$account" -m 0755 "/home/$account"
    done
}

write_name_service() {
    printf '127.0.0.1 localhost %s\n127.0.0.1 api.ivalt.test\n' "$(uname -n)" >/etc/hosts
    printf 'passwd: files\ngroup: files\nshadow: files\nsudoers: files\nhosts: files dns\n' >/etc/nsswitch.conf
    # May be a link into the machine's /run. Nothing listens at this address, so a query fails at once.
    rm -f /etc/resolv.conf
    echo 'nameserver 127.0.0.1' >/etc/resolv.conf
}

# Debian's common-* files as on a fresh system, so that what the machine's administrator added has no effect here.
write_pam_services() {
    printf '%s\n' 'auth [success=1 default=ignore] pam_unix.so nullok' 'auth requisite pam_deny.so' \
        'auth required pam_permit.so' >/etc/pam.d/common-auth
    printf '%s\n' 'account required pam_unix.so' >/etc/pam.d/common-account
    printf '%s\n' 'session required pam_unix.so' >/etc/pam.d/common-session
    cp /etc/pam.d/common-session /etc/pam.d/common-session-noninteractive
    pam_service_from conf/pam.d/sshd-password-and-ivalt sshd
    pam_service_from conf/pam.d/sudo sudo
    pam_service_from conf/pam.d/sudo su
    pam_service_from conf/pam.d/sudo login
}

# `pam_service_from FILE SERVICE`: gives a service the auth lines of a file of the checkout, such as the samples.
pam_service_from() {
    local file=$1 service=$2 lines
    mapfile -t lines <"$sandbox/$file"
    pam_service "$service" "${lines[@]}"
}

# `pam_service SERVICE LINE…`: writes its pam.d file with these auth lines and Debian's account and session lines.
pam_service() {
    local service=$1
    shift
    printf '%s\n' "$@" '@include common-account' '@include common-session' >"/etc/pam.d/$service"
}

# One attempt, because sudo would otherwise call PAM again and the module would log a second line.
write_sudoers() {
    printf '%s\n' 'Defaults env_reset, passwd_tries=1, !lecture' 'Defaults timestamp_timeout=0' \
        'root ALL=(ALL:ALL) ALL' 'alice ALL=(ALL:ALL) ALL' 'bob ALL=(ALL:ALL) ALL' 'carol ALL=(ALL:ALL) ALL' >/etc/sudoers
    chmod 0440 /etc/sudoers
    rm -rf /etc/sudoers.d /etc/sudo.conf
}

write_ivalt_settings() {
    install -d /etc/ivalt
    rm -f /etc/ivalt/accepted.toml
    ivalt_settings 'timeout_seconds = 5'
    cat >/etc/ivalt/users.toml <<-END
		[users]
		alice = "$alice_mobile"
		carol = { mobile = "+4915112345601", enabled = false }
		root = "+4915112345600"
		ghost = "+4915112345602"
	END
    chmod 0600 /etc/ivalt/*.toml
}

# Writes ivalt.toml; further lines go below [api].
ivalt_settings() {
    printf '%s\n' '[api]' 'url = "https://api.ivalt.test/admin/public/api"' 'key = "test-api-key"' \
        "ca_file = \"$ivalt/ca.pem\"" "$@" >/etc/ivalt/ivalt.toml
}

# Has an Enter ask for a request on the phone; what held requests back is forgotten.
allow_push() {
    printf '%s\n' '[push]' 'enabled = true' 'accept_unbound_approvals = true' 'url = "https://api.ivalt.test"' \
        >>/etc/ivalt/ivalt.toml
    rm -rf /run/ivalt
}

# Has logins take recovery codes, and makes ten for alice: `codes_of_alice`. The sandbox's /var is an overlay.
make_recovery_codes() {
    printf '[recovery]\ncodes = true\n' >>/etc/ivalt/ivalt.toml
    ivaltctl recovery make alice --stdout --volatile --replace >"$sandbox/sheet" || die 'no recovery codes'
    # shellcheck disable=SC2034 # for those who call it
    mapfile -t codes_of_alice < <(sed -n 's/^ *[0-9]\{1,\} *\(rc-[0-9A-Z-]*\)$/\1/p' "$sandbox/sheet")
}

# When sshd says that no method is left (PAM_MAXTRIES), the client would still ask for a password that sshd never
# checks; hence PreferredAuthentications.
write_ssh_client() {
    rm -rf /etc/ssh/ssh_config.d /etc/ssh/sshd_config.d /etc/ssh/ssh_host_*
    printf '%s\n' 'NumberOfPasswordPrompts 1' 'ConnectTimeout 10' 'IdentityFile none' \
        'PreferredAuthentications publickey,keyboard-interactive' >/etc/ssh/ssh_config
    ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
    printf 'localhost %s\n' "$(cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub)" >/etc/ssh/ssh_known_hosts
    ssh-keygen -q -t ed25519 -N '' -C visitor -f /home/visitor/visitor.key
    chown visitor: /home/visitor/visitor.key
    local account
    for account in alice bob carol; do
        install -d -o "$account" -g "$account" -m 0700 "/home/$account/.ssh"
        install -o "$account" -g "$account" -m 0600 /home/visitor/visitor.key.pub "/home/$account/.ssh/authorized_keys"
    done
}

prepare_folders() {
    rm -f /etc/nologin
    install -d -m 0755 /run/sshd "$terminal"
    # askpass, which is no root, taps on a phone there.
    install -d -m 1777 "$ivalt"
    echo "$ivalt/tap-${alice_mobile#+}" >"$sandbox/phone"
    install -d -m 0711 /run/sudo /var/lib/sudo
    install -m 0664 -g utmp /dev/null /run/utmp
    install -m 0664 -g utmp /dev/null /var/log/wtmp
    install -m 0660 -g utmp /dev/null /var/log/btmp
}

start_log() {
    "$sandbox/bin/syslog-sink" /dev/log "$log" &
    echo $! >"$sandbox/log.pid"
    wait_for 'the log' test -S /dev/log
}

stop_log() {
    kill "$(cat "$sandbox/log.pid")"
    rm /dev/log
}

start_ivalt() { start_stand_in "$ivalt" 443; }
stop_ivalt() { stop_stand_in "$ivalt"; }

start_stand_in() {
    local folder=$1 port=$2
    mkdir -p "$folder"
    "$sandbox/bin/ivalt-stand-in" --dir "$folder" --port "$port" >"$folder/output" 2>&1 &
    echo $! >"$folder/pid"
    wait_for "the stand-in for iVALT in $folder" test -s "$folder/port"
}

stop_stand_in() {
    local folder=$1
    kill "$(cat "$folder/pid")"
    wait_for 'the end of the stand-in' process_gone "$(cat "$folder/pid")"
    rm "$folder/port"
    cat "$folder/requests.jsonl" >>"$sandbox/all-requests"
}

process_gone() { ! kill -0 "$1" 2>/dev/null; }

# The module's own folder is where pam_unix.so is.
security_folder() { dirname "$(find -H /usr/lib /lib -name pam_unix.so -path '*/security/*' -print -quit)"; }

# The three usual configurations, as in README and conf/pam.d.
sshd_password_and_ivalt() {
    pam_service_from conf/pam.d/sshd-password-and-ivalt sshd
    sshd_with 'KbdInteractiveAuthentication yes' 'PasswordAuthentication no' \
        'AuthenticationMethods keyboard-interactive'
}

sshd_key_and_ivalt() {
    pam_service_from conf/pam.d/sshd-key-and-ivalt sshd
    sshd_with 'KbdInteractiveAuthentication yes' 'PasswordAuthentication no' \
        'AuthenticationMethods publickey,keyboard-interactive'
}

key_or_password_settings=('KbdInteractiveAuthentication yes' 'PasswordAuthentication no'
    'AuthenticationMethods publickey,keyboard-interactive keyboard-interactive')

sshd_key_or_password_and_ivalt() {
    pam_service_from conf/pam.d/sshd-key-or-password-and-ivalt sshd
    sshd_with "${key_or_password_settings[@]}"
}

# Restarts sshd with these lines of sshd_config.
sshd_with() {
    stop_sshd
    printf '%s\n' 'UsePAM yes' 'ListenAddress 127.0.0.1' 'HostKey /etc/ssh/ssh_host_ed25519_key' 'PrintMotd no' "$@" \
        >/etc/ssh/sshd_config
    /usr/sbin/sshd -t || die "sshd refuses its settings: $*"
    start_sshd
}

start_sshd() {
    # shellcheck disable=SC2046 # none, or one
    /usr/sbin/sshd $(without_penalties)
    wait_for sshd test -s /run/sshd.pid
}

# The option of sshd that the tests need since OpenSSH 9.8: it refuses an address from which a few logins have failed, and
# whether they do so in too short a time depends on how fast the machine is.
without_penalties() {
    local option=-oPerSourcePenalties=no
    ! /usr/sbin/sshd -t "$option" 2>/dev/null || echo "$option"
}

reload_sshd() { reload_sshd_by kill -HUP "$(sshd_pid)"; }

# `reload_sshd_by COMMAND…`
reload_sshd_by() {
    local before
    before=$(pid_file)
    "$@"
    wait_for 'the reload of sshd' pid_file_since "$before"
}

# sshd removes it, and writes another one once it has read its settings and listens.
pid_file() { stat -c '%i %z' /run/sshd.pid; }
pid_file_since() {
    local now
    now=$(pid_file 2>/dev/null) && [[ $now != "$1" && -s /run/sshd.pid ]]
}

stop_sshd() {
    sshd_is_there || return 0
    kill "$(sshd_pid)"
    wait_for 'the end of sshd' test ! -e /run/sshd.pid
}

# sshd takes its pid file away when it begins anew, and listens a moment before the next one is there.
sshd_is_there() { [[ -s /run/sshd.pid ]] || port_is_listened_at 22; }
sshd_pid() {
    wait_for "sshd's pid file" test -s /run/sshd.pid
    cat /run/sshd.pid
}

# `port_is_listened_at NUMBER`, without connecting.
port_is_listened_at() {
    local port
    port=$(printf '%04X' "$1")
    grep -qE "^ *[0-9]+: [0-9A-F]+:$port [0-9A-F]+:0000 0A " /proc/net/tcp /proc/net/tcp6 2>/dev/null
}

wait_for() {
    local what=$1 _
    shift
    for _ in {1..600}; do
        ! "$@" || return 0
        sleep 0.05
    done
    die "timeout after 30 s: waiting for $what"
}

# As dh_installdeb replaces the tokens.
maintainer_script() {
    sed -e "/^#PAM_LINES#/{r $sandbox/scripts/lib/pam-lines.sh" -e 'd}' \
        -e "/^#SYNC_PAM#/{r $sandbox/debian/sync-pam.sh" -e 'd}' "$sandbox/debian/libpam-ivalt.$1"
}
