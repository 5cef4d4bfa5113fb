//! The options of a node: a flag, an environment variable and a key of the file for each setting.
#![allow(unreachable_pub)] // Shared with tests/options.rs, which runs the tests below.

use std::error::Error;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use dynamokv::NodeConfig;
use toml::{Table, Value};

/// How an option's text becomes a value of the configuration.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Integer,
    Float,
    Flag,
    List,
}

/// Every key of the configuration, as the file names it.
const OPTIONS: &[(&str, Kind, &str)] = &[
    ("name", Kind::Text, "Display name in logs and listings"),
    (
        "id",
        Kind::Text,
        "Node id, 16 hexadecimal digits [default: drawn at the first start, kept with the data]",
    ),
    (
        "listen",
        Kind::Text,
        "Address to listen on; port 0 takes a free one",
    ),
    (
        "advertise",
        Kind::Text,
        "Address that others reach this node at [default: the one listened on]",
    ),
    ("data-dir", Kind::Text, "Folder of the RocksDB engine"),
    (
        "snapshot-dir",
        Kind::Text,
        "Folder that snapshots are written into, best on the disk of the data [default: no snapshots]",
    ),
    (
        "engine",
        Kind::Text,
        "What keeps the data: rocksdb, or memory (gone when the process ends)",
    ),
    (
        "durability",
        Kind::Text,
        "When a write is acknowledged: sync (after a shared fsync), interval, or os",
    ),
    (
        "sync-interval-ms",
        Kind::Integer,
        "Milliseconds between syncs with --durability interval",
    ),
    (
        "cluster",
        Kind::Text,
        "Name of the cluster; nodes of another name are refused",
    ),
    (
        "bootstrap",
        Kind::Flag,
        "Found a new cluster with this node as its first member",
    ),
    (
        "seeds",
        Kind::List,
        "Address of a member to join through; may be given several times, or with commas",
    ),
    (
        "replace",
        Kind::Text,
        "Id of the dead member whose place this node takes",
    ),
    (
        "partitions",
        Kind::Integer,
        "Q: partitions of the ring, a power of two; fixed when the cluster is founded",
    ),
    (
        "replicas",
        Kind::Integer,
        "N: copies of each key; fixed when the cluster is founded",
    ),
    (
        "read-quorum",
        Kind::Integer,
        "R: replicas that must answer a read",
    ),
    (
        "write-quorum",
        Kind::Integer,
        "W: replicas that must have a write",
    ),
    (
        "timeout-ms",
        Kind::Integer,
        "Milliseconds that a request may take when it does not say",
    ),
    (
        "slow-ms",
        Kind::Integer,
        "Milliseconds after which a further node is asked in place of a silent one",
    ),
    (
        "zone",
        Kind::Text,
        "Failure zone; copies of a key lie in distinct zones where there are enough",
    ),
    (
        "weight",
        Kind::Integer,
        "Share of the data relative to other nodes; 100 is an ordinary node",
    ),
    (
        "gossip-interval-ms",
        Kind::Integer,
        "Milliseconds between gossip rounds",
    ),
    (
        "phi-threshold",
        Kind::Float,
        "Suspicion at which a node counts as down: higher is slower and surer",
    ),
    (
        "exchange-interval-ms",
        Kind::Integer,
        "Milliseconds between rounds in which replicas compare their copies",
    ),
    (
        "exchange-bytes-per-second",
        Kind::Integer,
        "Bytes a second that may be moved to mend what differs, and read to count hash trees anew",
    ),
    (
        "tombstone-interval-ms",
        Kind::Integer,
        "Milliseconds between looks at deleted objects",
    ),
    (
        "tombstone-grace-s",
        Kind::Integer,
        "Seconds that a deleted object is remembered after all its owners know of it",
    ),
    (
        "hints-max",
        Kind::Integer,
        "Keys remembered one by one for each node that is away; of further ones whole ranges are",
    ),
    (
        "hint-rate",
        Kind::Integer,
        "Objects a second that are handed to nodes that came back",
    ),
    (
        "hint-age-max-s",
        Kind::Integer,
        "Seconds after which what is held for a node that is still away goes to the other owners",
    ),
    (
        "transfer-mib-per-second",
        Kind::Integer,
        "MiB a second that a membership change may stream to this node; 0 for no limit",
    ),
    (
        "transfer-page-kib",
        Kind::Integer,
        "KiB of one page of what is streamed",
    ),
    (
        "siblings-soft",
        Kind::Integer,
        "Siblings of a key at which a warning is logged",
    ),
    (
        "siblings-hard",
        Kind::Integer,
        "Siblings of a key at which further concurrent writes are refused",
    ),
    (
        "in-flight-max",
        Kind::Integer,
        "Requests under way at once; one more is refused as overloaded",
    ),
    (
        "standalone",
        Kind::Flag,
        "Serve the raw service of this node alone, without a cluster",
    ),
    (
        "families",
        Kind::List,
        "Column family of the raw service beside `default`, `lock` and `write`; may be given several times",
    ),
];

