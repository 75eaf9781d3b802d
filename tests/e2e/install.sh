# shellcheck shell=bash
# scripts/install and scripts/uninstall, into a folder of the sandbox and onto the sandbox itself.

destdir=$sandbox/destdir

# Makes the copy of the checkout look as after `cargo build --release --locked`, and $destdir empty.
prepare_build() {
    unset CARGO_TARGET_DIR
    mkdir -p "$sandbox/target/release" "$sandbox/debian"
    cp "$sandbox/pam_ivalt.so" "$sandbox/target/release/libpam_ivalt.so"
    cp "$sandbox/ivaltctl" "$sandbox/target/release/"
    touch "$sandbox/debian"/{ivaltctl.8,pam_ivalt.8,ivalt.toml.5,ivalt-directory.toml.5,ivalt-users.toml.5,hosts-and-clients.md,interface.md,other-systems.md}
    printf '[Service]\nExecStart=/usr/sbin/ivaltctl rollback\n' >"$sandbox/debian/libpam-ivalt.ivaltctl-rollback.service"
    printf '[Service]\nExecStart=/usr/sbin/ivaltctl users sync\n' >"$sandbox/debian/libpam-ivalt.ivaltctl-sync.service"
    touch "$sandbox/debian/libpam-ivalt.ivaltctl-sync.timer"
    rm -rf "$destdir"
    mkdir "$destdir"
}

# `run_script EXIT_STATUS NAME [ARGUMENT…]`, with the variables of $settings.
run_script() { run_captured "$1" env DESTDIR="$destdir" "${settings[@]}" bash "$sandbox/scripts/$2" "${@:3}"; }

settings=(PAMDIR=/usr/lib64/security)

installed_files() { find "$destdir" -type f -printf '%m %u:%g /%P\n' | sort -k3; }

