//! The programs and modules under test, beside the running test in the target folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// `libpam_ivalt.so`. `cargo test` does not build a cdylib, so somebody must have.
pub fn module_path() -> PathBuf {
    let folder = profile_folder();
    let places = [
        folder.join("libpam_ivalt.so"),
        folder.join("deps/libpam_ivalt.so"),
    ];
    let found = places.iter().find(|place| place.exists());
    let remedy = format!("cargo build --lib{}", profile_words());
    fresh(found.unwrap_or(&places[0]), &remedy)
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
    let remedy = format!("cargo build --examples{}", profile_words());
    fresh(&profile_folder().join("examples").join(file), &remedy)
}

/// `target/PROFILE`, from `target/PROFILE/deps/TEST-HASH`.
fn profile_folder() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let folder = test.parent().and_then(Path::parent);
    folder
        .expect("cargo puts tests into target/PROFILE/deps")
        .to_owned()
}

/// What the profile must be called with to end up in this folder.
fn profile_words() -> String {
    match profile_folder().file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => String::new(),
        Some("release") => " --release".to_owned(),
        Some(profile) => format!(" --profile {profile}"),
    }
}

/// A test of yesterday's module proves nothing. The sources are those cargo itself lists beside what it builds.
fn fresh(path: &Path, remedy: &str) -> PathBuf {
    let Some(built) = modified(path) else {
        panic!("{} is missing: run `{remedy}`", path.display());
    };
    for source in sources(path) {
        let changed = modified(&source).is_none_or(|changed| changed > built);
        assert!(
            !changed,
            "{} is older than {}: run `{remedy}`",
            path.display(),
            source.display()
        );
    }
    path.to_owned()
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
