# shellcheck shell=bash
# What every script in the guest has: the steps of the other tests (scripts/lib/steps.sh), with the journal as the log, and
# logins of alice as the sandbox has them. Ends with status 1 if a step recorded a fault.
set -euo pipefail
# shellcheck source=scripts/lib/load.sh
. /run/sandbox/scripts/lib/load.sh
# What is typed at a terminal.
# shellcheck source=tests/e2e/login.sh
. "$repo/tests/e2e/login.sh"
# shellcheck source=tests/e2e/terminal.sh
. "$repo/tests/e2e/terminal.sh"

print_faults() {
    local status=$?
    [[ $status -ne 0 || ${#faults[@]} -eq 0 ]] || status=1
    [[ ${#faults[@]} -eq 0 ]] || printf 'fault: %s\n' "${faults[@]}"
    exit "$status"
}

# The machine is slow, and the host may be busy.
run_seconds=600
if ! grep -qx 'ConnectTimeout 600' /etc/ssh/ssh_config; then
    sed -i 's/^ConnectTimeout .*/ConnectTimeout 600/' /etc/ssh/ssh_config
    # A cut of the power would leave it empty.
    sync /etc/ssh/ssh_config /etc/ssh
fi

write_ivalt_settings() {
    install -d /etc/ivalt
    ivalt_settings 'timeout_seconds = 60'
    printf '[users]\nalice = "%s"\n' "$alice_mobile" >/etc/ivalt/users.toml
    chmod 0600 /etc/ivalt/*.toml
}

# Without a process, of which each takes a part of what the machine can do.
pause() { read -r -t "$1" -u "$silent" || true; }
exec {silent}<> <(:)

# Ten minutes.
wait_for() {
    local what=$1 deadline=$((SECONDS + 600))
    shift
    until "$@"; do
        [[ $SECONDS -lt $deadline ]] || die "timeout: waiting for $what"
        pause 0.2
    done
}

trap print_faults EXIT
mkdir -p "$terminal"
wait_for 'the stand-in for iVALT' test -s "$ivalt/port"

# --- the log -------------------------------------------------------------------------------------------------------

start_recording() {
    request_mark=$(count_lines "$requests")
    journalctl --sync
    log_mark=$(journalctl --quiet --lines=0 --show-cursor | sed -n 's/^-- cursor: //p')
    : >"$terminal/command"
    : >"$terminal/dialogue"
    : >"$terminal/output"
}

log_lines() { journal_lines SYSLOG_FACILITY=10 | grep '^pam_ivalt(' || true; }

# `journal_lines [MATCH…]`: the messages since the recording began.
journal_lines() { journalctl --quiet ${log_mark:+--after-cursor="$log_mark"} --output=cat "$@"; }

# --- the package ---------------------------------------------------------------------------------------------------

package=$(echo "$sandbox"/target/package/libpam-ivalt_*.deb)

install_package() { apt_get install "$package"; }

apt_get() { DEBIAN_FRONTEND=noninteractive run_captured 0 apt-get -q -y --no-install-recommends "$@"; }

# --- logins --------------------------------------------------------------------------------------------------------

# A token that iVALT accepts, once.
new_token() {
    echo >>"$sandbox/tokens"
    printf 'accept-%d' "$(wc -l <"$sandbox/tokens")"
}

ssh_as() { run_as visitor ssh "${@:2}" "$1@localhost" whoami; }
by_key() { ssh_as "$1" -i visitor.key -o PreferredAuthentications=publickey,keyboard-interactive; }
by_password() { ssh_as "$1" -o PreferredAuthentications=keyboard-interactive,password; }

expect_in() {
    expect_let_in "$1"
    [[ ${#faults[@]} -eq 0 ]] || show_terminal
}

# Nobody is asked for a token: as before iVALT was enabled.
expect_logins_without_ivalt() {
    answers ''
    by_key alice
    expect_in alice
    answers "$alice_password"
    by_password alice
    expect_in alice
    expect_no_log
}

# Password or key are not enough, with the token each is.
expect_logins_with_ivalt() {
    answers '' "$(new_token)"
    by_key alice
    expect_in alice
    expect_log allow verified sshd alice
    answers "$alice_password" "$(new_token)"
    by_password alice
    expect_in alice
    expect_log allow verified sshd alice
    answers "$alice_password"
    by_password alice
    expect_refused 255
    answers ''
    by_key alice
    expect_refused 255
}

# `expect_key enough|not-enough`: one way of logging in is enough where only the moment matters, because a login takes
# seconds here.
expect_key() {
    answers ''
    by_key alice
    if [[ $1 == enough ]]; then
        expect_in alice
        expect_no_log
    else
        expect_refused 255
        answers '' "$(new_token)"
        by_key alice
        expect_in alice
        expect_log allow verified sshd alice
    fi
}

expect_sudo_without_ivalt() {
    answers "$alice_password"
    run_as alice sudo -A whoami
    expect_in root
    expect_no_log
}

expect_sudo_with_ivalt() {
    answers "$alice_password" "$(new_token)"
    run_as alice sudo -A whoami
    expect_in root
    expect_log allow verified sudo alice
    answers "$alice_password"
    run_as alice sudo -A whoami
    expect_refused 1
}
