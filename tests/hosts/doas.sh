# shellcheck shell=bash
# The real doas, which asks at the terminal.

doas_at_terminal() {
    echo 'permit alice' >/etc/doas.conf
    pam_lines doas '@include common-auth' 'auth required pam_ivalt.so nodelay' '@include common-account'
    at_terminal_of alice 'doas whoami'
    types 'password:' "$alice_password"
}

doas_accepted_token_case() {
    doas_at_terminal
    types 'iVALT token:' accept-1
    wait_for 'the end of the command' on_screen 'status 0'
    console_closes
    grep -q $'^root\r$' "$terminal/output" || fault 'the command did not run'
    expect_lines "$(line doas allow verified tty=pts/0 ruser=alice http=200)"
    expect_tokens accept-1
}

doas_refused_token_case() {
    doas_at_terminal
    types 'iVALT token:' reject-1
    types 'refused the token. iVALT token:' reject-2
    types 'reject-2.*refused the token. iVALT token:' reject-3
    wait_for 'the end of the command' on_screen 'status 1'
    console_closes
    expect_lines "$(line doas deny token-rejected tty=pts/0 ruser=alice "${refused[@]}" attempts=3)"
    expect_tokens reject-1 reject-2 reject-3
}
