# shellcheck shell=bash
# Sixty-four users at once, each with an account, mobile and token of their own; three of four are accepted. A result
# given to the wrong user would show: the number is in name, mobile, token and output.

add_64_users() {
    local number
    for number in $(seq -w 64); do
        echo "user$number:x:$((2000 + ${number#0})):2000::/home:/bin/sh" >>/etc/passwd
        echo "user$number:*:19000:0:99999:7:::" >>/etc/shadow
        echo "user$number = \"+49151000000$number\"" >>/etc/ivalt/users.toml
    done
    echo 'concurrent:x:2000:' >>/etc/group
    echo '%concurrent ALL=(ALL:ALL) ALL' >>/etc/sudoers
    ivalt_settings 'timeout_seconds = 30' '[token]' 'attempts = 1'
    # `run_as` starts in /home/ACCOUNT, for root too.
    mkdir -p "$terminal/concurrent" /home/root
    rm -f "$terminal"/concurrent/*
}

concurrent_64_ssh_logins_case() {
    add_64_users
    token_alone 'MaxStartups 200'
    run_as visitor "$sandbox/tests/e2e/concurrent-logins" ssh
    expect_verdicts 255 'Permission denied (keyboard-interactive).'
    expect_logs_and_requests sshd
    expect_within 50
}

concurrent_64_sudo_case() {
    add_64_users
    pam_service sudo 'auth required pam_ivalt.so nodelay'
    run_as root "$sandbox/tests/e2e/concurrent-logins" sudo
    expect_verdicts 1 'sudo: 1 incorrect password attempt'
    expect_logs_and_requests sudo
    expect_within 50
}

# A full log delays each by a second at most, if only the module logs: sudo and pam_unix would wait forever.
concurrent_64_sudo_with_a_log_that_nobody_reads_case() {
    add_64_users
    echo 'Defaults !syslog' >>/etc/sudoers
    printf '%s\n' 'auth required pam_ivalt.so nodelay' 'account required pam_permit.so' \
        'session required pam_permit.so' >/etc/pam.d/sudo
    kill -STOP "$(cat "$sandbox/log.pid")"
    run_as root "$sandbox/tests/e2e/concurrent-logins" sudo
    kill -CONT "$(cat "$sandbox/log.pid")"
    expect_verdicts 1 'sudo: 1 incorrect password attempt'
    expect_requests 64
    expect_within 20
}

# One log line and one request of each user, and no others.
expect_logs_and_requests() {
    local service=$1 number line
    wait_for_lines 64
    log_lines >"$sandbox/lines"
    new_requests >"$sandbox/requests"
    [[ $(wc -l <"$sandbox/lines") -eq 64 ]] || fault "$(wc -l <"$sandbox/lines") log lines instead of 64"
    expect_requests 64
    for number in $(seq -w 64); do
        line="allow reason=verified user=user$number service=$service .* mobile=\*\*\*00$number http=200 code= .* attempts=1 "
        accepts "$number" || line="deny reason=token-rejected user=user$number service=$service .* mobile=\*\*\*00$number http=403 code=AUTHENTICATION_FAILED .* attempts=1 "
        [[ $(grep -c "outcome=$line" "$sandbox/lines") -eq 1 ]] || fault "not one log line of user$number as expected"
        line="\"body\":{\"auth_token\":\"$(token_of "$number")\",\"mobile\":\"+49151000000$number\"}"
        [[ $(grep -cF "$line" "$sandbox/requests") -eq 1 ]] || fault "not one request of user$number"
    done
}

# `expect_verdicts STATUS LINE`: each user was let in by an accepted token, or refused with this exit status and line.
# Without the line, a login that never came to a verdict would count as refused.
expect_verdicts() {
    local number seen
    for number in $(seq -w 64); do
        seen=$(tr -d '\r' <"$terminal/concurrent/$number")
        if accepts "$number"; then
            [[ $seen == "in-$number"$'\nstatus 0' ]] || fault "user$number, accepted, saw: $seen"
        else
            [[ $seen == *"$2"$'\n'"status $1" && $seen != *in-* ]] || fault "user$number, refused, saw: $seen"
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
