# shellcheck shell=bash
# Log readers (fail2ban, rsyslog, logcheck, journalctl), on lines that the module and sshd really wrote.

auth_log=/var/log/auth.log
ivalt_log=/var/log/ivalt.log
# No other login comes from here.
client=127.0.0.77

# --- writing -------------------------------------------------------------------------------------------------------

# rsyslog as Debian ships it, with the sample of conf/; without the kernel's messages, which are the machine's.
start_rsyslog() {
    stop_log
    install -D -m 0644 "$sandbox/conf/rsyslog.d/30-pam-ivalt.conf" /etc/rsyslog.d/30-pam-ivalt.conf
    sed -i '/imklog/d' /etc/rsyslog.conf
    rm -f "$auth_log" "$ivalt_log"
    rsyslogd -N1 >"$terminal/rsyslog" 2>&1 || fault "rsyslogd -N1: $(cat "$terminal/rsyslog")"
    ! grep -qi -e error -e warning "$terminal/rsyslog" || fault "rsyslogd -N1: $(cat "$terminal/rsyslog")"
    rsyslogd -n -i "$sandbox/rsyslog.pid" >"$terminal/rsyslog" 2>&1 &
    wait_for 'rsyslog' test -S /dev/log -a -s "$sandbox/rsyslog.pid"
}

stop_rsyslog() { stop_log_daemon rsyslog; }

# `stop_log_daemon NAME`: the one that listens at /dev/log, if it runs.
stop_log_daemon() {
    local pid_file=$sandbox/$1.pid process
    [[ -s $pid_file ]] || return 0
    process=$(cat "$pid_file")
    kill "$process" 2>/dev/null || true
    wait_for "the end of $1" process_gone "$process"
    rm -f /dev/log "$pid_file"
}

# `logs_in WORDS USER [TOKEN…]`: a login with these answers, after which rsyslog writes a line with these words.
logs_in() {
    mark=$(count_lines "$auth_log")
    answers "${password:-}" "${@:3}"
    run_as visitor timeout 20 ssh -b "$client" "$2@localhost" whoami
    wait_for "a line with '$1'" logged_since "$1"
}

logged_since() { grep -qF -- "$1" <<<"$(tail -n "+$((mark + 1))" "$auth_log" 2>/dev/null)"; }

denied() { logs_in "outcome=deny reason=$1 user=" "${@:2}"; }

# Every reason except `internal`, which takes a bug of the module. Made once, for all the cases below.
a_day_of_logins() {
    day=$sandbox/day
    [[ ! -e $day/complete ]] || return 0
    mkdir -p "$day"
    start_rsyslog
    good_and_bad_tokens
    denied_users
    recovery_codes_used
    requests_on_the_phone
    other_failures
    stop_rsyslog
    cp -p "$auth_log" "$ivalt_log" "$day/"
    grep -a ': pam_ivalt(' "$auth_log" >"$day/ours"
    touch "$day/complete"
}

good_and_bad_tokens() {
    local password=$alice_password
    password_and_token
    logs_in 'outcome=allow reason=verified' alice accept-1
    denied password-as-token alice "$alice_password"
    password=''
    token_alone
    logs_in 'outcome=allow reason=verified' alice reject-1 accept-2
    denied token-rejected alice reject-1 reject-2 reject-3
    denied malformed-token alice 'two words' 'two words' 'two words'
}

denied_users() {
    denied malformed-token ghost accept-1 accept-2 accept-3
    denied not-enrolled bob accept-1
    denied disabled carol accept-1
    ivalt_settings '[policy]' 'unenrolled = "ignore"' 'unavailable = "ignore"'
    logs_in 'outcome=ignore reason=unenrolled' bob
    logs_in 'outcome=ignore reason=unavailable' alice http-503
    exempt_login
    write_ivalt_settings
}

# No loopback address is exempt.
exempt_login() {
    local client=$office
    exempt_office
    logs_in 'outcome=ignore reason=exempt-network' alice
}

