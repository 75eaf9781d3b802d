//! `users import`: the files of directories and spreadsheets, in the form in which these write them.

use std::fs;
use std::os::unix::fs::MetadataExt;

use serde_json::json;

use super::Store;

/// Windows PowerShell 5: `Get-ADUser -Filter * -Properties mobile | Select-Object SamAccountName, Name, Enabled, mobile |
/// Export-Csv -Encoding Unicode`. What AD does not have is written without quotation marks.
const POWERSHELL: &str = "#TYPE Selected.Microsoft.ActiveDirectory.Management.ADUser\r\n\
    \"SamAccountName\",\"Name\",\"Enabled\",\"mobile\"\r\n\
    \"root\",\"Root, the first\",\"True\",\"+1 (415) 555-0100\"\r\n\
    \"krbtgt\",\"krbtgt\",\"False\",\r\n\
    \"bin\",\"Bin \"\"the\"\" B\u{fc}n\",\"False\",\"+49\u{a0}171/555\u{2011}0101\"\r\n";

/// All default properties of `Get-ADUser`, and the one that was asked for.
const ACTIVE_DIRECTORY: &str = "\"DistinguishedName\",\"Enabled\",\"GivenName\",\"MobilePhone\",\"Name\",\"ObjectClass\",\"ObjectGUID\",\"SamAccountName\",\"SID\",\"Surname\",\"UserPrincipalName\"\r\n\
    \"CN=Root,CN=Users,DC=corp,DC=example\",\"True\",\"Ro\",\"+14155550100\",\"Root\",\"user\",\"5f1d6a0e-0f4b-4e0c-9d0b-6c1f0f6f2a11\",\"root\",\"S-1-5-21-1004336348-1177238915-682003330-1103\",\"Ot\",\"root@corp.example\"\r\n";

/// The titles of Okta's template for CSV files; the login is an e-mail address unless somebody changed that.
const OKTA: &str = "login,firstName,lastName,middleName,honorificPrefix,honorificSuffix,email,title,displayName,nickName,profileUrl,secondEmail,mobilePhone,primaryPhone,streetAddress,city,state,zipCode,countryCode,postalAddress,preferredLanguage,locale,timezone,userType,employeeNumber,costCenter,organization,division,department,managerId,manager\n\
    alice@corp.example,Alice,Smith,,,,alice@corp.example,,,,,,+1 415-555-0100,,,,,,US,,,,,,17,,,,,,\n";

/// `Download users` of Google's Admin console.
const GOOGLE: &str = "First Name [Required],Last Name [Required],Email Address [Required],Password [Required],Password Hash Function [UPLOAD ONLY],Org Unit Path [Required],New Primary Email [UPLOAD ONLY],Status [READ ONLY],Last Sign In [READ ONLY],Recovery Email,Home Secondary Email,Work Secondary Email,Recovery Phone [MUST BE IN THE E.164 FORMAT],Work Phone,Home Phone,Mobile Phone,Work Address,Home Address,Employee ID,Change Password at Next Sign-In,New Status [UPLOAD ONLY]\n\
    Alice,Smith,alice@corp.example,****,,/,,Active,2026/11/20 08:00:00,,,,+14155550199,,,+1 415-555-0100,,,,,\n\
    Bob,Jones,bob@corp.example,****,,/,,Suspended,Never logged in,,,,,,,+1 415-555-0101,,,,,\n";

/// `Download users` of Entra ID.
const ENTRA: &str = "\u{feff}userPrincipalName,displayName,surname,mail,givenName,objectId,userType,jobTitle,department,accountEnabled,usageLocation,streetAddress,state,country,physicalDeliveryOfficeName,city,postalCode,telephoneNumber,mobilePhone,authenticationAlternativePhoneNumber,authenticationEmail,alternateEmailAddress,ageGroup,consentProvidedForMinor,legalAgeGroupClassification\r\n\
    alice@corp.example,Alice Smith,Smith,alice@corp.example,Alice,3c1b2f0e-0000-4000-8000-1234567890ab,Member,,,True,US,,,,,,,+1 415 555 0000,+1 4155550100,,,,,,\r\n\
    bob@corp.example,Bob Jones,Jones,,Bob,3c1b2f0e-0000-4000-8000-1234567890ac,Member,,,False,US,,,,,,,,+1 4155550101,,,,,,\r\n";

fn utf_16(text: &str) -> Vec<u8> {
    let units = "\u{feff}".encode_utf16().chain(text.encode_utf16());
    units.flat_map(u16::to_le_bytes).collect()
}

