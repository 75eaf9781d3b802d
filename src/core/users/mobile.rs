//! Mobile numbers.

use std::fmt;

use crate::problem::Problem;
use crate::settings::MobileFormat;

/// Of a mobile as it is written, in bytes.
const LONGEST: usize = 64;

/// A mobile number: personal data, so `Debug` shows what the log may show.
#[derive(Clone, PartialEq, Eq)]
pub struct Mobile(String);

impl Mobile {
    /// Accepts `written` when it is E.164 once spaces, dashes and dots are taken out: `+`, then 7 to 15 digits
    /// of which the first is not 0 (ITU-T E.164 section 6). `MobileFormat::National` does without `+` and country code.
    /// Nobody writes more than `LONGEST` bytes.
    #[must_use]
    pub fn parse(written: &str, format: MobileFormat) -> Option<Self> {
        if written.len() > LONGEST {
            return None;
        }
        let plain: String = written
            .chars()
            .filter(|c| !matches!(c, ' ' | '-' | '.'))
            .collect();
        let digits = plain.strip_prefix('+');
        let (digits, first) = match format {
            MobileFormat::E164 => (digits?, '1'..='9'),
            MobileFormat::National => (digits.unwrap_or(&plain), '0'..='9'),
        };
        let valid = (7..=15).contains(&digits.len())
            && digits.starts_with(|c| first.contains(&c))
            && digits.bytes().all(|byte| byte.is_ascii_digit());
        valid.then(|| match format {
            MobileFormat::E164 => Self(plain),
            MobileFormat::National => Self(written.to_owned()),
        })
    }

    /// What goes to iVALT.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What may be logged: the last four digits.
    #[must_use]
    pub fn masked(&self) -> String {
        let digits: Vec<char> = self.0.chars().filter(char::is_ascii_digit).collect();
        format!(
            "***{}",
            digits[digits.len() - 4..].iter().collect::<String>()
        )
    }
}

impl fmt::Debug for Mobile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

/// What is wrong with it, and how it is written.
#[must_use]
pub fn not_a_mobile(format: MobileFormat) -> Problem {
    match format {
        MobileFormat::E164 => Problem::invalid("the mobile is not E.164")
            .fix("write + and 7 to 15 digits, like +14155550100"),
        MobileFormat::National => Problem::invalid("the mobile is not a number")
            .fix("write 7 to 15 digits, like 4155550100"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mobile_is_e164_without_separators() {
        let e164 = |text| Mobile::parse(text, MobileFormat::E164).map(|mobile| mobile.0);
        assert_eq!(e164("+1 415-555.0100"), Some("+14155550100".to_owned()));
        for text in [
            "",
            "+",
            "4155550100",
            "+04155550100",
            "+123456",
            "+1234567890123456",
            "+1415555010a",
            "++14155550100",
            "+1415５550100",
            "+1(415)5550100",
        ] {
            assert_eq!(e164(text), None, "{text}");
        }
        assert!(e164("+1234567").is_some() && e164("+123456789012345").is_some());
        let national = |text| Mobile::parse(text, MobileFormat::National).map(|mobile| mobile.0);
        assert_eq!(national("6283974746"), Some("6283974746".to_owned()));
        assert_eq!(national("0628 397"), Some("0628 397".to_owned()));
        assert_eq!(national("62839"), None);
    }

    #[test]
    fn debug_and_log_show_four_digits() {
        let mobile = Mobile::parse("+916283974746", MobileFormat::E164).unwrap();
        assert_eq!(
            (mobile.masked().as_str(), format!("{mobile:?}").as_str()),
            ("***4746", "***4746")
        );
    }
}
