# shellcheck shell=bash
# The real sshd and the real ssh client.

password_and_token() { sshd_password_and_ivalt && remove_delays; }
key_and_token() { sshd_key_and_ivalt && remove_delays; }
key_or_password() { sshd_key_or_password_and_ivalt && remove_delays; }

# PAM asks for the token only, so that every answer the client gives reaches the module.
token_alone() {
    pam_service sshd 'auth required pam_ivalt.so nodelay'
    sshd_with 'PasswordAuthentication no' 'AuthenticationMethods keyboard-interactive' "$@"
}

sshd_password_and_accepted_token_case() {
    password_and_token
    answers "$alice_password" accept-1
    run_as visitor ssh alice@localhost whoami
    expect_let_in alice
    expect_dialogue '(alice@localhost) Password: alice-unix-password
(alice@localhost) iVALT token: accept-1'
    expect_log allow verified sshd alice
    expect_the_request accept-1
    expect_the_line 'outcome=allow reason=verified user=alice service=sshd rhost=127.0.0.1 tty=ssh ruser= mobile=\*\*\*4746 http=200 code= detail= cause= attempts=1 elapsed_ms=[0-9]+'
}

sshd_an_accepted_token_does_not_replace_the_password_case() {
    password_and_token
    pam_service sshd 'auth required pam_unix.so nodelay' 'auth required pam_ivalt.so nodelay'
    answers 'not-the-password' accept-1
    run_as visitor ssh alice@localhost whoami
    expect_refused 255
    expect_log allow verified sshd alice
}

sshd_refused_three_times_case() {
    password_and_token
    answers "$alice_password" reject-1 reject-2 reject-3 accept-4
    run_as visitor ssh alice@localhost whoami
    expect_refused 255
    expect_dialogue '(alice@localhost) Password: alice-unix-password
(alice@localhost) iVALT token: reject-1
(alice@localhost) iVALT refused the token. iVALT token: reject-2
(alice@localhost) iVALT refused the token. iVALT token: reject-3'
    expect_log deny token-rejected sshd alice
    expect_the_line '.* http=403 code=AUTHENTICATION_FAILED .* attempts=3 elapsed_ms=[0-9]+'
    expect_requests 3
}

sshd_second_attempt_accepted_case() {
    password_and_token
    answers "$alice_password" reject-1 accept-2
    run_as visitor ssh alice@localhost whoami
    expect_let_in alice
    expect_log allow verified sshd alice
    expect_the_line '.* attempts=2 elapsed_ms=[0-9]+'
    expect_requests 2
}

sshd_user_learns_which_factor_failed_case() {
    password_and_token
    answers "$alice_password" geofence
    run_as visitor ssh alice@localhost whoami
    expect_refused 255
    expect_seen 'iVALT refused the token: outside the allowed area.'
}

sshd_no_answer_case() {
    password_and_token
    answers "$alice_password" ''
    run_as visitor ssh alice@localhost whoami
    expect_refused 255
    expect_log deny unanswered sshd alice
    expect_requests 0
}

sshd_malformed_token_case() {
    token_alone
    answers '' 'two words' "$(printf 'x%.0s' {1..600})" 'tøken'
    run_as visitor ssh alice@localhost whoami
    expect_refused 255
    expect_log deny malformed-token sshd alice
    expect_requests 0
}

sshd_password_typed_as_token_case() {
    password_and_token
    answers "$alice_password" "$alice_password" accept-1
    run_as visitor ssh alice@localhost whoami
    expect_refused 255
    expect_log deny password-as-token sshd alice
    expect_requests 0
}

sshd_password_method_posts_nothing_case() {
    sshd_with 'PasswordAuthentication yes' 'KbdInteractiveAuthentication no'
    answers "$alice_password" accept-1
    run_as visitor ssh -o PreferredAuthentications=password alice@localhost whoami
    expect_refused 255
    expect_dialogue "alice@localhost's password: alice-unix-password"
    expect_log deny unanswered sshd alice
    expect_requests 0
}

sshd_password_method_without_another_module_posts_nothing_case() {
    pam_service sshd 'auth required pam_ivalt.so nodelay'
    sshd_with 'PasswordAuthentication yes' 'KbdInteractiveAuthentication no'
    answers "$alice_password" accept-1
    run_as visitor ssh -o PreferredAuthentications=password alice@localhost whoami
    expect_refused 255
    expect_log deny unanswered sshd alice
    expect_requests 0
}

