//! Sleeps until a saved state is written or removed, see inotify(7).

use std::fs::File;
use std::io::Read;
use std::thread::sleep;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use super::saved_state::FOLDER;

/// How often to look where the system has no inotify, or no more of it (`fs.inotify.max_user_instances`).
const INTERVAL: Duration = Duration::from_secs(2);

/// The folder of saved states, from now on.
pub struct Watch(Option<File>);

impl Watch {
    /// Whatever is written after this ends a [`Watch::sleep`].
    pub fn new() -> Self {
        Self(begin().ok())
    }

    /// Sleeps until something may have changed; `at_most` so long.
    pub fn sleep(&mut self, at_most: Duration) {
        match self.0.as_mut().map(|events| poll_events(events, at_most)) {
            Some(Ok(())) => {}
            _ => sleep(at_most.min(INTERVAL)),
        }
    }
}

/// States are renamed into their places.
fn begin() -> rustix::io::Result<File> {
    let changes = WatchFlags::MOVED_TO
        | WatchFlags::DELETE
        | WatchFlags::DELETE_SELF
        | WatchFlags::MOVE_SELF
        | WatchFlags::ONLYDIR;
    let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    inotify::add_watch(&events, FOLDER, changes)?;
    Ok(events.into())
}

/// What has changed does not matter.
fn poll_events(events: &mut File, at_most: Duration) -> std::io::Result<()> {
    let timeout = Timespec::try_from(at_most).map_err(std::io::Error::other)?;
    if poll(&mut [PollFd::new(events, PollFlags::IN)], Some(&timeout))? > 0 {
        let _size = events.read(&mut [0; 4096])?;
    }
    Ok(())
}
