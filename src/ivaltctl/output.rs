//! What a command prints that changes something: lines for people, or one JSON object for programs. Every such command
//! has these members: `changed`, `done`, with `--dry-run` also `dry_run` and `would_change`, and `refused` where it is
//! refused.

use std::io;
use std::path::Path;

use serde_json::{Map, Value, json};
use similar::TextDiff;

use crate::finding::Finding;
use crate::terminal::{self, ERROR, OK, Text, WARN};
use crate::{Exit, Refused, check};
use ivalt_core::secret::Secret;

/// The output of one command.
#[derive(Debug)]
pub struct Output {
    json: Option<Map<String, Value>>,
    /// Nothing may be changed; what would be is shown.
    pub dry_run: bool,
}

impl Output {
    /// With `json`, nothing is printed before [`Output::finish`].
    pub fn new(json: bool, dry_run: bool) -> Self {
        let mut members = Map::new();
        members.insert("changed".into(), false.into());
        members.insert("done".into(), "nothing".into());
        if dry_run {
            members.insert("dry_run".into(), true.into());
            members.insert("would_change".into(), false.into());
        }
        Self {
            json: json.then_some(members),
            dry_run,
        }
    }

    /// A line for people.
    pub fn line(&self, text: impl Into<Text>) {
        if self.json.is_none() {
            terminal::print(text);
        }
    }

    /// A member for programs.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        if let Some(members) = &mut self.json {
            members.insert(name.to_owned(), value.into());
        }
    }

    /// What was done, in one word, and in a sentence for people.
    pub fn done(&mut self, word: &str, sentence: impl Into<Text>) {
        if self.dry_run {
            self.set("would_change", true);
            self.line(sentence.into().then(" (dry run: nothing was changed)"));
        } else {
            self.set("changed", true);
            self.set("done", word);
            self.line(sentence);
        }
    }

    /// What a command reports that changes nothing, for people or in place of the object.
    pub fn report(&mut self, text: impl FnOnce() -> Text, object: impl FnOnce() -> Value) {
        match self.json.take() {
            Some(_) => terminal::print_json(&object()),
            None => terminal::print(text()),
        }
    }

    /// Prints at once what must not be lost: the text, or the object in its place. Nothing else may follow but what
    /// [`Output::finish`] says of a refusal.
    ///
    /// # Errors
    /// A part of it may be printed then.
    pub fn deliver(&mut self, text: &Secret) -> io::Result<()> {
        match self.json.take() {
            Some(members) => terminal::deliver_json(&Value::Object(members)),
            None => terminal::deliver(text.as_bytes()),
        }
    }

    /// What an administrator must know, beside what was done.
    pub fn notices<'a>(&mut self, notices: impl IntoIterator<Item = &'a str>) {
        for notice in notices {
            self.line(terminal::styled(WARN, notice));
            self.push("notices", json!(notice));
        }
    }

    /// What `check` finds.
    pub fn findings(&mut self, findings: &[Finding]) {
        if self.json.is_none() {
            check::show(findings);
        }
        self.set("findings", json!(findings));
    }

    /// One file, as a diff.
    pub fn diff(&mut self, path: &Path, old: &[u8], new: &[u8]) {
        let (old, new) = (String::from_utf8_lossy(old), String::from_utf8_lossy(new));
        let path = path.display().to_string();
        let diff = TextDiff::from_lines(&*old, &*new)
            .unified_diff()
            .header(&path, &path)
            .to_string();
        for line in diff.lines() {
            self.line(match line.as_bytes().first() {
                Some(b'+') => terminal::styled(OK, line),
                Some(b'-') => terminal::styled(ERROR, line),
                _ => line.into(),
            });
        }
        self.push("diffs", json!(diff));
    }

    /// Prints the object, if it is one, and why the command is refused, if it is.
    pub fn finish(mut self, result: Result<(), Refused>) -> Exit {
        if let Err(Refused(why)) = &result {
            self.set("refused", why.as_str());
            terminal::print_error(why.as_str());
        }
        if let Some(members) = self.json {
            terminal::print_json(&Value::Object(members));
        }
        result.map_or(Exit::Refused, |()| Exit::Done)
    }

    fn push(&mut self, list: &str, value: Value) {
        let members = self.json.as_mut();
        let list = members.map(|members| members.entry(list).or_insert_with(|| json!([])));
        if let Some(Value::Array(list)) = list {
            list.push(value);
        }
    }
}
