//! `users import`.

use std::fs;
use std::os::unix::fs::MetadataExt;

use serde_json::json;

use super::Store;

#[test]
fn a_csv_file_is_imported_whole() {
    let store = Store::with(
        "[users]\nroot = '+14155550100'\nsync = { mobile = '+14155550101', enabled = false }\n",
    );
    let rows = "\u{feff}Name;Mobile;Enabled\r\nbin;+1 415 555 0102;\r\nroot;+14155550100;yes\r\n\
        sync;+14155550101;false\r\nfirst.last;+14155550103;no\r\n";
    let called = store.typed(&["import", "-"], rows);
    assert_eq!(
        (
            called.status,
            called.stdout.as_str(),
            called.stderr.as_str()
        ),
        (
            0,
            "2 users added; already present: root, sync\n",
            "ivaltctl: warning: first.last: no such account on this machine\n"
        )
    );
    let expected = "[users]\nroot = '+14155550100'\nsync = { mobile = '+14155550101', enabled = false }\n\
        bin = \"+14155550102\"\n\"first.last\" = { mobile = \"+14155550103\", enabled = false }\n";
    assert_eq!(store.text(), expected);
    let inode = fs::metadata(store.users_file()).unwrap().ino();
    let again = store.typed(&["import", "-", "--json"], rows);
    assert_eq!(
        again.json()["skipped"],
        json!(["bin", "first.last", "root", "sync"])
    );
    assert_eq!(again.json()["added"], 0);
    assert_eq!(fs::metadata(store.users_file()).unwrap().ino(), inode);
}

#[test]
fn one_bad_row_and_nothing_is_imported() {
    let store = Store::with("[users]\nroot = '+14155550100'\nsync = 5\n");
    let csv = store.folder.write(
        "new.csv",
        "name,mobile\nbin,+14155550102\nroot,+14155550199\nsync,+14155550103\nbin,+14155550102\ngames,0\n\n,+14155550104\n",
        0o644,
    );
    let csv = csv.to_str().unwrap();
    store.refused(
        &["import", csv],
        "new.csv:3: root: already enrolled differently in users.toml:2\n\
         ivaltctl: new.csv:4: sync: already has a bad entry: users.toml:3: sync: must be a mobile in quotes, like \"+14155550100\"\n\
         ivaltctl: new.csv:5: bin: is also in line 2; keep one\n\
         ivaltctl: new.csv:6: games: the mobile is not E.164; write + and 7 to 15 digits, like +14155550100\n\
         ivaltctl: new.csv:8: the name is empty\n\
         ivaltctl: 5 rows are refused; nothing was changed",
    );
    let called = store.typed(&["import", "-"], "bin,+14155550102,perhaps\n");
    assert_eq!(
        called.stderr,
        "ivaltctl: standard input:1: bin: enabled must be true or false\n\
         ivaltctl: 1 row is refused; nothing was changed\n"
    );
    store.refused(
        &["import", "/no/such.csv"],
        "/no/such.csv: cannot be read (No such file or directory (os error 2))",
    );
}
