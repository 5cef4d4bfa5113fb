//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::node::Connect;
use crate::output::{Colours, Format};

/// Keys and values, the cluster and its nodes.
#[derive(Debug, Parser)]
#[command(
    name = "dynamokv",
    version,
    about = "DynamoKV: keys and values, the cluster and its nodes",
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 not done, 5 may be done or not, 6 refused, 7 not confirmed.",
    propagate_version = true
)]
pub(crate) struct Cli {
    /// How answers are written
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        default_value_t,
        env = "DYNAMOKV_OUTPUT"
    )]
    pub(crate) output: Format,
    /// When colours are used
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub(crate) color: Colours,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// How a node fares, or all of them
    Status(Wide),
    /// The nodes that the asked one knows
    Members(MembersArgs),
    /// Who owns what, how evenly, and the open membership change
    Ring(Connect),
    /// Where a key belongs, and who holds which version of it
    Locate(LocateArgs),
    /// What nodes hold for others
    Hints(Wide),
    /// What streams to which node for the open membership change
    Transfers(TransfersArgs),
    /// How the copies of a node compare with those of other owners
    Exchanges(Wide),
    /// Writes a snapshot of the asked node's data into its `snapshot-dir`
    Snapshot(SnapshotArgs),
    /// Takes the asked node out of the cluster, its data handed over
    Leave(LeaveArgs),
    /// Gives up a dead node: its heirs read its data from the other owners
    Remove(RemoveArgs),
    /// Gives the asked node another weight or zone
    SetPlace(SetPlaceArgs),
    /// Prints a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Writes the manual pages into a folder
    Man {
        /// The folder; it is made if need be
        folder: PathBuf,
    },
}

/// One node, or each.
#[derive(Debug, Args)]
pub(crate) struct Wide {
    #[command(flatten)]
    pub(crate) connect: Connect,
    /// Ask each node of the cluster
    #[arg(short, long)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct MembersArgs {
    #[command(flatten)]
    pub(crate) connect: Connect,
    /// Show those that are gone for good, too
    #[arg(long)]
    pub(crate) left: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LocateArgs {
    #[command(flatten)]
    pub(crate) connect: Connect,
    /// The key
    pub(crate) key: String,
    #[command(flatten)]
    pub(crate) keyspace: Keyspace,
    /// Ask every node for a copy, not only those that should have one
    #[arg(short, long)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Keyspace {
    /// The keyspace
    #[arg(
        short = 'k',
        long = "keyspace",
        value_name = "NAME",
        default_value = "default",
        env = "DYNAMOKV_KEYSPACE"
    )]
    pub(crate) name: String,
}

#[derive(Debug, Args)]
pub(crate) struct TransfersArgs {
    #[command(flatten)]
    pub(crate) connect: Connect,
    /// Show progress until the open change is finished
    #[arg(short, long)]
    pub(crate) watch: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SnapshotArgs {
    #[command(flatten)]
    pub(crate) connect: Connect,
    /// The folder to make: 1 to 64 characters of a-z, 0-9, `_` and `-`
    pub(crate) name: String,
}

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
