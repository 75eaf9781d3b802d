# shellcheck shell=bash
# ivaltctl switches iVALT on and off on a system that never had it, with the real sshd and sudo.

# Debian's own files, before anybody touched them.
untouched_system() {
    rm -rf /var/lib/ivalt /etc/ssh/sshd_config.d
    pam_service_as_in tests/e2e/untouched/sshd sshd
    pam_service_as_in tests/e2e/untouched/sudo sudo
    pam_service_as_in tests/e2e/untouched/sudo sudo-i
    mkdir /etc/ssh/sshd_config.d
    sshd_with 'Include /etc/ssh/sshd_config.d/*.conf' 'KbdInteractiveAuthentication no'
    # The stage's own lines stand before the Include; sshd takes the first value.
    sed -i '/^Include/d; 1i Include /etc/ssh/sshd_config.d/*.conf' /etc/ssh/sshd_config
    reload_sshd
    rm -rf "$stage/untouched"
    cp -a /etc "$stage/untouched"
}

reload_sshd() {
    kill -HUP "$(cat /run/sshd.pid)"
    sleep 0.3
}

expect_untouched() {
    local differences
    differences=$(diff -r "$stage/untouched/pam.d" /etc/pam.d && diff -r "$stage/untouched/ssh" /etc/ssh) ||
        fault "not as before: $differences"
}

# `tool EXIT_STATUS WORD…`
tool() {
    local wanted=$1 ending=0
    shift
    ivaltctl "$@" </dev/null >"$talk/tool" 2>&1 || ending=$?
    [[ $ending -eq $wanted ]] || fault "ivaltctl $* ended with $ending instead of $wanted: $(cat "$talk/tool")"
}

expect_told() { grep -qF -- "$1" "$talk/tool" || fault "ivaltctl did not say '$1' but: $(cat "$talk/tool")"; }

sudo_asks_for_a_token() {
    answers "$alice_password" accept-1
    act alice sudo -A whoami
    expect_let_in root
    expect_dialogue '[sudo] password for alice: alice-unix-password
iVALT token: accept-1'
}

sudo_asks_for_no_token() {
    answers "$alice_password"
    act alice sudo -A whoami
    expect_let_in root
    expect_dialogue '[sudo] password for alice: alice-unix-password'
}

enable_sudo_confirm_disable_case() {
    untouched_system
    sudo_asks_for_no_token
    tool 0 enable sudo --yes --confirm-within 20s
    expect_told '+auth    required    pam_ivalt.so'
    sudo_asks_for_a_token
    grep -q pam_ivalt /etc/pam.d/sudo-i || fault 'sudo -i was forgotten'
    tool 0 confirm
    expect_told 'sudo: iVALT stays switched on'
    sudo_asks_for_a_token
    tool 1 confirm
    tool 1 enable sudo --yes
    expect_told 'switched on already'
    tool 0 disable sudo --yes
    expect_untouched
    sudo_asks_for_no_token
    tool 1 disable sudo --yes
}

enable_without_a_yes_changes_nothing_case() {
    untouched_system
    tool 1 enable sudo
    expect_told 'nothing was changed'
    expect_untouched
}

enable_sudo_time_runs_out_case() {
    untouched_system
    tool 0 enable sudo --yes --confirm-within 2s
    sudo_asks_for_a_token
    wait_for 'the way back' cmp -s "$stage/untouched/pam.d/sudo" /etc/pam.d/sudo
    sudo_asks_for_no_token
    wait_for 'the end of the waiting' no_process_waits
    tool 1 confirm
    expect_told 'too late'
    expect_untouched
    tool 0 enable sudo --yes --confirm-within 20s
    tool 0 confirm
}

no_process_waits() { ! pgrep -f 'ivaltctl way-back' >/dev/null; }

# The key alone was enough before; with iVALT it is not, and the password is asked of nobody who has a key.
enable_sshd_asks_key_holders_and_password_holders_case() {
    untouched_system
    cp /home/visitor/visitor.key "$stage/key" && chown visitor: "$stage/key"
    act visitor ssh -i "$stage/key" alice@localhost whoami
    expect_let_in alice
    tool 0 enable sshd --yes --confirm-within 60s
    sleep 0.3
    answers '' accept-1
    act visitor ssh -i "$stage/key" alice@localhost whoami
    expect_let_in alice
    expect_dialogue '(alice@localhost) iVALT token: accept-1'
    answers "$alice_password" accept-2
    act visitor ssh alice@localhost whoami
    expect_let_in alice
    answers "$alice_password" reject-1 reject-2 reject-3
    act visitor ssh alice@localhost whoami
    expect_refused 255
    tool 0 confirm
    tool 0 disable sshd --yes
    expect_untouched
    sleep 0.3
    act visitor ssh -i "$stage/key" alice@localhost whoami
    expect_let_in alice
    expect_no_log
}

