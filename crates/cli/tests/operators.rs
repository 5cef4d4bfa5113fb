//! The operators' commands, run as a program against real nodes with the memory engine.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod program;
#[path = "../../../tests/support/mod.rs"]
mod support;

use program::{Dynamokv, exit};
use support::{Cell, cluster, eventually};

fn shell(cells: &[Cell]) -> Dynamokv {
    Dynamokv::through(cells.iter().map(Cell::address))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_the_cluster() {
    let mut cells = cluster(3).await;
    cells[0].client().put("cart", "tea", b"").await.unwrap();
    let shell = shell(&cells);

    let status = shell.json(&["status"]).await;
    assert_eq!(status["nodes"][0]["name"], "n1");
    assert_eq!(status["nodes"][0]["ready"], true);
    let all = shell.json(&["status", "--all"]).await;
    assert_eq!(all["nodes"].as_array().unwrap().len(), 3);
    let ring = shell.json(&["ring"]).await;
    assert_eq!(
        (ring["partitions"].as_u64(), ring["replicas"].as_u64()),
        (Some(64), Some(3))
    );
    let shares = ring["members"].as_array().unwrap();
    let sum: f64 = shares
        .iter()
        .map(|share| share["share"].as_f64().unwrap())
        .sum();
    assert!((sum - 1.0).abs() < 1e-9, "{ring}");
    eventually("all owners hold the key", async || {
        let located = shell.json(&["locate", "cart"]).await;
        assert_eq!(located["copies"].as_array().unwrap().len(), 3);
        located["agreed"] == true
    })
    .await;
    let located = shell.json(&["locate", "cart"]).await;
    assert_eq!(located["copies"][0]["copy"]["values"][0]["bytes"], 3);
    for command in ["hints", "transfers", "exchanges"] {
        let asked = shell.json(&[command]).await;
        assert_eq!(
            asked["unreachable"].as_array().unwrap().len(),
            0,
            "{command}"
        );
    }
    let table = shell.text(&["members"]).await;
    assert!(table.starts_with("NAME"), "{table}");
    assert!(
        !table.contains('\u{1b}'),
        "no colours where nobody looks: {table}"
    );
    assert_eq!(table.lines().count(), 4, "{table}");

    let third = cells[2].id();
    cells[2].kill().await;
    let all = shell.json(&["status", "--all"]).await;
    assert_eq!(all["unreachable"][0]["node"], third.as_str());
    let located = shell.json(&["locate", "cart"]).await;
    assert_eq!(located["agreed"], false, "{located}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_changes_the_cluster() {
    let mut cells = cluster(5).await;
    let fifth = Dynamokv::through([cells[4].address()]);
    let id = cells[4].id();

    let refused = fifth.run(&["leave"]).await;
    assert_eq!(exit(&refused), 7, "{refused:?}");
    let dry = fifth.json(&["leave", "--dry-run"]).await;
    assert_eq!(
        (&dry["ordered"], &dry["node"]),
        (&false.into(), &id.as_str().into())
    );
    assert!(dry["preview"]["moves"].as_u64() > Some(0), "{dry}");
    let status = fifth.json(&["status"]).await;
    assert_eq!(
        status["nodes"][0]["status"], "up",
        "nothing was ordered yet"
    );
    let left = fifth.json(&["leave", "--yes", "--wait"]).await;
    assert_eq!(left["finished"], true, "{left}");
    let rest = shell(&cells[..4]);
    let shares = rest.json(&["ring"]).await["members"].clone();
    assert_eq!(shares.as_array().unwrap().len(), 4);

    cells[3].kill().await;
    let removed = rest.json(&["remove", "n4", "--yes", "--wait"]).await;
    assert_eq!(removed["finished"], true, "{removed}");
    let shares = rest.json(&["ring"]).await["members"].clone();
    assert_eq!(shares.as_array().unwrap().len(), 3);

    let first = Dynamokv::through([cells[0].address()]);
    let placed = first
        .json(&["set-place", "--zone", "east", "--yes", "--wait"])
        .await;
    assert_eq!(placed["finished"], true, "{placed}");
    let zones = rest.json(&["ring"]).await["zones"].clone();
    let zones: Vec<_> = zones
        .as_array()
        .unwrap()
        .iter()
        .map(|zone| zone["zone"].clone())
        .collect();
    assert_eq!(zones, ["default", "east"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_codes_and_say_what_to_try() {
    // Bound and dropped: nobody listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let nobody = Dynamokv::through([free.to_string().as_str()]);
    let error = nobody.run(&["status"]).await;
    assert_eq!(exit(&error), 4, "{error:?}");
    let said = String::from_utf8(error.stderr).unwrap();
    assert!(
        said.contains(&free.to_string()) && said.contains("try:"),
        "{said}"
    );
    let error = nobody.run(&["--output", "json", "status"]).await;
    let said: serde_json::Value = serde_json::from_slice(&error.stderr).unwrap();
    assert_eq!(
        (&said["error"]["kind"], &said["error"]["exit_code"]),
        (&"not-done".into(), &4.into())
    );

    let cells = cluster(1).await;
    let shell = shell(&cells);
    for (args, code) in [
        (&["status", "--no-such-option"][..], 2),
        (&["set-place"], 2),
        (&["locate", ""], 2),
        (&["locate", "k", "-k", "No Such Name"], 2),
        (&["remove", "n9", "--yes"], 3),
        (&["leave", "--yes"], 2),
        (&["snapshot", "monday"], 6),
    ] {
        let answer = shell.run(args).await;
        assert_eq!(exit(&answer), code, "{args:?}: {answer:?}");
        assert!(
            answer.stdout.is_empty() && !answer.stderr.is_empty(),
            "{args:?}"
        );
    }
}

#[tokio::test]
async fn shells_get_completions_and_manual_pages() {
    let shell = Dynamokv::through(["127.0.0.1:1"]);
    for name in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = shell.text(&["completions", name]).await;
        assert!(script.contains("set-place"), "{name}");
    }
    let folder = tempfile::tempdir().unwrap();
    shell.text(&["man", folder.path().to_str().unwrap()]).await;
    let page = std::fs::read_to_string(folder.path().join("dynamokv-locate.1")).unwrap();
    assert!(
        page.contains("preference") || page.contains("Where a key belongs"),
        "{page}"
    );
}
