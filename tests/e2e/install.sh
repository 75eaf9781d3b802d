# shellcheck shell=bash
# scripts/install and scripts/uninstall, into folders of the stage and onto the stage itself.

place=$stage/place

# What `cargo build --release --locked` leaves, and man pages, in the checkout of the stage; an empty place to install to.
built() {
    unset CARGO_TARGET_DIR
    mkdir -p "$stage/target/release" "$stage/debian"
    cp "$stage/pam_ivalt.so" "$stage/target/release/libpam_ivalt.so"
    cp "$stage/ivaltctl" "$stage/target/release/"
    touch "$stage/debian"/{ivaltctl.8,pam_ivalt.8,ivalt.toml.5,ivalt-users.toml.5,interface.md,other-systems.md}
    rm -rf "$place"
    mkdir "$place"
}

# `script EXIT_STATUS NAME [ARGUMENT…]`; variables come before, with env.
script() {
    local wanted=$1 ending=0
    shift
    env DESTDIR="$place" "${settings[@]}" bash "$stage/scripts/$1" "${@:2}" </dev/null >"$talk/script" 2>&1 || ending=$?
    [[ $ending -eq $wanted ]] || fault "$* ended with $ending instead of $wanted: $(cat "$talk/script")"
}

settings=(PAMDIR=/usr/lib64/security)

expect_script_to_say() { grep -qF -- "$1" "$talk/script" || fault "not said: '$1', but: $(cat "$talk/script")"; }

files_of_place() { find "$place" -type f -printf '%m %u:%g /%P\n' | sort -k3; }

install_puts_these_files_there_case() {
    built
    script 0 install
    diff - <(files_of_place) >"$talk/differences" <<-'END' || fault "$(cat "$talk/differences")"
		600 root:root /etc/ivalt/ivalt.toml
		600 root:root /etc/ivalt/users.toml
		644 root:root /usr/lib64/security/pam_ivalt.so
		755 root:root /usr/local/sbin/ivaltctl
		644 root:root /usr/local/share/bash-completion/completions/ivaltctl
		644 root:root /usr/local/share/doc/pam_ivalt/CHANGELOG.md
		644 root:root /usr/local/share/doc/pam_ivalt/LICENSE-APACHE
		644 root:root /usr/local/share/doc/pam_ivalt/LICENSE-MIT
		644 root:root /usr/local/share/doc/pam_ivalt/README.md
		644 root:root /usr/local/share/doc/pam_ivalt/SECURITY.md
		644 root:root /usr/local/share/doc/pam_ivalt/examples/README.md
		644 root:root /usr/local/share/doc/pam_ivalt/examples/fail2ban/filter.d/pam-ivalt.conf
		644 root:root /usr/local/share/doc/pam_ivalt/examples/fail2ban/jail.d/pam-ivalt.conf
		644 root:root /usr/local/share/doc/pam_ivalt/examples/ivalt.toml
		644 root:root /usr/local/share/doc/pam_ivalt/examples/logcheck/ignore.d.server/libpam-ivalt
		644 root:root /usr/local/share/doc/pam_ivalt/examples/logrotate.d/pam-ivalt
		644 root:root /usr/local/share/doc/pam_ivalt/examples/pam.d/sshd-key-and-ivalt
		644 root:root /usr/local/share/doc/pam_ivalt/examples/pam.d/sshd-key-or-password-and-ivalt
		644 root:root /usr/local/share/doc/pam_ivalt/examples/pam.d/sshd-password-and-ivalt
		644 root:root /usr/local/share/doc/pam_ivalt/examples/pam.d/sudo
		644 root:root /usr/local/share/doc/pam_ivalt/examples/polkit/polkit-agent-helper@.service.d/ivalt.conf
		644 root:root /usr/local/share/doc/pam_ivalt/examples/rsyslog.d/30-pam-ivalt.conf
		644 root:root /usr/local/share/doc/pam_ivalt/examples/users.toml
		644 root:root /usr/local/share/doc/pam_ivalt/interface.md
		644 root:root /usr/local/share/doc/pam_ivalt/other-systems.md
		644 root:root /usr/local/share/fish/vendor_completions.d/ivaltctl.fish
		644 root:root /usr/local/share/man/man5/ivalt-users.toml.5
		644 root:root /usr/local/share/man/man5/ivalt.toml.5
		644 root:root /usr/local/share/man/man8/ivaltctl.8
		644 root:root /usr/local/share/man/man8/pam_ivalt.8
		644 root:root /usr/local/share/zsh/site-functions/_ivaltctl
	END
    [[ -z $(find "$place" -type d ! -perm 0755) ]] || fault 'a folder is not 0755'
    cmp -s "$stage/pam_ivalt.so" "$place/usr/lib64/security/pam_ivalt.so" || fault 'not the module that was built'
    bash -n "$place/usr/local/share/bash-completion/completions/ivaltctl" || fault 'the completion is no bash'
}

