//! Rows, titles and encodings; the whole files of directories are in the tests of the tool.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

fn request() -> Request<'static> {
    Request {
        format: MobileFormat::E164,
        name: None,
        mobile: None,
        command: "ivaltctl users import f.csv".to_owned(),
    }
}

fn table(bytes: &[u8]) -> Table {
    parse(bytes, &request()).unwrap_or_else(|why| panic!("{why}: {bytes:?}"))
}

type Shown = (usize, String, String, bool);

fn shown(rows: Vec<Row>) -> Vec<Shown> {
    let row = |row: Row| {
        let mobile = row.mobile.as_str().to_owned();
        (row.line, row.name, mobile, row.enabled)
    };
    rows.into_iter().map(row).collect()
}

fn rows(bytes: &[u8]) -> Vec<Shown> {
    let table = table(bytes);
    assert_eq!(table.problems, [], "{}", String::from_utf8_lossy(bytes));
    shown(table.rows)
}

fn problems(text: &str) -> Vec<(usize, String)> {
    let problems = table(text.as_bytes()).problems.into_iter();
    problems
        .map(|problem| (problem.line.unwrap(), problem.what))
        .collect()
}

fn refused(bytes: &[u8]) -> String {
    parse(bytes, &request()).unwrap_err().to_string()
}

fn alice(line: usize) -> Vec<Shown> {
    vec![(line, "alice".to_owned(), "+14155550100".to_owned(), true)]
}

#[test]
fn one_row_in_every_form() {
    for (line, text) in [
        (1, "alice,+14155550100"),
        (1, "alice,+14155550100,true\n"),
        (1, "alice , +1 415-555.0100 ,\r\n"),
        (1, "\"alice\",\"+14155550100\"\n"),
        (1, "alice;+14155550100;yes\n"),
        (1, "alice\t+1 (415) 555-0100\t1\n"),
        (2, "name,mobile\nalice,+14155550100\n"),
        (
            2,
            "\u{feff}Name;Mobile;Enabled\r\nalice;+14155550100;TRUE\r\n",
        ),
        (1, "alice,+14155550100\n,\n ,,\n"),
        (1, "\u{feff}alice,+14155550100\n"),
        (3, "\n\nalice;+14155550100\n"),
        (4, "sep=;\nsep=,\nname;mobile\nalice;+14155550100\n"),
        (4, "name,mobile\r\n\r\n\r\nalice,+14155550100\r\n"),
        (3, "mobile,name\n\n+14155550100,alice\n"),
        (2, "enabled,mobile,name\nyes,+14155550100,alice\n"),
        (3, "sep=;\r\nname;mobile\r\nalice;+14155550100\r\n"),
        (3, "\"SEP=|\"\nname|mobile\nalice|+14155550100\n"),
        (3, "sep=\t\nname\tmobile\nalice\t+14155550100\n"),
        (
            3,
            "#TYPE System.Object\n\"Name\",\"Mobile\"\n\"alice\",\"+14155550100\"\n",
        ),
        (
            4,
            "name,mobile,note\nbob,,\"two\nlines\"\nalice,+14155550100,\"a \"\"b\"\"\"\n",
        ),
        (2, "\"a,b,c,d\";name;mobile\n;alice;+14155550100\n"),
        (2, "name,mobile\nalice,+14155550100,,,\n"),
        (2, "name,mobile,Enabled,note\nalice,+14155550100\n"),
    ] {
        assert_eq!(rows(text.as_bytes()).last(), alice(line).last(), "{text}");
    }
}

