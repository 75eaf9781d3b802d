# shellcheck shell=bash
# The real su: it asks for the token of the target account.

su_accepted_token_case() {
    types_ahead "$alice_password" accept-1
    run_as bob su alice -c whoami
    expect_seen alice
    [[ $status -eq 0 ]] || fault "exit status $status"
    expect_log allow verified su alice
    expect_the_request accept-1
}

su_refused_three_times_case() {
    types_ahead "$alice_password" reject-1 reject-2 reject-3 accept-4
    run_as bob su alice -c whoami
    expect_refused 1
    expect_log deny token-rejected su alice
    expect_requests 3
}

su_not_enrolled_case() {
    types_ahead "$bob_password" accept-1
    run_as alice su bob -c whoami
    expect_refused 1
    expect_log deny not-enrolled su bob
    expect_requests 0
}

su_unreachable_case() {
    stop_ivalt
    types_ahead "$alice_password" accept-1
    run_as bob su alice -c whoami
    expect_refused 1
    expect_log deny unavailable su alice
}

su_end_of_input_case() {
    types_ahead "$alice_password"
    run_as bob su alice -c whoami
    expect_refused 1
    expect_log deny unanswered su alice
    expect_requests 0
}
