//! pam.d(5) as libpam reads it (`libpam/pam_handlers.c`): from the file of a service to the steps of its four stacks.
//!
//! What libpam cannot read is no error here either: it becomes what libpam makes of it, a step that fails, or a
//! service that cannot be used at all.

use std::path::{Path, PathBuf};

use super::root::Root;

/// A PAM code, an index into [`CODES`].
pub type Code = usize;

pub const PAM_SUCCESS: Code = 0;
pub const PAM_PERM_DENIED: Code = 6;
pub const PAM_NEW_AUTHTOK_REQD: Code = 12;
pub const PAM_IGNORE: Code = 25;

/// The names of the codes in a control field, by number.
pub const CODES: [&str; 32] = [
    "success",
    "open_err",
    "symbol_err",
    "service_err",
    "system_err",
    "buf_err",
    "perm_denied",
    "auth_err",
    "cred_insufficient",
    "authinfo_unavail",
    "user_unknown",
    "maxtries",
    "new_authtok_reqd",
    "acct_expired",
    "session_err",
    "cred_unavail",
    "cred_expired",
    "cred_err",
    "no_module_data",
    "conv_err",
    "authtok_err",
    "authtok_recover_err",
    "authtok_lock_busy",
    "authtok_disable_aging",
    "try_again",
    "ignore",
    "abort",
    "authtok_expired",
    "module_unknown",
    "bad_item",
    "conv_again",
    "incomplete",
];

/// What a code of a module does to its stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Ignore,
    Ok,
    Done,
    Bad,
    Die,
    Reset,
    /// So many of the steps that follow on this level are left out.
    Jump(usize),
}

/// An action for every code.
pub type Actions = [Action; CODES.len()];

/// Which of a service's stacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Auth,
    Account,
    Session,
    Password,
}

impl Kind {
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

    fn of(word: &str) -> Option<Self> {
        let same = |kind: &Self| word.eq_ignore_ascii_case(kind.word());
        Self::ALL.into_iter().find(same)
    }
}

/// Where a line begins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub file: PathBuf,
    /// From 1.
    pub line: usize,
}

/// One link of libpam's chain.
#[derive(Clone, Debug)]
pub struct Step {
    pub place: Place,
    /// The lines that include the file of this one, outermost first.
    pub way: Vec<Place>,
    /// How many substacks are around it.
    pub level: usize,
    pub what: What,
    /// The control field as written, brackets left out.
    pub control: String,
    pub actions: Actions,
    /// The control field is none: libpam takes every code for `bad`, success too.
    pub control_fault: Option<&'static str>,
}

/// What libpam does at a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Calls a module.
    Module(Module),
    /// Remembers where a substack begins.
    Substack,
    /// Fails with `PAM_PERM_DENIED` without calling anybody.
    Broken(Fault),
}

/// A module as the line names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Module {
    pub path: String,
    pub arguments: Vec<String>,
    /// `-` before the type: a module that is not there is not logged. It fails all the same.
    pub silent: bool,
}

impl Module {
    /// `pam_unix` of `/lib/security/pam_unix.so`.
    pub fn name(&self) -> &str {
        module_name(&self.path)
    }
}

/// Why a step can only fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The first word is no type.
    Type(String),
    /// Nothing follows the type.
    NoControl,
    /// Nothing follows the control field.
    NoModule,
    /// This file of `include` or `substack` cannot be opened.
    NoFile(String),
    /// This file includes itself.
    TooDeep(String),
    /// `include` without a name. Debian's libpam takes the program down with it.
    NoName,
    /// Something in this file makes libpam give up on it.
    GivenUp(String),
}

/// Something that makes libpam give up on a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    pub place: Place,
    pub why: Why,
}

/// Why libpam gives up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The last line ends with a backslash.
    Unfinished,
    /// `@include` of a file that cannot be opened.
    NoFile(String),
    /// `@include` without a name.
    NoName,
    /// A module's name without a name.
    NoModuleName(String),
    /// `@include` of a file that includes itself.
    TooDeep(String),
}

/// A line that libpam's versions read differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    pub place: Place,
    pub what: Ambiguity,
}

/// What libpam's versions disagree about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ambiguity {
    /// A comment or an empty line after a backslash: before 1.6 it is skipped, since then the line ends there.
    CutContinuation,
    /// Before 1.6 what is beyond 1022 bytes is a line of its own.
    LongLine,
}

/// The stacks of a service.
#[derive(Clone, Debug, Default)]
pub struct Service {
    own: [Vec<Step>; 4],
    other: [Vec<Step>; 4],
    pub doubts: Vec<Doubt>,
}

