//! Two attackers who have passed the other factor, and the owner of the phone: every order in which they can start their
//! logins and press Enter, and in which the owner taps. Lock, record and steps are the real ones.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{JoinHandle, spawn};

use super::model::{Host, Shared, World};
use crate::conversation::{
    Application, ApplicationError, Conversation, Echo, NoAnswer, PUSH_PROMPT,
};
use crate::secret::Secret;

const PEOPLE: [Who; 3] = [Who::Owner, Who::FirstAttacker, Who::SecondAttacker];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Owner,
    FirstAttacker,
    SecondAttacker,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// The first Enter, up to the second prompt or the end.
    Start(Who),
    /// The second Enter; who is not let in then hangs up.
    Enter(Who),
    /// The owner approves what the phone shows.
    Tap,
}

/// Every order in which each Enter follows its start.
fn orders() -> Vec<Vec<Event>> {
    let mut whole = Vec::new();
    add_orders(&mut Vec::new(), &mut whole);
    whole
}

fn add_orders(begun: &mut Vec<Event>, whole: &mut Vec<Vec<Event>>) {
    let starts = PEOPLE.map(Event::Start);
    let enters = PEOPLE.map(Event::Enter);
    let all = [&starts[..], &enters[..], &[Event::Tap]].concat();
    if begun.len() == all.len() {
        whole.push(begun.clone());
    }
    for event in all {
        let may_follow = match event {
            Event::Enter(who) => begun.contains(&Event::Start(who)),
            Event::Start(_) | Event::Tap => true,
        };
        if may_follow && !begun.contains(&event) {
            begun.push(event);
            add_orders(begun, whole);
            begun.pop();
        }
    }
}

/// One login in a thread of its own, which goes on only when it is told.
struct Login {
    keys: Sender<()>,
    /// A prompt is waited at, or the channel has ended.
    waits: Receiver<()>,
    thread: JoinHandle<&'static str>,
}

/// The other end of [`Login`]: presses Enter when it is told, and hangs up when nobody is there to tell it.
struct Typist {
    keys: Receiver<()>,
    waits: Sender<()>,
}

impl Conversation for Typist {
    fn ask(&mut self, prompt: &str, _: Echo) -> Result<Secret, NoAnswer> {
        if prompt != PUSH_PROMPT {
            self.waits.send(()).map_err(|_| NoAnswer)?;
            self.keys.recv().map_err(|_| NoAnswer)?;
        }
        Ok(Secret::new(Vec::new()))
    }

    fn tell(&mut self, _: &str) {}
}

impl Application for Typist {
    fn user(&mut self) -> Result<Vec<u8>, ApplicationError> {
        Ok(b"alice".to_vec())
    }

    fn password(&mut self) -> Result<Option<Secret>, ApplicationError> {
        Ok(None)
    }
}

impl Login {
    /// Returns at the second prompt, or at the end.
    fn start(host: &Arc<Host>, world: &Shared) -> Self {
        let ((keys, pressed), (waiting, waits)) = (channel(), channel());
        let (host, world) = (Arc::clone(host), Arc::clone(world));
        let thread = spawn(move || {
            let mut typist = Typist {
                keys: pressed,
                waits: waiting,
            };
            let report = host.log_in(&world, "203.0.113.7", &mut typist);
            report.decision.reason()
        });
        let _ = waits.recv();
        Self {
            keys,
            waits,
            thread,
        }
    }

    /// The second Enter, and the reason in the end.
    fn enter(self) -> &'static str {
        let _ = self.keys.send(());
        let _ = self.waits.recv();
        drop(self.keys);
        self.thread.join().unwrap()
    }
}

/// Who is let in, on these hosts: the owner's and the attackers'.
fn let_in(order: &[Event], hosts: [&Arc<Host>; 2], is_used_up: bool) -> Vec<Who> {
    let world = World::new();
    world.lock().unwrap().is_used_up = is_used_up;
    let (mut logins, mut inside) = (BTreeMap::new(), Vec::new());
    for event in order {
        match event {
            Event::Start(who) => {
                let host = hosts[usize::from(*who != Who::Owner)];
                logins.insert(*who, Login::start(host, &world));
            }
            Event::Enter(who) => {
                let login = logins.remove(who).unwrap();
                if login.enter() == "push-approved" {
                    inside.push(*who);
                }
            }
            Event::Tap => world.lock().unwrap().tap(),
        }
    }
    inside
}

