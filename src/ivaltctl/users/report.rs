//! The output of `list` and `show`.

use serde_json::{Value, json};

use super::entries::UserEntry;
use super::names;
use crate::terminal::{ERROR, OK, WARN, styled, visible};
use ivalt_core::users::Entry;

/// A longer name shifts the columns of its own line only.
const WIDEST: usize = 32;

/// All users, their mobiles masked.
pub fn list(users: &[UserEntry], as_json: bool) -> String {
    if as_json {
        let members = users
            .iter()
            .map(|user| member(&user.name, Fields::masked(&user.entry)));
        return Value::Array(members.collect()).to_string();
    }
    let width = |name: &str| visible(name).chars().count();
    let widths = users.iter().map(|user| width(&user.name));
    let column = widths.max().unwrap_or_default().min(WIDEST);
    let line = |name: &str, fields: Fields| {
        let state = fields.styled_state();
        let name = visible(name);
        let why = fields
            .why
            .map(|why| format!(": {}", visible(&why)))
            .unwrap_or_default();
        let mobile = fields.mobile.unwrap_or_else(|| "-".to_owned());
        format!("{name:<column$}  {mobile:<7}  {state}{why}")
    };
    let lines: Vec<String> = users
        .iter()
        .map(|user| line(&user.name, Fields::masked(&user.entry)))
        .collect();
    if lines.is_empty() {
        return "nobody is enrolled".to_owned();
    }
    lines.join("\n")
}

/// One user with the whole mobile.
pub fn show(name: &str, entry: &Entry, as_json: bool) -> String {
    let fields = Fields::whole(entry);
    let known = names::is_known(name);
    if as_json {
        let mut member = member(name, fields);
        member["account"] = json!(known);
        return member.to_string();
    }
    let account = match known {
        Some(true) => "known to this machine",
        Some(false) => "not known to this machine",
        None => "cannot be looked up",
    };
    let mut lines = vec![
        format!("name     {}", visible(name)),
        format!("mobile   {}", fields.mobile.as_deref().unwrap_or("-")),
        format!("state    {}", fields.styled_state()),
    ];
    lines.extend(fields.why.map(|why| format!("reason   {}", visible(&why))));
    lines.push(format!("account  {account}"));
    lines.join("\n")
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

    fn styled_state(&self) -> String {
        let style = match self.state {
            "enabled" => OK,
            "disabled" => WARN,
            _ => ERROR,
        };
        styled(style, self.state)
    }
}
