//! Starts and stops the stand-in for iVALT's cloud, and reads what it noted.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::artifacts::example;
use super::files::{TempDir, write_file};

/// A running stand-in with a folder, a port and a certificate authority of its own; it ends with this value.
#[derive(Debug)]
pub struct StandIn {
    dir: TempDir,
    process: Child,
    port: u16,
}

impl StandIn {
    /// The only key it lets through.
    pub const API_KEY: &str = "test-api-key";

    /// Returns when it takes connections.
    pub fn start() -> Self {
        Self::with_key(Self::API_KEY)
    }

    /// As [`StandIn::start`], for another key.
    pub fn with_key(key: &str) -> Self {
        let dir = TempDir::new();
        let errors = File::create(dir.join("stderr")).expect("a file for its errors");
        let mut command = Command::new(example("ivalt-stand-in"));
        command
            .arg("--dir")
            .arg(dir.path())
            .args(["--api-key", key]);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors);
        let process = command.spawn().expect("ivalt-stand-in starts");
        let mut stand_in = Self {
            dir,
            process,
            port: 0,
        };
        stand_in.port = stand_in.wait_for_port();
        stand_in
    }

    fn wait_for_port(&mut self) -> u16 {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Ok(port) = fs::read_to_string(self.dir.join("port")) {
                return port.trim().parse().expect("a port number");
            }
            let ended = self.process.try_wait().expect("its state");
            if ended.is_some() || Instant::now() > deadline {
                let errors = fs::read_to_string(self.dir.join("stderr")).unwrap_or_default();
                panic!("ivalt-stand-in is not ready ({ended:?}): {errors}");
            }
            sleep(Duration::from_millis(5));
        }
    }

    /// Where it listens on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What `[api] url` must be.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}/admin/public/api", self.port)
    }

    /// What `[push] url` must be: the bare host.
    pub fn push_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// What `[api] ca_file` must be.
    pub fn ca(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// Every request so far: `method`, `path`, `headers`, `body`, `raw`.
    pub fn requests(&self) -> Vec<Value> {
        self.lines("requests.jsonl")
    }

    /// The tokens of these requests, in order.
    pub fn tokens(&self) -> Vec<String> {
        let token = |request: &Value| request["body"]["auth_token"].as_str().map(str::to_owned);
        self.requests().iter().filter_map(token).collect()
    }

    /// Every connection so far: `peer`.
    pub fn connections(&self) -> Vec<Value> {
        self.lines("connections.jsonl")
    }

    /// The owner of this mobile taps on the request that is open: `approve`, `deny` …; the table is in
    /// `tests/stand_in/push.rs`.
    pub fn tap(&self, mobile: &str, word: &str) {
        self.place(self.tap_file(mobile), word);
    }

    /// Where such a word is read.
    pub fn tap_file(&self, mobile: &str) -> PathBuf {
        self.dir.join(&format!("tap-{}", digits(mobile)))
    }

    /// What the next requests about this mobile get, one word each: `pending`, `sent`, `approved` …; the table is in
    /// `tests/stand_in/push.rs`.
    pub fn will_answer(&self, mobile: &str, words: &[&str]) {
        self.place(self.answers_file(mobile), &words.join("\n"));
    }

    /// Where these words are read; it goes with the last of them.
    pub fn answers_file(&self, mobile: &str) -> PathBuf {
        self.dir.join(&format!("answers-{}", digits(mobile)))
    }

    /// By rename, so that it is there whole or not at all.
    fn place(&self, file: PathBuf, text: &str) {
        let unfinished = file.with_extension("new");
        write_file(&unfinished, text, 0o600);
        fs::rename(unfinished, file).expect("a file in its folder");
    }

    /// The last parts of the paths of all requests about this mobile, in order: `biometric-auth-request` …
    pub fn operations(&self, mobile: &str) -> Vec<String> {
        let requests = self.requests();
        let theirs = requests
            .iter()
            .filter(|request| request["body"]["mobile"] == mobile);
        let paths = theirs.filter_map(|request| request["path"].as_str());
        paths
            .filter_map(|path| path.rsplit('/').next().map(str::to_owned))
            .collect()
    }

    /// Its process, for stopping and continuing it.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Without a last line that it is still writing, for another thread of the test.
    fn lines(&self, file: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.dir.join(file)).expect("what it noted");
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let parse = |line| serde_json::from_str(line).expect("one JSON value a line");
        whole.lines().map(parse).collect()
    }
}

fn digits(mobile: &str) -> String {
    mobile.chars().filter(char::is_ascii_digit).collect()
}

impl Drop for StandIn {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
