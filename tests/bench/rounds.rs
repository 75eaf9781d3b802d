//! The rounds: every contender once, in an order drawn anew, again and again.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::json;

use crate::Fault;
use crate::contenders::Contender;
use crate::login::{Login, log_in, traced};
use crate::options::Options;
use crate::setup::{Distance, Setup};
use crate::statistics::Shuffle;
use crate::waiting::{UNTIL_RELEASED, private_kib};
use support::trace::Trace;

/// Long enough for a connection to be made meanwhile over the emulated network: three round trips and some work.
const THINK_MS: i32 = 300;
/// The same without a delay.
const THINK_NEAR_MS: i32 = 100;
const AT_ONCE: usize = 16;

/// Everything measured of one contender; every list has one value a round.
#[derive(Debug, Default)]
pub struct Measured {
    /// Answered at once, no delay.
    pub plain: Vec<Login>,
    /// Answered after a while, no delay.
    pub near: Vec<Login>,
    /// Answered after a while, over the emulated network.
    pub far: Vec<Login>,
    /// Private memory at the prompt, in KiB.
    pub private_kib: Vec<f64>,
    /// Logins a second, many at once.
    pub concurrent: Vec<f64>,
    /// One login under strace, where there is one.
    pub trace: Option<Trace>,
}

/// In the order of the contenders.
#[derive(Debug)]
pub struct Rounds(pub Vec<Measured>);

impl Rounds {
    pub fn run(setup: &Setup, contenders: &[Contender], options: &Options) -> Result<Self, Fault> {
        let mut rounds = Self(contenders.iter().map(|_| Measured::default()).collect());
        for contender in contenders {
            contender.prepare(setup)?;
            // Files and libraries come from the page cache from here on.
            log_in(setup, &contender.command(setup, Distance::Near, 0), 0)?;
        }
        rounds.trace(setup, contenders, options)?;
        let mut shuffle = Shuffle::new();
        let log_in = |at: usize, distance, think| {
            log_in(setup, &contenders[at].command(setup, distance, think), 0)
        };
        for at in repeated(&mut shuffle, contenders, options.rounds()) {
            rounds.0[at].plain.push(log_in(at, Distance::Near, 0)?);
        }
        for at in repeated(&mut shuffle, contenders, options.thinking_rounds()) {
            rounds.0[at]
                .near
                .push(log_in(at, Distance::Near, THINK_NEAR_MS)?);
            rounds.0[at].far.push(log_in(at, Distance::Far, THINK_MS)?);
            let words = contenders[at].command(setup, Distance::Near, UNTIL_RELEASED);
            rounds.0[at].private_kib.push(private_kib(setup, &words)?);
        }
        for at in repeated(&mut shuffle, contenders, options.concurrent_rounds()) {
            let rate = concurrent(setup, &contenders[at], options.concurrent())?;
            rounds.0[at].concurrent.push(rate);
        }
        Ok(rounds)
    }

    fn trace(
        &mut self,
        setup: &Setup,
        contenders: &[Contender],
        options: &Options,
    ) -> Result<(), Fault> {
        let Some(strace) = &options.strace else {
            return Ok(());
        };
        for (measured, contender) in self.0.iter_mut().zip(contenders) {
            let words = contender.command(setup, Distance::Near, THINK_NEAR_MS);
            measured.trace = Some(traced(setup, strace, &words)?);
        }
        Ok(())
    }

    /// Every login.
    pub fn write_raw(&self, contenders: &[Contender], options: &Options) -> Result<(), Fault> {
        for (measured, contender) in self.0.iter().zip(contenders) {
            let name = contender.name();
            for (kind, logins) in [
                ("plain", &measured.plain),
                ("near", &measured.near),
                ("far", &measured.far),
            ] {
                for login in logins {
                    let what = json!({"contender": name, "kind": kind});
                    options.write_raw("logins", what, login.raw())?;
                }
            }
            let what = json!({"contender": name, "kind": "concurrent"});
            let rates = json!({"logins_per_second": measured.concurrent});
            options.write_raw("logins", what, rates)?;
        }
        Ok(())
    }
}

/// Every contender's index, as often as there are rounds.
pub fn repeated(shuffle: &mut Shuffle, contenders: &[Contender], rounds: usize) -> Vec<usize> {
    (0..rounds)
        .flat_map(|_| shuffle.order(contenders.len()))
        .collect()
}

/// Logins a second when that many log in and `AT_ONCE` of them at a time.
fn concurrent(setup: &Setup, contender: &Contender, logins: usize) -> Result<f64, Fault> {
    let words = contender.command(setup, Distance::Near, 0);
    let left = AtomicUsize::new(logins);
    let one_after_another = || -> Result<(), Fault> {
        while left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            })
            .is_ok()
        {
            log_in(setup, &words, 0)?;
        }
        Ok(())
    };
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE)
            .map(|_| scope.spawn(one_after_another))
            .collect();
        let ended = threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| "a thread panicked")?);
        ended.collect::<Result<Vec<()>, Fault>>()
    })?;
    Ok(logins as f64 / begun.elapsed().as_secs_f64())
}
