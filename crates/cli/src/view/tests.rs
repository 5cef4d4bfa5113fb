//! Every answer, as docs/cli.md shows it: the page is the snapshot. `UPDATE_DOCS=1 cargo test -p dynamokv-cli docs` writes it anew.
#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use dynamokv_loadgen::{
    Action, ActionResult, Contexts, CpuUse, Distribution, FailureCount, FailureKind, Pace, Plan,
    Results, RunResult, ValueSize, Window, compare,
};
use dynamokv_rpc::pb::*;

use super::{
    Copies, Exchanges, Hints, Keys, Load, Located, Members, Ordered, Preview, Read, Ring, Statuses,
    Transfers, Wrote,
};
use crate::content::Content;
use crate::error::Error;
use crate::output::{Ink, Mood, View, json};

const A: &str = "3f9a2c5e77b01d44";
const B: &str = "8e01c6d9f2a35b70";
const C: &str = "c47d1180aa92e3f6";

fn members() -> Vec<Member> {
    let member = |node: &str, name: &str, port: u16, zone: &str, live| Member {
        node: node.to_owned(),
        name: name.to_owned(),
        address: format!("127.0.0.1:{port}"),
        zone: zone.to_owned(),
        weight: 100,
        status: NodeStatus::Up.into(),
        live,
        generation: 2,
        heartbeat: 4_711,
        in_ring: true,
        in_next_ring: false,
        details: Default::default(),
    };
    vec![
        member(A, "n1", 7071, "east", true),
        member(B, "n2", 7072, "west", true),
        member(C, "n3", 7073, "west", false),
    ]
}

/// Two nodes answer, the third does not.
fn said<A>(mut answer: impl FnMut(usize) -> A) -> Vec<(Member, Result<A, String>)> {
    let answers = members().into_iter().enumerate();
    answers
        .map(|(at, member)| match at {
            2 => (member, Err("Connection refused".to_owned())),
            _ => (member, Ok(answer(at))),
        })
        .collect()
}

fn status(at: usize) -> StatusResponse {
    let member = members().swap_remove(at);
    StatusResponse {
        node: member.node,
        name: member.name,
        address: member.address,
        cluster_name: "dynamokv".to_owned(),
        cluster_id: "5ca1ab1e00000001".to_owned(),
        status: NodeStatus::Up.into(),
        generation: 2,
        version: "0.1.0".to_owned(),
        engine: "rocksdb".to_owned(),
        durability: "sync".to_owned(),
        uptime_ms: 7_260_000,
        opened_clean: true,
        ready: true,
        replicas: 3,
        read_quorum: 2,
        write_quorum: 2,
        nodes_known: 3,
        nodes_live: 2,
        hints: 12,
        warnings: vec![format!("{C} is down")],
    }
}

fn ring() -> RingResponse {
    let share = |node: &str, partitions, first| RingShare {
        node: node.to_owned(),
        partitions,
        first,
        share: f64::from(partitions) / 512.0,
    };
    RingResponse {
        partitions: 256,
        replicas: 2,
        change: 3,
        fingerprint: "91c0ffee12345678".to_owned(),
        shares: vec![share(A, 171, 86), share(B, 171, 85), share(C, 170, 85)],
        open: Some(OpenChange {
            number: 4,
            proposer: A.to_owned(),
            stage: "streaming".to_owned(),
            fingerprint: "0badcafe12345678".to_owned(),
            leaving: vec![B.to_owned()],
            blocked_by: vec![C.to_owned()],
            partitions_gained: 86,
            partitions_streamed: 40,
            duty: "stream what it gains".to_owned(),
            ..OpenChange::default()
        }),
        location: None,
        pending: vec![PendingWish {
            node: A.to_owned(),
            wish: "weight 200".to_owned(),
            waits_for: "the open change".to_owned(),
        }],
    }
}

fn located() -> Located {
    let location = KeyLocation {
        token: "d1f3a86c20e7b954".to_owned(),
        partition: 209,
        owners: vec![B.to_owned(), C.to_owned()],
        next_owners: Vec::new(),
        fallbacks: vec![A.to_owned()],
    };
    let value = |clock: &str| Value {
        value: "tea".into(),
        time_ms: 1_763_900_000_000,
        clock: clock.to_owned(),
        ..Value::default()
    };
    let copies = Copies::of(&location, &members(), false);
    assert_eq!(copies.holders(&members()).len(), 3);
    let asked = said(|at| ReadLocalResponse {
        values: vec![value(&format!("{B}.1@1")), value(&format!("{C}.4@2"))],
        siblings: 2,
        clock: format!("{{{B}.1@1, {C}.4@2}}"),
        marked: at == 0,
        state_hash: "9b1de0c7a85f43e2b6d01f9c8a7e5d34".to_owned(),
        ..ReadLocalResponse::default()
    });
    Located::new("default", b"cart", &location, &members(), copies, asked)
}

