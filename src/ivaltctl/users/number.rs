//! Mobile numbers as people and their directories write them. users.toml is stricter: what is accepted here is written
//! there as the module reads it.

use ivalt_core::settings::MobileFormat;
use ivalt_core::users::Mobile;

/// How one is written.
const LIKE: &str = "like +14155550100";

/// Reads a number that somebody has typed or that comes from a spreadsheet.
///
/// # Errors
/// What is wrong with it and what to write, without the number, which is personal data.
pub fn read(written: &str, format: MobileFormat) -> Result<Mobile, String> {
    let number = Number::new(written, format);
    match number.fault() {
        Some(fault) => Err(fault),
        None => {
            let parsed =
                Mobile::parse(written, format).or_else(|| Mobile::parse(&number.plain, format));
            parsed.ok_or_else(|| number.wrong_length())
        }
    }
}

/// The digits of a number, perhaps with a + before them, where it has nothing else that counts. What stands before them, to
/// be dialled first, is left to the caller.
///
/// # Errors
/// As [`read`].
pub fn plain(written: &str) -> Result<String, String> {
    let number = Number::new(written, MobileFormat::E164);
    let fault = number.notation().or_else(|| number.characters());
    fault.map_or(Ok(number.plain), Err)
}

/// Without blanks and what cannot be seen.
pub fn without_blanks(written: &str) -> String {
    written.chars().filter(|c| !is_blank(*c)).collect()
}

/// A number in its written form, and what is left of it without what only separates its digits.
struct Number {
    written: String,
    plain: String,
    format: MobileFormat,
}

impl Number {
    fn new(written: &str, format: MobileFormat) -> Self {
        Self {
            written: written.trim().to_ascii_lowercase(),
            plain: written.trim().chars().filter(|c| !separates(*c)).collect(),
            format,
        }
    }

    /// The first fault that has a sentence of its own.
    fn fault(&self) -> Option<String> {
        self.notation()
            .or_else(|| self.characters())
            .or_else(|| self.prefix())
    }

    /// Whole notations that are no bare number.
    fn notation(&self) -> Option<String> {
        let bare = |what: &str| format!("{what}; write the number alone, {}", self.like());
        if self.plain.is_empty() {
            return Some(format!("the mobile is empty; write it {}", self.like()));
        }
        if is_rounded(&self.written) {
            let what =
                "the mobile was rounded by a spreadsheet (as in 1.41556E+10), so digits are lost";
            return Some(format!(
                "{what}; export it again from a column of the type text"
            ));
        }
        if self.written.ends_with(".0") {
            let what = "the mobile ends in .0, as programs write numbers that are no text";
            return Some(format!(
                "{what}; export it again from a column of the type text"
            ));
        }
        if self.written.starts_with("tel:") {
            return Some(bare("the mobile begins with tel:"));
        }
        has_extension(&self.written)
            .then(|| bare("the mobile has an extension, which no mobile has"))
    }

    fn characters(&self) -> Option<String> {
        if self.plain.chars().any(|c| c.is_numeric() && !c.is_ascii()) {
            return Some(format!(
                "the mobile has digits other than 0 to 9; write it {}",
                self.like()
            ));
        }
        if self.plain.matches('+').count() > 1 {
            return Some("the mobile has more than one +; write one number".to_owned());
        }
        let mut others = self.plain.char_indices().filter(|(at, c)| match c {
            '+' => *at > 0,
            _ => !c.is_ascii_digit(),
        });
        let (_, other) = others.next()?;
        let code = u32::from(other);
        let shown = if other == '+' {
            "\"+\" after its beginning".to_owned()
        } else if other.is_ascii_graphic() {
            format!("\"{other}\"")
        } else {
            format!("the character U+{code:04X}")
        };
        Some(format!(
            "the mobile contains {shown}; write it {}",
            self.like()
        ))
    }

    /// What is dialled before a number is no part of it.
    fn prefix(&self) -> Option<String> {
        let international = self.plain.starts_with('+');
        if self.format == MobileFormat::National && !international {
            return None;
        }
        let what = if without_blanks(&self.written).contains("(0)") {
            "the mobile contains (0), which is dialled only within the country; write it without, like +491715550100 for +49 (0)171 555 0100"
        } else if self.plain.starts_with("+0") {
            "the mobile has a 0 after the +, where the country code begins; write it like +14155550100"
        } else if self.plain.starts_with("00") {
            "the mobile begins with 00, which is dialled to reach another country; write + in place of 00"
        } else if self.plain.starts_with('0') {
            "the mobile begins with 0, which is dialled only within the country; write + and the country code in place of the 0"
        } else if !international {
            "the mobile has no + and so perhaps no country code; write + and the country code in front, like +14155550100"
        } else {
            return None;
        };
        Some(what.to_owned())
    }

