# shellcheck shell=bash
# `ivaltctl enable` and `disable` on a system without iVALT, with the real sshd and sudo.

# Debian's own files, before any edit.
untouched_system() {
    rm -rf /var/lib/ivalt /etc/ssh/sshd_config.d
    wait_for 'the end of earlier waiters' no_waiter_runs
    pam_service_from tests/e2e/untouched/sshd sshd
    pam_service_from tests/e2e/untouched/sudo sudo
    pam_service_from tests/e2e/untouched/sudo sudo-i
    mkdir /etc/ssh/sshd_config.d
    sshd_with 'Include /etc/ssh/sshd_config.d/*.conf' 'KbdInteractiveAuthentication no'
    # The lines of `sshd_with` come before the Include, and sshd takes the first value.
    sed -i '/^Include/d; 1i Include /etc/ssh/sshd_config.d/*.conf' /etc/ssh/sshd_config
    reload_sshd
    rm -rf "$sandbox/untouched"
    cp -a /etc "$sandbox/untouched"
}

# `expect_untouched [DIFF_OPTION…]`
expect_untouched() {
    local differences
    differences=$(diff -r "$@" "$sandbox/untouched/pam.d" /etc/pam.d && diff -r "$@" "$sandbox/untouched/ssh" /etc/ssh) ||
        fault "not as before: $differences"
}

sudo_asks_for_a_token() {
    answers "$alice_password" accept-1
    run_as alice sudo -A whoami
    expect_let_in root
    expect_dialogue '[sudo] password for alice: alice-unix-password
iVALT token: accept-1'
}

sudo_asks_for_no_token() {
    answers "$alice_password"
    run_as alice sudo -A whoami
    expect_let_in root
    expect_dialogue '[sudo] password for alice: alice-unix-password'
}

enable_sudo_confirm_disable_case() {
    untouched_system
    sudo_asks_for_no_token
    run_ivaltctl 0 enable sudo --yes --confirm-within 60s
    expect_captured '+auth    required    pam_ivalt.so'
    sudo_asks_for_a_token
    grep -q pam_ivalt /etc/pam.d/sudo-i || fault 'sudo -i was forgotten'
    run_ivaltctl 0 confirm
    expect_captured 'sudo: iVALT stays enabled'
    sudo_asks_for_a_token
    run_ivaltctl 1 confirm
    run_ivaltctl 0 enable sudo --yes
    [[ $(cat "$terminal/captured") == 'sudo: is already enabled' ]] || fault "$(cat "$terminal/captured")"
    run_ivaltctl 0 disable sudo --yes
    expect_untouched
    sudo_asks_for_no_token
    run_ivaltctl 1 disable sudo --yes
}

# A common-auth that ends the stack at the right password, and whose account line refuses bob.
common_auth_ends_the_stack() {
    untouched_system
    printf '%s\n' 'auth sufficient pam_unix.so nodelay' 'auth required pam_deny.so' \
        'account required pam_succeed_if.so quiet user != bob' >/etc/pam.d/common-auth
    pam_service su 'auth sufficient pam_rootok.so' '@include \' '  common-auth'
    pam_service_from tests/e2e/untouched/sudo login
    echo 'bob = "+4915112345603"' >>/etc/ivalt/users.toml
    cp -a /etc/pam.d "$sandbox/pam.d-before"
}

# As an include it would let in without a token; as a substack it lets in who has both, and refuses whom it refused.
enable_where_the_included_file_ends_the_stack_case() {
    common_auth_ends_the_stack
    sudo_asks_for_no_token
    local service
    for service in sudo su login; do
        run_ivaltctl 0 enable "$service" --yes --confirm-within 60s
        expect_captured '+auth    substack    common-auth'
        expect_captured '+account    include    common-auth'
    done
    run_ivaltctl 0 confirm
    sudo_asks_for_a_token
    answers "$alice_password" reject-1 reject-2 reject-3
    run_as alice sudo -A whoami
    expect_refused 1
    answers wrong-password accept-2
    run_as alice sudo -A whoami
    expect_refused 1
    answers "$alice_password" "$alice_password"
    run_as alice sudo -A whoami
    expect_refused 1
    answers "$bob_password" accept-3
    run_as bob sudo -A whoami
    expect_refused 1
    expect_seen 'account validation failure'
    types_ahead "$alice_password" accept-4
    run_as visitor su alice -c whoami
    expect_seen alice
    [[ $status -eq 0 ]] || fault "exit status $status"
    types_ahead wrong-password accept-5
    run_as visitor su alice -c whoami
    expect_refused 1
    types_ahead "$alice_password" reject-1 reject-2 reject-3
    run_as visitor su alice -c whoami
    expect_refused 1
    types_ahead "$bob_password" accept-6
    run_as visitor su bob -c whoami
    expect_refused 1
    at_console alice
    types 'Password:' "$alice_password"
    types 'iVALT token:' accept-7
    types '[$] ' 'whoami; exit'
    console_ends
    grep -q $'alice\r$' "$terminal/output" || fault 'no shell'
    run_ivaltctl 0 disable --all --yes
    diff -r "$sandbox/pam.d-before" /etc/pam.d || fault 'not as before'
    sudo_asks_for_no_token
}

enable_without_a_yes_changes_nothing_case() {
    untouched_system
    run_ivaltctl 1 enable sudo
    expect_captured 'nothing was changed'
    expect_untouched
}

enable_sudo_time_runs_out_case() {
    untouched_system
    run_ivaltctl 0 enable sudo --yes --confirm-within 10s
    hold_waiter
    sudo_asks_for_a_token
    release_waiter
    wait_for 'the rollback' cmp -s "$sandbox/untouched/pam.d/sudo" /etc/pam.d/sudo
    sudo_asks_for_no_token
    wait_for 'the end of the waiter' no_waiter_runs
    run_ivaltctl 1 confirm
    expect_captured 'too late'
    expect_untouched
    run_ivaltctl 0 enable sudo --yes --confirm-within 60s
    run_ivaltctl 0 confirm
}

# A file that was edited meanwhile is rolled back, too; what it was then is kept beside the saved state.
enable_rollback_keeps_what_was_edited_case() {
    untouched_system
    run_ivaltctl 0 enable sudo --yes --confirm-within 8s
    hold_waiter
    echo '# edited meanwhile' >>/etc/pam.d/sudo
    cp /etc/pam.d/sudo "$sandbox/edited"
    release_waiter
    wait_for 'the end of the waiter' no_waiter_runs
    expect_untouched
    cmp -s "$sandbox/edited" /var/lib/ivalt/etc-pam.d-sudo.edited || fault 'the edited file was not kept'
    # So is the next one, beside it.
    run_ivaltctl 0 enable sudo --yes --confirm-within 60s
    pkill -KILL -x ivaltctl
    wait_for 'the end of the waiter' no_waiter_runs
    echo '# edited once more' >>/etc/pam.d/sudo
    run_ivaltctl 0 rollback
    expect_captured '; /etc/pam.d/sudo was edited, that version is kept: /var/lib/ivalt/etc-pam.d-sudo.edited.2'
    expect_untouched
    cmp -s "$sandbox/edited" /var/lib/ivalt/etc-pam.d-sudo.edited || fault 'the first one is gone'
    grep -qx '# edited once more' /var/lib/ivalt/etc-pam.d-sudo.edited.2 || fault 'the second one was not kept'
}

# `flock_as_alice FILE`: alice holds the lock on it until `release_locks`, if she may open it at all. flock(2) takes a
# descriptor that was opened for reading.
flock_as_alice() {
    setpriv --reuid=alice --regid=alice --init-groups flock --nonblock "$1" sleep 120 &
    wait_for 'a lock or a refusal' locked_or_refused "$!"
}
locked_or_refused() { ! kill -0 "$1" 2>/dev/null || pgrep -P "$1" -x sleep >/dev/null; }
release_locks() { ! pkill -KILL -u alice -x sleep || sleep 0.1; }