fn hints() -> Hints {
    let asked = said(|at| HintsResponse {
        targets: vec![HintCount {
            target: C.to_owned(),
            count: 12 + at as u64,
            dirty_ranges: 0,
            oldest_ms: Some(65_000),
            delivered: 3,
            last_delivery_ms: Some(600_000),
        }],
    });
    Hints::new(&members(), asked)
}

fn transfers() -> Transfers {
    let asked = said(|at| TransfersResponse {
        change: if at == 0 {
            format!("4/{A}")
        } else {
            String::new()
        },
        running: at == 0,
        partitions: 86,
        partitions_complete: 40,
        items: 20_311,
        bytes: 21 << 20,
        bytes_per_second: 8 << 20,
        bytes_per_second_max: 64 << 20,
        elapsed_ms: 2_600,
        failures: 1,
        streams: match at {
            0 => vec![TransferStream {
                partition: 41,
                source: B.to_owned(),
                under_way: true,
                items: 118,
                bytes: 130_000,
                failures: 0,
            }],
            _ => Vec::new(),
        },
    });
    Transfers::new(&members(), asked)
}

fn exchanges() -> Exchanges {
    let with = |partition, peer: &str, ago, differs| PartitionExchange {
        partition,
        peer: peer.to_owned(),
        compared_ms_ago: ago,
        differs_for_ms: differs,
    };
    let asked = said(|at| ExchangesResponse {
        buckets_counted: 1_024,
        buckets: 1_024,
        keys: 30_000,
        tree_bytes: 3 << 20,
        exchanges: match at {
            0 => vec![
                with(1, B, Some(900), None),
                with(2, B, Some(400), Some(2_100)),
                with(2, C, None, None),
            ],
            _ => Vec::new(),
        },
        oldest_difference_ms: (at == 0).then_some(2_100),
        objects_pulled: 17,
        bytes_pulled: 18_000,
        objects_pushed: 2,
        bytes_pushed: 2_100,
    });
    Exchanges::new(&members(), asked)
}

fn ordered() -> Ordered {
    let share = |node: &str, gains, losses| PlannedShare {
        node: node.to_owned(),
        partitions: 171,
        gains,
        losses,
        bytes_in: u64::from(gains) << 16,
    };
    let preview = PreviewChangeResponse {
        fingerprint: "0badcafe12345678".to_owned(),
        moves: 171,
        moves_least: 171,
        bytes: 11 << 20,
        keys: 10_100,
        nodes: vec![share(A, 85, 0), share(B, 0, 171), share(C, 86, 0)],
        excess: 1.0,
        partitions_short: 0,
        crowded: Vec::new(),
        warnings: vec![format!("{C} is down and would block the change")],
    };
    Ordered {
        order: "leave",
        node: B.to_owned(),
        name: "n2".to_owned(),
        preview: Preview::new(preview, &members()),
        ordered: true,
        finished: false,
        shown: false,
    }
}

fn load() -> Load {
    let (mix, pattern) = Plan::workload("get").unwrap();
    let latency = |p50_us| Distribution {
        count: 120_000,
        mean_us: p50_us as f64 * 1.1,
        min_us: 210,
        p50_us,
        p90_us: p50_us * 2,
        p99_us: p50_us * 4,
        p99_9_us: p50_us * 8,
        p99_99_us: p50_us * 16,
        max_us: p50_us * 20,
        curve: vec![(0.5, p50_us), (1.0, p50_us * 20)],
    };
    let run = |p50_us, throughput| RunResult {
        name: "get, 16 in flight".to_owned(),
        plan: Plan {
            mix: mix.clone(),
            pattern,
            records: 10_000,
            value: ValueSize {
                min: 1_024,
                max: 1_024,
            },
            pace: Pace::Closed { in_flight: 16 },
            warm_up: Duration::from_secs(2),
            duration: Duration::from_secs(10),
            contexts: Contexts::Remembered,
            seed: 1,
        },
        elapsed_s: 10.0,
        operations: 120_000,
        throughput,
        failed: 2,
        failures: vec![FailureCount {
            kind: FailureKind::NotApplied,
            count: 2,
            example: "1 of 2 replicas answered".to_owned(),
        }],
        unsent: 0,
        missing: 0,
        read_first: 0,
        values_max: 1,
        lag: Distribution::default(),
        actions: vec![ActionResult {
            action: Action::Read,
            throughput,
            latency: latency(p50_us),
        }],
        window_s: 1.0,
        timeline: vec![Window {
            at_s: 0.0,
            operations: 12_000,
            p50_us,
            p99_us: p50_us * 4,
        }],
        cpu: Some(CpuUse {
            elapsed_s: 10.0,
            operations: 120_000,
            servers_s: vec![3.0, 3.5, 2.5],
            load_tool_s: 6.0,
            servers_ms_per_operation: Some(0.075),
            load_tool_ms_per_operation: Some(0.05),
        }),
    };
    let about = [("nodes".to_owned(), "3".to_owned())];
    let mut before = Results::new(about.into());
    let mut results = before.clone();
    before.runs.push(run(800, 10_000.0));
    results.runs.push(run(700, 12_000.0));
    let compared = Some(compare(&before, &results));
    Load { results, compared }
}

