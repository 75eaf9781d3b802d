# shellcheck shell=bash
# The real PostgreSQL, whose `pam` method runs modules as its own user, and psql.

cluster=/etc/postgresql/17/main
pg_settings=/etc/ivalt/postgresql

# The server is not root: its settings belong to the user that it runs as, whose group may read root's users file.
postgresql_with() {
    install -d -o postgres -g postgres -m 0700 "$pg_settings"
    own_settings "$pg_settings/ivalt.toml" postgres "$@"
    chgrp postgres /etc/ivalt/users.toml
    chmod 0640 /etc/ivalt/users.toml
    pam_lines postgresql "auth required pam_ivalt.so nodelay config=$pg_settings/ivalt.toml" 'account required pam_permit.so'
    start_postgresql hostssl
}

# `start_postgresql TYPE`: with this type of line in pg_hba.conf.
start_postgresql() {
    printf '%s\n' 'local all postgres peer' "$1 all all 127.0.0.1/32 pam pamservice=postgresql" >"$cluster/pg_hba.conf"
    install -d -o postgres -g postgres /run/postgresql
    start_host postgresql "${as_postgres[@]}" /usr/lib/postgresql/17/bin/postgres -D /var/lib/postgresql/17/main \
        -c "config_file=$cluster/postgresql.conf" -c listen_addresses=127.0.0.1
    wait_for PostgreSQL grep -q 'ready to accept connections' "$hosts/postgresql"
    "${as_postgres[@]}" psql -qc 'DROP ROLE IF EXISTS alice' -c 'CREATE ROLE alice LOGIN' postgres
}

as_postgres=(setpriv --reuid=postgres --regid=postgres --init-groups --reset-env)

# `psql_as_alice [PASSWORD]`: without one, psql connects without, and asks at the second try.
psql_as_alice() {
    run_as alice env ${1:+PGPASSWORD="$1"} psql -Atc 'SELECT current_user' 'host=127.0.0.1 dbname=postgres'
}

pg_line() { line postgresql "$1" "$2" rhost=127.0.0.1 "${@:3}"; }

postgresql_token_in_the_password_field_case() {
    postgresql_with "${hidden[@]}"
    psql_as_alice accept-1
    expect_let_in alice
    expect_lines "$(pg_line allow verified http=200)"
    expect_tokens accept-1
}

postgresql_refused_token_case() {
    postgresql_with "${hidden[@]}"
    psql_as_alice reject-1
    expect_refused 2
    expect_seen 'FATAL:  PAM authentication failed for user "alice"'
    expect_lines "$(pg_line deny token-rejected "${refused[@]}")"
    expect_tokens reject-1
}

# By root, in the one users file there is; the tool leaves it readable to the group.
postgresql_disabled_case() {
    postgresql_with "${hidden[@]}"
    run_ivaltctl 0 users disable alice
    psql_as_alice accept-1
    expect_refused 2
    expect_lines "$(pg_line deny disabled)"
    expect_tokens
}

# The first connection ends at the question for a password, with a line of its own.
postgresql_psql_asks_case() {
    postgresql_with "${hidden[@]}"
    types_ahead accept-1
    psql_as_alice
    expect_status 0
    expect_seen 'Password for user alice:'
    expect_lines "$(pg_line deny unanswered 'cause="no answer from the conversation"' attempts=0)" \
        "$(pg_line allow verified http=200)"
    expect_tokens accept-1
}

# The server answers no visible prompt.
postgresql_visible_prompt_case() {
    postgresql_with 'attempts = 1'
    psql_as_alice accept-1
    expect_refused 2
    expect_host_said postgresql 'unsupported PAM conversation 2/"iVALT token: "'
    expect_lines "$(pg_line deny unanswered 'cause="no answer from the conversation"' attempts=0)"
    expect_tokens
}

# Root's files, which nobody else may read.
postgresql_as_shipped_case() {
    pam_lines postgresql 'auth required pam_ivalt.so nodelay' 'account required pam_permit.so'
    start_postgresql hostssl
    psql_as_alice accept-1
    expect_refused 2
    expect_host_said postgresql 'iVALT is not set up correctly on this system; please tell its administrator.'
    expect_lines "$(pg_line deny misconfigured mobile= "cause=\"$(root_only)\"" attempts=0)"
    expect_tokens
}

root_only() {
    local uid file=/etc/ivalt/ivalt.toml
    uid=$(id -u postgres)
    printf '%s' "$file: cannot be read (permission denied); this process runs as uid $uid, its files must belong to root or" \
        " to it: give this service its own by config=: install -D -o $uid -m 0600 $file /etc/ivalt-$uid/ivalt.toml"
}

# With `host`, psql repeats a refused login without encryption, and sends the token again.
postgresql_host_instead_of_hostssl_case() {
    postgresql_with "${hidden[@]}"
    stop_hosts
    start_postgresql host
    psql_as_alice reject-1
    expect_refused 2
    expect_lines "$(pg_line deny token-rejected "${refused[@]}")" "$(pg_line deny token-rejected "${refused[@]}")"
    expect_tokens reject-1 reject-1
}
