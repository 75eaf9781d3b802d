//! The command line.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

pub const USAGE: &str = "usage: ivalt-stand-in --dir DIR [--address A] [--port N] [--api-key KEY]";

/// What the caller asked for, defaults filled in.
#[derive(Debug, PartialEq)]
pub struct Arguments {
    /// Where all files go; must exist.
    pub dir: PathBuf,
    /// The loopback, unless the network namespace is the caller's own.
    pub address: IpAddr,
    /// 0: any free port; read it from `DIR/port`.
    pub port: u16,
    /// The only value of `x-api-key` that is let through.
    pub api_key: String,
}

impl Arguments {
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let (mut dir, mut port, mut api_key) = (None, 0, "test-api-key".to_owned());
        let mut address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            match word.as_str() {
                "--dir" => dir = Some(PathBuf::from(value()?)),
                "--address" => address = ip_address(&value()?)?,
                "--port" => port = port_number(&value()?)?,
                "--api-key" => api_key = value()?,
                _ => return Err(format!("unknown argument {word}")),
            }
        }
        let dir = dir.ok_or("--dir is missing")?;
        if !dir.is_dir() {
            return Err(format!("{} is not a directory", dir.display()));
        }
        Ok(Self {
            dir,
            address,
            port,
            api_key,
        })
    }
}

fn ip_address(text: &str) -> Result<IpAddr, String> {
    text.parse()
        .map_err(|_| format!("--address {text} is not an IP address"))
}

fn port_number(text: &str) -> Result<u16, String> {
    text.parse()
        .map_err(|_| format!("--port {text} is not a port number"))
}
