# shellcheck shell=bash
# The steps of a test: a user types a command and answers its prompts; then output, log line and requests are compared
# with what is expected.

faults=() keyboard=/dev/null
# How long a command of `run_as` may take.
run_seconds=60

# `answers PASSWORD TOKEN…`: for the prompts of the next command. Where none is left, the prompt is closed.
answers() {
    printf '%s' "${1:+$1$'\n'}" >"$terminal/passwords"
    shift
    printf '%s\n' "$@" | sed '/^$/d' >"$terminal/tokens"
}

# `types_ahead LINE…`: the same for a command that reads standard input instead of calling askpass.
types_ahead() {
    printf '%s\n' "$@" >"$terminal/keyboard"
    keyboard=$terminal/keyboard
}

# `run_as ACCOUNT COMMAND…`: runs it as that account without a terminal, so that every prompt goes to askpass or, for
# commands that do not use askpass, is answered from the file named by $keyboard.
# Sets status and elapsed; $terminal/dialogue is what was asked and answered, $terminal/output the output.
run_as() {
    local account=$1
    shift
    start_recording
    printf '%s$ %s\n' "$account" "$*" >"$terminal/command"
    chown -R "$account:" "$terminal"
    status=0 elapsed=$(milliseconds)
    setsid --wait setpriv --reuid="$account" --regid="$account" --init-groups --reset-env \
        env -C "/home/$account" SSH_ASKPASS="$sandbox/scripts/lib/askpass" SSH_ASKPASS_REQUIRE=force \
        SUDO_ASKPASS="$sandbox/scripts/lib/askpass" timeout "$run_seconds" "$@" <"$keyboard" >"$terminal/output" 2>&1 || status=$?
    elapsed=$(($(milliseconds) - elapsed))
}

# Runs a command, usually as root, and keeps its output for `expect_captured` and for messages about a fault.
capture() { "$@" </dev/null >"$terminal/captured" 2>&1; }

# `run_ivaltctl STATUS ARGUMENT…`: it must end with this exit status.
run_ivaltctl() { run_captured "$1" ivaltctl "${@:2}"; }

# `run_captured STATUS COMMAND…`
run_captured() {
    local ending=0
    capture "${@:2}" || ending=$?
    [[ $ending -eq $1 ]] || fault "${*:2} ended with $ending instead of $1: $(cat "$terminal/captured")"
}

milliseconds() { date +%s%3N; }

# Log lines and requests are counted from here.
start_recording() {
    wait_for 'the log' log_is_written
    log_mark=$(count_lines "$log") request_mark=$(count_lines "$requests")
    : >"$terminal/command"
    : >"$terminal/dialogue"
    : >"$terminal/output"
}

# The last command, its prompts and its output.
show_terminal() {
    local name
    for name in command dialogue output; do show_file "$terminal/$name"; done
}

# All that was logged since, also what was sent a moment ago.
new_log() {
    wait_for 'the log' log_is_written
    tail -n "+$((log_mark + 1))" "$log"
}

# The sink (`start_log`) sleeps as soon as nothing waits at its socket; where it does not run, nothing is written.
log_is_written() {
    local state=S
    ! read -r _ _ state _ <"/proc/$(cat "$sandbox/log.pid" 2>/dev/null)/stat" || [[ $state != R ]]
} 2>/dev/null

count_lines() { if [[ -e $1 ]]; then wc -l <"$1"; else echo 0; fi; }

# The module's log lines since the command began, without their priority and time stamp.
log_lines() { new_log | sed -n 's/^<[0-9]*>[A-Z][a-z]* *[0-9]* [0-9:]* \(.*pam_ivalt(\)/\1/p'; }
new_requests() { [[ ! -e $requests ]] || tail -n "+$((request_mark + 1))" "$requests"; }

fault() { faults+=("$*"); }

# The command ran: it printed exactly this.
expect_let_in() {
    [[ $status -eq 0 ]] || fault "exit status $status instead of 0"
    [[ $(cat "$terminal/output") == "$1" ]] || fault "printed '$(cat "$terminal/output")' instead of '$1'"
}

# `expect_refused STATUS`: the command, always `whoami`, did not run: no line is an account's name, or ends with one
# after a prompt (what is typed at the prompts of `sudo -S` and `su` is not echoed).
expect_refused() {
    [[ $status -eq $1 ]] || fault "exit status $status instead of $1"
    ! grep -qE '(^|: )(root|alice|bob|carol|ghost)\r?$' "$terminal/output" || fault 'the command ran'
}

# In the output or in a prompt.
expect_seen() { grep -qF -- "$1" "$terminal/output" "$terminal/dialogue" || fault "the user did not see '$1'"; }

expect_captured() { grep -qF -- "$1" "$terminal/captured" || fault "not printed: '$1', but: $(cat "$terminal/captured")"; }
expect_not_captured() { ! grep -qF -- "$1" "$terminal/captured" || fault "printed '$1': $(cat "$terminal/captured")"; }

# `expect_log OUTCOME REASON SERVICE USER`: exactly one line of the module, with these values.
expect_log() {
    local wanted="outcome=$1 reason=$2 user=$4 service=$3 " logged=''
    wait_for_log
    [[ $(grep -c . <<<"$logged") -eq 1 ]] || fault "$(grep -c . <<<"$logged") log lines of the module instead of one"
    grep -qF "pam_ivalt($3:auth): $wanted" <<<"$logged" || fault "no log line with '$wanted'"
}

# The fields of that line, from "outcome=" to the end, match this expression.
expect_the_line() { grep -qxE "$1" <<<"$(log_lines | sed 's/.*:auth): //')" || fault "the log line is not: $1"; }

# Sets logged. The sink writes a moment after the module has sent.
wait_for_log() {
    local _
    for _ in {1..200}; do
        logged=$(log_lines)
        [[ -z $logged ]] || return 0
        sleep 0.05
    done
}

expect_no_log() {
    sleep 0.3
    [[ -z $(log_lines) ]] || fault "the module was asked: $(log_lines)"
}
expect_requests() { [[ $(new_requests | wc -l) -eq $1 ]] || fault "$(new_requests | wc -l) requests reached iVALT instead of $1"; }
expect_dialogue() { [[ $(cat "$terminal/dialogue") == "$1" ]] || fault "asked '$(cat "$terminal/dialogue")' instead of '$1'"; }

# Exactly one request: this token, for alice, in the form that iVALT documents.
expect_the_request() {
    local path='/admin/public/api/validate/global/rest/auth' request
    expect_requests 1
    request=$(new_requests)
    [[ $request == *"\"path\":\"$path\""* ]] || fault "the request did not go to $path"
    [[ $request == *'"x-api-key":"test-api-key"'* ]] || fault 'the request has no API key'
    [[ $request == *"\"body\":{\"auth_token\":\"$1\",\"mobile\":\"$alice_mobile\"}"* ]] ||
        fault "the request does not carry $1 and alice's mobile, and nothing else"
}

expect_within() { [[ $elapsed -lt $(($1 * 1000)) ]] || fault "took $elapsed ms"; }