install_again_leaves_what_administrators_wrote_case() {
    built
    script 0 install
    files_of_place >"$stage/before"
    echo 'key = "mine"' >"$place/etc/ivalt/ivalt.toml"
    chmod 0640 "$place/etc/ivalt/ivalt.toml"
    rm "$place/etc/ivalt/users.toml"
    ln -s /srv/not-mounted/users.toml "$place/etc/ivalt/users.toml"
    chmod 0750 "$place/etc/ivalt"
    echo 'broken' >"$place/usr/lib64/security/pam_ivalt.so"
    script 0 install
    [[ $(cat "$place/etc/ivalt/ivalt.toml") == 'key = "mine"' ]] || fault 'ivalt.toml was overwritten'
    [[ $(stat -c %a "$place/etc/ivalt" "$place/etc/ivalt/ivalt.toml") == $'750\n640' ]] || fault 'modes were changed'
    [[ -L $place/etc/ivalt/users.toml ]] || fault 'the link was replaced'
    diff <(grep -v etc/ivalt "$stage/before") <(files_of_place | grep -v etc/ivalt) >"$talk/differences" ||
        fault "$(cat "$talk/differences")"
    cmp -s "$stage/pam_ivalt.so" "$place/usr/lib64/security/pam_ivalt.so" || fault 'the module was not replaced'
}

install_obeys_its_variables_case() {
    built
    settings=(PAMDIR=/opt/pam PREFIX=/opt/ivalt SYSCONFDIR=/opt/etc)
    script 0 install
    [[ -e $place/opt/pam/pam_ivalt.so && -e $place/opt/ivalt/sbin/ivaltctl && -e $place/opt/etc/ivalt/users.toml ]] ||
        fault "elsewhere: $(files_of_place)"
    ! grep -qv ' /opt/' <<<"$(files_of_place)" || fault "outside: $(files_of_place)"
    expect_script_to_say 'every line in pam.d needs: config=/opt/etc/ivalt/ivalt.toml'
    script 0 uninstall --purge
    [[ -z $(files_of_place) ]] || fault "left: $(files_of_place)"
}

# Where pam_unix.so lies, whatever stands beside it for the 32-bit programs of old.
install_finds_the_folder_of_pam_case() {
    local right wrong
    settings=(PAMDIR=)
    for right in usr/lib64 lib64 usr/lib/x86_64-linux-gnu lib/x86_64-linux-gnu usr/lib lib; do
        for wrong in usr/lib64 usr/lib/i386-linux-gnu lib; do
            [[ $right != "$wrong" ]] || continue
            built
            install -D "$stage/pam_ivalt.so" "$place/$right/security/pam_unix.so"
            install -D "$stage/pam_ivalt.so" "$place/$wrong/security/pam_unix.so"
            printf '\001' | dd of="$place/$wrong/security/pam_unix.so" bs=1 seek=4 conv=notrunc status=none
            script 0 install
            [[ -e $place/$right/security/pam_ivalt.so ]] || fault "not in $right: $(files_of_place | grep security)"
        done
    done
}

