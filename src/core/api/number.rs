//! The mobile in iVALT's words, in whatever form.

use std::ops::Range;

/// The last four digits may be seen; seven are a number in most places (ITU-T E.164 has none shorter).
const LEAST: usize = 7;

/// The same text with `***` for every number that ends like this mobile: what stands between its digits does not matter
/// as long as it is neither letter nor digit, nor does the script of the digits.
pub fn hide_number(text: &str, mobile: &str) -> String {
    let mobile: Vec<char> = mobile.chars().filter(char::is_ascii_digit).collect();
    let digits = digits(text);
    let mut numbers: Vec<Range<usize>> = Vec::new();
    for end in LEAST..=digits.len() {
        if let Some(mut number) = number_before(end, &digits, &mobile) {
            while let Some(last) = numbers.pop() {
                if last.end <= number.start {
                    numbers.push(last);
                    break;
                }
                number = last.start.min(number.start)..last.end.max(number.end);
            }
            numbers.push(number);
        }
    }
    replace(
        text,
        numbers
            .iter()
            .filter_map(|number| digits.get(number.clone())),
    )
}

struct Digit {
    /// Where it is, in bytes.
    at: Range<usize>,
    digit: char,
    after: After,
}

/// What stands between a digit and the one before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    Nothing,
    Separators,
    /// Or there is none before.
    Letters,
}

impl Digit {
    /// Those of other scripts count for any: what each is worth is not known here.
    fn can_be(&self, digit: char) -> bool {
        self.digit == digit || !self.digit.is_ascii()
    }
}

fn digits(text: &str) -> Vec<Digit> {
    let (mut digits, mut after) = (Vec::new(), After::Letters);
    for (start, digit) in text.char_indices() {
        if digit.is_numeric() {
            let at = start..start + digit.len_utf8();
            digits.push(Digit { at, digit, after });
            after = After::Nothing;
        } else if digit.is_alphanumeric() {
            after = After::Letters;
        } else if after == After::Nothing {
            after = After::Separators;
        }
    }
    digits
}

/// The number that ends like `mobile` before this digit, with as much of the mobile as is there, and with the digits
/// that are written in one with it.
fn number_before(end: usize, digits: &[Digit], mobile: &[char]) -> Option<Range<usize>> {
    let is_after = |at: usize, after| digits.get(at).is_some_and(|digit| digit.after == after);
    let mut start = end;
    for expected in mobile.iter().rev() {
        let before = start.checked_sub(1).and_then(|at| digits.get(at));
        let is_broken = start < end && is_after(start, After::Letters);
        if is_broken || !before.is_some_and(|digit| digit.can_be(*expected)) {
            break;
        }
        start -= 1;
    }
    if end - start < LEAST {
        return None;
    }
    while is_after(start, After::Nothing) {
        start -= 1;
    }
    let behind = (end..)
        .take_while(|at| is_after(*at, After::Nothing))
        .count();
    Some(start..end + behind)
}

fn replace<'a>(text: &str, numbers: impl Iterator<Item = &'a [Digit]>) -> String {
    let (mut shown, mut rest) = (String::new(), 0);
    for number in numbers {
        if let Some(first) = number.first() {
            let before = text.get(rest..first.at.start).unwrap_or_default();
            shown += before.strip_suffix('+').unwrap_or(before);
            shown += "***";
        }
        rest = number.last().map_or(rest, |last| last.at.end);
    }
    shown + text.get(rest..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_hidden_however_it_is_written() {
        for (written, expected) in [
            ("+916283974746", "***"),
            ("of 6283974746.", "of ***."),
            ("+91-628397-4746, 3974746", "***, ***"),
            ("(628)397-4746, 974746", "(***, 974746"),
            ("+91 (628) 397-4746", "***"),
            ("00916283974746/1", "***/1"),
            ("0 628 397 4746", "0 ***"),
            ("628--397--4746", "***"),
            ("628/397/4746", "***"),
            ("6.2.8.3.9.7.4.7.4.6", "***"),
            ("628 - [397] {4746}", "***}"),
            ("628\u{2013}397\u{a0}4746", "***"),
            ("628\u{200b}397\u{2011}4746", "***"),
            ("91\r\n6283974746", "***"),
            ("\u{ff16}\u{ff12}\u{ff18}\u{ff0d}3974746", "***"),
            (
                "\u{666}\u{662}\u{668} \u{663}\u{669}\u{667} \u{664}\u{667}\u{664}\u{666}",
                "***",
            ),
            ("x6283974746y", "x***y"),
            ("916283974746916283974746", "***"),
            ("16283974746 26283974746", "*** ***"),
        ] {
            assert_eq!(hide_number(written, "+916283974746"), expected, "{written}");
        }
    }

    #[test]
    fn other_numbers_are_shown() {
        for text in [
            "",
            "7 of 10 at 12:30",
            "4746",
            "HTTP 403 at 2026-11-26T10:15:30.123Z, request 3974745",
            "397 or 4746",
            "3974 46x",
            "397x4746",
            "\u{663}\u{669}\u{667}",
        ] {
            assert_eq!(hide_number(text, "+916283974746"), text);
        }
        assert_eq!(hide_number("4746", "4746"), "4746");
    }
}
