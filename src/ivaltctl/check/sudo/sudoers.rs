//! sudoers(5), as far as it says who may use sudo, and when sudo calls PAM.
//!
//! The files are read as text: sudo itself lists the rules of one user at a time, and sudo-rs reads the same files. A
//! line that is not understood grants nothing here; sudo passes over it, too, and `visudo -c` names it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::tokens::{LogicalLine, Token, logical_lines};
use crate::root::Root;

/// The first that exists is read; openSUSE's packages ship the second.
const FILES: [&str; 2] = ["/etc/sudoers", "/usr/etc/sudoers"];
/// sudo's own limit of includes in includes (MAX_SUDOERS_DEPTH).
const MAX_DEPTH: usize = 128;
/// So many files are read at most: two that include each other twice would double with each level.
const MAX_FILES: usize = 1000;
/// What may stand with a colon before a command, besides digests.
const TAGS: [&str; 16] = [
    "EXEC",
    "NOEXEC",
    "FOLLOW",
    "NOFOLLOW",
    "INTERCEPT",
    "NOINTERCEPT",
    "LOG_INPUT",
    "NOLOG_INPUT",
    "LOG_OUTPUT",
    "NOLOG_OUTPUT",
    "MAIL",
    "NOMAIL",
    "PASSWD",
    "NOPASSWD",
    "SETENV",
    "NOSETENV",
];
const DIGESTS: [&str; 4] = ["sha224", "sha256", "sha384", "sha512"];
/// What may stand with `=` before a command.
const OPTIONS: [&str; 10] = [
    "ROLE",
    "TYPE",
    "APPARMOR_PROFILE",
    "PRIVS",
    "LIMITPRIVS",
    "TIMEOUT",
    "NOTBEFORE",
    "NOTAFTER",
    "CWD",
    "CHROOT",
];

/// All that the files say.
#[derive(Debug, Default)]
pub struct Sudoers {
    /// In their order; of two for the same users, host or commands the last counts.
    pub settings: Vec<Setting>,
    pub grants: Vec<Grant>,
    aliases: BTreeMap<String, Vec<Member>>,
    files: usize,
}

/// Where something is written.
#[derive(Clone, Debug)]
pub struct Location {
    pub file: PathBuf,
    /// From 1.
    pub line: usize,
}

/// One setting of a `Defaults` line.
#[derive(Debug)]
pub struct Setting {
    pub location: Location,
    /// What stands between `Defaults` and the settings: empty for everybody, else for example `:alice`.
    pub scope: String,
    pub name: String,
    /// Written with `!`.
    pub negated: bool,
    /// What stands behind `=`, unquoted; empty without it.
    pub value: String,
}

/// A line that lets users run commands.
#[derive(Debug)]
pub struct Grant {
    pub location: Location,
    /// Some of its commands are run without calling PAM.
    pub nopasswd: bool,
    users: Vec<Member>,
}

/// One word of a list of users.
#[derive(Debug)]
struct Member {
    negated: bool,
    subject: Subject,
}

#[derive(Debug)]
enum Subject {
    All,
    /// A user, or an alias of that name.
    Name(String),
    UserId(u32),
    Group(String),
    GroupId(u32),
    /// A netgroup, or a group that a plugin of sudo knows.
    Unknown,
}

/// Somebody who may be in a list of users.
pub trait Person {
    /// The name of the account.
    fn name(&self) -> &str;
    /// Its user ID.
    fn uid(&self) -> u32;
    /// Whether it is in the group of that name.
    fn in_group(&self, name: &str) -> bool;
    /// Whether it is in the group of that ID.
    fn in_group_id(&self, gid: u32) -> bool;
}

impl Sudoers {
    /// Reads the files of a system; nothing where they cannot be read.
    pub fn read(root: &Root) -> Self {
        let mut sudoers = Self::default();
        for file in FILES.map(Path::new) {
            if let Ok(text) = root.read(file) {
                sudoers.file(root, file, &text, MAX_DEPTH);
                break;
            }
        }
        sudoers
    }

    /// Whether there is nothing to go by.
    pub fn is_empty(&self) -> bool {
        self.grants.is_empty() && self.settings.is_empty()
    }

    /// Whether a line gives the person any command.
    pub fn grants_to(&self, person: &impl Person) -> bool {
        self.grants.iter().any(|grant| self.names(grant, person))
    }

    /// Whether this line does.
    pub fn names(&self, grant: &Grant, person: &impl Person) -> bool {
        let mut search = Search {
            sudoers: self,
            person,
            aliases: BTreeMap::new(),
        };
        search.last_match(&grant.users) == Some(true)
    }