# Older versions left the folder and its lock open to everybody.
enable_rollback_is_blocked_by_nobody_case() {
    untouched_system
    install -d -m 0755 /var/lib/ivalt
    install -m 0644 /dev/null /var/lib/ivalt/lock
    flock_as_alice /var/lib/ivalt/lock
    flock_as_alice /var/lib/ivalt
    flock_as_alice /etc/ivalt
    run_ivaltctl 0 enable sudo --yes --confirm-within 4s
    hold_waiter
    [[ $(stat -c %A /var/lib/ivalt) == 'drwx------' ]] || fault "still open: $(stat /var/lib/ivalt)"
    local file
    for file in /var/lib/ivalt/*; do flock_as_alice "$file"; done
    release_waiter
    wait_for 'the end of the waiter' no_waiter_runs
    expect_untouched
    run_ivaltctl 0 enable sudo --yes --confirm-within 60s
    run_ivaltctl 0 confirm
    run_ivaltctl 0 disable sudo --yes
    run_ivaltctl 0 users disable alice
    release_locks
    expect_untouched
}

# Whatever the umask, what root will write back is root's alone.
enable_state_is_closed_to_others_case() {
    untouched_system
    local mask
    for mask in 0 077 0777; do
        rm -rf /var/lib/ivalt
        run_captured 0 bash -c "umask $mask; ivaltctl enable sudo --yes --confirm-within 60s"
        run_captured 0 bash -c "umask $mask; ivaltctl confirm"
        [[ $(stat -c '%A %U:%G' /var/lib/ivalt) == 'drwx------ root:root' ]] || fault "umask $mask: $(stat /var/lib/ivalt)"
        [[ $(stat -c '%A %U:%G' /var/lib/ivalt/* | sort -u) == '-rw------- root:root' ]] || fault "umask $mask: $(ls -l /var/lib/ivalt)"
        [[ $(stat -c %A /etc/pam.d/sudo) == "$(stat -c %A "$sandbox/untouched/pam.d/sudo")" ]] || fault "umask $mask: $(ls -l /etc/pam.d/sudo)"
        run_captured 0 bash -c "umask $mask; ivaltctl disable sudo --yes"
        expect_untouched
    done
}

# What a user put there would be written by root.
enable_state_of_others_is_refused_case() {
    untouched_system
    run_ivaltctl 0 enable sudo --yes --confirm-within 60s
    run_ivaltctl 0 confirm
    local state=/var/lib/ivalt/sudo.json command
    sed 's|/etc/pam.d/sudo"|/etc/cron.d/alice"|' -i "$state"
    chown alice: "$state"
    for command in 'disable sudo --yes' 'enable sudo --yes' confirm; do
        # shellcheck disable=SC2086 # words
        run_ivaltctl 1 $command
        expect_captured "$state: belongs to user id $(id -u alice), not to root; it is what \`enable\` writes: inspect it, then move it away"
    done
    chown root: "$state"
    chmod 0622 "$state"
    run_ivaltctl 1 disable sudo --yes
    expect_captured "$state: is writable by group or others (mode 0622)"
    rm "$state"
    chmod 0777 /var/lib/ivalt
    for command in 'disable sudo --yes' 'enable su --yes' confirm; do
        # shellcheck disable=SC2086 # words
        run_ivaltctl 1 $command
        expect_captured '/var/lib/ivalt: belongs to user id 0 and has the mode 0777, so what is in it may not be'
    done
    [[ ! -e /etc/cron.d/alice ]] || fault "root wrote what alice's file says"
}

# Nobody holds the lock while a question is open.
enable_rollback_does_not_wait_for_a_question_case() {
    untouched_system
    run_ivaltctl 0 enable sudo --yes --confirm-within 4s
    hold_waiter
    mkfifo "$sandbox/question"
    ivaltctl enable sshd <"$sandbox/question" >"$terminal/captured" 2>&1 &
    local asked=$! status=0
    exec 7>"$sandbox/question"
    wait_for 'the question' grep -q 'Apply this change' "$terminal/captured"
    release_waiter
    wait_for 'the rollback' cmp -s "$sandbox/untouched/pam.d/sudo" /etc/pam.d/sudo
    expect_untouched
    echo '# by somebody else' >>/etc/pam.d/sshd
    echo y >&7
    exec 7>&-
    wait "$asked" || status=$?
    [[ $status -eq 1 ]] || fault "ended with $status"
    expect_captured 'somebody else has just changed what is shown above; nothing was changed; run this again'
    sed -i '$d' /etc/pam.d/sshd
    expect_untouched
}

# The process that waits for `ivaltctl confirm` and rolls back; any other ivaltctl has ended by then.
waiter_runs() { pgrep -x ivaltctl >/dev/null; }
no_waiter_runs() { ! waiter_runs; }

# Between these two, a test may take as long as it needs: the time runs out, and what comes then waits.
hold_waiter() { pkill -STOP -x ivaltctl || fault 'no process waits for the time to run out'; }
release_waiter() { pkill -CONT -x ivaltctl || fault 'the process that waited has ended'; }

# The key alone was enough before; with iVALT it is not, and users who have a key are not asked for the password.
enable_sshd_asks_key_holders_and_password_holders_case() {
    untouched_system
    cp /home/visitor/visitor.key "$sandbox/key" && chown visitor: "$sandbox/key"
    run_as visitor ssh -i "$sandbox/key" alice@localhost whoami
    expect_let_in alice
    run_ivaltctl 0 enable sshd --yes --confirm-within 60s
    answers '' accept-1
    run_as visitor ssh -i "$sandbox/key" alice@localhost whoami
    expect_let_in alice
    expect_dialogue '(alice@localhost) iVALT token: accept-1'
    answers "$alice_password" accept-2
    run_as visitor ssh alice@localhost whoami
    expect_let_in alice
    answers "$alice_password" reject-1 reject-2 reject-3
    run_as visitor ssh alice@localhost whoami
    expect_refused 255
    run_ivaltctl 0 confirm
    run_ivaltctl 0 disable sshd --yes
    expect_untouched
    run_as visitor ssh -i "$sandbox/key" alice@localhost whoami
    expect_let_in alice
    expect_no_log
}

# `key_alone_is_enough` and `key_is_not_enough`: whether the sshd that runs has the new configuration.
key_alone_is_enough() {
    answers ''
    run_as visitor ssh -i "$sandbox/key" alice@localhost whoami
    expect_let_in alice
    expect_no_log
}
key_is_not_enough() {
    answers '' accept-1
    run_as visitor ssh -i "$sandbox/key" alice@localhost whoami
    expect_let_in alice
    expect_dialogue '(alice@localhost) iVALT token: accept-1'
}
visitor_has_the_key() { cp /home/visitor/visitor.key "$sandbox/key" && chown visitor: "$sandbox/key"; }

# From OpenSSH 10.4 on `sshd -T` prints keywords in mixed case; from before it prints them in lower case.
enable_sshd_with_keywords_in_mixed_case_case() {
    untouched_system
    visitor_has_the_key
    mkdir "$sandbox/real"
    cp /usr/sbin/sshd "$sandbox/real/sshd"
    # shellcheck disable=SC2016 # for the other shell
    printf '%s\n' '#!/bin/sh' "case \$1 in -T) $sandbox/real/sshd -T | sed 's/^usepam /UsePAM /; s/^pidfile /PidFile /; s/^port /Port /; s/^listenaddress /ListenAddress /; s/^\(kbdinteractive\|password\|pubkey\)authentication /\U\1Authentication /; s/^authenticationmethods /AuthenticationMethods /';;" \
        "*) exec $sandbox/real/sshd \"\$@\";; esac" >"$sandbox/wrapper"
    chmod 0755 "$sandbox/wrapper"
    mount --bind "$sandbox/wrapper" /usr/sbin/sshd
    [[ $(/usr/sbin/sshd -T | grep -c '^UsePAM yes$') -eq 1 ]] || fault 'not in mixed case'
    run_ivaltctl 0 enable sshd --yes --confirm-within 60s
    key_is_not_enough
    run_ivaltctl 0 confirm
    run_ivaltctl 1 check
    expect_not_captured 'UsePAM'
    run_ivaltctl 0 disable sshd --yes
    key_alone_is_enough
    stop_sshd
    umount /usr/sbin/sshd
    rm -r "$sandbox/real"
    start_sshd
}

# A reload is proven, not assumed: the sshd that listens is found without its pid file, too.
enable_sshd_without_a_pid_file_case() {
    untouched_system
    visitor_has_the_key
    stop_sshd
    echo 'PidFile none' >>/etc/ssh/sshd_config
    /usr/sbin/sshd
    wait_for sshd port_is_listened_at 22
    run_ivaltctl 0 enable sshd --yes --confirm-within 10s
    hold_waiter
    key_is_not_enough
    release_waiter
    wait_for 'the end of the waiter' no_waiter_runs
    key_alone_is_enough
    pkill -x sshd
    wait_for 'the end of sshd' no_sshd_runs
}
no_sshd_runs() { ! pgrep -x sshd >/dev/null; }

enable_sshd_that_does_not_run_case() {
    untouched_system
    stop_sshd
    run_ivaltctl 0 enable sshd --yes --confirm-within 60s
    expect_captured 'sshd is not running; it reads its configuration when it starts'
    run_ivaltctl 0 confirm
    run_ivaltctl 0 disable sshd --yes
    expect_captured 'sshd is not running; it reads its configuration when it starts'
    expect_untouched
}

# `goes_on_once_put_back PROCESS TEST…`: lets a process that was stopped go on when what the test finds was made and undone:
# sshd is then being told again, which ivaltctl gives up after 15 s, as the first time.
goes_on_once_put_back() {
    (wait_for 'the change' "${@:2}" && wait_for 'its end' not "${@:2}" && sleep 5) || true
    kill -CONT "$1"
}
not() { ! "$@"; }

# What listens is not an sshd that can be reloaded, or one that does not reload: everything is put back.
enable_sshd_that_cannot_be_reloaded_case() {
    untouched_system
    local listener
    listener=$(sshd_pid)
    kill -STOP "$listener"
    goes_on_once_put_back "$listener" test -e /etc/ssh/sshd_config.d/00-ivalt.conf &
    run_ivaltctl 1 enable sshd --yes --confirm-within 60s
    expect_captured "sshd (process $listener) was told to reload its configuration and has not done so; its log says why: journalctl -t sshd; /etc/init.d/ssh reload; everything was put back"
    expect_untouched
    stop_sshd
    setsid python3 -c 'import socket, time; s = socket.create_server(("127.0.0.1", 22)); time.sleep(60)' &
    listener=$!
    wait_for 'the other program' port_is_listened_at 22
    run_ivaltctl 1 enable sshd --yes --confirm-within 60s
    expect_captured "what listens on port 22 is not sshd, so it is not clear what must reload sshd's configuration; /etc/init.d/ssh reload"
    expect_untouched
    kill "$listener"
    wait_for 'the end of the other program' process_gone "$listener"
}

# As OpenSSH 8.0 has it, without Include: the lines go above all others, and the mode stays.
enable_sshd_without_an_include_case() {
    untouched_system
    visitor_has_the_key
    sed -i '/^Include/d' /etc/ssh/sshd_config
    chmod 0600 /etc/ssh/sshd_config
    rm -r /etc/ssh/sshd_config.d
    cp -a /etc/ssh/sshd_config "$sandbox/untouched/ssh/"
    rm -r "$sandbox/untouched/ssh/sshd_config.d"
    run_ivaltctl 0 enable sshd --yes --confirm-within 60s
    [[ ! -e /etc/ssh/sshd_config.d ]] || fault 'a folder that sshd does not read'
    [[ $(stat -c %a /etc/ssh/sshd_config) == 600 ]] || fault "$(stat /etc/ssh/sshd_config)"
    [[ $(head -n2 /etc/ssh/sshd_config | tail -n1) == 'UsePAM yes' ]] || fault "$(cat /etc/ssh/sshd_config)"
    key_is_not_enough
    run_ivaltctl 0 confirm
    run_ivaltctl 0 disable sshd --yes
    [[ $(stat -c %a /etc/ssh/sshd_config) == 600 ]] || fault "$(stat /etc/ssh/sshd_config)"
    expect_untouched
    key_alone_is_enough
}

# The folder that the Include names.
enable_sshd_without_its_folder_case() {
    untouched_system
    visitor_has_the_key
    rm -r /etc/ssh/sshd_config.d "$sandbox/untouched/ssh/sshd_config.d"
    capture bash -c 'umask 077; ivaltctl enable sshd --yes --confirm-within 10s' || fault 'not enabled'
    hold_waiter
    [[ $(stat -c '%A %U:%G' /etc/ssh/sshd_config.d) == 'drwxr-xr-x root:root' ]] || fault "$(stat /etc/ssh/sshd_config.d)"
    key_is_not_enough
    release_waiter
    wait_for 'the end of the waiter' no_waiter_runs
    expect_untouched
    key_alone_is_enough
}

# What was wrong before is said in sshd's words, and nothing is touched.
sshd_words='/etc/ssh/sshd_config: line 1: Bad configuration option: UsePAMM; /etc/ssh/sshd_config: terminating, 1 bad configuration options'
break_sshd_config() { sed -i '1i UsePAMM yes' /etc/ssh/sshd_config; }
enable_sshd_with_a_broken_configuration_case() {
    untouched_system
    visitor_has_the_key
    break_sshd_config
    cp /etc/ssh/sshd_config "$sandbox/untouched/ssh/"
    run_ivaltctl 1 enable sshd --yes
    expect_captured "sshd -t: $sshd_words; sshd does not take its configuration as it is, so nothing was changed; correct it, and run this again"
    expect_untouched
    [[ ! -e /var/lib/ivalt/sshd.json ]] || fault 'a state was saved'
    # Another service is none of sshd's business.
    run_ivaltctl 0 enable sudo --yes --confirm-within 60s
    run_ivaltctl 0 disable sudo --yes
    key_alone_is_enough
}

# Broken after `enable`: the files come back, and sshd, which a reload would end, goes on.
disable_sshd_with_a_broken_configuration_case() {
    untouched_system
    visitor_has_the_key
    local listener
    listener=$(sshd_pid)
    run_ivaltctl 0 enable sshd --yes --confirm-within 60s
    run_ivaltctl 0 confirm
    break_sshd_config
    run_ivaltctl 2 check
    expect_captured "sshd-config-refused"
    expect_captured "$sshd_words"
    cp /etc/ssh/sshd_config "$sandbox/untouched/ssh/"
    run_ivaltctl 0 disable sshd --yes
    expect_captured "sshd -t: $sshd_words; the files are as they were before, and sshd was not told to read them, since it would end"
    expect_captured 'sshd: iVALT is disabled, the files are as they were before'
    expect_untouched
    [[ $(sshd_pid) == "$listener" ]] || fault 'another sshd'
    kill -0 "$listener" || fault 'sshd has ended'
    sed -i 1d /etc/ssh/sshd_config
    reload_sshd
    key_alone_is_enough
}

# The rollback puts the files back at once, and has sshd reload them as soon as it takes them.
enable_sshd_comes_back_although_broken_case() {
    untouched_system
    visitor_has_the_key
    run_ivaltctl 0 enable sshd --yes --confirm-within 10s
    hold_waiter
    key_is_not_enough
    break_sshd_config
    release_waiter
    wait_for 'the rollback' test ! -e /etc/ssh/sshd_config.d/00-ivalt.conf
    wait_for 'pam.d, too' cmp -s "$sandbox/untouched/pam.d/sshd" /etc/pam.d/sshd
    # Pending until sshd has its settings of before.
    run_ivaltctl 1 confirm
    expect_captured 'sshd: not confirmed: /etc/ssh/sshd_config.d/00-ivalt.conf does not exist, as before'
    kill -0 "$(sshd_pid)" || fault 'sshd has ended'
    sed -i 1d /etc/ssh/sshd_config
    wait_for 'the end of the waiter' no_waiter_runs
    run_ivaltctl 1 confirm
    expect_captured 'too late'
    expect_untouched
    key_alone_is_enough
}

# While ssh.service is stopped or ssh.socket waits, /run/sshd is missing: that is not the configuration's fault.
enable_sshd_without_its_runtime_folder_case() {
    untouched_system
    stop_sshd
    rmdir /run/sshd
    [[ $(/usr/sbin/sshd -t 2>&1) == 'Missing privilege separation directory: /run/sshd'* ]] || fault 'sshd does not mind'
    run_ivaltctl 0 enable sshd --yes --confirm-within 60s
    expect_captured 'sshd is not running; it reads its configuration when it starts'
    run_ivaltctl 0 confirm
    run_ivaltctl 0 disable sshd --yes
    [[ ! -e /run/sshd ]] || fault 'the folder was made'
    expect_untouched
    mkdir /run/sshd
}

# Fedora's shared files end in sufficient lines: as an include they end the whole stack at the right password, and a
# substack keeps a wrong one to itself.
without_an_end_at_wrong_passwords() {
    printf '%s\n' 'auth sufficient pam_unix.so nullok' 'auth required pam_deny.so' >/etc/pam.d/common-auth
    pam_service_from tests/e2e/untouched/sudo su
    pam_service_from tests/e2e/untouched/sudo login
    untouched_system
}

# Then only key, then iVALT is enabled, and said so.
enable_sshd_where_a_wrong_password_ends_nothing_case() {
    without_an_end_at_wrong_passwords
    run_ivaltctl 1 enable sshd
    expect_captured 'USERS WITHOUT AN SSH KEY CANNOT LOG IN BY SSH AFTER THIS CHANGE'
    expect_captured 'nothing was changed'
    expect_untouched
    run_ivaltctl 0 enable sshd --yes --confirm-within 60s
    expect_captured 'USERS WITHOUT AN SSH KEY CANNOT LOG IN BY SSH AFTER THIS CHANGE'
    cp /home/visitor/visitor.key "$sandbox/key" && chown visitor: "$sandbox/key"
    answers "$alice_password" accept-1
    run_as visitor ssh -i "$sandbox/key" alice@localhost whoami
    expect_let_in alice
    expect_dialogue '(alice@localhost) iVALT token: accept-1'
    answers "$alice_password" accept-2
    run_as visitor ssh alice@localhost whoami
    expect_refused 255
    expect_dialogue ''
    expect_no_log
    run_ivaltctl 0 disable sshd --yes
    expect_untouched
}

# Methods that an administrator wrote would let in by the token alone there.
enable_sshd_refuses_methods_without_a_key_case() {
    without_an_end_at_wrong_passwords
    echo 'AuthenticationMethods publickey,keyboard-interactive keyboard-interactive' >>/etc/ssh/sshd_config
    # Else sshd itself refuses the lists.
    sed -i 's/^KbdInteractiveAuthentication no/KbdInteractiveAuthentication yes/' /etc/ssh/sshd_config
    cp /etc/ssh/sshd_config "$sandbox/untouched/ssh/"
    run_ivaltctl 1 enable sshd --yes
    expect_captured 'write AuthenticationMethods publickey,keyboard-interactive, or remove the line'
    expect_untouched
}

# The administrator's terminal is gone right after the change.
enable_sshd_comes_back_without_its_terminal_case() {
    untouched_system
    setsid script --quiet --flush --command 'ivaltctl enable sshd --yes --confirm-within 8s; sleep 60' /dev/null \
        </dev/null >"$terminal/captured" 2>&1 &
    local script=$!
    wait_for 'its last line' grep -q 'put back automatically' "$terminal/captured"
    hold_waiter
    [[ -e /etc/ssh/sshd_config.d/00-ivalt.conf ]] || fault 'not enabled'
    kill -KILL "$script"
    wait_for 'the end of the terminal' process_gone "$script"
    release_waiter
    wait_for 'the rollback' test ! -e /etc/ssh/sshd_config.d/00-ivalt.conf
    wait_for 'the end of the waiter' no_waiter_runs
    expect_untouched
}

# Killed at any step, the files are as before at once, or when the time is over. strace kills: before each rename and
# fsync, before each process is started, and before sshd is told to reload.
enable_killed_at_every_step_case() {
    untouched_system
    written=()
    local call
    for call in '/^rename' '/^f(data)?sync$' '/^(clone|v?fork)' '/^kill$'; do kill_at_every "$call"; done
    # Before the first of the two files in /etc, between them, and after both.
    [[ $(printf '%s\n' "${written[@]}" | sort -u | xargs) == '0 1 2' ]] || fault "killed after this many files: ${written[*]}"
    run_ivaltctl 0 enable sshd --yes --confirm-within 60s
    run_ivaltctl 0 confirm
    run_ivaltctl 0 disable sshd --yes
    expect_untouched
}

# `kill_at_every SYSTEM_CALL`: once at each time that `enable` makes this call. Adds to `written` how many files in /etc
# were written by then.
kill_at_every() {
    local trace=$sandbox/trace number kills=0
    for number in {1..30}; do
        capture strace -y -o "$trace" -e "trace=$1,/^rename" -e "inject=$1:signal=KILL:when=$number" \
            ivaltctl enable sshd --yes --confirm-within 1s || true
        wait_for 'the end of the waiter' no_waiter_runs
        # A new file that was not renamed yet may be left, which the next `enable` replaces.
        expect_untouched --exclude='.*.new'
        grep -q '^+++ killed by SIGKILL' "$trace" || break
        kills=$((kills + 1))
        written+=("$(grep -cE '^rename.*</etc/[^>]*>, "[^"]*"[^"]* = 0$' "$trace" || true)")
    done
    [[ $kills -gt 0 && $kills -lt 30 ]] || fault "killed $kills times at $1: $(cat "$terminal/captured")"
}

# All files are written then, and the sshd that runs was not told: what is confirmed is so.
enable_killed_before_the_reload_and_confirmed_case() {
    untouched_system
    visitor_has_the_key
    ! killed_at '/^kill$' 1 enable sshd --yes --confirm-within 60s || fault 'was not killed'
    key_alone_is_enough
    run_ivaltctl 0 confirm
    expect_captured 'sshd: iVALT stays enabled'
    key_is_not_enough
    run_ivaltctl 0 disable sshd --yes
    expect_untouched
    key_alone_is_enough
}

# Killed between any two steps, the sshd that runs and the one after a power cut let nobody in who has less than was enough
# before or is enough afterwards.
enable_sshd_is_never_more_open_between_two_writes_case() {
    untouched_system
    visitor_has_the_key
    # Keys alone; from then on also a password and a token.
    sed -i '1a PasswordAuthentication no' /etc/ssh/sshd_config
    cp /etc/ssh/sshd_config "$sandbox/untouched/ssh/"
    reload_sshd
    never_more_open password token
    # A key, or a password at PAM's prompt; from then on a key and a token.
    without_an_end_at_wrong_passwords
    sed -i '/^KbdInteractive/s/no$/yes/' /etc/ssh/sshd_config
    cp /etc/ssh/sshd_config "$sandbox/untouched/ssh/"
    reload_sshd
    never_more_open token
}

# `never_more_open FACTOR…`: none of these alone is enough, neither on the way there nor on the way back.
never_more_open() {
    local call number
    for call in '/^rename' '/^kill$'; do
        for number in {1..9}; do
            ! killed_at "$call" "$number" enable sshd --yes --confirm-within 60s || break
            none_is_enough "enable, killed at $call $number" "$@"
            # Nothing to disable where it was killed before its first step.
            capture ivaltctl disable sshd --yes || true
        done
        run_ivaltctl 0 confirm
        [[ $number -gt 1 ]] || fault "enable was never killed at $call"
        for number in {1..9}; do
            ! killed_at "$call" "$number" disable sshd --yes || break
            none_is_enough "disable, killed at $call $number" "$@"
            capture ivaltctl disable sshd --yes || true
            run_ivaltctl 0 enable sshd --yes --confirm-within 60s
        done
        [[ $number -gt 1 ]] || fault "disable was never killed at $call"
        expect_untouched --exclude='.*.new'
    done
}

# `killed_at SYSTEM_CALL NUMBER ARGUMENT…`: fails if it was.
killed_at() { capture strace -o /dev/null -e "trace=$1" -e "inject=$1:signal=KILL:when=$2" ivaltctl "${@:3}"; }

# `none_is_enough WHEN FACTOR…`
none_is_enough() {
    local sshd factor
    for sshd in 'the sshd that runs' 'the sshd of the next start'; do
        for factor in "${@:2}"; do
            case $factor in
                password) answers "$alice_password" ;;
                token) answers accept-1 accept-2 ;;
            esac
            run_as visitor ssh alice@localhost whoami
            [[ $status -eq 255 ]] || fault "$1: for $sshd a $factor alone is enough"
        done
        stop_sshd
        start_sshd
    done
}

# With the change nobody could log in, so nothing is changed.
enable_refuses_what_would_lock_out_case() {
    untouched_system
    sed -i 's/^key = .*/key = ""/' /etc/ivalt/ivalt.toml
    run_ivaltctl 1 enable sudo --yes
    expect_captured 'settings-invalid'
    expect_untouched
    write_ivalt_settings
    sed -i '/^alice\|^root/d' /etc/ivalt/users.toml
    run_ivaltctl 1 enable sudo --yes
    expect_captured 'nothing was changed; fix the above first'
    expect_untouched
}

