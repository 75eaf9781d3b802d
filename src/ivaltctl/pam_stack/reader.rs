//! pam.d(5) as libpam reads it (`libpam/pam_handlers.c`): from the file of a service to the rules of its four stacks.
//!
//! What libpam cannot read is not an error here either: it becomes what libpam makes of it, a rule that fails, or a
//! service that cannot be used at all.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::control::{self, Actions};
use super::faults::{Ambiguity, AmbiguityKind, Fault, LoadError, LoadErrorKind};
use super::lines::{LogicalLine, logical_lines, next_word, words};
use super::modules::{self, Module, ModuleKind};
use crate::root::Root;

/// The first field of a line: which of a service's stacks it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleType {
    Auth,
    Account,
    Session,
    Password,
}

impl RuleType {
    /// All, as libpam knows them.
    pub const ALL: [Self; 4] = [Self::Auth, Self::Account, Self::Session, Self::Password];

    /// The word in the file.
    pub fn word(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Account => "account",
            Self::Session => "session",
            Self::Password => "password",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        let same = |known: &Self| word.eq_ignore_ascii_case(known.word());
        Self::ALL.into_iter().find(same)
    }
}

/// Where a line begins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    pub file: PathBuf,
    /// From 1.
    pub line: usize,
}

/// A line that includes another file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Include {
    pub location: Location,
    /// Debian's `@include`, which includes lines of every type.
    pub all_types: bool,
    /// The file, as the line names it.
    pub name: String,
}

/// One rule of a stack: libpam's `struct handler`.
#[derive(Clone, Debug)]
pub struct Rule {
    pub location: Location,
    /// The lines that include the file of this one, outermost first.
    pub included_by: Vec<Include>,
    /// How many substacks are around it.
    pub level: usize,
    pub target: RuleTarget,
    /// The control field as written, brackets left out.
    pub control: String,
    pub actions: Actions,
    /// Why the control field is invalid: libpam takes every code for `bad`, success too.
    pub control_fault: Option<&'static str>,
}

impl Rule {
    /// What the module of the rule is for; nothing where there is none.
    pub fn kind(&self) -> ModuleKind {
        match &self.target {
            RuleTarget::Module(module) => module.kind(),
            RuleTarget::Substack | RuleTarget::Broken(_) => ModuleKind::NoProof,
        }
    }

    /// The method that a pam_ivalt line waits for.
    pub fn only_after(&self) -> Option<&'static str> {
        match &self.target {
            RuleTarget::Module(module) => module.only_after(),
            RuleTarget::Substack | RuleTarget::Broken(_) => None,
        }
    }
}

/// What libpam does at a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleTarget {
    /// Calls a module.
    Module(Module),
    /// Remembers where a substack begins.
    Substack,
    /// Fails with `PAM_PERM_DENIED` without calling any module.
    Broken(Fault),
}

/// The stacks of a service.
#[derive(Clone, Debug, Default)]
pub struct Service {
    own: [Vec<Rule>; 4],
    other: [Vec<Rule>; 4],
    pub ambiguities: Vec<Ambiguity>,
}

impl Service {
    /// The rules of a type; those of `other` where the service has none of its own.
    pub fn stack(&self, rule_type: RuleType) -> &[Rule] {
        match self.own(rule_type) {
            [] => &self.other[rule_type as usize],
            own => own,
        }
    }

    /// The rules of a type that are the service's own.
    pub fn own(&self, rule_type: RuleType) -> &[Rule] {
        &self.own[rule_type as usize]
    }
}

/// The service whose lines libpam takes where another has none.
pub const OTHER: &str = "other";

/// Where administrators and most packages put service files.
pub const PAM_D: &str = "/etc/pam.d";
/// Where libpam looks for service files. Vendors add the last ones to upstream's two.
pub const FOLDERS: [&str; 4] = [
    PAM_D,
    "/usr/lib/pam.d",
    "/usr/etc/pam.d",
    "/usr/share/pam.d",
];
/// Where no such folder is, one file of lines that begin with the name of their service.
pub const PAM_CONF: &str = "/etc/pam.conf";

/// libpam's `PAM_SUBSTACK_MAX_LEVEL`; before 1.6 `include` had no limit but the program's memory.
const MAX_LEVEL: usize = 16;

/// So many files are read for one service. A file that includes itself twice would be read 2^15 times.
const MAX_INCLUDES: usize = 256;

/// The rules that call pam_ivalt, by their position.
pub fn ivalt_rules(rules: &[Rule]) -> impl Iterator<Item = (usize, &Module)> {
    let rules = rules.iter().enumerate();
    rules.filter_map(|(at, rule)| match &rule.target {
        RuleTarget::Module(module) if module.kind() == ModuleKind::Ivalt => Some((at, module)),
        _ => None,
    })
}