    fn file(&mut self, root: &Root, file: &Path, text: &str, depth: usize) {
        self.files += 1;
        for line in logical_lines(text) {
            let location = Location {
                file: file.to_owned(),
                line: line.number,
            };
            match line.first_word() {
                "@include" | "#include" => self.include(root, &line, file, depth),
                "@includedir" | "#includedir" => self.include_folder(root, &line, file, depth),
                "Defaults" => self.settings.extend(settings(&line.tokens[1..], &location)),
                "User_Alias" => self.aliases.extend(aliases(&line.tokens[1..])),
                "Runas_Alias" | "Host_Alias" | "Cmnd_Alias" | "Cmd_Alias" => {}
                _ => self.grants.extend(grant(&line.tokens, location)),
            }
        }
    }

    fn include(&mut self, root: &Root, line: &LogicalLine, by: &Path, depth: usize) {
        if let Some(path) = included(root, line, by) {
            self.included_file(root, &path, depth);
        }
    }

    /// sudoers(5): names with a dot and those that end in a tilde are left out.
    fn include_folder(&mut self, root: &Root, line: &LogicalLine, by: &Path, depth: usize) {
        let Some(folder) = included(root, line, by) else {
            return;
        };
        for name in root.names(&folder) {
            let shown = name.to_string_lossy();
            if !shown.contains('.') && !shown.ends_with('~') {
                self.included_file(root, &folder.join(&name), depth);
            }
        }
    }

    fn included_file(&mut self, root: &Root, file: &Path, depth: usize) {
        if depth == 0 || self.files == MAX_FILES {
            return;
        }
        if let Ok(text) = root.read(file) {
            self.file(root, file, &text, depth - 1);
        }
    }
}

/// The path that an include names; `%h` is the host's name up to its first dot.
fn included(root: &Root, line: &LogicalLine, by: &Path) -> Option<PathBuf> {
    let Some(Token::Word(path)) = line.tokens.get(1) else {
        return None;
    };
    let host = || root.read(Path::new("/etc/hostname")).unwrap_or_default();
    let path = match path.contains("%h") {
        true => path.replace("%h", host().trim().split('.').next().unwrap_or_default()),
        false => path.clone(),
    };
    Some(by.parent()?.join(path))
}

/// Matches lists of users as sudo does: the last member that matches counts.
struct Search<'a, P: Person> {
    sudoers: &'a Sudoers,
    person: &'a P,
    /// Each is looked into once; one inside itself matches nobody.
    aliases: BTreeMap<&'a str, Option<bool>>,
}

impl<'a, P: Person> Search<'a, P> {
    fn last_match(&mut self, list: &'a [Member]) -> Option<bool> {
        let mut members = list.iter().rev();
        members.find_map(|member| Some(self.matches(&member.subject)? != member.negated))
    }

    /// `None` where the word says nothing of the person.
    fn matches(&mut self, subject: &'a Subject) -> Option<bool> {
        let person = self.person;
        let matches = match subject {
            Subject::All => true,
            Subject::Name(name) => match self.sudoers.aliases.get(name) {
                Some(list) => return self.alias(name, list),
                None => person.name() == name,
            },
            Subject::UserId(uid) => person.uid() == *uid,
            Subject::Group(name) => person.in_group(name),
            Subject::GroupId(gid) => person.in_group_id(*gid),
            Subject::Unknown => false,
        };
        matches.then_some(true)
    }

    fn alias(&mut self, name: &'a str, list: &'a [Member]) -> Option<bool> {
        if let Some(known) = self.aliases.get(name) {
            return *known;
        }
        self.aliases.insert(name, None);
        let matches = self.last_match(list);
        self.aliases.insert(name, matches);
        matches
    }
}

/// `Defaults[@host|:user|!command|>runas] a, !b, c = d`, from behind the word.
fn settings(tokens: &[Token], location: &Location) -> Vec<Setting> {
    let (scope, tokens) = match tokens {
        [Token::Scope(kind), rest @ ..] => {
            let end = list_end(rest);
            (format!("{kind}{}", shown(&rest[..end])), &rest[end..])
        }
        _ => (String::new(), tokens),
    };
    let settings = tokens.split(|token| *token == Token::Mark(','));
    let settings = settings.filter_map(|setting| one_setting(setting, &scope, location));
    settings.collect()
}

