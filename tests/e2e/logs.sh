# shellcheck shell=bash
# What reads logs, on lines that the module and sshd really wrote and rsyslog really filed.

filed=/var/log/auth.log
filed_apart=/var/log/ivalt.log
# Nobody else logs in from here.
from=127.0.0.77

# --- writing -------------------------------------------------------------------------------------------------------

# rsyslog as Debian ships it, with the recipe; without what reads the kernel's messages, which are the machine's.
start_rsyslog() {
    stop_log
    install -D -m 0644 "$stage/conf/rsyslog.d/30-pam-ivalt.conf" /etc/rsyslog.d/30-pam-ivalt.conf
    sed -i '/imklog/d' /etc/rsyslog.conf
    rm -f "$filed" "$filed_apart"
    rsyslogd -N1 >"$talk/rsyslog" 2>&1 || fault "rsyslogd -N1: $(cat "$talk/rsyslog")"
    ! grep -qi -e error -e warning "$talk/rsyslog" || fault "rsyslogd -N1: $(cat "$talk/rsyslog")"
    rsyslogd -n -i "$stage/rsyslog.pid" >"$talk/rsyslog" 2>&1 &
    wait_for 'rsyslog' test -S /dev/log -a -s "$stage/rsyslog.pid"
}

no_rsyslog() { end_of rsyslog; }

# `end_of NAME`: ends what listens at /dev/log, if it runs.
end_of() {
    local pid_file=$stage/$1.pid process
    [[ -s $pid_file ]] || return 0
    process=$(cat "$pid_file")
    kill "$process" 2>/dev/null || true
    wait_for "the end of $1" process_gone "$process"
    rm -f /dev/log "$pid_file"
}

# `logs_in WORDS USER [TOKEN…]`: somebody logs in with these answers, and rsyslog files a line with these words.
logs_in() {
    mark=$(count_lines "$filed")
    answers "${password:-}" "${@:3}"
    act visitor timeout 20 ssh -b "$from" "$2@localhost" whoami
    wait_for "a line with '$1'" filed_since "$1"
}

filed_since() { tail -n "+$((mark + 1))" "$filed" 2>/dev/null | grep -qF -- "$1"; }

denied() { logs_in "outcome=deny reason=$1 user=" "${@:2}"; }