/// Reads the stacks of a service, [`OTHER`] too.
///
/// # Errors
/// What makes every call of libpam for this service end in `PAM_ABORT`.
pub fn read(root: &Root, service: &str) -> Result<Service, LoadError> {
    let mut reader = StackReader::new(root, service);
    let is_folder = |folder: &&str| root.is_folder(Path::new(folder));
    if !FOLDERS.iter().any(is_folder) {
        reader.read_pam_conf()?;
    } else {
        if !service.eq_ignore_ascii_case(OTHER) {
            reader.read_service(service)?;
        }
        // libpam gives up on every service when this file is unusable, needed or not.
        reader.read_service(OTHER)?;
    }
    reader.check_size()?;
    Ok(reader.service)
}

/// The file that libpam opens for a name of a service or of `include`.
pub fn service_file(root: &Root, name: &str) -> Option<PathBuf> {
    let candidates = FOLDERS.iter().map(|folder| Path::new(folder).join(name));
    candidates.into_iter().find(|path| root.read(path).is_ok())
}

/// The services with a file.
pub fn service_names(root: &Root) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for folder in FOLDERS.map(Path::new) {
        for name in root.names(folder) {
            let name = name.to_string_lossy().into_owned();
            // authselect's files are absolute links, which only the root can follow.
            if is_service_name(&name) && root.read(&folder.join(&name)).is_ok() {
                names.insert(name);
            }
        }
    }
    names
}

/// Editors, package managers and administrators leave copies beside service files. libpam asks for services by
/// lower-case names.
pub fn is_service_name(name: &str) -> bool {
    let odd = |letter: char| letter.is_ascii_uppercase() || letter.is_whitespace() || letter == '#';
    !is_copy(name) && !name.starts_with('.') && !name.contains(odd)
}

/// Whether a distribution has a file of this name to be included: Debian and openSUSE, Fedora and its relatives, Arch and
/// Gentoo, Alpine. No program asks for it as a service.
pub fn is_include_file(name: &str) -> bool {
    const BEGINNINGS: [&str; 11] = [
        "common-",
        "system-auth",
        "password-auth",
        "fingerprint-auth",
        "smartcard-auth",
        "postlogin",
        "system-login",
        "system-local-login",
        "system-remote-login",
        "system-services",
        "base-",
    ];
    BEGINNINGS.iter().any(|begin| name.starts_with(begin))
}

fn is_copy(name: &str) -> bool {
    // Behind a dot, a dash or an underscore: `sudo.save`, `sudo-old`, `common-auth.pam-config-backup`.
    const WORDS: [&str; 16] = [
        "bak", "bk", "bkp", "backup", "orig", "ori", "old", "save", "sav", "rpmnew", "rpmsave",
        "rpmorig", "pacnew", "pacsave", "pacorig", "swp",
    ];
    let (stem, word) = name.rsplit_once(['.', '-', '_']).unwrap_or_default();
    // `sudo.1` and `sudo.20261126`, not `postgresql-9.6`.
    let numbered = !word.is_empty()
        && word.bytes().all(|byte| byte.is_ascii_digit())
        && name.as_bytes()[stem.len()] == b'.'
        && !stem.ends_with(|letter: char| letter.is_ascii_digit());
    WORDS.contains(&word)
        || numbered
        || name.ends_with('~')
        || [".dpkg-", ".ucf-", ".pam-"]
            .iter()
            .any(|middle| name.contains(middle))
}

struct StackReader<'a> {
    root: &'a Root,
    name: &'a str,
    debian: bool,
    service: Service,
    /// The line belongs to [`OTHER`], and another service is read.
    other: bool,
    included_by: Vec<Include>,
    level: usize,
    /// How many files have been included so far.
    includes: usize,
    /// The line of the service's own file whose includes are too many.
    too_large: Option<Location>,
}

/// A line, split into its fields.
struct Line<'a> {
    location: Location,
    /// Only lines of this type count.
    wanted: Option<RuleType>,
    type_word: String,
    control: Option<String>,
    /// The module, or the file to include.
    name: Option<String>,
    arguments: &'a str,
}

impl<'a> Line<'a> {
    fn parse(location: Location, text: &'a str, wanted: Option<RuleType>) -> Self {
        let (type_word, rest) = next_word(text);
        let (control, rest) = next_word(rest);
        let (name, arguments) = next_word(rest);
        Self {
            location,
            wanted,
            type_word: type_word.unwrap_or_default(),
            control,
            name,
            arguments,
        }
    }

    /// The type, without the `-` that keeps libpam from logging that the module is missing.
    fn bare_type(&self) -> &str {
        self.type_word.strip_prefix('-').unwrap_or(&self.type_word)
    }
}

