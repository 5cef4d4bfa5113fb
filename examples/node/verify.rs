//! `node verify`: reads a whole data directory that no node has open, and says what of it is damaged.

use std::error::Error;
use std::path::PathBuf;

use clap::{Arg, ArgMatches, Command, value_parser};
use dynamokv::storage::{ObjectStore, RocksEngine, RocksOptions, VerifyReport};

pub(crate) fn command() -> Command {
    Command::new("verify")
        .about("Reads a data directory or snapshot that no node has open, checks every record, and changes nothing")
        .arg(
            Arg::new("folder")
                .value_name("FOLDER")
                .required(true)
                .value_parser(value_parser!(PathBuf))
                .help("The data directory, or a snapshot"),
        )
}

/// What was found; an error if anything of it is damaged.
pub(crate) fn run(matches: &ArgMatches) -> Result<String, Box<dyn Error>> {
    let folder = matches.get_one::<PathBuf>("folder");
    let folder = folder.cloned().unwrap_or_default();
    let engine = RocksEngine::open_read_only(&folder, &RocksOptions::default())?;
    let report = ObjectStore::verify(&engine)?;
    if report.is_intact() {
        return Ok(format!(
            "{}: {} records and {} other entries, {} bytes of records, nothing damaged",
            folder.display(),
            report.records,
            report.other_entries,
            report.bytes
        ));
    }
    Err(format!("{} is damaged:\n{}", folder.display(), damages(&report)).into())
}

fn damages(report: &VerifyReport) -> String {
    let records = report.damaged.iter().map(|damaged| match &damaged.key {
        Some(key) => format!("  record {key:?}: {}", damaged.reason),
        None => format!(
            "  record at {:02x?}: {}",
            &damaged.engine_key[..],
            damaged.reason
        ),
    });
    let unlisted = report.damaged_records - report.damaged.len() as u64;
    let unlisted = (unlisted > 0).then(|| format!("  and {unlisted} records more"));
    let entries = report.damaged_entries.iter();
    let entries = entries.map(|name| format!("  the node's own entry {name}"));
    let cut_short = report.cut_short.iter().map(|(family, reason)| {
        format!("  family {family:?} could not be read to its end ({reason}): what lies beyond is unknown")
    });
    let lines: Vec<String> = records
        .chain(unlisted)
        .chain(entries)
        .chain(cut_short)
        .collect();
    lines.join("\n") + "\nempty the folder and let the node refill, or restore it from a snapshot"
}
