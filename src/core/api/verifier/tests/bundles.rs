//! Bundles as administrators, editors and tools may leave them.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

use super::pool::Pool;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// A certificate in PEM, with these ends of line, of this width; of width 0, without an end of line in the middle.
pub fn pem(der: &[u8], end_of_line: &str, width: usize) -> Vec<u8> {
    let text = STANDARD.encode(der);
    let width = if width == 0 { text.len().max(1) } else { width };
    let lines = text
        .as_bytes()
        .chunks(width)
        .map(|line| std::str::from_utf8(line).unwrap());
    let lines: Vec<_> = [BEGIN].into_iter().chain(lines).chain([END, ""]).collect();
    lines.join(end_of_line).into_bytes()
}

fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let length = match u16::try_from(value.len()).unwrap().to_be_bytes() {
        [0, low @ 0..0x80] => vec![low],
        [0, low] => vec![0x81, low],
        [high, low] => vec![0x82, high, low],
    };
    [&[tag], &length[..], value].concat()
}

/// The value that begins here, if it has this tag, and what comes after it.
fn value(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (length, rest) = match der.strip_prefix(&[tag])? {
        [short @ 0..=0x7f, rest @ ..] => ([0, *short], rest),
        [0x81, long, rest @ ..] => ([0, *long], rest),
        [0x82, high, low, rest @ ..] => ([*high, *low], rest),
        _ => return None,
    };
    rest.split_at_checked(usize::from(u16::from_be_bytes(length)))
}

fn sequence(der: &[u8]) -> (&[u8], &[u8]) {
    value(der, 0x30).unwrap()
}

/// The same root, without version and extensions: RFC 5280 section 4.1.2.1.
pub fn version_1(root: &[u8]) -> Vec<u8> {
    let (to_be_signed, signature) = sequence(sequence(root).0);
    let (_, fields) = value(to_be_signed, 0xa0).unwrap();
    let mut rest = value(fields, 0x02).unwrap().1;
    for _ in 0..5 {
        rest = sequence(rest).1;
    }
    let fields = &fields[..fields.len() - rest.len()];
    tlv(0x30, &[tlv(0x30, fields), signature.to_vec()].concat())
}

fn version_2(root: &[u8]) -> Vec<u8> {
    let at = root
        .windows(5)
        .position(|bytes| bytes == [0xa0, 3, 2, 1, 2]);
    let mut root = root.to_vec();
    root[at.unwrap() + 4] = 1;
    root
}

/// A length in more bytes than it needs.
fn long_length(root: &[u8]) -> Vec<u8> {
    let (content, _) = sequence(root);
    let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&[0x30, 0x83, 0, high, low], content].concat()
}

fn with_outer_tag(root: &[u8], tag: u8) -> Vec<u8> {
    [&[tag], &root[1..]].concat()
}

