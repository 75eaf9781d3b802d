//! Stands in for the system's log: `syslog-sink SOCKET FILE` takes datagrams at SOCKET, as syslogd does at `/dev/log`,
//! and appends each to FILE as one line.

use std::fs::{OpenOptions, Permissions, set_permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

fn main() -> io::Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(socket), Some(file), None) = (arguments.next(), arguments.next(), arguments.next())
    else {
        return Err(io::Error::other("usage: syslog-sink SOCKET FILE"));
    };
    let mut log = OpenOptions::new().create(true).append(true).open(&file)?;
    let datagrams = UnixDatagram::bind(&socket)?;
    // Every account may log, as on a real system.
    set_permissions(Path::new(&socket), Permissions::from_mode(0o666))?;

    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = datagrams.recv(&mut buffer[..64 * 1024 - 1])?;
        // One write a line, so that a reader never sees half of one.
        buffer[length] = b'\n';
        log.write_all(&buffer[..=length])?;
    }
}
