# shellcheck shell=bash
# Sixty-four people at once, each with an account, a mobile and a token of his own; three of four are accepted. Whoever
# got another's verdict would show it: the number is in his name, mobile and token and in what he prints.

crowd_gathers() {
    local number
    for number in $(seq -w 64); do
        echo "crowd$number:x:$((2000 + ${number#0})):2000::/home:/bin/sh" >>/etc/passwd
        echo "crowd$number:*:19000:0:99999:7:::" >>/etc/shadow
        echo "crowd$number = \"+49151000000$number\"" >>/etc/ivalt/users.toml
    done
    echo 'crowd:x:2000:' >>/etc/group
    echo '%crowd ALL=(ALL:ALL) ALL' >>/etc/sudoers
    ivalt_settings 'timeout_seconds = 30' '[token]' 'attempts = 1'
    # `act` begins at home, and calls root's as all others.
    mkdir -p "$talk/crowd" /home/root
    rm -f "$talk"/crowd/*
}

load_64_ssh_logins_at_once_case() {
    crowd_gathers
    token_alone 'MaxStartups 200'
    act visitor "$stage/tests/e2e/crowd" ssh
    expect_each_his_own sshd
    expect_within 50
}

load_64_sudo_at_once_case() {
    crowd_gathers
    pam_service sudo 'auth required pam_ivalt.so nodelay'
    act root "$stage/tests/e2e/crowd" sudo
    expect_each_his_own sudo
    expect_within 50
}

# A full log keeps each of them a second at most, where only the module logs: sudo and pam_unix would wait for ever.
load_64_sudo_at_once_with_a_log_that_nobody_reads_case() {
    crowd_gathers
    echo 'Defaults !syslog' >>/etc/sudoers
    printf '%s\n' 'auth required pam_ivalt.so nodelay' 'account required pam_permit.so' \
        'session required pam_permit.so' >/etc/pam.d/sudo
    kill -STOP "$(cat "$stage/log.pid")"
    act root "$stage/tests/e2e/crowd" sudo
    kill -CONT "$(cat "$stage/log.pid")"
    expect_verdicts
    expect_requests 64
    expect_within 20
}

# The module's lines are 64, one of each, and so are the requests.
expect_each_his_own() {
    local service=$1 number line
    expect_verdicts
    wait_for_lines 64
    log_lines >"$stage/lines"
    new_requests >"$stage/crowd-requests"
    [[ $(wc -l <"$stage/lines") -eq 64 ]] || fault "$(wc -l <"$stage/lines") log lines instead of 64"
    expect_requests 64
    for number in $(seq -w 64); do
        line="allow reason=verified user=crowd$number service=$service .* mobile=\*\*\*00$number http=200 code= .* attempts=1 "
        accepts "$number" || line="deny reason=token-rejected user=crowd$number service=$service .* mobile=\*\*\*00$number http=403 code=AUTHENTICATION_FAILED .* attempts=1 "
        [[ $(grep -c "outcome=$line" "$stage/lines") -eq 1 ]] || fault "not one log line of crowd$number as expected"
        line="\"body\":{\"auth_token\":\"$(token_of "$number")\",\"mobile\":\"+49151000000$number\"}"
        [[ $(grep -cF "$line" "$stage/crowd-requests") -eq 1 ]] || fault "not one request of crowd$number"
    done
}

# Each saw what his own token is worth.
expect_verdicts() {
    local number
    for number in $(seq -w 64); do
        if accepts "$number"; then
            [[ $(cat "$talk/crowd/$number") == "in-$number" ]] || fault "crowd$number saw: $(cat "$talk/crowd/$number")"
        else
            ! grep -q '^in-' "$talk/crowd/$number" || fault "crowd$number, refused, is in"
        fi
    done
}

accepts() { ((10#$1 % 4)); }
token_of() { if accepts "$1"; then echo "accept-$1"; else echo "reject-$1"; fi; }

# The sink may be a little behind.
wait_for_lines() {
    local _
    for _ in {1..100}; do
        [[ $(log_lines | wc -l) -lt $1 ]] || return 0
        sleep 0.05
    done
}
