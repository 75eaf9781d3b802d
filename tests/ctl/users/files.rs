//! users.toml on the disk: owner, mode, label, links.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::process::Command;

use super::Store;
use support::{ivaltctl_path, no_root};

#[test]
fn the_trust_rules_hold_for_changes() {
    let store = Store::with("[users]\n");
    let file = store.users_file();
    fs::set_permissions(&file, PermissionsExt::from_mode(0o620)).unwrap();
    let sentence =
        "users.toml: is writable by group or others (mode 0620); run: chmod go-w users.toml";
    store.refused(&["add", "root", "+14155550100"], sentence);
    fs::rename(&file, store.folder.join("real.toml")).unwrap();
    symlink(store.folder.join("real.toml"), &file).unwrap();
    let sentence = "users.toml: is a symbolic link; use the real path: readlink -f users.toml";
    for words in [
        &["add", "root", "+14155550100"][..],
        &["remove", "root"],
        &["list"],
    ] {
        store.refused(words, sentence);
    }
    assert!(fs::symlink_metadata(&file).unwrap().is_symlink());
}

#[test]
fn the_first_user_creates_the_file() {
    let store = Store::empty();
    store.refused(
        &["list"],
        "users.toml: does not exist; create it: install -o root -g root -m 0600 /dev/null users.toml",
    );
    store.done(&["add", "root", "+916283974746"]);
    let sample = include_str!("../../../conf/users.toml");
    assert_eq!(store.text(), format!("{sample}root = \"+916283974746\"\n"));
    assert_eq!(
        fs::metadata(store.users_file()).unwrap().mode() & 0o7777,
        0o600
    );
}

#[test]
fn a_missing_folder_is_not_created() {
    let store = Store::empty();
    let settings = format!(
        "users_file = \"{}/no/users.toml\"\n",
        store.folder.path().display()
    );
    store.folder.write("ivalt.toml", settings, 0o600);
    store.refused(
        &["add", "root", "+916283974746"],
        "no: does not exist; create it: install -d -o root -g root -m 0755 no",
    );
}

#[test]
fn owner_group_mode_and_label_stay() {
    if no_root("gives files away") {
        return;
    }
    let store = Store::with("[users]\n");
    let file = store.users_file();
    chown(&file, Some(0), Some(4242)).unwrap();
    fs::set_permissions(&file, PermissionsExt::from_mode(0o640)).unwrap();
    let (name, label) = ("security.selinux", b"system_u:object_r:etc_t:s0\0");
    // Not every file system of a test machine can hold it.
    let labelled = rustix::fs::setxattr(&file, name, label, rustix::fs::XattrFlags::empty());
    store.done(&["add", "root", "+916283974746"]);
    let now = fs::metadata(&file).unwrap();
    assert_eq!(
        (now.uid(), now.gid(), now.mode() & 0o7777),
        (0, 4242, 0o640)
    );
    if labelled.is_ok() {
        let mut read = [0; 64];
        let length = rustix::fs::getxattr(&file, name, &mut read).unwrap();
        assert_eq!(&read[..length], label);
    }
}

#[test]
fn a_new_file_belongs_to_root_in_a_folder_of_a_group() {
    if no_root("gives folders away") {
        return;
    }
    let store = Store::empty();
    chown(store.folder.path(), Some(0), Some(4242)).unwrap();
    fs::set_permissions(store.folder.path(), PermissionsExt::from_mode(0o2755)).unwrap();
    store.done(&["add", "root", "+916283974746"]);
    let now = fs::metadata(store.users_file()).unwrap();
    assert_eq!((now.uid(), now.gid(), now.mode() & 0o7777), (0, 0, 0o600));
}

#[test]
fn without_root_sudo_is_suggested() {
    if no_root("becomes somebody else") {
        return;
    }
    let store = Store::with("[users]\n");
    let program = store.folder.join("ivaltctl");
    // By another process: a test that forks meanwhile would keep a copy of ours open for writing (ETXTBSY).
    let copied = Command::new("cp")
        .arg(ivaltctl_path())
        .arg(&program)
        .status();
    assert!(copied.unwrap().success());
    fs::set_permissions(store.folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let config = store.config();
    let nobody = |words: &[&str]| {
        let mut command = Command::new(&program);
        std::os::unix::process::CommandExt::uid(&mut command, 65534);
        command
            .arg("--config")
            .arg(&config)
            .arg("users")
            .args(words);
        let output = command.output().unwrap();
        assert_eq!(
            (output.status.code(), output.stdout.as_slice()),
            (Some(1), b"".as_slice())
        );
        store.short(&String::from_utf8(output.stderr).unwrap())
    };
    let sudo = "sudo ivaltctl --config ivalt.toml users";
    assert_eq!(
        nobody(&["list"]),
        format!("ivaltctl: ivalt.toml: permission denied; run: {sudo} list\n")
    );
    // As an administrator may leave them, and the module accepts with another effective user id.
    fs::set_permissions(&config, PermissionsExt::from_mode(0o600)).unwrap();
    chown(&config, Some(65534), None).unwrap();
    assert_eq!(
        nobody(&["show", "a b"]),
        format!("ivaltctl: users.toml: permission denied; run: {sudo} show 'a b'\n")
    );
    assert_eq!(
        nobody(&["add", "root", "+916283974746"]),
        format!("ivaltctl: users.toml: permission denied; run: {sudo} add root +916283974746\n")
    );
}