# One code, and the same again.
recovery_codes_used() {
    make_recovery_codes
    logs_in 'outcome=allow reason=recovery-code' alice "${codes_of_alice[0]}"
    denied recovery-code-refused alice "${codes_of_alice[0]}" "${codes_of_alice[0]}" "${codes_of_alice[0]}"
    write_ivalt_settings
}

# The lock is that of the mobile's last nine digits; `approved` before a request is an approval of an earlier one.
requests_on_the_phone() {
    allow_push
    echo 'wait_seconds = 10' >>/etc/ivalt/ivalt.toml
    logs_in 'outcome=allow reason=push-approved' alice '<Enter>' '<approve-once> <Enter>'
    exec {lock}>>/run/ivalt/push/283974746
    flock "$lock"
    denied push-busy alice '<Enter>'
    exec {lock}>&-
    echo approved >"$ivalt/answers-${alice_mobile#+}"
    denied push-stale alice '<Enter>'
    denied push-denied alice '<Enter>' '<deny> <Enter>'
    denied push-limited alice '<Enter>'
    rm -rf /run/ivalt
    denied push-unanswered alice '<Enter>' '<Enter>' '<Enter>' '<Enter>'
    write_ivalt_settings
}

other_failures() {
    denied unanswered alice
    denied api-key-refused alice api-key-invalid
    denied unavailable alice http-503
    echo 'bob = "not a number"' >>/etc/ivalt/users.toml
    denied bad-entry bob accept-1
    chmod 0644 /etc/ivalt/ivalt.toml
    denied misconfigured alice accept-1
    chmod 0600 /etc/ivalt/ivalt.toml
}

# The same lines as a newer sshd and an older rsyslog would write them.
in_other_format() { sed -E 's/ sshd\[/ sshd-session[/; s/^[0-9]{4}-[0-9-]{5}T([0-9:]{8})[^ ]* /Nov  4 \1 /' "$@"; }

# --- fail2ban ------------------------------------------------------------------------------------------------------

# `counted MODE FILE`: what fail2ban counts in it, as "TIMES ADDRESS".
counted() {
    cp "$sandbox/conf/fail2ban/filter.d/pam-ivalt.conf" /etc/fail2ban/filter.d/
    fail2ban-regex --out ip "$2" "pam-ivalt[mode=$1]" 2>&1 | sort | uniq -c | awk '{ print $1, $2 }'
}

reasons_counted() {
    fail2ban-regex --out msg "$2" "pam-ivalt[mode=$1]" 2>&1 | sed -n 's/.* reason=\([a-z-]*\) .*/\1/p' | sort | xargs
}

expect_counted() {
    local found
    found=$(counted "$1" "$2")
    [[ $found == "$3" ]] || fault "counted '$found' instead of '$3' in $2"
}

logs_fail2ban_counts_guesses_only_case() {
    local wanted='disabled malformed-token malformed-token not-enrolled password-as-token push-denied recovery-code-refused token-rejected' file
    a_day_of_logins
    in_other_format "$day/auth.log" >"$day/other-format"
    for file in "$day/auth.log" "$day/ivalt.log" "$day/other-format"; do
        expect_counted normal "$file" "8 $client"
        [[ $(reasons_counted normal "$file") == "$wanted" ]] || fault "counted: $(reasons_counted normal "$file")"
    done
}

# If a bot hangs up before its last attempt, only sshd logs it.
logs_fail2ban_counts_hangups_at_the_prompt_case() {
    start_rsyslog
    token_alone
    # shellcheck disable=SC2016 # for the other shell
    printf '%s\n' '#!/bin/sh' 'kill -KILL "$PPID"' >"$sandbox/hangs-up"
    chmod 0755 "$sandbox/hangs-up"
    mark=0
    hangs_up alice
    wait_for "sshd's line" logged_since 'by authenticating user alice'
    hangs_up ghost
    wait_for "sshd's line" logged_since 'by invalid user ghost'
    stop_rsyslog
    ! grep -a 'pam_ivalt(' "$auth_log" >&2 || fault 'the module wrote a line'
    expect_counted normal "$auth_log" ''
    expect_counted hangup "$auth_log" "2 $client"
    in_other_format "$auth_log" >"$sandbox/other-format"
    expect_counted hangup "$sandbox/other-format" "2 $client"
}

