//! The output of `list` and `show`.

use std::path::Path;

use anstyle::Style;
use serde_json::{Value, json};

use super::entries::UserEntry;
use super::names;
use crate::terminal::{ERROR, OK, Text, WARN, visible};
use ivalt_core::users::Entry;

/// A longer name shifts the columns of its own line only.
const WIDEST: usize = 32;

/// All users, their mobiles masked; `with_files` says which file has each.
pub fn list(users: &[UserEntry], with_files: bool) -> Text {
    if users.is_empty() {
        return "nobody is enrolled".into();
    }
    let width = |name: &str| visible(name).chars().count();
    let widths = users.iter().map(|user| width(&user.name));
    let column = widths.max().unwrap_or_default().min(WIDEST);
    let files = users.iter().map(|user| width(&user.file.to_string_lossy()));
    let file_column = files.max().unwrap_or_default();
    let mut text = Text::default();
    for (number, user) in users.iter().enumerate() {
        let fields = Fields::masked(&user.entry);
        let line_end = if number == 0 { "" } else { "\n" };
        let name = visible(&user.name);
        let mobile = fields.mobile.as_deref().unwrap_or("-");
        let why = fields.why.as_deref().map(visible);
        let why = why.map(|why| format!(": {why}")).unwrap_or_default();
        let file = visible(&user.file.to_string_lossy());
        let file = match with_files {
            true => format!("{file:<file_column$}  "),
            false => String::new(),
        };
        let covers = user.covers.map(|covers| {
            let covers = visible(&covers.to_string_lossy());
            format!("; the entry in {covers} does not count")
        });
        text = text
            .then(format_args!(
                "{line_end}{name:<column$}  {mobile:<7}  {file}"
            ))
            .then_styled(fields.style(), fields.state)
            .then(why)
            .then(covers.unwrap_or_default());
    }
    text
}

/// As [`list`], for programs.
pub fn list_json(users: &[UserEntry]) -> Value {
    let members = users
        .iter()
        .map(|user| member(user, Fields::masked(&user.entry)));
    Value::Array(members.collect())
}

/// One user with the whole mobile; `with_file` says which file has the entry.
pub fn show(user: &UserEntry, with_file: bool) -> Text {
    let (name, fields) = (&user.name, Fields::whole(&user.entry));
    let account = match names::is_known(name) {
        Some(true) => "known to this machine",
        Some(false) => "not known to this machine",
        None => "cannot be looked up",
    };
    let mobile = fields.mobile.as_deref().unwrap_or("-");
    let reason = fields.why.as_deref().map(visible);
    let reason = reason.map(|why| format!("reason   {why}\n"));
    let shown = |path: &Path| visible(&path.to_string_lossy());
    let mut file = match with_file {
        true => format!("file     {}\n", shown(user.file)),
        false => String::new(),
    };
    if let Some(covers) = user.covers {
        file += &format!(
            "covers   the entry in {}, which does not count\n",
            shown(covers)
        );
    }
    Text::default()
        .then(format_args!("name     {}\n", visible(name)))
        .then(format_args!("mobile   {mobile}\n"))
        .then("state    ")
        .then_styled(fields.style(), fields.state)
        .then(format_args!("\n{}{file}", reason.unwrap_or_default()))
        .then(format_args!("account  {account}"))
}

/// As [`show`], for programs.
pub fn show_json(user: &UserEntry) -> Value {
    let mut member = member(user, Fields::whole(&user.entry));
    member["account"] = json!(names::is_known(&user.name));
    member
}

fn member(user: &UserEntry, fields: Fields) -> Value {
    let mut member = json!({
        "name": user.name,
        "mobile": fields.mobile,
        "state": fields.state,
        "file": user.file.to_string_lossy(),
    });
    if let Some(covers) = user.covers {
        member["covers"] = covers.to_string_lossy().into();
    }
    if let Some(why) = fields.why {
        member["reason"] = why.into();
    }
    member
}

/// The fields of an entry as they are shown.
struct Fields {
    mobile: Option<String>,
    state: &'static str,
    why: Option<String>,
}

impl Fields {
    fn whole(entry: &Entry) -> Self {
        let (mobile, state, why) = match entry {
            Entry::Absent => (None, "absent", None),
            Entry::Enrolled(mobile) => (Some(mobile.as_str().to_owned()), "enabled", None),
            Entry::Disabled(mobile) => (Some(mobile.as_str().to_owned()), "disabled", None),
            Entry::Bad(why) => (None, "bad", Some(why.to_string())),
        };
        Self { mobile, state, why }
    }

    fn masked(entry: &Entry) -> Self {
        let mut fields = Self::whole(entry);
        if let Entry::Enrolled(mobile) | Entry::Disabled(mobile) = entry {
            fields.mobile = Some(mobile.masked());
        }
        fields
    }

    fn style(&self) -> Style {
        match self.state {
            "enabled" => OK,
            "disabled" => WARN,
            _ => ERROR,
        }
    }
}