/// The command line.
pub fn command() -> Command {
    let defaults = Table::try_from(NodeConfig::default()).unwrap_or_default();
    let mut command = Command::new("node")
        .about("One DynamoKV node: --bootstrap founds a cluster, --seed joins one, --standalone serves alone")
        .after_help("A flag wins over its environment variable, and that over the file.")
        .arg(
            Arg::new("config")
                .long("config")
                .env("DYNAMOKV_CONFIG")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("TOML file whose keys are the names of these options"),
        )
        .arg(
            Arg::new("log")
                .long("log")
                .env("DYNAMOKV_LOG")
                .default_value("warn")
                .help("What to log: error, warn, info, debug, or a filter such as dynamokv=info"),
        )
        .arg(
            Arg::new("log-json")
                .long("log-json")
                .env("DYNAMOKV_LOG_JSON")
                .action(ArgAction::SetTrue)
                .help("Log as JSON, one object a line"),
        );
    for (key, kind, help) in OPTIONS {
        let default = match defaults.get(*key) {
            Some(Value::String(text)) if !text.is_empty() => format!(" [default: {text}]"),
            Some(number @ (Value::Integer(_) | Value::Float(_))) => format!(" [default: {number}]"),
            _ => String::new(),
        };
        let arg = Arg::new(*key)
            .long(*key)
            .env(format!("DYNAMOKV_{}", key.to_uppercase().replace('-', "_")))
            .help(format!("{help}{default}"));
        let arg = match kind {
            Kind::Flag => arg.action(ArgAction::SetTrue),
            Kind::List => arg.action(ArgAction::Append).value_delimiter(','),
            Kind::Integer => arg.value_parser(value_parser!(i64)),
            Kind::Float => arg.value_parser(value_parser!(f64)),
            Kind::Text => arg,
        };
        command = command.arg(if *key == "seeds" {
            arg.visible_alias("seed")
        } else {
            arg
        });
    }
    command
}

/// The file, overridden by what was said on the command line and in the environment.
pub fn configuration(matches: &ArgMatches) -> Result<NodeConfig, Box<dyn Error>> {
    let mut table = match matches.get_one::<PathBuf>("config") {
        None => Table::new(),
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|error| format!("{}: {error}", path.display()))?;
            NodeConfig::from_toml(&text).map_err(|error| format!("{}: {error}", path.display()))?;
            text.parse()?
        }
    };
    for (key, kind, _) in OPTIONS {
        let said = match kind {
            Kind::Flag => matches.get_flag(key).then_some(Value::Boolean(true)),
            Kind::List => matches
                .get_many::<String>(key)
                .map(|items| Value::Array(items.cloned().map(Value::String).collect())),
            Kind::Integer => matches.get_one::<i64>(key).copied().map(Value::Integer),
            Kind::Float => matches.get_one::<f64>(key).copied().map(Value::Float),
            Kind::Text => matches.get_one::<String>(key).cloned().map(Value::String),
        };
        if let Some(value) = said {
            // One key at a time, so that an error names it.
            let alone = Table::from_iter([((*key).to_owned(), value.clone())]);
            NodeConfig::from_table(alone)
                .map_err(|error| format!("--{key}: {}", error.message()))?;
            table.insert((*key).to_owned(), value);
        }
    }
    let config = NodeConfig::from_table(table)?;
    config.validate()?;
    Ok(config)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_has_an_option_and_every_option_a_setting() {
        let config = NodeConfig::from_toml(
            "id = \"00000000000000a1\"\nadvertise = \"a:1\"\nsnapshot-dir = \"s\"\nreplace = \"00000000000000a2\"",
        )
        .unwrap();
        let mut settings: Vec<String> = Table::try_from(config).unwrap().keys().cloned().collect();
        let mut options: Vec<String> = OPTIONS
            .iter()
            .map(|(key, _, _)| (*key).to_owned())
            .collect();
        settings.sort();
        options.sort();
        assert_eq!(settings, options);
        command().debug_assert();
    }

    #[test]
    fn a_flag_wins_over_the_file_and_errors_name_the_key() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("node.toml");
        std::fs::write(&file, "replicas = 5\nread-quorum = 3\n").unwrap();
        let file = file.to_str().unwrap();
        let parse = |args: &[&str]| {
            let args = [&["node", "--config", file][..], args].concat();
            configuration(&command().try_get_matches_from(args).unwrap())
        };
        let config = parse(&["--read-quorum", "4", "--seed", "a:1,b:2"]).unwrap();
        assert_eq!((config.replicas, config.read_quorum), (5, 4));
        assert_eq!(config.seeds, ["a:1", "b:2"]);
        let error = parse(&["--engine", "paper"]).unwrap_err().to_string();
        assert!(
            error.contains("--engine") && error.contains("paper"),
            "{error}"
        );
        let error = parse(&["--read-quorum", "6"]).unwrap_err().to_string();
        assert!(
            error.contains("read-quorum") && error.contains("1..=5"),
            "{error}"
        );
        std::fs::write(file, "replicaz = 5\n").unwrap();
        let error = parse(&[]).unwrap_err().to_string();
        assert!(
            error.contains("replicaz") && error.contains("node.toml"),
            "{error}"
        );
    }
}
