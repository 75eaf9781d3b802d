//! `ivaltctl users`: what it says, what it writes, and what it leaves alone.

mod changes;
mod dry_run;
mod files;
mod import;
mod list;
mod refusals;
mod sync;
mod synced;
mod writing;

use std::fs;
use std::path::PathBuf;

use crate::tool::{Called, with_config};
use support::TempDir;

/// A folder with settings that lack the API key, as on the day of the installation.
pub struct Store {
    pub folder: TempDir,
}

impl Store {
    pub fn empty() -> Self {
        let folder = TempDir::new();
        let settings = format!("users_file = \"{}\"\n", folder.join("users.toml").display());
        folder.write("ivalt.toml", settings, 0o600);
        Self { folder }
    }

    pub fn with(text: &str) -> Self {
        let store = Self::empty();
        store.folder.write("users.toml", text, 0o600);
        store
    }

    fn national(self) -> Self {
        let users = self.users_file();
        let settings = format!(
            "users_file = \"{}\"\n[token]\nmobile_format = \"national\"\n",
            users.display()
        );
        self.folder.write("ivalt.toml", settings, 0o600);
        self
    }

    pub fn config(&self) -> PathBuf {
        self.folder.join("ivalt.toml")
    }

    pub fn users_file(&self) -> PathBuf {
        self.folder.join("users.toml")
    }

    pub fn call(&self, words: &[&str]) -> Called {
        self.typed(words, "")
    }

    fn typed(&self, words: &[&str], typed: &str) -> Called {
        with_config(&self.config(), &[&["users"], words].concat(), typed)
    }

    pub fn text(&self) -> String {
        fs::read_to_string(self.users_file()).expect("users.toml")
    }

    /// A sentence with the folder's name taken out.
    fn short(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.folder.path().display()), "")
            .replace(&format!("{}", self.folder.path().display()), "FOLDER")
    }

    #[track_caller]
    pub fn done(&self, words: &[&str]) -> Called {
        let called = self.call(words);
        assert_eq!(called.status, 0, "{called:?}");
        called
    }

    /// Refused with exactly this, and nothing changed.
    #[track_caller]
    fn refused(&self, words: &[&str], sentence: &str) {
        let before = fs::read(self.users_file()).ok();
        let called = self.call(words);
        assert_eq!(
            (
                called.status,
                called.stdout.as_str(),
                self.short(&called.stderr).as_str()
            ),
            (1, "", format!("ivaltctl: {sentence}\n").as_str())
        );
        assert_eq!(fs::read(self.users_file()).ok(), before);
        assert!(!self.folder.join(".users.toml.new").exists());
    }
}

const FILE: &str = "# head\r
[users]   # all of them\r
root = \"+91 6283 974746\"   # the admin\r
\r
  # on leave\r
\t\"first.last\" = { mobile = '+14155550100', enabled = false } # till May\r
bin.mobile = \"+14155550101\"\r
bad = 5\r
twice = '+14155550103'\r
twice = '+14155550103'\r
\r
# her own table\r
[users.daemon]\r
mobile = \"+14155550102\"\r
# the end";
