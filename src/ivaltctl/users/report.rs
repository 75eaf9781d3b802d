//! The output of `list` and `show`.

use anstyle::Style;
use serde_json::{Value, json};

use super::entries::UserEntry;
use super::names;
use crate::terminal::{ERROR, OK, Text, WARN, visible};
use ivalt_core::users::Entry;

/// A longer name shifts the columns of its own line only.
const WIDEST: usize = 32;

/// All users, their mobiles masked.
pub fn list(users: &[UserEntry]) -> Text {
    if users.is_empty() {
        return "nobody is enrolled".into();
    }
    let width = |name: &str| visible(name).chars().count();
    let widths = users.iter().map(|user| width(&user.name));
    let column = widths.max().unwrap_or_default().min(WIDEST);
    let mut text = Text::default();
    for (number, user) in users.iter().enumerate() {
        let fields = Fields::masked(&user.entry);
        let line_end = if number == 0 { "" } else { "\n" };
        let name = visible(&user.name);
        let mobile = fields.mobile.as_deref().unwrap_or("-");
        let why = fields.why.as_deref().map(visible);
        let why = why.map(|why| format!(": {why}")).unwrap_or_default();
        text = text
            .then(format_args!("{line_end}{name:<column$}  {mobile:<7}  "))
            .then_styled(fields.style(), fields.state)
            .then(why);
    }
    text
}

/// As [`list`], for programs.
pub fn list_json(users: &[UserEntry]) -> Value {
    let members = users
        .iter()
        .map(|user| member(&user.name, Fields::masked(&user.entry)));
    Value::Array(members.collect())
}

/// One user with the whole mobile.
pub fn show(name: &str, entry: &Entry) -> Text {
    let fields = Fields::whole(entry);
    let account = match names::is_known(name) {
        Some(true) => "known to this machine",
        Some(false) => "not known to this machine",
        None => "cannot be looked up",
    };
    let mobile = fields.mobile.as_deref().unwrap_or("-");
    let reason = fields.why.as_deref().map(visible);
    let reason = reason.map(|why| format!("reason   {why}\n"));
    Text::default()
        .then(format_args!("name     {}\n", visible(name)))
        .then(format_args!("mobile   {mobile}\n"))
        .then("state    ")
        .then_styled(fields.style(), fields.state)
        .then(format_args!("\n{}", reason.unwrap_or_default()))
        .then(format_args!("account  {account}"))
}

/// As [`show`], for programs.
pub fn show_json(name: &str, entry: &Entry) -> Value {
    let mut member = member(name, Fields::whole(entry));
    member["account"] = json!(names::is_known(name));
    member
}

fn member(name: &str, fields: Fields) -> Value {
    let mut member = json!({"name": name, "mobile": fields.mobile, "state": fields.state});
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