# All of them or none; what an administrator has already taken out does not count.
disable_all_case() {
    untouched_system
    run_ivaltctl 0 disable --all --yes
    # shellcheck disable=SC2016 # no command
    expect_captured '`ivaltctl enable` has enabled nothing; nothing to disable'
    run_ivaltctl 0 enable sudo --yes --confirm-within 60s
    run_ivaltctl 0 enable sshd --yes --confirm-within 60s
    run_ivaltctl 0 confirm
    cp -a /etc/pam.d "$sandbox/enabled"
    run_ivaltctl 64 disable --all sudo --yes
    run_ivaltctl 64 disable --yes
    echo '# a word of my own' >>/etc/pam.d/sudo
    run_ivaltctl 1 disable --all --yes
    expect_captured '+# a word of my own'
    sed -i '$d' /etc/pam.d/sudo
    diff -r "$sandbox/enabled" /etc/pam.d || fault 'one was disabled'
    run_ivaltctl 1 disable --all
    expect_captured 'nothing was changed'
    sed -i '/^auth.*pam_ivalt/d' /etc/pam.d/sudo /etc/pam.d/sudo-i
    run_ivaltctl 0 disable --all --yes
    expect_not_captured 'sudo'
    expect_captured 'sshd: iVALT is disabled'
    cp "$sandbox/untouched/pam.d/"sudo* /etc/pam.d/
    expect_untouched
}

