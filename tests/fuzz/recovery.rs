//! Recovery codes: an answer is judged as another reader of the same rules judges it, and what was read from the store is
//! what is in it.

use ivalt_core::recovery::code::{self, Answer};
use ivalt_core::recovery::store::{CodeFile, Use, parse_used, user_folder, user_of_folder};
use ivalt_core::secret::Secret;

/// As an answer, as the content of every file of the store, and as the name of a folder.
pub fn run(input: &[u8]) {
    let meant = match code::read(&Secret::new(input.to_vec())) {
        Answer::Other => Meant::Otherwise,
        Answer::Mistyped(_) => Meant::Mistyped,
        Answer::Code(code) => {
            let again = code::read(&code::format(&code));
            assert_eq!(again, Answer::Code(code.clone()));
            assert_eq!(format!("{code:?}"), "Code(Secret(redacted))");
            Meant::Code
        }
    };
    assert_eq!(meant, read(input));
    if let Some(file) = CodeFile::parse(input) {
        assert_eq!(file.text().as_bytes(), input);
    }
    let used = parse_used(input);
    let text: String = used.iter().map(Use::line).collect();
    assert_eq!(parse_used(text.as_bytes()), used);
    let name = String::from_utf8_lossy(input);
    if let Some(user) = user_of_folder(&name) {
        assert_eq!(user_folder(&user).as_deref(), Some(&*name));
    }
    let folder = user_folder(input);
    let user = folder.as_deref().and_then(user_of_folder);
    assert!(folder.is_none() || user.as_deref() == Some(input));
}

/// What an answer is, by INTERFACE's words alone.
#[derive(Debug, PartialEq, Eq)]
pub enum Meant {
    /// No recovery code.
    Otherwise,
    /// Begins as one.
    Mistyped,
    /// One with the right check symbols.
    Code,
}

/// The same by numbers instead of symbols.
#[must_use]
pub fn read(answer: &[u8]) -> Meant {
    let answer = answer.trim_ascii().to_ascii_uppercase();
    let begins = answer.starts_with(b"RC-");
    let mut symbols = answer;
    symbols.retain(|byte| ![b'-', b' ', b'\t'].contains(byte));
    if begins || (symbols.len() == 20 && symbols.starts_with(b"RC")) {
        symbols.drain(..2);
    }
    let values: Option<Vec<_>> = symbols.iter().map(|byte| value(*byte)).collect();
    let is_right = values.is_some_and(|values| {
        let number = |part: &[u128]| part.iter().fold(0, |number, value| number << 5 | value);
        values.len() == 18 && number(&values[..16]) % 1021 == number(&values[16..])
    });
    match (is_right, begins) {
        (true, _) => Meant::Code,
        (false, true) => Meant::Mistyped,
        (false, false) => Meant::Otherwise,
    }
}

fn value(byte: u8) -> Option<u128> {
    let letter = |first: u8, value: u128| Some(u128::from(byte - first) + value);
    match byte {
        b'O' => Some(0),
        b'I' | b'L' => Some(1),
        b'0'..=b'9' => letter(b'0', 0),
        b'A'..=b'H' => letter(b'A', 10),
        b'J' | b'K' => letter(b'J', 18),
        b'M' | b'N' => letter(b'M', 20),
        b'P'..=b'T' => letter(b'P', 22),
        b'V'..=b'Z' => letter(b'V', 27),
        _ => None,
    }
}