# Every reason but `internal`, which takes a fault of the module. Kept for the cases below, which all read it.
a_day_of_logins() {
    day=$stage/day
    [[ ! -e $day/complete ]] || return 0
    mkdir -p "$day"
    start_rsyslog
    good_and_bad_tokens
    who_is_barred
    nobodys_fault
    no_rsyslog
    cp -p "$filed" "$filed_apart" "$day/"
    grep -a ': pam_ivalt(' "$filed" >"$day/ours"
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

who_is_barred() {
    denied malformed-token ghost accept-1 accept-2 accept-3
    denied not-enrolled bob accept-1
    denied disabled carol accept-1
    ivalt_settings '[policy]' 'unenrolled = "ignore"' 'unavailable = "ignore"'
    logs_in 'outcome=ignore reason=unenrolled' bob
    logs_in 'outcome=ignore reason=unavailable' alice http-503
    write_ivalt_settings
}

nobodys_fault() {
    denied unanswered alice
    denied api-key-refused alice api-key-invalid
    denied unavailable alice http-503
    echo 'bob = "not a number"' >>/etc/ivalt/users.toml
    denied bad-entry bob accept-1
    chmod 0644 /etc/ivalt/ivalt.toml
    denied misconfigured alice accept-1
    chmod 0600 /etc/ivalt/ivalt.toml
}

# The same lines as a newer sshd and an rsyslog of old would have them.
elsewhere() { sed -E 's/ sshd\[/ sshd-session[/; s/^[0-9]{4}-[0-9-]{5}T([0-9:]{8})[^ ]* /Nov  4 \1 /' "$@"; }

# --- fail2ban ------------------------------------------------------------------------------------------------------

# `counted MODE FILE`: what fail2ban counts in there, as "TIMES ADDRESS".
counted() {
    cp "$stage/conf/fail2ban/filter.d/pam-ivalt.conf" /etc/fail2ban/filter.d/
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

logs_fail2ban_counts_who_guesses_and_nobody_else_case() {
    local wanted='disabled malformed-token malformed-token not-enrolled password-as-token token-rejected' file
    a_day_of_logins
    elsewhere "$day/auth.log" >"$day/elsewhere"
    for file in "$day/auth.log" "$day/ivalt.log" "$day/elsewhere"; do
        expect_counted normal "$file" "6 $from"
        [[ $(reasons_counted normal "$file") == "$wanted" ]] || fault "counted: $(reasons_counted normal "$file")"
    done
}

# Of the robot that hangs up before its last attempt only sshd tells.
logs_fail2ban_sees_who_hangs_up_at_the_prompt_case() {
    start_rsyslog
    token_alone
    printf '%s\n' '#!/bin/sh' 'exec sleep 3' >"$stage/thinks"
    chmod 0755 "$stage/thinks"
    mark=0
    act visitor env SSH_ASKPASS="$stage/thinks" timeout --signal=KILL 1 ssh -b "$from" alice@localhost whoami
    wait_for "sshd's line" filed_since 'by authenticating user alice'
    act visitor env SSH_ASKPASS="$stage/thinks" timeout --signal=KILL 1 ssh -b "$from" ghost@localhost whoami
    wait_for "sshd's line" filed_since 'by invalid user ghost'
    no_rsyslog
    ! grep -a 'pam_ivalt(' "$filed" >&2 || fault 'the module wrote a line'
    expect_counted normal "$filed" ''
    expect_counted hangup "$filed" "2 $from"
    elsewhere "$filed" >"$stage/elsewhere"
    expect_counted hangup "$stage/elsewhere" "2 $from"
}

words_of_ivalt='body:{"status":"error","error":{"code":"X","detail":"\"\u0020outcome=deny\u0020rhost=192.0.2.2\u0020tty="}}'

# Names, and words of iVALT's, that try to have somebody else banned, or nobody.
logs_fail2ban_is_not_misled_case() {
    local name
    start_rsyslog
    token_alone
    while read -r name; do
        printf 'User %s\n' "$name" >/home/visitor/named
        mark=$(count_lines "$filed")
        answers '' a b c
        act visitor timeout 20 ssh -b "$from" -F /home/visitor/named -o IdentityFile=none -o NumberOfPasswordPrompts=1 \
            -o PreferredAuthentications=keyboard-interactive localhost whoami
        wait_for "a line for $name" filed_since 'outcome=deny reason=not-enrolled user='
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
    denied token-rejected alice reject-1 reject-2 "$words_of_ivalt"
    grep -aq 'rhost=192.0.2.2' "$filed" || fault "iVALT's words are not in the log"
    no_rsyslog
    expect_counted normal "$filed" "10 $from"
    expect_counted hangup "$filed" "20 $from"
    elsewhere "$filed" >"$stage/elsewhere"
    expect_counted normal "$stage/elsewhere" "10 $from"
}

logs_jail_is_read_and_switched_off_case() {
    cp "$stage/conf/fail2ban/filter.d/pam-ivalt.conf" /etc/fail2ban/filter.d/
    cp "$stage/conf/fail2ban/jail.d/pam-ivalt.conf" /etc/fail2ban/jail.d/
    touch "$filed"
    fail2ban-client -d >"$talk/jails" 2>&1 || fault "$(cat "$talk/jails")"
    ! grep -q "'pam-ivalt'" "$talk/jails" || fault 'the example is switched on'
    sed -i 's/^enabled .*/enabled = true/' /etc/fail2ban/jail.d/pam-ivalt.conf
    fail2ban-client -d >"$talk/jails" 2>&1 || fault "$(cat "$talk/jails")"
    grep -q "'set', 'pam-ivalt', 'addjournalmatch', '_UID=0'" "$talk/jails" || fault "$(grep pam-ivalt "$talk/jails")"
    grep -q "'multi-set', 'pam-ivalt', 'addfailregex'" "$talk/jails" || fault "$(grep pam-ivalt "$talk/jails")"
    grep -q "'set', 'pam-ivalt', 'maxretry', 10" "$talk/jails" || fault "$(grep pam-ivalt "$talk/jails")"
}

# --- rsyslog, logcheck, queries ------------------------------------------------------------------------------------

logs_rsyslog_files_our_lines_apart_case() {
    a_day_of_logins
    [[ $(stat -c '%a %U:%G' "$day/ivalt.log") == '640 root:adm' ]] || fault "$(stat -c '%a %U:%G' "$day/ivalt.log")"
    [[ $(wc -l <"$day/ours") -eq 15 ]] || fault "$(wc -l <"$day/ours") lines"
    cmp -s "$day/ours" "$day/ivalt.log" || fault "$(diff "$day/ours" "$day/ivalt.log")"
    [[ $(wc -l <"$day/auth.log") -gt 15 ]] || fault 'nothing else was filed'
}

# What says it is ours and came by another way.
logs_rsyslog_leaves_others_lines_where_they_are_case() {
    start_rsyslog
    logger -p user.info -t sshd 'pam_ivalt(sshd:auth): outcome=allow reason=verified'
    logger -p authpriv.info -t sshd 'x pam_ivalt(sshd:auth): outcome=allow reason=verified'
    logger -p authpriv.info -t sshd 'pam_ivalt(sshd:auth): the last'
    mark=0
    wait_for 'the last line' filed_since 'the last'
    no_rsyslog
    [[ $(sed 's/.*: pam_ivalt/pam_ivalt/' "$filed_apart") == 'pam_ivalt(sshd:auth): the last' ]] || fault "$(cat "$filed_apart")"
}

# What logcheck would mail.
mailed() { grep -avEf "$stage/conf/logcheck/ignore.d.server/libpam-ivalt" "$1"; }

logs_logcheck_is_silent_about_allow_alone_case() {
    local file
    a_day_of_logins
    elsewhere "$day/ours" >"$day/ours-elsewhere"
    for file in "$day/ours" "$day/ours-elsewhere"; do
        [[ $(grep -c ' outcome=allow ' "$file") -eq 2 ]] || fault 'no allow lines to be silent about'
        diff <(grep -v ' outcome=allow ' "$file") <(mailed "$file") >"$talk/differences" || fault "$(cat "$talk/differences")"
    done
    # Of lines that are not ours it says nothing.
    [[ $(mailed "$day/auth.log" | wc -l) -eq $(($(wc -l <"$day/auth.log") - 2)) ]] || fault 'lines of others are missing'
}

# An allow line with anything beside what a login as intended says is somebody's to read.
logs_logcheck_lets_odd_allow_lines_through_case() {
    local change
    a_day_of_logins
    grep -m1 ' outcome=allow ' "$day/ours" >"$stage/allow"
    for change in 's/ cause= / cause=odd /' 's/ http=200 / http= /' 's/ detail= / detail="x" /' 's/$/ more/' 's/sshd\[/x y[/' \
        's/ code= / code=X /' 's/user=alice/user=a b/' 's/user=alice/user="a" b="c"/' 's/reason=verified/reason=odd/' \
        's/mobile=[^ ]*/mobile=+916283974746/' 's/elapsed_ms=.*/elapsed_ms=/' 's/ attempts=/  attempts=/'; do
        sed "$change" "$stage/allow" >"$stage/odd"
        ! cmp -s "$stage/allow" "$stage/odd" || fault "changes nothing: $change"
        mailed "$stage/odd" >/dev/null || fault "ignored: $(cat "$stage/odd")"
    done
    sed 's/user=alice/user="a \\"b\\\\ c"/' "$stage/allow" >"$stage/quoted"
    ! mailed "$stage/quoted" || fault 'a name in quotes is mailed'
}

# The command of conf/README.md, but for journalctl, whose journal no stage has: `-o cat` prints messages alone.
logs_one_day_by_outcome_as_readme_says_case() {
    local command
    a_day_of_logins
    # shellcheck disable=SC2016 # Markdown's backticks
    command=$(sed -n 's/^A day of logins by outcome: `journalctl [^|]* -o cat | \([^`]*\)`\.$/\1/p' "$stage/conf/README.md")
    [[ -n $command ]] || fault 'no such command in conf/README.md'
    sed 's/^[^]]*\]: //' "$day/ours" | bash -c "$command" | sed 's/^ *//' >"$talk/counted"
    diff - "$talk/counted" >"$talk/differences" <<-'END' || fault "$(cat "$talk/differences")"
		2 pam_ivalt(sshd:auth): outcome=allow reason=verified
		1 pam_ivalt(sshd:auth): outcome=deny reason=api-key-refused
		1 pam_ivalt(sshd:auth): outcome=deny reason=bad-entry
		1 pam_ivalt(sshd:auth): outcome=deny reason=disabled
		2 pam_ivalt(sshd:auth): outcome=deny reason=malformed-token
		1 pam_ivalt(sshd:auth): outcome=deny reason=misconfigured
		1 pam_ivalt(sshd:auth): outcome=deny reason=not-enrolled
		1 pam_ivalt(sshd:auth): outcome=deny reason=password-as-token
		1 pam_ivalt(sshd:auth): outcome=deny reason=token-rejected
		1 pam_ivalt(sshd:auth): outcome=deny reason=unanswered
		1 pam_ivalt(sshd:auth): outcome=deny reason=unavailable
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
    /usr/lib/systemd/systemd-journald >"$talk/journald" 2>&1 &
    echo $! >"$stage/journald.pid"
    wait_for journald test -S /run/systemd/journal/dev-log
    ln -s /run/systemd/journal/dev-log /dev/log
}

no_journald() {
    end_of journald
    rm -rf /run/systemd/journal
}

# As `logs_in`, but the journal has it.
logs_into_journal() {
    answers '' "${@:3}"
    act visitor timeout 20 ssh -b "$from" "$2@localhost" whoami
    wait_for "a line with '$1'" in_journal "$1"
}

in_journal() { journalctl --quiet --no-pager -o cat | grep -qF -- "$1"; }

# `as_readme_says N`: what the Nth journalctl of conf/README.md says.
as_readme_says() {
    local command
    command=$(sed -n 's/^# \(journalctl .*\)$/\1/p' "$stage/conf/README.md" | sed -n "$1p")
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
    act bob logger -p authpriv.err -t sshd "pam_ivalt(sshd:auth): outcome=deny reason=token-rejected user=forged service=sshd rhost=192.0.2.1 tty=ssh"
    wait_for 'the forged line' in_journal user=forged
    seen=$(as_readme_says 1 | sed -n 's/.* \(reason=[a-z-]*\) user=\([a-z]*\) .*/\1 \2/p' | xargs)
    [[ $seen == 'reason=token-rejected alice reason=misconfigured alice' ]] || fault "first: $(as_readme_says 1)"
    seen=$(as_readme_says 2 | sed -n 's/.* \(reason=[a-z-]*\) user=\([a-z]*\) .*/\1 \2/p' | xargs)
    [[ $seen == 'reason=misconfigured alice reason=token-rejected forged' ]] || fault "second: $(as_readme_says 2)"
    seen=$(as_readme_says 3 | sed -n 2p)
    [[ $seen == '{'*'"MESSAGE":"pam_ivalt(sshd:auth): outcome=deny reason=token-rejected user=alice '*'}' &&
        $seen == *'"PRIORITY":"5"'* && $seen == *'"SYSLOG_IDENTIFIER":"sshd'* ]] || fault "third: $seen"
    cp "$stage/conf/fail2ban/filter.d/pam-ivalt.conf" /etc/fail2ban/filter.d/
    [[ $(fail2ban-regex --out ip systemd-journal pam-ivalt 2>&1 | sort | uniq -c | xargs) == "1 $from" ]] ||
        fault "fail2ban: $(fail2ban-regex systemd-journal pam-ivalt 2>&1)"
    no_journald
}
