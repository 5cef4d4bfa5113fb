//! The options of what changes the cluster.

use std::marker::PhantomData;

use clap::{ArgMatches, Args, Command, FromArgMatches};
use dynamokv::NodeConfig;
use dynamokv_settings::{Settings, cli};

use crate::error::{Error, Result};
use crate::node::Connect;
use crate::output::Screen;

/// How a change is confirmed and followed.
#[derive(Debug, Args)]
pub(crate) struct Careful {
    /// Do it without asking
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Only show what it would move
    #[arg(long, conflicts_with_all = ["yes", "wait"])]
    pub(crate) dry_run: bool,
    /// Show progress until it is finished
    #[arg(short, long)]
    pub(crate) wait: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LeaveArgs {
    #[command(flatten)]
    pub(crate) connect: Connect,
    #[command(flatten)]
    pub(crate) careful: Careful,
}

#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    #[command(flatten)]
    pub(crate) connect: Connect,
    /// The dead node: its id, the beginning of it, or its name
    pub(crate) target: String,
    #[command(flatten)]
    pub(crate) careful: Careful,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("place").required(true).multiple(true))]
pub(crate) struct SetPlaceArgs {
    #[command(flatten)]
    pub(crate) connect: Connect,
    /// What it can carry; 100 is one ordinary node
    #[arg(long, group = "place", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) weight: Option<u32>,
    /// Its failure zone
    #[arg(long, group = "place")]
    pub(crate) zone: Option<String>,
    #[command(flatten)]
    pub(crate) careful: Careful,
}

/// The settings of a program as flags, read together with its file and environment.
#[derive(Debug)]
pub(crate) struct Flags<T>(ArgMatches, PhantomData<T>);

impl<T: Settings> Flags<T> {
    /// What file, environment and flags say together; none if that was only to be printed, which is done then.
    pub(crate) fn settings(&self, screen: &Screen) -> Result<Option<T>> {
        let wrong = |error: dynamokv_settings::Error| Error::Usage(error.to_string());
        let loaded = cli::load::<T>(&self.0).map_err(wrong)?;
        if cli::prints(&self.0) {
            let printed = screen.write(loaded.to_string().as_bytes());
            printed.map_err(Error::io("standard output"))?;
            return Ok(None);
        }
        Ok(Some(loaded.settings))
    }
}

impl<T: Settings> FromArgMatches for Flags<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self(matches.clone(), PhantomData))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0 = matches.clone();
        Ok(())
    }
}

impl<T: Settings> Args for Flags<T> {
    fn augment_args(command: Command) -> Command {
        cli::flags::<T>(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

#[derive(Debug, Args)]
pub(crate) struct JoinArgs {
    /// Do it without asking
    #[arg(short, long)]
    yes: bool,
    /// Only show what would move to the node
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    #[command(flatten)]
    pub(crate) settings: Flags<NodeConfig>,
}

impl JoinArgs {
    pub(crate) fn careful(&self) -> Careful {
        Careful {
            yes: self.yes,
            dry_run: self.dry_run,
            wait: false,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ReplaceArgs {
    /// The dead node: its id, the beginning of it, or its name
    pub(crate) target: String,
    #[command(flatten)]
    pub(crate) join: JoinArgs,
}
