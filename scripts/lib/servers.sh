# shellcheck shell=bash
# Servers that run as long as a case does.

hosts=$sandbox/hosts

# `start_host NAME COMMAND…`: a server in the foreground; its output goes to $hosts/NAME.
start_host() {
    local name=$1
    shift
    mkdir -p "$hosts"
    setsid "$@" </dev/null >"$hosts/$name" 2>&1 &
    echo $! >"$hosts/$name.pid"
}

stop_servers() {
    local file pid
    for file in "$hosts"/*.pid; do
        # OpenVPN removes its own when it ends.
        pid=$(cat "$file" 2>/dev/null) || continue
        kill -- "-$pid" 2>/dev/null || true
        wait_for "the end of ${file##*/}" process_gone "$pid"
    done
    rm -rf "$hosts"
}

port_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
