# shellcheck shell=bash
# What the chroot holds: Debian as its packages made it, the module and ivaltctl, the accounts of the sandbox
# (scripts/lib/fixtures.sh), the log, the stand-in for iVALT. A host runs only while its case does.

setup_hosts() {
    write_accounts
    save_as_shipped
    write_name_service
    write_ssh_client
    prepare_folders
    install_ivalt
    ivaltctl --version >/dev/null || die 'what was built on this machine does not run on Debian 13; run it on Debian 12 or 13'
    start_log
    start_ivalt
}

install_ivalt() {
    install -m 0644 /run/kept/pam_ivalt.so "$(security_folder)/"
    install -m 0755 /run/kept/ivaltctl /usr/sbin/
}

# What every case begins with.
reset_sandbox() {
    stop_console
    stop_hosts
    remove_package
    install_ivalt
    rm -rf /etc/pam.d
    cp -a "$sandbox/as-shipped/pam.d" /etc/pam.d
    write_sudoers
    write_ivalt_settings
    keyboard=/dev/null
    answers ''
}

# `pam_lines SERVICE LINE…`: the whole of its pam.d file.
pam_lines() { printf '%s\n' "${@:2}" >"/etc/pam.d/$1"; }

# Where an application answers a visible prompt with the name of the user.
user_name_cause='"the answer is the user name, as of a service that shows no prompt: most of them need settings of their own by config=, with echo = false; see pam_ivalt(8), HOSTS AND CLIENTS"'

stop_hosts() {
    stop_servers
    stop_sshd
}

# `expect_host_said NAME TEXT`
expect_host_said() { grep -qF -- "$2" "$hosts/$1" || fault "$1 did not say '$2' but: $(tail -n 5 "$hosts/$1")"; }

# `line SERVICE OUTCOME REASON [KEY=VALUE…]`: the module's line about alice, without what differs from run to run. Keys
# that are not given are empty, but that one answer was given.
line() {
    local service=$1 outcome=$2 reason=$3 key pair text
    local -A values=([user]=alice [service]=$1 [mobile]='***4746' [attempts]=1)
    shift 3
    for pair in "$@"; do values[${pair%%=*}]=${pair#*=}; done
    text="pam_ivalt($service:auth): outcome=$outcome reason=$reason"
    for key in user service rhost tty ruser mobile http code detail cause attempts; do text+=" $key=${values[$key]:-}"; done
    printf '%s\n' "$text"
}

# What iVALT answered, in `line`.
refused=(http=403 code=AUTHENTICATION_FAILED 'detail="authentication failed"')

# `expect_lines LINE…`: exactly these lines of the module, in this order.
expect_lines() {
    local lines
    wait_for_lines $#
    lines=$(log_lines | sed 's/^[^(]*\(pam_ivalt(.*\) elapsed_ms=[0-9]*$/\1/')
    [[ $lines == "$(printf '%s\n' "$@")" ]] || fault "the log has '$lines' instead of '$(printf '%s\n' "$@")'"
}

wait_for_lines() {
    local _
    for _ in {1..200}; do
        [[ $(log_lines | wc -l) -lt $1 ]] || return 0
        sleep 0.05
    done
}

# `expect_tokens [TOKEN…]`: exactly these requests, in this order, each for alice.
expect_tokens() {
    local token wanted=''
    for token in "$@"; do wanted+="{\"auth_token\":\"$token\",\"mobile\":\"$alice_mobile\"}"$'\n'; done
    [[ $(bodies) == "${wanted%$'\n'}" ]] || fault "iVALT was asked '$(bodies)' instead of '$wanted'"
}

bodies() { new_requests | sed -n 's/.*"body":\({[^}]*}\).*/\1/p'; }

expect_status() { [[ $status -eq $1 ]] || fault "exit status $status instead of $1"; }

# Key, then iVALT; further lines of sshd_config are for `Match`.
sshd_key_then_ivalt() {
    pam_lines sshd 'auth required pam_ivalt.so nodelay' '@include common-account' '@include common-session'
    sshd_with 'Subsystem sftp internal-sftp' 'KbdInteractiveAuthentication yes' 'PasswordAuthentication no' \
        'AuthenticationMethods publickey,keyboard-interactive' "$@"
}

sshd_line() { line sshd "$1" "$2" rhost=127.0.0.1 tty=ssh "${@:3}"; }

# `own_settings FILE OWNER LINE…`: settings of a service of its own, with these lines of [token].
own_settings() {
    local file=$1 owner=$2
    shift 2
    sed '/^\[token\]/,$d' /etc/ivalt/ivalt.toml >"$file"
    printf '%s\n' '[token]' "$@" >>"$file"
    chown "$owner:" "$file"
    chmod 0600 "$file"
}

# For applications that answer a hidden prompt with their password field, and ask nothing again.
hidden=('echo = false' 'attempts = 1')