    fn wrong_length(&self) -> String {
        let digits = self.plain.trim_start_matches('+').len();
        let country = match self.format {
            MobileFormat::E164 => ", the country code included",
            MobileFormat::National => "",
        };
        let s = if digits == 1 { "" } else { "s" };
        format!("the mobile has {digits} digit{s}; a number has 7 to 15{country}")
    }

    fn like(&self) -> &'static str {
        match self.format {
            MobileFormat::E164 => LIKE,
            MobileFormat::National => "like 4155550100",
        }
    }
}

/// Blanks of every width, and what is invisible: Windows and iOS put marks of direction around a copied number.
fn is_blank(c: char) -> bool {
    matches!(
        c,
        ' ' | '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200f}' | '\u{202a}'..='\u{202f}' | '\u{205f}'..='\u{2064}'
            | '\u{2066}'..='\u{2069}' | '\u{3000}' | '\u{feff}' | '\u{ad}'
    )
}

/// Blanks, dots, slashes, parentheses and all dashes of Unicode. Not the end of a line: there another number begins.
fn separates(c: char) -> bool {
    is_blank(c)
        || matches!(
            c,
            '.' | '/' | '(' | ')' | '-' | '\u{2010}'
                ..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}'
        )
}

/// `1.41556e+10`, and `1,41556e+10` where the comma is the decimal point.
fn is_rounded(written: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    written.split_once('e').is_some_and(|(number, exponent)| {
        digits(&number.replace(['.', ','], "")) && digits(exponent.trim_start_matches('+'))
    })
}

