# shellcheck shell=bash
# One-time recovery codes on the real sshd and sudo, made by the tool: with iVALT away and with iVALT there, on a full and
# on a read-only disk, and after a power cut.

recovery_store=/var/lib/ivalt/recovery

# `recovery_codes NAME COUNT`: settings that accept codes, and so many for this user, in $codes.
recovery_codes() {
    rm -rf "$recovery_store"
    ivalt_settings '[recovery]' 'codes = true'
    make_codes "$@" --volatile
}

make_codes() {
    run_ivaltctl 0 recovery make "$1" --count "$2" --stdout "${@:3}"
    mapfile -t codes < <(grep -oE 'rc(-[0-9A-Z]{4}){4}-[0-9A-Z]{2}' "$terminal/captured")
    [[ ${#codes[@]} -eq $2 ]] || fault "${#codes[@]} codes on the sheet instead of $2: $(cat "$terminal/captured")"
}

# `expect_let_in_by NUMBER LEFT SERVICE ACCOUNT`: the account that the command printed last.
expect_let_in_by() {
    [[ $status -eq 0 ]] || fault "exit status $status instead of 0"
    [[ $(tail -n1 "$terminal/output") == "$4" ]] || fault "printed '$(cat "$terminal/output")' instead of '$4'"
    expect_log allow recovery-code "$3" alice
    expect_the_line "outcome=allow reason=recovery-code user=alice service=$3 .* http= code= detail=\"code $1, $2 left\" cause= .*"
}

recovery_ssh_while_ivalt_is_away_case() {
    recovery_codes alice 3
    token_alone
    stop_ivalt
    answers '' "${codes[1]}"
    run_as visitor ssh alice@localhost whoami
    expect_let_in_by 2 2 sshd alice
    expect_seen 'Recovery code 2 accepted, 2 left.'
    # The same code, however it is written, does not get in again.
    answers '' "${codes[1]}" "${codes[1],,}" "${codes[1]//-/}"
    run_as visitor ssh alice@localhost whoami
    expect_refused 255
    expect_seen 'That recovery code is unknown, used or expired. iVALT token: '
    expect_log deny recovery-code-refused sshd alice
    # As it stands on another sheet; and after a typing error.
    answers '' "rc-${codes[0]:4}" "${codes[0]}"
    run_as visitor ssh alice@localhost whoami
    expect_let_in_by 1 1 sshd alice
    expect_seen 'That recovery code has a typing error. iVALT token: '
}

recovery_sudo_case() {
    recovery_codes alice 2
    stop_ivalt
    answers "$alice_password" "${codes[0]}"
    run_as alice sudo -A whoami
    expect_let_in_by 1 1 sudo root
    answers "$alice_password" "${codes[0]}"
    run_as alice sudo -A whoami
    expect_refused 1
    expect_log deny unanswered sudo alice
}

recovery_code_never_reaches_ivalt_case() {
    recovery_codes alice 1
    token_alone
    answers '' "${codes[0]}0" 'RC-hunter2' "${codes[0]}"
    run_as visitor ssh alice@localhost whoami
    expect_let_in_by 1 0 sshd alice
    expect_requests 0
}

recovery_code_while_codes_are_off_case() {
    recovery_codes alice 1
    ivalt_settings
    token_alone
    answers '' "${codes[0]}"
    run_as visitor ssh alice@localhost whoami
    expect_refused 255
    expect_the_request "${codes[0]}"
    [[ $(find "$recovery_store" -name 'code-*' | wc -l) -eq 1 ]] || fault 'the code is spent'
}

recovery_codes_are_their_users_alone_case() {
    recovery_codes alice 1
    run_captured 1 ivaltctl recovery make bob --stdout --volatile
    expect_captured bob
    token_alone
    local account
    for account in bob carol root; do
        answers '' "${codes[0]}"
        run_as visitor ssh "$account@localhost" whoami
        expect_refused 255
    done
    [[ $(find "$recovery_store" -name 'code-*' | wc -l) -eq 1 ]] || fault 'the code is spent'
}

recovery_code_and_verify_case() {
    recovery_codes alice 1
    printf '%s\n' "${codes[0]}" >"$terminal/code"
    local ending=0
    ivaltctl verify alice <"$terminal/code" >"$terminal/captured" 2>&1 || ending=$?
    [[ $ending -eq 1 ]] || fault "exit status $ending instead of 1: $(cat "$terminal/captured")"
    expect_captured 'deny: recovery-code-refused'
    expect_captured 'user sees: Recovery codes are not taken here; this one is not spent.'
    [[ $(find "$recovery_store" -name 'code-*' | wc -l) -eq 1 ]] || fault 'the code is spent'
}

# --- on a disk of its own ---

# A file system of ext4 on FILE at /var/lib/ivalt; it goes with the sandbox.
disk_at_store() {
    local number image=$1
    for number in {0..31}; do
        [[ -e /dev/loop$number ]] || mknod "/dev/loop$number" b 7 "$number"
    done
    [[ -e /dev/loop-control ]] || mknod /dev/loop-control c 10 237
    truncate -s 16M "$image"
    mkfs.ext4 -q "$image"
    install -d -m 0700 /var/lib/ivalt
    mount -o loop "$image" /var/lib/ivalt
    chmod 0700 /var/lib/ivalt
    rm -rf /var/lib/ivalt/lost+found
}

remove_disk() {
    umount /var/lib/ivalt
    rm -f "$@"
}

recovery_on_a_full_disk_case() {
    disk_at_store "$sandbox/disk"
    ivalt_settings '[recovery]' 'codes = true'
    make_codes alice 2
    token_alone
    stop_ivalt
    dd if=/dev/zero of=/var/lib/ivalt/filled bs=64k status=none 2>/dev/null || true
    dd if=/dev/zero of=/var/lib/ivalt/filled-2 bs=1 count=100000 status=none 2>/dev/null || true
    ! (: >/var/lib/ivalt/x && echo y >/var/lib/ivalt/x) 2>/dev/null || fault 'the disk is not full'
    answers '' "${codes[0]}"
    run_as visitor ssh alice@localhost whoami
    expect_let_in_by 1 1 sshd alice
    remove_disk "$sandbox/disk"
}

recovery_on_a_read_only_disk_case() {
    disk_at_store "$sandbox/disk"
    ivalt_settings '[recovery]' 'codes = true'
    make_codes alice 2
    token_alone
    stop_ivalt
    mount -o remount,ro /var/lib/ivalt
    answers '' "${codes[0]}"
    run_as visitor ssh alice@localhost whoami
    expect_refused 255
    expect_log deny misconfigured sshd alice
    expect_the_line ".* cause=\"$recovery_store/user-alice: no code can be marked as used \\(read-only file system\\); .*"
    mount -o remount,rw /var/lib/ivalt
    answers '' "${codes[0]}"
    run_as visitor ssh alice@localhost whoami
    expect_let_in_by 1 1 sshd alice
    remove_disk "$sandbox/disk"
}

# What is on the disk at the moment when the answer is there is all that a power cut leaves.
recovery_after_a_power_cut_case() {
    disk_at_store "$sandbox/disk"
    ivalt_settings '[recovery]' 'codes = true'
    make_codes alice 5
    sync
    token_alone
    stop_ivalt
    local number left
    for number in 0 1 2 3 4; do
        answers '' "${codes[number]}"
        run_as visitor ssh alice@localhost whoami
        cp "$sandbox/disk" "$sandbox/cut"
        expect_let_in_by "$((number + 1))" "$((4 - number))" sshd alice
        mkdir -p "$sandbox/after"
        mount -o loop "$sandbox/cut" "$sandbox/after"
        left=$(find "$sandbox/after/recovery/user-alice" -name 'code-*' | wc -l)
        [[ $left -eq $((4 - number)) ]] || fault "after a power cut $left codes are good, instead of $((4 - number))"
        umount "$sandbox/after"
    done
    remove_disk "$sandbox/disk" "$sandbox/cut"
}
