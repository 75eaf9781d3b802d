//! The synced file, as the commands see it that change what is written by hand.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::entries;
use super::file::{UsersFile, require_permission};
use super::snapshot::{Selection, Snapshot};
use crate::{Refused, trust};
use ivalt_core::settings::MobileFormat;
use ivalt_core::users::{Entry, look_up};

/// The file that `users sync` owns.
#[derive(Debug)]
pub struct SyncedFile {
    file: UsersFile,
    format: MobileFormat,
}

impl SyncedFile {
    /// The file at `path`, with mobiles of this form.
    pub fn new(path: &Path, format: MobileFormat) -> Self {
        Self {
            file: UsersFile::new(path.to_owned()),
            format,
        }
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Its content.
    ///
    /// # Errors
    /// The module would not trust it.
    pub fn read(&self) -> Result<Vec<u8>, Refused> {
        self.file.read()
    }

    /// What it says of a user.
    ///
    /// # Errors
    /// The module would refuse everybody whom users.toml does not name.
    pub fn entry(&self, name: &str) -> Result<Entry, Refused> {
        require_permission(self.path())?;
        Ok(look_up(self.path(), trust(), name.as_bytes(), self.format)?)
    }

    /// Which of these names it has, sorted.
    ///
    /// # Errors
    /// As [`Self::entry`].
    pub fn names_among<'n>(
        &self,
        names: impl Iterator<Item = &'n str>,
    ) -> Result<Vec<&'n str>, Refused> {
        let selection = Selection {
            names: names.collect(),
            ..Selection::default()
        };
        let snapshot = self.snapshot(&selection)?;
        let is_in = |name: &&str| *snapshot.entry(name) != Entry::Absent;
        let mut names: Vec<_> = selection.names.iter().copied().filter(is_in).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Who has each of these mobiles there.
    ///
    /// # Errors
    /// As [`Self::entry`].
    pub fn owners(
        &self,
        mobiles: &HashSet<String>,
    ) -> Result<HashMap<String, Vec<String>>, Refused> {
        let selection = Selection {
            mobiles: mobiles.clone(),
            ..Selection::default()
        };
        Ok(self.snapshot(&selection)?.owners)
    }

    fn snapshot<'n>(&self, selection: &Selection<'n>) -> Result<Snapshot<'n>, Refused> {
        let bytes = self.read()?;
        let text = entries::text(self.path(), &bytes)?;
        Ok(Snapshot::read(self.path(), text, self.format, selection)?)
    }
}
