# shellcheck shell=bash
# `ivaltctl check --accept` and `--retract` on a system with the real sshd and sudo.

accepted=/etc/ivalt/accepted.toml
bypass='sshd-methods-bypass:/etc/ssh/sshd_config'

# Members of sftponly log in by key alone, and that is meant.
sftp_by_key_alone() {
    sshd_password_and_ivalt
    sshd_with 'KbdInteractiveAuthentication yes' 'PasswordAuthentication no' \
        'AuthenticationMethods keyboard-interactive' 'Match Group sftponly' 'AuthenticationMethods publickey'
}

# `accept TARGET`
accept() { run_ivaltctl 0 check --accept "$1" --because 'sftp accounts have keys only'; }

# `accept_all`: every finding there is now.
accept_all() {
    local id
    ivaltctl check >"$sandbox/found" || true
    while IFS= read -r id; do
        accept "$id"
    done < <(sed -n 's/^[a-z].*\[\([a-z-]*\)\]$/\1/p' "$sandbox/found" | sort -u)
}

# `expect_counts LETS_IN LOCKS_OUT WARNINGS ACCEPTED`, in JSON.
expect_counts() {
    local found
    found=$({ ivaltctl check --json || true; } | python3 -c 'import json, sys; r = json.load(sys.stdin); print(*(r[k] for k in ("lets_in", "locks_out", "warnings", "accepted")))')
    [[ $found == "$*" ]] || fault "counts are '$found' instead of '$*'"
}

# `expect_record_unchanged COMMAND…`
expect_record_unchanged() {
    cp "$accepted" "$sandbox/accepted-before" 2>/dev/null || rm -f "$sandbox/accepted-before"
    "$@"
    if [[ -e $sandbox/accepted-before ]]; then
        cmp -s "$sandbox/accepted-before" "$accepted" || fault "changed by: $*"
    else
        [[ ! -e $accepted ]] || fault "made by: $*"
    fi
}

accept_and_retract_case() {
    sftp_by_key_alone
    run_ivaltctl 2 check
    expect_captured 'lets in /etc/ssh/sshd_config:9 [sshd-methods-bypass]'
    expect_captured '; 0 accepted'
    local warnings
    warnings=$(grep -c '^warning ' "$terminal/captured")
    accept "$bypass"
    expect_captured "$bypass: accepted"
    [[ $(stat -c '%a %U:%G' "$accepted") == '600 root:root' ]] || fault "$(stat "$accepted")"
    run_ivaltctl 1 check
    expect_captured 'accepted, lets in /etc/ssh/sshd_config:9 [sshd-methods-bypass]'
    grep -qE '^  accepted by root, 20[0-9-]+T[0-9:]+Z: sftp accounts have keys only$' "$terminal/captured" || fault 'who, when and why are not shown'
    expect_captured '; 1 accepted'
    expect_counts 0 0 "$warnings" 1
    accept_all
    run_ivaltctl 0 check
    expect_captured "nothing found; $((warnings + 1)) accepted"
    expect_counts 0 0 0 "$((warnings + 1))"
    expect_record_unchanged accept "$bypass"
    expect_captured "$bypass: accepted already; to change the reason, retract it first"
    # Another file changes nothing.
    echo '# a comment' >>/etc/hosts
    run_ivaltctl 0 check
    cp /etc/ssh/sshd_config "$sandbox/sshd_config"
    echo '#' >>/etc/ssh/sshd_config
    run_ivaltctl 2 check
    expect_captured 'sftp accounts have keys only; that holds no longer: /etc/ssh/sshd_config has changed'
    cp "$sandbox/sshd_config" /etc/ssh/sshd_config
    run_ivaltctl 0 check
    run_ivaltctl 0 check --retract "$bypass" --json
    [[ $(cat "$terminal/captured") == "{\"changed\":true,\"done\":\"retracted\",\"findings\":[\"$bypass\"]}" ]] || fault "$(cat "$terminal/captured")"
    run_ivaltctl 2 check
    expect_record_unchanged run_ivaltctl 1 check --retract "$bypass"
    expect_captured "$bypass: is not accepted; nothing was changed; see what is: cat $accepted"
}

# The login user id, not the environment, says who it was.
accept_names_whoever_logged_in_case() {
    sftp_by_key_alone
    run_captured 0 bash -c "echo $(id -u alice) >/proc/self/loginuid && SUDO_USER=bob LOGNAME=bob ivaltctl check --accept $bypass --because meant"
    run_ivaltctl 1 check
    expect_captured '  accepted by alice, '
}