fn one_setting(tokens: &[Token], scope: &str, location: &Location) -> Option<Setting> {
    let marks = tokens
        .iter()
        .take_while(|token| **token == Token::Mark('!'));
    let marks = marks.count();
    let Some(Token::Word(name)) = tokens.get(marks) else {
        return None;
    };
    let mut behind = tokens[marks + 1..].iter();
    let is_assigned = behind.any(|token| *token == Token::Mark('='));
    let value = is_assigned.then(|| shown(behind.as_slice()));
    Some(Setting {
        location: location.clone(),
        scope: scope.to_owned(),
        // `+=` and `-=` change a list.
        name: name.trim_end_matches(['+', '-']).to_owned(),
        negated: marks % 2 == 1,
        value: value.unwrap_or_default(),
    })
}

/// `NAME = list : NAME = list`
fn aliases(tokens: &[Token]) -> Vec<(String, Vec<Member>)> {
    let aliases = tokens.split(|token| *token == Token::Mark(':'));
    let aliases = aliases.filter_map(|alias| match alias {
        [Token::Word(name), Token::Mark('='), list @ ..] => Some((name.clone(), members(list))),
        _ => None,
    });
    aliases.collect()
}

/// `users hosts = commands : hosts = commands`
fn grant(tokens: &[Token], location: Location) -> Option<Grant> {
    let assigned = tokens.iter().position(|token| *token == Token::Mark('='))?;
    let end = list_end(tokens);
    (end < assigned).then(|| Grant {
        location,
        nopasswd: nopasswd(&tokens[assigned + 1..]),
        users: members(&tokens[..end]),
    })
}

/// Whether a command has the tag `NOPASSWD`, which another word of a command only looks like.
fn nopasswd(mut tokens: &[Token]) -> bool {
    loop {
        match tokens {
            [Token::Word(word), Token::Mark(':'), rest @ ..] if TAGS.contains(&word.as_str()) => {
                if word == "NOPASSWD" {
                    return true;
                }
                tokens = rest;
            }
            [Token::Word(word), Token::Mark(':'), _, rest @ ..]
                if DIGESTS.contains(&word.as_str()) =>
            {
                tokens = rest;
            }
            [Token::Word(word), Token::Mark('='), _, rest @ ..]
                if OPTIONS.contains(&word.as_str()) =>
            {
                tokens = rest;
            }
            _ => match next_command(tokens) {
                Some(rest) => tokens = rest,
                None => return false,
            },
        }
    }
}

/// Behind the next comma, or behind the `=` of the next hosts.
fn next_command(tokens: &[Token]) -> Option<&[Token]> {
    let ends = |token: &Token| matches!(token, Token::Mark(',' | ':'));
    let end = tokens.iter().position(ends)?;
    let rest = &tokens[end + 1..];
    if tokens[end] == Token::Mark(',') {
        return Some(rest);
    }
    let assigned = rest.iter().position(|token| *token == Token::Mark('='))?;
    Some(&rest[assigned + 1..])
}

/// How many tokens a list at the beginning has: words with a comma between them.
fn list_end(tokens: &[Token]) -> usize {
    let mut end = 0;
    let mut is_open = true;
    for token in tokens {
        match token {
            Token::Mark(',') => is_open = true,
            Token::Mark('!') if is_open => {}
            Token::Word(_) if is_open => is_open = false,
            _ => break,
        }
        end += 1;
    }
    end
}

fn members(list: &[Token]) -> Vec<Member> {
    let members = list.split(|token| *token == Token::Mark(','));
    let members = members.filter_map(|member| match member {
        [marks @ .., Token::Word(word)] => Some(Member {
            negated: marks.len() % 2 == 1,
            subject: subject(word),
        }),
        _ => None,
    });
    members.collect()
}

fn subject(word: &str) -> Subject {
    let id = |text: &str| text.parse().ok();
    match word.as_bytes() {
        b"ALL" => Subject::All,
        [b'%', b'#', ..] => id(&word[2..]).map_or(Subject::Unknown, Subject::GroupId),
        [b'%', b':', ..] | [b'+', ..] => Subject::Unknown,
        [b'%', ..] => Subject::Group(word[1..].to_owned()),
        [b'#', ..] => id(&word[1..]).map_or(Subject::Unknown, Subject::UserId),
        _ => Subject::Name(word.to_owned()),
    }
}

