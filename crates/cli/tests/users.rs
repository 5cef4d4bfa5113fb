//! The users' commands, run as a program against real nodes with the memory engine.
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
async fn a_user_writes_reads_and_deletes() {
    let cells = cluster(3).await;
    let shell = shell(&cells);
    let missing = shell.run(&["get", "cart"]).await;
    assert_eq!(
        (exit(&missing), missing.stdout.len()),
        (3, 0),
        "{missing:?}"
    );
    shell.text(&["put", "cart", "tea"]).await;
    shell.text(&["put", "cart", "milk"]).await;
    assert_eq!(
        shell.text(&["get", "cart"]).await,
        "milk\n",
        "what was read is replaced"
    );

    shell.text(&["put", "cart", "sugar", "--blind"]).await;
    let read = shell.json(&["get", "cart"]).await;
    let values = read["values"].as_array().unwrap();
    let mut texts: Vec<_> = values
        .iter()
        .map(|value| value["value"]["text"].as_str().unwrap())
        .collect();
    texts.sort_unstable();
    assert_eq!(texts, ["milk", "sugar"]);
    let unclear = shell.run(&["get", "cart", "--raw"]).await;
    assert_eq!(exit(&unclear), 6, "{unclear:?}");
    assert!(matches!(
        shell
            .text(&["get", "cart", "--sibling", "2"])
            .await
            .as_str(),
        "milk" | "sugar"
    ));
    assert_eq!(
        exit(&shell.run(&["get", "cart", "--sibling", "3"]).await),
        2
    );

    let context = read["context"].as_str().unwrap();
    let merged = shell
        .json(&["put", "cart", "milk, sugar", "--context", context])
        .await;
    assert_eq!(merged["what"], "written");
    assert_eq!(shell.text(&["get", "cart", "--raw"]).await, "milk, sugar");
    let foreign = shell
        .run(&["put", "other", "v", "--context", context])
        .await;
    assert_eq!(exit(&foreign), 2, "a context of another key: {foreign:?}");

    shell.text(&["put", "basket", "empty"]).await;
    let keys = shell.text(&["keys"]).await;
    let mut keys: Vec<_> = keys.lines().collect();
    keys.sort_unstable();
    assert_eq!(keys, ["basket", "cart"]);
    let some = shell
        .json(&["keys", "--prefix", "ca", "--limit", "5"])
        .await;
    assert_eq!(some["keys"], serde_json::json!([{ "text": "cart" }]));

    shell.text(&["delete", "cart"]).await;
    assert_eq!(exit(&shell.run(&["get", "cart"]).await), 3);
    assert_eq!(exit(&shell.run(&["delete", "cart"]).await), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn values_come_from_arguments_files_and_pipes_and_go_out_as_they_came() {
    let cells = cluster(1).await;
    // N is 3 and there is one node: only W = R = 1 can be had.
    let shell = shell(&cells);
    let one = ["--replicas", "1"];
    let bytes: Vec<u8> = (0..=255).collect();
    let fed = shell
        .fed(&[&["put", "piped"], &one[..]].concat(), &bytes)
        .await;
    assert_eq!(exit(&fed), 0, "{fed:?}");
    let read = shell
        .run(&[&["get", "piped", "--raw"], &one[..]].concat())
        .await;
    assert_eq!(read.stdout, bytes);

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("value");
    std::fs::write(&file, "from a file").unwrap();
    let file = file.to_str().unwrap();
    let put = [
        "put",
        "filed",
        "--file",
        file,
        "--content-type",
        "text/plain",
        "-k",
        "docs",
    ];
    shell.text(&[&put[..], &one[..]].concat()).await;
    let read = shell
        .json(&[&["get", "filed", "-k", "docs"], &one[..]].concat())
        .await;
    assert_eq!(read["values"][0]["value"]["text"], "from a file");
    assert_eq!(read["values"][0]["content_type"], "text/plain");
    let elsewhere = shell.run(&[&["get", "filed"], &one[..]].concat()).await;
    assert_eq!(
        exit(&elsewhere),
        3,
        "it is in another keyspace: {elsewhere:?}"
    );
    let nowhere = shell.run(&["put", "k", "--file", "/no/such/file"]).await;
    assert_eq!(exit(&nowhere), 1, "{nowhere:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_quorum_nothing_is_done_and_the_exit_code_says_so() {
    let mut cells = cluster(3).await;
    let shell = shell(&cells);
    cells[1].kill().await;
    cells[2].kill().await;
    let refused = shell
        .run(&["put", "k", "v", "--blind", "--strict", "--wait-ms", "3000"])
        .await;
    assert!(matches!(exit(&refused), 4 | 5), "{refused:?}");
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("try:"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_is_measured_kept_compared_and_drawn() {
    let cells = cluster(3).await;
    let shell = shell(&cells);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (kept, page) = (path("kept.json"), path("page.html"));
    let bench = |more: &[&str]| {
        let base = [
            "bench",
            "a",
            "--records",
            "50",
            "--value",
            "100",
            "--duration",
            "0.5",
            "--warm-up",
            "0.1",
        ];
        [&base[..], more]
            .concat()
            .iter()
            .map(|arg| (*arg).to_owned())
            .collect::<Vec<_>>()
    };
    let run = async |args: Vec<String>| {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        shell.json(&args).await
    };
    let first = run(bench(&["--in-flight", "1,4", "--save", &kept])).await;
    let runs = first["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 2);
    for run in runs {
        assert!(run["operations"].as_u64() > Some(0), "{run}");
        assert_eq!(
            (&run["failed"], &run["missing"]),
            (&0.into(), &0.into()),
            "{run}"
        );
        assert_eq!(run["actions"].as_array().unwrap().len(), 2, "{run}");
    }
    let second = run(bench(&[
        "--in-flight",
        "4",
        "--compare",
        &kept,
        "--report",
        &page,
    ]))
    .await;
    assert_eq!(second["compared"].as_array().unwrap().len(), 2, "{second}");
    assert!(std::fs::read_to_string(&page).unwrap().contains("</html>"));
    let piped = run(bench(&["--in-flight", "8", "--mode", "pipelined"])).await;
    assert_eq!(piped["about"]["mode"], "pipelined");
    assert!(piped["runs"][0]["operations"].as_u64() > Some(0), "{piped}");
    assert_eq!(piped["runs"][0]["failed"], 0, "{piped}");
    let open = run(bench(&["--rate", "50"])).await;
    assert_eq!(open["runs"][0]["plan"]["pace"]["rate"], 50.0);
    for (args, code) in [
        (&["bench", "e"][..], 2),
        (&["bench", "--in-flight", "0"], 2),
        (&["bench", "--rate", "-1"], 2),
        (&["bench", "--compare", "/no/such/file"], 1),
    ] {
        let wrong = shell.run(args).await;
        assert_eq!(exit(&wrong), code, "{args:?}: {wrong:?}");
    }
}

/// A node in a process of its own, which says where it listens.
async fn node(shell: &Dynamokv, args: &[&str]) -> (tokio::process::Child, String) {
    use tokio::io::{AsyncBufReadExt, BufReader};
    let common = [
        "--engine",
        "memory",
        "--listen",
        "127.0.0.1:0",
        "--partitions",
        "64",
        "--gossip-interval-ms",
        "50",
    ];
    let mut child = shell
        .command(&[args, &common[..]].concat())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut line).await.unwrap();
    let address = line
        .split_whitespace()
        .skip_while(|word| *word != "on")
        .nth(1);
    let address = address.unwrap_or_else(|| panic!("the node says where it listens, not {line:?}"));
    (child, address.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_served_join_after_a_look_and_take_a_dead_ones_place() {
    let nobody = Dynamokv::through(["127.0.0.1:1"]);
    let (_first, seed) = node(&nobody, &["serve", "--bootstrap", "--name", "n1"]).await;
    let shell = Dynamokv::through([seed.as_str()]);
    let members = async |count: usize| {
        let ring = shell.json(&["ring"]).await;
        ring["members"].as_array().unwrap().len() == count && ring["open"].is_null()
    };
    eventually("the founder is a member", async || members(1).await).await;
    let unasked = nobody
        .run(&["join", "--engine", "memory", "--seed", &seed])
        .await;
    assert_eq!(exit(&unasked), 7, "{unasked:?}");
    let dry = ["join", "--engine", "memory", "--seed", &seed, "--dry-run"];
    let preview = nobody.json(&dry).await;
    assert_eq!(
        (&preview["ordered"], &preview["preview"]["partitions_short"]),
        (&false.into(), &64.into())
    );
    let join = ["join", "--yes", "--seed", &seed, "--name"];
    let (mut second, _) = node(&nobody, &[&join[..], &["n2"]].concat()).await;
    eventually("the second is a member", async || members(2).await).await;
    second.kill().await.unwrap();
    let replace = ["replace", "n2", "--yes", "--seed", &seed, "--name", "n3"];
    let (_third, _) = node(&nobody, &replace).await;
    eventually("the third is in the second's place", async || {
        let ring = shell.json(&["ring"]).await;
        let shares = ring["members"].as_array().unwrap();
        let names: Vec<_> = shares
            .iter()
            .map(|share| share["name"].as_str().unwrap())
            .collect();
        let mut names = names;
        names.sort_unstable();
        names == ["n1", "n3"] && ring["open"].is_null()
    })
    .await;
    let printed = nobody
        .text(&["serve", "--print-config", "--zone", "east"])
        .await;
    assert!(printed.contains("zone = \"east\""), "{printed}");
    assert_eq!(exit(&nobody.run(&["serve", "--replicas", "99"]).await), 2);
}
