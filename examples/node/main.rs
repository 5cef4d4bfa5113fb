//! One DynamoKV node, from flags, environment variables and a TOML file.
//!
//! `cargo run --example node -- --bootstrap` founds a cluster, `--seed HOST:PORT` joins one, and `--standalone`
//! serves the raw service of this node alone; `restore` makes a data directory from a snapshot, `verify` reads one and looks for damage. `--help` explains every option.

#[cfg(feature = "rocksdb")]
mod restore;
#[cfg(feature = "rocksdb")]
mod verify;

use std::error::Error;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::{ArgMatches, Command};
use dynamokv::NodeConfig;
use dynamokv_settings::cli;
use tracing_subscriber::EnvFilter;

fn command() -> Command {
    let command = Command::new("node").about(
        "One DynamoKV node: --bootstrap founds a cluster, --seed joins one, --standalone serves alone",
    );
    let command = cli::flags::<NodeConfig>(command);
    #[cfg(feature = "rocksdb")]
    let command = command
        .subcommand(restore::command())
        .subcommand(verify::command());
    command
}

fn start_log(config: &NodeConfig) -> Result<(), Box<dyn Error>> {
    let filter = EnvFilter::try_new(&config.log).map_err(|error| format!("`log`: {error}"))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    if config.log_json {
        log.json().init()
    } else {
        log.init()
    }
    Ok(())
}

/// The one line that is always printed. A closed output is no reason to stop a node.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

async fn run(matches: &ArgMatches) -> Result<(), Box<dyn Error>> {
    #[cfg(feature = "rocksdb")]
    {
        let ended = match matches.subcommand() {
            Some(("restore", order)) => Some(restore::run(order)?),
            Some(("verify", what)) => Some(verify::run(what)?),
            _ => None,
        };
        if let Some(line) = ended {
            say(&line);
            return Ok(());
        }
    }
    let loaded = cli::load::<NodeConfig>(matches)?;
    if cli::prints(matches) {
        say(loaded.to_string().trim_end());
        return Ok(());
    }
    let config = loaded.settings;
    start_log(&config)?;
    Ok(dynamokv::serve(config, say).await?)
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&command().get_matches()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
