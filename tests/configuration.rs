//! The settings of a node, from all of their sources, and the page that documents them.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use clap::Command;
use dynamokv::NodeConfig;
use dynamokv::settings::{Error, Layers, Origin, Schema, cli};
use dynamokv_gateway::GatewayConfig;

/// What stands before the tables of the page.
const INTRODUCTION: &str = "\
# Configuration

Every setting of a node. This page is written by `UPDATE_DOCS=1 cargo test --test configuration` from the code; the same test fails
where the two differ.

A setting can be said in three places, of which later ones win: a TOML file (`--config FILE` or `DYNAMOKV_CONFIG`), whose keys are the
names below; the environment, where `data-dir` is `DYNAMOKV_DATA_DIR`, lists are separated by commas, and an empty variable counts as
not set; and flags, where it is `--data-dir`. `--print-config` prints every setting with its origin, as a TOML file, and ends. An
unknown key is an error that names the nearest known one; a value that cannot be used is one that names the setting, its limit
and where it was said.
";

const GATEWAY: &str = "\
## The gateway

A gateway has settings of its own, said in the same three places; its variables begin with `DYNAMOKV_GATEWAY_`, its file is that of
`DYNAMOKV_GATEWAY_CONFIG`.

";

fn page() -> String {
    let node = Schema::of::<NodeConfig>().to_markdown();
    let gateway = Schema::of::<GatewayConfig>().to_markdown();
    format!("{INTRODUCTION}{node}\n{GATEWAY}{gateway}")
}

#[test]
fn the_page_is_that_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap();
    assert!(
        kept == page(),
        "docs/configuration.md is not what the code says: UPDATE_DOCS=1 cargo test --test configuration"
    );
}

fn parse(args: &[&str]) -> Result<dynamokv::settings::Loaded<NodeConfig>, Error> {
    let command = cli::flags::<NodeConfig>(Command::new("node"));
    let args = [&["node"][..], args].concat();
    cli::load(&command.try_get_matches_from(args).unwrap())
}

#[test]
fn the_flags_are_sound_and_win_over_the_file() {
    cli::flags::<NodeConfig>(Command::new("node")).debug_assert();
    cli::flags::<GatewayConfig>(Command::new("gateway")).debug_assert();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.toml");
    std::fs::write(&path, "replicas = 5\nread-quorum = 3\nbootstrap = true\n").unwrap();
    let config = ["--config", path.to_str().unwrap()];
    let more = |more: &[&str]| parse(&[&config[..], more].concat());

    let loaded = more(&[
        "--read-quorum",
        "4",
        "--bootstrap=false",
        "--seed",
        "a:1,b:2",
        "--seeds",
        "c:3",
    ])
    .unwrap();
    let config = &loaded.settings;
    assert_eq!((config.replicas, config.read_quorum), (5, 4));
    assert_eq!(config.seeds, ["a:1", "b:2", "c:3"]);
    assert!(!config.bootstrap);
    assert_eq!(
        loaded.origin("replicas"),
        &Origin::File {
            path: path.clone(),
            line: 1
        }
    );
    assert_eq!(
        loaded.origin("read-quorum").to_string(),
        "flag --read-quorum"
    );
    assert_eq!(loaded.origin("slow-ms"), &Origin::Default);

    // Found between settings of two sources: the one to blame is named with its own.
    let error = more(&["--read-quorum", "6"]).unwrap_err().to_string();
    assert_eq!(
        error,
        "flag --read-quorum: `read-quorum` is 6, but must be 1..=5 (`replicas`)"
    );
    assert!(more(&["--bootstrap"]).unwrap().settings.bootstrap);
}

#[test]
fn what_is_printed_is_a_file_that_says_the_same() {
    let loaded = parse(&["--name", "n1", "--phi-threshold", "9", "--seed", "a:1"]).unwrap();
    let printed = loaded.to_string();
    assert!(printed.contains("# flag --phi-threshold"), "{printed}");
    assert!(printed.contains("# snapshot-dir is not set"), "{printed}");
    let read = Layers::of::<NodeConfig>()
        .file(Path::new("printed.toml"), &printed)
        .unwrap()
        .resolve::<NodeConfig>()
        .unwrap();
    assert_eq!(read.settings, loaded.settings);
}

#[test]
fn a_slip_of_the_pen_is_answered_with_the_nearest_name() {
    for setting in Schema::of::<NodeConfig>().settings() {
        let slip = setting.key.replace('-', "_") + "x";
        let text = format!("{slip} = 1");
        let error = Layers::of::<NodeConfig>().file(Path::new("node.toml"), &text);
        let error = error.unwrap_err().to_string();
        assert!(error.contains(&format!("`{}`?", setting.key)), "{error}");
        assert!(error.starts_with("node.toml:1: "), "{error}");
    }
}
