//! The files that an `Include` names, as glob(3) of OpenBSD finds them, which portable OpenSSH brings along.

use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};

use crate::root::Root;

/// The files that a pattern names, sorted by their whole path.
pub fn files(root: &Root, pattern: &Path) -> impl Iterator<Item = PathBuf> {
    let text = pattern.to_string_lossy();
    let mut found = vec![PathBuf::from("/")];
    for part in text.split('/').filter(|part| !part.is_empty()) {
        let in_folder = |folder: &PathBuf| entries(root, folder, part);
        found = found.iter().flat_map(in_folder).collect();
    }
    found.retain(|path| exists(root, path));
    found.sort_by(|one, other| one.as_os_str().cmp(other.as_os_str()));
    found.into_iter()
}

/// What a part of a pattern may be in a folder; without wildcards it is looked up at the end.
fn entries(root: &Root, folder: &Path, part: &str) -> Vec<PathBuf> {
    if !part.contains(['*', '?', '[', '\\']) {
        return vec![folder.join(part)];
    }
    let names = root.names(folder).into_iter();
    names
        .filter(|name| matches(part, &name.to_string_lossy()))
        .map(|name| folder.join(name))
        .collect()
}

fn exists(root: &Root, path: &Path) -> bool {
    match (path.parent(), path.file_name()) {
        (Some(folder), Some(name)) => root.names(folder).contains(name),
        // It ends with `..`.
        _ => true,
    }
}

/// A pattern of names as `match_pattern` of OpenSSH's match.c takes it: only `*` and `?` are special.
pub fn matches_name(pattern: &str, name: &str) -> bool {
    let mut written = String::new();
    for c in pattern.chars() {
        match c {
            '*' if written.ends_with('*') => {}
            '*' | '?' => written.push(c),
            _ => written += &Pattern::escape(&c.to_string()),
        }
    }
    Pattern::new(&written).is_ok_and(|pattern| pattern.matches(name))
}

/// A pattern that cannot be read is a name.
fn matches(pattern: &str, name: &str) -> bool {
    let options = MatchOptions {
        require_literal_leading_dot: true,
        ..MatchOptions::new()
    };
    Pattern::new(&in_words_of_crate(pattern)).map_or(pattern == name, |pattern| {
        pattern.matches_with(name, options)
    })
}

/// The crate has neither backslashes nor classes, wants every bracket closed, and has a meaning of its own for `**`.
fn in_words_of_crate(pattern: &str) -> String {
    let pattern = &[
        ("digit", "0-9"),
        ("alpha", "a-zA-Z"),
        ("alnum", "0-9a-zA-Z"),
        ("lower", "a-z"),
        ("upper", "A-Z"),
    ]
    .iter()
    .fold(pattern.to_owned(), |pattern, (name, range)| {
        pattern.replace(&format!("[:{name}:]"), range)
    });
    let mut written = String::new();
    let mut rest = pattern.as_str();
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '\\' => {
                let literal = rest.chars().next().unwrap_or('\\');
                rest = rest.get(literal.len_utf8()..).unwrap_or_default();
                written += &Pattern::escape(&literal.to_string());
            }
            '*' if written.ends_with('*') => {}
            '[' => match end_of_set(rest) {
                Some(end) => {
                    written.push('[');
                    written += &rest[..end];
                    rest = &rest[end..];
                }
                None => written += "[[]",
            },
            _ => written.push(c),
        }
    }
    written
}

/// Behind the bracket that closes a set, of which the first may be a member.
fn end_of_set(set: &str) -> Option<usize> {
    let members = set.strip_prefix('!').unwrap_or(set);
    let first = members.chars().next()?.len_utf8();
    let begin = set.len() - members.len() + first;
    Some(begin + set[begin..].find(']')? + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_include() {
        for (pattern, name, expected) in [
            ("*.conf", "50-a.conf", true),
            ("*.conf", "a.conf~", false),
            ("5?-a.conf", "50-a.conf", true),
            ("a", "a", true),
            ("a", "A", false),
            ("*", ".swp", false),
            (".*", ".swp", true),
            ("[0-4]*", "50-a", false),
            ("[!0-4]*", "50-a", true),
            ("[^0-4]*", "50-a", false),
            ("[]a]b", "]b", true),
            ("[[:digit:]]*", "50-a", true),
            ("[[:digit:]]*", "a", false),
            ("[a", "[a", true),
            ("[a*", "[abc", true),
            ("a**c", "abc", true),
            ("**", "abc", true),
            ("\\*.conf", "*.conf", true),
            ("\\*.conf", "a.conf", false),
            ("a\\", "a\\", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