# Each by itself: another one is not accepted with them.
accept_by_id_alone_case() {
    sftp_by_key_alone
    sed -i '/^root/d' /etc/ivalt/users.toml
    accept privileged-not-enrolled
    [[ $(grep -c '^id = "privileged-not-enrolled"' "$accepted") -eq 3 ]] || fault "$(cat "$accepted")"
    sed -i '/^alice/d' /etc/ivalt/users.toml
    run_ivaltctl 2 check
    [[ $(grep -c '^accepted, warning .*\[privileged-not-enrolled\]$' "$terminal/captured") -eq 3 ]] || fault 'not three accepted'
    [[ $(grep -c '^warning .*\[privileged-not-enrolled\]$' "$terminal/captured") -eq 1 ]] || fault 'alice does not count'
    run_ivaltctl 0 check --retract privileged-not-enrolled
    run_ivaltctl 2 check
    expect_captured '; 0 accepted'
}

accept_wrong_usage_case() {
    sftp_by_key_alone
    local arguments
    for arguments in "--accept $bypass" "--because meant" "--accept $bypass --because=" "--accept $bypass --because=\ " \
        "--accept no-such-id --because meant" "--accept sshd-methods-bypass:sshd_config --because meant" \
        "--accept $bypass --because meant --root /" "--accept $bypass --because meant --online" \
        "--accept $bypass --because meant --retract $bypass" "--retract no-such-id" "--retract $bypass --root /mnt" "--retract $bypass --because meant"; do
        expect_record_unchanged run_captured 64 bash -c "ivaltctl check $arguments"
    done
}

accept_what_cannot_be_accepted_case() {
    sftp_by_key_alone
    expect_record_unchanged run_ivaltctl 1 check --accept sshd-grace-time --because meant
    expect_captured 'sshd-grace-time: is not found now, so there is nothing to accept; nothing was changed'
    expect_record_unchanged run_ivaltctl 1 check --accept sshd-grace-time --because meant --json
    grep -q '^{"changed":false,"done":"nothing","refused":"sshd-grace-time: is not found now' "$terminal/captured" || fault "$(cat "$terminal/captured")"
    expect_record_unchanged run_ivaltctl 1 check --retract sshd-grace-time --json
    grep -q '^{"changed":false,"done":"nothing","refused":"sshd-grace-time: is not accepted' "$terminal/captured" || fault "$(cat "$terminal/captured")"
    expect_record_unchanged run_ivaltctl 1 check --accept sshd-methods-bypass:/etc/ssh/other --because meant
    expect_record_unchanged run_ivaltctl 1 check --accept online-dns --because meant
    expect_captured 'online-dns: what --online finds is about the connection at that moment and cannot be accepted'
    echo 'dave = 5' >>/etc/ivalt/users.toml
    expect_record_unchanged run_ivaltctl 1 check --accept bad-entry --because meant
    expect_captured 'bad-entry:/etc/ivalt/users.toml: says that something cannot be read or understood'
    echo '[' >>/etc/ivalt/users.toml
    expect_record_unchanged run_ivaltctl 1 check --accept users-invalid --because meant
    chmod 0666 /etc/ivalt/ivalt.toml
    expect_record_unchanged run_ivaltctl 1 check --accept settings-untrusted --because meant
}

# A file that others could have written, or that is not what we wrote, accepts nothing, and is not written over.
accept_by_an_untrusted_file_case() {
    sftp_by_key_alone
    accept "$bypass"
    cp -a "$accepted" "$sandbox/accepted"
    local change
    for change in 'chmod 0644' 'chmod 0620' 'chown alice' 'sed -i s/^by/who/' 'truncate -s -5' 'ln -sf /dev/null'; do
        $change "$accepted"
        run_ivaltctl 2 check
        expect_captured "warning $accepted"
        expect_captured '[acceptances-unusable]'
        expect_captured '; 0 accepted'
        expect_record_unchanged run_ivaltctl 1 check --accept sshd-methods-bypass --because meant
        expect_captured 'nothing was changed'
        expect_record_unchanged run_ivaltctl 1 check --retract sshd-methods-bypass
        run_ivaltctl 1 check --accept acceptances-unusable --because meant
        rm "$accepted"
        cp -a "$sandbox/accepted" "$accepted"
    done
    run_ivaltctl 1 check
}

accept_by_two_administrators_case() {
    sftp_by_key_alone
    sed -i '/^alice\|^root/d' /etc/ivalt/users.toml
    ivaltctl check >"$sandbox/found" || true
    local id ids jobs=()
    ids=$(sed -n 's/^[a-z].*\[\([a-z-]*\)\]$/\1/p' "$sandbox/found" | sort -u)
    for id in $ids; do ivaltctl check --accept "$id" --because meant >/dev/null & jobs+=("$!"); done
    wait "${jobs[@]}" || fault 'one of them was refused'
    run_ivaltctl 0 check
    rm "$accepted"
    flock --no-fork /etc/ivalt/.accepted.toml.lock sleep 30 &
    wait_for 'the lock' flock_is_held
    run_ivaltctl 1 check --accept "$bypass" --because meant
    expect_captured "$accepted: another ivaltctl has been changing it for 10 s; nothing was changed"
    kill "$!"
    [[ ! -e $accepted ]] || fault 'written without the lock'
}
flock_is_held() { ! flock --nonblock /etc/ivalt/.accepted.toml.lock true; }

