//! What a recovery code looks like: `rc-`, 16 symbols of Crockford's base32 for 80 random bits, and two check symbols.
//!
//! The check symbols are the value of the 16 modulo 1021 as a number of two digits. 1021 is prime, and neither 32 nor 31
//! nor 33 is a multiple of it: so it notices every wrong symbol and every two neighbours that have changed places.

use std::io;

use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use crate::secret::Secret;

/// What every code is printed with.
pub const PREFIX: &str = "rc-";
/// Crockford's base32: no I, L, O and U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Symbols that carry the value.
const DATA: usize = 16;
/// Symbols that check it.
const CHECK: usize = 2;
const MODULUS: u32 = 1021;
/// Symbols between two dashes.
const GROUP: usize = 4;

/// A recovery code without its beginning and its check symbols: 16 symbols in capital letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code(Secret);

/// What an answer is.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// No recovery code.
    Other,
    /// Meant as one, and typed wrong; in words for the log.
    Mistyped(&'static str),
    /// A recovery code, of whomever and used or not.
    Code(Code),
}

/// 80 bits from the kernel.
///
/// # Errors
/// getrandom(2) gives none.
pub fn generate() -> io::Result<Code> {
    let mut bytes = Zeroizing::new([0; DATA * 5 / 8]);
    fill_randomly(bytes.as_mut())?;
    let value = bytes
        .iter()
        .fold(0_u128, |value, byte| value << 8 | u128::from(*byte));
    let symbols = (0..DATA).rev().map(|place| symbol(value >> (5 * place)));
    Ok(Code(Secret::new(symbols.collect())))
}

/// # Errors
/// As [`generate`].
pub(super) fn fill_randomly(bytes: &mut [u8]) -> io::Result<()> {
    let filled = SystemRandom::new().fill(bytes);
    filled.map_err(|_| io::Error::other("the kernel gives no random bytes"))
}

/// As it is printed: `rc-0123-4567-89AB-CDEF-GH`.
#[must_use]
pub fn format(code: &Code) -> Secret {
    let data = code.symbols();
    let check = remainder(data);
    let check = [symbol(u128::from(check >> 5)), symbol(u128::from(check))];
    let mut text = Vec::with_capacity(PREFIX.len() + (DATA + CHECK) * 5 / 4);
    text.extend_from_slice(PREFIX.as_bytes());
    for (place, symbol) in data.iter().chain(&check).enumerate() {
        if place > 0 && place % GROUP == 0 {
            text.push(b'-');
        }
        text.push(*symbol);
    }
    Secret::new(text)
}

impl Code {
    /// The 16 symbols.
    pub(super) fn symbols(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// Judges an answer by its form alone. Case, dashes and blanks do not matter, nor do O for 0, I and L for 1.
#[must_use]
pub fn read(answer: &Secret) -> Answer {
    let answer = answer.as_bytes().trim_ascii();
    let is_meant = answer
        .get(..PREFIX.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(PREFIX.as_bytes()));
    let mut symbols = Zeroizing::new(Vec::with_capacity(answer.len()));
    symbols.extend(answer.iter().filter(|byte| !b"- \t".contains(byte)));
    match (judge(without_prefix(&symbols, is_meant)), is_meant) {
        (Ok(code), _) => Answer::Code(code),
        (Err(_), false) => Answer::Other,
        (Err(why), true) => Answer::Mistyped(why),
    }
}

/// `rc` without its dash is a beginning where it is followed by a whole code; R and C are symbols, too.
fn without_prefix(symbols: &[u8], is_meant: bool) -> &[u8] {
    const LETTERS: usize = PREFIX.len() - 1;
    let (start, rest) = symbols.split_at(LETTERS.min(symbols.len()));
    let is_prefix = start.eq_ignore_ascii_case(&PREFIX.as_bytes()[..LETTERS]);
    if is_meant || (is_prefix && rest.len() == DATA + CHECK) {
        rest
    } else {
        symbols
    }
}

fn judge(symbols: &[u8]) -> Result<Code, &'static str> {
    if symbols.len() < DATA + CHECK {
        return Err("recovery code: too few symbols");
    }
    if symbols.len() > DATA + CHECK {
        return Err("recovery code: too many symbols");
    }
    let mut canonical = Zeroizing::new(Vec::with_capacity(symbols.len()));
    for byte in symbols {
        let symbol =
            canonical_symbol(*byte).ok_or("recovery code: a character that no code has")?;
        canonical.push(symbol);
    }
    let (data, check) = canonical.split_at(DATA);
    if remainder(data) != number(check) {
        return Err("recovery code: the check symbols do not fit");
    }
    Ok(Code(Secret::new(data.to_vec())))
}

fn canonical_symbol(byte: u8) -> Option<u8> {
    let symbol = match byte.to_ascii_uppercase() {
        b'O' => b'0',
        b'I' | b'L' => b'1',
        other => other,
    };
    ALPHABET.contains(&symbol).then_some(symbol)
}

/// Of its lowest five bits.
fn symbol(bits: u128) -> u8 {
    ALPHABET[(bits & 31) as usize]
}

/// Of canonical symbols, the first one the highest.
fn remainder(symbols: &[u8]) -> u32 {
    symbols
        .iter()
        .fold(0, |value, byte| (value * 32 + digit(*byte)) % MODULUS)
}

/// The same, whole: of check symbols, which may be more than the modulus and are wrong then.
fn number(symbols: &[u8]) -> u32 {
    symbols
        .iter()
        .fold(0, |value, byte| value * 32 + digit(*byte))
}

fn digit(symbol: u8) -> u32 {
    (0..)
        .zip(ALPHABET)
        .find_map(|(digit, other)| (*other == symbol).then_some(digit))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Answer {
        read(&Secret::new(text.as_bytes().to_vec()))
    }

    fn text(code: &Code) -> String {
        String::from_utf8(format(code).as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn the_form_of_a_code() {
        let code = Code(Secret::new(b"0123456789ABCDEF".to_vec()));
        // 0x00443214c74254b635cf mod 1021 is 988, and that is 30 * 32 + 28.
        assert_eq!(text(&code), "rc-0123-4567-89AB-CDEF-YW");
    }

    /// With tests/properties/recovery.rs, which tries it out: what a slip adds to the value, or to the check symbols, is
    /// never a multiple of the modulus.
    #[test]
    fn no_slip_leaves_the_check_symbols_right() {
        let mut weight = 1;
        for _ in 0..DATA {
            for difference in 1..32 {
                // One symbol; two neighbours among those of the value, then the last one and the first check symbol.
                for slip in [difference, 31 * difference, 33 * difference] {
                    assert_ne!(slip * weight % MODULUS, 0);
                }
            }
            weight = weight * 32 % MODULUS;
        }
    }

    #[test]
    fn a_code_is_what_was_made() {
        let (one, other) = (generate().unwrap(), generate().unwrap());
        assert_ne!(one, other);
        assert_eq!(of(&text(&one)), Answer::Code(one));
    }
}