#[test]
fn a_csv_file_is_imported_whole() {
    let store = Store::with(
        "[users]\nroot = '+14155550100'\nsync = { mobile = '+14155550101', enabled = false }\n",
    );
    let rows = "\u{feff}Name;Mobile;Enabled\r\nbin;+1 415 555 0102;\r\nroot;+14155550100;yes\r\n\
        sync;+14155550101;false\r\nfirst.last;+14155550103;no\r\ndaemon;;yes\r\nbin;+14155550102;1\r\n";
    let called = store.typed(&["import", "-"], rows);
    assert_eq!(
        (
            called.status,
            called.stdout.as_str(),
            called.stderr.as_str()
        ),
        (
            0,
            "2 users added; already present: root, sync; passed over without a mobile: daemon (line 6); passed over as repeated: bin (line 7)\n",
            "ivaltctl: warning: first.last: no such account on this machine\n"
        )
    );
    let expected = "[users]\nroot = '+14155550100'\nsync = { mobile = '+14155550101', enabled = false }\n\
        bin = \"+14155550102\"\n\"first.last\" = { mobile = \"+14155550103\", enabled = false }\n";
    assert_eq!(store.text(), expected);
    let inode = fs::metadata(store.users_file()).unwrap().ino();
    let again = store.typed(&["import", "-", "--json"], rows);
    assert_eq!(
        again.json(),
        json!({
            "changed": false,
            "done": "nothing",
            "added": 0,
            "skipped": ["bin", "first.last", "root", "sync"],
            "without_mobile": ["daemon"],
            "repeated": ["bin"],
            "file": store.users_file(),
            "warnings": ["first.last: no such account on this machine"],
        })
    );
    assert_eq!(fs::metadata(store.users_file()).unwrap().ino(), inode);
    let one_more = store.typed(&["import", "-", "--json"], "games,+14155550104\n");
    assert_eq!(
        (&one_more.json()["changed"], &one_more.json()["added"]),
        (&json!(true), &json!(1))
    );
}

#[test]
fn one_bad_row_and_nothing_is_imported() {
    let store = Store::with("[users]\nroot = '+14155550100'\nsync = 5\nmail = '+14155550105'\n");
    let csv = store.folder.write(
        "new.csv",
        "name,mobile,enabled\nbin,+14155550102\nroot,+14155550199\nsync,+14155550103\nbin,+14155550102\ngames,0\n\n,+14155550104\nmail,+14155550105,no\n",
        0o644,
    );
    let csv = csv.to_str().unwrap();
    let tool = store.short(&format!(
        "ivaltctl --config {} users",
        store.config().display()
    ));
    store.refused(
        &["import", csv],
        &format!(
            "new.csv:3: root: already enrolled with another mobile in users.toml:2; take the row out, or first run: {tool} remove root\n\
             ivaltctl: new.csv:4: sync: already has a bad entry: users.toml:3: sync: must be a mobile in quotes, like \"+14155550100\"; take the row out, or first run: {tool} remove sync\n\
             ivaltctl: new.csv:6: games: the mobile begins with 0, which is dialled only within the country; write + and the country code in place of the 0\n\
             ivaltctl: new.csv:8: the name is empty\n\
             ivaltctl: new.csv:9: mail: already enrolled in users.toml:4, enabled; take the row out, or first run: {tool} disable mail\n\
             ivaltctl: 5 rows are refused; nothing was changed"
        ),
    );
    let called = store.typed(&["import", "-"], "bin,+14155550102,perhaps\n");
    assert_eq!(
        called.stderr,
        "ivaltctl: standard input:1: bin: enabled: expected true or false, yes or no, 1 or 0, active or disabled; if the column is about something else, remove it\n\
         ivaltctl: 1 row is refused; nothing was changed\n"
    );
    let rows: String = (0..30).map(|_| "bin,01715550100\n").collect();
    let called = store.typed(&["import", "-"], &rows);
    assert_eq!(called.stderr.lines().count(), 21);
    assert!(
        called
            .stderr
            .ends_with("30 rows are refused (10 more than shown); nothing was changed\n"),
        "{}",
        called.stderr
    );
}

#[test]
fn what_cannot_be_read_is_said_with_the_file() {
    let store = Store::with("[users]\n");
    store.refused(
        &["import", "/no/such.csv"],
        "/no/such.csv: cannot be read: No such file or directory; inspect: namei -l /no/such.csv",
    );
    store.refused(
        &["import", "/"],
        "/: cannot be read: Is a directory; inspect: namei -l /",
    );
    let csv = store.folder.write("new.csv", "", 0o644);
    let csv = csv.to_str().unwrap();
    store.refused(&["import", csv], "new.csv: is empty; nothing was changed");
    fs::write(csv, "PK\x03\x04").unwrap();
    store.refused(
        &["import", csv],
        "new.csv: is a workbook, not a CSV file; save it as CSV in UTF-8; nothing was changed",
    );
    let called = store.typed(&["import", "-"], "name,mobile\n");
    assert_eq!(
        called.stderr,
        "ivaltctl: standard input: has titles, and no row below them; nothing was changed\n"
    );
}