fn position(order: &[Event], event: Event) -> usize {
    order.iter().position(|other| *other == event).unwrap()
}

fn first_to_ask(order: &[Event]) -> Who {
    let first = order.iter().find_map(|event| match event {
        Event::Start(who) => Some(*who),
        Event::Enter(_) | Event::Tap => None,
    });
    first.unwrap()
}

/// When the owner taps, as seen from the login that asked first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Tap {
    Before,
    InTime,
    Late,
}

fn tap_of(order: &[Event]) -> Tap {
    let first = first_to_ask(order);
    let tap = position(order, Event::Tap);
    if tap < position(order, Event::Start(first)) {
        Tap::Before
    } else if tap < position(order, Event::Enter(first)) {
        Tap::InTime
    } else {
        Tap::Late
    }
}

/// In how many orders the owner and an attacker get in, on one host and on two.
#[derive(Clone, Copy, Default)]
struct Row {
    orders: usize,
    owner: [usize; 2],
    attacker: [usize; 2],
}

impl Row {
    fn count(&mut self, hosts: usize, inside: &[Who]) {
        self.owner[hosts - 1] += usize::from(inside.contains(&Who::Owner));
        let is_attacker = |who: &Who| *who != Who::Owner;
        self.attacker[hosts - 1] += usize::from(inside.iter().any(is_attacker));
    }

    fn line(&self, first: &str, tap: &str) -> String {
        let Self {
            orders,
            owner,
            attacker,
        } = self;
        let counts = [*orders, owner[0], attacker[0], owner[1], attacker[1]];
        let counts = counts.map(|count| count.to_string()).join(" | ");
        format!("| {first} | {tap} | {counts} |\n")
    }
}

/// As SECURITY.md has it. A row for who asks first and when the tap is.
fn table(rows: &BTreeMap<(bool, Tap), Row>) -> String {
    let mut table = "\
| who asks first | the owner taps | orders | one host: the owner gets in | an attacker gets in | two hosts: the owner gets in | an attacker gets in |
| --- | --- | --: | --: | --: | --: | --: |
".to_owned();
    let mut all = Row::default();
    for ((by_attacker, tap), row) in rows {
        let first = if *by_attacker {
            "an attacker"
        } else {
            "the owner"
        };
        let tap = match tap {
            Tap::Before => "before that",
            Tap::InTime => "before that login presses Enter again",
            Tap::Late => "after that login has ended",
        };
        table += &row.line(first, tap);
        all.orders += row.orders;
        for hosts in [0, 1] {
            all.owner[hosts] += row.owner[hosts];
            all.attacker[hosts] += row.attacker[hosts];
        }
    }
    table + &all.line("all", "")
}

fn shared() -> Arc<Host> {
    Arc::new(Host::new())
}

#[test]
fn an_attacker_gets_in_only_by_a_tap_on_his_own_request_and_the_page_says_so() {
    let orders = orders();
    assert_eq!(orders.len(), 630);
    let mut rows: BTreeMap<_, Row> = BTreeMap::new();
    for order in &orders {
        let (first, tap) = (first_to_ask(order), tap_of(order));
        let row = rows.entry((first != Who::Owner, tap)).or_default();
        row.orders += 1;
        let one = shared();
        let kept = let_in(order, [&one, &one], false);
        // One request at a time, and no tap but on that one lets in: whoever asked first, if it was in time.
        let expected = if tap == Tap::InTime {
            vec![first]
        } else {
            Vec::new()
        };
        assert_eq!(kept, expected, "{order:?}");
        let one = shared();
        assert_eq!(let_in(order, [&one, &one], true), expected, "{order:?}");
        row.count(1, &kept);
        row.count(2, &let_in(order, [&shared(), &shared()], false));
    }
    let table = table(&rows);
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../SECURITY.md");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(
        page.contains(&table),
        "SECURITY.md lacks this table:\n\n{table}"
    );
}
