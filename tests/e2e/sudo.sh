# shellcheck shell=bash
# The real sudo, setuid root, called by an unprivileged account.

sudo_accepted_token_case() {
    answers "$alice_password" accept-1
    run_as alice sudo -A whoami
    expect_let_in root
    expect_dialogue '[sudo] password for alice: alice-unix-password
iVALT token: accept-1'
    expect_log allow verified sudo alice
    expect_the_request accept-1
    expect_the_line 'outcome=allow reason=verified user=alice service=sudo rhost= tty= ruser=alice mobile=\*\*\*4746 http=200 code= detail= cause= attempts=1 elapsed_ms=[0-9]+'
}

sudo_from_standard_input_case() {
    types_ahead "$alice_password" accept-1
    run_as alice sudo -S -p '' -u bob whoami
    expect_seen bob
    expect_log allow verified sudo alice
}

sudo_refused_three_times_case() {
    answers "$alice_password" reject-1 reject-2 reject-3 accept-4
    run_as alice sudo -A whoami
    expect_refused 1
    expect_log deny token-rejected sudo alice
    expect_requests 3
}

# sudo asks as often as its own passwd_tries says, each time in a new call.
sudo_asks_again_after_a_refusal_case() {
    sed -i 's/passwd_tries=1/passwd_tries=2/' /etc/sudoers
    ivalt_settings '[token]' 'attempts = 1'
    types_ahead "$alice_password" reject-1 "$alice_password" accept-2
    run_as alice sudo -S -p '' whoami
    expect_seen root
    expect_requests 2
    [[ $(log_lines | wc -l) -eq 2 ]] || fault "$(log_lines | wc -l) log lines instead of 2"
}

# sudo wants silence (PAM_SILENT); why the first try failed begins the prompt of the second, in the same sudo.
sudo_says_at_the_next_prompt_why_it_refused_case() {
    sed -i 's/passwd_tries=1/passwd_tries=2/' /etc/sudoers
    ivalt_settings '[token]' 'attempts = 1'
    types_ahead "$alice_password" geofence "$alice_password" accept-2
    run_as alice sudo -S whoami
    expect_seen root
    expect_seen 'iVALT refused the token: outside the allowed area. iVALT token: '
    [[ $(grep -oF 'iVALT refused' "$terminal/output" | wc -l) -eq 1 ]] || fault 'the sentence was not seen once'
    expect_requests 2
}

sudo_says_at_the_next_prompt_that_ivalt_cannot_be_reached_case() {
    sed -i 's/passwd_tries=1/passwd_tries=2/' /etc/sudoers
    stop_ivalt
    types_ahead "$alice_password" accept-1 "$alice_password" accept-2
    run_as alice sudo -S whoami
    expect_refused 1
    expect_seen 'iVALT cannot be reached. iVALT token: '
    [[ $(grep -oF 'cannot be reached' "$terminal/output" | wc -l) -eq 1 ]] || fault 'the sentence was not seen once'
}

# With -p there is one prompt for every question, and so no place for a sentence.
sudo_own_prompt_replaces_every_prompt_case() {
    sed -i 's/passwd_tries=1/passwd_tries=2/' /etc/sudoers
    ivalt_settings '[token]' 'attempts = 1'
    types_ahead "$alice_password" geofence "$alice_password" accept-2
    run_as alice sudo -S -p 'mine: ' whoami
    expect_seen root
    expect_seen 'mine: mine: '
    ! grep -qF iVALT "$terminal/output" || fault 'a prompt of the module was seen'
}

sudo_unreachable_case() {
    stop_ivalt
    answers "$alice_password" accept-1
    run_as alice sudo -A whoami
    expect_refused 1
    expect_log deny unavailable sudo alice
}

sudo_not_enrolled_case() {
    answers "$bob_password" accept-1
    run_as bob sudo -A whoami
    expect_refused 1
    expect_log deny not-enrolled sudo bob
    expect_requests 0
}

