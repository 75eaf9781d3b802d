//! A hundred thousand damaged users files. A login leaves out most lines of a large file; whatever it leaves out or
//! moves, the answer is that of the whole file.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use ivalt_core::settings::MobileFormat;
use ivalt_core::users::{from_memory, prefilter};

use crate::targets::users::judge;

const DOCUMENTS: u64 = 100_000;
const SEED: u64 = 0x6976_616c_7400_0000;

/// What may be looked up in all of them.
const NAMES: [&[u8]; 14] = [
    b"alice",
    b"alice",
    b"alice",
    b"bob",
    b"carol",
    b"first.last",
    b"first.last",
    b"first",
    b"alice.mobile",
    b"a b",
    b"",
    b".x",
    "j\u{f6}rg".as_bytes(),
    b"\xff",
];

/// Lines as an administrator writes them.
const ENTRIES: [&str; 16] = [
    "alice = \"+14155550101\"",
    "alice = \"+14155550101\" # since May",
    "alice = { mobile = \"+14155550105\", enabled = false }",
    "\"alice\" = { mobile = \"+1 415 555-0105\", enabled = true }",
    "bob = \"+14155550102\"",
    "bob = { mobile = \"+14155550106\" }",
    "\tcarol\t=\t\"+14155550107\"",
    "\"first.last\" = \"+14155550103\"",
    "first = { last = \"+14155550104\" }",
    "\"a b\" = \"+14155550108\"",
    "\"j\u{f6}rg\" = \"+14155550109\"",
    "dave-2 = \"+14155550110\"",
    "e_3 = true",
    "# a comment",
    "    # j\u{f6}rg left",
    "",
];

/// What must not slip through.
const PIECES: [&[u8]; 64] = [
    b"\xef\xbb\xbf",
    b"\xef\xbb\xbf",
    b"\0",
    b"\r",
    b"\r\n",
    b"\n",
    b"\t",
    b" ",
    b"\x0b",
    b"\x0c",
    b"\x1b",
    b"\x7f",
    b"\xc2\x85",
    b"\xc2\xa0",
    b"\xe2\x80\xa8",
    b"\xff",
    b"\xc3",
    b"\"",
    b"'",
    b"\"\"\"",
    b"'''",
    b"\\",
    b"#",
    b"=",
    b",",
    b".",
    b"{",
    b"}",
    b"[",
    b"]",
    b"[users]\n",
    b"[users] # again\n",
    b"[ users ]\n",
    b"[\"users\"]\n",
    b"[[users]]\n",
    b"[users.alice]\n",
    b"[users.dave]\n",
    b"[[users.alice]]\n",
    b"[other]\n",
    b"users = {\n",
    b"users = { alice = \"+14155550111\" }\n",
    b"users.alice = \"+14155550112\"\n",
    b"alice = \"+14155550113\"\n",
    b"'alice' = \"+14155550114\"\n",
    b"\"alic\\u0065\" = \"+14155550115\"\n",
    b"alice.enabled = false\n",
    b"alice.mobile = \"+14155550116\"\n",
    b"alice.note = 1\n",
    b"mobile = \"+14155550117\"\n",
    b"first.last = \"+14155550118\"\n",
    b"first = { \"last.mobile\" = \"+14155550119\" }\n",
    b"\"\" = { x = true }\n",
    b"bob = 5\n",
    b"bob = 5_\n",
    b"bob = 1979-13-27\n",
    b"bob = truely\n",
    b"bob = \"\" \"\"\n",
    b"bob = [\n",
    b"]\n",
    b"bob = \"\"\"\n",
    b"\"\"\"\n",
    b"bob = \"\\u0041\"\n",
    b"bob = \"\\x\"\n",
    b"# \x07\n",
];

#[test]
fn a_hundred_thousand_damaged_users_files() {
    let seeds = seeds();
    let half = DOCUMENTS / 2;
    thread::scope(|scope| {
        for numbers in [0..half, half..DOCUMENTS] {
            scope.spawn(|| numbers.for_each(|number| check(number, &seeds)));
        }
    });
}

fn check(number: u64, seeds: &[Vec<u8>]) {
    let mut random = Random(SEED + number);
    let (name, file) = document(&mut random, seeds);
    let judged = catch_unwind(AssertUnwindSafe(|| judge(&name, &file, MobileFormat::E164)));
    // The hook may be the module's own, which says nothing.
    if let Err(payload) = judged {
        let words = payload.downcast_ref::<String>().map_or("", String::as_str);
        panic!(
            "document {number} of seed {SEED:#x}: {words}\n{}",
            file.escape_ascii()
        );
    }
}

/// How many damaged files are read through windows: USERS_FILES.
const THROUGH_WINDOWS: u64 = 60_000;