install_puts_these_files_there_case() {
    prepare_build
    run_script 0 install
    diff - <(installed_files) >"$terminal/differences" <<-'END' || fault "$(cat "$terminal/differences")"
		600 root:root /etc/ivalt/ivalt.toml
		600 root:root /etc/ivalt/users.toml
		644 root:root /etc/systemd/system/ivaltctl-rollback.service
		644 root:root /etc/systemd/system/ivaltctl-sync.service
		644 root:root /etc/systemd/system/ivaltctl-sync.timer
		644 root:root /etc/tmpfiles.d/pam_ivalt.conf
		644 root:root /usr/lib64/security/pam_ivalt.so
		755 root:root /usr/local/sbin/ivaltctl
		644 root:root /usr/local/share/bash-completion/completions/ivaltctl
		644 root:root /usr/local/share/doc/pam_ivalt/CHANGELOG.md
		644 root:root /usr/local/share/doc/pam_ivalt/LICENSE-APACHE
		644 root:root /usr/local/share/doc/pam_ivalt/LICENSE-MIT
		644 root:root /usr/local/share/doc/pam_ivalt/README.md
		644 root:root /usr/local/share/doc/pam_ivalt/SECURITY.md
		644 root:root /usr/local/share/doc/pam_ivalt/examples/README.md
		644 root:root /usr/local/share/doc/pam_ivalt/examples/ansible/README.md
		644 root:root /usr/local/share/doc/pam_ivalt/examples/ansible/roles/ivalt/defaults/main.yml
		644 root:root /usr/local/share/doc/pam_ivalt/examples/ansible/roles/ivalt/handlers/main.yml
		644 root:root /usr/local/share/doc/pam_ivalt/examples/ansible/roles/ivalt/meta/argument_specs.yml
		644 root:root /usr/local/share/doc/pam_ivalt/examples/ansible/roles/ivalt/meta/main.yml
		644 root:root /usr/local/share/doc/pam_ivalt/examples/ansible/roles/ivalt/tasks/build.yml
		644 root:root /usr/local/share/doc/pam_ivalt/examples/ansible/roles/ivalt/tasks/confirm.yml
		644 root:root /usr/local/share/doc/pam_ivalt/examples/ansible/roles/ivalt/tasks/enable.yml
		644 root:root /usr/local/share/doc/pam_ivalt/examples/ansible/roles/ivalt/tasks/main.yml
		644 root:root /usr/local/share/doc/pam_ivalt/examples/ansible/roles/ivalt/tasks/package.yml
		644 root:root /usr/local/share/doc/pam_ivalt/examples/ansible/roles/ivalt/tasks/settings.yml
		644 root:root /usr/local/share/doc/pam_ivalt/examples/ansible/roles/ivalt/tasks/users.yml
		644 root:root /usr/local/share/doc/pam_ivalt/examples/ansible/roles/ivalt/templates/toml.j2
		644 root:root /usr/local/share/doc/pam_ivalt/examples/ansible/roles/ivalt/vars/main.yml
		644 root:root /usr/local/share/doc/pam_ivalt/examples/ansible/site.yml
		644 root:root /usr/local/share/doc/pam_ivalt/examples/directory.toml
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
		644 root:root /usr/local/share/doc/pam_ivalt/examples/rsyslog.d/31-pam-ivalt-recovery.conf
		644 root:root /usr/local/share/doc/pam_ivalt/examples/users.toml
		644 root:root /usr/local/share/doc/pam_ivalt/hosts-and-clients.md
		644 root:root /usr/local/share/doc/pam_ivalt/interface.md
		644 root:root /usr/local/share/doc/pam_ivalt/other-systems.md
		644 root:root /usr/local/share/fish/vendor_completions.d/ivaltctl.fish
		644 root:root /usr/local/share/man/man5/ivalt-directory.toml.5
		644 root:root /usr/local/share/man/man5/ivalt-users.toml.5
		644 root:root /usr/local/share/man/man5/ivalt.toml.5
		644 root:root /usr/local/share/man/man8/ivaltctl.8
		644 root:root /usr/local/share/man/man8/pam_ivalt.8
		644 root:root /usr/local/share/zsh/site-functions/_ivaltctl
	END
    [[ -z $(find "$destdir" -type d ! -perm 0755) ]] || fault 'a folder is not 0755'
    cmp -s "$sandbox/pam_ivalt.so" "$destdir/usr/lib64/security/pam_ivalt.so" || fault 'not the module that was built'
    bash -n "$destdir/usr/local/share/bash-completion/completions/ivaltctl" || fault 'the completion is not valid bash'
    expect_units etc/systemd/system /usr/local/sbin/ivaltctl
}

# `expect_units FOLDER PROGRAM`: they run this ivaltctl; what puts back is enabled there, the timer is not.
expect_units() {
    local unit=$destdir/$1/ivaltctl-rollback.service sync=$destdir/$1/ivaltctl-sync.service
    [[ $destdir/$1/sysinit.target.wants/ivaltctl-rollback.service -ef $unit ]] || fault 'the unit is not enabled'
    grep -qx "ExecStart=$2 rollback" "$unit" || fault "the unit runs: $(cat "$unit")"
    grep -qx "ExecStart=$2 users sync" "$sync" || fault "the unit runs: $(cat "$sync")"
    [[ -e $destdir/$1/ivaltctl-sync.timer && ! -e $destdir/$1/timers.target.wants ]] || fault 'no timer, or enabled'
}

# `expect_tmpfiles FOLDER`: what systemd makes of it at boot, also of a folder that somebody else has opened.
expect_tmpfiles() {
    install -d -m 0777 -o alice "$destdir/run/ivalt"
    systemd-tmpfiles --root="$destdir" --create "$destdir/$1/pam_ivalt.conf" || fault 'systemd does not take it'
    diff - <(cd "$destdir/run" && find . -mindepth 1 -printf '%P %M %u:%g\n' | sort) <<-END || fault 'not as the module demands'
		ivalt drwx------ root:root
		ivalt/push drwx------ root:root
	END
}