impl Service {
    /// The steps of a type; those of `other` where the service has none of its own.
    pub fn stack(&self, kind: Kind) -> &[Step] {
        let own = &self.own[kind as usize];
        if own.is_empty() {
            &self.other[kind as usize]
        } else {
            own
        }
    }

    /// Whether the service itself has lines of this type.
    pub fn has(&self, kind: Kind) -> bool {
        !self.own[kind as usize].is_empty()
    }
}

/// The name of the service that stands in for those without a file.
pub const OTHER: &str = "other";

/// Where libpam looks for service files. Vendors add the last ones to upstream's two.
pub const FOLDERS: [&str; 4] = [
    "/etc/pam.d",
    "/usr/lib/pam.d",
    "/usr/etc/pam.d",
    "/usr/share/pam.d",
];
const PAM_CONF: &str = "/etc/pam.conf";

/// libpam's `PAM_SUBSTACK_MAX_LEVEL`; before 1.6 `include` had no limit but the program's memory.
const DEEPEST: usize = 16;
const LONGEST_LINE: usize = 1022;

/// Reads the stacks of a service; those of [`OTHER`] as a service without a file would get them.
///
/// # Errors
/// What makes every call of libpam for this service end in `PAM_ABORT`.
pub fn read(root: &Root, service: &str) -> Result<Service, Unusable> {
    let mut reader = Reader::new(root, service);
    if reader.folders().next().is_none() {
        reader.read_pam_conf()?;
    } else {
        if !service.eq_ignore_ascii_case(OTHER) {
            reader.read_service(service, false)?;
        }
        // libpam gives up on every service when this file is none, needed or not.
        reader.read_service(OTHER, true)?;
    }
    Ok(reader.found)
}

/// The file that libpam opens for a name of a service or of `include`.
pub fn file_of(root: &Root, name: &str) -> Option<PathBuf> {
    let candidates = FOLDERS.iter().map(|folder| Path::new(folder).join(name));
    candidates.into_iter().find(|path| root.read(path).is_ok())
}

struct Reader<'a> {
    root: &'a Root,
    service: &'a str,
    debian: bool,
    found: Service,
    /// Lines of `other` go elsewhere.
    other: bool,
    way: Vec<Place>,
    level: usize,
}

/// What the line that is read belongs to.
#[derive(Clone, Copy)]
struct Context<'a> {
    /// Only lines of this type count.
    wanted: Option<Kind>,
    place: &'a Place,
}

impl<'a> Reader<'a> {
    fn new(root: &'a Root, service: &'a str) -> Self {
        Self {
            root,
            service,
            debian: is_debian(root),
            found: Service::default(),
            other: false,
            way: Vec::new(),
            level: 0,
        }
    }

