# shellcheck shell=bash
# The real login, as getty starts it on a console: the first process of a terminal, which `script` provides.

login_accepted_token_case() {
    at_console alice
    types 'Password:' "$alice_password"
    types 'iVALT token:' accept-1
    types '[$] ' 'whoami; exit'
    console_ends
    grep -q $'alice\r$' "$terminal/output" || fault 'no shell'
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
    ! grep -q '[$] ' "$terminal/output" || fault 'got a shell'
}

at_console() { at_terminal "exec login $1"; }

at_terminal() {
    start_recording
    rm -f "$terminal/keys"
    mkfifo "$terminal/keys"
    setsid script --quiet --flush --return --command "$1" /dev/null <"$terminal/keys" >"$terminal/output" 2>&1 &
    console=$!
    echo "$console" >"$sandbox/console"
    exec 9>"$terminal/keys"
}

# `types PROMPT LINE`: types a line once the prompt is on the screen; login discards what is typed before.
types() {
    wait_for "'$1' on the console" on_screen "$1"
    printf '%s\n' "$2" >&9
}

on_screen() { grep -q -- "$1" <<<"$(tr -d '\r' <"$terminal/output" | tr '\n' ' ')"; }

console_ends() {
    wait_for 'the end of the console' process_gone "$console"
    exec 9>&-
    rm "$terminal/keys"
}

console_closes() {
    stop_console
    console_ends
}

stop_console() {
    [[ -e $sandbox/console ]] || return 0
    kill "$(cat "$sandbox/console")" 2>/dev/null || true
    rm "$sandbox/console"
}
