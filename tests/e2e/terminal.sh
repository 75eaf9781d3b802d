# shellcheck shell=bash
# A user at a real terminal presses Ctrl-C or Ctrl-D, closes the window, or never answers.

ctrl_c=$'\003' ctrl_d=$'\004'

terminal_ctrl_c_at_the_prompt_of_sudo_case() {
    at_terminal_of alice 'sudo whoami'
    types 'password for alice:' "$alice_password"
    presses 'iVALT token:' "$ctrl_c"
    expect_back_within 4000 1
    expect_log deny unanswered sudo alice
    expect_requests 0
}

terminal_ctrl_d_at_the_prompt_of_sudo_case() {
    at_terminal_of alice 'sudo whoami'
    types 'password for alice:' "$alice_password"
    presses 'iVALT token:' "$ctrl_d"
    expect_back_within 4000 1
    expect_log deny unanswered sudo alice
    expect_requests 0
}

# sudo blocks the keyboard's signals while its policy works: the answer counts, and Ctrl-C reaches the command.
terminal_ctrl_c_while_sudo_asks_ivalt_case() {
    at_terminal_of alice 'sudo whoami'
    types 'password for alice:' "$alice_password"
    types 'iVALT token:' slow-1000
    presses_while_ivalt_is_asked "$ctrl_c"
    command_ends
    console_closes
    expect_log allow verified sudo alice
    expect_requests 1
}

terminal_ctrl_c_while_sudo_asks_a_dead_name_server_case() {
    name_server_is_dead
    at_terminal_of alice 'sudo whoami'
    types 'password for alice:' "$alice_password"
    types 'iVALT token:' accept-1
    presses_once_read accept-1 "$ctrl_c"
    expect_back_within 4500 1
    name_server_is_gone
    expect_log deny unavailable sudo alice
    expect_the_line '.* cause="dns: no answer from the name server" .*'
}

terminal_ctrl_c_at_the_prompt_of_su_case() {
    at_terminal_of bob 'su alice -c whoami'
    types 'Password:' "$alice_password"
    presses 'iVALT token:' "$ctrl_c"
    expect_back_within 4000 130
    expect_no_log
    expect_requests 0
}

terminal_ctrl_d_at_the_prompt_of_su_case() {
    at_terminal_of bob 'su alice -c whoami'
    types 'Password:' "$alice_password"
    presses 'iVALT token:' "$ctrl_d"
    expect_back_within 4000 1
    expect_log deny unanswered su alice
    expect_requests 0
}

terminal_ctrl_c_while_su_asks_ivalt_case() {
    at_terminal_of bob 'su alice -c whoami'
    types 'Password:' "$alice_password"
    types 'iVALT token:' slow-20000
    presses_while_ivalt_is_asked "$ctrl_c"
    expect_back_within 4000 130
    expect_no_log
    expect_requests 1
}

terminal_ctrl_c_while_su_asks_a_dead_name_server_case() {
    name_server_is_dead
    at_terminal_of bob 'su alice -c whoami'
    types 'Password:' "$alice_password"
    types 'iVALT token:' accept-1
    presses_once_read accept-1 "$ctrl_c"
    expect_back_within 4000 130
    name_server_is_gone
    expect_no_log
}

# It receives every query and answers none.
name_server_is_dead() {
    sed -i '/api.ivalt.test/d' /etc/hosts
    perl -MSocket -e 'socket(S, AF_INET, SOCK_DGRAM, 0) && bind(S, sockaddr_in(53, INADDR_LOOPBACK)) or die; open(READY, ">", shift); sleep 60' "$terminal/name-server" &
    name_server=$!
    wait_for 'the name server' test -e "$terminal/name-server"
    rm "$terminal/name-server"
}

name_server_is_gone() {
    kill "$name_server"
    write_name_service
}

# The window is closed: sshd ends its child while that waits for the user's answer, but not while it waits for iVALT.
terminal_closed_at_the_prompt_case() {
    token_alone
    ssh_at_terminal
    wait_for 'the prompt' on_screen 'iVALT token:'
    close_the_window
    expect_no_log
    expect_requests 0
}

