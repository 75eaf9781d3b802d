# shellcheck shell=bash
# The real vsftpd, and Python's FTP client.

start_vsftpd() {
    sed -E '/^(listen|listen_ipv6)=/d' /etc/vsftpd.conf >"$sandbox/vsftpd.conf"
    printf '%s\n' listen=YES listen_address=127.0.0.1 >>"$sandbox/vsftpd.conf"
    install -d /run/vsftpd/empty
    start_host vsftpd vsftpd "$sandbox/vsftpd.conf"
    wait_for vsftpd port_open 21
}

# `vsftpd_auth LINE…`: in place of Debian's include.
vsftpd_auth() {
    printf '%s\n' "$@" >"$sandbox/lines"
    sed -e "/^@include common-auth/{r $sandbox/lines" -e 'd}' "$sandbox/as-shipped/pam.d/vsftpd" >/etc/pam.d/vsftpd
}

ftp_as_alice() {
    run_as alice python3 -c 'import ftplib, sys
try:
    print(ftplib.FTP("127.0.0.1").login("alice", sys.argv[1]))
except ftplib.error_perm as refused:
    print(refused)' "$1"
}

ftp_line() { line vsftpd "$1" "$2" rhost=127.0.0.1 tty=ftp ruser=alice "${@:3}"; }

# It answers no visible prompt.
vsftpd_as_shipped_case() {
    vsftpd_auth '@include common-auth' 'auth required pam_ivalt.so nodelay'
    start_vsftpd
    ftp_as_alice "$alice_password"
    expect_let_in '530 Login incorrect.'
    expect_lines "$(ftp_line deny unanswered 'cause="no answer from the conversation"' attempts=0)"
    expect_tokens
}

vsftpd_token_in_the_password_field_case() {
    vsftpd_auth 'auth required pam_ivalt.so nodelay config=/etc/ivalt/ftp.toml'
    own_settings /etc/ivalt/ftp.toml root "${hidden[@]}"
    start_vsftpd
    ftp_as_alice accept-1
    expect_let_in '230 Login successful.'
    expect_lines "$(ftp_line allow verified http=200)"
    expect_tokens accept-1
}

vsftpd_refused_token_case() {
    vsftpd_auth 'auth required pam_ivalt.so nodelay config=/etc/ivalt/ftp.toml'
    own_settings /etc/ivalt/ftp.toml root "${hidden[@]}"
    start_vsftpd
    ftp_as_alice reject-1
    expect_let_in '530 Login incorrect.'
    expect_lines "$(ftp_line deny token-rejected "${refused[@]}")"
    expect_tokens reject-1
}

# There is one field: below a module that asked for the password, it holds the password.
vsftpd_after_the_password_case() {
    vsftpd_auth '@include common-auth' 'auth required pam_ivalt.so nodelay config=/etc/ivalt/ftp.toml'
    own_settings /etc/ivalt/ftp.toml root "${hidden[@]}"
    start_vsftpd
    ftp_as_alice "$alice_password"
    expect_let_in '530 Login incorrect.'
    expect_lines "$(ftp_line deny password-as-token)"
    expect_tokens
}
