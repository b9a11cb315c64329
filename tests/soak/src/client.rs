//! A client over many outages of its server.

use std::process::Command;
use std::time::Instant;

use crate::outages::{self, Report};
use crate::{Result, USAGE};

pub(crate) fn run(mut arguments: impl Iterator<Item = String>) -> Result<()> {
    let mut rounds = 50;
    while let Some(option) = arguments.next() {
        match option.as_str() {
            "--rounds" => rounds = arguments.next().ok_or(USAGE)?.parse()?,
            _ => return Err(format!("unknown option {option}").into()),
        }
    }
    let started = Instant::now();
    let report = outages::survive(rounds, this_as_a_server, |round, outage, report: Report| {
        println!("{round:>4} {outage:?}: {report}");
    })?;
    let took = started.elapsed();
    println!("{rounds} rounds in {took:.1?}: {report}, none lost, none doubled");
    Ok(())
}

pub(crate) fn this_as_a_server(address: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["serve", address]);
    command
}
