//! `ivaltctl recovery`: what it says, what is on the disk afterwards, and what is there when it is interrupted.

mod interrupted;
mod list;
mod make;
mod revoke;
mod users;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ivalt_core::recovery::code::{self, Answer};
use ivalt_core::recovery::store::{CodeFile, code_file, is_code_file};
use ivalt_core::secret::Secret;
use serde_json::Value;
use support::TempDir;

use crate::tool::{Called, called, with_config};

const USERS: &str = "[users]\nalice = '+14155550100'\nbob = '+14155550101'\n\
                     carol = { mobile = '+14155550102', enabled = false }\nbad = 5\n";

/// Settings, users and a store of codes below a folder.
struct Host {
    folder: TempDir,
}

impl Host {
    fn new() -> Self {
        let folder = TempDir::new();
        folder.write("users.toml", USERS, 0o600);
        let host = Self { folder };
        host.settings(true, &host.store());
        host
    }

    fn settings(&self, codes: bool, store: &Path) {
        let text = format!(
            "users_file = \"{}\"\n[recovery]\ncodes = {codes}\ndirectory = \"{}\"\n",
            self.folder.join("users.toml").display(),
            store.display()
        );
        self.folder.write("ivalt.toml", text, 0o600);
    }

    fn config(&self) -> PathBuf {
        self.folder.join("ivalt.toml")
    }

    fn store(&self) -> PathBuf {
        self.folder.join("state/recovery")
    }

    fn user(&self, name: &str) -> PathBuf {
        self.store().join(format!("user-{name}"))
    }

    fn call(&self, words: &[&str]) -> Called {
        with_config(&self.config(), words, "")
    }

    #[track_caller]
    fn done(&self, words: &[&str]) -> Called {
        let called = self.call(words);
        assert_eq!(called.status, 0, "{called:?}");
        called
    }

    /// A sentence with the folder's name taken out.
    fn short(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.folder.path().display()), "")
    }

    /// Refused with exactly this, and nothing changed.
    #[track_caller]
    fn refused(&self, words: &[&str], sentence: &str) {
        let before = self.tree();
        let called = self.call(words);
        let said = self.short(&called.stderr);
        let expected = format!("ivaltctl: {sentence}\n");
        assert_eq!(
            (called.status, called.stdout.as_str(), said.as_str()),
            (1, "", expected.as_str())
        );
        assert_eq!(self.tree(), before);
    }

    #[track_caller]
    fn make(&self, words: &[&str]) -> Vec<(u64, String)> {
        let words = [&["recovery", "make"], words, &["--stdout", "--json"]].concat();
        codes(&self.done(&words).json())
    }

    /// The numbers of the codes on the disk, sorted.
    fn numbers(&self, name: &str) -> Vec<u32> {
        let mut numbers: Vec<_> = self.files(name).iter().map(|file| file.number).collect();
        numbers.sort_unstable();
        numbers
    }

    #[track_caller]
    fn files(&self, name: &str) -> Vec<CodeFile> {
        let Ok(entries) = fs::read_dir(self.user(name)) else {
            return Vec::new();
        };
        let files = entries.map(|entry| entry.unwrap().path());
        let files = files.filter(|path| is_code_file(path.file_name().unwrap().to_str().unwrap()));
        let read = |path| CodeFile::parse(&fs::read(path).unwrap()).expect("a whole file");
        files.map(read).collect()
    }

    fn listed(&self, name: &str) -> Vec<Value> {
        let listed = self.done(&["recovery", "list", name, "--json"]).json();
        listed.as_array().unwrap().clone()
    }

    /// All files but locks, with their content.
    fn tree(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if fs::symlink_metadata(&path).unwrap().is_dir() {
                    folders.push(path);
                } else if path.extension().is_none_or(|end| end != "lock") {
                    found.push((path.clone(), fs::read(&path).unwrap()));
                }
            }
        }
        found.sort();
        found
    }

    /// The tool under strace(1) with these options; what it wrote is no log line of any kind.
    fn traced(&self, options: &[&str], words: &[&str]) -> std::process::Output {
        let mut command = Command::new("strace");
        command.args(["-f", "-o"]).arg(self.folder.join("trace"));
        command.args(options).arg(env!("CARGO_BIN_EXE_ivaltctl"));
        command.arg("--config").arg(self.config()).args(words);
        command.output().expect("strace starts")
    }

    /// Whether strace had the occasion to inject what it was told to.
    fn was_injected(&self) -> bool {
        let trace = fs::read_to_string(self.folder.join("trace")).unwrap();
        trace.contains("(INJECTED)")
    }

    fn traced_to_the_end(&self, options: &[&str], words: &[&str]) -> Called {
        called(self.traced(options, words))
    }
}

/// Of `recovery make --json`.
fn codes(object: &Value) -> Vec<(u64, String)> {
    let codes = object["codes"].as_array().unwrap().iter();
    let code = |code: &Value| {
        let text = code["code"].as_str().unwrap().to_owned();
        (code["number"].as_u64().unwrap(), text)
    };
    codes.map(code).collect()
}

/// Where the module would look for the code of this user.
fn file_of(host: &Host, name: &str, text: &str) -> PathBuf {
    let Answer::Code(code) = code::read(&Secret::new(text.as_bytes().to_vec())) else {
        panic!("{text} is no code");
    };
    let salt = Secret::new(fs::read(host.user(name).join("salt")).unwrap());
    host.user(name)
        .join(code_file(&salt, name.as_bytes(), &code))
}

/// The number at the end of the numbers of a range, both included.
fn range(first: u32, last: u32) -> Vec<u32> {
    (first..=last).collect()
}
