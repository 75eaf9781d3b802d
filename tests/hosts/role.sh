# shellcheck shell=bash
# The role of conf/ansible with the real ansible-core, over ssh, on a host that has no iVALT yet. Ansible is visitor, and
# logs in as carol, by her key alone.

role_package=$sandbox/libpam-ivalt.deb
role_variables=/home/visitor/variables.json
bypass=sshd-methods-bypass:/etc/ssh/sshd_config.d/50-deploy.conf

# The files of the package, put together without debhelper.
role_package() {
    local folder=$sandbox/package script
    [[ ! -e $role_package ]] || return 0
    install -D -m 0644 /run/kept/pam_ivalt.so "$folder$(security_folder)/pam_ivalt.so"
    install -D -m 0755 /run/kept/ivaltctl "$folder/usr/sbin/ivaltctl"
    install -D -m 0600 "$sandbox/conf/ivalt.toml" "$folder/etc/ivalt/ivalt.toml"
    install -D -m 0644 "$sandbox/conf/users.toml" "$folder/usr/share/libpam-ivalt/users.toml"
    install -D -m 0644 "$sandbox/debian/libpam-ivalt.pam-auth-update" "$folder/usr/share/pam-configs/ivalt"
    mkdir "$folder/DEBIAN"
    for script in postinst postrm prerm; do
        maintainer_script "$script" >"$folder/DEBIAN/$script"
        chmod 0755 "$folder/DEBIAN/$script"
    done
    echo /etc/ivalt/ivalt.toml >"$folder/DEBIAN/conffiles"
    printf '%s\n' 'Package: libpam-ivalt' 'Version: 0.1.0' "Architecture: $(dpkg --print-architecture)" \
        'Maintainer: nobody <nobody@example.org>' 'Description: iVALT' >"$folder/DEBIAN/control"
    capture dpkg-deb --root-owner-group --build "$folder" "$role_package"
}

# A service that still waits for its confirmation is put back.
remove_package() {
    dpkg-query -W -f '${db:Status-Status}' libpam-ivalt 2>/dev/null | grep -qx installed || return 0
    capture dpkg --purge libpam-ivalt
}

# Debian as it was shipped, but for the account that Ansible logs in as.
host_of_the_role() {
    role_package
    rm -rf /etc/ivalt /var/lib/ivalt /etc/ssh/sshd_config.d /usr/local/src/*
    rm -f /usr/sbin/ivaltctl "$(security_folder)/pam_ivalt.so" /etc/tmpfiles.d/pam_ivalt.conf
    rm -f /etc/systemd/system/ivaltctl-* /etc/systemd/system/sysinit.target.wants/ivaltctl-*
    mkdir /etc/ssh/sshd_config.d
    printf '%s\n' 'Match User carol' 'AuthenticationMethods publickey' >/etc/ssh/sshd_config.d/50-deploy.conf
    sshd_with 'Subsystem sftp internal-sftp' 'PasswordAuthentication yes'
    # The lines of `sshd_with` come before the Include, and sshd takes the first value.
    sed -i '1i Include /etc/ssh/sshd_config.d/*.conf' /etc/ssh/sshd_config
    reload_sshd
    printf '%s\n' 'Defaults secure_path=/usr/sbin:/usr/bin:/sbin:/bin' 'carol ALL=(ALL:ALL) NOPASSWD: ALL' >>/etc/sudoers
    echo 'web1 ansible_host=localhost ansible_user=carol ansible_ssh_private_key_file=visitor.key' >/home/visitor/inventory
    sed -i '1i [ivalt]' /home/visitor/inventory
    printf 'name,mobile\nalice,%s\nroot,+4915112345600\n' "$alice_mobile" >/home/visitor/users.csv
    rm -rf "$sandbox/untouched"
    mkdir "$sandbox/untouched"
    cp -a /etc/pam.d /etc/ssh "$sandbox/untouched/"
    role_variables
}

role_api='"api": {"url": "https://api.ivalt.test/admin/public/api", "ca_file": "'$ivalt'/ca.pem", "timeout_seconds": 5}'
more_settings() { printf 'ivalt_settings={%s, %s}' "$role_api" "$1"; }

# `role_variables [KEY=JSON…]`: in place of those of the sample.
role_variables() {
    python3 - "$@" >"$role_variables" <<-END
		import json, sys
		variables = {"vault_ivalt_api_key": "test-api-key", "ivalt_package_file": "$role_package", "ivalt_services": ["sshd"],
		             "ivalt_users_file": "/home/visitor/users.csv", "ivalt_directory": {"guard": {"local_accounts": ["alice", "bob", "root"]}}, "ivalt_settings": {$role_api},
		             "ivalt_accepted": [{"finding": "$bypass", "because": "it has its key"}]}
		for argument in sys.argv[1:]:
		    key, text = argument.split("=", 1)
		    variables[key] = json.loads(text)
		json.dump(variables, sys.stdout)
	END
}

# `run_role [OPTION…]`: nothing of the connection is left for the next run.
run_role() {
    local socket run_seconds=300
    run_as visitor env ANSIBLE_PYTHON_INTERPRETER=/usr/bin/python3 ANSIBLE_PIPELINING=true ANSIBLE_NOCOLOR=true LC_ALL=C.UTF-8 \
        ansible-playbook -i inventory "$sandbox/conf/ansible/site.yml" -e "@$role_variables" "$@"
    for socket in /home/visitor/.ansible/cp/*; do
        [[ ! -S $socket ]] || setpriv --reuid=visitor --regid=visitor --init-groups ssh -q -o ControlPath="$socket" -O exit web1 2>/dev/null || true
    done
}

# `expect_recap CHANGED FAILED`: of the last run.
expect_recap() {
    local recap
    recap=$(sed -n 's/^web1 .*changed=\([0-9]*\) .*unreachable=0 *failed=\([0-9]*\) .*/\1 \2/p' "$terminal/output")
    [[ $recap == "$*" ]] || fault "changed and failed are '$recap' instead of '$*': $(tail -n 40 "$terminal/output")"
}

