//! iVALT's name has two addresses, and the first does not answer.

use std::ffi::OsString;

use serde_json::json;

use crate::Fault;
use crate::contenders::{Contender, Kind, asking};
use crate::login::log_in;
use crate::options::Options;
use crate::setup::{Distance, Roots, Setup};
use crate::statistics::{Shuffle, spread};
use crate::tables::{number, table};

pub fn print(setup: &Setup, options: &Options) -> Result<(), Fault> {
    if options.far.is_none() {
        println!("\nLeft out: a dead first address (no tun device).");
        return Ok(());
    }
    let contenders = asking(Roots::One);
    let (rounds, limit) = options.dead_address();
    let mut times: Vec<[Vec<f64>; 2]> = contenders.iter().map(|_| Default::default()).collect();
    let mut shuffle = Shuffle::new();
    for round in 0..rounds {
        for at in shuffle.order(contenders.len()) {
            // Of the C program one round says it all: it waits as long as connect(2) does.
            if round == 0 || contenders[at].kind != Kind::Least {
                let [alive, dead] = &mut times[at];
                alive.extend(wall_ms(setup, &contenders[at], Distance::Far, limit)?);
                dead.extend(wall_ms(setup, &contenders[at], Distance::Dead, limit)?);
            }
        }
    }
    for (contender, [alive, dead]) in contenders.iter().zip(&times) {
        let what = json!({"contender": contender.short_name()});
        let measured = json!({"one_address_ms": alive, "first_dead_ms": dead});
        options.write_raw("dead address", what, measured)?;
    }
    let rows = contenders.iter().zip(&times).map(|(contender, times)| {
        let [alive, dead] = times.each_ref().map(|times| in_time(times, limit));
        let name = contender.short_name();
        [format!("dead first address: {name}"), alive, dead]
    });
    let method = format!(
        "Two addresses for the name, a round trip away; the first does not answer. Answered at once; medians of \
         {rounds} rounds. The C program tries one address after the other with connect(2), which by itself gives up \
         after two minutes; here it is ended after {limit} s."
    );
    let titles = [
        "dead first address",
        "wall ms, one address",
        "wall ms, first address dead",
    ];
    table("A dead first address", &method, titles, rows);
    Ok(())
}

fn in_time(times: &[f64], limit: u32) -> String {
    if times.is_empty() {
        return format!("> {}", limit * 1000);
    }
    number(spread(times.iter().copied()).median)
}

/// None when the login did not end within `limit` seconds, by timeout(1).
fn wall_ms(
    setup: &Setup,
    contender: &Contender,
    distance: Distance,
    limit: u32,
) -> Result<Option<f64>, Fault> {
    let mut words: Vec<OsString> = vec!["/usr/bin/timeout".into(), limit.to_string().into()];
    words.extend(contender.command(setup, distance, 0));
    match log_in(setup, &words, 0) {
        Ok(login) => Ok(Some(login.wall_ms)),
        Err(_) if contender.kind == Kind::Least && distance == Distance::Dead => Ok(None),
        Err(fault) => Err(fault),
    }
}
