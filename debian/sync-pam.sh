# shellcheck shell=sh
# pam-auth-update leaves that to chance: after a power cut, a line must not be there again without its module; and where its
# own record of common-* is lost, it takes them for edited. For the postinst and the prerm, which have a copy of this.
sync_pam() {
    for file in /etc/pam.d/common-* /var/lib/pam/*; do
        [ ! -f "$file" ] || sync "$file"
    done
    sync /etc/pam.d /var/lib/pam
}