sudo_disabled_case() {
    answers "$carol_password" accept-1
    run_as carol sudo -A whoami
    expect_refused 1
    expect_log deny disabled sudo carol
    expect_requests 0
}

sudo_password_typed_as_token_case() {
    answers "$alice_password" "$alice_password"
    run_as alice sudo -A whoami
    expect_refused 1
    expect_log deny password-as-token sudo alice
    expect_requests 0
}

sudo_end_of_input_case() {
    types_ahead "$alice_password"
    run_as alice sudo -S -p '' whoami
    expect_refused 1
    expect_log deny unanswered sudo alice
    expect_requests 0
}

sudo_without_interaction_does_not_ask_case() {
    answers "$alice_password" accept-1
    run_as alice sudo -n whoami
    expect_refused 1
    expect_no_log
    expect_requests 0
}

sudo_denial_takes_two_seconds_case() {
    pam_service sudo 'auth required pam_ivalt.so'
    types_ahead "$alice_password" ''
    answers '' ''
    run_as alice sudo -A whoami
    expect_refused 1
    # libpam varies the two seconds at random, by up to one half.
    [[ $elapsed -ge 950 ]] || fault "denied after $elapsed ms"
}

# What `ivaltctl check` reads from sudoers is what sudo itself reads, by `sudo -l -U`.
check_reads_sudoers_as_sudo_does_case() {
    local line
    while IFS= read -r line; do
        write_sudoers
        printf '%b\n' "$line" >>/etc/sudoers
        expect_as_sudo_says "$line"
    done <<-'END'
		visitor ALL=ALL
		visit ALL=ALL
		"visitor" ALL=(ALL) NOPASSWD : ALL
		visit\\x6fr ALL=ALL
		#1004 ALL=ALL
		%#1004 ALL=NOPASSWD:/bin/ls
		%#4 ALL=ALL
		ALL ALL=/bin/ls
		ALL, ! visitor ALL=/bin/ls
		!visitor, ALL ALL=/bin/ls
		ALL, !!visitor ALL=/bin/ls
		User_Alias ADM = carol, visitor\nADM ALL=ALL
		User_Alias ADM = ALL, !visitor\nALL, !ADM ALL=ALL
		User_Alias ADM = ALL\ncarol ALL=ALL
		carol, \\\n visitor ALL=ALL
		# a comment \\\nvisitor ALL=ALL
		#visitor ALL=NOPASSWD: ALL
		visitor ALL=/bin/echo NOPASSWD\\: x
		visitor ALL=(root, bob : adm) /bin/ls, NOPASSWD: /bin/id
		visitor ALL=TIMEOUT=5 NOEXEC:NOPASSWD: ALL
		visitor ALL=/bin/ls # NOPASSWD: ALL
		visitor ALL=ALL#c
		visitor ALL=/bin/ls : ALL = NOPASSWD: /bin/id
		visitor ALL=/bin/ls (NOPASSWD
		visitor =ALL
		@include /etc/more\\x20rules
	END
}

# `expect_as_sudo_says LINE`: about visitor, who is not enrolled.
expect_as_sudo_says() {
    local line=$1 may=no nopasswd=no named=no tag=no
    printf 'visitor ALL=NOPASSWD: ALL\n' >'/etc/more rules'
    capture sudo -l -U visitor || true
    ! grep -q 'may run the following' "$terminal/captured" || may=yes
    ! grep -qE 'NOPASSWD[:,] ' "$terminal/captured" || nopasswd=yes
    capture ivaltctl check || true
    ! grep -q 'visitor is privileged and not enrolled' "$terminal/captured" || named=yes
    ! grep -qF '[sudo-nopasswd]' "$terminal/captured" || tag=yes
    [[ "$named $tag" == "$may $nopasswd" ]] ||
        fault "sudo says $may $nopasswd, check says $named $tag: $line"
}