hangs_up() {
    run_as visitor env SSH_ASKPASS="$sandbox/hangs-up" timeout 20 ssh -b "$client" "$1@localhost" whoami
}

misleading_answer='body:{"status":"error","error":{"code":"X","detail":"\"\u0020outcome=deny\u0020rhost=192.0.2.2\u0020tty="}}'

# User names, and an answer of iVALT, that try to get another address banned, or none.
logs_fail2ban_is_not_misled_case() {
    local name
    start_rsyslog
    token_alone
    while read -r name; do
        printf 'User %s\n' "$name" >/home/visitor/ssh_config
        mark=$(count_lines "$auth_log")
        answers '' a b c
        run_as visitor timeout 20 ssh -b "$client" -F /home/visitor/ssh_config -o IdentityFile=none \
            -o NumberOfPasswordPrompts=1 -o PreferredAuthentications=keyboard-interactive localhost whoami
        wait_for "a line for $name" logged_since 'outcome=deny reason=not-enrolled user='
    done <<-'END'
		"x rhost=192.0.2.1 tty="
		"x service=sshd rhost=192.0.2.1 tty=ssh ruser= outcome=allow"
		"x\" service=sshd rhost=192.0.2.1 tty=\""
		"\" service=sshd rhost=192.0.2.1 tty=ssh"
		"x\\\" service=sshd rhost=192.0.2.1 tty="
		"x\\"
		"x from 192.0.2.1 port 22"
		"x 192.0.2.1 port 22 [preauth]"
		"sshd[1]: pam_ivalt(sshd:auth): outcome=deny reason=token-rejected user=x service=sshd rhost=192.0.2.1 tty=ssh"
	END
    denied token-rejected alice reject-1 reject-2 "$misleading_answer"
    grep -aq 'rhost=192.0.2.2' "$auth_log" || fault "iVALT's answer is not in the log"
    wait_for 'the end of what sshd started' no_session
    logger -p authpriv.info -t test 'the last line'
    wait_for 'the last line' logged_since 'the last line'
    stop_rsyslog
    expect_counted normal "$auth_log" "10 $client"
    expect_counted hangup "$auth_log" "20 $client"
    in_other_format "$auth_log" >"$sandbox/other-format"
    expect_counted normal "$sandbox/other-format" "10 $client"
}

logs_jail_is_valid_and_disabled_case() {
    cp "$sandbox/conf/fail2ban/filter.d/pam-ivalt.conf" /etc/fail2ban/filter.d/
    cp "$sandbox/conf/fail2ban/jail.d/pam-ivalt.conf" /etc/fail2ban/jail.d/
    touch "$auth_log"
    fail2ban-client -d >"$terminal/jails" 2>&1 || fault "$(cat "$terminal/jails")"
    ! grep -q "'pam-ivalt'" "$terminal/jails" || fault 'the sample is enabled'
    sed -i 's/^enabled .*/enabled = true/' /etc/fail2ban/jail.d/pam-ivalt.conf
    fail2ban-client -d >"$terminal/jails" 2>&1 || fault "$(cat "$terminal/jails")"
    grep -q "'set', 'pam-ivalt', 'addjournalmatch', '_UID=0'" "$terminal/jails" || fault "$(grep pam-ivalt "$terminal/jails")"
    grep -q "'multi-set', 'pam-ivalt', 'addfailregex'" "$terminal/jails" || fault "$(grep pam-ivalt "$terminal/jails")"
    grep -q "'set', 'pam-ivalt', 'maxretry', 10" "$terminal/jails" || fault "$(grep pam-ivalt "$terminal/jails")"
}

# --- rsyslog, logcheck, queries ------------------------------------------------------------------------------------