/// Every bundle has all roots, unless its name says otherwise.
pub fn odd(pool: &Pool) -> Vec<(&'static str, Vec<u8>)> {
    let roots: Vec<&[u8]> = pool.roots.iter().map(AsRef::as_ref).collect();
    let each = |change: &dyn Fn(&[u8]) -> Vec<u8>| -> Vec<u8> {
        roots.iter().flat_map(|root| change(root)).collect()
    };
    let plain = each(&|root| pem(root, "\n", 64));
    let text = String::from_utf8(plain.clone()).unwrap();
    let replaced = |from: &str, to: &str| text.replace(from, to).into_bytes();
    let once = |from: &str, to: &str| text.replacen(from, to, 1).into_bytes();
    let around = |before: &[u8], after: &[u8]| [before, &plain, after].concat();
    let body = |change: &dyn Fn(&str) -> String| -> Vec<u8> {
        let one = |root: &[u8]| {
            let text = change(&STANDARD.encode(root));
            format!("{BEGIN}\n{text}\n{END}\n").into_bytes()
        };
        each(&one)
    };
    let der = |change: &dyn Fn(&[u8]) -> Vec<u8>| each(&|root| pem(&change(root), "\n", 64));
    let first_der = |first: &[u8]| [pem(first, "\n", 64), plain.clone()].concat();
    let key = "-----BEGIN PRIVATE KEY-----\nBAUG\n-----END PRIVATE KEY-----\n";
    let crl = "-----BEGIN X509 CRL-----\nBAUG\n-----END X509 CRL-----\n";
    let half = plain.len() / 2;
    vec![
        ("plain", plain.clone()),
        ("CRLF", each(&|root| pem(root, "\r\n", 64))),
        ("CR", each(&|root| pem(root, "\r", 64))),
        ("CRLF and LF", once("\n", "\r\n")),
        ("width 1", each(&|root| pem(root, "\n", 1))),
        ("width 3", each(&|root| pem(root, "\n", 3))),
        ("width 76", each(&|root| pem(root, "\n", 76))),
        ("width 639", each(&|root| pem(root, "\n", 639))),
        ("width 0", each(&|root| pem(root, "\n", 0))),
        ("one line", each(&|root| pem(root, "", 0))),
        ("one line of blanks", each(&|root| pem(root, " ", 0))),
        ("blanks at the ends", replaced("\n", " \t\n")),
        ("blanks at the beginnings", replaced("\n", "\n  \t")),
        ("form feeds", replaced("\n", "\x0c\n")),
        ("vertical tabs", replaced("\n", "\x0b\n")),
        (
            "blanks in a line",
            body(&|text| format!("{} {}", &text[..20], &text[20..])),
        ),
        ("NUL at the ends", replaced("\n", "\0\n")),
        ("empty lines", replaced("\n", "\n\n")),
        (
            "lines of 700 blanks",
            replaced("\n", &format!("{}\n", " ".repeat(700))),
        ),
        (
            "700 empty lines first",
            body(&|text| "\n".repeat(700) + text),
        ),
        ("a comment first", around(b"# \xff comment\n", b"")),
        (
            "comments between",
            replaced(END, &format!("{END}\n# a comment")),
        ),
        (
            "a comment in the middle",
            body(&|text| format!("# a comment\n{text}")),
        ),
        (
            "headers",
            body(&|text| format!("Proc-Type: 4,ENCRYPTED\n\n{text}")),
        ),
        ("byte order mark", around(b"\xef\xbb\xbf", b"")),
        ("keys between", replaced(BEGIN, &format!("{key}{BEGIN}"))),
        ("CRLs between", replaced(BEGIN, &format!("{crl}{BEGIN}"))),
        ("cut in the middle", plain[..half].to_vec()),
        ("cut in END", plain[..plain.len() - 9].to_vec()),
        ("cut in BEGIN", around(b"", &BEGIN.as_bytes()[..9])),
        ("cut after BEGIN", around(b"", BEGIN.as_bytes())),
        ("no end of line", plain[..plain.len() - 1].to_vec()),
        ("one without END", once(END, "")),
        ("one without BEGIN", once(BEGIN, "")),
        (
            "one END of something else",
            once(END, "-----END X509 CRL-----"),
        ),
        ("BEGIN twice", replaced(BEGIN, &format!("{BEGIN}\n{BEGIN}"))),
        (
            "BEGIN twice in a line",
            replaced(BEGIN, &format!("{BEGIN}{BEGIN}")),
        ),
        ("END twice", replaced(END, &format!("{END}\n{END}"))),
        ("more after BEGIN", replaced(BEGIN, &format!("{BEGIN} \r"))),
        (
            "text before BEGIN",
            replaced(BEGIN, &format!("text{BEGIN}")),
        ),
        ("text after END", replaced(END, &format!("{END}text"))),
        ("text before END", replaced(END, &format!("text{END}"))),
        (
            "text in BEGIN's line",
            replaced(&format!("{BEGIN}\n"), BEGIN),
        ),
        ("END in a line of text", replaced(&format!("\n{END}"), END)),
        ("END in two lines", once(END, "-----END CERTI\nFICATE-----")),
        (
            "a line of dashes",
            body(&|text| format!("{}\n----\n{}", &text[..20], &text[20..])),
        ),
        (
            "TRUSTED, none",
            replaced("CERTIFICATE", "TRUSTED CERTIFICATE"),
        ),
        (
            "TRUSTED between",
            replaced(BEGIN, &pem_of("TRUSTED CERTIFICATE", roots[0], BEGIN)),
        ),
        ("X509, none", replaced("CERTIFICATE", "X509 CERTIFICATE")),
        ("lower case, none", replaced("CERTIFICATE", "certificate")),
        ("no base64 first", around(pem_text("!!!!").as_bytes(), b"")),
        ("no base64 last", around(b"", pem_text("!!!!").as_bytes())),
        (
            "no base64 at the end of each, none",
            body(&|text| format!("{text}!")),
        ),
        ("padding too much", body(&|text| format!("{text}="))),
        ("padding more", body(&|text| format!("{text}===="))),
        (
            "padding missing",
            body(&|text| text.trim_end_matches('=').to_owned()),
        ),
        (
            "padding in the middle, none",
            body(&|text| format!("{}===={}", &text[..40], &text[40..])),
        ),
        (
            "three characters missing",
            body(&|text| text[..text.len() - 3].to_owned()),
        ),
        (
            "of URLs",
            each(&|root| pem_text(&URL_SAFE.encode(root)).into_bytes()),
        ),
        ("nothing in the first", around(pem_text("").as_bytes(), b"")),
        ("empty, none", Vec::new()),
        ("blank, none", b"\n\n \n".to_vec()),
        ("NUL, none", vec![0; 5000]),
        ("comments, none", b"# none\n".repeat(500)),
        (
            "only no certificates, none",
            pem(&[0x30, 3, 2, 1, 1], "\n", 64).repeat(5),
        ),
        ("no certificate first", first_der(&[0x30, 3, 2, 1, 1])),
        (
            "a server's certificate first",
            first_der(&pool.one_chain_of_each_root()[0].chain[0]),
        ),
        (
            "huge comment",
            around(&b"# 0123456789 ABCDEF -----BEGIN\n".repeat(9000), b""),
        ),
        ("30 times", plain.repeat(30)),
        (
            "backwards",
            roots
                .iter()
                .rev()
                .flat_map(|root| pem(root, "\n", 64))
                .collect(),
        ),
        ("each twice", each(&|root| pem(root, "\n", 64).repeat(2))),
        ("one alone", pem(roots[0], "\n", 64)),
        (
            "the other key first",
            [pem(roots[1], "\n", 64), pem(roots[0], "\n", 64)].concat(),
        ),
        ("version 1", der(&version_1)),
        ("version 2", der(&version_2)),
        ("long length", der(&long_length)),
        ("long length of one", first_der(&long_length(roots[3]))),
        (
            "indefinite length",
            der(&|root| [&[0x30, 0x80], &root[4..], &[0, 0]].concat()),
        ),
        ("set for sequence", der(&|root| with_outer_tag(root, 0x31))),
        ("nothing but tags", first_der(&[0x30, 0x82])),
        ("more after each", der(&|root| [root, &[0]].concat())),
        (
            "the last byte missing",
            der(&|root| root[..root.len() - 1].to_vec()),
        ),
        ("cut after the names", first_der(&roots[0][..200])),
        ("two in one", first_der(&[roots[0], roots[3]].concat())),
    ]
}

fn pem_text(text: &str) -> String {
    format!("{BEGIN}\n{text}\n{END}\n")
}

fn pem_of(label: &str, der: &[u8], then: &str) -> String {
    let text = STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n{then}")
}
