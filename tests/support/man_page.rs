//! Takes a man page apart: sections, and the entries of their lists.

/// The lines of a section or subsection whose title begins so, without those of the next.
pub fn section<'a>(page: &'a str, title: &str) -> Vec<&'a str> {
    let whole = page.lines().any(|line| line == format!(".Sh {title}"));
    let begins =
        |line: &str| line.get(4..).is_some_and(|rest| rest.starts_with(title)) && is_title(line);
    let ends = |line: &str| line.starts_with(".Sh ") || (!whole && is_title(line));
    let from = page.lines().skip_while(|line| !begins(line)).skip(1);
    let lines: Vec<_> = from.take_while(|line| !ends(line)).collect();
    assert!(!lines.is_empty(), "no section {title}");
    lines
}

fn is_title(line: &str) -> bool {
    line.starts_with(".Sh ") || line.starts_with(".Ss ")
}

/// An entry of a list: what follows `.It Cm`, and the lines up to the next.
#[derive(Debug)]
pub struct Item<'a> {
    pub head: &'a str,
    pub body: Vec<&'a str>,
}

/// The entries that begin with `.It` and this macro.
pub fn items<'a>(lines: &[&'a str], macro_name: &str) -> Vec<Item<'a>> {
    let mark = format!(".It {macro_name}");
    let mut items: Vec<Item<'a>> = Vec::new();
    for line in lines {
        if let Some(head) = line.strip_prefix(mark.as_str()) {
            let (head, body) = (head.trim_start(), Vec::new());
            items.push(Item { head, body });
        } else if let Some(item) = items.last_mut() {
            item.body.push(line);
        }
    }
    items
}

impl<'a> Item<'a> {
    /// What follows this macro in the body, without punctuation.
    pub fn marked(&self, macro_name: &str) -> Vec<&'a str> {
        let mark = format!(".{macro_name} ");
        let marked = self.body.iter().filter_map(|line| line.strip_prefix(&mark));
        marked
            .map(|rest| rest.trim_end_matches([' ', ',', '.']))
            .collect()
    }
}