# The machine's own folder serves a packager whose DESTDIR is empty.
install_for_a_packager_without_root_case() {
    local folder
    built
    chown alice "$place"
    chmod -R a+rX "$stage/target"
    settings=(PAMDIR=)
    act alice env DESTDIR="$place" bash "$stage/scripts/install"
    [[ $status -eq 0 ]] || fault "ended with $status: $(cat "$talk/seen")"
    folder=$(dirname "$(find -H /usr/lib /lib -name pam_unix.so -path '*/security/*' -print -quit)")
    [[ $(find "$place/${folder#/}" "$place/usr/${folder#/}" -name pam_ivalt.so -printf '%m %u\n' 2>/dev/null) == '644 alice' ]] ||
        fault "elsewhere: $(files_of_place)"
    [[ $(stat -c '%a %U' "$place/etc/ivalt/ivalt.toml") == '600 alice' ]] || fault 'ivalt.toml is not 0600'
    act alice bash "$stage/scripts/install"
    [[ $status -eq 1 ]] || fault 'installs onto the system without root'
    expect_seen 'needs root, or DESTDIR=DIR; nothing was touched'
}

install_builds_nothing_case() {
    built
    rm -rf "$stage/target"
    script 1 install
    expect_script_to_say 'cargo build --release --locked'
    [[ -z $(ls -A "$place") ]] || fault 'something was installed'
}

uninstall_takes_its_own_and_leaves_settings_case() {
    built
    script 0 install
    mkdir -p "$place/var/lib/ivalt" "$place/etc/pam.d"
    echo '# auth required pam_ivalt.so' >"$place/etc/pam.d/sshd"
    rm -rf "$stage/target"
    script 0 uninstall
    expect_script_to_say 'scripts/uninstall --purge takes them along'
    [[ $(files_of_place | grep -v /pam.d/) == $'600 root:root /etc/ivalt/ivalt.toml\n600 root:root /etc/ivalt/users.toml' ]] ||
        fault "left: $(files_of_place)"
    script 0 uninstall
    script 0 uninstall --purge
    [[ ! -e $place/etc/ivalt && ! -e $place/var/lib/ivalt && -e $place/etc/pam.d/sshd ]] || fault 'not purged'
    script 0 uninstall --purge
}

uninstall_refuses_while_a_service_asks_case() {
    local file
    built
    script 0 install
    files_of_place >"$stage/before"
    for file in etc/pam.d/sshd usr/lib/pam.d/sudo usr/etc/pam.d/su etc/pam.conf; do
        install -d "$place/${file%/*}"
        printf '%s\n' '# pam_ivalt' 'auth [success=ok \' '  default=die] pam_ivalt.so' >"$place/$file"
        script 1 uninstall
        script 1 uninstall --purge
        expect_script_to_say "ivaltctl disable ${file##*/}"
        expect_script_to_say "sed -i '/^[^#]*pam_ivalt/d' $place/$file"
        rm "$place/$file"
    done
    [[ $(files_of_place) == "$(cat "$stage/before")" ]] || fault "changed: $(files_of_place)"
    script 0 uninstall
}

# Onto the system of the stage, over and over: every login finds a whole module.
install_while_people_log_in_case() {
    local round
    built
    settings=(DESTDIR= PAMDIR=)
    token_alone
    script 0 install
    rm -f "$stage/enough"
    until [[ -e $stage/enough ]]; do bash "$stage/scripts/install" || exit; done >"$stage/installing" 2>&1 &
    local installer=$!
    watch_module || fault 'the module was gone or not whole'
    for round in {1..8}; do
        answers '' "accept-$round"
        act visitor ssh alice@localhost whoami
        expect_let_in alice
    done
    touch "$stage/enough"
    wait "$installer" || fault "the installer ended: $(cat "$stage/installing")"
    ! find / -xdev -name 'pam_ivalt.so.new.*' 2>/dev/null | grep . || fault 'a half-written module is left'
    [[ $(stat -c %a /usr/local/sbin/ivaltctl) == 755 ]] || fault 'no ivaltctl'
    rm -rf /usr/local/sbin/ivaltctl /usr/local/share/doc/pam_ivalt
}

# For some seconds, as often as the machine can.
watch_module() {
    perl -e 'my ($file, $size) = @ARGV; my $end = time + 3;
        while (time < $end) { for (1 .. 1000) { exit 1 if (-s $file || 0) != $size } }' \
        "$(dirname "$(find -H /usr/lib /lib -name pam_unix.so -path '*/security/*' -print -quit)")/pam_ivalt.so" \
        "$(stat -c %s "$stage/pam_ivalt.so")"
}
