//! `iopt`: reads the translation tables of an IOMMU out of a memory image.
#![forbid(unsafe_code)]

mod copy;
mod devices;
mod dmar;
mod error;
mod held;
mod human;
mod info;
mod interrupts;
mod json;
mod live;
mod memory;
mod output;
mod path;
mod progress;
mod ranges;
mod sample;
mod sharing;
mod statistics;
mod tally;
mod translate;
mod translator;
mod units;

use error::{Error, Outcome};
use iopt_command::args::{Args, Command};
use iopt_command::{args, line, request};
use output::Output;
use std::process::ExitCode;

fn main() -> ExitCode {
    match Args::read(std::env::args_os()) {
        Ok(args) => error::exit_code(run(&args)),
        Err(refused) => error::not_run(&refused),
    }
}

fn run(args: &Args) -> Result<Outcome, Error> {
    let mut output = Output::new(args.common.json);
    let outcome = match &args.command {
        Command::Info(command) => info::run(&args.common, command, &mut output),
        Command::Devices(command) => devices::run(&args.common, command, &mut output),
        Command::Ranges(command) => ranges::run(&args.common, command, &mut output),
        Command::Translate(command) => translate::run(&args.common, command, &mut output),
        Command::Interrupts(command) => interrupts::run(&args.common, command, &mut output),
        Command::Copy(command) => copy::run(&args.common, command, &mut output),
        Command::Dmar(command) => dmar::run(&args.common, command, &mut output),
    }?;
    Ok(outcome.max(output.finish()?))
}
