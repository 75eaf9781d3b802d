# shellcheck shell=bash
# The real login, as getty starts it on a console: first process of a terminal, which `script` lends it.

login_accepted_token_case() {
    at_console alice
    types 'Password:' "$alice_password"
    types 'iVALT token:' accept-1
    types '[$] ' 'whoami; exit'
    console_ends
    grep -q $'alice\r$' "$talk/seen" || fault 'no shell'
    expect_log allow verified login alice
    expect_the_request accept-1
}

login_refused_three_times_case() {
    at_console alice
    types 'Password:' "$alice_password"
    types 'iVALT token:' reject-1
    types 'refused the token. iVALT token:' reject-2
    types 'reject-2.*refused the token. iVALT token:' reject-3
    wait_for_log
    console_closes
    expect_log deny token-rejected login alice
    expect_requests 3
    ! grep -q '[$] ' "$talk/seen" || fault 'got a shell'
}

at_console() { at_terminal "exec login $1"; }

at_terminal() {
    begin
    rm -f "$talk/keys"
    mkfifo "$talk/keys"
    setsid script --quiet --flush --return --command "$1" /dev/null <"$talk/keys" >"$talk/seen" 2>&1 &
    console=$!
    echo "$console" >"$stage/console"
    exec 9>"$talk/keys"
}

# Types a line when the prompt is on the screen, as a person would; what is typed ahead, login throws away.
types() {
    wait_for "'$1' on the console" on_screen "$1"
    printf '%s\n' "$2" >&9
}

on_screen() { grep -q -- "$1" <<<"$(tr -d '\r' <"$talk/seen" | tr '\n' ' ')"; }

console_ends() {
    wait_for 'the end of the console' process_gone "$console"
    exec 9>&-
    rm "$talk/keys"
}

console_closes() {
    no_console
    console_ends
}

no_console() {
    [[ -e $stage/console ]] || return 0
    kill "$(cat "$stage/console")" 2>/dev/null || true
    rm "$stage/console"
}
