# shellcheck shell=bash
# What sandbox, chroots and bench set up inside their namespaces.

# Without its records in /run/mount, which would be the machine's or do not exist.
mount() { command mount --no-mtab "$@"; }

# `private_dev FOLDER`: makes a /dev in it.
private_dev() {
    local node dev=$1
    mkdir -p "$dev/pts" "$dev/shm"
    for node in null zero full random urandom tty; do
        : >"$dev/$node"
        mount --bind "/dev/$node" "$dev/$node"
    done
    mount -t devpts devpts "$dev/pts" -o newinstance,ptmxmode=0666,mode=0620,gid=5
    mount -t tmpfs shm "$dev/shm" -o mode=1777,nosuid,nodev
    ln -s pts/ptmx "$dev/ptmx"
    ln -s /proc/self/fd "$dev/fd"
}

# `ip` may be missing on a small machine, perl-base never is: SIOCSIFFLAGS with IFF_UP.
loopback_up() {
    perl -MSocket -e 'my $up = pack("a16 s x22", "lo", 1);
        socket(LO, AF_INET, SOCK_DGRAM, 0) && ioctl(LO, 0x8914, $up) or die "lo: $!\n"'
}
