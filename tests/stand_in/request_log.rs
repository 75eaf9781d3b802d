//! The files a test reads: who connected, what was asked, when the stand-in is ready.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

/// One line of `requests.jsonl`.
#[derive(Serialize)]
pub struct Request {
    pub method: String,
    /// As sent: with the query, if there was one.
    pub path: String,
    /// Names in lower case; a header sent several times has its values joined by `, `.
    pub headers: BTreeMap<String, String>,
    /// The body as JSON; null when it is not JSON.
    pub body: Value,
    /// The body as text, bytes that are not UTF-8 replaced.
    pub raw: String,
}

/// One line of `connections.jsonl`.
#[derive(Serialize)]
struct Connection {
    peer: String,
}

/// The folder of one run.
pub struct RequestLog {
    dir: PathBuf,
    connections: File,
    requests: File,
}

impl RequestLog {
    /// Empties what an earlier run left. The old port goes first: it would announce a dead server.
    pub fn start(dir: &Path) -> io::Result<Self> {
        match fs::remove_file(dir.join("port")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        Ok(Self {
            dir: dir.to_owned(),
            connections: empty_log(&dir.join("connections.jsonl"))?,
            requests: empty_log(&dir.join("requests.jsonl"))?,
        })
    }

    pub fn requests_path(&self) -> PathBuf {
        self.dir.join("requests.jsonl")
    }

    pub fn write_ca(&self, pem: &str) -> io::Result<()> {
        write_whole(&self.dir, "ca.pem", pem)
    }

    /// The sign that everything is ready: waiting for `port` to appear is enough.
    pub fn announce(&self, port: u16) -> io::Result<()> {
        write_whole(&self.dir, "port", &port.to_string())
    }

    pub fn note_connection(&self, peer: SocketAddr) -> io::Result<()> {
        let peer = peer.to_string();
        append(&self.connections, &Connection { peer })
    }

    pub fn note_request(&self, request: &Request) -> io::Result<()> {
        append(&self.requests, request)
    }
}

fn empty_log(path: &Path) -> io::Result<File> {
    File::create(path)?;
    OpenOptions::new().append(true).open(path)
}

/// By rename, so that no reader sees half a file. 0644 even under a lax umask: the module refuses
/// a `ca_file` that others can write.
fn write_whole(dir: &Path, name: &str, text: &str) -> io::Result<()> {
    let unfinished = dir.join(format!("{name}.new"));
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o644);
    options.open(&unfinished)?.write_all(text.as_bytes())?;
    fs::rename(unfinished, dir.join(name))
}

/// One line, one write(2): readers never see lines mixed.
fn append(mut log: &File, entry: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(entry)?;
    line.push(b'\n');
    log.write_all(&line)
}
