# shellcheck shell=bash
# The virtual machine while it runs: started, asked, reset and cut off by the host. $VM is its folder, see vm.sh.
#
# The root shell in the guest and qemu's monitor are pairs of FIFOs in $machine. They last as long as qemu, which has both
# ends open, and so does what was not read yet.

machine=$TMPDIR/vm disk=$VM/machine.qcow2
# Emulated, on a machine with other load, a boot can take minutes.
guest_seconds=900

# `start_qemu [OPTION…]`. With a cache that the guest must flush: what it has not flushed may be lost by a power cut. With one
# processor: to keep two in step costs the emulator more than the second brings.
start_qemu() {
    local name
    rm -rf "$machine"
    mkdir -p "$machine"
    for name in shell monitor console; do mkfifo "$machine/$name.in" "$machine/$name.out"; done
    setpriv --pdeathsig KILL qemu-system-x86_64 -name ivalt-test -machine q35 -accel "$(accelerator)" -cpu "$(cpu)" -m 1024 \
        -no-user-config -nodefaults -display none -kernel "$VM/vmlinuz" -initrd "$VM/initrd.img" \
        -append 'root=/dev/vda rw console=ttyS0 mitigations=off nokaslr quiet' -no-reboot \
        -drive "file=$disk,format=qcow2,if=virtio,cache=writeback" \
        -drive "file=$VM/files.tar,format=raw,if=virtio,readonly=on" \
        -netdev user,id=net,restrict=on -device virtio-net-pci,netdev=net,romfile= -device virtio-rng-pci \
        -device virtio-serial-pci -chardev "pipe,id=shell,path=$machine/shell" -device virtserialport,chardev=shell,name=shell \
        -chardev "pipe,id=console,path=$machine/console" -serial chardev:console \
        -chardev "pipe,id=monitor,path=$machine/monitor" -mon chardev=monitor "$@" >"$machine/qemu.log" 2>&1 &
    echo $! >"$machine/pid"
    # So that bash does not report its end.
    disown
    cat "$machine/console.out" >"$machine/console.log" &
    # shellcheck disable=SC2034 # of cuts.sh
    console=$!
}

# What a snapshot depends on.
contents_of_machine() { declare -f start_qemu cpu keep_kernel | sha256sum; }

accelerator() { cat "$VM/accelerator"; }
# What a newer processor has costs more emulated than it saves.
cpu() { if [[ $(accelerator) == kvm ]]; then echo host; else echo qemu64; fi; }

# `boot [COMMAND…]`: from the disk as it is, and from the kernel that `keep_kernel` has kept, which has read nothing of it.
# The command is run before it does.
boot() {
    start_qemu -incoming "exec:cat $VM/kernel"
    "$@"
    wait_for_boot
}

# The machine as it is when the kernel has started and the initrd waits for the host: seven seconds of each boot.
keep_kernel() {
    start_qemu
    wait_for_line kernel || machine_fault 'the kernel does not start'
    monitor "migrate \"exec:cat >$VM/kernel\"" >/dev/null
    power_cut
}

# `start_from SNAPSHOT`: the machine as it was then, with the clock of now; but for `pending`, whose hour would be over.
start_from() {
    local clock=''
    [[ $1 == pending ]] || clock="date --set=@$(date +%s) >/dev/null && "
    start_qemu -loadvm "$1"
    run_in_guest "${clock}unpack-files $(cat "$VM/files.hash")"
}

# `reboot_guest [COMMAND…]`: as `reboot` on its command line; `boot` runs the command.
reboot_guest() {
    send_to_guest rebooting 'systemctl reboot'
    wait_for_qemu
    boot "$@"
}

# As by the button: nothing is stopped or written first.
reset_guest() {
    echo system_reset >"$machine/monitor.in"
    wait_for_qemu
    boot
}

# Where the machine would start again, qemu ends: what the machine has written, that writes to the disk.
wait_for_qemu() {
    local deadline=$((SECONDS + guest_seconds))
    until process_gone "$(cat "$machine/pid")"; do
        [[ $SECONDS -lt $deadline ]] || machine_fault 'it did not go down'
        sleep 0.1
    done
}

# The machine is off at once; `boot` starts it with what its disk has. What the guest has not written is lost.
power_cut() {
    [[ -s $machine/pid ]] || return 0
    kill -KILL "$(cat "$machine/pid")" 2>/dev/null || true
    wait_for 'the end of qemu' process_gone "$(cat "$machine/pid")"
    rm "$machine/pid"
}

