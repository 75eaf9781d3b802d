# shellcheck shell=bash
# The real dovecot, by Python's IMAP client; and saslauthd, by its own.

start_dovecot() {
    install -d -o alice -g alice -m 0700 /home/alice/Maildir
    start_host dovecot dovecot -F
    wait_for dovecot grep -q 'starting up for imap' "$log"
    wait_for 'its port' port_open 143
}

imap_as_alice() {
    run_as alice python3 -c 'import imaplib, sys
try:
    print(imaplib.IMAP4("127.0.0.1").login("alice", sys.argv[1])[0])
except imaplib.IMAP4.error as refused:
    print(refused)' "$1"
}

imap_line() { line dovecot "$1" "$2" rhost=127.0.0.1 tty=dovecot ruser=alice "${@:3}"; }

# It answers a visible prompt with the name of the user, which must not leave the machine.
dovecot_as_shipped_case() {
    pam_lines dovecot '@include common-auth' 'auth required pam_ivalt.so nodelay' '@include common-account'
    start_dovecot
    imap_as_alice "$alice_password"
    expect_let_in "b'[AUTHENTICATIONFAILED] Authentication failed.'"
    expect_lines "$(imap_line deny malformed-token attempts=3 "cause=$user_name_cause")"
    expect_tokens
}

mail_settings() {
    pam_lines "$1" 'auth required pam_ivalt.so nodelay config=/etc/ivalt/mail.toml' '@include common-account'
    own_settings /etc/ivalt/mail.toml root "${hidden[@]}"
}

dovecot_token_in_the_password_field_case() {
    mail_settings dovecot
    start_dovecot
    imap_as_alice accept-1
    expect_let_in OK
    expect_lines "$(imap_line allow verified http=200)"
    expect_tokens accept-1
}

dovecot_refused_token_case() {
    mail_settings dovecot
    start_dovecot
    imap_as_alice reject-1
    expect_let_in "b'[AUTHENTICATIONFAILED] Authentication failed.'"
    expect_lines "$(imap_line deny token-rejected "${refused[@]}")"
    expect_tokens reject-1
}

# `saslauthd_asked PASSWORD`: by its own client, for the service imap.
saslauthd_asked() {
    mail_settings imap
    install -d /run/saslauthd
    start_host saslauthd saslauthd -d -a pam -n 1 -m /run/saslauthd
    wait_for saslauthd test -S /run/saslauthd/mux
    wait_for 'its child' grep -q 'listening on socket' "$hosts/saslauthd"
    run_as alice /usr/sbin/testsaslauthd -u alice -p "$1" -s imap
}

saslauthd_token_in_the_password_field_case() {
    saslauthd_asked accept-1
    expect_let_in '0: OK "Success."'
    expect_lines "$(line imap allow verified http=200)"
    expect_tokens accept-1
}

saslauthd_refused_token_case() {
    saslauthd_asked reject-1
    expect_seen '0: NO "authentication failed"'
    expect_lines "$(line imap deny token-rejected "${refused[@]}")"
    expect_tokens reject-1
}
