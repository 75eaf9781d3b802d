//! Files that vanish after the test.

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A fresh private folder, removed with everything in it.
#[derive(Debug)]
pub struct TempDir {
    path: PathBuf,
}

impl TempDir {
    /// Below the system's folder for temporary files, mode 0700.
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("pam_ivalt-test-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        // Of a dead process that had our number.
        let _ = fs::remove_dir_all(&path);
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .expect("a temporary folder");
        Self { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file in it, owner and mode exact.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>, mode: u32) -> PathBuf {
        let path = self.join(name);
        write_file(&path, text, mode);
        path
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Writes a file whose mode does not depend on the umask.
pub fn write_file(path: &Path, text: impl AsRef<[u8]>, mode: u32) {
    let done = fs::write(path, text)
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(mode)));
    done.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
