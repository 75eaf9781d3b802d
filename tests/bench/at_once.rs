//! Many logins at once: all wait at their prompt, then all are answered.

use std::ffi::OsString;
use std::time::Instant;

use serde_json::{Value, json};

use crate::Fault;
use crate::contenders::{Contender, asking};
use crate::login::Login;
use crate::options::Options;
use crate::rounds::repeated;
use crate::setup::{Distance, Roots, Setup};
use crate::statistics::{Shuffle, spread};
use crate::tables::{number, ratio, table, with_spread};
use crate::waiting::{UNTIL_RELEASED, Waiting, settled_private_kib};

/// One round, a login.
#[derive(Debug)]
struct Crowd {
    per_second: f64,
    cpu_ms: f64,
    resident_mb: f64,
    private_kib: f64,
}

impl Crowd {
    fn raw(&self) -> Value {
        json!({
            "logins_per_second": self.per_second, "cpu_ms": self.cpu_ms, "resident_mb": self.resident_mb,
            "private_kib": self.private_kib,
        })
    }
}

pub fn print(setup: &Setup, options: &Options) -> Result<(), Fault> {
    let contenders = asking(Roots::Bundle);
    let mut rows = Vec::new();
    for &(logins, rounds) in options.at_once() {
        let crowds = measure(setup, &contenders, logins, rounds)?;
        for (contender, mine) in contenders.iter().zip(&crowds) {
            let what = json!({"contender": contender.short_name(), "at_once": logins});
            for crowd in mine {
                options.write_raw("at once", what.clone(), crowd.raw())?;
            }
        }
        let least = &crowds[crowds.len() - 1];
        let named = contenders.iter().zip(&crowds);
        rows.extend(named.map(|(contender, mine)| cells(contender, logins, mine, least)));
    }
    table(
        "Logins at once",
        "All wait at their prompt, then all are answered in the same moment: logins a second from then until the last \
         has ended. CPU and memory are those of a login, its process's start included; resident: its largest, shared \
         pages counted for each; private: at the prompt, connected if it connects there, where the C program has \
         loaded nothing yet. Medians of a few rounds. Machine and stand-in are the same for all and share \
         the cores: logins a second include the server's work, CPU does not.",
        [
            "logins at once",
            "CPU ms a login",
            "CPU ÷ OpenSSL",
            "logins a second",
            "resident MB a login",
            "private kB at the prompt",
        ],
        rows,
    );
    Ok(())
}

fn cells(contender: &Contender, logins: usize, mine: &[Crowd], least: &[Crowd]) -> [String; 6] {
    let median = |what: fn(&Crowd) -> f64| spread(mine.iter().map(what));
    [
        format!("{logins} at once: {}", contender.short_name()),
        number(median(|crowd| crowd.cpu_ms).median),
        ratio(mine, least, |crowd| crowd.cpu_ms),
        with_spread(median(|crowd| crowd.per_second), 0),
        number(median(|crowd| crowd.resident_mb).median),
        format!("{:.0}", median(|crowd| crowd.private_kib).median),
    ]
}

/// A list for each contender, one value a round.
fn measure(
    setup: &Setup,
    contenders: &[Contender],
    logins: usize,
    rounds: usize,
) -> Result<Vec<Vec<Crowd>>, Fault> {
    let mut crowds: Vec<Vec<Crowd>> = contenders.iter().map(|_| Vec::new()).collect();
    for at in repeated(&mut Shuffle::new(), contenders, rounds) {
        let words = contenders[at].command(setup, Distance::Near, UNTIL_RELEASED);
        crowds[at].push(log_in_at_once(setup, &words, logins)?);
    }
    Ok(crowds)
}

fn log_in_at_once(setup: &Setup, words: &[OsString], logins: usize) -> Result<Crowd, Fault> {
    let started = (0..logins).map(|_| Waiting::start(setup, words));
    let mut waiting = started.collect::<Result<Vec<_>, Fault>>()?;
    waiting.iter_mut().try_for_each(Waiting::wait_for_prompt)?;
    let private_kib = settled_private_kib(&waiting)?;
    let begun = Instant::now();
    waiting.iter_mut().for_each(Waiting::release);
    let ended = waiting.into_iter().map(Waiting::finish);
    let ended = ended.collect::<Result<Vec<Login>, Fault>>()?;
    let a_login = |what: fn(&Login) -> f64| ended.iter().map(what).sum::<f64>() / logins as f64;
    Ok(Crowd {
        per_second: logins as f64 / begun.elapsed().as_secs_f64(),
        cpu_ms: a_login(|login| login.cpu_ms),
        resident_mb: a_login(|login| login.rss_kib * 1024.0 / 1e6),
        private_kib,
    })
}