terminal_closed_while_ivalt_is_asked_case() {
    ivalt_settings 'timeout_seconds = 2'
    token_alone
    ssh_at_terminal
    types 'iVALT token:' slow-20000
    wait_for 'the request' ivalt_is_asked
    close_the_window
    expect_log deny unavailable sshd alice
    expect_the_line '.* cause="timeout after 2 s in answer" attempts=1 .*'
    expect_requests 1
}

# sshd's own time limit, when the user or iVALT never answers.
terminal_without_an_answer_case() {
    token_alone 'LoginGraceTime 2'
    ssh_at_terminal
    wait_for 'the prompt' on_screen 'iVALT token:'
    wait_for 'the end of what sshd started' no_session
    # ssh notices only when it has something to send.
    types 'iVALT token:' accept-1
    expect_disconnected
    expect_no_log
    expect_requests 0
}

terminal_without_an_answer_of_ivalt_case() {
    token_alone 'LoginGraceTime 2'
    ssh_at_terminal
    types 'iVALT token:' slow-20000
    expect_disconnected
    expect_no_log
    expect_requests 1
}

ssh_at_terminal() { at_terminal_of visitor 'ssh alice@localhost whoami'; }

close_the_window() {
    console_closes
    wait_for 'the end of what sshd started' no_session
}

expect_disconnected() {
    wait_for 'the end of the command' on_screen 'status 255'
    ! grep -qx $'alice\r' "$terminal/output" || fault 'got in'
    console_closes
    wait_for 'the end of what sshd started' no_session
}

# Only the sshd that listens is left.
no_session() { [[ $(pgrep -c -x 'sshd|sshd-session|sshd-auth') -eq 1 ]]; }

# `at_terminal_of ACCOUNT COMMAND`: on a terminal of `script`; the last line is the command's exit status. What a shell
# starts in the background ignores Ctrl-C, and so do its children, unless the signal is reset.
at_terminal_of() {
    local account=$1
    at_terminal "setpriv --reuid=$account --regid=$account --init-groups --reset-env \
        env --default-signal=INT,QUIT sh -c 'trap : INT; $2; echo status \$?'"
}

presses() {
    wait_for "'$1' on the screen" on_screen "$1"
    sleep 0.1
    pressed=$(milliseconds)
    printf '%s' "$2" >&9
}

# `presses_once_read LINE KEY`: Ctrl-C would throw away a line that the program has not read yet.
presses_once_read() {
    wait_for "'$1' on the screen" on_screen "$1"
    wait_for 'the end of what was typed' everything_is_read
    presses "$1" "$2"
}

# What the program at the terminal could still read, see tty_ioctl(4), FIONREAD.
everything_is_read() {
    perl -e 'for (@ARGV) { my $left = pack("i", 0); open(my $tty, "<", $_) or next;
        ioctl($tty, 0x541B, $left) or next; exit 1 if unpack("i", $left) }' /dev/pts/[0-9]*
}

presses_while_ivalt_is_asked() {
    wait_for 'the request' ivalt_is_asked
    pressed=$(milliseconds)
    printf '%s' "$1" >&9
}

ivalt_is_asked() { [[ -n $(new_requests) ]]; }

# With the end of its line: `script` may copy that a moment later, and is killed then.
command_ends() { wait_for 'the end of the command' on_screen 'status [0-9][0-9]* '; }

# `expect_back_within MILLISECONDS STATUS [OUTPUT]`: the shell is back so soon after the key was pressed, and the
# command ran only if OUTPUT is given.
expect_back_within() {
    command_ends
    local took=$(($(milliseconds) - pressed)) printed
    console_closes
    [[ $took -lt $1 ]] || fault "back after $took ms"
    grep -q "status $2"$'\r$' "$terminal/output" || fault "ended with $(grep -a status "$terminal/output") instead of $2"
    printed=$(tr -d '\r' <"$terminal/output" | grep -oE '(root|alice)$' || true)
    [[ $printed == "${3:-}" ]] || fault "printed '$printed' instead of '${3:-}'"
}