/// `x123`, `ext. 123`, `#123` and `;ext=123` (RFC 3966) after a digit.
fn has_extension(written: &str) -> bool {
    let marks = ["x", "#"];
    let after_digit = |at: usize| written[..at].contains(|c: char| c.is_ascii_digit());
    let found = |mark: &str| written.find(mark).is_some_and(after_digit);
    marks.into_iter().any(found) && written.ends_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn e164(written: &str) -> Result<String, String> {
        read(written, MobileFormat::E164).map(|mobile| mobile.as_str().to_owned())
    }

    fn national(written: &str) -> Result<String, String> {
        read(written, MobileFormat::National).map(|mobile| mobile.as_str().to_owned())
    }

    #[test]
    fn what_separates_digits_is_taken_out() {
        for written in [
            "+14155550100",
            "+1 (415) 555-0100",
            " +1/415/555.0100 ",
            "+1\u{a0}415\u{202f}555\u{2009}0100",
            "+1\u{2011}415\u{2013}555\u{2212}0100",
            "+1\u{3000}415\u{ff0d}555\u{2010}0100",
            "\u{202a}+1 415\u{ad}555 0100\u{202c}",
            "\u{feff}+1 415 555 0100\u{200b}",
        ] {
            assert_eq!(e164(written), Ok("+14155550100".to_owned()), "{written}");
        }
    }

    #[test]
    fn every_fault_has_its_sentence() {
        const TEXT: &str = "export it again from a column of the type text";
        let like = "write it like +14155550100";
        let alone = "write the number alone, like +14155550100";
        for (written, sentence) in [
            ("", format!("the mobile is empty; {like}")),
            (" \u{a0}()", format!("the mobile is empty; {like}")),
            (
                "+49 (0)171 5550100",
                "the mobile contains (0), which is dialled only within the country; write it without, like +491715550100 for +49 (0)171 555 0100".to_owned(),
            ),
            (
                "+49 ( 0 ) 171 5550100",
                "the mobile contains (0), which is dialled only within the country; write it without, like +491715550100 for +49 (0)171 555 0100".to_owned(),
            ),
            (
                "0049 171 5550100",
                "the mobile begins with 00, which is dialled to reach another country; write + in place of 00".to_owned(),
            ),
            (
                "(0171) 555 0100",
                "the mobile begins with 0, which is dialled only within the country; write + and the country code in place of the 0".to_owned(),
            ),
            (
                "+0171 5550100",
                format!("the mobile has a 0 after the +, where the country code begins; {like}"),
            ),
            (
                "14155550100",
                "the mobile has no + and so perhaps no country code; write + and the country code in front, like +14155550100".to_owned(),
            ),
            (
                "1.41556E+10",
                format!("the mobile was rounded by a spreadsheet (as in 1.41556E+10), so digits are lost; {TEXT}"),
            ),
            (
                "1,41556e10",
                format!("the mobile was rounded by a spreadsheet (as in 1.41556E+10), so digits are lost; {TEXT}"),
            ),
            (
                "14155550100.0",
                format!("the mobile ends in .0, as programs write numbers that are no text; {TEXT}"),
            ),
            ("tel:+14155550100", format!("the mobile begins with tel:; {alone}")),
            ("TEL:+14155550100;ext=7", format!("the mobile begins with tel:; {alone}")),
            (
                "+14155550100;ext=123",
                format!("the mobile has an extension, which no mobile has; {alone}"),
            ),
            (
                "+1 415 555 0100 x123",
                format!("the mobile has an extension, which no mobile has; {alone}"),
            ),
            (
                "+1 415 555 0100 Ext. 123",
                format!("the mobile has an extension, which no mobile has; {alone}"),
            ),
            (
                "+1 415 555 0100#123",
                format!("the mobile has an extension, which no mobile has; {alone}"),
            ),
            (
                "+1415\u{ff15}550100",
                format!("the mobile has digits other than 0 to 9; {like}"),
            ),
            (
                "+\u{661}\u{664}\u{661}5550100",
                format!("the mobile has digits other than 0 to 9; {like}"),
            ),
            (
                "+14155550100 / +14155550101",
                "the mobile has more than one +; write one number".to_owned(),
            ),
            (
                "++14155550100",
                "the mobile has more than one +; write one number".to_owned(),
            ),
            ("+1415555CALL", format!("the mobile contains \"C\"; {like}")),
            (
                "1415+5550100",
                format!("the mobile contains \"+\" after its beginning; {like}"),
            ),
            ("n/a", format!("the mobile contains \"n\"; {like}")),
            ("'+14155550100",
                format!("the mobile contains \"'\"; {like}")),
            ("+14155550100, 101", format!("the mobile contains \",\"; {like}")),
            (
                "+1415555\n0100",
                format!("the mobile contains the character U+000A; {like}"),
            ),
            (
                "\u{ff0b}14155550100",
                format!("the mobile contains the character U+FF0B; {like}"),
            ),
            (
                "+123456",
                "the mobile has 6 digits; a number has 7 to 15, the country code included".to_owned(),
            ),
            (
                "+1",
                "the mobile has 1 digit; a number has 7 to 15, the country code included".to_owned(),
            ),
            (
                "+1234567890123456",
                "the mobile has 16 digits; a number has 7 to 15, the country code included".to_owned(),
            ),
        ] {
            assert_eq!(e164(written), Err(sentence), "{written:?}");
        }
    }

    #[test]
    fn a_national_number_keeps_its_form_where_the_module_reads_it() {
        for (written, expected) in [
            ("0628 397-4746", "0628 397-4746"),
            ("(0171) 555/0100", "01715550100"),
            ("0171\u{a0}5550100", "01715550100"),
            ("(0)171 5550100", "01715550100"),
            ("0049 171 5550100", "0049 171 5550100"),
            ("+1 (415) 555-0100", "+14155550100"),
        ] {
            assert_eq!(national(written), Ok(expected.to_owned()), "{written}");
        }
        for (written, sentence) in [
            ("12345", "the mobile has 5 digits; a number has 7 to 15"),
            (
                "4155550100.0",
                "the mobile ends in .0, as programs write numbers that are no text; export it again from a column of the type text",
            ),
            (
                "4155550100 x1",
                "the mobile has an extension, which no mobile has; write the number alone, like 4155550100",
            ),
            (
                "ask her",
                "the mobile contains \"a\"; write it like 4155550100",
            ),
        ] {
            assert_eq!(national(written), Err(sentence.to_owned()), "{written}");
        }
    }

    proptest! {
        /// What is written to users.toml is read there as the same number, and in E.164 it has one form.
        #[test]
        fn the_module_reads_back_what_is_accepted(
            written in "[+0-9 ().\\-/\u{a0}\u{2011}\u{202f}eExX;,'\u{661}]{0,24}",
            format in prop_oneof![Just(MobileFormat::E164), Just(MobileFormat::National)],
        ) {
            if let Ok(mobile) = read(&written, format) {
                let again = Mobile::parse(mobile.as_str(), format).expect("as users.toml has it");
                prop_assert_eq!(again.as_str(), mobile.as_str());
                let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
                prop_assert_eq!(digits(&written), digits(mobile.as_str()));
                if format == MobileFormat::E164 {
                    prop_assert_eq!(mobile.as_str(), format!("+{}", digits(&written)));
                }
            }
        }

        /// Whoever could be enrolled by the number's form in users.toml still can.
        #[test]
        fn what_users_toml_accepts_is_accepted(written in "\\+[1-9]([ -]?[0-9]){6,14}") {
            prop_assert_eq!(
                read(&written, MobileFormat::E164).ok(),
                Mobile::parse(&written, MobileFormat::E164)
            );
        }
    }
}
