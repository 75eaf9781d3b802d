# shellcheck shell=bash
# shellcheck disable=SC2154 # of machine.sh
# Power cuts at random moments. What the guest has not flushed is lost. More of them: sudo scripts/vm --cuts NUMBER [SEED]

# `cuts NUMBER [SEED]`: prints so many cases, each kind in turn, with a random number each; with the same seed the same.
cuts() {
    local number seed=${2:-$RANDOM} kinds=(users_add enable confirm disable upgrade install edited sync)
    echo "seed $seed" >&2
    RANDOM=$seed
    for number in $(seq "$1"); do echo "cut_during_${kinds[(number - 1) % ${#kinds[@]}]}_case $RANDOM"; done
}

cut_during_users_add_case() {
    start_from installed
    guest "$in_cuts; write_ivalt_settings; lose_what_is_not_synced noauto_da_alloc"
    cut_during users user1 8
    boot
    guest "$in_cuts; expect_users $(ended 'user[0-9]*')"
}

cut_during_enable_case() { cut_while_switching enable; }
cut_during_confirm_case() { cut_while_switching confirm; }
cut_during_disable_case() { cut_while_switching disable; }

# `cut_while_switching STEP`: the moment is in this step of enable, confirm, disable, or after it.
cut_while_switching() {
    start_from switched_off
    cut_during switch "$1" 4
    boot
    guest "$in_cuts; expect_put_back_before_sshd; expect_switched $(state_after "$(last_said)")"
}

state_after() {
    case $1 in
        'end confirm') echo on ;;
        'start confirm') echo either ;;
        'start disable') echo unfinished ;;
        *) echo off ;;
    esac
}

# The same version again; iVALT stays enabled.
cut_during_upgrade_case() {
    start_from installed
    guest "$in_cuts; prepare_cut on"
    cut_during package package 12
    boot
    guest "$in_cuts; expect_put_back_before_sshd; expect_switched on; expect_users 0; expect_package whole; same_as on"
}

cut_during_install_case() {
    start_from booted
    guest "$in_cuts; keep_as off; lose_what_is_not_synced"
    cut_during package package 20
    boot
    guest "$in_cuts; expect_switched off; expect_package $(if [[ $(ended package) -gt 0 ]]; then echo whole; else echo whole-or-none; fi)"
}

# All that maintainer scripts wrote is on the disk then, whatever the file system does with a rename.
cut_after_install_case() {
    start_from booted
    guest "$in_cuts; keep_as off; lose_what_is_not_synced noauto_da_alloc"
    begin_work package
    until_said 'end package'
    cut_power
    boot
    guest "$in_cuts; expect_switched off; expect_record_of_pam; expect_package whole"
}

# While the time is over and what was edited is kept.
cut_during_edited_case() {
    start_from switched_off
    cut_during edited edit 6
    boot
    guest "$in_cuts; expect_put_back_before_sshd; expect_switched off; $([[ $(ended edit) -eq 0 ]] || echo expect_edited_whole)"
}

# dora is in every other answer of the directory.
cut_during_sync_case() {
    start_from installed
    guest "$in_cuts; prepare_sync; lose_what_is_not_synced noauto_da_alloc"
    cut_during sync without 8
    boot
    guest "$in_cuts; expect_synced"
}

# The snapshot `switched_off`.
switched_off_first_time() {
    start_from installed
    guest "$in_cuts; prepare_cut off noauto_da_alloc"
}

in_cuts='. /run/sandbox/tests/vm/fixtures-cuts.sh'

# `cut_during WORK STEP SECONDS`: cuts the power at a random moment so long after the first start of STEP.
cut_during() {
    local delay=$((${cut_random:-$RANDOM} * $3 * 1000 / 32768))
    begin_work "$1"
    until_said "start $2"
    sleep "$((delay / 1000)).$(printf %03d $((delay % 1000)))"
    cut_power
    echo "note: cut $delay ms after the first '$2' began; last: $(last_said)"
}

begin_work() { guest "systemd-run --quiet --no-block --unit=work bash -c '$in_cuts; work_$1'"; }

cut_power() {
    power_cut
    # It ends when all that qemu wrote is in the file.
    wait_for 'the end of the console' process_gone "$console"
    cp "$machine/console.log" "$TMPDIR/said"
    ! grep -a '^said failed' "$TMPDIR/said"
}

until_said() {
    local deadline=$((SECONDS + guest_seconds))
    until grep -qa "^said $1" "$machine/console.log"; do
        [[ $SECONDS -lt $deadline ]] || machine_fault "it did not say '$1'"
        sleep 0.05
    done
}

last_said() { tr -d '\r' <"$TMPDIR/said" | sed -n 's/^said \(.*\)$/\1/p' | tail -n 1; }
# `ended STEP`: how often.
ended() { tr -d '\r' <"$TMPDIR/said" | grep -cx "said end $1" || true; }
