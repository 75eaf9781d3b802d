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
# Otherwise debconf tries three others first, whoever runs dpkg.
export DEBIAN_FRONTEND=noninteractive

# `is_debian RELEASE`
is_debian() { [[ $(cut -d. -f1 /etc/debian_version) == "$1" ]]; }

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
        pause 0.4
    done
}

trap print_faults EXIT
mkdir -p "$terminal"
wait_for 'the stand-in for iVALT' test -s "$ivalt/port"
wait_for 'the log' test -S /run/systemd/journal/syslog

# --- the log -------------------------------------------------------------------------------------------------------

# What the journal takes it hands on, in the same order, to a sink as in the sandbox, which costs a tenth of journalctl:
# whatever was logged before a mark is in the file when the mark is.
log_is_written() {
    local mark="mark $RANDOM$RANDOM"
    logger --tag test "$mark"
    wait_for 'the mark in the log' grep -qF "$mark" "$log"
}

# `journal OPTION…`: of journalctl, once all that was sent to journald before is written.
journal() { journalctl --sync && journalctl "$@"; }

# From the next boot on, with what most boots here do without: udev, a network, AppArmor.
boot_as_a_server() {
    rm /etc/systemd/system/systemd-udev{d.service,d-control.socket,d-kernel.socket,-trigger.service}
    systemctl --quiet enable systemd-networkd apparmor
}

# --- the package ---------------------------------------------------------------------------------------------------

package=$(echo "$sandbox"/target/package/libpam-ivalt_*.deb)

install_package() { apt_get install "$package"; }

apt_get() { run_captured 0 apt-get -q -y --no-install-recommends "$@"; }

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

# `expect_key enough|not-enough`: one login is enough where only the moment matters, because a login takes seconds here. A
# client that the key alone lets in is asked for no token, and the module not at all.
expect_key() {
    if [[ $1 == enough ]]; then
        answers ''
        by_key alice
        expect_in alice
        expect_no_log
    else
        answers '' "$(new_token)"
        by_key alice
        expect_in alice
        expect_log allow verified sshd alice
    fi
}

sshd_has_started() { wait_for sshd test -s /run/sshd.pid; }

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