#[test]
fn an_export_of_powershell_is_imported() {
    let store = Store::with("[users]\n");
    let csv = store.folder.write("ad.csv", utf_16(POWERSHELL), 0o644);
    let called = store.done(&["import", csv.to_str().unwrap()]);
    assert_eq!(
        (called.stdout.as_str(), called.stderr.as_str()),
        (
            "2 users added; passed over without a mobile: krbtgt (line 4)\n",
            "ivaltctl: note: names are read from \"SamAccountName\", mobiles from \"mobile\", who is disabled from \"Enabled\"\n"
        )
    );
    assert_eq!(
        store.text(),
        "[users]\nroot = \"+14155550100\"\nbin = { mobile = \"+491715550101\", enabled = false }\n"
    );
}

#[test]
fn titles_that_do_not_tell_are_answered_with_a_command_that_works() {
    let store = Store::with("[users]\n");
    let csv = store.folder.write("ad export.csv", ACTIVE_DIRECTORY, 0o644);
    let csv = csv.to_str().unwrap();
    let tool = store.short(&format!("ivaltctl --config {}", store.config().display()));
    store.refused(
        &["import", csv],
        &format!(
            "ad export.csv:1: \"SamAccountName\" and \"UserPrincipalName\" may each hold the account names; the titles are \"DistinguishedName\", \"Enabled\", \"GivenName\", \"MobilePhone\", \"Name\", \"ObjectClass\", \"ObjectGUID\", \"SamAccountName\", \"SID\", \"Surname\", \"UserPrincipalName\"; run: {tool} users import 'ad export.csv' --name-column TITLE --mobile-column MobilePhone; nothing was changed"
        ),
    );
    let words = [
        "import",
        csv,
        "--name-column",
        "samaccountname",
        "--mobile-column",
        "MobilePhone",
    ];
    let called = store.done(&words);
    assert_eq!(called.stdout, "1 user added\n");
    assert_eq!(store.text(), "[users]\nroot = \"+14155550100\"\n");
    let words = ["import", csv, "--name-column", "Login"];
    let called = store.call(&words);
    assert_eq!(called.status, 1);
    let begin =
        "ivaltctl: ad export.csv:1: no column has the title \"Login\"; the titles are \"Dist";
    let stderr = store.short(&called.stderr);
    assert!(stderr.starts_with(begin), "{stderr}");
}

#[test]
fn exports_of_okta_google_and_entra_are_imported() {
    const ALICE: &str = "\"alice@corp.example\" = \"+14155550100\"\n";
    const BOB: &str = "\"bob@corp.example\" = { mobile = \"+14155550101\", enabled = false }\n";
    let of = |name: &str, mobile: &str, state: &str| {
        format!(
            "ivaltctl: note: names are read from \"{name}\", mobiles from \"{mobile}\", {state}\n"
        )
    };
    for (export, note, users) in [
        (
            OKTA,
            of("login", "mobilePhone", "no column says who is disabled"),
            &[ALICE][..],
        ),
        (
            GOOGLE,
            of(
                "Email Address [Required]",
                "Mobile Phone",
                "who is disabled from \"Status [READ ONLY]\"",
            ),
            &[ALICE, BOB],
        ),
        (
            ENTRA,
            of(
                "userPrincipalName",
                "mobilePhone",
                "who is disabled from \"accountEnabled\"",
            ),
            &[ALICE, BOB],
        ),
    ] {
        let store = Store::with("[users]\n");
        let called = store.typed(&["import", "-"], export);
        assert_eq!(called.status, 0, "{called:?}");
        assert_eq!(store.text(), format!("[users]\n{}", users.concat()));
        // Nothing is cut off the names: whether they are accounts is the administrator's to know.
        let unknown = ["alice", "bob"].map(|name| {
            format!("ivaltctl: warning: {name}@corp.example: no such account on this machine\n")
        });
        let address = "ivaltctl: warning: an e-mail address is a name here only if the account is called so: getent passwd NAME\n";
        let warnings = unknown[..users.len()].concat();
        assert_eq!(called.stderr, [note.as_str(), &warnings, address].concat());
    }
}

#[test]
fn the_same_numbers_are_read_by_add() {
    let store = Store::with("[users]\n");
    store.done(&["add", "root", "+1 (415) 555\u{2011}0100"]);
    assert_eq!(store.text(), "[users]\nroot = \"+14155550100\"\n");
    store.refused(
        &["add", "bin", "+49 (0)171 5550100"],
        "bin: the mobile contains (0), which is dialled only within the country; write it without, like +491715550100 for +49 (0)171 555 0100; nothing was changed",
    );
}
