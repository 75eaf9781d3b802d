//! What the number of trusted roots costs.

use serde_json::json;

use crate::Fault;
use crate::contenders::{Contender, asking};
use crate::login::{Login, log_in};
use crate::options::Options;
use crate::rounds::repeated;
use crate::setup::{Distance, Roots, Setup};
use crate::statistics::{Shuffle, spread};
use crate::tables::{number, ratio, table};

pub fn print(setup: &Setup, options: &Options) -> Result<(), Fault> {
    let contenders: Vec<Contender> = [Roots::One, Roots::Bundle, Roots::Many]
        .into_iter()
        .flat_map(asking)
        .collect();
    let logins = measure(setup, &contenders, options.roots_rounds())?;
    for (contender, mine) in contenders.iter().zip(&logins) {
        let roots = setup.number_of(contender.roots);
        let what = json!({"contender": contender.short_name(), "roots": roots});
        for login in mine {
            options.write_raw("roots", what.clone(), login.raw())?;
        }
    }
    let rows = contenders.iter().zip(&logins).map(|(contender, mine)| {
        let is_least = |other: &Contender| *other == asking(contender.roots)[2];
        let least = contenders.iter().position(is_least).unwrap_or(0);
        let name = contender.short_name();
        [
            format!("{}: {name}", counted(setup.number_of(contender.roots))),
            number(spread(mine.iter().map(|login| login.wall_ms)).median),
            number(spread(mine.iter().map(|login| login.cpu_ms)).median),
            ratio(mine, &logins[least], |login| login.cpu_ms),
            number(spread(mine.iter().map(|login| login.rss_kib * 1024.0 / 1e6)).median),
        ]
    });
    let method = format!(
        "Medians of {} rounds. The system's roots and the stand-in's are {}; the largest bundle has variants of the \
         system's that differ in the signature.",
        options.roots_rounds(),
        setup.roots
    );
    let titles = [
        "trusted roots",
        "wall ms",
        "CPU ms",
        "CPU ÷ OpenSSL",
        "resident MB",
    ];
    table("Trusted roots", &method, titles, rows);
    Ok(())
}

fn counted(roots: usize) -> String {
    let plural = if roots == 1 { "" } else { "s" };
    format!("{roots} root{plural}")
}

/// A list for each contender, one login a round after one that fills the page cache.
fn measure(
    setup: &Setup,
    contenders: &[Contender],
    rounds: usize,
) -> Result<Vec<Vec<Login>>, Fault> {
    let mut logins: Vec<Vec<Login>> = contenders.iter().map(|_| Vec::new()).collect();
    for contender in contenders {
        contender.prepare(setup)?;
        log_in(setup, &contender.command(setup, Distance::Near, 0), 0)?;
    }
    for at in repeated(&mut Shuffle::new(), contenders, rounds) {
        let words = contenders[at].command(setup, Distance::Near, 0);
        logins[at].push(log_in(setup, &words, 0)?);
    }
    Ok(logins)
}