# Below /usr as a packager would; and not at all where there is another init.
install_puts_the_unit_where_systemd_is_case() {
    prepare_build
    settings=(PAMDIR=/usr/lib64/security PREFIX=/usr)
    run_script 0 install
    expect_units usr/lib/systemd/system /usr/sbin/ivaltctl
    expect_tmpfiles usr/lib/tmpfiles.d
    run_script 0 uninstall --purge
    [[ -z $(find "$destdir" -name '*ivalt*') ]] || fault "left: $(find "$destdir" -name '*ivalt*')"
    install -D /dev/null "$destdir/sbin/init"
    run_script 0 install
    [[ -z $(find "$destdir" ! -type d \( -path '*/systemd/*' -o -path '*/tmpfiles.d/*' \)) ]] || fault 'files of systemd for another init'
    # shellcheck disable=SC2016 # no command
    expect_captured 'no systemd here: a reboot before `ivaltctl confirm` cancels the rollback'
    install -D /dev/null "$destdir/usr/lib/systemd/systemd"
    run_script 0 install
    expect_units usr/lib/systemd/system /usr/sbin/ivaltctl
}

install_again_keeps_what_administrators_wrote_case() {
    prepare_build
    run_script 0 install
    installed_files >"$sandbox/before"
    echo 'key = "mine"' >"$destdir/etc/ivalt/ivalt.toml"
    chmod 0640 "$destdir/etc/ivalt/ivalt.toml"
    rm "$destdir/etc/ivalt/users.toml"
    ln -s /srv/not-mounted/users.toml "$destdir/etc/ivalt/users.toml"
    chmod 0750 "$destdir/etc/ivalt"
    echo 'broken' >"$destdir/usr/lib64/security/pam_ivalt.so"
    run_script 0 install
    [[ $(cat "$destdir/etc/ivalt/ivalt.toml") == 'key = "mine"' ]] || fault 'ivalt.toml was overwritten'
    [[ $(stat -c %a "$destdir/etc/ivalt" "$destdir/etc/ivalt/ivalt.toml") == $'750\n640' ]] || fault 'modes were changed'
    [[ -L $destdir/etc/ivalt/users.toml ]] || fault 'the link was replaced'
    diff <(grep -v etc/ivalt "$sandbox/before") <(installed_files | grep -v etc/ivalt) >"$terminal/differences" ||
        fault "$(cat "$terminal/differences")"
    cmp -s "$sandbox/pam_ivalt.so" "$destdir/usr/lib64/security/pam_ivalt.so" || fault 'the module was not replaced'
}

install_obeys_its_variables_case() {
    prepare_build
    settings=(PAMDIR=/opt/pam PREFIX=/opt/ivalt SYSCONFDIR=/opt/etc)
    run_script 0 install
    [[ -e $destdir/opt/pam/pam_ivalt.so && -e $destdir/opt/ivalt/sbin/ivaltctl && -e $destdir/opt/etc/ivalt/users.toml ]] ||
        fault "elsewhere: $(installed_files)"
    [[ $(installed_files | grep -v ' /opt/' | cut -d ' ' -f 3 | xargs) == '/etc/systemd/system/ivaltctl-rollback.service /etc/systemd/system/ivaltctl-sync.service /etc/systemd/system/ivaltctl-sync.timer /etc/tmpfiles.d/pam_ivalt.conf' ]] ||
        fault "outside: $(installed_files)"
    expect_units etc/systemd/system /opt/ivalt/sbin/ivaltctl
    expect_captured 'every line in pam.d needs: config=/opt/etc/ivalt/ivalt.toml'
    run_script 0 uninstall --purge
    [[ -z $(installed_files) ]] || fault "left: $(installed_files)"
}

# Beside the pam_unix.so of this architecture, even if there is a folder of 32-bit modules.
install_finds_the_folder_of_pam_case() {
    local right wrong
    settings=(PAMDIR=)
    for right in usr/lib64 lib64 usr/lib/x86_64-linux-gnu lib/x86_64-linux-gnu usr/lib lib; do
        for wrong in usr/lib64 usr/lib/i386-linux-gnu lib; do
            [[ $right != "$wrong" ]] || continue
            prepare_build
            install -D "$sandbox/pam_ivalt.so" "$destdir/$right/security/pam_unix.so"
            install -D "$sandbox/pam_ivalt.so" "$destdir/$wrong/security/pam_unix.so"
            printf '\001' | dd of="$destdir/$wrong/security/pam_unix.so" bs=1 seek=4 conv=notrunc status=none
            run_script 0 install
            [[ -e $destdir/$right/security/pam_ivalt.so ]] || fault "not in $right: $(installed_files | grep security)"
        done
    done
}