expect_nothing_written() {
    local differences
    differences=$(diff -r "$sandbox/untouched/pam.d" /etc/pam.d && diff -r "$sandbox/untouched/ssh" /etc/ssh) || fault "not as before: $differences"
    [[ ! -e /usr/sbin/ivaltctl ]] || fault 'installed'
}

alice_needs_a_token() {
    answers '' accept-1
    run_as visitor ssh -i visitor.key alice@localhost whoami
    expect_let_in alice
    expect_lines "$(sshd_line allow verified http=200)"
    answers '' reject-1
    run_as visitor ssh -i visitor.key alice@localhost whoami
    expect_refused 255
}

alice_needs_no_token() {
    answers ''
    run_as visitor ssh -i visitor.key alice@localhost whoami
    expect_let_in alice
    expect_no_log
}

# Another account gets in by its key alone, and nobody has said that this is meant.
role_gate_stops_then_enables_case() {
    host_of_the_role
    printf '%s\n' 'Match User bob' 'AuthenticationMethods publickey' >/etc/ssh/sshd_config.d/60-bob.conf
    run_role
    expect_recap 7 1
    expect_seen '/etc/ssh/sshd_config.d/60-bob.conf'
    alice_needs_no_token
    rm /etc/ssh/sshd_config.d/60-bob.conf
    run_role
    expect_recap 3 0
    alice_needs_a_token
    run_role
    expect_recap 0 0
}

role_changes_settings_case() {
    host_of_the_role
    run_role --check --diff
    expect_recap 1 0
    expect_nothing_written
    run_role
    expect_recap 9 0
    cp /etc/ivalt/ivalt.toml "$sandbox/ivalt.toml"
    role_variables "$(more_settings '"users_file": "/etc/ivalt/usres.toml"')"
    run_role
    expect_recap 0 1
    expect_seen 'the settings are not written'
    cmp -s "$sandbox/ivalt.toml" /etc/ivalt/ivalt.toml || fault 'written'
    role_variables "$(more_settings '"token": {"attempts": 1}')"
    echo 'bob,+4915112345603' >>/home/visitor/users.csv
    run_role --check --diff
    expect_recap 2 0
    expect_seen '"added": ['
    expect_seen '+attempts = 1'
    ! grep -qE 'test-api-key|4915112345603' "$terminal/output" || fault 'the API key or a mobile is shown'
    cmp -s "$sandbox/ivalt.toml" /etc/ivalt/ivalt.toml || fault 'written by --check'
    run_role
    expect_recap 2 0
    alice_needs_a_token
    [[ $(sed -n '/^\[users\]/,$p' /etc/ivalt/users-synced.toml | tail -n +2 | cut -d' ' -f1 | xargs) == 'alice bob root' ]] ||
        fault "$(cat /etc/ivalt/users-synced.toml)"
    printf '[api]\nkey = "written-by-hand"\n' >/etc/ivalt/ivalt.toml
    run_role --check --diff
    expect_recap 1 0
    ! grep -q written-by-hand "$terminal/output" || fault 'the API key of before is shown'
}