    fn folders(&self) -> impl Iterator<Item = &'static str> {
        let there = |folder: &&str| self.root.real(Path::new(folder)).is_dir();
        FOLDERS.into_iter().filter(there)
    }

    fn read_service(&mut self, name: &str, other: bool) -> Result<(), Unusable> {
        self.other = other || name.eq_ignore_ascii_case(OTHER);
        let Some(path) = file_of(self.root, name) else {
            return Ok(());
        };
        let text = self.root.read(&path).unwrap_or_default();
        self.file(&path, &text, None)
    }

    /// Without any folder there is one file, whose lines begin with the name of a service.
    fn read_pam_conf(&mut self) -> Result<(), Unusable> {
        let path = Path::new(PAM_CONF);
        let text = self.root.read(path).unwrap_or_default();
        for line in self.lines(path, &text)? {
            let (name, rest) = next_word(&line.text);
            let name = name.unwrap_or_default();
            self.other = name.eq_ignore_ascii_case(OTHER);
            if self.other || name.eq_ignore_ascii_case(self.service) {
                self.line(&line.place, rest, None)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, text: &str, wanted: Option<Kind>) -> Result<(), Unusable> {
        let (lines, unfinished) = assemble(path, text);
        for line in lines {
            self.doubt(&line);
            self.line(&line.place, &line.text, wanted)?;
        }
        unfinished.map_or(Ok(()), Err)
    }

    fn lines(&mut self, path: &Path, text: &str) -> Result<Vec<Line>, Unusable> {
        let (lines, unfinished) = assemble(path, text);
        lines.iter().for_each(|line| self.doubt(line));
        unfinished.map_or(Ok(lines), Err)
    }

    fn doubt(&mut self, line: &Line) {
        let what = if line.cut {
            Ambiguity::CutContinuation
        } else if line.long {
            Ambiguity::LongLine
        } else {
            return;
        };
        let doubt = Doubt {
            place: line.place.clone(),
            what,
        };
        if !self.found.doubts.contains(&doubt) {
            self.found.doubts.push(doubt);
        }
    }

    fn line(&mut self, place: &Place, text: &str, wanted: Option<Kind>) -> Result<(), Unusable> {
        let context = Context { wanted, place };
        let (word, rest) = next_word(text);
        let word = word.unwrap_or_default();
        let silent = word.starts_with('-');
        let bare = word.strip_prefix('-').unwrap_or(&word);
        if self.debian && bare.eq_ignore_ascii_case("@include") {
            return self.at_include(context, next_word(rest).0);
        }
        // A line whose type cannot be read falls upon the most sensitive stack.
        let kind = Kind::of(bare);
        let fault = kind.is_none().then(|| Fault::Type(word.clone()));
        let kind = kind.or(wanted).unwrap_or(Kind::Auth);
        if wanted.is_some_and(|wanted| wanted != kind) {
            return Ok(());
        }
        let (control, rest) = next_word(rest);
        let (name, rest) = next_word(rest);
        match control.as_deref().map(str::to_ascii_lowercase).as_deref() {
            Some("include") => self.include(context, kind, name),
            Some("substack") => self.substack(context, kind, name),
            _ => {
                let step = self.step(place, control, name, rest, fault, silent)?;
                self.push(kind, step);
                Ok(())
            }
        }
    }

    fn step(
        &self,
        place: &Place,
        control: Option<String>,
        name: Option<String>,
        rest: &str,
        fault: Option<Fault>,
        silent: bool,
    ) -> Result<Step, Unusable> {
        let (actions, control_fault) = match &control {
            Some(control) => actions(control),
            None => ([Action::Bad; CODES.len()], None),
        };
        let fault = match (&control, &name) {
            (None, _) => Some(fault.unwrap_or(Fault::NoControl)),
            (_, None) => Some(fault.unwrap_or(Fault::NoModule)),
            _ => fault,
        };
        check_module_name(place, name.as_deref())?;
        let what = match fault {
            Some(fault) => What::Broken(fault),
            None => What::Module(Module {
                path: name.unwrap_or_default(),
                arguments: words(rest),
                silent,
            }),
        };
        let control = control.unwrap_or_default();
        Ok(Step {
            control_fault,
            ..self.bare_step(place, what, control, actions)
        })
    }

    fn bare_step(&self, place: &Place, what: What, control: String, actions: Actions) -> Step {
        Step {
            place: place.clone(),
            way: self.way.clone(),
            level: self.level,
            what,
            control,
            actions,
            control_fault: None,
        }
    }

    fn push(&mut self, kind: Kind, step: Step) {
        let stacks = if self.other {
            &mut self.found.other
        } else {
            &mut self.found.own
        };
        stacks[kind as usize].push(step);
    }

    fn at_include(&mut self, context: Context, name: Option<String>) -> Result<(), Unusable> {
        let wanted = context.wanted;
        let Err(fault) = self.load(context.place, name.as_deref(), wanted) else {
            return Ok(());
        };
        if let Some(kind) = wanted {
            self.push_broken(context.place, kind, fault);
            return Ok(());
        }
        // Not knowing the type of the step that is to fail, libpam gives up.
        let name = name.unwrap_or_default();
        let why = match fault {
            Refused::Deeper(unusable) => return Err(unusable),
            Refused::Here(Fault::NoName) => Why::NoName,
            Refused::Here(Fault::TooDeep(_)) => Why::TooDeep(name),
            Refused::Here(_) => Why::NoFile(name),
        };
        let place = context.place.clone();
        Err(Unusable { place, why })
    }

    fn include(
        &mut self,
        context: Context,
        kind: Kind,
        name: Option<String>,
    ) -> Result<(), Unusable> {
        if let Err(fault) = self.load(context.place, name.as_deref(), Some(kind)) {
            self.push_broken(context.place, kind, fault);
        }
        Ok(())
    }

    fn substack(
        &mut self,
        context: Context,
        kind: Kind,
        name: Option<String>,
    ) -> Result<(), Unusable> {
        check_module_name(context.place, name.as_deref())?;
        let nothing = [Action::Bad; CODES.len()];
        let marker = self.bare_step(context.place, What::Substack, "substack".into(), nothing);
        self.push(kind, marker);
        self.level += 1;
        let loaded = self.load(context.place, name.as_deref(), Some(kind));
        self.level -= 1;
        if let Err(fault) = loaded {
            self.push_broken(context.place, kind, fault);
        }
        Ok(())
    }

    fn push_broken(&mut self, place: &Place, kind: Kind, refused: Refused) {
        let fault = match refused {
            Refused::Here(fault) => fault,
            Refused::Deeper(unusable) => Fault::GivenUp(unusable.place.file.display().to_string()),
        };
        let bad = [Action::Bad; CODES.len()];
        let step = self.bare_step(place, What::Broken(fault), "include".into(), bad);
        self.push(kind, step);
    }

    /// Reads an included file in the place of the line that names it. What stood above a fault stays.
    fn load(
        &mut self,
        place: &Place,
        name: Option<&str>,
        wanted: Option<Kind>,
    ) -> Result<(), Refused> {
        let name = name.ok_or(Refused::Here(Fault::NoName))?;
        if self.way.len() + 1 >= DEEPEST {
            return Err(Refused::Here(Fault::TooDeep(name.to_owned())));
        }
        let path = self.included(name);
        let path = path.ok_or_else(|| Refused::Here(Fault::NoFile(name.to_owned())))?;
        let text = self.root.read(&path).unwrap_or_default();
        self.way.push(place.clone());
        let result = self.file(&path, &text, wanted);
        self.way.pop();
        result.map_err(Refused::Deeper)
    }

    /// Debian's libpam looks for included files in /etc/pam.d alone.
    fn included(&self, name: &str) -> Option<PathBuf> {
        let path = match name.strip_prefix('/') {
            Some(_) => PathBuf::from(name),
            None if self.debian => Path::new(FOLDERS[0]).join(name),
            None => return file_of(self.root, name),
        };
        self.root.read(&path).is_ok().then_some(path)
    }
}

/// Why a file was not included.
enum Refused {
    Here(Fault),
    Deeper(Unusable),
}

/// `@include` is Debian's own; elsewhere the word is no type. A system that does not say what it is may be Debian.
fn is_debian(root: &Root) -> bool {
    let files = ["/etc/os-release", "/usr/lib/os-release"];
    let text = files
        .iter()
        .find_map(|file| root.read(Path::new(file)).ok());
    let Some(text) = text else { return true };
    let ids = text
        .lines()
        .filter(|line| line.starts_with("ID=") || line.starts_with("ID_LIKE="));
    ids.into_iter()
        .any(|line| line.contains("debian") || line.contains("ubuntu"))
}

/// libpam names a module for its audit trail, and gives up where that leaves nothing.
fn check_module_name(place: &Place, path: Option<&str>) -> Result<(), Unusable> {
    match path {
        Some(path) if matches!(module_name(path), "" | "?") => Err(Unusable {
            place: place.clone(),
            why: Why::NoModuleName(path.to_owned()),
        }),
        _ => Ok(()),
    }
}

fn module_name(path: &str) -> &str {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.rsplit_once('.').map_or(file, |(name, _)| name)
}

/// A line with those that continue it.
struct Line {
    place: Place,
    text: String,
    cut: bool,
    long: bool,
}

impl Line {
    fn new(path: &Path, number: usize) -> Self {
        let place = Place {
            file: path.to_owned(),
            line: number,
        };
        Self {
            place,
            text: String::new(),
            cut: false,
            long: false,
        }
    }
}

/// Comments go, lines that end with a backslash and their successors become one; as libpam before 1.6 does it.
fn assemble(path: &Path, text: &str) -> (Vec<Line>, Option<Unusable>) {
    let mut lines = Vec::new();
    let mut open: Option<Line> = None;
    for (index, raw) in text.split_inclusive('\n').enumerate() {
        // C ends the text at a NUL.
        let raw = raw.split('\0').next().unwrap_or_default();
        let content = raw.trim_start_matches(BLANKS);
        if content.is_empty() || content.starts_with('#') {
            open.iter_mut().for_each(|line| line.cut = true);
            continue;
        }
        let mut line = open.take().unwrap_or_else(|| Line::new(path, index + 1));
        let continued = match content.split_once('#') {
            Some((before, _)) => {
                line.text.push_str(before);
                false
            }
            None => take_content(&mut line.text, content),
        };
        line.long = line.text.len() > LONGEST_LINE;
        if continued {
            open = Some(line);
        } else {
            lines.push(line);
        }
    }
    let unfinished = open.map(|line| Unusable {
        place: line.place,
        why: Why::Unfinished,
    });
    (lines, unfinished)
}

fn take_content(line: &mut String, content: &str) -> bool {
    let trimmed = content.trim_end_matches(BLANKS);
    match trimmed.strip_suffix('\\') {
        Some(before) => {
            line.push_str(before);
            line.push(' ');
            true
        }
        None => {
            line.push_str(trimmed);
            false
        }
    }
}

/// Nothing else separates words: a carriage return is part of one.
const BLANKS: [char; 3] = [' ', '\n', '\t'];

/// The first word, and what follows it. Brackets hold a word together, `\]` is one of theirs.
fn next_word(text: &str) -> (Option<String>, &str) {
    let text = text.trim_start_matches(BLANKS);
    if text.is_empty() {
        return (None, "");
    }
    let Some(bracketed) = text.strip_prefix('[') else {
        let end = text.find(BLANKS).unwrap_or(text.len());
        return (Some(text[..end].to_owned()), &text[end..]);
    };
    let mut word = String::new();
    let mut rest = bracketed.char_indices().peekable();
    while let Some((at, letter)) = rest.next() {
        match letter {
            ']' => return (Some(word), &bracketed[at + 1..]),
            '\\' if matches!(rest.peek(), Some((_, ']'))) => {
                word.push(']');
                rest.next();
            }
            _ => word.push(letter),
        }
    }
    (Some(word), "")
}

fn words(mut text: &str) -> Vec<String> {
    let mut words = Vec::new();
    while let (Some(word), rest) = next_word(text) {
        words.push(word);
        text = rest;
    }
    words
}

/// The control field, and what is wrong with it.
fn actions(control: &str) -> (Actions, Option<&'static str>) {
    let (success, rest) = match control.to_ascii_lowercase().as_str() {
        "required" => (Action::Ok, Action::Bad),
        "requisite" => (Action::Ok, Action::Die),
        "optional" => (Action::Ok, Action::Ignore),
        "sufficient" => (Action::Done, Action::Ignore),
        _ => {
            return match bracketed(control) {
                Ok(actions) => (actions, None),
                Err(fault) => ([Action::Bad; CODES.len()], Some(fault)),
            };
        }
    };
    let mut actions = [rest; CODES.len()];
    actions[PAM_SUCCESS] = success;
    actions[PAM_NEW_AUTHTOK_REQD] = success;
    actions[PAM_IGNORE] = Action::Ignore;
    (actions, None)
}

/// `success=ok default=bad`. A default is for the codes not named so far; what stays is `bad`.
fn bracketed(control: &str) -> Result<Actions, &'static str> {
    let mut actions = [None; CODES.len()];
    let mut text = control.trim_start_matches(is_space);
    while !text.is_empty() {
        let (code, rest) = returned(text)?;
        let rest = rest.trim_start_matches(is_space);
        let rest = rest.strip_prefix('=').ok_or("\"=\" is missing")?;
        let (action, rest) = action(rest.trim_start_matches(is_space))?;
        match code {
            Some(code) => actions[code] = Some(action),
            None => actions.iter_mut().for_each(|any| {
                any.get_or_insert(action);
            }),
        }
        text = rest.trim_start_matches(is_space);
    }
    Ok(actions.map(|action| action.unwrap_or(Action::Bad)))
}