# Where /lib is no link to usr/lib, the module goes where libpam looks; if it is sent elsewhere, that is said, since every
# line that names it would fail.
install_where_lib_is_no_link_case() {
    local lib=lib/x86_64-linux-gnu/security
    settings=(PAMDIR=)
    prepare_build
    mkdir -p "$destdir/usr/$lib"
    install -D "$sandbox/pam_ivalt.so" "$destdir/$lib/pam_unix.so"
    run_script 0 install
    [[ -e $destdir/$lib/pam_ivalt.so && ! -e $destdir/usr/$lib/pam_ivalt.so ]] || fault "elsewhere: $(installed_files | grep security)"
    expect_not_captured 'libpam may look'
    rm "$destdir/$lib/pam_ivalt.so"
    settings=(PAMDIR="/usr/$lib")
    run_script 0 install
    expect_captured "libpam may look in /$lib, where pam_unix.so is, and not in /usr/$lib; run: ln -s /usr/$lib/pam_ivalt.so $destdir/$lib/"
    ln -s "/usr/$lib/pam_ivalt.so" "$destdir/$lib/"
    run_script 0 install
    expect_not_captured 'libpam may look'
    # With one in each, either may be that of libpam.
    settings=(PAMDIR=)
    prepare_build
    install -D "$sandbox/pam_ivalt.so" "$destdir/$lib/pam_unix.so"
    install -D "$sandbox/pam_ivalt.so" "$destdir/usr/$lib/pam_unix.so"
    run_script 0 install
    expect_captured "libpam may look in /$lib, "
    rm -r "${destdir:?}/lib"
    ln -s usr/lib "$destdir/lib"
    run_script 0 install
    expect_not_captured 'libpam may look'
}

# If DESTDIR has no PAM, the module goes where the machine's own pam_unix.so is.
install_for_a_packager_without_root_case() {
    local folder
    prepare_build
    chown alice "$destdir"
    chmod -R a+rX "$sandbox/target"
    settings=(PAMDIR=)
    run_as alice env DESTDIR="$destdir" bash "$sandbox/scripts/install"
    [[ $status -eq 0 ]] || fault "ended with $status: $(cat "$terminal/output")"
    folder=$(security_folder)
    [[ $(find "$destdir/${folder#/}" "$destdir/usr/${folder#/}" -name pam_ivalt.so -printf '%m %u\n' 2>/dev/null) == '644 alice' ]] ||
        fault "elsewhere: $(installed_files)"
    [[ $(stat -c '%a %U' "$destdir/etc/ivalt/ivalt.toml") == '600 alice' ]] || fault 'ivalt.toml is not 0600'
    run_as alice bash "$sandbox/scripts/install"
    [[ $status -eq 1 ]] || fault 'installs onto the system without root'
    expect_seen 'needs root, or DESTDIR=DIR; nothing was changed'
}

install_builds_nothing_case() {
    prepare_build
    rm -rf "$sandbox/target"
    run_script 1 install
    expect_captured 'cargo build --release --locked'
    [[ -z $(ls -A "$destdir") ]] || fault 'something was installed'
}