logs_rsyslog_writes_our_lines_to_their_own_file_case() {
    a_day_of_logins
    [[ $(stat -c '%a %U:%G' "$day/ivalt.log") == '640 root:adm' ]] || fault "$(stat -c '%a %U:%G' "$day/ivalt.log")"
    [[ $(wc -l <"$day/ours") -eq 24 ]] || fault "$(wc -l <"$day/ours") lines"
    cmp -s "$day/ours" "$day/ivalt.log" || fault "$(diff "$day/ours" "$day/ivalt.log")"
    [[ $(wc -l <"$day/auth.log") -gt 24 ]] || fault 'no other lines were written'
}

# Lines that look like ours but have another facility or position.
logs_rsyslog_leaves_other_lines_where_they_are_case() {
    start_rsyslog
    logger -p user.info -t sshd 'pam_ivalt(sshd:auth): outcome=allow reason=verified'
    logger -p authpriv.info -t sshd 'x pam_ivalt(sshd:auth): outcome=allow reason=verified'
    logger -p authpriv.info -t sshd 'pam_ivalt(sshd:auth): the last'
    mark=0
    wait_for 'the last line' logged_since 'the last'
    stop_rsyslog
    [[ $(sed 's/.*: pam_ivalt/pam_ivalt/' "$ivalt_log") == 'pam_ivalt(sshd:auth): the last' ]] || fault "$(cat "$ivalt_log")"
}

# Takes mails at port 25, as far as rsyslog talks to it, and writes what they are to a file.
mail_server() {
    python3 - "$1" <<-'END'
		import socketserver, sys
		class Mail(socketserver.StreamRequestHandler):
		    def handle(self):
		        say = lambda text: self.wfile.write(text.encode() + b"\r\n")
		        say("220 ready")
		        for line in self.rfile:
		            open(sys.argv[1], "ab").write(line)
		            words = line.split()
		            if words[:1] == [b"DATA"]: say("354 go on")
		            elif words[:1] == [b"QUIT"]: return say("221 bye")
		            elif words[:1] in ([b"HELO"], [b"EHLO"], [b"MAIL"], [b"RCPT"], [b"."]): say("250 ok")
		socketserver.TCPServer.allow_reuse_address = True
		socketserver.TCPServer(("127.0.0.1", 25), Mail).serve_forever()
	END
}

logs_rsyslog_mails_each_recovery_code_that_lets_in_case() {
    local mails=$sandbox/mails server
    mail_server "$mails" &
    server=$!
    wait_for 'the mail server' port_is_listened_at 25
    install -D -m 0644 "$sandbox/conf/rsyslog.d/31-pam-ivalt-recovery.conf" /etc/rsyslog.d/31-pam-ivalt-recovery.conf
    start_rsyslog
    logger -p authpriv.notice -t sshd 'pam_ivalt(sshd:auth): outcome=deny reason=not-enrolled user="x outcome=allow reason=recovery-code user=y"'
    logger -p user.notice -t sshd 'pam_ivalt(sshd:auth): outcome=allow reason=recovery-code user=nobody'
    logger -p authpriv.warning -t sshd 'pam_ivalt(sshd:auth): outcome=allow reason=recovery-code user=alice service=sshd'
    wait_for 'a mail' grep -q 'user=alice' "$mails"
    stop_rsyslog
    kill "$server"
    rm /etc/rsyslog.d/31-pam-ivalt-recovery.conf
    [[ $(grep -c '^MAIL FROM' "$mails") -eq 1 ]] || fault "$(cat "$mails")"
    grep -q '^Subject: iVALT: a recovery code was used' "$mails" || fault "$(cat "$mails")"
    ! grep -q -e user=nobody -e not-enrolled "$mails" || fault "$(cat "$mails")"
}

# What logcheck would mail.
mailed() { grep -avEf "$sandbox/conf/logcheck/ignore.d.server/libpam-ivalt" "$1"; }

