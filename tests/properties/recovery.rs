//! Recovery codes: every slip is noticed, no other spelling is, and what is in the store is read as it was written.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use ivalt_core::recovery::code::{self, Answer, Code};
use ivalt_core::recovery::store::{
    CodeFile, Use, is_code_file, parse_used, user_folder, user_of_folder,
};
use ivalt_core::secret::Secret;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

fn read(text: &[u8]) -> Answer {
    code::read(&Secret::new(text.to_vec()))
}

/// 18 symbols, the last two of them right.
fn symbols() -> impl Strategy<Value = Vec<u8>> {
    vec(0_u8..32, 16).prop_map(|digits| {
        let value = digits
            .iter()
            .fold(0_u128, |value, digit| value * 32 + u128::from(*digit));
        let check = value % 1021;
        let check = [check / 32, check % 32].map(|digit| u8::try_from(digit).unwrap());
        let digits = digits.into_iter().chain(check);
        digits.map(|digit| ALPHABET[usize::from(digit)]).collect()
    })
}

fn with_beginning(symbols: &[u8]) -> Vec<u8> {
    [b"rc-", symbols].concat()
}

fn code_of(symbols: &[u8]) -> Code {
    match read(&with_beginning(symbols)) {
        Answer::Code(code) => code,
        other => panic!("{other:?}"),
    }
}

/// Noticed with the beginning, and no code without it.
fn is_noticed(symbols: &[u8]) -> bool {
    matches!(read(&with_beginning(symbols)), Answer::Mistyped(_)) && read(symbols) == Answer::Other
}

/// The same symbol as somebody may write it.
fn spellings(symbol: u8) -> Vec<u8> {
    let mut all = vec![symbol, symbol.to_ascii_lowercase()];
    match symbol {
        b'0' => all.extend(b"Oo"),
        b'1' => all.extend(b"IiLl"),
        _ => {}
    }
    all
}

proptest! {
    #[test]
    fn every_wrong_symbol_is_noticed(symbols in symbols()) {
        for place in 0..symbols.len() {
            for other in ALPHABET.iter().filter(|other| **other != symbols[place]) {
                let mut slip = symbols.clone();
                slip[place] = *other;
                prop_assert!(is_noticed(&slip), "{:?}", slip);
            }
        }
    }

    #[test]
    fn every_two_neighbours_that_have_changed_places_are_noticed(symbols in symbols()) {
        for place in 1..symbols.len() {
            let mut slip = symbols.clone();
            slip.swap(place - 1, place);
            prop_assert!(slip == symbols || is_noticed(&slip), "{:?}", slip);
        }
    }

    #[test]
    fn a_symbol_too_few_or_too_many_is_noticed(symbols in symbols(), place in 0_usize..18, more in 0_usize..32) {
        let mut few = symbols.clone();
        few.remove(place);
        prop_assert!(is_noticed(&few), "{:?}", few);
        let mut many = symbols;
        many.insert(place, ALPHABET[more]);
        prop_assert!(is_noticed(&many), "{:?}", many);
    }

    #[test]
    fn a_code_is_the_same_however_it_is_written(
        symbols in symbols(),
        choices in vec((any::<prop::sample::Index>(), "[- ]{0,2}"), 18),
        beginning in prop::sample::select(["rc-", "RC-", "rC- ", "Rc--", "rc", "RC", ""].as_slice()),
        around in "[ \t\r\n]{0,2}",
    ) {
        let mut written = format!("{around}{beginning}").into_bytes();
        for (symbol, (choice, dashes)) in symbols.iter().zip(&choices) {
            written.push(*choice.get(&spellings(*symbol)));
            written.extend(dashes.bytes());
        }
        written.extend(around.bytes());
        // R and C are symbols, too: what begins so has its beginning.
        let begins = written.trim_ascii().get(..3).is_some_and(|start| start.eq_ignore_ascii_case(b"rc-"));
        prop_assume!(!beginning.is_empty() || !begins);
        prop_assert_eq!(read(&written), Answer::Code(code_of(&symbols)), "{:?}", String::from_utf8_lossy(&written));
        let shown = code::format(&code_of(&symbols));
        let shown = String::from_utf8(shown.as_bytes().to_vec()).unwrap();
        prop_assert_eq!(shown, grouped(&symbols));
    }

    /// Whatever follows.
    #[test]
    fn what_begins_as_a_code_is_never_another_answer(
        around in "[ \t\r\n]{0,2}",
        beginning in "[rR][cC]-",
        rest in prop_oneof![vec(any::<u8>(), 0..40), "[0-9A-Z-]{0,24}".prop_map(String::into_bytes)],
    ) {
        let answer = [around.as_bytes(), beginning.as_bytes(), &rest].concat();
        prop_assert_ne!(read(&answer), Answer::Other);
    }

    #[test]
    fn a_folder_is_one_users_and_one_name(user in vec(any::<u8>(), 0..90), other in vec(any::<u8>(), 0..90)) {
        let (Some(folder), another) = (user_folder(&user), user_folder(&other)) else {
            prop_assert!(user.len() > 83);
            return Ok(());
        };
        prop_assert!(folder.len() <= 255 && folder.starts_with("user-"));
        prop_assert!(!folder.contains(['/', '\0', '.']), "{}", folder);
        prop_assert_eq!(user_of_folder(&folder), Some(user.clone()));
        prop_assert_eq!(another == Some(folder), user == other);
    }

    #[test]
    fn no_other_name_is_a_folder(name in ".{0,20}") {
        if let Some(user) = user_of_folder(&name) {
            prop_assert_eq!(user_folder(&user), Some(name.clone()));
        }
        prop_assert!(!is_code_file(&name));
    }

    #[test]
    fn code_files_are_read_as_they_were_written(number in any::<u32>(), made in any::<u64>(), expires in option::of(any::<u64>())) {
        let file = CodeFile { number, made, expires };
        prop_assert_eq!(CodeFile::parse(file.text().as_bytes()), Some(file));
    }

    #[test]
    fn no_garbage_is_a_code_file(content in vec(any::<u8>(), 0..60)) {
        if let Some(file) = CodeFile::parse(&content) {
            prop_assert_eq!(file.text().into_bytes(), content);
        }
    }

    #[test]
    fn uses_are_read_as_they_were_written(
        uses in vec((any::<u32>(), any::<u64>(), vec(any::<u8>(), 0..300), vec(any::<u8>(), 0..40)), 0..4),
        torn in 0_usize..60,
    ) {
        let uses: Vec<_> = uses.iter().map(|(number, time, service, rhost)| Use::new(*number, *time, service, rhost)).collect();
        let text: String = uses.iter().map(Use::line).collect();
        prop_assert_eq!(parse_used(text.as_bytes()), uses.clone());
        // Of a line that was cut off nothing comes that was not written.
        let torn = text.len().saturating_sub(torn.max(1));
        let read = parse_used(&text.as_bytes()[..torn]);
        prop_assert!(read.len() <= uses.len());
    }
}

/// As it is printed.
fn grouped(symbols: &[u8]) -> String {
    let groups: Vec<_> = symbols
        .chunks(4)
        .map(|group| String::from_utf8(group.to_vec()).unwrap())
        .collect();
    format!("rc-{}", groups.join("-"))
}
