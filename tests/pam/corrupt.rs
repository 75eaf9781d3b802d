//! Ways to corrupt a file that was a valid one.

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

/// Why tests that call `give_away` need root.
pub const OWNER: &str = "changing the owner of a file needs root";

/// Replaces or changes the file at this path.
pub type Corrupt = fn(&Path);

pub fn remove(path: &Path) {
    fs::remove_file(path).unwrap();
}

pub fn give_away(path: &Path) {
    chown(path, Some(4242), None).unwrap();
}

pub fn fifo(path: &Path) {
    fs::remove_file(path).unwrap();
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: mkfifo(3) reads a C string.
    assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
}

pub fn directory(path: &Path) {
    fs::remove_file(path).unwrap();
    fs::create_dir(path).unwrap();
}

pub fn socket(path: &Path) {
    fs::remove_file(path).unwrap();
    drop(UnixListener::bind(path).unwrap());
}

pub fn link(path: &Path) {
    let target = path.with_extension("real");
    fs::rename(path, &target).unwrap();
    symlink(target, path).unwrap();
}

pub fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Makes it `size` bytes by empty lines.
pub fn pad(path: &Path, size: usize) {
    let mut text = fs::read(path).unwrap();
    text.resize(size, b'\n');
    fs::write(path, text).unwrap();
}

pub fn link_to_nothing(path: &Path) {
    fs::remove_file(path).unwrap();
    symlink("/nonexistent", path).unwrap();
}
