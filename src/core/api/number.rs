//! The mobile in iVALT's words, in whatever form.

use std::collections::VecDeque;
use std::ops::Range;

/// The last four digits may be seen; seven are a number in most places (ITU-T E.164 has none shorter).
const LEAST: usize = 7;

/// Where in the text there is a number that ends like this mobile: what stands between its digits does not matter, nor
/// does the script of the digits. In order, and none within another. Memory is for the numbers, not for the digits.
pub fn numbers(text: &str, mobile: &str) -> Vec<Range<usize>> {
    let mobile: Vec<char> = mobile.chars().filter(char::is_ascii_digit).collect();
    let (mut last, mut places) = (VecDeque::new(), Vec::new());
    let digits = text.char_indices().filter(|(_, digit)| digit.is_numeric());
    for (start, digit) in digits {
        last.push_front((start, digit));
        last.truncate(mobile.len());
        let alike = last.iter().zip(mobile.iter().rev());
        let alike = alike.take_while(|((_, digit), expected)| can_be(*digit, **expected));
        // From LEAST digits on.
        if let Some(((first, _), _)) = alike.skip(LEAST - 1).last() {
            add(&mut places, *first..start + digit.len_utf8());
        }
    }
    join_to_runs(places, text)
}

/// Those of other scripts count for any: what each is worth is not known here.
fn can_be(digit: char, expected: char) -> bool {
    digit == expected || !digit.is_ascii()
}

/// Those that overlap are one.
fn add(places: &mut Vec<Range<usize>>, mut place: Range<usize>) {
    while let Some(last) = places.last().filter(|last| last.end > place.start) {
        place.start = last.start.min(place.start);
        places.pop();
    }
    places.push(place);
}

/// The same with the digits that are written in one with them, and the `+` before. Each digit is looked at once, however
/// many there are.
fn join_to_runs(places: Vec<Range<usize>>, text: &str) -> Vec<Range<usize>> {
    let mut joined: Vec<Range<usize>> = Vec::new();
    for place in places {
        let free = joined.last().map_or(0, |last| last.end);
        let behind = text.get(place.end.max(free)..).unwrap_or_default();
        let end = text.len() - behind.trim_start_matches(char::is_numeric).len();
        match joined.last_mut().filter(|last| place.start < last.end) {
            Some(last) => last.end = end,
            None => {
                let before = text.get(free..place.start).unwrap_or_default();
                let before = before.trim_end_matches(char::is_numeric);
                let before = before.strip_suffix('+').unwrap_or(before);
                joined.push(free + before.len()..end);
            }
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