# A mobile that has changed, and a user who goes; and a DN with a quotation mark, a backslash and a #.
role_accepts_once_case() {
    local directory='ivalt_directory={"ldap": {"uri": "ldaps://dc.example.com", "bind_dn": "cn=\"é\"\\2c #,dc=x", "password_file": "/p",
        "base": "dc=x"}, "map": {"mobile": ["a"]}, "guard": {"local_accounts": ["alice", "root"], "lose_at_least": 1}}'
    host_of_the_role
    role_variables "$directory"
    run_role
    expect_recap 9 0
    printf 'name,mobile\nalice,+4915112345699\nroot,+4915112345600\n' >/home/visitor/users.csv
    run_role
    expect_recap 0 0
    expect_seen 'if it is theirs: -e ivalt_accept_changes=alice"'
    run_role -e ivalt_accept_changes=alice,root
    expect_recap 1 0
    grep -qx 'alice = "+4915112345699"' /etc/ivalt/users-synced.toml || fault 'the mobile is the old one'
    sed -i '/^root,/d' /home/visitor/users.csv
    run_role -e ivalt_accept_losses=false
    expect_recap 0 1
    expect_seen 'if all of them are meant to go: -e ivalt_accept_losses=true"'
    run_role -e ivalt_accept_losses=true
    expect_recap 1 0
    run_role -e ivalt_accept_losses=true -e ivalt_accept_changes=alice
    expect_recap 0 0
}

# The files of a build in place of the package, on a host that never had it.
role_from_a_build_case() {
    host_of_the_role
    install -D -m 0755 /run/kept/ivaltctl "$sandbox/target/release/ivaltctl"
    install -D -m 0644 /run/kept/pam_ivalt.so "$sandbox/target/release/libpam_ivalt.so"
    role_variables "ivalt_build=\"$sandbox\""
    run_role
    expect_recap 11 0
    alice_needs_a_token
    run_role
    expect_recap 0 0
    run_ivaltctl 0 disable sshd --yes
}

# Ansible's own account is asked, too.
role_that_locks_itself_out_case() {
    host_of_the_role
    rm /etc/ssh/sshd_config.d/50-deploy.conf "$sandbox/untouched/ssh/sshd_config.d/50-deploy.conf"
    role_variables 'ivalt_accepted=[]' 'ivalt_confirm_within="20s"' 'ivalt_login_seconds=4'
    run_role
    expect_recap 7 1
    expect_seen 'Ansible cannot log in any more.'
    wait_for 'the rollback' test ! -e /etc/ssh/sshd_config.d/00-ivalt.conf
    wait_for 'the rollback of pam.d' cmp -s "$sandbox/untouched/pam.d/sshd" /etc/pam.d/sshd
    alice_needs_no_token
}

# Nobody confirms: whoever ran Ansible has closed the laptop.
role_whose_controller_dies_case() {
    host_of_the_role
    role_variables 'ivalt_confirm_within="15s"'
    (
        wait_for 'the change' grep -qs pam_ivalt /etc/pam.d/sshd
        kill -KILL $(pgrep -u visitor)
    ) &
    run_role
    wait "$!"
    wait_for 'the rollback' test ! -e /etc/ssh/sshd_config.d/00-ivalt.conf
    wait_for 'the rollback of pam.d' cmp -s "$sandbox/untouched/pam.d/sshd" /etc/pam.d/sshd
    alice_needs_no_token
}