/// isspace(3)
fn is_space(letter: char) -> bool {
    matches!(letter, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c')
}

/// A code, or `default`. libpam compares beginnings.
fn returned(text: &str) -> Result<(Option<Code>, &str), &'static str> {
    let named = CODES.iter().enumerate();
    let mut named = named.filter_map(|(code, name)| Some((code, text.strip_prefix(name)?)));
    if let Some((code, rest)) = named.next() {
        return Ok((Some(code), rest));
    }
    match text.strip_prefix("default") {
        Some(rest) => Ok((None, rest)),
        None => Err("a name of a PAM code is missing"),
    }
}

fn action(text: &str) -> Result<(Action, &str), &'static str> {
    let words = [
        ("ignore", Action::Ignore),
        ("ok", Action::Ok),
        ("done", Action::Done),
        ("bad", Action::Bad),
        ("die", Action::Die),
        ("reset", Action::Reset),
    ];
    for (word, action) in words {
        if let Some(rest) = text.strip_prefix(word) {
            return Ok((action, rest));
        }
    }
    let end = text.find(|letter: char| !letter.is_ascii_digit());
    let (digits, rest) = text.split_at(end.unwrap_or(text.len()));
    match digits.parse::<i32>() {
        Ok(0) => Err("a jump over 0 steps is none"),
        Ok(count) => Ok((Action::Jump(usize::try_from(count).unwrap_or(0)), rest)),
        Err(_) => Err("an action is missing"),
    }
}
