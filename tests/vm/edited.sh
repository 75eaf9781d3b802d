# shellcheck shell=bash
# What an administrator edits is never lost, whenever it is.

# Between sshd's settings and pam.d, which are put back one after the other, sshd is reloaded: here that takes seconds.
edited_while_sshd_is_told_case() {
    start_from installed
    # shellcheck disable=SC2016 # for the guest
    guest 'write_ivalt_settings
        cp /etc/pam.d/sshd /var/tmp/before
        run_ivaltctl 0 enable sshd --yes --confirm-within 5s
        { cat /etc/pam.d/sshd && echo "# edited"; } >/var/tmp/edited
        while [[ -e /etc/ssh/sshd_config.d/00-ivalt.conf ]]; do pause 0.05; done
        grep -q pam_ivalt /etc/pam.d/sshd || fault "pam.d was put back first"
        echo "# edited" >>/etc/pam.d/sshd
        over() { ! systemctl is-active --quiet ivaltctl-rollback-sshd; }
        wait_for "the end of the unit" over
        diff /var/tmp/before /etc/pam.d/sshd || fault "pam.d is not as before"
        diff /var/tmp/edited /var/lib/ivalt/etc-pam.d-sshd.edited || fault "what was edited is lost"
        journal -u ivaltctl-rollback-sshd --output=cat >"$terminal/captured"
        expect_captured "; /etc/pam.d/sshd was edited, that version is kept: /var/lib/ivalt/etc-pam.d-sshd.edited"'
}
