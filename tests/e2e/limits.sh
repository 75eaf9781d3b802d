# shellcheck shell=bash
# Callers of sudo and su set limits, close descriptors and choose the working directory. Whatever they take away, nobody
# gets in without iVALT's approval.

limits_of_memory_under_su_case() {
    local kib
    # From too little to load su, then too little to load the module or to run a call, up to enough.
    for kib in 1000 5000 {7000..11500..500} 16000 32000; do
        limited_su "ulimit -S -v $kib"
    done
    [[ $let_in -gt 0 ]] || fault 'never let in, even with enough memory'
    [[ $refused -gt 0 ]] || fault 'let in with one megabyte'
}

limits_of_the_stack_under_su_case() {
    local kib
    for kib in 64 200 300 1024; do
        limited_su "ulimit -S -s $kib"
    done
    [[ $let_in -gt 0 && $refused -gt 0 ]] || fault "$let_in let in, $refused refused"
}

limits_of_descriptors_under_su_case() {
    local number
    for number in {4..8} 20; do
        limited_su "ulimit -S -n $number"
    done
    [[ $let_in -gt 0 && $refused -gt 0 ]] || fault "$let_in let in, $refused refused"
}

limits_that_do_not_matter_under_su_case() {
    local limit
    # The kernel counts processes by user id, those of other sandboxes and other runs too: beside them, `ulimit -u 0` would
    # keep alice's shell from starting, after she was let in.
    sed -i "s/^alice:x:1001:/alice:x:$((100000 + SRANDOM % 900000)):/" /etc/passwd
    for limit in 'ulimit -S -l 0' 'ulimit -S -u 0' 'ulimit -S -t 10' 'export RUST_MIN_STACK=18446744073709551615' \
        'mkdir -p gone && cd gone && rmdir ../gone' 'umask 0777'; do
        limited_su "$limit"
        [[ $refused -eq 0 ]] || fault "refused after '$limit'"
    done
}

# sudo lifts memory limits for itself (unlimit_sudo), so these would deny under su and do not here.
limits_and_a_lost_folder_under_sudo_case() {
    answers "$alice_password" accept-1
    run_as alice bash -c 'mkdir -p gone; cd gone; rmdir ../gone; ulimit -S -l 0; ulimit -S -s 200; ulimit -S -v 9000
        export RUST_MIN_STACK=18446744073709551615; exec sudo -A sh -c "echo in"'
    expect_seen in
    expect_log allow verified sudo alice
    expect_requests 1
}

limits_closed_descriptors_under_sudo_case() {
    answers "$alice_password" accept-1
    run_as alice bash -c 'exec sudo -A touch /home/alice/was-here 0<&- 1>&- 2>&-'
    [[ $status -eq 0 && -e /home/alice/was-here ]] || fault 'the command did not run'
    expect_log allow verified sudo alice
    expect_requests 1
}

# With standard input closed, su cannot ask. The module must be what denies, so it is the only one of the stack: with
# pam_unix above it, su would end at the password.
limits_closed_descriptors_under_su_case() {
    types_ahead "$alice_password" accept-1
    run_as bob bash -c 'exec su alice -c "touch /home/alice/was-here" 1>&- 2>&-'
    [[ -e /home/alice/was-here ]] || fault 'the command did not run'
    expect_log allow verified su alice
    expect_requests 1
    rm /home/alice/was-here
    pam_service su 'auth required pam_ivalt.so nodelay'
    run_as bob bash -c 'exec su alice -c "touch /home/alice/was-here" 0<&- 1>&- 2>&-'
    [[ $status -eq 1 && ! -e /home/alice/was-here ]] || fault "status $status, or the command ran"
    expect_log deny unanswered su alice
    expect_requests 0
}

let_in=0 refused=0

# `limited_su COMMAND`: su after this command. Either let in with iVALT's approval or refused, and never a crash.
limited_su() {
    local lines
    types_ahead "$alice_password" accept-1
    run_as bob bash -c "$1; exec su alice -c 'echo in'"
    [[ $status -lt 128 ]] || fault "$1: ended with $status"
    if grep -qE '(^|: )in$' "$terminal/output"; then
        let_in=$((let_in + 1))
        wait_for_log
        [[ $(log_lines) == *'outcome=allow reason=verified'* && $(new_requests | wc -l) -eq 1 ]] ||
            fault "$1: let in without iVALT's approval"
    else
        refused=$((refused + 1))
        sleep 0.05
        lines=$(log_lines)
        [[ $status -ne 0 ]] || fault "$1: status 0"
        [[ -z $lines || $lines == *'outcome=deny reason='@(internal|misconfigured|unavailable)* ]] || fault "$1: $lines"
    fi
}
