# shellcheck shell=bash
# The virtual machine: Debian 13 as it boots on a server, with systemd, sshd, sudo, polkit and journald, under qemu; or
# Debian 12, if `use_debian_12` was called.
#
# Below target/vm, or target/vm-bookworm: kernel, initrd and disk, and machine.qcow2 with two snapshots of the running machine, in memory and on
# disk: `booted`, and `installed` with the package under test. Each is made again when what it is made from has changed.
# qemu is unpacked where the machine lacks it. To make all of it again: rm -rf target/vm.

vm=$target/vm vm_suite=trixie

use_debian_12() { vm=$target/vm-bookworm vm_suite=bookworm; }

require_qemu() {
    local packages
    mapfile -t packages < <(missing_packages qemu-system-x86_64=qemu-system-x86 qemu-img=qemu-utils)
    [[ ${#packages[@]} -gt 0 ]] || return 0
    unpack_qemu "$(fetch_packages qemu "${packages[@]}")"
    export PATH="$cache/qemu/wrapped:$PATH"
}

unpack_qemu() {
    local folder=$1 qemu=$cache/qemu
    [[ $(cat "$qemu/unpacked-from" 2>/dev/null) != "$folder" ]] || return 0
    as_builder rm -rf "$qemu"
    unpack_packages "$folder" "$qemu"
    as_builder mkdir "$qemu/wrapped"
    wrap_qemu qemu-system-x86_64 -L "$qemu/usr/share/qemu" -L "$qemu/usr/share/seabios"
    wrap_qemu qemu-img
    as_builder tee "$qemu/unpacked-from" <<<"$folder" >/dev/null
}

# `wrap_qemu PROGRAM [ARGUMENT…]`: with the libraries and modules that were unpacked with it.
wrap_qemu() {
    local program=$cache/qemu/usr/bin/$1 wrapper=$cache/qemu/wrapped/$1 libraries
    [[ -x $program ]] || return 0
    libraries=$(echo "$cache"/qemu/usr/lib/*-linux-gnu)
    {
        printf '#!/bin/sh\nLD_LIBRARY_PATH=%q QEMU_MODULE_DIR=%q exec' "$libraries" "$libraries/qemu"
        printf ' %q' "$program" "${@:2}"
        echo ' "$@"'
    } | as_builder tee "$wrapper" >/dev/null
    as_builder chmod 0755 "$wrapper"
}

# Chroot, disk, kernel and initrd.
require_vm_image() {
    local contents
    require_sandbox
    fetch_debootstrap
    prepare_chroot "$vm_suite" from_archive "$vm_suite"
    contents=$(files_of_image | sha256sum | cut -c1-16)
    prepare_chroot "$vm_suite-vm" system_of_image "$vm_suite" "$contents"
    contents=$(cat "$chroots/$vm_suite-vm.contents")
    [[ $(cat "$vm/image.contents" 2>/dev/null) != "$contents" ]] || return 0
    say 'making the image of the virtual machine'
    rm -rf "$vm"
    mkdir -p "$vm"
    cp -L "$chroots/$vm_suite-vm"/{vmlinuz,initrd.img} "$vm/"
    truncate -s 4G "$vm/disk"
    PATH="$PATH:/usr/sbin:/sbin" mke2fs -q -t ext4 -E lazy_itable_init=0,lazy_journal_init=0 -d "$chroots/$vm_suite-vm" "$vm/disk"
    echo "$contents" >"$vm/image.contents"
}

files_of_image() {
    tar -C "$repo" --sort=name --mtime=@0 --owner=0 --group=0 -c tests/vm/{image,set-up-image} tests/package/fixtures.sh \
        scripts/lib/fixtures.sh
}

# `system_of_image SUITE HASH NAME`
system_of_image() {
    local folder=$chroots/$3
    cp -a "$chroots/$1" "$folder"
    cp -r --no-preserve=ownership "$repo/tests/vm/image/." "$folder/"
    install_in_chroot "$3"
    mkdir -p "$folder/run/sandbox"
    cp -r --no-preserve=ownership "$repo"/{scripts,tests,conf} "$folder/run/sandbox/"
    chroot_with_network "$folder" bash /run/sandbox/tests/vm/set-up-image
    rm -rf "$folder"/{run,tmp}/*
}

# What the guest reads from its second disk: the package under test, and the checkout's scripts and tests. A disk whose
# size a snapshot knows cannot have another one.
files_for_guest() {
    local folder=$vm/files
    rm -rf "$folder"
    mkdir -p "$folder"/{bin,ivalt,target/package,tests}
    cp -r --no-preserve=ownership "$repo"/{scripts,conf,README.md} "$folder/"
    cp -r --no-preserve=ownership "$repo"/tests/{vm,e2e} "$folder/tests/"
    cp "$(package_file "$(built_in_chroot "$vm_suite")")" "$folder/target/package/"
    install -m 0755 -s "$(helper_file ivalt-stand-in)" "$(helper_file syslog-sink)" "$folder/bin/"
    chmod -R a+rX "$folder"
    tar -C "$folder" --sort=name --mtime=@0 -cf "$vm/files.tar" .
    sha256sum <"$vm/files.tar" | cut -c1-16 >"$vm/files.hash"
    truncate -s 64M "$vm/files.tar"
    rm -rf "$folder"
}

# As its own release builds it.
require_package() {
    require_build_chroot "$vm_suite"
    build_in_chroot "$vm_suite"
}

# Why there can be none, or nothing.
vm_is_missing() {
    if [[ $(dpkg --print-architecture) != amd64 ]]; then
        echo 'its Debian is for amd64, which this machine is not'
    elif ! command -v qemu-system-x86_64 >/dev/null && [[ $(apt-cache policy qemu-system-x86) != *'Candidate: '[^\(]* ]]; then
        echo 'apt has no qemu-system-x86 for this machine'
    fi
}

# Image, package and snapshots.
require_vm() {
    require_qemu
    require_vm_image
    require_package
    build_helpers
    files_for_guest
    run_with_vm snapshots "$(sha256sum <"$(package_file "$(built_in_chroot "$vm_suite")")")"
}

# Power cuts that are made only if named: other cases have the same steps, or cut nearby.
vm_cases_by_name=(cut_during_confirm cut_during_edited cut_during_install)

# `vm_cases [NAME…]`: these cases of tests/vm, by default all but those.
vm_cases() {
    require_qemu
    if [[ $# -gt 0 ]]; then run_with_vm cases "$@"; else run_with_vm all_cases_but "${vm_cases_by_name[@]}"; fi
}

# `run_with_vm COMMAND…`: of tests/vm/run, in namespaces without a network, with which qemu ends.
run_with_vm() { in_namespaces -- "$repo/scripts/lib/enter-vm" "$PATH" "$vm" "$TMPDIR" "$repo/tests/vm/run" "$@"; }
