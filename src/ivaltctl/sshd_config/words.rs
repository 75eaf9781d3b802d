//! A line of sshd_config into its words.

use super::Version;

/// The first OpenSSH that takes a line apart with `argv_split`; those before use `strdelim` throughout.
const ARGV_SPLIT: Version = (8, 7);
/// What sshd's own `WHITESPACE` holds.
const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];

fn has_argv_split(version: Option<Version>) -> bool {
    version.is_none_or(|version| version >= ARGV_SPLIT)
}

/// The text as sshd keeps it: blanks at the beginning of a line go, and so does all that follows a NUL, the end of the
/// line included. Before 8.7 a `#` begins a comment wherever it is.
pub fn loaded(text: &str, version: Option<Version>) -> String {
    let load = |line: &str| {
        let line = line.split('\0').next().unwrap_or_default();
        let line = match line.split_once('#') {
            Some((before, _)) if !has_argv_split(version) => format!("{before}\n"),
            _ => line.to_owned(),
        };
        line.trim_start_matches([' ', '\t', '\r']).to_owned()
    };
    text.split_inclusive('\n').map(load).collect()
}

/// The keyword in lower case, and its arguments. `None` for lines that are empty, comments, or refused by sshd.
pub fn line(line: &str, version: Option<Version>) -> Option<(String, Vec<String>)> {
    let mut rest = Some(line.trim_end_matches(|c| BLANKS.contains(&c) || c == '\x0c'));
    let mut keyword = strdelim(&mut rest)?;
    if keyword.is_empty() {
        keyword = strdelim(&mut rest)?;
    }
    if keyword.is_empty() || keyword.starts_with('#') {
        return None;
    }
    let rest = rest.filter(|rest| !rest.is_empty())?;
    let arguments = if has_argv_split(version) {
        argv_split(rest)?
    } else {
        let mut rest = Some(rest);
        std::iter::from_fn(|| strdelim(&mut rest))
            .take_while(|word| !word.is_empty())
            .collect()
    };
    (!arguments.is_empty()).then(|| (keyword.to_ascii_lowercase(), arguments))
}

/// The next word: up to blanks with at most one equals sign among them. Double quotes hold a word together, also from
/// its middle on. `None` at the end, and where a quote is not closed.
fn strdelim(rest: &mut Option<&str>) -> Option<String> {
    let text = rest.take()?;
    let Some(at) = text.find(|c| BLANKS.contains(&c) || c == '"' || c == '=') else {
        return Some(text.to_owned());
    };
    let (word, after) = (&text[..at], &text[at + 1..]);
    if text[at..].starts_with('"') {
        let (quoted, after) = after.split_once('"')?;
        *rest = Some(after.trim_start_matches(BLANKS));
        return Some(format!("{word}{quoted}"));
    }
    let after = after.trim_start_matches(BLANKS);
    let value = after
        .strip_prefix('=')
        .filter(|_| !text[at..].starts_with('='));
    *rest = Some(value.map_or(after, |value| value.trim_start_matches(BLANKS)));
    Some(word.to_owned())
}

/// The words of a line, in single or double quotes or with backslashes where they hold blanks; a comment ends it.
/// `None` where a quote is not closed.
fn argv_split(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut rest = text.trim_start_matches([' ', '\t']);
    while !rest.is_empty() && !rest.starts_with('#') {
        let (word, after) = argument(rest)?;
        words.push(word);
        rest = after.trim_start_matches([' ', '\t']);
    }
    Some(words)
}

/// One word, and what follows it.
fn argument(text: &str) -> Option<(String, &str)> {
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map(|(_, next)| *next);
        let is_escape =
            |next: char| matches!(next, '\'' | '"' | '\\') || quote.is_none() && next == ' ';
        match (c, quote) {
            ('\\', _) if next.is_some_and(is_escape) => {
                word.extend(next);
                chars.next();
            }
            (' ' | '\t', None) => return Some((word, &text[at..])),
            ('"' | '\'', None) => quote = Some(c),
            (_, Some(open)) if c == open => quote = None,
            _ => word.push(c),
        }
    }
    quote.is_none().then_some((word, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn reads(text: &str, version: Option<Version>, expected: Option<&str>) {
        let loaded = loaded(text, version);
        let lines = loaded.split('\n').filter_map(|text| line(text, version));
        let shown = lines.map(|(keyword, words)| format!("{keyword}|{}", words.join("|")));
        let shown: Vec<_> = shown.collect();
        assert_eq!(shown.join(" & "), expected.unwrap_or_default(), "{text:?}");
    }

    /// What the two kinds of OpenSSH read alike.
    #[test]
    fn lines_of_every_version() {
        for (text, expected) in [
            ("UsePAM yes", Some("usepam|yes")),
            (" \t\rUSEPAM\tyes \t\r\x0c", Some("usepam|yes")),
            ("UsePAM=yes", Some("usepam|yes")),
            ("UsePAM = yes", Some("usepam|yes")),
            ("=UsePAM yes", Some("usepam|yes")),
            ("\"UsePAM\" yes", Some("usepam|yes")),
            ("Use\"PAM\" yes", Some("usepam|yes")),
            ("UsePAM \"yes\"", Some("usepam|yes")),
            (
                "AuthenticationMethods \"a,b\" c",
                Some("authenticationmethods|a,b|c"),
            ),
            ("UsePAM yes # no", Some("usepam|yes")),
            ("# UsePAM no", None),
            ("UsePAM", None),
            ("UsePAM=", None),
            ("", None),
            ("\r\n", None),
            ("UsePAM\0 no\nX y", Some("usepamx|y")),
            ("UsePAM no\0x\nUsePAM yes\n", Some("usepam|noUsePAM|yes")),
            ("UsePAM yes\r\nX y\r\n", Some("usepam|yes & x|y")),
        ] {
            for version in [None, Some((9, 2)), Some((8, 7)), Some((8, 6)), Some((7, 4))] {
                reads(text, version, expected);
            }
        }
    }

    #[test]
    fn lines_that_versions_read_otherwise() {
        for (text, before, since) in [
            ("UsePAM 'yes'", Some("usepam|'yes'"), Some("usepam|yes")),
            ("X a\\ b", Some("x|a\\|b"), Some("x|a b")),
            ("X a\\\"b", None, Some("x|a\"b")),
            ("X \"a\\ b\" \\c", Some("x|a\\ b|\\c"), Some("x|a\\ b|\\c")),
            ("X a=b", Some("x|a|b"), Some("x|a=b")),
            ("X yes#no", Some("x|yes"), Some("x|yes#no")),
            ("X \"a # b\"", None, Some("x|a # b")),
            ("X \"a", None, None),
            ("X 'a", Some("x|'a"), None),
            ("X \"\" a", None, Some("x||a")),
            ("X a\"b\"c", Some("x|ab|c"), Some("x|abc")),
            ("X # a", None, None),
        ] {
            reads(text, Some((8, 6)), before);
            reads(text, Some((8, 7)), since);
            reads(text, None, since);
        }
    }
}