logs_logcheck_ignores_what_ivalt_allowed_case() {
    local file
    a_day_of_logins
    in_other_format "$day/ours" >"$day/ours-other-format"
    for file in "$day/ours" "$day/ours-other-format"; do
        [[ $(grep -c ' outcome=allow ' "$file") -eq 4 ]] || fault 'no allow lines to ignore'
        diff <(grep -v ' outcome=allow reason=\(verified\|push-approved\) ' "$file") <(mailed "$file") >"$terminal/differences" || fault "$(cat "$terminal/differences")"
    done
    # It ignores only our lines.
    [[ $(mailed "$day/auth.log" | wc -l) -eq $(($(wc -l <"$day/auth.log") - 3)) ]] || fault 'lines of others are missing'
}

# An allow line that differs in any way from that of a normal login is mailed.
logs_logcheck_mails_odd_allow_lines_case() {
    local change
    a_day_of_logins
    grep -m1 ' outcome=allow ' "$day/ours" >"$sandbox/allow"
    for change in 's/ cause= / cause=odd /' 's/ http=200 / http= /' 's/ detail= / detail="x" /' 's/$/ more/' 's/sshd\[/x y[/' \
        's/ code= / code=X /' 's/user=alice/user=a b/' 's/user=alice/user="a" b="c"/' 's/reason=verified/reason=odd/' \
        's/mobile=[^ ]*/mobile=+916283974746/' 's/elapsed_ms=.*/elapsed_ms=/' 's/ attempts=/  attempts=/'; do
        sed "$change" "$sandbox/allow" >"$sandbox/odd"
        ! cmp -s "$sandbox/allow" "$sandbox/odd" || fault "changes nothing: $change"
        mailed "$sandbox/odd" >/dev/null || fault "ignored: $(cat "$sandbox/odd")"
    done
    sed 's/user=alice/user="a \\"b\\\\ c"/' "$sandbox/allow" >"$sandbox/quoted"
    ! mailed "$sandbox/quoted" || fault 'a name in quotes is mailed'
}

# The command of conf/README.md, except journalctl, since there is no journal here: `-o cat` prints messages only.
logs_one_day_by_outcome_as_readme_says_case() {
    local command
    a_day_of_logins
    # shellcheck disable=SC2016 # Markdown's backticks
    command=$(sed -n 's/^A day of logins by outcome: `journalctl [^|]* -o cat | \([^`]*\)`\.$/\1/p' "$sandbox/conf/README.md")
    [[ -n $command ]] || fault 'no such command in conf/README.md'
    sed 's/^[^]]*\]: //' "$day/ours" | bash -c "$command" | sed 's/^ *//' >"$terminal/counted"
    diff - "$terminal/counted" >"$terminal/differences" <<-'END' || fault "$(cat "$terminal/differences")"
		1 pam_ivalt(sshd:auth): outcome=allow reason=push-approved
		1 pam_ivalt(sshd:auth): outcome=allow reason=recovery-code
		2 pam_ivalt(sshd:auth): outcome=allow reason=verified
		1 pam_ivalt(sshd:auth): outcome=deny reason=api-key-refused
		1 pam_ivalt(sshd:auth): outcome=deny reason=bad-entry
		1 pam_ivalt(sshd:auth): outcome=deny reason=disabled
		2 pam_ivalt(sshd:auth): outcome=deny reason=malformed-token
		1 pam_ivalt(sshd:auth): outcome=deny reason=misconfigured
		1 pam_ivalt(sshd:auth): outcome=deny reason=not-enrolled
		1 pam_ivalt(sshd:auth): outcome=deny reason=password-as-token
		1 pam_ivalt(sshd:auth): outcome=deny reason=push-busy
		1 pam_ivalt(sshd:auth): outcome=deny reason=push-denied
		1 pam_ivalt(sshd:auth): outcome=deny reason=push-limited
		1 pam_ivalt(sshd:auth): outcome=deny reason=push-stale
		1 pam_ivalt(sshd:auth): outcome=deny reason=push-unanswered
		1 pam_ivalt(sshd:auth): outcome=deny reason=recovery-code-refused
		1 pam_ivalt(sshd:auth): outcome=deny reason=token-rejected
		1 pam_ivalt(sshd:auth): outcome=deny reason=unanswered
		1 pam_ivalt(sshd:auth): outcome=deny reason=unavailable
		1 pam_ivalt(sshd:auth): outcome=ignore reason=exempt-network
		1 pam_ivalt(sshd:auth): outcome=ignore reason=unavailable
		1 pam_ivalt(sshd:auth): outcome=ignore reason=unenrolled
	END
}