uninstall_removes_its_files_and_keeps_settings_case() {
    prepare_build
    run_script 0 install
    mkdir -p "$destdir/var/lib/ivalt" "$destdir/run/ivalt/push" "$destdir/etc/pam.d"
    echo '# auth required pam_ivalt.so' >"$destdir/etc/pam.d/sshd"
    rm -rf "$sandbox/target"
    run_script 0 uninstall
    expect_captured 'scripts/uninstall --purge removes them too'
    [[ $(installed_files | grep -v /pam.d/) == $'600 root:root /etc/ivalt/ivalt.toml\n600 root:root /etc/ivalt/users.toml' ]] ||
        fault "left: $(installed_files)"
    [[ -z $(find "$destdir" -xtype l) ]] || fault 'the unit is still enabled'
    [[ ! -e $destdir/run/ivalt ]] || fault 'holds of phones are left'
    run_script 0 uninstall
    run_script 0 uninstall --purge
    [[ ! -e $destdir/etc/ivalt && ! -e $destdir/var/lib/ivalt && -e $destdir/etc/pam.d/sshd ]] || fault 'not purged'
    run_script 0 uninstall --purge
}

# The link that scripts/install asks for goes with the module, also one that was made by hand; another one does not.
uninstall_removes_links_to_its_module_case() {
    local lib=lib/x86_64-linux-gnu/security link
    settings=(PAMDIR="/usr/$lib")
    for link in "/usr/$lib/pam_ivalt.so" "../../../usr/$lib/pam_ivalt.so" "$destdir/usr/$lib/pam_ivalt.so"; do
        prepare_build
        install -D "$sandbox/pam_ivalt.so" "$destdir/$lib/pam_unix.so"
        run_script 0 install
        mkdir -p "$destdir/lib64/security"
        ln -s "$link" "$destdir/$lib/pam_ivalt.so"
        ln -s /opt/pam_ivalt.so "$destdir/lib64/security/pam_ivalt.so"
        run_script 0 uninstall
        [[ $(find "$destdir" -name pam_ivalt.so) == "$destdir/lib64/security/pam_ivalt.so" ]] ||
            fault "with a link to $link, left: $(find "$destdir" -name pam_ivalt.so)"
    done
    # Where the link is found before the module, and with a slash at the end of PAMDIR.
    for link in '' "PAMDIR=/$lib/"; do
        prepare_build
        settings=("PAMDIR=/$lib")
        install -D "$sandbox/pam_ivalt.so" "$destdir/usr/$lib/pam_unix.so"
        run_script 0 install
        ln -s "../../../../$lib/pam_ivalt.so" "$destdir/usr/$lib/pam_ivalt.so"
        settings=(${link:+"$link"})
        run_script 0 uninstall
        [[ -z $(find "$destdir" -name pam_ivalt.so) ]] || fault "with ${link:-no PAMDIR}, left: $(find "$destdir" -name pam_ivalt.so)"
    done
}

# All that ivaltctl has ever written, and nothing else.
uninstall_purges_its_own_files_alone_case() {
    local name
    prepare_build
    run_script 0 install
    for name in users directory accepted hr; do
        touch "$destdir/etc/ivalt/$name.toml" "$destdir/etc/ivalt/.$name.toml.lock" "$destdir/etc/ivalt/.$name.toml.new"
    done
    touch "$destdir/etc/ivalt/ca.pem" "$destdir/etc/ivalt/mine.toml"
    mkdir -p "$destdir/var/lib/ivalt/recovery/alice"
    run_script 0 uninstall --purge
    expect_captured "uninstalled; what is left in $destdir/etc/ivalt is not pam_ivalt's"
    [[ $(find "$destdir/etc/ivalt" -type f -printf '%f ') =~ ^(ca.pem mine.toml|mine.toml ca.pem)' '$ ]] ||
        fault "left: $(ls -A "$destdir/etc/ivalt")"
    [[ ! -e $destdir/var/lib/ivalt ]] || fault 'not purged'
}

# The line of pam.d may be missing, as after a power cut between two writes.
uninstall_refuses_while_a_service_is_pending_case() {
    prepare_build
    run_script 0 install
    mkdir -p "$destdir/var/lib/ivalt"
    printf '{\n  "service": "sshd",\n  "state": "pending"\n}\n' >"$destdir/var/lib/ivalt/sshd.json"
    printf '{\n  "service": "su",\n  "state": "confirmed"\n}\n' >"$destdir/var/lib/ivalt/su.json"
    installed_files >"$sandbox/before"
    run_script 1 uninstall
    [[ $(grep -o 'ivaltctl disable .*' "$terminal/captured") == 'ivaltctl disable sshd' ]] || fault "not sshd alone: $(cat "$terminal/captured")"
    [[ $(installed_files) == "$(cat "$sandbox/before")" ]] || fault "changed: $(installed_files)"
    rm "$destdir/var/lib/ivalt/sshd.json"
    run_script 0 uninstall
}