# Killed at any write, the file is the old or the new one.
accept_killed_at_every_step_case() {
    sftp_by_key_alone
    accept unknown-account
    cp -a "$accepted" "$sandbox/accepted"
    local call number kills=0 old=0 new=0
    for call in '/^write$' '/^rename' '/^f(data)?sync$' '/^fchmod' '/^unlink'; do
        for number in {1..10}; do
            cp -a "$sandbox/accepted" "$accepted"
            capture strace -o "$sandbox/trace" -e "trace=$call" -e "inject=$call:signal=KILL:when=$number" \
                ivaltctl check --accept "$bypass" --because meant || true
            grep -q '^+++ killed by SIGKILL' "$sandbox/trace" || break
            kills=$((kills + 1))
            if cmp -s "$sandbox/accepted" "$accepted"; then old=$((old + 1)) && continue; fi
            new=$((new + 1))
            run_ivaltctl 1 check
            expect_captured '; 2 accepted'
        done
    done
    [[ $kills -gt 3 && $old -gt 0 && $new -gt 0 ]] || fault "killed $kills times, $old old, $new new"
    accept "$bypass"
}

# What `enable` refuses can be accepted before, holds afterwards, and stops neither `enable` nor `confirm`.
accept_before_enable_case() {
    untouched_system
    printf '%s\n' 'Match Group sftponly' 'AuthenticationMethods publickey' >>/etc/ssh/sshd_config
    cp /etc/ssh/sshd_config "$sandbox/untouched/ssh/"
    reload_sshd
    run_ivaltctl 1 enable sshd --yes
    expect_captured '[sshd-methods-bypass]'
    expect_captured 'nothing was changed; fix the above first, or, where it is meant: ivaltctl check --accept ID:FILE --because TEXT'
    expect_untouched
    accept "$bypass"
    run_ivaltctl 0 enable sshd --yes --confirm-within 60s
    expect_captured 'accepted, lets in /etc/ssh/sshd_config'
    run_ivaltctl 0 confirm
    run_ivaltctl 1 check
    expect_captured 'accepted, lets in /etc/ssh/sshd_config'
    # It does not stop another service either.
    run_ivaltctl 0 enable sudo --yes --confirm-within 60s
    run_ivaltctl 0 confirm
    run_ivaltctl 0 disable --all --yes
    expect_untouched
    # Another one does.
    printf '%s\n' 'Match User bob' 'AuthenticationMethods publickey' >>/etc/ssh/sshd_config
    run_ivaltctl 1 enable sshd --yes
}

# Below a folder they are shown, whatever the folder's owner wrote, and never count.
accept_below_a_folder_case() {
    sftp_by_key_alone
    accept "$bypass"
    rm -rf "$sandbox/copy" && mkdir "$sandbox/copy" && cp -a /etc "$sandbox/copy/"
    # How sshd is reloaded is read there, too.
    sed -i 's|sshd -t && [^"]*|sshd -t \&\& /etc/init.d/ssh reload|' "$sandbox/copy$accepted"
    run_ivaltctl 2 check --root "$sandbox/copy"
    expect_captured 'lets in /etc/ssh/sshd_config:9 [sshd-methods-bypass]'
    expect_captured 'sftp accounts have keys only (below --root it counts all the same)'
    expect_captured '1 lets users in'
    expect_captured '; 1 accepted'
    rm -rf "$sandbox/copy"
}

enable_shows_warnings_above_its_question_case() {
    untouched_system
    sed -i '1a LoginGraceTime 20' /etc/ssh/sshd_config
    cp /etc/ssh/sshd_config "$sandbox/untouched/ssh/"
    run_ivaltctl 1 enable sshd
    local warning question
    warning=$(grep -nF 'warning /etc/ssh/sshd_config:2 [sshd-grace-time]' "$terminal/captured" | cut -d: -f1)
    question=$(grep -nF 'Apply this change?' "$terminal/captured" | cut -d: -f1)
    [[ -n $warning && -n $question && $warning -lt $question ]] || fault "warning in line '$warning', question in line '$question'"
    expect_untouched
    run_ivaltctl 0 enable sshd --yes --confirm-within 60s
    expect_captured '[sshd-grace-time]'
    run_ivaltctl 0 disable sshd --yes
}
