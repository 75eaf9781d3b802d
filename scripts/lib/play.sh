# shellcheck shell=bash
# How a play goes: somebody types a command and answers its prompts, then what happened is compared with what was told.

faults=() keyboard=/dev/null

# Answers for the next command: `answers PASSWORD TOKEN…`. Empty: no such answer, the person closes the prompt.
answers() {
    printf '%s' "${1:+$1$'\n'}" >"$talk/passwords"
    shift
    printf '%s\n' "$@" | sed '/^$/d' >"$talk/tokens"
}

# The same for a command that reads standard input instead of asking through askpass.
typed() {
    printf '%s\n' "$@" >"$talk/keyboard"
    keyboard=$talk/keyboard
}

# `act ACCOUNT COMMAND…` runs it as that account, away from any terminal, so that every prompt goes to askpass
# or, for commands that know no askpass, is answered from the file named by $keyboard.
# Leaves status, $talk/dialogue (what was asked and answered) and $talk/seen (what was printed).
act() {
    local account=$1
    shift
    begin
    chown -R "$account:" "$talk"
    status=0 elapsed=$(milliseconds)
    setsid --wait setpriv --reuid="$account" --regid="$account" --init-groups --reset-env \
        env -C "/home/$account" SSH_ASKPASS="$stage/scripts/lib/askpass" SSH_ASKPASS_REQUIRE=force \
        SUDO_ASKPASS="$stage/scripts/lib/askpass" timeout 60 "$@" <"$keyboard" >"$talk/seen" 2>&1 || status=$?
    elapsed=$(($(milliseconds) - elapsed))
}

milliseconds() { date +%s%3N; }

# What is counted, is counted from here.
begin() {
    log_mark=$(count_lines "$log") request_mark=$(count_lines "$requests")
    : >"$talk/dialogue"
    : >"$talk/seen"
}

count_lines() { if [[ -e $1 ]]; then wc -l <"$1"; else echo 0; fi; }

# The module's log lines since the command began. The time stamp and priority in front are left out.
log_lines() { tail -n "+$((log_mark + 1))" "$log" | sed -n 's/^<[0-9]*>[A-Z][a-z]* *[0-9]* [0-9:]* \(.*pam_ivalt(\)/\1/p'; }
new_requests() { [[ ! -e $requests ]] || tail -n "+$((request_mark + 1))" "$requests"; }

fault() { faults+=("$*"); }

# The command ran: it printed this, to the letter.
expect_let_in() {
    [[ $status -eq 0 ]] || fault "exit status $status instead of 0"
    [[ $(cat "$talk/seen") == "$1" ]] || fault "printed '$(cat "$talk/seen")' instead of '$1'"
}

# The command, always `whoami`, did not run: the client said so, and no line is an account's name, nor ends with one
# after a prompt (what is typed at prompts of `sudo -S` and `su` is not shown).
expect_refused() {
    [[ $status -eq $1 ]] || fault "exit status $status instead of $1"
    ! grep -qE '(^|: )(root|alice|bob|carol|ghost)\r?$' "$talk/seen" || fault 'the command ran'
}

expect_seen() { grep -qF -- "$1" "$talk/seen" "$talk/dialogue" || fault "nobody saw '$1'"; }

# `expect_log OUTCOME REASON SERVICE USER`: exactly one line of the module, and it says this.
expect_log() {
    local wanted="outcome=$1 reason=$2 user=$4 service=$3 "
    wait_for_log
    [[ $(log_lines | wc -l) -eq 1 ]] || fault "$(log_lines | wc -l) log lines of the module instead of one"
    grep -qF "pam_ivalt($3:auth): $wanted" <<<"$(log_lines)" || fault "no log line with '$wanted'"
}

# The fields of that line, from "outcome=" on, match this whole.
expect_the_line() { grep -qxE "$1" <<<"$(log_lines | sed 's/.*:auth): //')" || fault "the log line is not: $1"; }

# The sink writes a moment after the module sent.
wait_for_log() {
    local _
    for _ in {1..200}; do
        [[ -z $(log_lines) ]] || return 0
        sleep 0.05
    done
}

expect_no_log() {
    sleep 0.3
    [[ -z $(log_lines) ]] || fault "the module was asked: $(log_lines)"
}
expect_requests() { [[ $(new_requests | wc -l) -eq $1 ]] || fault "$(new_requests | wc -l) requests reached iVALT instead of $1"; }
expect_dialogue() { [[ $(cat "$talk/dialogue") == "$1" ]] || fault "asked '$(cat "$talk/dialogue")' instead of '$1'"; }

# Exactly one request: this token, for alice, as iVALT documents it.
expect_the_request() {
    local path='/admin/public/api/validate/global/rest/auth' request
    expect_requests 1
    request=$(new_requests)
    [[ $request == *"\"path\":\"$path\""* ]] || fault "the request did not go to $path"
    [[ $request == *'"x-api-key":"test-api-key"'* ]] || fault 'the request has no API key'
    [[ $request == *"\"body\":{\"auth_token\":\"$1\",\"mobile\":\"$alice_mobile\"}"* ]] ||
        fault "the request does not carry $1 and alice's mobile, and these alone"
}

expect_within() { [[ $elapsed -lt $(($1 * 1000)) ]] || fault "took $elapsed ms"; }