#[test]
fn every_bad_row_is_reported() {
    let text = "alice,+14155550100\nbob\n:,+14155550100\ncarol,0\nalice,+14155550101\ndave,+14155550100,maybe\n\
        erin,+14155550100,true,x\nalice,+14155550100,false\nfrank,tel:+14155550100\n\
        grace,+14155550100,no\ngrace,+14155550100\n";
    let expected = [
        (
            2,
            "has 1 column; expected name,mobile or name,mobile,enabled",
        ),
        (3, "an account name cannot contain : or /"),
        (
            4,
            "carol: the mobile begins with 0, which is dialled only within the country; write + and the country code in place of the 0",
        ),
        (5, "alice: is also in line 1, with another mobile; keep one"),
        (
            6,
            "dave: enabled: expected true or false, yes or no, 1 or 0, active or disabled; if the column is about something else, remove it",
        ),
        (
            7,
            "has 4 columns; expected name,mobile or name,mobile,enabled",
        ),
        (8, "alice: is also in line 1, enabled; keep one"),
        (
            9,
            "frank: the mobile begins with tel:; write the number alone, like +14155550100",
        ),
        (11, "grace: is also in line 10, disabled; keep one"),
    ];
    assert_eq!(
        problems(text),
        expected.map(|(line, what)| (line, what.to_owned()))
    );
    assert_eq!(
        table(b"m\xfcller,+14155550100").problems[0].what,
        "is not UTF-8; save the file again as CSV in UTF-8"
    );
    // What nobody reads may be in the encoding of a spreadsheet.
    let ignored = b"name,mobile,city\nalice,+14155550100,M\xfcnchen\n";
    assert_eq!(rows(ignored), alice(2));
}

#[test]
fn a_row_whose_columns_are_not_clear_is_refused() {
    assert_eq!(
        problems("name,mobile,boss\nalice,+14155550100,Smith, Bob\n"),
        [(
            2,
            "has 4 columns, and there are 3 titles; quotation marks belong around a value with the separator in it"
                .to_owned()
        )]
    );
    assert_eq!(
        problems("name,note,mobile\nalice,x\n"),
        [(
            2,
            "has 2 columns, and there are 3 titles; quotation marks belong around a value with the separator in it"
                .to_owned()
        )]
    );
    // Everything to the end of the file is in the open quotation mark, in a column that nobody reads.
    let open =
        "name,mobile,note\nalice,+14155550100,\"open\nbob,+14155550101,\ncarol,+14155550102,\n";
    assert_eq!(
        problems(open),
        [(
            2,
            "has an odd number of quotation marks, so that its end is not clear; a quotation mark in a value is written twice"
                .to_owned()
        )]
    );
}

#[test]
fn a_bad_first_row_is_no_title() {
    let what = "alice: the mobile begins with 0, which is dialled only within the country; write + and the country code in place of the 0";
    assert_eq!(problems("alice,0\n"), [(1, what.to_owned())]);
    // An account may be called as a title is.
    let uid = vec![(1, "uid".into(), "+14155550100".into(), true)];
    assert_eq!(rows(b"uid,+14155550100\n"), uid);
    // A number does not make a user of a title.
    for titles in ["who,where,2024", "who,where,address12345", "who,phone2,x,y"] {
        let why = refused(format!("{titles}\nalice,1,2,3\n").as_bytes());
        assert!(
            why.contains("no column is known to hold"),
            "{titles}: {why}"
        );
    }
}

#[test]
fn of_two_separators_as_frequent_the_first_separates() {
    let what = |text: &str| problems(text)[0].1.clone();
    let rounded = what("alice;1,41556E+10\n");
    assert!(
        rounded.starts_with("alice: the mobile was rounded"),
        "{rounded}"
    );
    let extension = what("alice,+14155550100;ext=1\n");
    assert!(
        extension.starts_with("alice: the mobile has an extension"),
        "{extension}"
    );
}

#[test]
fn rows_without_a_mobile_and_repeated_rows_are_passed_over() {
    let table = table(
        b"name,mobile,enabled\nalice,+14155550100,\nbob,,\ncarol,\" \",no\nalice,+1 415 555 0100,true\nbob,+14155550101,0\n",
    );
    assert_eq!(table.problems, []);
    assert_eq!(
        table.without_mobile,
        [(3, "bob".to_owned()), (4, "carol".to_owned())]
    );
    assert_eq!(table.repeated, [(5, "alice".to_owned())]);
    let bob = (6, "bob".to_owned(), "+14155550101".to_owned(), false);
    assert_eq!(shown(table.rows), [alice(2), vec![bob]].concat());
}

