# shellcheck shell=bash disable=SC2154 # variables of scripts/lib
# The package in a system that has booted: as README installs it, what keeps working, and what a purge leaves.

# README's commands, from README.md itself. What it says in words is done between them: the API key, the second login.
readme_install_case() {
    start_from booted
    guest "$(declare -f readme_commands follow_readme readme_command on_terminal); follow_readme
        $(declare -f conf_readme_queries printed_by expect_lines); conf_readme_queries"
}

readme_commands() { sed -n '/^## Install/,/^## A login/{s/ *  # .*//; /^[$#] [a-z]/p}' "$repo/README.md"; }

follow_readme() {
    local commands command
    mapfile -t commands < <(readme_commands)
    [[ ${#commands[@]} -eq 7 ]] || fault "README has ${#commands[@]} commands instead of 7: ${commands[*]}"
    for command in "${commands[@]}"; do readme_command "$command"; done
    on_terminal root 'journalctl -q -g pam_ivalt | tail -n 1'
    on_screen 'pam_ivalt(sshd:auth): outcome=deny reason=unanswered user=alice ' || fault 'the last line of the journal is another'
}

readme_command() {
    local command=${1#??}
    echo "$1"
    case $1 in
        '$ scripts/package') ;;
        '$ sudo apt install '*)
            on_terminal alice "$command" 'password for alice:' "$alice_password"
            expect_key enough
            ivalt_settings 'timeout_seconds = 60'
            ;;
        '# ivaltctl verify alice') on_terminal root "$command" 'iVALT token:' "$(new_token)" ;;
        '# ivaltctl enable sshd') on_terminal root "$command" '\[y/N\]' y ;;
        '# ivaltctl confirm')
            expect_logins_with_ivalt
            on_terminal root "$command"
            ;;
        *) on_terminal root "$command" ;;
    esac
}

# Those of conf/README.md, each against the lines that are in the journal then; one of an error first.
conf_readme_queries() {
    local queries lines
    chmod 0644 /etc/ivalt/ivalt.toml
    answers '' "$(new_token)"
    by_key alice
    expect_log deny misconfigured sshd alice
    lines=$(journal -b --quiet --output=cat SYSLOG_FACILITY=10 | grep '^pam_ivalt(')
    # shellcheck disable=SC2016 # no command
    mapfile -t queries < <(sed -n 's/^# \(journalctl .*[^ ]\)  *# .*/\1/p; s/^# \(journalctl .*-o json .*\)/\1/p
        s/^A day of logins by outcome: `\(.*\)`.$/\1/p' "$repo/conf/README.md")
    [[ ${#queries[@]} -eq 4 ]] || fault "${#queries[@]} queries instead of 4: ${queries[*]}"
    printed_by 0 | expect_lines "$(grep ' outcome=deny ' <<<"$lines")"
    printed_by 1 | expect_lines "$(grep ' reason=misconfigured ' <<<"$lines")"
    printed_by 2 | sed -E 's/.*"MESSAGE":"(([^"\\]|\\.)*)".*/\1/; s/\\(.)/\1/g' | expect_lines "$lines"
    printed_by 3 | awk '{ print $2, $3, $4; n += $1 } END { print n }' | expect_lines "$(
        grep -o '^[^ ]* outcome=[a-z]* reason=[a-z-]*' <<<"$lines" | sort -u
        wc -l <<<"$lines"
    )"
}

printed_by() { bash -c "${queries[$1]}" | sed 's/^[A-Z][a-z][a-z] .*\]: pam_ivalt/pam_ivalt/'; }
expect_lines() { diff - <(printf '%s\n' "$1") || exit 1; }

# `on_terminal ACCOUNT COMMAND [PROMPT ANSWER]`: it must end with status 0.
on_terminal() {
    local command="cd $repo; $2; echo status \$?"
    if [[ $1 == root ]]; then at_terminal "$command"; else at_terminal_of "$1" "cd $repo; $2"; fi
    [[ $# -lt 4 ]] || types "$3" "$4"
    command_ends
    console_closes
    grep -qx $'status 0\r' "$terminal/output" || fault "$2: $(tr -d '\r' <"$terminal/output" | tail -n 5)"
}

purge_leaves_nothing_case() {
    start_from booted
    guest "$(declare -f files_there); files_there >/var/tmp/before
        install_package
        [[ \$(stat -c '%A %U:%G' /run/ivalt /run/ivalt/push | uniq) == 'drwx------ root:root' ]] || fault \"\$(ls -lR /run/ivalt)\"
        write_ivalt_settings
        run_ivaltctl 0 enable sshd --yes
        run_ivaltctl 0 confirm
        run_ivaltctl 0 enable sudo --yes
        printf '[recovery]\ncodes = true\n' >>/etc/ivalt/ivalt.toml
        run_ivaltctl 0 recovery make alice --stdout
        sed -i '1i synced_users_file = \"/etc/ivalt/synced.toml\"' /etc/ivalt/ivalt.toml
        printf 'name,mobile\ndora,+4915112345670\n' >/var/tmp/users.csv
        run_ivaltctl 0 users sync /var/tmp/users.csv
        rm /var/tmp/users.csv
        touch /etc/ivalt/directory.toml
        systemctl enable --quiet --now ivaltctl-sync.timer
        [[ -n \$(find /var/lib/ivalt/recovery -name 'code-*') ]] || fault \"no recovery codes\"
        apt_get purge libpam-ivalt
        [[ ! -e /run/ivalt ]] || fault 'holds of phones are left'
        files_there | diff /var/tmp/before -
        expect_logins_without_ivalt
        expect_sudo_without_ivalt"
}

# But for what dpkg, apt, the journal and other programs note of what was done.
files_there() {
    find / -xdev \( -path /var/tmp/before -o -path /var/log -o -path /var/cache -o -path /var/lib/dpkg -o -path /var/lib/apt \
        -o -path '/var/tmp/systemd-private-*' -o -path /var/lib/systemd -o -path /var/lib/sudo \) -prune -o -print | sort
    find /etc -xdev -type f ! -name '*-' -exec sha256sum {} + | sort
}