/// The text of tokens, without the blanks between them.
fn shown(tokens: &[Token]) -> String {
    let mut text = String::new();
    for token in tokens {
        match token {
            Token::Word(word) => text.push_str(word),
            Token::Mark(mark) | Token::Scope(mark) => text.push(*mark),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Account(&'static str, u32, &'static [(&'static str, u32)]);

    impl Person for Account {
        fn name(&self) -> &str {
            self.0
        }

        fn uid(&self) -> u32 {
            self.1
        }

        fn in_group(&self, name: &str) -> bool {
            self.2.iter().any(|group| group.0 == name)
        }

        fn in_group_id(&self, gid: u32) -> bool {
            self.2.iter().any(|group| group.1 == gid)
        }
    }

    fn sudoers(text: &str) -> Sudoers {
        let mut sudoers = Sudoers::default();
        let root = Root::new(Path::new("/"));
        sudoers.file(&root, Path::new(FILES[0]), text, 0);
        sudoers
    }

    /// Each was compared with `cvtsudoers -f json` of sudo 1.9.13.
    #[test]
    fn whom_a_line_names() {
        let people = [
            Account("bob", 1000, &[("sudo", 27), ("b", 50)]),
            Account("al ice", 1001, &[("domain users", 51)]),
        ];
        for (text, expected) in [
            ("b\\x6fb ALL=ALL", "bob"),
            ("\"bob\" ALL = (ALL : ALL) ALL # c", "bob"),
            ("bob ALL=ALL#c", "bob"),
            ("\"al ice\" ALL=ALL", "al ice"),
            ("al\\ ice ALL=ALL", "al ice"),
            ("al\\x20ice ALL=ALL", "al ice"),
            ("#1000 ALL=ALL", "bob"),
            ("\"#1001\" ALL=ALL", "al ice"),
            ("%#27 ALL=ALL", "bob"),
            ("%#51, bob ALL=ALL", "bob,al ice"),
            ("%domain\\ users ALL=ALL", "al ice"),
            ("\"%domain users\" ALL=ALL", "al ice"),
            ("ALL ALL=ALL", "bob,al ice"),
            ("ALL, ! bob ALL=ALL", "al ice"),
            ("!bob, ALL ALL=ALL", "bob,al ice"),
            ("ALL, !!bob ALL=ALL", "bob,al ice"),
            ("bob, \\\n al\\ ice ALL=ALL", "bob,al ice"),
            ("User_Alias A = bob\nA ALL=ALL", "bob"),
            ("A ALL=ALL\nUser_Alias X = x : A = #1001, !bob", "al ice"),
            ("User_Alias A = ALL, !bob\nALL, !A ALL=ALL", "bob"),
            ("User_Alias A = A, bob\nA ALL=ALL", "bob"),
            ("User_Alias A = ALL\nbob ALL=ALL", "bob"),
            ("Cmnd_Alias A = /bin/ls\nRunas_Alias B = bob", ""),
            ("+net, %:bob ALL=ALL", ""),
            ("%#x ALL=ALL", ""),
            ("bob@example ALL=ALL", ""),
            ("\"al \\\nice\" ALL=ALL", "al ice"),
            ("\"x\nbob ALL=ALL", "bob"),
            ("#includes, bob ALL=ALL", ""),
            ("# bob \\\nbob ALL=ALL", "bob"),
            ("#bob ALL=ALL", ""),
            ("Defaults:bob a = b", ""),
            ("bob", ""),
            ("bob=ALL", ""),
        ] {
            let sudoers = sudoers(text);
            let named = people.iter().filter(|person| sudoers.grants_to(*person));
            let named: Vec<_> = named.map(Person::name).collect();
            assert_eq!(named.join(","), expected, "{text}");
        }
    }

    /// Each alias twice in the next: as many paths as 2 to the power of 60.
    #[test]
    fn aliases_are_looked_into_once() {
        let mut text = String::from("A0 ALL=ALL\nUser_Alias A60 = alice\n");
        for n in 0..60 {
            text += &format!("User_Alias A{n} = A{0}, A{0}\n", n + 1);
        }
        assert!(!sudoers(&text).grants_to(&Account("bob", 1000, &[])));
    }

    /// Each was compared with `cvtsudoers -f json` of sudo 1.9.13.
    #[test]
    fn commands_without_a_password() {
        for (commands, expected) in [
            ("NOPASSWD: ALL", true),
            ("NOPASSWD:ALL", true),
            ("(ALL) NOPASSWD : ALL", true),
            ("(root, bob : adm) NOPASSWD: ALL", true),
            ("/bin/ls, NOPASSWD: /bin/id", true),
            ("\\\n  NOPASSWD: ALL", true),
            ("/bin/ls : host = NOPASSWD: /bin/id", true),
            ("TIMEOUT=5 NOEXEC:NOPASSWD: ALL", true),
            ("CWD=/root NOPASSWD: ALL", true),
            ("sha256:abc /bin/ls, NOPASSWD: ALL", true),
            ("(root) /bin/ls, (x : y) NOPASSWD: ALL", true),
            ("(ALL,\\\n ALL) NOPASSWD: ALL", true),
            ("(ALL\n al ALL = NOPASSWD: ALL", false),
            ("ALL #include x, NOPASSWD: ALL", false),
            ("NOEXEC: ALL", false),
            ("PASSWD: ALL", false),
            ("(NOPASSWD : x) ALL", false),
            ("/bin/echo NOPASSWD\\: x", false),
            ("/bin/ls # NOPASSWD: ALL", false),
            ("ALL", false),
        ] {
            let sudoers = sudoers(&format!("bob ALL = {commands}\n"));
            assert_eq!(sudoers.grants[0].nopasswd, expected, "{commands}");
        }
    }

    /// As visudo counts them.
    #[test]
    fn where_a_line_begins() {
        let text = "# a \\\nUser_Alias \\\n A = bob\nA ALL = (ALL,\\\n ALL) ALL\nbob ALL =\\\r\n \"a\\\nb\"\n\nal ALL = ALL";
        let grants = sudoers(text).grants;
        let lines: Vec<_> = grants.iter().map(|grant| grant.location.line).collect();
        assert_eq!(lines, [4, 6, 10]);
        assert!(sudoers("Cmnd_Alias A = /bin/ls\nHost_Alias B = c\nRunas_Alias D = e").is_empty());
    }

    fn read(files: &[(&str, &str)]) -> Sudoers {
        let dir = tempfile::TempDir::new().unwrap();
        let with =
            |root: Root, (path, text): &(&str, &str)| root.with(Path::new(path), (*text).into());
        Sudoers::read(&files.iter().fold(Root::new(dir.path()), with))
    }

    #[test]
    fn the_files_that_are_read() {
        let sudoers = read(&[
            ("/etc/hostname", " web.example.net\n"),
            (
                "/etc/sudoers",
                "@includedir sudoers.d\n@include web.%h\n#include missing\n@includedir /nowhere\na ALL=ALL\n",
            ),
            ("/usr/etc/sudoers", "b ALL=ALL\n"),
            ("/etc/web.web", "#include\t/etc/more\n"),
            ("/etc/more", "c ALL=ALL\n"),
            ("/etc/sudoers.d/10", "#includedir more\n"),
            ("/etc/sudoers.d/more/x", "d ALL=ALL\n"),
            ("/etc/sudoers.d/a.b", "e ALL=ALL\n"),
            ("/etc/sudoers.d/a~", "f ALL=ALL\n"),
        ]);
        let place = |grant: &Grant| grant.location.file.display().to_string();
        let places: Vec<_> = sudoers.grants.iter().map(place).collect();
        assert_eq!(
            places,
            ["/etc/sudoers.d/more/x", "/etc/more", "/etc/sudoers"]
        );
        let vendor = read(&[("/usr/etc/sudoers", "b ALL=ALL\n")]);
        assert_eq!(vendor.grants.len(), 1);
    }

    /// Two that include each other twice: 2 to the power of 128 files without an end.
    #[test]
    fn includes_end() {
        let text = "@include /etc/sudoers\n@include /etc/sudoers\na ALL=ALL\n";
        assert_eq!(read(&[("/etc/sudoers", text)]).files, MAX_FILES);
        let chain = "@include /etc/sudoers\na ALL=ALL\n";
        assert_eq!(read(&[("/etc/sudoers", chain)]).files, MAX_DEPTH + 1);
    }

    #[test]
    fn settings_of_defaults() {
        for (text, expected) in [
            ("Defaults a, !b", "+a= -b="),
            ("Defaults !authenticate", "-authenticate="),
            ("Defaults !!authenticate", "+authenticate="),
            ("Defaults:alice !authenticate", ":alice-authenticate="),
            ("Defaults: al, \"b b\" !a, c", ":al,b b-a= :al,b b+c="),
            ("Defaults!/bin/a,/bin/b !a", "!/bin/a,/bin/b-a="),
            ("Defaults>root a=b", ">root+a=b"),
            ("Defaults@h a", "@h+a="),
            ("Defaults\tpasswd_tries = 5", "+passwd_tries=5"),
            ("Defaults a += \"b, c\", d-=e", "+a=b, c +d=e"),
            ("Defaults p=/a:/b", "+p=/a:/b"),
            ("  Defaults a = b\r", "+a=b"),
            ("Defaultsx a", ""),
            ("alice ALL=(ALL) ALL", ""),
        ] {
            let settings = sudoers(text).settings;
            let settings = settings.iter().map(|setting| {
                let sign = if setting.negated { '-' } else { '+' };
                format!("{}{sign}{}={}", setting.scope, setting.name, setting.value)
            });
            assert_eq!(settings.collect::<Vec<_>>().join(" "), expected, "{text}");
        }
    }
}