impl<'a> StackReader<'a> {
    fn new(root: &'a Root, name: &'a str) -> Self {
        Self {
            root,
            name,
            debian: is_debian(root),
            service: Service::default(),
            other: false,
            included_by: Vec::new(),
            level: 0,
            includes: 0,
            too_large: None,
        }
    }

    fn is_other(&self, name: &str) -> bool {
        name.eq_ignore_ascii_case(OTHER) && !self.name.eq_ignore_ascii_case(OTHER)
    }

    fn read_service(&mut self, name: &str) -> Result<(), LoadError> {
        self.other = self.is_other(name);
        let Some(path) = service_file(self.root, name) else {
            return Ok(());
        };
        self.file(&path, None)
    }

    /// Without any folder there is one file, whose lines begin with the name of a service.
    fn read_pam_conf(&mut self) -> Result<(), LoadError> {
        let path = Path::new(PAM_CONF);
        for line in self.lines(path) {
            let (location, text) = line?;
            let (name, rest) = next_word(&text);
            let name = name.unwrap_or_default();
            self.other = self.is_other(&name);
            if self.other || name.eq_ignore_ascii_case(self.name) {
                self.line(&Line::parse(location, rest, None))?;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, wanted: Option<RuleType>) -> Result<(), LoadError> {
        for line in self.lines(path) {
            let (location, text) = line?;
            self.line(&Line::parse(location, &text, wanted))?;
        }
        Ok(())
    }

    fn lines(&mut self, path: &Path) -> Vec<Result<(Location, String), LoadError>> {
        let text = self.root.read(path).unwrap_or_default();
        let at = |line: usize| Location {
            file: path.to_owned(),
            line,
        };
        let lines = logical_lines(&text).into_iter().map(|line| match line {
            Ok(line) => {
                let location = at(line.number);
                self.note_ambiguity(&location, &line);
                Ok((location, line.text))
            }
            Err(number) => Err(LoadError {
                location: at(number),
                kind: LoadErrorKind::Unfinished,
            }),
        });
        lines.collect()
    }

    fn note_ambiguity(&mut self, location: &Location, line: &LogicalLine) {
        let kind = match line {
            _ if line.interrupted => AmbiguityKind::InterruptedLine,
            _ if line.too_long => AmbiguityKind::LongLine,
            _ => return,
        };
        let ambiguity = Ambiguity {
            location: location.clone(),
            kind,
        };
        if !self.service.ambiguities.contains(&ambiguity) {
            self.service.ambiguities.push(ambiguity);
        }
    }

    fn line(&mut self, line: &Line) -> Result<(), LoadError> {
        self.check_size()?;
        if self.debian && line.bare_type().eq_ignore_ascii_case("@include") {
            return self.at_include(line);
        }
        let parsed = RuleType::parse(line.bare_type());
        // A line whose type libpam cannot read belongs to the most sensitive stack.
        let rule_type = parsed.or(line.wanted).unwrap_or(RuleType::Auth);
        if line.wanted.is_some_and(|wanted| wanted != rule_type) {
            return Ok(());
        }
        let control = line.control.as_deref().map(str::to_ascii_lowercase);
        match control.as_deref() {
            Some("include") => self.include(line, rule_type),
            Some("substack") => self.substack(line, rule_type)?,
            _ => {
                let fault = parsed
                    .is_none()
                    .then(|| Fault::Type(line.type_word.clone()));
                let rule = self.rule(line, fault)?;
                self.push(rule_type, rule);
            }
        }
        Ok(())
    }

    /// # Errors
    /// Too many files have been included.
    fn check_size(&self) -> Result<(), LoadError> {
        let error = |location: &Location| LoadError {
            location: location.clone(),
            kind: LoadErrorKind::TooLarge,
        };
        self.too_large
            .as_ref()
            .map_or(Ok(()), |place| Err(error(place)))
    }

    fn rule(&self, line: &Line, fault: Option<Fault>) -> Result<Rule, LoadError> {
        check_module_name(line)?;
        let fault = match (&line.control, &line.name) {
            (None, _) => Some(fault.unwrap_or(Fault::NoControl)),
            (_, None) => Some(fault.unwrap_or(Fault::NoModule)),
            _ => fault,
        };
        let target = match fault {
            Some(fault) => RuleTarget::Broken(fault),
            None => RuleTarget::Module(Module {
                path: line.name.clone().unwrap_or_default(),
                arguments: words(line.arguments),
            }),
        };
        let control = line.control.clone().unwrap_or_default();
        let parsed = match &line.control {
            Some(control) => control::parse(control),
            None => Ok(Actions::BAD),
        };
        let control_fault = parsed.as_ref().err().copied();
        Ok(Rule {
            actions: parsed.unwrap_or(Actions::BAD),
            control_fault,
            ..self.failing_rule(&line.location, target, &control)
        })
    }

    fn failing_rule(&self, location: &Location, target: RuleTarget, control: &str) -> Rule {
        Rule {
            location: location.clone(),
            included_by: self.included_by.clone(),
            level: self.level,
            target,
            control: control.to_owned(),
            actions: Actions::BAD,
            control_fault: None,
        }
    }

    fn push(&mut self, rule_type: RuleType, rule: Rule) {
        let stacks = if self.other {
            &mut self.service.other
        } else {
            &mut self.service.own
        };
        stacks[rule_type as usize].push(rule);
    }

    /// The file is the word behind `@include`.
    fn at_include(&mut self, line: &Line) -> Result<(), LoadError> {
        let Err(error) = self.load(line, line.control.as_deref(), line.wanted, true) else {
            return Ok(());
        };
        if let Some(rule_type) = line.wanted {
            self.push_broken(line, rule_type, error);
            return Ok(());
        }
        // Not knowing the type of the rule that is to fail, libpam gives up.
        let kind = match error {
            IncludeError::InFile(error) => return Err(error),
            IncludeError::Fault(fault) => LoadErrorKind::Include(fault),
        };
        let location = line.location.clone();
        Err(LoadError { location, kind })
    }

    fn include(&mut self, line: &Line, rule_type: RuleType) {
        if let Err(error) = self.load(line, line.name.as_deref(), Some(rule_type), false) {
            self.push_broken(line, rule_type, error);
        }
    }

    fn substack(&mut self, line: &Line, rule_type: RuleType) -> Result<(), LoadError> {
        check_module_name(line)?;
        let marker = self.failing_rule(&line.location, RuleTarget::Substack, "substack");
        self.push(rule_type, marker);
        self.level += 1;
        let loaded = self.load(line, line.name.as_deref(), Some(rule_type), false);
        self.level -= 1;
        if let Err(error) = loaded {
            self.push_broken(line, rule_type, error);
        }
        Ok(())
    }

    fn push_broken(&mut self, line: &Line, rule_type: RuleType, error: IncludeError) {
        let fault = match error {
            IncludeError::Fault(fault) => fault,
            IncludeError::InFile(error) => Fault::FileUnusable(Box::new(error)),
        };
        let rule = self.failing_rule(&line.location, RuleTarget::Broken(fault), "include");
        self.push(rule_type, rule);
    }

    /// Reads the rules of an included file in place of the line. Those above a fault stay.
    fn load(
        &mut self,
        line: &Line,
        name: Option<&str>,
        wanted: Option<RuleType>,
        all_types: bool,
    ) -> Result<(), IncludeError> {
        self.includes += 1;
        if self.includes > MAX_INCLUDES {
            let outermost = self.included_by.first();
            let place = outermost.map_or(&line.location, |include| &include.location);
            self.too_large.get_or_insert_with(|| place.clone());
        }
        let name = name.ok_or(Fault::NoName)?;
        if self.included_by.len() + 1 >= MAX_LEVEL {
            return Err(Fault::TooDeep(name.to_owned()).into());
        }
        let path = self.included_file(name);
        let path = path.ok_or_else(|| Fault::NoFile(name.to_owned()))?;
        self.included_by.push(Include {
            location: line.location.clone(),
            all_types,
            name: name.to_owned(),
        });
        let result = self.file(&path, wanted);
        self.included_by.pop();
        result.map_err(IncludeError::InFile)
    }

    /// Debian's libpam looks for included files in this folder alone.
    fn included_file(&self, name: &str) -> Option<PathBuf> {
        let path = match name.strip_prefix('/') {
            Some(_) => PathBuf::from(name),
            None if self.debian => Path::new(PAM_D).join(name),
            None => return service_file(self.root, name),
        };
        self.root.read(&path).is_ok().then_some(path)
    }
}

/// Why a file was not included.
enum IncludeError {
    Fault(Fault),
    InFile(LoadError),
}

impl From<Fault> for IncludeError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// `@include` is Debian's own; elsewhere the word is not a type. A system that does not say what it is may be Debian.
fn is_debian(root: &Root) -> bool {
    let files = ["/etc/os-release", "/usr/lib/os-release"];
    let text = files
        .iter()
        .find_map(|file| root.read(Path::new(file)).ok());
    let Some(text) = text else { return true };
    let mut ids = text
        .lines()
        .filter(|line| line.starts_with("ID=") || line.starts_with("ID_LIKE="));
    ids.any(|line| line.contains("debian") || line.contains("ubuntu"))
}

/// libpam names a module for its audit trail, and gives up where that leaves nothing.
fn check_module_name(line: &Line) -> Result<(), LoadError> {
    match &line.name {
        Some(path) if matches!(modules::name_of(path), "" | "?") => Err(LoadError {
            location: line.location.clone(),
            kind: LoadErrorKind::NoModuleName(path.clone()),
        }),
        _ => Ok(()),
    }
}