disable_shows_what_somebody_changed_case() {
    untouched_system
    run_ivaltctl 0 enable sudo --yes --confirm-within 60s
    run_ivaltctl 0 confirm
    echo '# a word of my own' >>/etc/pam.d/sudo
    run_ivaltctl 1 disable sudo --yes
    expect_captured '+# a word of my own'
    grep -q pam_ivalt /etc/pam.d/sudo || fault 'the line is gone'
    sed -i '$d' /etc/pam.d/sudo
    run_ivaltctl 0 disable sudo --yes
    expect_untouched
}

# A stand-in for systemd, which runs what it is told to run, and says of every unit that the next boot starts it.
systemd_runs() {
    # shellcheck disable=SC2016 # for the other shell
    printf '%s\n' '#!/bin/bash' 'while [[ $1 != -- ]]; do shift; done' 'setsid "${@:2}" </dev/null >>/run/journal 2>&1 &' >"$sandbox/systemd-run"
    # shellcheck disable=SC2016 # for the other shell
    printf '%s\n' '#!/bin/sh' 'cat /run/unit' 'echo "MainPID=$PPID"' >"$sandbox/systemctl"
    printf '%s\n' LoadState=loaded WantedBy=sysinit.target >/run/unit
    chmod 0755 "$sandbox/systemd-run" "$sandbox/systemctl"
    local program
    for program in systemd-run systemctl; do
        [[ -e /usr/bin/$program ]] || : >"/usr/bin/$program"
        mount --bind "$sandbox/$program" "/usr/bin/$program"
    done
    mkdir -p /run/systemd/system
    : >/run/journal
}
# What `enable` says comes from what systemd has, wherever the unit was enabled.
enable_says_whether_a_reboot_cancels_the_rollback_case() {
    untouched_system
    systemd_runs
    mount -t ramfs ramfs /var/lib
    run_ivaltctl 0 enable sudo --yes --confirm-within 60s
    expect_captured 'Without it, everything is put back automatically, also if the machine reboots first.'
    expect_not_captured 'a reboot cancels the rollback'
    run_ivaltctl 0 disable sudo --yes
    printf '%s\n' LoadState=loaded WantedBy= >/run/unit
    run_ivaltctl 0 enable sudo --yes --confirm-within 60s
    expect_captured 'stays enabled, since ivaltctl-rollback.service is not enabled; to change that: systemctl enable ivaltctl-rollback.service'
    expect_captured 'Without it, everything is put back automatically.'
    run_ivaltctl 0 disable sudo --yes
    printf '%s\n' LoadState=bad-setting WantedBy=sysinit.target >/run/unit
    run_ivaltctl 0 enable sudo --yes --confirm-within 60s
    expect_captured 'stays enabled, since systemd does not have ivaltctl-rollback.service (bad-setting); see: systemctl status ivaltctl-rollback.service'
    run_ivaltctl 0 disable sudo --yes
    wait_for 'the end of the waiter' no_waiter_runs
    umount /var/lib
    systemd_ends
    expect_untouched
}
systemd_ends() {
    umount /usr/bin/systemd-run /usr/bin/systemctl
    rmdir /run/systemd/system
}

