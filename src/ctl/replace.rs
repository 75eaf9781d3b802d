//! A file is replaced as a whole: whoever reads it, or pulls the plug, finds the old one or the new one.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::Path;

/// Owner and mode of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Rights {
    /// Permission bits.
    pub mode: u32,
    /// User id of the owner.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

impl Rights {
    /// Those of an existing file.
    ///
    /// # Errors
    /// As `fs::metadata`.
    pub fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        Ok(Self {
            mode: metadata.mode() & 0o7777,
            uid: metadata.uid(),
            gid: metadata.gid(),
        })
    }
}

/// Puts `bytes` in the place of the file at `path`, by a rename in its folder (rename(2) is atomic).
///
/// # Errors
/// Nothing has changed then.
pub fn replace(path: &Path, bytes: &[u8], rights: Rights) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut file = tempfile::Builder::new()
        .prefix(".ivaltctl-")
        .tempfile_in(folder)?;
    file.write_all(bytes)?;
    own(file.as_file(), rights)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(folder)?.sync_all()
}

/// The owner first: a change of owner takes set-id bits away. Nothing is asked of root that is so already.
fn own(file: &File, rights: Rights) -> io::Result<()> {
    let now = file.metadata()?;
    if (now.uid(), now.gid()) != (rights.uid, rights.gid) {
        fchown(file, Some(rights.uid), Some(rights.gid))?;
    }
    file.set_permissions(Permissions::from_mode(rights.mode))
}
