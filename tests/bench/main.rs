//! Measures logins side by side and prints the result as Markdown; `scripts/bench` prepares everything it needs.
//!
//! `bench --tools DIR --work DIR --module FILE [--far NAME] [--strace FILE] [--curl FILE] [--json FILE] [--quick]`
//!
//! All contenders take part in every round, in an order that is drawn anew each time, and ratios are formed within a
//! round: what else the machine is busy with then weighs on both sides of the division.

mod at_once;
mod contenders;
mod dead_address;
mod login;
mod options;
mod roots;
mod rounds;
mod setup;
mod statistics;
mod tables;
mod users;
mod waiting;

use std::error::Error;
use std::process::ExitCode;

use options::Options;
use rounds::Rounds;
use setup::Setup;

/// Whatever keeps a measurement from being one; said as it is.
pub type Fault = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("bench: {fault}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Fault> {
    let options = Options::parse(std::env::args().skip(1))?;
    let setup = Setup::prepare(&options)?;
    let contenders = contenders::all(&options);
    let rounds = Rounds::run(&setup, &contenders, &options)?;
    let users = users::measure(&setup, &options)?;
    rounds.write_raw(&contenders, &options)?;
    users::write_raw(&users, &options)?;
    tables::print(&setup, &options, &contenders, &rounds, &users);
    at_once::print(&setup, &options)?;
    roots::print(&setup, &options)?;
    dead_address::print(&setup, &options)?;
    Ok(())
}
