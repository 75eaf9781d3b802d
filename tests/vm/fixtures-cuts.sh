# shellcheck shell=bash
# In the guest: what is at work when the power is cut, and what must be there after the next boot.
# shellcheck source=tests/vm/fixtures.sh
. /run/sandbox/tests/vm/fixtures.sh

# --- before ----------------------------------------------------------------------------------------------------------

# `prepare_cut on|off [OPTION]`: keeps what the files are with iVALT disabled and enabled; leaves sshd with iVALT if told
# `on`.
prepare_cut() {
    write_ivalt_settings
    keep_as off
    run_ivaltctl 0 enable sshd --yes
    run_ivaltctl 0 confirm
    keep_as on
    [[ $1 == on ]] || run_ivaltctl 0 disable sshd --yes
    lose_what_is_not_synced "${@:2}"
}

# Nothing is written from now on unless somebody asks for it, so that a cut loses at any moment what a missing fsync can
# lose, and not only within the 5 to 30 s that Linux takes. With noauto_da_alloc ext4 writes no file because it is renamed,
# as others do not; dpkg and pam-auth-update rely on that.
lose_what_is_not_synced() {
    sync
    sysctl --quiet vm.dirty_writeback_centisecs=0 vm.dirty_expire_centisecs=360000
    mount -o "remount,commit=3600${1:+,$1}" /
}

synced=/etc/ivalt/synced.toml

# dora is known when the work begins.
prepare_sync() {
    write_ivalt_settings
    sed -i "1i synced_users_file = \"$synced\"" /etc/ivalt/ivalt.toml
    printf 'name,mobile\ndave,+4915112345605\n' >/var/tmp/without
    { cat /var/tmp/without && echo dora,+4915112345670; } >/var/tmp/with
    { cat /var/tmp/without && echo dora,+4915112345671; } >/var/tmp/changed
    run_ivaltctl 0 users sync /var/tmp/without
    cp "$synced" /var/tmp/synced-without
    run_ivaltctl 0 users sync /var/tmp/with
    cp "$synced" /var/tmp/synced-with
}

keep_as() { rm -rf "/var/tmp/$1" && mkdir "/var/tmp/$1" && cp -a /etc/pam.d /etc/ssh "/var/tmp/$1/"; }

# --- at work ---------------------------------------------------------------------------------------------------------

# To the serial console, which the host records: what was said there was said before the cut.
said() { echo "said $*" >/dev/ttyS0; }

# `doing STEP COMMAND…`
doing() {
    said "start $1"
    "${@:2}" >/dev/null 2>&1 || said "failed $1: $?"
    said "end $1"
}

work_users() {
    local number
    for number in {100..999}; do doing "user$number" ivaltctl users add "user$number" "+49151000000$number"; done
}

work_switch() {
    while true; do
        doing enable ivaltctl enable sshd --yes --confirm-within 10m
        doing confirm ivaltctl confirm
        doing disable ivaltctl disable sshd --yes
    done
}

work_sync() {
    while true; do
        doing without ivaltctl users sync /var/tmp/without
        doing with ivaltctl users sync /var/tmp/with
    done
}

# What an administrator edits meanwhile is kept when the time is over; the editor is as vim, which syncs.
work_edited() {
    while true; do
        doing enable ivaltctl enable sshd --yes --confirm-within 4s
        said 'start edit'
        if edit_in_time; then said 'end edit'; fi
        while pgrep -x ivaltctl >/dev/null; do sleep 0.2; done
        said 'end rollback'
    done
}

# Fails where the time is over and the file was put back before or meanwhile: then there is nothing to keep.
edit_in_time() {
    local file=/etc/pam.d/sshd edited=1
    exec 3>>"$file"
    if grep -q pam_ivalt /proc/self/fd/3; then
        echo '# edited' >&3
        sync /proc/self/fd/3
        grep -qx '# edited' "$file" && edited=0
    fi
    exec 3>&-
    return "$edited"
}

work_package() { while true; do doing package dpkg --force-confold -i "$package"; done; }

# --- after the boot --------------------------------------------------------------------------------------------------