fn both(name: &str, view: &impl View) -> [(String, String); 2] {
    [
        (format!("{name}, text"), view.human(Ink::NONE)),
        (format!("{name}, json"), json(view).unwrap()),
    ]
}

fn examples() -> Vec<(String, String)> {
    let error = Error::NotDone("127.0.0.1:7071 cannot be reached: Connection refused".to_owned());
    let mut examples = Vec::new();
    let (one, two): (&[&[u8]], &[&[u8]]) = (&[b"tea"], &[b"tea", b"milk\n"]);
    examples.extend(both("get, one value", &Read::example(one)));
    examples.extend(both("get, two values", &Read::example(two)));
    let keys = [&b"cart"[..], b"\xff\x00"].map(Content::of).to_vec();
    examples.extend(both("keys", &Keys::new("default", keys)));
    examples.extend(both("put", &Wrote::example()));
    examples.extend(both("bench", &load()));
    examples.extend(both("status", &Statuses::one(status(0))));
    examples.extend(both("status --all", &Statuses::all(said(status))));
    examples.extend(both(
        "members",
        &Members::new("127.0.0.1:7071", members(), false),
    ));
    examples.extend(both("ring", &Ring::new(ring(), members())));
    examples.extend(both("locate", &located()));
    examples.extend(both("hints", &hints()));
    examples.extend(both("transfers", &transfers()));
    examples.extend(both("exchanges", &exchanges()));
    examples.extend(both("leave", &ordered()));
    examples.push(("errors, json".to_owned(), json(&error.shape()).unwrap()));
    examples
}

fn block(name: &str, text: &str) -> String {
    let language = name.rsplit(", ").next().unwrap();
    format!("<!-- {name} -->\n```{language}\n{text}```\n")
}

/// The page with the examples in their places, or the first that has none.
fn with_examples(page: &str, examples: &[(String, String)]) -> Result<String, String> {
    let mut page = page.to_owned();
    for (name, text) in examples {
        let mark = format!("<!-- {name} -->\n```");
        let start = page.find(&mark).ok_or_else(|| name.clone())?;
        let body = start + mark.len();
        let end = page[body..].find("\n```\n").ok_or_else(|| name.clone())?;
        page.replace_range(start..body + end + "\n```\n".len(), &block(name, text));
    }
    Ok(page)
}

#[test]
fn docs_show_each_answer_as_it_is() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/cli.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let examples = examples();
    let right = with_examples(&page, &examples)
        .unwrap_or_else(|name| panic!("docs/cli.md has no block <!-- {name} -->"));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, right).unwrap();
        return;
    }
    let mut wrong = String::new();
    for (name, text) in &examples {
        if !page.contains(&block(name, text)) {
            let _ = writeln!(wrong, "{}", block(name, text));
        }
    }
    assert!(
        wrong.is_empty(),
        "docs/cli.md must say (UPDATE_DOCS=1 writes it):\n{wrong}"
    );
}

#[test]
fn colours_change_nothing_but_colours() {
    let views: [&dyn Fn(Ink) -> String; 3] = [
        &|ink| Statuses::all(said(status)).human(ink),
        &|ink| located().human(ink),
        &|ink| Ring::new(ring(), members()).human(ink),
    ];
    for view in views {
        let coloured = view(Ink { colours: true });
        assert!(coloured.contains("\u{1b}["), "{coloured}");
        assert_eq!(
            anstream::adapter::strip_str(&coloured).to_string(),
            view(Ink::NONE)
        );
    }
    assert_eq!(Ink::NONE.paint(Mood::Bad, "x"), "x");
}
