# shellcheck shell=bash
# Which file is installed where without a package: read by scripts/install and scripts/uninstall, so that one removes
# what the other installed. Variables of the environment:
#   DESTDIR     put in front of every path (a packager's folder, a mounted system)
#   PREFIX      of ivaltctl, man pages, completions and samples; default /usr/local
#   PAMDIR      the folder of PAM's modules; default: where pam_unix.so of the same architecture is
#   SYSCONFDIR  default /etc; with another one, every line in pam.d needs config=PATH

destination=${DESTDIR:-} prefix=${PREFIX:-/usr/local} sysconfdir=${SYSCONFDIR:-/etc}
destination=${destination%/} pam_folder=${PAMDIR:-} release=$target/release
pam_folder=${pam_folder%/} settings_folder=$sysconfdir/ivalt documents=$prefix/share/doc/pam_ivalt
# The first is enabled; the timer is for administrators to enable.
units=(ivaltctl-rollback.service ivaltctl-sync.service ivaltctl-sync.timer)
# Packagers' is /usr/lib. Not below another PREFIX, even where systemd looks there: its folder may not be mounted when
# systemd reads its units at boot.
unit_folder=/etc/systemd/system tmpfiles=/etc/tmpfiles.d/pam_ivalt.conf
[[ $prefix != /usr ]] || unit_folder=/usr/lib/systemd/system tmpfiles=/usr/lib/tmpfiles.d/pam_ivalt.conf

# Mode, source and destination, separated by tabs, one file a line; without the files that administrators edit.
list_files() {
    printf '%s\t%s\t%s\n' 0644 "$release/libpam_ivalt.so" "$pam_folder/pam_ivalt.so" \
        0755 "$release/ivaltctl" "$prefix/sbin/ivaltctl"
    list_man_pages
    list_samples
}

list_man_pages() {
    local page
    for page in "$repo"/debian/*.[58]; do
        [[ ! -e $page ]] || printf '0644\t%s\t%s\n' "$page" "$prefix/share/man/man${page##*.}/${page##*/}"
    done
}

list_samples() {
    local sample
    while read -r sample; do
        printf '0644\t%s\t%s\n' "$repo/conf/$sample" "$documents/examples/$sample"
    done < <(cd "$repo/conf" && find . -type f -printf '%P\n' | sort)
    for sample in README.md SECURITY.md CHANGELOG.md LICENSE-APACHE LICENSE-MIT debian/{hosts-and-clients,interface,other-systems}.md; do
        [[ ! -e $repo/$sample ]] || printf '0644\t%s\t%s\n' "$repo/$sample" "$documents/${sample##*/}"
    done
}

# Shell and destination of its completion, which ivaltctl prints, separated by a tab.
list_completions() {
    printf '%s\t%s\n' bash "$prefix/share/bash-completion/completions/ivaltctl" \
        zsh "$prefix/share/zsh/site-functions/_ivaltctl" fish "$prefix/share/fish/vendor_completions.d/ivaltctl.fish"
}

# Whether systemd is, or may be, the init; a packager's folder has none.
has_systemd() {
    [[ -e $destination/usr/lib/systemd/systemd || -e $destination/lib/systemd/systemd ]] ||
        [[ ! -e $destination/sbin/init && ! -L $destination/sbin/init ]]
}

# What runs already learns of a unit that was installed or removed.
reload_systemd() { ! systemd_runs || systemctl daemon-reload; }
systemd_runs() { [[ -z $destination && -d /run/systemd/system ]]; }

# `find_pam_folder MODULE`: sets $pam_folder to the folder of this module, if it is of the same architecture as ours.
find_pam_folder() {
    [[ -z $pam_folder ]] || return 0
    local modules
    mapfile -t modules < <(modules_in "$destination" "$1" && modules_in '' "$1")
    [[ ${#modules[@]} -gt 0 ]] || return 1
    pam_folder=${modules[0]%/*}
    pam_folder=${pam_folder#"$destination"}
}

# `modules_in SYSTEM MODULE`: where this module is, of the same architecture as ours, one path a line.
modules_in() {
    local module
    for module in "$1"/{usr/,}lib{64,/*-linux-*,}/security/"$2"; do
        [[ ! -e $module ]] || ! same_architecture "$module" || printf '%s\n' "$module"
    done
}

# The folders of the system's own modules, of which one is built into libpam, where ours cannot be loaded from. Where /lib
# is no link to usr/lib, /lib/…/security is another folder than /usr/lib/…/security.
folders_without_module() {
    local folder
    modules_in "$destination" pam_unix.so | while read -r folder; do
        folder=${folder%/*}
        [[ -e $folder/pam_ivalt.so || -L $folder/pam_ivalt.so ]] || printf '%s\n' "${folder#"$destination"}"
    done
}

# A system may also have a folder of 32-bit modules. If nothing is built, any will do.
same_architecture() {
    [[ ! -e $release/libpam_ivalt.so || $(architecture_of "$1") == "$(architecture_of "$release/libpam_ivalt.so")" ]]
}

# Class, byte order and machine of an ELF file.
architecture_of() { od -An -tx1 -j4 -N2 "$1" && od -An -tx1 -j18 -N2 "$1"; }
