# shellcheck shell=bash
# What connects to sshd: key, then iVALT.

# `expect_one_login FILE`: one token was asked for, and the copied file is there.
expect_copied() {
    expect_status 0
    cmp -s /home/alice/document "$1" || fault "$1 is not the copy"
    expect_lines "$(sshd_line allow verified http=200)"
    expect_tokens accept-1
}

# `as_visitor COMMAND…`, with one token at hand.
as_visitor() {
    sshd_key_then_ivalt
    echo 'of alice' >/home/alice/document
    rm -rf /home/visitor/copy
    answers '' accept-1
    run_as visitor "$@"
}

ssh_client_case() {
    as_visitor ssh -i visitor.key alice@localhost cat document
    expect_let_in 'of alice'
    expect_lines "$(sshd_line allow verified http=200)"
    expect_tokens accept-1
}

scp_client_case() {
    as_visitor scp -q -i visitor.key alice@localhost:document copy
    expect_copied /home/visitor/copy
}

sftp_client_case() {
    as_visitor sftp -q -i visitor.key alice@localhost:document copy
    expect_copied /home/visitor/copy
}

# `-b` makes it ask nobody.
sftp_batch_case() {
    echo 'get document copy' >"$sandbox/batch"
    as_visitor sftp -q -b "$sandbox/batch" -i visitor.key alice@localhost
    expect_status 255
    expect_no_log
    expect_tokens
}

rsync_client_case() {
    as_visitor rsync -e 'ssh -i visitor.key' alice@localhost:document copy
    expect_copied /home/visitor/copy
}

git_client_case() {
    setpriv --reuid=alice --regid=alice --init-groups --reset-env git init -q --bare /home/alice/repository
    as_visitor env GIT_SSH_COMMAND='ssh -i visitor.key' git clone -q alice@localhost:repository copy
    rm -rf /home/alice/repository
    expect_status 0
    [[ -d /home/visitor/copy/.git ]] || fault 'no clone'
    expect_lines "$(sshd_line allow verified http=200)"
    expect_tokens accept-1
}

# sshd starts mosh-server; the rest is UDP.
mosh_client_case() {
    sshd_key_then_ivalt
    printf '%s\n' 'export LC_ALL=C.UTF-8 TERM=xterm' \
        'exec mosh --ssh="ssh -i visitor.key" alice@localhost -- sh -c "id -un; sleep 1"' >"$sandbox/mosh"
    at_terminal_of visitor "cd; sh $sandbox/mosh"
    types 'iVALT token:' accept-1
    command_ends
    console_closes
    grep -q 'alice' "$terminal/output" || fault "no session: $(cat "$terminal/output")"
    expect_lines "$(sshd_line allow verified http=200)"
    expect_tokens accept-1
}

# PuTTY's own form of key, and the host's key from its registry.
plink_client_case() {
    puttygen /home/visitor/visitor.key -O private -o /home/visitor/visitor.ppk
    chown visitor: /home/visitor/visitor.ppk
    sshd_key_then_ivalt
    types_ahead accept-1
    run_as visitor plink -ssh -i visitor.ppk -hostkey "$(ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub | cut -d' ' -f2)" \
        alice@localhost whoami
    expect_status 0
    expect_seen 'iVALT token: '
    [[ $(tail -n 1 "$terminal/output") == *alice ]] || fault "the command did not run: $(cat "$terminal/output")"
    expect_lines "$(sshd_line allow verified http=200)"
    expect_tokens accept-1
}

# Its caller answers each prompt in a function of its own; `connect(password=…)` answers a single one.
paramiko_client_case() {
    as_visitor python3 -c 'import paramiko
client = paramiko.SSHClient()
client.load_host_keys("/etc/ssh/ssh_known_hosts")
client.connect("localhost", username="alice", key_filename="visitor.key", password="accept-1", allow_agent=False)
print(client.exec_command("whoami")[1].read().decode(), end="")'
    expect_let_in alice
    expect_lines "$(sshd_line allow verified http=200)"
    expect_tokens accept-1
}

asyncssh_client_case() {
    as_visitor python3 -c 'import asyncio, asyncssh
class Client(asyncssh.SSHClient):
    def kbdint_auth_requested(self):
        return ""
    def kbdint_challenge_received(self, name, instructions, lang, prompts):
        return ["accept-1" for prompt in prompts]
async def main():
    async with asyncssh.connect("localhost", username="alice", client_keys=["visitor.key"], client_factory=Client,
                                known_hosts="/etc/ssh/ssh_known_hosts") as connection:
        print((await connection.run("whoami")).stdout, end="")
asyncio.run(main())'
    expect_let_in alice
    expect_lines "$(sshd_line allow verified http=200)"
    expect_tokens accept-1
}