# With echo off sshd answers the prompt with the password; it is then the same as PAM_AUTHTOK.
sshd_password_method_with_hidden_prompt_posts_nothing_case() {
    ivalt_settings '[token]' 'echo = false'
    sshd_with 'PasswordAuthentication yes' 'KbdInteractiveAuthentication no'
    answers "$alice_password" accept-1
    run_as visitor ssh -o PreferredAuthentications=password alice@localhost whoami
    expect_refused 255
    expect_log deny password-as-token sshd alice
    expect_requests 0
}

# A client that falls back to the `password` method after three refusals.
sshd_password_method_after_refusals_posts_nothing_case() {
    sshd_with 'PasswordAuthentication yes' 'KbdInteractiveAuthentication yes'
    answers "$alice_password"$'\n'"$alice_password" reject-1 reject-2 reject-3
    run_as visitor ssh -o PreferredAuthentications=keyboard-interactive,password alice@localhost whoami
    expect_refused 255
    expect_requests 3
    [[ $(new_requests) != *"$alice_password"* ]] || fault 'the UNIX password was sent to iVALT'
}

sshd_key_and_accepted_token_case() {
    key_and_token
    answers '' accept-1
    run_as visitor ssh -i visitor.key alice@localhost whoami
    expect_let_in alice
    expect_dialogue '(alice@localhost) iVALT token: accept-1'
    expect_log allow verified sshd alice
    expect_the_request accept-1
}

sshd_key_and_refused_token_case() {
    key_and_token
    answers '' reject-1 reject-2 reject-3
    run_as visitor ssh -i visitor.key alice@localhost whoami
    expect_refused 255
    expect_log deny token-rejected sshd alice
    expect_requests 3
}

sshd_key_alone_case() {
    key_and_token
    answers '' accept-1
    run_as visitor ssh -i visitor.key -o BatchMode=yes alice@localhost whoami
    expect_refused 255
    expect_seen 'Permission denied (keyboard-interactive)'
    expect_no_log
    expect_requests 0
}

sshd_token_without_the_key_case() {
    key_and_token
    answers "$alice_password" accept-1
    run_as visitor ssh alice@localhost whoami
    expect_refused 255
    expect_no_log
    expect_requests 0
}

sshd_key_or_password_with_the_key_case() {
    key_or_password
    answers '' accept-1
    run_as visitor ssh -i visitor.key alice@localhost whoami
    expect_let_in alice
    expect_dialogue '(alice@localhost) iVALT token: accept-1'
    expect_log allow verified sshd alice
}

sshd_key_or_password_with_the_password_case() {
    key_or_password
    answers "$alice_password" accept-1
    run_as visitor ssh alice@localhost whoami
    expect_let_in alice
    expect_seen 'Password: alice-unix-password'
    expect_log allow verified sshd alice
}

sshd_key_or_password_with_neither_case() {
    key_or_password
    answers 'not-the-password' accept-1
    run_as visitor ssh alice@localhost whoami
    expect_refused 255
    expect_dialogue '(alice@localhost) Password: not-the-password'
    expect_no_log
    expect_requests 0
}

sshd_key_or_password_with_the_key_and_no_token_case() {
    key_or_password
    answers "$alice_password" reject-1 reject-2 reject-3
    run_as visitor ssh -i visitor.key alice@localhost whoami
    expect_refused 255
    expect_dialogue '(alice@localhost) iVALT token: reject-1
(alice@localhost) iVALT refused the token. iVALT token: reject-2
(alice@localhost) iVALT refused the token. iVALT token: reject-3'
    expect_log deny token-rejected sshd alice
    expect_requests 3
}

# Whoever knows no password sees the same of every account: as many prompts, in the same words, and the same end. The
# tokens would be accepted, if anybody asked for them.
sshd_without_the_password_every_account_looks_alike_case() {
    key_or_password
    without_the_password alice
    mv "$sandbox/seen" "$sandbox/seen-of-alice"
    [[ $(grep -c 'Password: ' "$sandbox/seen-of-alice") -gt 3 ]] || fault "not asked: $(cat "$sandbox/seen-of-alice")"
    looks_like_alice bob 'not enrolled'
    looks_like_alice carol disabled
    looks_like_alice ghost 'enrolled, no account'
    looks_like_alice mallory 'no account'
    echo 'bob = "not a number"' >>/etc/ivalt/users.toml
    looks_like_alice bob 'bad entry'
    sshd_with "${key_or_password_settings[@]}" 'DenyUsers alice' 'PermitRootLogin no'
    looks_like_alice alice barred
    looks_like_alice root 'enrolled, barred'
}