# `guest SCRIPT`: runs it as root in the guest with the functions of tests/vm/fixtures.sh, prints its output and returns
# its exit status, or 1 if it recorded a fault.
guest() { run_in_guest ". /run/sandbox/tests/vm/fixtures.sh"$'\n'"$1"; }

# Without these functions. The output ends with a line of a mark, and whatever line was not complete before it.
run_in_guest() {
    local mark="end-$RANDOM$RANDOM" line='' held=() deadline=$((SECONDS + guest_seconds))
    send_to_guest "$mark" "$1"
    while next_line "$deadline"; do
        [[ $line != "$mark "* ]] || break
        [[ ${#held[@]} -eq 0 ]] || printf '%s\n' "${held[0]}"
        held=("$line")
    done
    [[ -z ${held[0]:-} ]] || printf '%s\n' "${held[0]}"
    [[ $line == "$mark "* ]] || machine_fault "no answer to: $1"
    return "${line#"$mark "}"
}

# `send_to_guest MARK SCRIPT`
send_to_guest() {
    local LC_ALL=C
    printf '%d %s\n%s' "${#2}" "$1" "$2" >"$machine/shell.in"
}

wait_for_boot() {
    printf '%s %s\n' "$(date +%s)" "$(od -An -tx1 -N32 -w32 /dev/urandom | tr -d ' ')" >"$machine/shell.in"
    wait_for_ready
}

wait_for_ready() { wait_for_line 'ready *' || machine_fault 'it did not boot'; }

# `wait_for_line PATTERN`: from the guest's shell.
wait_for_line() {
    local line='' deadline=$((SECONDS + guest_seconds))
    while next_line "$deadline"; do
        # shellcheck disable=SC2053 # a pattern
        [[ $line != $1 ]] || return 0
    done
    return 1
}

# Sets line to the next one from the guest's shell; fails after the deadline, or if qemu has ended.
next_line() {
    local part=''
    line=''
    while [[ $SECONDS -lt $1 ]]; do
        if read -r -t 5 part <>"$machine/shell.out"; then
            line+=$part
            return 0
        fi
        line+=$part
        kill -0 "$(cat "$machine/pid")" 2>/dev/null || return 1
    done
    return 1
}

# `monitor COMMAND…`: of qemu's monitor; prints what that answers.
monitor() {
    local line
    printf '%s\ninfo status\n' "$*" >"$machine/monitor.in"
    while read -r -t "$guest_seconds" line <>"$machine/monitor.out"; do
        case $line in
            'VM status: '*) return 0 ;;
            '(qemu) '* | 'QEMU '*) ;;
            *) printf '%s\n' "$line" ;;
        esac
    done
    machine_fault "no answer to $*"
}

machine_fault() {
    printf 'the virtual machine: %s\n' "$*"
    cat "$machine/qemu.log"
    tail -n 30 "$machine/console.log" | tr -d '\r'
    die "the virtual machine: $*"
}

# --- snapshots -----------------------------------------------------------------------------------------------------

# `require_snapshot NAME CONTENTS COMMAND…`: makes it, by the command and from the one before, unless one of these contents
# is there.
require_snapshot() {
    local name=$1 contents=$2
    [[ $(cat "$VM/$name.contents" 2>/dev/null) != "$contents" ]] || return 0
    rm -f "$VM/$name.contents"
    "${@:3}"
    monitor savevm "$name"
    power_cut
    echo "$contents" >"$VM/$name.contents"
}

boot_first_time() {
    rm -f "$VM"/{machine.qcow2,kernel,installed.contents}
    qemu-img create -q -f qcow2 -b disk -F raw "$VM/machine.qcow2"
    choose_accelerator
    [[ -s $machine/pid ]] || { keep_kernel && boot; }
    guest 'systemctl is-system-running --wait >/dev/null || systemctl --failed; systemctl start apparmor; sync'
}

# Where this machine is itself a virtual one, the guest's kernel may hang under KVM, and does under one that does without
# the processor's help (PVM).
choose_accelerator() {
    echo kvm >"$VM/accelerator"
    [[ -w /dev/kvm ]] && grep -qwE 'vmx|svm' /proc/cpuinfo && boots_within 60 && return
    power_cut
    echo tcg,thread=multi >"$VM/accelerator"
}

boots_within() {
    local guest_seconds=$1
    (keep_kernel && boot) >/dev/null 2>&1
}

install_first_time() {
    start_from booted
    guest 'install_package; sync'
}