# README's terminal session is exactly what happens, apart from times. (In the sandbox /var is in memory.)
readme_session_case() {
    untouched_system
    printf '[users]\n' >/etc/ivalt/users.toml
    chmod 0600 /etc/ivalt/users.toml
    pam_service_from tests/e2e/untouched/sudo su
    pam_service_from tests/e2e/untouched/sudo login
    sed -i '/^bob\|^carol/d' /etc/sudoers
    local shown=$sandbox/shown happened=$sandbox/happened command
    sed -n '/^<!-- session -->$/,/^<!-- end of session -->$/p' "$sandbox/README.md" | sed '/^<!--/d; /^```/d' >"$shown"
    grep -q '^# ivaltctl confirm$' "$shown" || fault 'README has no session'
    : >"$happened"
    systemd_runs
    while read -r command; do
        printf '# %s\n' "$command" >>"$happened"
        # The user types the token at its prompt.
        [[ $command != *verify* ]] || echo 'iVALT token: ' >>"$happened"
        bash -c "$command" <<<'accept-1' >>"$happened" 2>&1 || fault "'$command' ended with $?"
    done < <(sed -n 's/^# //p' "$shown")
    sed -i 's/elapsed_ms=[0-9]*/elapsed_ms=182/; s/[[:space:]]*$//' "$shown" "$happened"
    systemd_ends
    grep -qx 'a reboot cancels the rollback: .*, since /var/lib/ivalt lies on an overlay' "$happened" || fault "$(cat "$happened")"
    sed -i '/^a reboot cancels/d; s/put back automatically/&, also if the machine reboots first/' "$happened"
    diff -u "$shown" "$happened" >"$terminal/output" || fault 'README shows something else'
    run_ivaltctl 0 disable sshd --yes
}

# Who runs the tests, as `by=` names them.
tester() {
    local uid
    uid=$(cat /proc/self/loginuid 2>/dev/null || echo 4294967295)
    [[ $uid != 4294967295 ]] || uid=0
    id -un "$uid" 2>/dev/null || echo "$uid"
}

# The messages of ivaltctl since `start_recording`: authpriv.notice, with its name and process id.
changes_logged() { new_log | sed -n 's/^<85>[A-Z][a-z]* *[0-9]* [0-9:]* ivaltctl\[[0-9]*\]: //p'; }
expect_changes_logged() {
    wait_for "the line '${*: -1}'" last_change_is "${*: -1}"
    [[ $(changes_logged) == "$(printf '%s\n' "$@")" ]] || fault "logged: $(changes_logged)"
}
last_change_is() { [[ $(changes_logged | tail -n 1) == "$1" ]]; }

enable_and_users_log_what_they_changed_case() {
    untouched_system
    start_recording
    local by
    by=$(tester)
    run_ivaltctl 0 users add dave '+1 415 555 0101'
    run_ivaltctl 0 users enable dave
    run_ivaltctl 0 users remove dave --dry-run
    run_ivaltctl 1 users remove nobody
    run_ivaltctl 0 users remove dave
    run_ivaltctl 1 enable sudo
    run_ivaltctl 0 enable sudo --dry-run
    run_ivaltctl 0 enable sudo --yes --confirm-within 60s
    run_ivaltctl 0 enable sudo --yes
    run_ivaltctl 0 confirm
    run_ivaltctl 1 confirm
    run_ivaltctl 0 disable --all --dry-run
    run_ivaltctl 0 disable --all --yes
    run_ivaltctl 0 disable --all --yes
    run_ivaltctl 0 enable sudo --yes --confirm-within 1s
    wait_for 'the end of the waiter' no_waiter_runs
    expect_changes_logged \
        "users add user=dave mobile=***0101 by=$by outcome=done" \
        "users remove user=dave by=$by outcome=done" \
        "enable service=sudo by=$by outcome=done" \
        "confirm service=sudo by=$by outcome=done" \
        "disable service=sudo by=$by outcome=done" \
        "enable service=sudo by=$by outcome=done" \
        'rollback service=sudo by=timeout outcome=done'
    ! grep -q 5550101 "$log" || fault 'a whole mobile is in the log'
    # Without a log, all the same.
    stop_log
    run_ivaltctl 0 users disable alice
    run_ivaltctl 0 users enable alice
    start_log
    expect_untouched
}