uninstall_refuses_while_a_service_asks_case() {
    local file
    prepare_build
    run_script 0 install
    installed_files >"$sandbox/before"
    for file in etc/pam.d/sshd usr/lib/pam.d/sudo usr/etc/pam.d/su etc/pam.conf; do
        install -d "$destdir/${file%/*}"
        printf '%s\n' '# pam_ivalt' "auth [success=ok \\" '  default=die] pam_ivalt.so' >"$destdir/$file"
        run_script 1 uninstall
        run_script 1 uninstall --purge
        expect_captured "ivaltctl disable ${file##*/}"
        expect_captured 'Remove these lines in an editor, each with the lines it is continued on'
        expect_not_captured 'sed -i'
        rm "$destdir/$file"
    done
    [[ $(installed_files) == "$(cat "$sandbox/before")" ]] || fault "changed: $(installed_files)"
    run_script 0 uninstall
}

# With another SYSCONFDIR, too, services are in /etc; what package managers left beside them, nobody reads.
uninstall_finds_every_line_that_libpam_reads_case() {
    local file
    prepare_build
    settings=(PAMDIR=/usr/lib64/security SYSCONFDIR=/opt/etc)
    run_script 0 install
    mkdir -p "$destdir"/{etc,opt/etc,usr/share}/pam.d "$destdir/srv"
    printf 'auth substack /srv/first\n' >"$destdir/etc/pam.d/sudo"
    printf '@include /srv/second\n' >"$destdir/srv/first"
    for file in etc/pam.d/sshd opt/etc/pam.d/sshd usr/share/pam.d/sshd srv/second; do
        echo 'auth required pam_ivalt.so' >"$destdir/$file"
        run_script 1 uninstall
        expect_captured "  $destdir/$file"
        rm "$destdir/$file"
    done
    for file in sudo.dpkg-old sudo.rpmsave sudo~; do echo 'auth required pam_ivalt.so' >"$destdir/etc/pam.d/$file"; done
    run_script 0 uninstall
}

# `uninstall_finds FILE SUDO [LINES]`: where the file of sudo is SUDO, and FILE names the module.
uninstall_finds() {
    mkdir -p "$(dirname "$destdir/$1")"
    printf '%b' "${3:-auth required pam_ivalt.so\\n}" >"$destdir/$1"
    printf '%b' "$2" >"$destdir/etc/pam.d/sudo"
    run_script 1 uninstall
    expect_captured "  $destdir/${4:-$1}, line "
    rm "$destdir/$1"
}

# libpam joins continued lines, cuts comments, strips brackets, ignores case, and looks for names with slashes in pam.d, too.
uninstall_reads_as_libpam_case() {
    local security=$destdir/usr/lib64/security
    prepare_build
    settings=(PAMDIR=/usr/lib64/security)
    run_script 0 install
    mkdir -p "$destdir/etc/pam.d"
    uninstall_finds etc/pam.d/site.d/second '@include site.d/second\n'
    uninstall_finds etc/extra 'auth include ../extra\n' '' etc/pam.d/../extra
    uninstall_finds etc/pam.d/.hidden 'auth substack .hidden\n'
    uninstall_finds etc/pam.d/sudo.dpkg-old '@INCLUDE sudo.dpkg-old#comment\n'
    uninstall_finds usr/lib/pam.d/site.d/second '-auth Include \\\n # comment\n site.d/second'
    uninstall_finds 'srv/a name' 'auth include [/srv/a name]\n'
    uninstall_finds etc/pam.d/su '' 'auth [success=ok \\\n default=die] \\\n pam_ivalt.so'
    ln -s pam_ivalt.so "$security/pam_2fa.so"
    uninstall_finds etc/pam.d/su '' 'auth required pam_2fa.so\n'
    rm "$security/pam_2fa.so"
    uninstall_finds etc/authselect/custom/ours/system-auth ''
    expect_captured 'authselect apply-changes'
    printf '%b' '# pam_ivalt\nauth required pam_unix.so # not pam_ivalt.so\n' >"$destdir/etc/pam.d/sudo"
    run_script 0 uninstall
}