# The administrator's terminal is gone right after the change.
enable_sshd_comes_back_without_its_terminal_case() {
    untouched_system
    setsid script --quiet --flush --command 'ivaltctl enable sshd --yes --confirm-within 4s; sleep 60' /dev/null \
        </dev/null >"$talk/tool" 2>&1 &
    local terminal=$!
    wait_for 'the change' test -e /etc/ssh/sshd_config.d/00-ivalt.conf
    wait_for 'what comes next' grep -q 'put back by itself' "$talk/tool"
    kill -KILL "$terminal"
    wait_for 'the way back' test ! -e /etc/ssh/sshd_config.d/00-ivalt.conf
    wait_for 'the end of the waiting' no_process_waits
    expect_untouched
}

# Killed at any moment: the files are as before at once, or when the time is over.
enable_killed_at_every_step_case() {
    untouched_system
    local step
    for step in {0..39}; do
        setsid timeout --signal=KILL "$(printf '0.%03d' $((step * 3)))" \
            ivaltctl enable sshd --yes --confirm-within 1s </dev/null >"$talk/tool" 2>&1 || true
        [[ $((step % 8)) -ne 0 ]] || wait_for 'the end of the waiting' no_process_waits
    done
    wait_for 'the end of the waiting' no_process_waits
    expect_untouched
    tool 0 enable sshd --yes --confirm-within 20s
    tool 0 confirm
    tool 0 disable sshd --yes
    expect_untouched
}

# Nobody could pass, so nothing is changed.
enable_refuses_what_would_lock_out_case() {
    untouched_system
    sed -i 's/^key = .*/key = ""/' /etc/ivalt/ivalt.toml
    tool 1 enable sudo --yes
    expect_told 'settings-invalid'
    expect_untouched
    write_ivalt_settings
    sed -i '/^alice\|^root/d' /etc/ivalt/users.toml
    tool 1 enable sudo --yes
    expect_told 'nothing was changed; fix the above first'
    expect_untouched
}

disable_shows_what_somebody_changed_case() {
    untouched_system
    tool 0 enable sudo --yes --confirm-within 20s
    tool 0 confirm
    echo '# a word of my own' >>/etc/pam.d/sudo
    tool 1 disable sudo --yes
    expect_told '+# a word of my own'
    grep -q pam_ivalt /etc/pam.d/sudo || fault 'the line is gone'
    sed -i '$d' /etc/pam.d/sudo
    tool 0 disable sudo --yes
    expect_untouched
}

# What README shows as a terminal session is what happens, to the letter but for times.
readme_session_case() {
    untouched_system
    printf '[users]\n' >/etc/ivalt/users.toml
    chmod 0600 /etc/ivalt/users.toml
    pam_service_as_in tests/e2e/untouched/sudo su
    pam_service_as_in tests/e2e/untouched/sudo login
    sed -i '/^bob\|^carol/d' /etc/sudoers
    local shown=$stage/shown happened=$stage/happened command
    sed -n '/^<!-- session -->$/,/^<!-- end of session -->$/p' "$stage/README.md" | sed '/^<!--/d; /^```/d' >"$shown"
    grep -q '^# ivaltctl confirm$' "$shown" || fault 'README has no session'
    : >"$happened"
    while read -r command; do
        printf '# %s\n' "$command" >>"$happened"
        # The person at the keyboard types the token where it is asked for.
        [[ $command != *verify* ]] || echo 'iVALT token: ' >>"$happened"
        bash -c "$command" <<<'accept-1' >>"$happened" 2>&1 || fault "'$command' ended with $?"
    done < <(sed -n 's/^# //p' "$shown")
    sed -i 's/elapsed_ms=[0-9]*/elapsed_ms=182/; s/[[:space:]]*$//' "$shown" "$happened"
    diff -u "$shown" "$happened" >"$talk/seen" || fault 'README shows something else'
    tool 0 disable sshd --yes
}