#[test]
fn a_file_without_users_says_so() {
    for empty in [
        "",
        "\u{feff}",
        "\r\n\r\n",
        ",,\n , \n",
        "sep=;\r\n",
        "sep=;",
    ] {
        assert_eq!(refused(empty.as_bytes()), "is empty", "{empty:?}");
    }
    assert_eq!(
        refused(b"name,mobile\n\n"),
        "has titles, and no row below them"
    );
    assert_eq!(refused(b"name,mobile\nalice,\n"), "no row has a mobile");
}

#[test]
fn who_is_disabled_is_read_from_every_column_that_says_it() {
    for (title, enabled, disabled, wrong) in [
        ("enabled", "True", "FALSE", "perhaps"),
        ("accountEnabled", "1", "0", "2"),
        ("Account Enabled", "yes", "No", "y"),
        ("Enabled", "Enabled", "disabled", "on"),
        ("Status [READ ONLY]", "Active", "Suspended", "Pending"),
        ("User Status", "ACTIVE", "DEPROVISIONED", "On leave"),
        ("Block credential", "False", "True", "unknown"),
        ("AccountDisabled", "no", "yes", "maybe"),
        ("suspended", "false", "true", "x"),
        ("archived", "active", "archived", "old"),
        ("userAccountControl", "512", "66050", "normal"),
    ] {
        let row = |value: &str| format!("name,mobile,{title}\nalice,+14155550100,{value}\n");
        let state = |value: &str| rows(row(value).as_bytes())[0].3;
        let states = (state(enabled), state(disabled), state(""));
        assert_eq!(states, (true, false, true), "{title}");
        assert_eq!(
            problems(&row(wrong)),
            [(
                2,
                format!(
                    "alice: {title}: expected true or false, yes or no, 1 or 0, active or disabled; if the column is about something else, remove it"
                )
            )]
        );
    }
    for both in [
        "name,mobile,enabled,suspended\nalice,+14155550100,true,true\n",
        "name,mobile,suspended,enabled\nalice,+14155550100,true,true\n",
    ] {
        assert!(!rows(both.as_bytes())[0].3);
    }
}

#[test]
fn titles_of_directories_are_recognised() {
    for (titles, name, mobile) in [
        ("name,mobile", 0, 1),
        ("SamAccountName,mobile", 0, 1),
        ("User Name;Mobile Phone", 0, 1),
        ("Name,SamAccountName,mobile,mail", 1, 2),
        ("DisplayName,UserPrincipalName,MobilePhone", 1, 2),
        (
            "login,firstName,lastName,email,mobilePhone,primaryPhone",
            0,
            4,
        ),
        (
            "First Name [Required],Email Address [Required],Work Phone,Mobile Phone",
            1,
            3,
        ),
        ("User principal name,Mobile Phone,Phone number", 0, 1),
        ("mobile,telephoneNumber,UID,uidNumber", 2, 0),
        ("E-Mail\tCell phone", 0, 1),
    ] {
        let separator = ['\t', ';'].into_iter().find(|c| titles.contains(*c));
        let separator = separator.unwrap_or(',').to_string();
        let mut row = vec!["x"; titles.split(separator.as_str()).count()];
        row[name] = "alice";
        row[mobile] = "+14155550100";
        let text = format!("{titles}\n{}\n", row.join(&separator));
        assert_eq!(rows(text.as_bytes()), alice(2), "{titles}");
    }
}

