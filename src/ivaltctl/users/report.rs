//! What `list` and `show` say.

use serde_json::{Value, json};

use super::everybody::Everybody;
use super::names;
use crate::terminal::{BAD, DOUBTFUL, GOOD, painted, plain};
use ivalt_core::users::Entry;

/// A name may be long; the columns then go out of line for it alone.
const WIDEST: usize = 32;

/// All users, their mobiles masked.
pub fn list(everybody: &Everybody, as_json: bool) -> String {
    if as_json {
        let people = everybody.people().iter();
        let people = people.map(|person| member(&person.name, Said::masked(&person.entry)));
        return Value::Array(people.collect()).to_string();
    }
    let width = |name: &str| plain(name).chars().count();
    let people = everybody.people().iter();
    let widths = people.clone().map(|person| width(&person.name));
    let column = widths.max().unwrap_or_default().min(WIDEST);
    let line = |(name, said): (&str, Said)| {
        let state = said.painted();
        let name = plain(name);
        let why = said
            .why
            .map(|why| format!(": {}", plain(&why)))
            .unwrap_or_default();
        let mobile = said.mobile.unwrap_or_else(|| "-".to_owned());
        format!("{name:<column$}  {mobile:<7}  {state}{why}")
    };
    let lines = people.map(|person| line((&person.name, Said::masked(&person.entry))));
    let lines: Vec<String> = lines.collect();
    if lines.is_empty() {
        return "nobody is enrolled".to_owned();
    }
    lines.join("\n")
}

/// One user with the whole mobile.
pub fn show(name: &str, entry: &Entry, as_json: bool) -> String {
    let said = Said::whole(entry);
    let known = names::is_known(name);
    if as_json {
        let mut member = member(name, said);
        member["account"] = json!(known);
        return member.to_string();
    }
    let account = match known {
        Some(true) => "known to this machine",
        Some(false) => "not known to this machine",
        None => "cannot be looked up",
    };
    let mut lines = vec![
        format!("name     {}", plain(name)),
        format!("mobile   {}", said.mobile.as_deref().unwrap_or("-")),
        format!("state    {}", said.painted()),
    ];
    lines.extend(said.why.map(|why| format!("reason   {}", plain(&why))));
    lines.push(format!("account  {account}"));
    lines.join("\n")
}

fn member(name: &str, said: Said) -> Value {
    let mut member = json!({"name": name, "mobile": said.mobile, "state": said.state});
    if let Some(why) = said.why {
        member["reason"] = why.into();
    }
    member
}

/// An entry in words.
struct Said {
    mobile: Option<String>,
    state: &'static str,
    why: Option<String>,
}

impl Said {
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
        let mut said = Self::whole(entry);
        if let Entry::Enrolled(mobile) | Entry::Disabled(mobile) = entry {
            said.mobile = Some(mobile.masked());
        }
        said
    }

    fn painted(&self) -> String {
        let style = match self.state {
            "enabled" => GOOD,
            "disabled" => DOUBTFUL,
            _ => BAD,
        };
        painted(style, self.state)
    }
}
