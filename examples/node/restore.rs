//! `node restore`: a data directory from a snapshot.

use std::error::Error;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Arg, ArgMatches, Command, value_parser};
use dynamokv::Restore;

pub(crate) fn command() -> Command {
    let folder = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("FOLDER")
            .required(true)
            .value_parser(value_parser!(PathBuf))
            .help(help)
    };
    Command::new("restore")
        .about("Makes a data directory from a snapshot; start the node on it as ever afterwards")
        .arg(folder("from", "The snapshot; it is copied"))
        .arg(folder("to", "The data directory to make: empty, or not there yet"))
        .arg(
            Arg::new("new-cluster-id")
                .long("new-cluster-id")
                .value_name("HEX")
                .value_parser(cluster_id)
                .help("To restore all members as a new cluster: its id, hexadecimal, the same for each"),
        )
        .arg(
            Arg::new("tombstone-grace-s")
                .long("tombstone-grace-s")
                .value_name("NUMBER")
                .value_parser(value_parser!(u64).range(1..=365 * 24 * 60 * 60))
                .help("The setting of that name of the cluster, where it has another than the default: an older snapshot is refused"),
        )
}

fn cluster_id(text: &str) -> Result<NonZeroU64, String> {
    let wrong = || "must be 1 to 16 hexadecimal digits, and not zero".to_owned();
    let id = u64::from_str_radix(text, 16).map_err(|_| wrong())?;
    NonZeroU64::new(id).ok_or_else(wrong)
}

pub(crate) fn run(matches: &ArgMatches) -> Result<String, Box<dyn Error>> {
    let folder = |name| {
        matches
            .get_one::<PathBuf>(name)
            .cloned()
            .unwrap_or_default()
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let mut order = Restore::new(folder("from"), folder("to"), now.as_millis().try_into()?);
    order.new_cluster = matches.get_one("new-cluster-id").copied();
    if let Some(grace_s) = matches.get_one::<u64>("tombstone-grace-s") {
        order.grace_ms = grace_s * 1_000;
    }
    dynamokv::restore(&order)?;
    Ok(format!("restored into {}", order.data_dir.display()))
}