#[test]
fn titles_that_do_not_tell_are_named_with_the_command_that_does() {
    let command = "run: ivaltctl users import f.csv";
    for (titles, sentence) in [
        (
            "SamAccountName,UserPrincipalName,mobile",
            format!(
                "\"SamAccountName\" and \"UserPrincipalName\" may each hold the account names; the titles are \"SamAccountName\", \"UserPrincipalName\", \"mobile\"; {command} --name-column TITLE --mobile-column mobile"
            ),
        ),
        (
            "name,mobile,mobile",
            format!(
                "\"mobile\" and \"mobile\" may each hold the mobiles; the titles are \"name\", \"mobile\", \"mobile\"; {command} --name-column name --mobile-column TITLE"
            ),
        ),
        (
            "User Name,Telephone",
            format!(
                "no column is known to hold the mobiles; the titles are \"User Name\", \"Telephone\"; {command} --name-column 'User Name' --mobile-column TITLE"
            ),
        ),
        (
            "Who,Where",
            format!(
                "no column is known to hold the account names; the titles are \"Who\", \"Where\"; {command} --name-column TITLE --mobile-column TITLE"
            ),
        ),
    ] {
        let text = format!("{titles}\nalice,+14155550100,\n");
        let problem = parse(text.as_bytes(), &request()).unwrap_err();
        assert_eq!((problem.line, problem.path.as_ref()), (Some(1), None));
        assert_eq!(
            Problem {
                line: None,
                ..problem
            }
            .to_string(),
            sentence,
            "{titles}"
        );
    }
}

#[test]
fn the_titles_that_were_asked_for_are_read() {
    let asked = |name, mobile, text: &str| {
        let request = Request {
            name,
            mobile,
            ..request()
        };
        parse(text.as_bytes(), &request)
    };
    for (name, mobile, titles) in [
        (Some("Login ID"), Some("Handy"), "mobile,Login ID,Handy"),
        (Some("LOGIN id"), Some("handy"), "mobile,Login ID,Handy"),
        (Some("Name"), Some("a"), "A,Name,a"),
        (
            Some("UserPrincipalName"),
            None,
            "SamAccountName,UserPrincipalName,mobile",
        ),
        (None, Some("Phone 2"), "Mobile,Name,Phone 2"),
    ] {
        let text = format!("{titles}\nx,alice,+14155550100\n");
        let table = asked(name, mobile, &text).unwrap();
        assert_eq!(table.problems, [], "{titles}");
        assert_eq!(shown(table.rows), alice(2), "{titles}");
    }
    let fault = |name, mobile, text: &str| asked(name, mobile, text).unwrap_err().what;
    assert_eq!(
        fault(Some("Login"), None, "name,mobile\nalice,+14155550100\n"),
        "no column has the title \"Login\"; the titles are \"name\", \"mobile\""
    );
    assert_eq!(
        fault(None, Some("x"), "name,x,X,x\nalice,+14155550100\n"),
        "more than one column has the title \"x\"; the titles are \"name\", \"x\", \"X\", \"x\""
    );
    assert_eq!(
        fault(None, Some("2"), "alice,+14155550100\n"),
        "no column is known to hold the account names; the titles are \"alice\", \"+14155550100\""
    );
}

#[test]
fn what_is_read_is_said_where_the_titles_are_foreign() {
    assert_eq!(table(b"Mobile,Name\n+14155550100,alice\n").note, None);
    assert_eq!(table(b"alice,+14155550100\n").note, None);
    assert_eq!(
        table(b"Name,UID,mobile,city\nAlice,alice,+14155550100,x\n")
            .note
            .unwrap(),
        "names are read from \"UID\", mobiles from \"mobile\", no column says who is disabled"
    );
    assert_eq!(
        table(b"UID,mobile,suspended,Status\nalice,+14155550100,,\n")
            .note
            .unwrap(),
        "names are read from \"UID\", mobiles from \"mobile\", who is disabled from \"suspended\" and \"Status\""
    );
}

fn utf_16(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(unit).collect()
}

