# shellcheck shell=bash
# What is written outlasts a power cut: strace sees each file synced before it has its name, and its folder after that,
# before anything is said to be done.

# `trace_of SENTENCE COMMAND…`: what is synced, renamed, made and removed, and when it prints that sentence.
trace_of() {
    local sentence=$1
    shift
    capture strace -f -y -s 4096 -o "$sandbox/trace" \
        -e 'trace=fsync,fdatasync,/^rename,/^link,/^unlink,/^mkdir,/^symlink,write,execve' "$@" || fault "$*: $(cat "$terminal/captured")"
    as_steps "$sentence"
}

# Names are put into one form: those of a file that is open, below a folder that is, and of the folder of the process.
# strace breaks the line of a call that waits while another process calls.
as_steps() {
    sed -nE -e 's/^[0-9]+ +//' -e '/ = -1 /d' -e 's/AT_FDCWD<[^>]*>, //g' \
        -e 's/^f(data)?sync\([0-9]+<([^>]*)>(\)| <unfinished) .*/sync \2/p' \
        -e 's/^rename(at2?)?\(([0-9]+<[^>]*>, )?"[^"]*", [0-9]+<([^>]*)>, "([^"]*)".*/rename \3\/\4/p' \
        -e 's/^rename(at2?)?\("[^"]*", "([^"]*)".*/rename \2/p' \
        -e 's/^unlinkat\([0-9]+<([^>]*)>, "([^"]*)".*/remove \1\/\2/p' \
        -e 's/^mkdir(at)?\([0-9]+<([^>]*)>, "([^"]*)".*/make \2\/\3/p' \
        -e 's/^mkdir(at)?\("([^"]*)".*/make \2/p' \
        -e "/^write\\([12]</s/.*($1).*/say \\1/p" "$sandbox/trace" >"$sandbox/steps"
}

# `expect_steps` and the steps on standard input.
expect_steps() { diff - "$sandbox/steps" >"$terminal/differences" || fault "$(cat "$terminal/differences")"; }

sync_of_users_before_it_is_done_case() {
    trace_of 'bob: added' ivaltctl users add bob +4915112345603
    expect_steps <<-'END'
		sync /etc/ivalt/.users.toml.new
		rename /etc/ivalt/users.toml
		sync /etc/ivalt
		say bob: added
	END
}

# The folder of states is new. The edited version is kept before the file is put back, and all before the end.
sync_of_enable_and_rollback_case() {
    untouched_system
    rm /etc/pam.d/sudo-i
    (
        wait_for 'the change' grep -q pam_ivalt /etc/pam.d/sudo
        echo '# a word of my own' >>/etc/pam.d/sudo
    ) &
    trace_of 'sudo: iVALT is enabled' ivaltctl enable sudo --yes --confirm-within 8s
    wait
    expect_steps <<-'END'
		make /var/lib/ivalt
		sync /var/lib/ivalt
		sync /var/lib
		sync /var/lib/ivalt/.sudo.json.new
		rename /var/lib/ivalt/sudo.json
		sync /var/lib/ivalt
		sync /etc/pam.d/.sudo.new
		rename /etc/pam.d/sudo
		sync /etc/pam.d
		say sudo: iVALT is enabled
		sync /etc/pam.d/.sudo.new
		sync /var/lib/ivalt/.etc-pam.d-sudo.edited.new
		rename /var/lib/ivalt/etc-pam.d-sudo.edited
		sync /var/lib/ivalt
		rename /etc/pam.d/sudo
		sync /etc/pam.d
		sync /var/lib/ivalt/.sudo.json.new
		rename /var/lib/ivalt/sudo.json
		sync /var/lib/ivalt
	END
    cmp -s "$sandbox/untouched/pam.d/sudo" /etc/pam.d/sudo || fault 'not put back'
}

# The files, too, which somebody may have edited.
sync_of_confirm_case() {
    untouched_system
    rm /etc/pam.d/sudo-i
    run_ivaltctl 0 enable sudo --yes --confirm-within 60s
    trace_of 'sudo: iVALT stays enabled' ivaltctl confirm
    expect_steps <<-'END'
		sync /etc/pam.d/sudo
		sync /etc/pam.d
		sync /var/lib/ivalt/.sudo.json.new
		rename /var/lib/ivalt/sudo.json
		sync /var/lib/ivalt
		say sudo: iVALT stays enabled
	END
    run_ivaltctl 0 disable sudo --yes
}

# Settings of sshd in a folder that is made for them, and removed again.
sync_of_a_folder_case() {
    untouched_system
    rmdir /etc/ssh/sshd_config.d
    run_ivaltctl 0 enable sshd --yes --confirm-within 60s
    run_ivaltctl 0 confirm
    trace_of 'sshd: iVALT is disabled' ivaltctl disable sshd --yes
    expect_steps <<-'END'
		remove /etc/ssh/sshd_config.d/00-ivalt.conf
		sync /etc/ssh/sshd_config.d
		sync /etc/pam.d/.sshd.new
		rename /etc/pam.d/sshd
		sync /etc/pam.d
		remove /etc/ssh/sshd_config.d
		sync /etc/ssh
		remove /var/lib/ivalt/sshd.json
		sync /var/lib/ivalt
		say sshd: iVALT is disabled
	END
}