/// What a window cannot tell takes the whole file; whatever it tells, is what the whole file says.
#[test]
fn a_window_keeps_what_the_whole_file_would() {
    let seeds = seeds();
    let files = std::env::var("USERS_FILES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(THROUGH_WINDOWS);
    let told = (0..files)
        .filter(|number| told_through_a_window(*number, &seeds))
        .count() as u64;
    // Else next to nothing would be compared.
    assert!(told > files / 8, "{told} of {files}");
}

fn told_through_a_window(number: u64, seeds: &[Vec<u8>]) -> bool {
    let mut random = Random(SEED ^ number);
    let (name, mut file) = document(&mut random, seeds);
    if random.below(2) == 0 {
        file = undamaged(&mut random);
    }
    let (size, piece) = (16 + random.below(200), 1 + random.below(300));
    // No user of that name is in any of them.
    let wanted = std::str::from_utf8(&name).unwrap_or("nobody");
    let kept = from_memory::filter(&file, wanted, size, piece);
    assert_eq!(
        kept,
        expected_through_a_window(&file, wanted, size),
        "file {number}, {wanted:?}, {size}, {piece}: {}",
        file.escape_ascii()
    );
    kept.is_some()
}

/// Plain lines of all kinds, most of them canonical.
fn undamaged(random: &mut Random) -> Vec<u8> {
    let mut file = b"[users]\n".to_vec();
    for _ in 0..random.below(12) {
        let line = match random.below(6) {
            0 => random.of(&ENTRIES).to_owned(),
            1 | 2 => format!("\"n.{}\" = \"+1\"", "n".repeat(random.below(60))),
            3 => format!("alice = \"{}\"", "5".repeat(random.below(60))),
            _ => format!("{} = \"+1\"", "n".repeat(1 + random.below(60))),
        };
        file.extend(line.bytes());
        file.extend(b"\n");
    }
    file.truncate(file.len() - random.below(2));
    if random.below(3) == 0 {
        let at = random.below(file.len() + 1);
        put(&mut file, at, random.of(&PIECES));
    }
    file
}

/// By the whole text: nothing where a line is not plain, or does not fit.
fn expected_through_a_window(file: &[u8], wanted: &str, size: usize) -> Option<String> {
    let text = std::str::from_utf8(file).ok()?;
    let lines = || text.split_inclusive('\n');
    // The end of the file is only seen where there is room behind its last line.
    let fits = |line: &str| line.len() < size || line.len() == size && line.ends_with('\n');
    // What is not plain stays with all that follows, so also this line, which is nobody's who is wanted.
    let last = "zz-nobody = true";
    let end = if text.ends_with('\n') || text.is_empty() {
        ""
    } else {
        "\n"
    };
    let probe = format!("{text}{end}[users]\n{last}");
    // A carriage return alone ends no line.
    let plain = !prefilter(&probe, wanted).unwrap().ends_with(last) && !text.ends_with('\r');
    if file.is_empty() {
        return Some("\n".to_owned());
    }
    (plain && lines().all(fits)).then(|| prefilter(text, wanted).unwrap())
}

/// Name and file.
fn document(random: &mut Random, seeds: &[Vec<u8>]) -> (Vec<u8>, Vec<u8>) {
    let (mut name, mut file) = if random.below(4) == 0 {
        let seed = &seeds[random.below(seeds.len())];
        let end = seed.iter().position(|byte| *byte == b'\n').unwrap_or(0);
        (seed[..end].to_vec(), seed[end + 1..].to_vec())
    } else {
        (random.of(&NAMES).to_vec(), written(random))
    };
    if random.below(4) == 0 {
        name = random.of(&NAMES).to_vec();
    }
    for _ in 0..1 + random.below(3) {
        damage(random, &mut file);
    }
    (name, file)
}

/// A file as an administrator leaves it.
fn written(random: &mut Random) -> Vec<u8> {
    let mut lines = vec!["# who has which mobile"; random.below(3)];
    lines.push("[users]");
    lines.extend((0..random.below(8)).map(|_| random.of(&ENTRIES)));
    if random.below(8) == 0 {
        lines.extend(["[users.erin]", "mobile = \"+14155550120\""]);
    }
    let end = random.of(&["\n", "\n", "\n", "\r\n"]);
    let mut text = lines.join(end);
    if random.below(4) > 0 {
        text.push_str(end);
    }
    text.into_bytes()
}

fn damage(random: &mut Random, file: &mut Vec<u8>) {
    let anywhere = random.below(file.len() + 1);
    match random.below(8) {
        0..3 => put(file, line_start(file, anywhere), random.of(&PIECES)),
        3 => put(file, anywhere, random.of(&PIECES)),
        4 => drop(file.drain(anywhere..(anywhere + random.below(4)).min(file.len()))),
        5 if anywhere < file.len() => file[anywhere] = random.of(&PIECES)[0],
        6 => {
            let line = line_at(file, anywhere).to_vec();
            let to = random.below(file.len() + 1);
            put(file, line_start(file, to), &line);
        }
        _ => {
            let start = line_start(file, anywhere);
            drop(file.drain(start..start + line_at(file, start).len()));
        }
    }
}

fn put(file: &mut Vec<u8>, at: usize, piece: &[u8]) {
    file.splice(at..at, piece.iter().copied());
}

fn line_start(file: &[u8], at: usize) -> usize {
    let before = file[..at].iter().rposition(|byte| *byte == b'\n');
    before.map_or(0, |end| end + 1)
}

/// With its end.
fn line_at(file: &[u8], at: usize) -> &[u8] {
    let rest = &file[line_start(file, at)..];
    let end = rest.iter().position(|byte| *byte == b'\n');
    &rest[..end.map_or(rest.len(), |end| end + 1)]
}

fn seeds() -> Vec<Vec<u8>> {
    let folder = support::checkout().join("tests/fuzz/seeds/users");
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    // The order of a folder is the machine's.
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn of<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())].clone()
    }
}