#[test]
fn encodings_are_told_by_their_mark() {
    let text = "name;mobile\r\nm\u{fc}ller;+1\u{a0}4155550100\r\n\u{1f600};+14155550101\r\n";
    let expected = vec![
        (2, "m\u{fc}ller".to_owned(), "+14155550100".to_owned(), true),
        (3, "\u{1f600}".to_owned(), "+14155550101".to_owned(), true),
    ];
    let marked = format!("\u{feff}{text}");
    for bytes in [
        text.as_bytes().to_vec(),
        marked.as_bytes().to_vec(),
        utf_16(&marked, u16::to_le_bytes),
        utf_16(&marked, u16::to_be_bytes),
    ] {
        assert_eq!(rows(&bytes), expected);
    }
    const NUL: &str = "contains NUL bytes, as UTF-16 without a byte-order mark does; save it again as CSV in UTF-8 (Export-Csv -Encoding UTF8)";
    for unit in [u16::to_le_bytes, u16::to_be_bytes] {
        assert_eq!(refused(&utf_16(text, unit)), NUL);
        let whole = utf_16(&marked, unit);
        let broken = "has a byte-order mark of UTF-16, but is not UTF-16 throughout; save or copy it again; it may be cut off";
        assert_eq!(refused(&whole[..whole.len() - 1]), broken);
        let half = [whole.as_slice(), &unit(0xd83d)].concat();
        assert_eq!(refused(&half), broken);
    }
    let utf_32 = marked.chars().flat_map(|c| u32::from(c).to_le_bytes());
    assert_eq!(refused(&utf_32.collect::<Vec<u8>>()), NUL);
    for workbook in [b"PK\x03\x04\x14\0", b"\xd0\xcf\x11\xe0\xa1\xb1"] {
        let sentence = "is a workbook, not a CSV file; save it as CSV in UTF-8";
        assert_eq!(refused(workbook), sentence);
    }
}

#[test]
fn a_row_that_is_cut_off_makes_the_whole_unusable() {
    const WHOLE: &str = "name,mobile,Enabled\nalice,+14155550100,true\nbob,+14155550101,false";
    let raw = |text: &str| raw_rows(text.as_bytes(), &request()).map(|(rows, _)| rows.len());
    let last = WHOLE.find("bob").unwrap();
    for end in last + 1..=WHOLE.rfind(',').unwrap() {
        let why = raw(&WHOLE[..end]).unwrap_err();
        assert_eq!((why.line, why.what.as_str()), (Some(3), CUT_OFF));
    }
    for whole in [WHOLE, &WHOLE[..last], &WHOLE[..last - 1]] {
        assert!(raw(whole).is_ok(), "{whole}");
    }
    assert_eq!(raw("name,mobile,Enabled\nalice,+14155550100\n").unwrap(), 1);
}

/// A value as a program writes it that knows RFC 4180.
fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('"', "\"\""))
}

