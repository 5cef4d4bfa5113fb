//! The commands: what is asked, in which order, and what is shown.

mod bench;
mod change;
mod data;
mod look;
mod serve;
mod shell;
mod watch;

use crate::args::Command;
use crate::error::Result;
use crate::output::Screen;

pub(crate) async fn run(command: Command, screen: &Screen) -> Result<()> {
    match command {
        Command::Get(args) => data::get(&args, screen).await,
        Command::Put(args) => data::put(&args, screen).await,
        Command::Delete(args) => data::delete(&args, screen).await,
        Command::Keys(args) => data::keys(&args, screen).await,
        Command::Bench(args) => bench::bench(&args, screen).await,
        Command::Serve(flags) => serve::serve(&flags, screen).await,
        Command::Gateway(flags) => serve::gateway(&flags, screen).await,
        Command::Join(args) => serve::join(&args, screen).await,
        Command::Replace(args) => serve::replace(&args, screen).await,
        Command::Status(args) => look::status(&args, screen).await,
        Command::Members(args) => look::members(&args, screen).await,
        Command::Ring(connect) => look::ring(&connect, screen).await,
        Command::Locate(args) => look::locate(&args, screen).await,
        Command::Hints(args) => look::hints(&args, screen).await,
        Command::Exchanges(args) => look::exchanges(&args, screen).await,
        Command::Transfers(args) => watch::transfers(&args, screen).await,
        Command::Snapshot(args) => change::snapshot(&args, screen).await,
        Command::Leave(args) => change::leave(&args, screen).await,
        Command::Remove(args) => change::remove(&args, screen).await,
        Command::SetPlace(args) => change::set_place(&args, screen).await,
        Command::Completions { shell } => shell::completions(shell, screen),
        Command::Man { folder } => shell::manual(&folder, screen),
    }
}

/// An answer that cannot be written.
fn shown(result: std::io::Result<()>) -> Result<()> {
    result.map_err(crate::error::Error::io("standard output"))
}
