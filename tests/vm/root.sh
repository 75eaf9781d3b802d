# shellcheck shell=bash disable=SC2154 # variables of scripts/lib
# Root on the stock sshd_config of Debian, whose sshd keeps root's answers from PAM.

root_barred_by_sshd_case() {
    start_from installed
    guest "$(declare -f enrol_root root_with_the_key)
        enrol_root
        root_with_the_key
        expect_let_in root
        run_ivaltctl 0 enable sshd --yes
        expect_captured '[root-barred-by-sshd]'
        run_ivaltctl 1 check
        expect_captured '[root-barred-by-sshd]'
        root_with_the_key
        expect_refused 255
        expect_seen 'sshd does not let root answer here (PermitRootLogin); iVALT was not asked.'
        expect_log deny malformed-token sshd root
        expect_key not-enough
        printf '%s\n' 'Match User root' '    PermitRootLogin yes' \
            '    AuthenticationMethods publickey,keyboard-interactive' >>/etc/ssh/sshd_config
        sshd -t && reload_sshd_by systemctl reload ssh
        run_ivaltctl 1 check
        expect_not_captured '[root-barred-by-sshd]'
        root_with_the_key
        expect_in root
        expect_log allow verified sshd root"
}

enrol_root() {
    write_ivalt_settings
    printf 'root = "+14155550100"\n' >>/etc/ivalt/users.toml
    install -d -m 0700 ~root/.ssh
    install -m 0600 /home/visitor/visitor.key.pub ~root/.ssh/authorized_keys
}

root_with_the_key() {
    answers '' "$(new_token)"
    ssh_as root -o NumberOfPasswordPrompts=1 -i visitor.key -o PreferredAuthentications=publickey,keyboard-interactive
}