# `run_json STATUS ARGUMENT…`: standard output alone is captured.
run_json() {
    local ending=0
    ivaltctl "${@:2}" --json </dev/null >"$terminal/captured" 2>"$terminal/errors" || ending=$?
    [[ $ending -eq $1 ]] || fault "${*:2} ended with $ending instead of $1: $(cat "$terminal/captured" "$terminal/errors")"
}
# `expect_json WORDS`: one object, without the diffs and with T for a time.
expect_json() {
    [[ $(wc -l <"$terminal/captured") -eq 1 ]] || fault "more than one line: $(cat "$terminal/captured")"
    python3 -c 'import json, sys; json.load(open(sys.argv[1]))' "$terminal/captured" || fault 'not JSON'
    local without='s/"diffs":\[.*\],"done"/"done"/; s/"findings":\[.*\],"notices"/"notices"/; s/"findings":\[.*\],"services"/"services"/'
    [[ $(sed "$without"'; s/"until":[0-9]\{10\}/"until":T/' "$terminal/captured") == "$1" ]] ||
        fault "not '$1', but: $(cat "$terminal/captured")"
}

enable_confirm_disable_in_json_case() {
    untouched_system
    local files='"files":["/etc/pam.d/sudo","/etc/pam.d/sudo-i"],"service":"sudo"' time
    local cancelled='a reboot cancels the rollback: what nobody has confirmed by then stays enabled, since systemd does not run here'
    run_json 0 enable sudo --yes --confirm-within 60s
    expect_json "{\"changed\":true,\"done\":\"enabled\",\"notices\":[\"$cancelled\"],\"services\":[{$files,\"state\":\"pending\",\"until\":T}]}"
    time=$(sed 's/.*"until":\([0-9]*\).*/\1/' "$terminal/captured")
    [[ $((time - $(date +%s))) -gt 0 && $((time - $(date +%s))) -le 60 ]] || fault "until $time"
    run_json 0 confirm
    expect_json "{\"changed\":true,\"done\":\"confirmed\",\"services\":[{$files,\"state\":\"confirmed\",\"until\":null}]}"
    run_json 1 confirm
    expect_json '{"changed":false,"done":"nothing","refused":"nothing is waiting for a confirmation"}'
    [[ $(cat "$terminal/errors") == 'ivaltctl: nothing is waiting for a confirmation' ]] || fault "$(cat "$terminal/errors")"
    run_json 64 disable --all
    [[ ! -s $terminal/captured ]] || fault "wrong usage printed: $(cat "$terminal/captured")"
    run_json 0 disable --all --yes
    expect_json "{\"changed\":true,\"done\":\"disabled\",\"services\":[{$files,\"state\":\"disabled\",\"until\":null}]}"
    stop_sshd
    run_json 0 enable sshd --yes --confirm-within 60s
    expect_json "{\"changed\":true,\"done\":\"enabled\",\"notices\":[\"$cancelled\",\"sshd is not running; it reads its configuration when it starts\"],\"services\":[{\"files\":[\"/etc/ssh/sshd_config.d/00-ivalt.conf\",\"/etc/pam.d/sshd\"],\"service\":\"sshd\",\"state\":\"pending\",\"until\":T}]}"
    run_ivaltctl 0 disable sshd --yes
    expect_untouched
}

# A power cut between two writes, somebody's copy, or a rollback that is under way: that service stays pending, the others
# are confirmed.
confirm_refuses_what_is_as_before_case() {
    untouched_system
    local by
    by=$(tester)
    run_ivaltctl 0 enable sudo --yes --confirm-within 60s
    run_ivaltctl 0 enable sshd --yes --confirm-within 60s
    cp "$sandbox/untouched/pam.d/sshd" /etc/pam.d/sshd
    start_recording
    run_json 1 confirm
    # shellcheck disable=SC2016 # no command
    local why='sshd: not confirmed: /etc/pam.d/sshd is as it was before `ivaltctl enable`; put everything back: ivaltctl disable sshd; then begin again: ivaltctl enable sshd'
    expect_json "{\"changed\":true,\"done\":\"confirmed\",\"refused\":\"$why\",\"services\":[{\"files\":[\"/etc/ssh/sshd_config.d/00-ivalt.conf\",\"/etc/pam.d/sshd\"],\"service\":\"sshd\",\"state\":\"pending\",\"until\":T},{\"files\":[\"/etc/pam.d/sudo\",\"/etc/pam.d/sudo-i\"],\"service\":\"sudo\",\"state\":\"confirmed\",\"until\":null}]}"
    [[ $(cat "$terminal/errors") == "ivaltctl: $why" ]] || fault "$(cat "$terminal/errors")"
    expect_changes_logged "confirm service=sudo by=$by outcome=done"
    run_ivaltctl 1 confirm
    expect_captured "$why"
    expect_changes_logged "confirm service=sudo by=$by outcome=done"
    # What it offers works, with half of the change and with a folder that is gone.
    run_ivaltctl 0 disable sshd --yes
    rm -r /etc/ssh/sshd_config.d
    run_ivaltctl 0 enable sshd --yes --confirm-within 60s
    rm -r /etc/ssh/sshd_config.d
    run_ivaltctl 1 confirm
    # shellcheck disable=SC2016 # no command
    expect_captured 'sshd: not confirmed: /etc/ssh/sshd_config.d/00-ivalt.conf does not exist, as before `ivaltctl enable`; put everything back: ivaltctl disable sshd; then begin again: ivaltctl enable sshd'
    run_ivaltctl 0 disable sshd --yes
    mkdir /etc/ssh/sshd_config.d
    run_ivaltctl 0 enable sshd --yes --confirm-within 60s
    run_ivaltctl 0 confirm
    expect_captured 'sshd: iVALT stays enabled'
    run_ivaltctl 0 disable --all --yes
    expect_untouched
}

# Refused because of what somebody did to sshd meanwhile; the rollback still comes. Other edits are shown and kept.
confirm_refuses_what_check_finds_case() {
    untouched_system
    run_ivaltctl 0 enable sudo --yes --confirm-within 60s
    run_ivaltctl 0 enable sshd --yes --confirm-within 15s
    echo '# a word of my own' >>/etc/pam.d/sudo
    sed -i '/^UsePAM/s/yes/no/' /etc/ssh/sshd_config.d/00-ivalt.conf
    run_ivaltctl 1 confirm
    expect_captured '+# a word of my own'
    expect_captured '+UsePAM no'
    expect_captured 'lets in /etc/ssh/sshd_config.d/00-ivalt.conf:2 [sshd-pam-off]'
    expect_captured 'sudo: iVALT stays enabled'
    expect_captured 'sshd: not confirmed: somebody is let in or locked out: sshd-pam-off in /etc/ssh/sshd_config.d/00-ivalt.conf:2; fix that as shown above, and run this again, or undo the edits shown above, and put everything back: ivaltctl disable sshd; or, where it is meant: ivaltctl check --accept ID:FILE --because TEXT'
    grep -q '"pending"' /var/lib/ivalt/sshd.json || fault 'sshd is not pending'
    grep -q '^# a word of my own$' /etc/pam.d/sudo || fault 'the edit is gone'
    wait_for 'the end of the waiter' no_waiter_runs
    run_ivaltctl 1 confirm
    expect_captured 'too late: sshd was not confirmed in time'
    sed -i '$d' /etc/pam.d/sudo
    # The settings are those of --config, as for `enable`.
    run_ivaltctl 0 enable sshd --yes --confirm-within 60s
    run_ivaltctl 1 confirm --config /etc/ivalt/none.toml
    expect_captured 'sshd: not confirmed: somebody is let in or locked out: '
    expect_captured ' in /etc/ivalt/none.toml'
    run_ivaltctl 0 confirm
    run_ivaltctl 0 disable --all --yes
    expect_untouched
}

# The lock decides: `confirm` is typed while the rollback writes. strace makes each of its renames take a while.
confirm_while_the_rollback_writes_case() {
    untouched_system
    strace -f -o /dev/null -e trace=/^rename -e 'inject=/^rename:delay_enter=2s' \
        ivaltctl enable sudo --yes --confirm-within 8s >"$terminal/captured" 2>&1 </dev/null &
    wait_for 'the change' grep -q pam_ivalt /etc/pam.d/sudo-i
    wait_for 'the first file that is back' one_of_sudo_is_back
    run_ivaltctl 1 confirm
    expect_captured 'too late: sudo was not confirmed in time, and everything was put back; start again: ivaltctl enable sudo'
    wait_for 'the end of the waiter' no_waiter_runs
    expect_untouched
}
one_of_sudo_is_back() {
    cmp -s "$sandbox/untouched/pam.d/sudo" /etc/pam.d/sudo || cmp -s "$sandbox/untouched/pam.d/sudo-i" /etc/pam.d/sudo-i
}

