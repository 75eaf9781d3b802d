# shellcheck shell=bash
# What the scripts require: root, a Rust toolchain, and programs that are unpacked from packages, never installed.

# The user whose toolchain and checkout this is: under sudo, the one who called it.
builder() { printf '%s' "${SUDO_USER:-$(id -un)}"; }

require_root() {
    [[ $(id -u) -eq 0 ]] || die "needs root for a private mount namespace; nothing was changed; run: sudo ${1:?}"
}

# Runs a command as the builder, so that a build under sudo neither runs foreign build scripts as root nor leaves root's
# files in the checkout.
as_builder() {
    if [[ $(id -u) -eq 0 && $(builder) != root ]]; then
        setpriv --reuid="$(builder)" --regid="$(id -g "$(builder)")" --init-groups \
            env HOME="$(builder_home)" USER="$(builder)" "$@"
    else
        "$@"
    fi
}

builder_home() { getent passwd "$(builder)" | cut -d: -f6; }

# rustup is in the builder's home, which sudo's secure_path leaves out. Exported, so that tests run as root find it too.
find_toolchain() {
    local home
    home=$(builder_home)
    [[ -x $home/.cargo/bin/cargo ]] || return 0
    export PATH="$home/.cargo/bin:$PATH"
    export CARGO_HOME="${CARGO_HOME:-$home/.cargo}" RUSTUP_HOME="${RUSTUP_HOME:-$home/.rustup}"
}

wanted_rust() { sed -n 's/^rust-version = "\(.*\)"/\1/p' "$repo/Cargo.toml"; }

require_toolchain() {
    local wanted have
    find_toolchain
    wanted=$(wanted_rust)
    have=$(as_builder rustc --version 2>/dev/null | cut -d' ' -f2) || have=""
    as_builder cargo --version >/dev/null 2>&1 || have=""
    [[ -n $have ]] || die "no Rust toolchain (cargo, rustc >= $wanted) found; install one: $(toolchain_fix)"
    printf '%s\n' "$wanted" "$have" | sort --version-sort --check=quiet ||
        die "Rust $have is too old, $wanted or newer is needed; install one: $(toolchain_fix)"
    say "Rust $have"
}

toolchain_fix() {
    local ID='' VERSION_ID=''
    # shellcheck source=/dev/null
    [[ ! -r /etc/os-release ]] || . /etc/os-release
    case $ID:$VERSION_ID in
        debian:12) printf 'apt install cargo-web' ;;
        debian:1[3-9] | debian:) printf 'apt install cargo' ;;
        *) printf "rustup, or this system's cargo if it is new enough" ;;
    esac
}

require_compiler() {
    command -v cc >/dev/null || die "no C compiler (cc) found, which rustc links with; install one: $(install_fix 'gcc libc6-dev' gcc gcc gcc)"
}

# `install_fix DEBIAN FEDORA SUSE ARCH`: the command that installs a program on this system, by the names of its packages
# there and in what is derived from them.
install_fix() {
    local ID='' ID_LIKE=''
    # shellcheck source=/dev/null
    [[ ! -r /etc/os-release ]] || . /etc/os-release
    case " $ID $ID_LIKE " in
        *' debian '*) printf 'apt install %s' "$1" ;;
        *' fedora '*) printf 'dnf install %s' "$2" ;;
        *' suse '*) printf 'zypper install %s' "$3" ;;
        *' arch '*) printf 'pacman -S %s' "$4" ;;
        *) printf "by this system's package manager" ;;
    esac
}

# `missing_packages PROGRAM=PACKAGE…`: the packages whose program the machine lacks.
missing_packages() {
    local pair PATH="$PATH:/usr/sbin:/sbin"
    for pair in "$@"; do
        command -v "${pair%%=*}" >/dev/null || printf '%s\n' "${pair#*=}"
    done
}

# Lets apt resolve and download what the machine lacks for these packages; nothing is installed. The archive folder is
# ours, so its locks are not needed.
apt_fetch() {
    local folder=$1
    shift
    as_builder mkdir -p "$folder/partial"
    as_builder apt-get -q -y -o Debug::NoLocking=1 -o APT::Sandbox::User=root -o Dir::Cache::archives="$folder" \
        --no-install-recommends --download-only install "$@"
}

# `fetch_packages PURPOSE PACKAGE…`: downloads them into a folder of the cache and prints its name, which is a hash of
# their versions and the machine's state: a newer sshd in the archive is fetched, an unchanged one is not.
fetch_packages() {
    local purpose=$1 folder
    shift
    command -v apt-get >/dev/null ||
        die "this machine lacks what is in Debian's packages $*, and has no apt to download them; install what is in them, or run this on Debian"
    update_missing_lists "$@"
    folder=$cache/$purpose-$({ apt-cache policy "$@" && stat -c %Y /var/lib/dpkg/status; } | sha256sum | cut -c1-16)
    if [[ ! -e $folder/complete ]]; then
        as_builder rm -rf "$cache/$purpose"-*
        as_builder mkdir -p "$folder"
        fetch_or_update "$folder" "$@" 2>&1 | as_builder tee "$folder/apt.log" >/dev/null ||
            die "apt could not fetch: $* (its output is in $folder/apt.log); run: sudo apt-get update"
        as_builder touch "$folder/complete"
    fi
    printf '%s' "$folder"
}

# A fresh machine or container may have no package lists yet.
update_missing_lists() {
    [[ $(apt-cache policy "$@" | grep -c 'Candidate: [^(]' || true) -eq $# ]] || update_lists
}

# Lists may also be so old that the archive no longer has their versions; then they are updated once.
fetch_or_update() {
    [[ $# -gt 1 ]] || return 0
    apt_fetch "$@" || { update_lists && apt_fetch "$@"; }
}

update_lists() {
    [[ $(id -u) -eq 0 ]] || die "apt's package lists are missing or out of date; run: sudo apt-get update"
    # One after the other, because parts of scripts/test that run side by side may both want it.
    flock "$cache" apt-get -q update >&2
}

# `unpack_missing PURPOSE PROGRAM=PACKAGE…`: unpacks what the machine lacks of them, and sets $tools to the folder, or to
# nothing where it lacks none.
unpack_missing() {
    local purpose=$1 packages folder
    shift
    tools=''
    mapfile -t packages < <(missing_packages "$@")
    [[ ${#packages[@]} -gt 0 ]] || return 0
    folder=$(fetch_packages "$purpose" "${packages[@]}") || return
    tools=$cache/$purpose-unpacked
    as_builder rm -rf "$tools"
    unpack_packages "$folder" "$tools"
}

# `unpack_packages FOLDER INTO`: dpkg-deb -x would replace the links /lib -> usr/lib of a merged /usr; tar keeps them.
unpack_packages() {
    local folder=$1 into=$2 name
    as_builder mkdir -p "$into"/usr/{bin,sbin,lib}
    for name in bin sbin lib; do [[ -e $into/$name ]] || as_builder ln -s "usr/$name" "$into/$name"; done
    for name in "$folder"/*.deb; do
        [[ ! -e $name ]] || dpkg-deb --fsys-tarfile "$name" | as_builder tar -x --keep-directory-symlink -C "$into"
    done
}