# Onto the system of the sandbox, again and again: every login finds a complete module.
install_while_people_log_in_case() {
    local round
    prepare_build
    settings=(DESTDIR= PAMDIR=)
    token_alone
    run_captured 0 env PATH=/usr/bin:/bin bash "$sandbox/scripts/install"
    expect_captured '/usr/local/sbin is not in PATH; run /usr/local/sbin/ivaltctl by its path'
    run_script 0 install
    expect_not_captured 'is not in PATH'
    rm -f "$sandbox/enough"
    until [[ -e $sandbox/enough ]]; do bash "$sandbox/scripts/install" || exit; done >"$sandbox/installing" 2>&1 &
    local installer=$!
    watch_module || fault 'the module was missing or incomplete'
    for round in {1..8}; do
        answers '' "accept-$round"
        run_as visitor ssh alice@localhost whoami
        expect_let_in alice
    done
    touch "$sandbox/enough"
    wait "$installer" || fault "the installer ended: $(cat "$sandbox/installing")"
    [[ -z $(unfinished_files) ]] || fault "unfinished files are left: $(unfinished_files)"
    [[ $(stat -c %a /usr/local/sbin/ivaltctl) == 755 ]] || fault 'no ivaltctl'
    rm -rf /usr/local/sbin/ivaltctl /usr/local/share/doc/pam_ivalt /etc/systemd/system/{,sysinit.target.wants/}ivaltctl-rollback.service /etc/tmpfiles.d/pam_ivalt.conf
}

# Named one by one: /usr and /etc are mounts of their own here.
unfinished_files() { find /usr /etc -name '*.new.[0-9]*'; }

# For some seconds, as often as the machine can.
watch_module() {
    perl -e 'my ($file, $size) = @ARGV; my $end = time + 3;
        while (time < $end) { for (1 .. 1000) { exit 1 if (-s $file || 0) != $size } }' \
        "$(security_folder)/pam_ivalt.so" "$(stat -c %s "$sandbox/pam_ivalt.so")"
}

# `requires OS_RELEASE FUNCTION [ARGUMENT…]`: on a machine of that kind, on whose PATH there is nothing.
requires() {
    rm -f /etc/os-release
    printf '%b' "$1" >/etc/os-release
    # shellcheck disable=SC2016 # for the inner shell
    run_captured 1 bash -c '. "$0/scripts/lib/load.sh" && PATH=$0/empty && "$@"' "$sandbox" "${@:2}"
}

# What is missing is installed by the system's own package manager, under its name there.
requirements_name_the_package_manager_case() {
    local id manager
    cp -L /etc/os-release "$sandbox/os-release"
    while IFS=$'\t' read -r id manager; do
        requires "$id" require_compiler
        expect_captured "which rustc links with; install one: $manager"
    done <<-'END'
		ID=debian\n	apt install gcc libc6-dev
		ID=ubuntu\nID_LIKE=debian\n	apt install gcc libc6-dev
		ID=fedora\n	dnf install gcc
		ID="rocky"\nID_LIKE="rhel centos fedora"\n	dnf install gcc
		ID="opensuse-leap"\nID_LIKE="suse opensuse"\n	zypper install gcc
		ID=arch\n	pacman -S gcc
		ID=void\nNAME=debian\n	by this system's package manager
	END
    requires 'ID=fedora\n' fetch_packages sandbox sudo
    expect_captured "this machine lacks what is in Debian's packages sudo, and has no apt to download them"
    cp --remove-destination "$sandbox/os-release" /etc/os-release
}