proptest! {
    #[test]
    fn no_bytes_confuse_the_reader(bytes in vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes, &request());
        let _ = raw_rows(&bytes, &request());
    }

    /// Where a cut cannot be seen, it hides rows, and says nothing else of those that are left: `users sync` believes it.
    #[test]
    fn a_cut_makes_nobody_enabled(
        states in vec(any::<bool>(), 1..6),
        titled in any::<bool>(),
        cut in 0..=100_usize,
    ) {
        let mut text = if titled { "name,mobile,Enabled\n".to_owned() } else { String::new() };
        for (number, state) in states.iter().enumerate() {
            text += &format!("p{number},+1415555{number:04},{state}\n");
        }
        // How many columns there are, the first line alone tells.
        let first = text.find('\n').unwrap_or_default() + 1;
        let end = (text.len() * cut / 100).max(first);
        if let Ok((rows, _)) = raw_rows(&text.as_bytes()[..end], &request()) {
            let read = rows.into_iter().filter_map(|row| row.fields.ok());
            for ((_, _, enabled), state) in read.zip(states) {
                prop_assert!(enabled.is_err() || enabled == Ok(state), "{}", &text[..end]);
            }
        }
    }

    /// Whatever is in the columns that nobody reads.
    #[test]
    fn every_row_is_read_or_named(
        notes in vec("[a-z,;\"\t\r\n\u{a0}]{0,12}", 1..8),
        separator in select(vec![',', ';', '\t']),
        end in select(vec!["\n", "\r\n"]),
        marked in any::<bool>(),
    ) {
        let mut text = ["note", "login", "mobilePhone"].map(quoted).join(&separator.to_string());
        for (number, note) in notes.iter().enumerate() {
            let row = [note.as_str(), &format!("p{number}"), &format!("+1 (415) 555-{number:04}")];
            text += &[end, &row.map(quoted).join(&separator.to_string())].concat();
        }
        let bytes = if marked { utf_16(&format!("\u{feff}{text}"), u16::to_le_bytes) } else { text.into_bytes() };
        let table = table(&bytes);
        prop_assert_eq!(&table.problems, &[]);
        let read: Vec<(String, String)> =
            table.rows.into_iter().map(|row| (row.name, row.mobile.as_str().to_owned())).collect();
        let written: Vec<(String, String)> =
            (0..notes.len()).map(|number| (format!("p{number}"), format!("+1415555{number:04}"))).collect();
        prop_assert_eq!(read, written);
    }

    /// What the file says of one user is what the module reads from users.toml.
    #[test]
    fn the_module_reads_what_was_imported(
        name in "[a-zA-Z0-9._@\\\\-]{1,12}",
        number in "\\+[1-9]([ ()/.\u{2011}\u{a0}-]?[0-9]){6,14}",
        enabled in any::<bool>(),
    ) {
        let text = format!("login,mobile,Enabled\n{},{},{enabled}\n", quoted(&name), quoted(&number));
        let table = table(text.as_bytes());
        prop_assume!(table.problems.is_empty());
        let row = &table.rows[0];
        let new = [super::super::new_entry(row)];
        let toml = super::super::edit::add("[users]\n", &new).unwrap();
        let path = Path::new("users.toml");
        let entry = ivalt_core::users::look_up_in(path, toml.as_bytes(), name.as_bytes(), MobileFormat::E164).unwrap();
        prop_assert_eq!(entry, super::super::expected_entry(row).1);
        prop_assert_eq!(row.enabled, enabled);
        let digits: String = number.chars().filter(char::is_ascii_digit).collect();
        prop_assert_eq!(row.mobile.as_str(), format!("+{digits}"));
    }
}

#[test]
fn the_states_of_okta_and_google_workspace() {
    for (word, enabled) in [
        ("ACTIVE", true),
        ("LOCKED_OUT", true),
        ("Locked out", true),
        ("PASSWORD_EXPIRED", true),
        ("Password reset", true),
        ("RECOVERY", true),
        ("STAGED", false),
        ("PROVISIONED", false),
        ("Pending user action", false),
        ("SUSPENDED", false),
        ("DEPROVISIONED", false),
        ("Deactivated", false),
        ("Archived", false),
    ] {
        let text = format!("login,mobilePhone,status\nalice,+14155550100,{word}\n");
        assert_eq!(table(text.as_bytes()).rows[0].enabled, enabled, "{word}");
    }
    for word in ["-", "_", "?", "[x]", "Employed", "1.0"] {
        let text = format!("login,mobilePhone,status\nalice,+14155550100,{word}\n");
        assert_eq!(table(text.as_bytes()).problems.len(), 1, "{word}");
    }
}

/// `Name` is `Alice Smith` there.
#[test]
fn a_list_of_active_directory_users_and_computers_has_the_account_in_another_column() {
    let text = "Name\tUser Logon Name\tMobile Number\nAlice Smith\talice\t+14155550100\n";
    assert_eq!(table(text.as_bytes()).rows[0].name, "alice");
}
