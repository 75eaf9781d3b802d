# shellcheck shell=bash disable=SC2154 # variables of scripts/lib
# The package in a system that has booted: as README installs it, what keeps working, and what a purge leaves.

# README's commands, from README.md itself. What it says in words is done between them: the API key, the second login.
readme_install_case() {
    start_from booted
    guest "$(declare -f readme_commands follow_readme readme_command on_terminal); follow_readme"
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
            expect_logins_without_ivalt
            ivalt_settings 'timeout_seconds = 60'
            ;;
        '# ivaltctl verify alice') on_terminal root "$command" 'iVALT token:' "$(new_token)" ;;
        '# ivaltctl enable sshd') on_terminal root "$command" '\[y/N\]' y ;;
        '# ivaltctl confirm')
            expect_logins_with_ivalt
            on_terminal root "$command"
            expect_logins_with_ivalt
            ;;
        *) on_terminal root "$command" ;;
    esac
}

# `on_terminal ACCOUNT COMMAND [PROMPT ANSWER]`: it must end with status 0.
on_terminal() {
    local command="cd $repo; $2; echo status \$?"
    if [[ $1 == root ]]; then at_terminal "$command"; else at_terminal_of "$1" "cd $repo; $2"; fi
    [[ $# -lt 4 ]] || types "$3" "$4"
    wait_for "the end of $2" on_screen 'status [0-9]'
    console_closes
    grep -qx $'status 0\r' "$terminal/output" || fault "$2: $(tr -d '\r' <"$terminal/output" | tail -n 5)"
}

# What asks polkit, and what starts without a login, is as before.
untouched_case() {
    start_from installed
    guest "$(declare -f others_work by_terminal); others_work
        write_ivalt_settings
        run_ivaltctl 0 enable sshd --yes
        run_ivaltctl 0 enable sudo --yes
        expect_logins_with_ivalt
        expect_sudo_with_ivalt
        others_work"
}

others_work() {
    start_recording
    by_terminal 'pkexec whoami' root
    run_captured 0 systemd-run --quiet --wait --pipe --uid=alice whoami
    expect_captured alice
    rm -f /home/alice/by-cron
    printf '* * * * * alice whoami >/home/alice/by-cron\n' >/etc/cron.d/test
    wait_for 'what cron starts' test -s /home/alice/by-cron
    rm /etc/cron.d/test
    [[ $(cat /home/alice/by-cron) == alice ]] || fault "cron ran it as $(cat /home/alice/by-cron)"
    expect_no_log
}

# `by_terminal COMMAND OUTPUT`: alice runs it and is asked for her password alone.
by_terminal() {
    local mark=$log_mark
    at_terminal_of alice "$1"
    log_mark=$mark
    # Bob may as well, as a member of the group sudo.
    types 'Choose identity' 1
    types 'Password:' "$alice_password"
    wait_for "the end of $1" on_screen 'status [0-9]'
    console_closes
    # pkexec writes in colours.
    [[ $(sed 's/\x1b\[[0-9;]*m//g; s/\r$//' "$terminal/output" | grep -cxE "status 0|$2") -eq 2 ]] ||
        fault "$1: $(tr -d '\r' <"$terminal/output" | tail -n 5)"
}

purge_leaves_nothing_case() {
    start_from booted
    guest "$(declare -f files_there); files_there >/var/tmp/before
        install_package
        write_ivalt_settings
        run_ivaltctl 0 enable sshd --yes
        run_ivaltctl 0 confirm
        run_ivaltctl 0 enable sudo --yes
        apt_get purge libpam-ivalt
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
