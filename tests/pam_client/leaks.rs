//! Copies of secrets in the writable memory of this process: heap, stacks, data, freed or in use.

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use support::obfuscate::obfuscated;

/// How much is read at once.
const PART: usize = 1 << 20;

/// Where the plain text of each of these, obfuscated, is, in words.
pub fn find(secrets: &[(&String, &Vec<u8>)]) -> io::Result<Vec<String>> {
    let longest = secrets
        .iter()
        .map(|(_, text)| text.len())
        .max()
        .unwrap_or(0);
    if longest == 0 {
        return Ok(Vec::new());
    }
    let memory = File::open("/proc/self/mem")?;
    let mut found = Vec::new();
    // What is read here is a copy, too: it is passed over, and wiped in the end.
    let mut copy = vec![0; PART + longest];
    let own = copy.as_ptr_range();
    let own = own.start as usize..own.end as usize;
    for (range, name) in writable()? {
        for start in range.clone().step_by(PART) {
            let length = copy.len().min(range.end - start);
            // Pages that cannot be read, as beyond the end of a mapped file, hold nothing.
            let Ok(length) = memory.read_at(&mut copy[..length], start as u64) else {
                continue;
            };
            for (secret, text) in secrets {
                let here = places(&copy[..length], text).filter(|at| *at < PART);
                let here = here.filter(|at| !own.contains(&(start + at)));
                found.extend(
                    here.map(|at| format!("a copy of {secret} in {name}{}", before(&copy, at))),
                );
            }
        }
    }
    // SAFETY: the whole of a live buffer; unlike a plain assignment, it is not optimised away.
    unsafe { libc::explicit_bzero(copy.as_mut_ptr().cast(), copy.len()) };
    Ok(found)
}

/// The mappings this process may write to, with their names.
fn writable() -> io::Result<Vec<(Range<usize>, String)>> {
    let maps = fs::read_to_string("/proc/self/maps")?;
    Ok(maps.lines().filter_map(writable_mapping).collect())
}

/// `start-end rw-p offset device inode name`
fn writable_mapping(line: &str) -> Option<(Range<usize>, String)> {
    let mut words = line.split_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let number = |text| usize::from_str_radix(text, 16).ok();
    let range = number(start)?..number(end)?;
    words.next()?.starts_with("rw").then_some(())?;
    Some((
        range,
        words.nth(3).unwrap_or("memory without a name").to_owned(),
    ))
}

/// Compared byte by byte, so that the text itself is never put together here.
fn places<'a>(bytes: &'a [u8], text: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    let first = obfuscated(&text[..1])[0];
    let starts = std::iter::successors(next(bytes, 0, first), move |at| next(bytes, at + 1, first));
    starts.filter(move |at| {
        let there = bytes.get(*at..at + text.len()).unwrap_or_default();
        let same = |(byte, hidden): (&u8, &u8)| byte ^ hidden == first ^ text[0];
        !there.is_empty() && there.iter().zip(text).all(same)
    })
}

/// memchr(3): a debug build's own loops would take seconds.
fn next(bytes: &[u8], from: usize, byte: u8) -> Option<usize> {
    let rest = bytes.get(from..)?;
    // SAFETY: reads `rest` only.
    let found = unsafe { libc::memchr(rest.as_ptr().cast(), byte.into(), rest.len()) };
    (!found.is_null()).then(|| found as usize - bytes.as_ptr() as usize)
}

/// The text in front of a copy tells whose buffer it is.
fn before(bytes: &[u8], at: usize) -> String {
    format!(
        ", after {:?}",
        String::from_utf8_lossy(&bytes[at.saturating_sub(80)..at])
    )
}
