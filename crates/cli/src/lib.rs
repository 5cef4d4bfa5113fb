#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod args;
mod command;
mod content;
mod error;
mod node;
mod output;
mod view;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::args::Cli;
use crate::error::Error;
use crate::output::{Format, Mood, Screen, json};

/// The command line, for completions, manual pages and documentation made elsewhere.
pub fn command_line() -> clap::Command {
    Cli::command()
}

/// Runs one command, and gives its exit code: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 not done, 5 may be done or not,
/// 6 refused, 7 not confirmed. Answers go to standard output, errors and progress to standard error.
pub async fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            let code = u8::try_from(error.exit_code()).unwrap_or(u8::MAX);
            // A closed output leaves nothing to be said.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let screen = Screen::new(cli.output, cli.color);
    match command::run(cli.command, &screen).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is_closed_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            report(&error, &screen);
            error.exit_code()
        }
    }
}

fn report(error: &Error, screen: &Screen) {
    if screen.format == Format::Json
        && let Ok(text) = json(&error.shape())
    {
        eprint!("{text}");
        return;
    }
    eprintln!("{} {error}", screen.error_ink.paint(Mood::Bad, "error:"));
    eprintln!(
        "{} {}",
        screen.error_ink.paint(Mood::Dim, "try:"),
        error.advice()
    );
}
