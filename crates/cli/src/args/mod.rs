//! The command line.

mod bench;
mod change;
mod data;

pub(crate) use bench::{BenchArgs, FILL_IN_FLIGHT, Mode};
pub(crate) use change::{
    Careful, Flags, JoinArgs, LeaveArgs, RemoveArgs, ReplaceArgs, SetPlaceArgs,
};
pub(crate) use data::{DeleteArgs, GetArgs, KeysArgs, Keyspace, PutArgs, Quorum};

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use dynamokv::NodeConfig;
use dynamokv_gateway::GatewayConfig;

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
    /// Reads the values of a key
    Get(GetArgs),
    /// Reads a key, and replaces what was read by a new value
    Put(PutArgs),
    /// Reads a key, and deletes what was read
    Delete(DeleteArgs),
    /// Lists the keys of a keyspace
    Keys(KeysArgs),
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
    /// Runs a node: --bootstrap founds a cluster, --seed joins one, --standalone serves alone
    Serve(Flags<NodeConfig>),
    /// Shows what would move to a new node, and then runs it: `serve` with a look before
    Join(JoinArgs),
    /// Shows what would move to a new node in a dead one's place, and then runs it
    Replace(ReplaceArgs),
    /// Runs a front of the cluster: HTTP and gRPC in, each request straight to a replica
    Gateway(Flags<GatewayConfig>),
    /// Loads the cluster, and says how long requests took
    Bench(BenchArgs),
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
