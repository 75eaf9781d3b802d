//! The sheet of new codes: what a person keeps, or the same for programs.

use std::io;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::json;

use crate::output::Output;
use crate::root::Root;
use crate::system_error::shell_word;
use crate::terminal::visible;
use crate::users;
use crate::utc::utc;
use ivalt_core::secret::Secret;

/// A code that is printed.
#[derive(Debug)]
pub struct Printed {
    pub number: u32,
    pub code: Secret,
}

/// All that is printed. Times are seconds since 1970, UTC.
#[derive(Debug)]
pub struct Sheet<'a> {
    pub name: &'a str,
    pub config: &'a Path,
    pub directory: &'a Path,
    pub made: u64,
    pub expires: Option<u64>,
    /// The numbers of the codes that these replace.
    pub replaced: Vec<u32>,
    pub codes: Vec<Printed>,
}

/// Prints it, as text or JSON.
///
/// # Errors
/// A part of it may be printed then.
pub fn print(sheet: &Sheet, output: &mut Output) -> io::Result<()> {
    let code = |printed: &Printed| String::from_utf8_lossy(printed.code.as_bytes()).into_owned();
    let codes = sheet.codes.iter();
    let codes = codes.map(|printed| json!({"number": printed.number, "code": code(printed)}));
    output.set("changed", true);
    output.set("done", "made");
    output.set("name", sheet.name);
    output.set("host", host());
    output.set("directory", sheet.directory.display().to_string());
    output.set("made", time(sheet.made));
    output.set("expires", sheet.expires.map(time));
    output.set("replaced", sheet.replaced.clone());
    output.set("codes", codes.collect::<Vec<_>>());
    output.deliver(&text(sheet))
}

/// `2026-11-26T06:20:00Z`; what comes after the year 9999 ends with it.
pub fn time(seconds: u64) -> String {
    const LAST: u64 = 253_402_300_799;
    utc(UNIX_EPOCH + Duration::from_secs(seconds.min(LAST)))
}

/// The same, or `never`.
pub fn until(expires: Option<u64>) -> String {
    expires.map_or_else(|| "never".to_owned(), time)
}

/// `2026-11-26`
pub fn date(seconds: u64) -> String {
    time(seconds)
        .split('T')
        .next()
        .unwrap_or_default()
        .to_owned()
}

fn text(sheet: &Sheet) -> Secret {
    let (name, host) = (visible(sheet.name), visible(&host()));
    let until = match sheet.expires {
        Some(expires) => format!(
            "until {} (UTC)",
            time(expires).replace(['T', 'Z'], " ").trim()
        ),
        None => "without limit".to_owned(),
    };
    let revoke = format!("recovery revoke {}", shell_word(sheet.name));
    let revoke = visible(&users::command(sheet.config, &revoke));
    let first = sheet.codes.first().map_or(1, |printed| printed.number);
    let mut lines = format!(
        "Recovery codes\n\n  account   {name}\n  host      {host}\n  made      {}\n  valid     {until}\n\n",
        date(sheet.made)
    )
    .into_bytes();
    // A vector that grows leaves copies behind.
    lines.reserve(sheet.codes.len() * 48 + 1024 + revoke.len() * 2 + name.len() + host.len());
    for printed in &sheet.codes {
        lines.extend(format!("  {:>4}   ", printed.number).bytes());
        lines.extend(printed.code.as_bytes());
        lines.push(b'\n');
    }
    let usage = format!(
        "\nHow to use one: type it where you are asked for the iVALT token, after password or\n\
         key as usual. Capital letters and dashes do not matter. Each code lets {name} in once,\n\
         on {host} only, also while iVALT is up: cross it out.\n\
         \n\
         Keep this sheet as you keep a key. Nobody can print these codes again. If it is lost,\n\
         or somebody may have read it:\n  {revoke} --all\nOne of them only:\n  {revoke} {first}\n"
    );
    lines.extend(usage.bytes());
    Secret::new(lines)
}

/// As uname(2) has it.
fn host() -> String {
    let root = Root::this_machine();
    let read = root.map(|root| root.read(Path::new("/proc/sys/kernel/hostname")));
    let name = read.ok().and_then(Result::ok).unwrap_or_default();
    match name.trim() {
        "" => "this host".to_owned(),
        name => name.to_owned(),
    }
}