# What a power cut may undo is not said to stay.
confirm_that_is_not_on_the_disk_case() {
    untouched_system
    run_ivaltctl 0 enable sudo --yes --confirm-within 60s
    capture strace -o /dev/null -P /var/lib/ivalt -e trace=/^fsync -e inject=/^fsync:error=EIO ivaltctl confirm && fault 'confirmed'
    expect_captured 'sudo: it is not certain that iVALT stays enabled: /var/lib/ivalt/sudo.json: cannot be used: it cannot be synced (Input/output error): the change is made, and a power cut may undo it; look for errors of that disk: dmesg'
    expect_not_captured 'sudo: iVALT stays enabled'
    # The truth is that it is confirmed, for now.
    run_ivaltctl 1 confirm
    expect_captured 'nothing is waiting for a confirmation'
    run_ivaltctl 0 disable sudo --yes
    expect_untouched
    run_ivaltctl 0 enable sudo --yes --confirm-within 60s
    capture strace -o /dev/null -P /var/lib/ivalt -e trace=/^fsync -e inject=/^fsync:error=EIO ivaltctl confirm --json && fault 'confirmed'
    expect_captured '{"changed":true,"done":"nothing","refused":"sudo: it is not certain that iVALT stays enabled: '
    expect_captured '"state":"confirmed","until":null}'
    run_ivaltctl 0 disable sudo --yes
    expect_untouched
}

# Every file and folder: inode, mode, owner, size, and when content and attributes changed.
facts_of_the_system() {
    find /etc /var/lib -printf '%p %i %m %u:%g %s %T@ %C@\n' | sort
    find /etc /var/lib -type f -exec cksum {} + | sort
    changes_logged
    pgrep -x ivaltctl || true
}

dry_run_changes_nothing() {
    local status=$1
    shift
    facts_of_the_system >"$sandbox/facts"
    run_ivaltctl "$status" "$@" --dry-run
    run_json "$status" "$@" --dry-run
    grep -q '"changed":false' "$terminal/captured" || fault "$*: $(cat "$terminal/captured")"
    facts_of_the_system | diff "$sandbox/facts" - >"$terminal/differences" || fault "$*: $(cat "$terminal/differences")"
}

enable_and_disable_dry_run_change_nothing_case() {
    untouched_system
    start_recording
    rm -f /etc/ivalt/.users.toml.lock
    dry_run_changes_nothing 0 enable sudo
    dry_run_changes_nothing 0 enable sshd
    dry_run_changes_nothing 1 enable nosuch
    dry_run_changes_nothing 1 disable sudo
    dry_run_changes_nothing 0 disable --all
    dry_run_changes_nothing 0 users add dave +14155550101
    dry_run_changes_nothing 0 users disable alice
    run_ivaltctl 0 enable sudo --yes --confirm-within 60s
    run_ivaltctl 0 enable sshd --yes --confirm-within 60s
    run_ivaltctl 0 confirm
    wait_for 'the end of the waiters' no_waiter_runs
    # An older version left it open.
    chmod 0755 /var/lib/ivalt
    dry_run_changes_nothing 0 disable --all
    dry_run_changes_nothing 0 disable sshd
    dry_run_changes_nothing 0 enable sudo
    echo 'Colour green' >>/etc/ssh/sshd_config
    run_ivaltctl 1 enable sshd --dry-run
    sed -i '$d' /etc/ssh/sshd_config
    # As with a file system that went read-only.
    mount --bind /etc/pam.d /etc/pam.d
    mount -o remount,bind,ro /etc/pam.d
    dry_run_changes_nothing 1 disable --all
    run_ivaltctl 1 disable --all --yes
    expect_captured '/etc/pam.d/sshd: cannot be written: Read-only file system; '
    umount /etc/pam.d
    run_ivaltctl 0 disable --all --yes
    expect_untouched
}

