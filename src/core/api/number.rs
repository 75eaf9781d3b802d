//! The mobile in iVALT's words, in whatever form.

use std::ops::Range;

/// The last four digits may be seen; seven are a number in most places (ITU-T E.164 has none shorter).
const LEAST: usize = 7;

/// Where in the text there is a number that ends like this mobile: what stands between its digits does not matter, nor
/// does the script of the digits. In order, and none within another.
pub fn numbers(text: &str, mobile: &str) -> Vec<Range<usize>> {
    let mobile: Vec<char> = mobile.chars().filter(char::is_ascii_digit).collect();
    let digits = digits(text);
    let places = join_to_runs(ends_like(&mobile, &digits), &digits);
    let bytes = |place: Range<usize>| {
        let (first, last) = (digits.get(place.start)?, digits.get(place.end - 1)?);
        let before = text.get(..first.at.start)?;
        let start = before.strip_suffix('+').unwrap_or(before).len();
        Some(start..last.at.end)
    };
    places.into_iter().filter_map(bytes).collect()
}

struct Digit {
    /// Where it is, in bytes.
    at: Range<usize>,
    digit: char,
    /// Nothing stands between it and the one before.
    is_joined: bool,
}

impl Digit {
    /// Those of other scripts count for any: what each is worth is not known here.
    fn can_be(&self, digit: char) -> bool {
        self.digit == digit || !self.digit.is_ascii()
    }
}

fn digits(text: &str) -> Vec<Digit> {
    let (mut digits, mut end) = (Vec::new(), None);
    let numeric = text.char_indices().filter(|(_, digit)| digit.is_numeric());
    for (start, digit) in numeric {
        let at = start..start + digit.len_utf8();
        let is_joined = end.replace(at.end) == Some(start);
        digits.push(Digit {
            at,
            digit,
            is_joined,
        });
    }
    digits
}

/// Each place where at least [`LEAST`] digits are the last of the mobile's, with as many of it as are there; those that
/// overlap are one.
fn ends_like(mobile: &[char], digits: &[Digit]) -> Vec<Range<usize>> {
    let mut places: Vec<Range<usize>> = Vec::new();
    for end in LEAST..=digits.len() {
        let before = digits.iter().take(end).rev().zip(mobile.iter().rev());
        let alike = before.take_while(|(digit, expected)| digit.can_be(**expected));
        let mut place = end - alike.count()..end;
        if place.len() < LEAST {
            continue;
        }
        while let Some(last) = places.last().filter(|last| last.end > place.start) {
            place.start = last.start.min(place.start);
            places.pop();
        }
        places.push(place);
    }
    places
}

/// The same with the digits that are written in one with them. Each digit is looked at once, however many there are.
fn join_to_runs(places: Vec<Range<usize>>, digits: &[Digit]) -> Vec<Range<usize>> {
    let is_joined = |at: usize| digits.get(at).is_some_and(|digit| digit.is_joined);
    let mut joined: Vec<Range<usize>> = Vec::new();
    for mut place in places {
        let last = joined.last_mut();
        let free = last.as_ref().map_or(0, |last| last.end);
        while place.start > free && is_joined(place.start) {
            place.start -= 1;
        }
        place.end = place.end.max(free);
        while is_joined(place.end) {
            place.end += 1;
        }
        match last {
            Some(last) if place.start < free => last.end = place.end,
            _ => joined.push(place),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hide_number(text: &str, mobile: &str) -> String {
        let numbers = numbers(text, mobile);
        let (mut shown, mut end) = (String::new(), 0);
        for number in numbers {
            shown += &text[end..number.start];
            shown += "***";
            end = number.end;
        }
        shown + &text[end..]
    }

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
            ("62839747460628397474", "***"),
            ("397x4746", "***"),
            ("397 or 4746", "***"),
            ("<b>628</b>397<i>4746</i>", "<b>***</i>"),
            ("628&nbsp;397&nbsp;4746", "***"),
            ("area 628 exchange 397 line 4746", "area ***"),
        ] {
            assert_eq!(hide_number(written, "+916283974746"), expected, "{written}");
        }
    }

    /// As long as an answer may be: the time grows with its length, not with the square of it.
    #[test]
    #[cfg_attr(miri, ignore = "Miri is too slow")]
    fn a_long_row_of_numbers_is_hidden_at_once() {
        for (one, mobile) in [("7", "+7777777777"), ("62839747460", "+916283974746")] {
            let row = one.repeat((64 << 10) / one.len());
            assert_eq!(hide_number(&row, mobile), "***");
        }
    }

    #[test]
    fn other_numbers_are_shown() {
        for text in [
            "",
            "7 of 10 at 12:30",
            "4746",
            "HTTP 403 at 2026-11-26T10:15:30.123Z, request 3974745",
            "397 or 4745",
            "3974 46x",
            "\u{663}\u{669}\u{667}",
        ] {
            assert_eq!(hide_number(text, "+916283974746"), text);
        }
        assert_eq!(hide_number("4746", "4746"), "4746");
    }
}
