//! The one log line, taken apart as pam_ivalt(8) promises it; every departure is a panic that shows the line.

use std::iter::Peekable;
use std::str::Chars;

/// The keys, in their order.
const KEYS: [&str; 14] = [
    "outcome",
    "reason",
    "user",
    "service",
    "rhost",
    "tty",
    "ruser",
    "mobile",
    "http",
    "code",
    "detail",
    "cause",
    "attempts",
    "elapsed_ms",
];
/// A value is cut here.
const LONGEST: usize = 256;
/// `LOG_AUTHPRIV` of syslog.h, shifted.
pub const AUTHPRIV: u8 = 10;

/// syslog's severities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Emergency,
    Alert,
    Critical,
    Error,
    Warning,
    Notice,
    Info,
    Debug,
}

/// One datagram.
#[derive(Clone, Debug)]
pub struct LogLine {
    /// [`AUTHPRIV`] as a rule.
    pub facility: u8,
    /// The severity.
    pub severity: Severity,
    /// The application's ident.
    pub ident: String,
    /// The application's process.
    pub pid: u32,
    /// In the tag: `pam_ivalt(SERVICE:auth):`.
    pub service: String,
    /// Unescaped, in their order.
    pub fields: Vec<(String, Vec<u8>)>,
}

impl LogLine {
    /// Panics unless there are exactly the fourteen keys, in order, quoted where they must be and only there.
    pub fn parse(datagram: &str) -> Self {
        Self::read(datagram).unwrap_or_else(|problem| panic!("{problem} in log line {datagram:?}"))
    }

    /// Whether it is ours at all, and not libpam's or another module's.
    pub fn is_ours(datagram: &str) -> bool {
        datagram.contains(": pam_ivalt(")
    }

    /// Of a key that is always there; bytes that are not UTF-8 replaced.
    pub fn get(&self, key: &str) -> String {
        String::from_utf8_lossy(self.bytes(key)).into_owned()
    }

    /// The same, byte for byte.
    pub fn bytes(&self, key: &str) -> &[u8] {
        let found = self.fields.iter().find(|(name, _)| name == key);
        &found
            .unwrap_or_else(|| panic!("{key} is no key of a log line"))
            .1
    }

    /// `outcome`
    pub fn outcome(&self) -> String {
        self.get("outcome")
    }

    /// `reason`
    pub fn reason(&self) -> String {
        self.get("reason")
    }

    fn read(datagram: &str) -> Result<Self, &'static str> {
        let (priority, rest) = datagram
            .strip_prefix('<')
            .and_then(|rest| rest.split_once('>'))
            .ok_or("no <PRI>")?;
        let priority: u8 = priority.parse().map_err(|_| "PRI is no number")?;
        let rest = after_timestamp(rest)?;
        let (host, message) = rest.split_once(": ").ok_or("no ident")?;
        let (ident, pid) = ident_and_pid(host)?;
        let (service, fields) = message
            .strip_prefix("pam_ivalt(")
            .and_then(|rest| rest.split_once(":auth): "))
            .ok_or("no pam_ivalt(SERVICE:auth):")?;
        Ok(Self {
            facility: priority >> 3,
            severity: severity(priority & 7),
            ident,
            pid,
            service: service.to_owned(),
            fields: read_fields(fields)?,
        })
    }
}

/// RFC 3164: `Mon dd hh:mm:ss `, the day padded with a blank or, as many senders do, a zero.
fn after_timestamp(text: &str) -> Result<&str, &'static str> {
    let (stamp, rest) = text.split_at_checked(16).ok_or("no time stamp")?;
    let shape: String = stamp
        .chars()
        .map(|c| match c {
            '0'..='9' => '9',
            'a'..='z' => 'a',
            'A'..='Z' => 'A',
            other => other,
        })
        .collect();
    match shape.as_str() {
        "Aaa 99 99:99:99 " | "Aaa  9 99:99:99 " => Ok(rest),
        _ => Err("no time stamp"),
    }
}

fn ident_and_pid(host: &str) -> Result<(String, u32), &'static str> {
    let (ident, pid) = host.split_once('[').ok_or("no [PID]")?;
    let pid = pid.strip_suffix(']').and_then(|pid| pid.parse().ok());
    Ok((ident.to_owned(), pid.ok_or("no [PID]")?))
}

fn severity(number: u8) -> Severity {
    match number {
        0 => Severity::Emergency,
        1 => Severity::Alert,
        2 => Severity::Critical,
        3 => Severity::Error,
        4 => Severity::Warning,
        5 => Severity::Notice,
        6 => Severity::Info,
        _ => Severity::Debug,
    }
}

fn read_fields(text: &str) -> Result<Vec<(String, Vec<u8>)>, &'static str> {
    let mut rest = text.chars().peekable();
    let mut fields = Vec::new();
    for (index, key) in KEYS.into_iter().enumerate() {
        if index > 0 && rest.next() != Some(' ') {
            return Err("no blank between fields");
        }
        if !key.chars().chain(['=']).all(|c| rest.next() == Some(c)) {
            return Err("a key is missing, unknown or out of order");
        }
        let value = read_value(&mut rest)?;
        if value.len() > LONGEST {
            return Err("a value of more than 256 bytes");
        }
        fields.push((key.to_owned(), value));
    }
    match rest.next() {
        None => Ok(fields),
        Some(_) => Err("something after the last field"),
    }
}

fn read_value(rest: &mut Peekable<Chars>) -> Result<Vec<u8>, &'static str> {
    if rest.next_if_eq(&'"').is_some() {
        return read_quoted(rest);
    }
    let mut value = Vec::new();
    while let Some(c) = rest.next_if(|c| *c != ' ') {
        value.push(plain(c).ok_or("a byte that needs quotes and has none")?);
    }
    Ok(value)
}

fn read_quoted(rest: &mut Peekable<Chars>) -> Result<Vec<u8>, &'static str> {
    let mut value = Vec::new();
    let mut needed = false;
    loop {
        let byte = match rest.next().ok_or("a quote that does not end")? {
            '"' if needed => return Ok(value),
            '"' => return Err("quotes that are not needed"),
            '\\' => read_escape(rest)?,
            c @ ' '..='~' => u8::try_from(c).map_err(|_| "unreachable")?,
            _ => return Err("a control or non-ASCII byte that is not escaped"),
        };
        needed |= plain(byte.into()).is_none();
        value.push(byte);
    }
}

/// `\"`, `\\`, or `\xNN` for bytes that must be escaped.
fn read_escape(rest: &mut Peekable<Chars>) -> Result<u8, &'static str> {
    match rest.next() {
        Some('"') => return Ok(b'"'),
        Some('\\') => return Ok(b'\\'),
        Some('x') => {}
        _ => return Err("an unknown escape"),
    }
    let digits: String = rest.by_ref().take(2).collect();
    match u8::from_str_radix(&digits, 16) {
        Ok(b' '..=b'~') => Err("an escape that is not needed"),
        Ok(byte) if digits.len() == 2 => Ok(byte),
        _ => Err("an unknown escape"),
    }
}

/// The byte, if it needs no quotes.
fn plain(c: char) -> Option<u8> {
    let byte = u8::try_from(c).ok()?;
    (byte.is_ascii_alphanumeric() || b"._:@/+*-".contains(&byte)).then_some(byte)
}