# What cannot be proven is found before anything is changed, or everything is put back.
disable_all_is_all_or_none_case() {
    untouched_system
    visitor_has_the_key
    # Made by `enable`, so that `disable` removes it, and must make it again.
    rm -r /etc/ssh/sshd_config.d "$sandbox/untouched/ssh/sshd_config.d"
    local by listener
    by=$(tester)
    run_ivaltctl 0 enable sudo --yes --confirm-within 60s
    run_ivaltctl 0 enable sshd --yes --confirm-within 60s
    run_ivaltctl 0 confirm
    rm -rf "$sandbox/all-enabled"
    cp -a /etc "$sandbox/all-enabled"
    start_recording
    listener=$(sshd_pid)
    kill -STOP "$listener"
    goes_on_once_put_back "$listener" test ! -e /etc/ssh/sshd_config.d/00-ivalt.conf &
    run_ivaltctl 1 disable --all --yes
    expect_captured 'has not done so; its log says why: journalctl -t sshd; /etc/init.d/ssh reload; everything was put back: iVALT stays enabled'
    expect_not_captured 'is disabled'
    expect_enabled
    [[ $(changes_logged) == "disable service=sshd by=$by outcome=put-back cause=\"sshd (process $listener) was told to reload its configuration and has not done so;"* ]] || fault "logged: $(changes_logged)"
    [[ $(changes_logged | wc -l) -eq 1 ]] || fault "logged: $(changes_logged)"
    key_is_not_enough
    sudo_asks_for_a_token
    stop_sshd
    setsid python3 -c 'import socket, time; s = socket.create_server(("127.0.0.1", 22)); time.sleep(60)' &
    listener=$!
    wait_for 'the other program' port_is_listened_at 22
    start_recording
    dry_run_changes_nothing 1 disable --all
    run_ivaltctl 1 disable --all --yes
    expect_captured "nothing was changed: what listens on port 22 is not sshd, so it is not clear what must reload sshd's configuration"
    expect_enabled
    [[ -z $(changes_logged) ]] || fault "logged: $(changes_logged)"
    kill "$listener"
    wait_for 'the end of the listener' process_gone "$listener"
    run_ivaltctl 0 disable --all --yes
    expect_untouched
}
expect_enabled() {
    diff -r "$sandbox/all-enabled/pam.d" /etc/pam.d >"$terminal/differences" || fault "$(cat "$terminal/differences")"
    diff -r "$sandbox/all-enabled/ssh" /etc/ssh >"$terminal/differences" || fault "$(cat "$terminal/differences")"
    [[ $(echo /var/lib/ivalt/*.json) == '/var/lib/ivalt/sshd.json /var/lib/ivalt/sudo.json' ]] || fault "$(ls /var/lib/ivalt)"
}

# What is pending and nobody waits for is put back at the next start of the system; a process that waits is left alone.
enable_rollback_without_a_waiter_case() {
    untouched_system
    visitor_has_the_key
    run_ivaltctl 0 rollback
    run_ivaltctl 0 enable sudo --yes --confirm-within 60s
    run_ivaltctl 0 enable sshd --yes --confirm-within 60s
    cp -a /etc "$sandbox/pending"
    run_ivaltctl 1 check
    expect_not_captured rollback-not-waiting
    run_ivaltctl 0 rollback
    # shellcheck disable=SC2016 # no command
    expect_captured 'sshd: left alone: a process waits for `ivaltctl confirm`'
    # shellcheck disable=SC2016 # no command
    expect_captured 'sudo: left alone: a process waits for `ivaltctl confirm`'
    diff -r "$sandbox/pending/pam.d" /etc/pam.d || fault 'a living waiter was overruled'
    pkill -KILL -x ivaltctl
    wait_for 'the end of the waiters' no_waiter_runs
    key_is_not_enough
    sed -i 's/"boot": "[^"]*"/"boot": "an earlier one"/' /var/lib/ivalt/sshd.json
    run_ivaltctl 0 rollback
    expect_captured 'sshd: not confirmed before the machine went down; put back: /etc/ssh/sshd_config.d/00-ivalt.conf, /etc/pam.d/sshd'
    expect_captured 'sudo: not confirmed, and the process that waited has ended; put back: /etc/pam.d/sudo, /etc/pam.d/sudo-i'
    expect_untouched
    expect_changes_logged 'rollback service=sshd by=ivaltctl-rollback outcome=done' \
        'rollback service=sudo by=ivaltctl-rollback outcome=done'
    key_alone_is_enough
    run_ivaltctl 1 confirm
    expect_captured 'too late'
    run_ivaltctl 0 rollback
    [[ ! -s $terminal/captured ]] || fault "$(cat "$terminal/captured")"
}

# As after a power cut between two writes; and without a boot id, as older versions saved it.
enable_rollback_of_half_an_enable_case() {
    untouched_system
    visitor_has_the_key
    run_ivaltctl 0 enable sshd --yes --confirm-within 60s
    pkill -KILL -x ivaltctl
    wait_for 'the end of the waiter' no_waiter_runs
    run_ivaltctl 1 check
    expect_captured 'sshd was enabled and not confirmed, and the process that would put it back has ended: it stays so while the system runs'
    expect_captured 'fix: where logins work: ivaltctl confirm'
    expect_captured 'fix: where they do not: ivaltctl disable sshd'
    cp "$sandbox/untouched/pam.d/sshd" /etc/pam.d/sshd
    run_ivaltctl 2 check
    expect_captured 'locks out /var/lib/ivalt/sshd.json [rollback-not-waiting]'
    expect_captured 'only a part of it is written, not /etc/pam.d/sshd'
    sed -i '/"boot"/d; s/,$/&/' /var/lib/ivalt/sshd.json
    python3 -c 'import json; p = "/var/lib/ivalt/sshd.json"; s = open(p).read(); s = s.rstrip("} \n,"); open(p, "w").write(s + "}\n")'
    run_ivaltctl 0 rollback
    expect_captured 'sshd: not confirmed; put back: '
    expect_untouched
    key_alone_is_enough
    # While the system starts, nothing runs, and sshd may not even be able to test its configuration.
    run_ivaltctl 0 enable sshd --yes --confirm-within 60s
    pkill -KILL -x ivaltctl
    wait_for 'the end of the waiter' no_waiter_runs
    stop_sshd
    echo 'Colour green' >>/etc/ssh/sshd_config
    run_ivaltctl 0 rollback
    sed -i '$d' /etc/ssh/sshd_config
    expect_untouched
}

# One that cannot be put back keeps no other from it, and is tried again.
enable_rollback_of_what_it_can_case() {
    untouched_system
    run_ivaltctl 0 enable sudo --yes --confirm-within 60s
    run_ivaltctl 0 enable sshd --yes --confirm-within 60s
    pkill -KILL -x ivaltctl
    wait_for 'the end of the waiters' no_waiter_runs
    cp -a /var/lib/ivalt "$sandbox/states"
    echo '{' >/var/lib/ivalt/login.json
    chmod 0600 /var/lib/ivalt/login.json
    cp -a /var/lib/ivalt/sudo.json /var/lib/ivalt/copy.json
    chmod 0644 /var/lib/ivalt/rollback-sshd.lock
    run_ivaltctl 1 check
    expect_captured 'warning /var/lib/ivalt/login.json [saved-state-unusable]'
    run_ivaltctl 1 rollback
    expect_captured 'ivaltctl: copy: /var/lib/ivalt/copy.json: is the saved state of sudo, by another name; inspect it, then move it away'
    expect_captured 'ivaltctl: login: /var/lib/ivalt/login.json: EOF while parsing'
    expect_captured 'ivaltctl: sshd: /var/lib/ivalt/rollback-sshd.lock: users other than root may open it, and so could keep ivaltctl waiting; nothing was changed; remove it: rm /var/lib/ivalt/rollback-sshd.lock'
    expect_captured 'sudo: not confirmed, and the process that waited has ended'
    diff "$sandbox/untouched/pam.d/sudo" /etc/pam.d/sudo || fault 'sudo was not put back'
    rm /var/lib/ivalt/rollback-sshd.lock /var/lib/ivalt/login.json /var/lib/ivalt/copy.json
    run_ivaltctl 0 rollback
    expect_untouched
}

# As the unit does, every half minute: it goes on, and the log gets a line less and less often.
enable_rollback_that_fails_again_and_again_case() {
    local retries lines=() by
    untouched_system
    systemd_runs
    by=$(tester)
    start_recording
    run_ivaltctl 0 enable sudo --yes --confirm-within 60s
    pkill -KILL -x ivaltctl
    wait_for 'the end of the waiter' no_waiter_runs
    mount --bind /etc/pam.d /etc/pam.d
    mount -o remount,bind,ro /etc/pam.d
    for retries in {0..9}; do
        echo "NRestarts=$retries" >/run/unit
        run_ivaltctl 1 rollback
        expect_captured 'sudo: /etc/pam.d/sudo-i: cannot be written: '
    done
    # By hand, always.
    echo MainPID=0 >>/run/unit
    run_ivaltctl 1 rollback
    umount /etc/pam.d
    run_ivaltctl 0 rollback
    mapfile -t lines < <(changes_logged | sed 's/ cause=.*//')
    [[ ${#lines[@]} -eq 8 && ${lines[0]} == "enable service=sudo by=$by outcome=done" &&
        ${lines[7]} == 'rollback service=sudo by=ivaltctl-rollback outcome=done' ]] || fault "$(changes_logged)"
    [[ $(printf '%s\n' "${lines[@]:1:6}" | sort -u) == 'rollback service=sudo by=ivaltctl-rollback outcome=failed' ]] || fault "$(changes_logged)"
    systemd_ends
    expect_untouched
}

# Where PAM asks for iVALT in the password's place, the files are back before sshd is told. strace kills in between.
enable_rollback_killed_before_the_reload_case() {
    without_an_end_at_wrong_passwords
    run_ivaltctl 0 enable sshd --yes --confirm-within 60s
    pkill -KILL -x ivaltctl
    wait_for 'the end of the waiter' no_waiter_runs
    ! killed_at '/^kill$' 1 rollback || fault 'was not killed'
    expect_untouched
    run_ivaltctl 1 check
    expect_captured 'warning /var/lib/ivalt/sshd.json [rollback-not-waiting]'
    expect_captured 'before it told the sshd that runs: that may still ask for iVALT and refuse a key alone'
    run_ivaltctl 0 disable sshd --yes
    run_ivaltctl 1 check
    expect_not_captured rollback-not-waiting
    visitor_has_the_key
    key_alone_is_enough
}

# Whatever comes first, the files and the state say the same.
enable_rollback_at_the_same_time_case() {
    untouched_system
    local try
    for try in 1 2 3 4 5; do
        run_ivaltctl 0 enable sudo --yes --confirm-within 60s
        pkill -KILL -x ivaltctl
        wait_for 'the end of the waiter' no_waiter_runs
        ivaltctl rollback >"$sandbox/one" 2>&1 &
        ivaltctl confirm >"$sandbox/two" 2>&1 &
        ivaltctl rollback >"$sandbox/three" 2>&1 &
        wait
        if grep -q '"state": "confirmed"' /var/lib/ivalt/sudo.json; then
            grep -q pam_ivalt /etc/pam.d/sudo || fault "try $try: confirmed, and put back"
            run_ivaltctl 0 disable sudo --yes
        else
            grep -q '"state": "put-back"' /var/lib/ivalt/sudo.json || fault "try $try: $(cat "$sandbox"/{one,two,three})"
            [[ $(cat "$sandbox/one" "$sandbox/three" | grep -c 'put back:') -eq 1 ]] || fault "try $try: put back twice"
        fi
        expect_untouched
    done
}

# Under systemd the waiter's words go to the journal.
enable_rollback_says_what_it_does_case() {
    untouched_system
    systemd_runs
    run_ivaltctl 0 enable sudo --yes --confirm-within 60s
    expect_captured 'Until when: systemctl status ivaltctl-rollback-sudo'
    # shellcheck disable=SC2016 # no command
    wait_for 'its first line' grep -qx 'sudo: waiting for `ivaltctl confirm` until 20[0-9-]*T[0-9:]*Z; without it, everything is put back' /run/journal
    run_ivaltctl 0 confirm
    wait_for 'the end of the waiter' no_waiter_runs
    [[ $(tail -n 1 /run/journal) == 'sudo: confirmed; iVALT stays enabled' ]] || fault "$(cat /run/journal)"
    run_ivaltctl 0 disable sudo --yes
    run_ivaltctl 0 enable sudo --yes --confirm-within 60s
    run_ivaltctl 0 disable sudo --yes
    wait_for 'the end of the waiter' no_waiter_runs
    [[ $(tail -n 1 /run/journal) == 'sudo: disabled; nothing is left to put back' ]] || fault "$(cat /run/journal)"
    run_ivaltctl 0 enable sudo --yes --confirm-within 1s
    wait_for 'the end of the waiter' no_waiter_runs
    [[ $(tail -n 1 /run/journal) == 'sudo: not confirmed in time; put back: /etc/pam.d/sudo, /etc/pam.d/sudo-i' ]] || fault "$(cat /run/journal)"
    systemd_ends
    expect_untouched
}