# A state that was pending is put back before sshd takes logins.
expect_put_back_before_sshd() {
    local rollback sshd
    sshd_has_started
    [[ $(systemctl is-enabled ivaltctl-rollback) == enabled ]] || fault 'the unit is not enabled'
    rollback=$(systemctl show --value -p ExecMainExitTimestampMonotonic ivaltctl-rollback)
    sshd=$(systemctl show --value -p ExecMainStartTimestampMonotonic ssh)
    [[ $rollback -gt 0 && $rollback -lt $sshd ]] || fault "the rollback ended at $rollback us, sshd started at $sshd us"
    ! grep -l pending /var/lib/ivalt/*.json 2>/dev/null || fault 'still pending'
}

# `expect_switched on|off|either|unfinished`: never between; but `disable` may be unfinished, which lets in by no password
# alone, and another one finishes it. New files that have no name yet may be left.
expect_switched() {
    local found=between state
    sshd_has_started
    for state in on off; do same_as "$state" && found=$state; done
    if [[ $1 == unfinished && $found == between ]]; then
        answers "$alice_password"
        by_password alice
        expect_refused 255
        run_ivaltctl 0 disable sshd --yes
        same_as off && found=off
    fi
    [[ $found == "$1" || $1 != o* && $found != between ]] ||
        fault "$found instead of $1: $(diff -r /var/tmp/off/pam.d /etc/pam.d; diff -r /var/tmp/off/ssh /etc/ssh; ls -l /var/lib/ivalt)"
    if [[ $found == on ]]; then expect_key not-enough; else expect_key enough; fi
    echo "note: iVALT is $found"
}
same_as() {
    diff -r --exclude='.*.new' "/var/tmp/$1/pam.d" /etc/pam.d >/dev/null && diff -r --exclude='.*.new' "/var/tmp/$1/ssh" /etc/ssh >/dev/null
}

# `expect_users LAST`: all up to this number, at most one more, and those of before.
expect_users() {
    local number there
    ivaltctl users list >/var/tmp/listed || fault "users.toml: $(cat /etc/ivalt/users.toml)"
    [[ $(tail -c 1 /etc/ivalt/users.toml | od -An -c) == *'\n'* ]] || fault 'users.toml has no end'
    grep -qw alice /var/tmp/listed || fault "alice is gone"
    there=$(grep -c '^user[0-9]' /etc/ivalt/users.toml || true)
    [[ $there -eq $1 || $there -eq $(($1 + 1)) ]] || fault "$there users instead of $1 or one more"
    echo "note: $there users, $1 were said"
}

# The file is one of the two; and dora, who was known, comes with no other mobile than hers, in it or gone at the cut.
expect_synced() {
    cmp -s "$synced" /var/tmp/synced-with || cmp -s "$synced" /var/tmp/synced-without || fault "$synced: $(cat "$synced")"
    run_ivaltctl 0 users sync /var/tmp/changed --json
    expect_captured '"held":["dora"]'
    ! grep -q +4915112345671 "$synced" || fault "a changed mobile: $(cat "$synced")"
    run_ivaltctl 0 users sync /var/tmp/with
    cmp -s "$synced" /var/tmp/synced-with || fault "$synced: $(cat "$synced")"
}

expect_edited_whole() {
    local edited=/var/lib/ivalt/etc-pam.d-sshd.edited
    [[ -e $edited ]] || { fault "no $edited" && return; }
    { cat /var/tmp/on/pam.d/sshd && echo '# edited'; } | diff - "$edited" || fault "$edited is not whole"
}

# pam-auth-update takes common-* for edited where that is lost.
expect_record_of_pam() { ! find /var/lib/pam -type f -empty | grep . || fault 'the record of pam-auth-update is lost'; }

# `expect_package whole|whole-or-none`: every file of it is as in the package; and it can be installed again.
expect_package() {
    local file
    rm -rf /var/tmp/package && dpkg-deb -x "$package" /var/tmp/package
    while read -r file; do
        if [[ ! -e /$file && $1 == whole-or-none ]]; then continue; fi
        cmp "/var/tmp/package/$file" "/$file" || fault "/$file is not whole"
    done < <(cd /var/tmp/package && find etc usr/sbin usr/lib -type f ! -name ivalt.toml)
    file=/etc/ivalt/users.toml
    if [[ $1 == whole-or-none && -e $file ]]; then
        cmp /usr/share/libpam-ivalt/users.toml "$file" || fault "$file is not whole: $(ls -l "$file")"
    fi
    run_captured 0 dpkg --force-confold -i "$package"
    [[ -s $file ]] || fault "$file is empty"
}
