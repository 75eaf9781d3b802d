//! The password database, passwd(5) and whatever else nsswitch.conf(5) names.

use std::ffi::{CStr, CString};
use std::{io, mem, ptr};

/// No entry of an account is known to need more, in bytes.
const LARGEST: usize = 1 << 20;

/// An entry of the password database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Name services that take other spellings return their own.
    pub name: Vec<u8>,
    /// The user id.
    pub uid: u32,
}

/// What getpwnam(3) finds for `name`. `None` if there is no such account.
///
/// # Errors
/// The database cannot be read, or there is no memory for it.
pub fn account(name: &[u8]) -> io::Result<Option<Account>> {
    let Ok(name) = CString::new(name) else {
        return Ok(None);
    };
    let mut buffer = Vec::new();
    loop {
        let size = (buffer.len() * 4).max(1 << 10);
        buffer
            .try_reserve_exact(size - buffer.len())
            .map_err(|_| io::ErrorKind::OutOfMemory)?;
        buffer.resize(size, 0);
        match look_up(&name, &mut buffer) {
            Err(libc::ERANGE) if size < LARGEST => {}
            Err(libc::EINTR) => {}
            // What getpwnam(3) lists for names that it does not know.
            Err(libc::ENOENT | libc::ESRCH | libc::EBADF | libc::EPERM) => return Ok(None),
            Err(error) => return Err(io::Error::from_raw_os_error(error)),
            Ok(found) => return Ok(found),
        }
    }
}

/// The error is errno's.
fn look_up(name: &CStr, buffer: &mut [libc::c_char]) -> Result<Option<Account>, libc::c_int> {
    // SAFETY: all of passwd is numbers and pointers. getpwnam_r(3) writes into `entry` and the buffer alone, and if it
    // finds something, the name is a string in the buffer.
    unsafe {
        let (mut entry, mut found): (libc::passwd, _) = (mem::zeroed(), ptr::null_mut());
        let error = libc::getpwnam_r(
            name.as_ptr(),
            &raw mut entry,
            buffer.as_mut_ptr(),
            buffer.len(),
            &raw mut found,
        );
        match error {
            0 if found.is_null() || entry.pw_name.is_null() => Ok(None),
            0 => Ok(Some(Account {
                name: CStr::from_ptr(entry.pw_name).to_bytes().to_vec(),
                uid: entry.pw_uid,
            })),
            error => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no password database")]
    fn root_is_root_and_nobody_else_is() {
        let (name, uid) = (b"root".to_vec(), 0);
        assert_eq!(account(b"root").unwrap(), Some(Account { name, uid }));
        for name in [&b"no such account"[..], b"", b"ro\0ot", b"\xff"] {
            assert_eq!(account(name).unwrap(), None);
        }
    }
}