# `looks_like_alice ACCOUNT WHAT`
looks_like_alice() {
    without_the_password "$1"
    diff "$sandbox/seen-of-alice" "$sandbox/seen" >"$sandbox/difference" ||
        fault "$2: $(tr '\n' '|' <"$sandbox/difference")"
}

# `without_the_password ACCOUNT`: until sshd hangs up. What was seen, without the name, is in $sandbox/seen.
without_the_password() {
    local wrong
    wrong=$(printf 'wrong-%s\n' {1..9})
    answers "$wrong" accept-{1..9}
    run_as visitor ssh -o NumberOfPasswordPrompts=9 "$1@localhost" whoami
    expect_refused 255
    expect_no_log
    expect_requests 0
    sed "s/$1@/ACCOUNT@/; s/user $1 /user ACCOUNT /; s/port [0-9]*/port PORT/" "$terminal/dialogue" "$terminal/output" \
        >"$sandbox/seen"
}

# What the policy ignores after a key is the end of it: the password is not asked for, and accounts without one get in.
sshd_key_or_password_with_the_key_of_a_user_without_an_entry_case() {
    ivalt_settings '[policy]' 'unenrolled = "ignore"'
    key_or_password
    usermod --password '*' bob
    answers '' accept-1
    run_as visitor ssh -i visitor.key bob@localhost whoami
    expect_let_in bob
    expect_dialogue ''
    expect_log ignore unenrolled sshd bob
    expect_requests 0
}

sshd_key_or_password_with_the_key_during_an_outage_case() {
    ivalt_settings 'timeout_seconds = 2' '[policy]' 'unavailable = "ignore"'
    key_or_password
    usermod --password '*' alice
    stop_ivalt
    answers '' accept-1
    run_as visitor ssh -i visitor.key alice@localhost whoami
    expect_let_in alice
    expect_dialogue '(alice@localhost) iVALT token: accept-1'
    expect_log ignore unavailable sshd alice
}

# Modules of common-auth set groups and variables when sshd sets credentials; after a key nothing else called them.
sshd_key_or_password_credentials_of_other_modules_case() {
    key_or_password
    printf '%s\n' 'auth optional pam_group.so' 'auth optional pam_env.so envfile=/etc/common-auth.env' >>/etc/pam.d/common-auth
    echo 'KRB5CCNAME=FILE:/tmp/krb5cc_of_alice' >/etc/common-auth.env
    echo 'sshd;*;alice;Al0000-2400;granted' >/etc/security/group.conf
    echo 'granted:x:1900:' >>/etc/group
    answers '' accept-1
    # shellcheck disable=SC2016
    run_as visitor ssh -i visitor.key alice@localhost 'id -Gn; echo $KRB5CCNAME'
    expect_let_in 'alice granted
FILE:/tmp/krb5cc_of_alice'
    expect_log allow verified sshd alice
    answers "$alice_password" accept-2
    # shellcheck disable=SC2016
    run_as visitor ssh alice@localhost 'id -Gn; echo $KRB5CCNAME'
    expect_let_in 'alice granted
FILE:/tmp/krb5cc_of_alice'
}

# The second method of a list can be `password`; it cannot answer the module's prompt.
sshd_key_then_password_method_case() {
    pam_service sshd 'auth required pam_ivalt.so nodelay'
    sshd_with 'PasswordAuthentication yes' 'AuthenticationMethods publickey,password'
    answers "$alice_password" accept-1
    run_as visitor ssh -i visitor.key -o PreferredAuthentications=publickey,password alice@localhost whoami
    expect_refused 255
    expect_log deny unanswered sshd alice
    expect_requests 0
}

# sshd calls pam_setcred without the state of the auth call; every control that lets the module decide must survive it.
sshd_every_control_survives_setcred_case() {
    local control
    for control in required requisite 'sufficient' '[success=ok default=bad]' '[success=done default=die]'; do
        pam_service sshd "auth $control pam_ivalt.so nodelay" 'auth optional pam_permit.so'
        [[ $control != sufficient ]] || pam_service sshd 'auth sufficient pam_ivalt.so' 'auth requisite pam_deny.so'
        sshd_with 'PasswordAuthentication no' 'AuthenticationMethods keyboard-interactive'
        answers '' accept-1
        run_as visitor ssh alice@localhost whoami
        expect_let_in alice
        expect_log allow verified sshd alice
    done
}