# The disk takes the file and not the name: nobody hears that it is done. A file system without such a thing is no fault.
sync_that_fails_is_told_case() {
    local why='it cannot be synced (Input/output error): the change is made, and a power cut may undo it'
    run_captured 1 strace -f -o "$sandbox/trace" -e inject=fsync:error=EIO:when=2 ivaltctl users add bob +4915112345603
    expect_captured "/etc/ivalt/users.toml: cannot be written: $why"
    grep -q '^bob' /etc/ivalt/users.toml || fault 'not what was said'
    run_captured 1 strace -f -o "$sandbox/trace" -e inject=fsync:error=EIO:when=1 ivaltctl users remove bob
    grep -q '^bob' /etc/ivalt/users.toml || fault 'the file was replaced by one that is not on the disk'
    # What is changed is said to be, and logged.
    start_recording
    run_captured 1 strace -f -o "$sandbox/trace" -e inject=fsync:error=EIO:when=2 ivaltctl users disable bob --json
    expect_captured "{\"changed\":true,\"done\":\"nothing\",\"file\":\"/etc/ivalt/users.toml\",\"name\":\"bob\",\"refused\":\"/etc/ivalt/users.toml: cannot be written: $why"
    expect_changes_logged "users disable user=bob mobile=***5603 by=$(tester) outcome=done"
    run_captured 1 strace -f -o "$sandbox/trace" -e inject=fsync:error=EIO:when=1 ivaltctl users enable bob --json
    expect_captured '{"changed":false,"done":"nothing","file":"/etc/ivalt/users.toml","name":"bob","refused":"'
    expect_changes_logged "users disable user=bob mobile=***5603 by=$(tester) outcome=done"
    run_captured 0 strace -f -o "$sandbox/trace" -e inject=fsync:error=EINVAL:when=2 ivaltctl users remove bob
    untouched_system
    run_ivaltctl 0 enable sudo --yes --confirm-within 60s
    run_captured 1 strace -f -o "$sandbox/trace" -e inject=fsync:error=EIO ivaltctl confirm
    expect_not_captured 'sudo: iVALT stays enabled'
    run_ivaltctl 0 disable sudo --yes
}

# Without DESTDIR the paths are those of the system; all files are installed by the same function.
sync_of_the_installed_module_case() {
    local folder
    prepare_build
    folder=$(security_folder)
    rm -f "$folder/pam_ivalt.so"
    trace_of 'installed: ' env -u DESTDIR bash "$sandbox/scripts/install"
    sed -i "s/\.new\.[0-9]*/.new/" "$sandbox/steps"
    grep -E "pam_ivalt.so|^sync $folder\$|systemd" "$sandbox/steps" | sponge_into "$sandbox/steps"
    expect_steps <<-END
		sync $folder/pam_ivalt.so.new
		rename $folder/pam_ivalt.so
		sync $folder
		sync /etc/systemd/system/ivaltctl-rollback.service.new
		rename /etc/systemd/system/ivaltctl-rollback.service
		sync /etc/systemd/system
		sync /etc/systemd/system/ivaltctl-sync.service.new
		rename /etc/systemd/system/ivaltctl-sync.service
		sync /etc/systemd/system
		sync /etc/systemd/system/ivaltctl-sync.timer.new
		rename /etc/systemd/system/ivaltctl-sync.timer
		sync /etc/systemd/system
		rename /etc/systemd/system/sysinit.target.wants/ivaltctl-rollback.service
		sync /etc/systemd/system/sysinit.target.wants
	END
}

# What the package's own script writes, and what it has pam-auth-update write.
sync_of_the_postinst_case() {
    install -D "$sandbox/conf/users.toml" /usr/share/libpam-ivalt/users.toml
    rm /etc/ivalt/users.toml
    maintainer_script postinst >"$sandbox/postinst"
    trace_of 'no such sentence' env DEBIAN_FRONTEND=noninteractive sh "$sandbox/postinst" configure
    [[ $(tail -n 2 "$sandbox/steps" | paste -sd' ') == 'sync /etc/pam.d sync /var/lib/pam' ]] || fault "pam.d is not synced: $(cat "$sandbox/steps")"
    grep -qx 'sync /etc/pam.d/common-auth' "$sandbox/steps" || fault 'common-auth is not synced'
    grep -E '/etc/ivalt|^sync /etc$' "$sandbox/steps" | sponge_into "$sandbox/steps"
    expect_steps <<-'END'
		sync /etc/ivalt/.users.toml.dpkg-new
		rename /etc/ivalt/users.toml
		sync /etc/ivalt
		sync /etc
	END
    cmp -s "$sandbox/conf/users.toml" /etc/ivalt/users.toml || fault 'not the sample'
}

sponge_into() {
    local text
    text=$(cat)
    printf '%s\n' "$text" >"$1"
}