# --- journald ------------------------------------------------------------------------------------------------------

# In memory; the kernel's messages and audit are the machine's.
start_journald() {
    stop_log
    mkdir -p /run/systemd/journal
    printf '%s\n' '[Journal]' 'Storage=volatile' 'Audit=no' 'ReadKMsg=no' >/etc/systemd/journald.conf
    rm -rf /run/log/journal /etc/systemd/journald.conf.d /usr/lib/systemd/journald.conf.d
    [[ -s /etc/machine-id ]] || echo 3d1219c7c4c5404aaa1f6d2a48adfda4 >/etc/machine-id
    /usr/lib/systemd/systemd-journald >"$terminal/journald" 2>&1 &
    echo $! >"$sandbox/journald.pid"
    wait_for journald test -S /run/systemd/journal/dev-log
    ln -s /run/systemd/journal/dev-log /dev/log
}

stop_journald() {
    stop_log_daemon journald
    rm -rf /run/systemd/journal
}

# As `logs_in`, with systemd's journal.
logs_into_journal() {
    answers '' "${@:3}"
    run_as visitor timeout 20 ssh -b "$client" "$2@localhost" whoami
    wait_for "a line with '$1'" in_journal "$1"
}

in_journal() { grep -qF -- "$1" <<<"$(journalctl --quiet --no-pager -o cat)"; }

# `as_readme_says N`: the output of the Nth journalctl in conf/README.md.
as_readme_says() {
    local command
    command=$(sed -n 's/^# \(journalctl .*\)$/\1/p' "$sandbox/conf/README.md" | sed -n "$1p")
    [[ -n $command ]] || fault "conf/README.md has no command $1 for the journal"
    bash -c "$command" 2>&1
}

logs_journal_answers_as_readme_says_case() {
    local seen
    start_journald
    token_alone
    logs_into_journal 'outcome=allow reason=verified' alice accept-1
    logs_into_journal 'outcome=deny reason=token-rejected' alice reject-1 reject-2 reject-3
    chmod 0644 /etc/ivalt/ivalt.toml
    logs_into_journal 'outcome=deny reason=misconfigured' alice accept-1
    chmod 0600 /etc/ivalt/ivalt.toml
    run_as bob logger -p authpriv.err -t sshd "pam_ivalt(sshd:auth): outcome=deny reason=token-rejected user=forged service=sshd rhost=192.0.2.1 tty=ssh"
    wait_for 'the forged line' in_journal user=forged
    seen=$(as_readme_says 1 | sed -n 's/.* \(reason=[a-z-]*\) user=\([a-z]*\) .*/\1 \2/p' | xargs)
    [[ $seen == 'reason=token-rejected alice reason=misconfigured alice' ]] || fault "first: $(as_readme_says 1)"
    seen=$(as_readme_says 2 | sed -n 's/.* \(reason=[a-z-]*\) user=\([a-z]*\) .*/\1 \2/p' | xargs)
    [[ $seen == 'reason=misconfigured alice reason=token-rejected forged' ]] || fault "second: $(as_readme_says 2)"
    seen=$(as_readme_says 3 | sed -n 2p)
    [[ $seen == '{'*'"MESSAGE":"pam_ivalt(sshd:auth): outcome=deny reason=token-rejected user=alice '*'}' &&
        $seen == *'"PRIORITY":"5"'* && $seen == *'"SYSLOG_IDENTIFIER":"sshd'* ]] || fault "third: $seen"
    cp "$sandbox/conf/fail2ban/filter.d/pam-ivalt.conf" /etc/fail2ban/filter.d/
    [[ $(fail2ban-regex --out ip systemd-journal pam-ivalt 2>&1 | sort | uniq -c | xargs) == "1 $client" ]] ||
        fault "fail2ban: $(fail2ban-regex systemd-journal pam-ivalt 2>&1)"
    stop_journald
}