sshd_many_logins_at_once_case() {
    local one
    token_alone 'MaxStartups 100'
    answers '' accept-{1..10}
    run_as visitor bash -c 'for i in {1..10}; do ssh alice@localhost whoami & done; wait'
    one=$(grep -cx alice "$terminal/output")
    [[ $one -eq 10 ]] || fault "$one of 10 got in"
    expect_requests 10
}

# What check says of lists that nobody enrolled passes, and of those that its fix puts in their place.
sshd_nobody_gets_in_case() {
    local keys=/home/alice/.ssh/authorized_keys
    key_and_token
    sed -i '/^ghost\|^root/d' /etc/ivalt/users.toml
    run_ivaltctl 1 check
    expect_about_sshd
    mv "$keys" "$keys.away"
    run_ivaltctl 2 check
    expect_about_sshd sshd-nobody-gets-in
    expect_captured 'publickey,keyboard-interactive needs a key, which none has'
    answers "$alice_password" accept-1
    run_as visitor ssh -i visitor.key alice@localhost whoami
    expect_refused 255
    expect_seen 'Permission denied (publickey)'
    mv "$keys.away" "$keys"
    sshd_with 'PasswordAuthentication no' 'AuthenticationMethods publickey,keyboard-interactive' \
        'Match User alice' 'PubkeyAuthentication no'
    run_ivaltctl 2 check
    expect_about_sshd sshd-nobody-gets-in
    expect_captured 'for connections of "Match User alice": no enrolled account gets in by ssh: '
    run_as visitor ssh -i visitor.key alice@localhost whoami
    expect_refused 255
    key_or_password
    run_ivaltctl 1 check
    expect_about_sshd
    answers "$alice_password" accept-2
    run_as visitor ssh alice@localhost whoami
    expect_let_in alice
}

# PAM asks holders of keys for a password that they do not have, until its line for keys is there.
sshd_nobody_has_a_password_case() {
    sed -i '/^ghost\|^root/d' /etc/ivalt/users.toml
    usermod --password '*' alice
    password_and_token
    sshd_with "${key_or_password_settings[@]}"
    run_ivaltctl 2 check
    expect_about_sshd sshd-nobody-gets-in
    answers "$alice_password" accept-1
    run_as visitor ssh -i visitor.key alice@localhost whoami
    expect_refused 255
    key_or_password
    run_ivaltctl 1 check
    expect_about_sshd
    answers '' accept-2
    run_as visitor ssh -i visitor.key alice@localhost whoami
    expect_let_in alice
}

# `sshd -T` knows `Match all` and no other block; both override what is outside, and the first that applies counts.
sshd_match_blocks_as_check_reads_them_case() {
    password_and_token
    sshd_with 'PasswordAuthentication no' 'AuthenticationMethods keyboard-interactive' \
        'Match all' 'AuthenticationMethods publickey'
    run_ivaltctl 2 check
    expect_about_sshd sshd-methods-bypass
    answers ''
    run_as visitor ssh -i visitor.key alice@localhost whoami
    expect_let_in alice
    expect_no_log
    sshd_with 'PasswordAuthentication no' 'AuthenticationMethods keyboard-interactive' \
        'Match User alice' 'AuthenticationMethods keyboard-interactive' 'Match User alice' 'AuthenticationMethods publickey'
    run_ivaltctl 1 check
    expect_about_sshd
    run_as visitor ssh -i visitor.key -o BatchMode=yes alice@localhost whoami
    expect_refused 255
}

# The block is for its own connections; all others need the line of `enable`.
sshd_enable_beside_a_match_block_case() {
    untouched_system
    printf '%s\n' 'Match User bob' 'AuthenticationMethods publickey,keyboard-interactive' >>/etc/ssh/sshd_config
    reload_sshd
    visitor_has_the_key
    key_alone_is_enough
    run_ivaltctl 0 enable sshd --yes --confirm-within 60s
    key_is_not_enough
    run_ivaltctl 0 confirm
    run_ivaltctl 0 disable sshd --yes
}

# The stock file of Debian 11 and Ubuntu 20.04, whose sshd asks PAM for nothing while this is off.
sshd_enable_where_prompts_are_off_by_the_older_setting_case() {
    untouched_system
    sed -i 's/^KbdInteractiveAuthentication/ChallengeResponseAuthentication/' /etc/ssh/sshd_config
    reload_sshd
    run_ivaltctl 0 enable sshd --yes --confirm-within 60s
    answers "$alice_password" accept-1
    run_as visitor ssh alice@localhost whoami
    expect_let_in alice
    expect_seen 'Password: alice-unix-password'
    run_ivaltctl 0 confirm
    run_ivaltctl 0 disable sshd --yes
}
