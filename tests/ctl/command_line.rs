//! Help on every level, suggestions, completion, and one status for every wrong usage.

use crate::tool::ivaltctl;

const COMMANDS: [&[&str]; 26] = [
    &[],
    &["check"],
    &["users"],
    &["users", "list"],
    &["users", "show"],
    &["users", "add"],
    &["users", "remove"],
    &["users", "enable"],
    &["users", "disable"],
    &["users", "import"],
    &["users", "sync"],
    &["recovery"],
    &["recovery", "make"],
    &["recovery", "list"],
    &["recovery", "revoke"],
    &["verify"],
    &["api"],
    &["api", "validate-token"],
    &["api", "validate-user"],
    &["api", "client-auth"],
    &["api", "push"],
    &["push"],
    &["push", "release"],
    &["enable"],
    &["confirm"],
    &["disable"],
];

#[test]
fn every_level_has_help_with_examples_and_config() {
    for command in COMMANDS {
        let called = ivaltctl(&[command, &["--help"]].concat());
        assert_eq!(
            (called.status, called.stderr.as_str()),
            (0, ""),
            "{command:?}"
        );
        for part in ["Usage: ivaltctl", "--config <PATH>", "Examples:\n  "] {
            assert!(
                called.stdout.contains(part),
                "{command:?} without {part}: {}",
                called.stdout
            );
        }
        assert!(
            !called.stdout.contains('\u{1b}'),
            "colours without a terminal"
        );
    }
}

#[test]
fn wrong_usage_is_64_everywhere() {
    for words in [
        &[][..],
        &["chekc"],
        &["check", "extra"],
        &["check", "--jsn"],
        &["users"],
        &["users", "lst"],
        &["users", "show"],
        &["users", "add", "alice"],
        &["users", "list", "extra"],
        &["users", "sync", "a.csv", "b.csv"],
        &["users", "sync", "--name-column", "uid"],
        &["users", "sync", "--accept-changes"],
        &["verify"],
        &["verify", "alice", "--root", "/"],
        &["api"],
        &["api", "validate"],
        &["api", "push"],
        &["api", "push", "alice", "--dialect", "other"],
        &["push"],
        &["push", "release"],
        &["push", "release", "alice", "bob"],
        &["api", "validate-token", "--mobile", "+1", "--user", "x"],
        &["enable"],
        &["enable", "sshd", "--confirm-within", "soon"],
        &["enable", "sshd", "--confirm-within", "0"],
        &["enable", "sshd", "--json"],
        &["enable", "sshd", "--json", "--confirm-within", "5m"],
        &["confirm", "sshd"],
        &["confirm", "--dry-run"],
        &["disable"],
        &["disable", "sshd", "--json"],
        &["disable", "--all", "--json"],
        &["disable", "--all", "sshd"],
        &["completion", "cmd"],
        &["completion", "elvish"],
        &["completion", "powershell"],
        &["--config"],
    ] {
        let called = ivaltctl(words);
        assert_eq!(
            (called.status, called.stdout.as_str()),
            (64, ""),
            "{words:?}"
        );
        assert!(
            called.stderr.contains("Usage: ") || called.stderr.contains("--help"),
            "{words:?}: {}",
            called.stderr
        );
    }
    assert!(
        ivaltctl(&["chekc"])
            .stderr
            .contains("a similar subcommand exists: 'check'")
    );
    assert!(
        ivaltctl(&["check", "--jsn"])
            .stderr
            .contains("a similar argument exists: '--json'")
    );
}

#[test]
fn version_and_completion() {
    let called = ivaltctl(&["--version"]);
    assert_eq!(
        (called.status, called.stdout),
        (
            0,
            concat!("ivaltctl ", env!("CARGO_PKG_VERSION"), "\n").to_owned()
        )
    );
    for shell in ["bash", "zsh", "fish"] {
        let called = ivaltctl(&["completion", shell]);
        assert_eq!(called.status, 0);
        for word in [
            "validate-token",
            "confirm-within",
            "import",
            "dry-run",
            "dialect",
            "release",
        ] {
            assert!(called.stdout.contains(word), "{shell} without {word}");
        }
    }
}
