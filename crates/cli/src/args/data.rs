//! The options of commands on keys.

use std::path::PathBuf;

use clap::Args;

use crate::node::Connect;

/// Which keys.
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

/// Which keys, and how many replicas must answer.
#[derive(Debug, Args)]
pub(crate) struct Quorum {
    #[command(flatten)]
    pub(crate) keyspace: Keyspace,
    /// Replicas that must answer a read, or have a write [default: that of the nodes]
    #[arg(short, long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) replicas: Option<u32>,
    /// Only the key's own replicas count, no stand-ins
    #[arg(long)]
    pub(crate) strict: bool,
}

#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    #[command(flatten)]
    pub(crate) connect: Connect,
    /// The key
    pub(crate) key: String,
    #[command(flatten)]
    pub(crate) quorum: Quorum,
    /// Write the bytes of the only value and nothing else
    #[arg(long)]
    pub(crate) raw: bool,
    /// Write the bytes of that one of several concurrent values, from 1
    #[arg(long, value_name = "NUMBER")]
    pub(crate) sibling: Option<usize>,
}

#[derive(Debug, Args)]
pub(crate) struct PutArgs {
    #[command(flatten)]
    pub(crate) connect: Connect,
    /// The key
    pub(crate) key: String,
    /// The value; without it, the file or standard input is read
    #[arg(conflicts_with = "file")]
    pub(crate) value: Option<String>,
    /// File to read the value from; `-` is standard input
    #[arg(short, long)]
    pub(crate) file: Option<PathBuf>,
    /// Do not read first: what is there stays beside the new value
    #[arg(long, conflicts_with = "context")]
    pub(crate) blind: bool,
    /// Replace what this context of an earlier answer has seen, instead of reading first
    #[arg(long, value_name = "BASE64")]
    pub(crate) context: Option<String>,
    /// Media type, kept with the value
    #[arg(long, value_name = "TYPE")]
    pub(crate) content_type: Option<String>,
    #[command(flatten)]
    pub(crate) quorum: Quorum,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    pub(crate) connect: Connect,
    /// The key
    pub(crate) key: String,
    /// Delete what this context of an earlier answer has seen, instead of reading first
    #[arg(long, value_name = "BASE64")]
    pub(crate) context: Option<String>,
    #[command(flatten)]
    pub(crate) quorum: Quorum,
}

#[derive(Debug, Args)]
pub(crate) struct KeysArgs {
    #[command(flatten)]
    pub(crate) connect: Connect,
    #[command(flatten)]
    pub(crate) keyspace: Keyspace,
    /// Only those that begin so
    #[arg(long, value_name = "TEXT")]
    pub(crate) prefix: Option<String>,
    /// Stop after so many
    #[arg(long, value_name = "NUMBER")]
    pub(crate) limit: Option<usize>,
}
