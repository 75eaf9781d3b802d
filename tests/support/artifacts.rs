//! The programs and modules under test, beside the running test in the target folder. `cargo test` builds neither a
//! cdylib nor what belongs to another package, so whatever is missing or out of date is built here.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// The folder of README.md.
pub fn checkout() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("tests/ is a folder of the checkout")
}

/// Whether what `cargo build --release` makes is tested, which is what is shipped: by `cargo test --release`, or, without
/// building the tests a second time, by `TEST_RELEASE=1 cargo test`.
pub fn release_is_tested() -> bool {
    !cfg!(debug_assertions) || std::env::var_os("TEST_RELEASE").is_some()
}

/// `libpam_ivalt.so`, as cargo builds it.
pub fn module_path() -> PathBuf {
    built(&tested_folder(), "libpam_ivalt.so", &[])
}

/// `ivaltctl`, as cargo builds it.
pub fn ivaltctl_path() -> PathBuf {
    built(&tested_folder(), "ivaltctl", &[])
}

/// A program of `[[example]]`, such as `pam-client`.
pub fn example(name: &str) -> PathBuf {
    built_example(name)
}

/// A PAM module of `[[example]]`, such as `pam_set_authtok`.
pub fn helper_module(name: &str) -> PathBuf {
    built_example(&format!("lib{name}.so"))
}

fn built_example(file: &str) -> PathBuf {
    let words = ["--package", env!("CARGO_PKG_NAME"), "--examples"];
    built(&profile_folder(), &format!("examples/{file}"), &words)
}

/// A file of a profile's folder, looked at once in a process. A test of yesterday's module proves nothing.
fn built(folder: &Path, file: &str, words: &[&str]) -> PathBuf {
    static CURRENT: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
    let path = folder.join(file);
    if !current.contains(&path) {
        if !is_current(&path) {
            build(folder, words);
        }
        assert!(path.exists(), "{} was not built", path.display());
        current.insert(path.clone());
    }
    path
}

fn build(folder: &Path, words: &[&str]) {
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    let status = Command::new(env!("CARGO"))
        .current_dir(checkout())
        .args(["build", "--locked", "--quiet", "--profile", profile])
        .arg("--target-dir")
        .arg(folder.parent().expect("target/PROFILE"))
        .args(words)
        .status()
        .expect("cargo runs");
    assert!(status.success(), "cargo build {words:?}: {status}");
}

fn tested_folder() -> PathBuf {
    let folder = profile_folder();
    if release_is_tested() {
        folder.with_file_name("release")
    } else {
        folder
    }
}

/// `target/PROFILE`, from `target/PROFILE/deps/TEST-HASH`.
fn profile_folder() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let folder = test.parent().and_then(Path::parent);
    folder
        .expect("cargo puts tests into target/PROFILE/deps")
        .to_owned()
}

/// The sources are those that cargo itself lists beside what it builds. Which crates there are, and with which features
/// and flags, is in two more files: where only these are newer, cargo knows whether anything follows from it.
fn is_current(path: &Path) -> bool {
    let sources = sources(path);
    let manifests = ["Cargo.lock", "Cargo.toml"].map(|name| checkout().join(name));
    let unchanged = |built| {
        let changed = |file: &PathBuf| modified(file).is_none_or(|changed| changed > built);
        !sources.iter().chain(&manifests).any(changed)
    };
    !sources.is_empty() && modified(path).is_some_and(unchanged)
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|found| found.modified()).ok()
}

/// From cargo's dep-info, in make's syntax: `TARGET: SOURCE SOURCE…`, blanks escaped.
fn sources(path: &Path) -> Vec<PathBuf> {
    let Ok(text) = fs::read_to_string(path.with_extension("d")) else {
        return Vec::new();
    };
    let sources = text.lines().next().and_then(|line| line.split_once(": "));
    let words = sources.map_or("", |(_, words)| words).replace("\\ ", "\0");
    words
        .split_whitespace()
        .map(|word| word.replace('\0', " ").into())
        .collect()
}
