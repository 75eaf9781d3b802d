# shellcheck shell=bash disable=SC2154 # variables of scripts/lib
# What has nothing to do with the services for which iVALT is enabled is as before: what asks polkit, and what starts
# without a login.

untouched_case() {
    start_from installed
    guest "$(declare -f begin_cron expect_cron ask_polkit answer_polkit echo_is_off)
        write_ivalt_settings
        run_ivaltctl 0 enable sshd --yes
        run_ivaltctl 0 enable sudo --yes
        begin_cron
        expect_sudo_with_ivalt
        ask_polkit
        start_recording
        run_captured 0 systemd-run --quiet --wait --pipe --uid=alice whoami
        expect_captured alice
        expect_cron
        expect_no_log"
}

# Cron looks once a minute.
begin_cron() {
    printf '* * * * * alice whoami >>/home/alice/by-cron\n' >/etc/cron.d/test
    systemctl start cron
}
expect_cron() {
    wait_for 'what cron starts' test -s /home/alice/by-cron
    [[ $(sort -u /home/alice/by-cron) == alice ]] || fault "cron ran it as $(cat /home/alice/by-cron)"
}

# In a login session: alice is asked for her password alone, once for each. Debian 12 has no run0, and its pkexec fails
# there with or without iVALT, after the password: "No session for cookie".
ask_polkit() {
    local command commands=('machinectl --quiet shell root@.host /usr/bin/whoami')
    is_debian 12 || commands+=('pkexec whoami' 'run0 --background= whoami')
    for command in "${commands[@]}"; do
        printf 'echo "begin %s"; %s; echo "end %s: $?"\n' "$command" "$command" "$command"
    done >/home/alice/asks-polkit
    at_terminal_of visitor 'ssh -tt -i /home/visitor/visitor.key alice@localhost sh asks-polkit'
    types 'iVALT token:' "$(new_token)"
    for command in "${commands[@]}"; do answer_polkit "$command"; done
    console_closes
    expect_log allow verified sshd alice
}

answer_polkit() {
    # Bob may as well, as a member of the group sudo.
    types "begin $1.*Choose identity" 1
    wait_for "the question of $1" on_screen "begin $1.*Password:"
    # What is typed before is thrown away.
    wait_for 'the end of the echo' echo_is_off
    types 'Password:' "$alice_password"
    wait_for "the end of $1" on_screen "end $1: [0-9]"
    # In colours.
    tr -d '\r' <"$terminal/output" | sed "1,\\|begin $1|d; s/\x1b\[[0-9;]*m//g; s/\x1b\][^\x07\x1b]*\(\x07\|\x1b\\\\\\)//g" |
        grep -qx root || fault "$1: $(tr -d '\r' <"$terminal/output" | tail -n 5 | cat -v)"
    on_screen "end $1: 0" || fault "$1: $(tr -d '\r' <"$terminal/output" | tail -n 5 | cat -v)"
}

echo_is_off() {
    find /dev/pts -user alice -exec stty -a -F {} \; | grep -qw -e -echo
}
