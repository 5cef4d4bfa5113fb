//! Membership changes of every kind, through real nodes over loopback.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::collections::BTreeMap;

use dynamokv::rpc::pb::{
    MembersRequest, PlannedNode, PreviewChangeRequest, PreviewChangeResponse, RemoveRequest,
    RingResponse, SetPlaceRequest, TransfersRequest, TransfersResponse,
};
use support::{Cell, Client, cluster, config, eventually, on_all_replicas, read_as, settle};
use tonic::Code;

async fn fill(client: &Client, keys: usize, value: &str) {
    for n in 0..keys {
        client.put(&format!("key-{n}"), value, b"").await.unwrap();
    }
}

async fn preview(client: &Client, request: PreviewChangeRequest) -> PreviewChangeResponse {
    let answer = client.admin().preview_change(request).await;
    answer.unwrap().into_inner()
}

async fn transfers(client: &Client) -> TransfersResponse {
    let answer = client.admin().transfers(TransfersRequest {}).await;
    answer.unwrap().into_inner()
}

async fn order(client: &Client, weight: Option<u32>, zone: Option<&str>) {
    let zone = zone.map(str::to_owned);
    let request = SetPlaceRequest { weight, zone };
    client.admin().set_place(request).await.unwrap();
}

fn held(ring: &RingResponse) -> BTreeMap<String, u32> {
    let share = |share: &dynamokv::rpc::pb::RingShare| (share.node.clone(), share.partitions);
    ring.shares.iter().map(share).collect()
}

fn joiner(name: &str, cells: &[Cell]) -> dynamokv::NodeConfig {
    let mut joiner = config(name);
    joiner.seeds = vec![cells[0].address().to_owned()];
    joiner
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_node_takes_the_place_of_a_dead_one_in_one_change_and_has_its_data() {
    let mut cells = cluster(4).await;
    let client = cells[0].client();
    fill(&client, 200, "v").await;
    let before = client.ring(None).await;
    let dead = cells[3].id();
    let mut heir = joiner("heir", &cells);
    heir.replace = Some(dead.clone());
    cells.push(Cell::start(heir).await);
    let heir = cells[4].id();
    eventually("it waits for as long as the other one lives", async || {
        let pending = client.ring(None).await.pending;
        pending.iter().any(|wish| {
            wish.node == heir
                && wish.wish == format!("replace {dead}")
                && wish.waits_for.contains("is live")
        })
    })
    .await;
    assert_eq!(client.ring(None).await.change, before.change);

    cells[3].kill().await;
    cells.remove(3);
    eventually("it has its place", async || {
        let ring = client.ring(None).await;
        held(&ring).contains_key(&heir) && ring.open.is_none()
    })
    .await;
    settle(&cells, 4).await;
    let after = client.ring(None).await;
    assert_eq!(after.change, before.change + 1, "one change");
    assert!(held(&after).contains_key(&heir) && !held(&after).contains_key(&dead));
    assert!(after.pending.is_empty(), "{:?}", after.pending);
    on_all_replicas(&client, 200).await;

    // Whose place it took is of no matter any more.
    cells[3].kill().await;
    cells[3].restart().await.unwrap();
    settle(&cells, 4).await;
    assert_eq!(client.ring(None).await.change, after.change);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_nobody_has_is_waited_for_and_the_operator_is_told() {
    let mut cells = cluster(3).await;
    let mut heir = joiner("heir", &cells);
    heir.replace = Some("00000000000000ff".to_owned());
    cells.push(Cell::start(heir).await);
    let client = cells[0].client();
    eventually("it is told", async || {
        let pending = client.ring(None).await.pending;
        pending
            .iter()
            .any(|wish| wish.waits_for.contains("is no member"))
    })
    .await;
    assert_eq!(client.ring(None).await.shares.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_weight_and_zone_move_data_and_outlive_a_restart() {
    let mut cells = cluster(4).await;
    let client = cells[0].client();
    fill(&client, 200, "v").await;
    let (light, before) = (cells[2].id(), client.ring(None).await);
    order(&cells[2].client(), Some(50), None).await;
    let changed = async |number: u64| {
        eventually("the change is over", async || {
            let ring = client.ring(None).await;
            ring.change >= number && ring.open.is_none()
        })
        .await;
    };
    changed(before.change + 1).await;
    let after = client.ring(None).await;
    assert!(held(&after)[&light] < held(&before)[&light], "{after:?}");
    order(&cells[2].client(), None, Some("east")).await;
    changed(after.change + 1).await;
    let after = client.ring(None).await;
    // The only node of its zone has a copy of everything.
    assert_eq!(held(&after)[&light], 64, "{after:?}");
    settle(&cells, 4).await;
    on_all_replicas(&client, 200).await;

    cells[2].kill().await;
    cells[2].restart().await.unwrap();
    settle(&cells, 4).await;
    eventually("the order holds", async || {
        let members = client.admin().members(MembersRequest {}).await.unwrap();
        let members = members.into_inner().members;
        members.iter().any(|member| {
            member.node == light && member.live && member.weight == 50 && member.zone == "east"
        })
    })
    .await;
    assert_eq!(client.ring(None).await.change, after.change);

    // What the configuration says anew is the newer word.
    cells[2].kill().await;
    cells[2].config.weight = 200.try_into().unwrap();
    cells[2].restart().await.unwrap();
    changed(after.change + 1).await;
    assert!(held(&client.ring(None).await)[&light] > held(&before)[&light]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_cannot_be_is_refused_by_its_field() {
    let cells = cluster(1).await;
    let refusal = async |weight: Option<u32>, zone: Option<String>| {
        let request = SetPlaceRequest { weight, zone };
        let refused = cells[0].client().admin().set_place(request).await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        refused.message().to_owned()
    };
    assert!(refusal(Some(0), None).await.starts_with("weight: "));
    assert!(
        refusal(None, Some("a\nb".into()))
            .await
            .starts_with("zone: ")
    );
    assert!(
        refusal(None, Some("z".repeat(257)))
            .await
            .starts_with("zone: has 257 bytes")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_says_what_then_happens() {
    let mut cells = cluster(4).await;
    let client = cells[0].client();
    fill(&client, 400, &"v".repeat(500)).await;
    let before = client.ring(None).await;
    let id = "00000000000000a1".to_owned();
    let request = PreviewChangeRequest {
        joining: vec![PlannedNode {
            node: id.clone(),
            ..PlannedNode::default()
        }],
        ..PreviewChangeRequest::default()
    };
    let said = preview(&client, request).await;
    assert_eq!(
        client.ring(None).await.change,
        before.change,
        "only looked at"
    );
    assert!(
        said.warnings
            .iter()
            .all(|warning| warning.starts_with("zone")),
        "{:?}",
        said.warnings
    );
    assert!(
        said.moves_least > 0 && said.moves <= said.moves_least * 2,
        "{said:?}"
    );

    let mut joiner = joiner("n5", &cells);
    joiner.id = Some(id.clone());
    cells.push(Cell::start(joiner).await);
    settle(&cells, 5).await;
    let after = client.ring(None).await;
    assert_eq!(after.fingerprint, said.fingerprint);
    let (was, is) = (held(&before), held(&after));
    for node in &said.nodes {
        let of = |held: &BTreeMap<String, u32>| held.get(&node.node).copied().unwrap_or(0);
        assert_eq!(node.partitions, of(&was));
        assert_eq!(
            node.partitions + node.gains - node.losses,
            of(&is),
            "{node:?}"
        );
    }
    let gained: u32 = said.nodes.iter().map(|node| node.gains).sum();
    assert_eq!(gained, said.moves);
    // By samples, and the records are somewhat larger than what is in them.
    let streamed = transfers(&cells[4].client()).await;
    let newcomer = said.nodes.iter().find(|node| node.node == id).unwrap();
    assert_eq!(streamed.partitions, newcomer.gains);
    let ratio = newcomer.bytes_in as f64 / streamed.bytes as f64;
    assert!((0.7..1.6).contains(&ratio), "{newcomer:?} for {streamed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_warns_and_names_what_is_wrong_with_the_question() {
    let cells = cluster(3).await;
    let client = cells[0].client();
    let leaving = PreviewChangeRequest {
        leaving: vec![cells[1].id(), cells[2].id()],
        ..PreviewChangeRequest::default()
    };
    let said = preview(&client, leaving).await;
    assert_eq!(said.partitions_short, 64);
    assert!(
        said.warnings[0].contains("cannot take a write"),
        "{:?}",
        said.warnings
    );

    let stranger = "00000000000000ff".to_owned();
    let planned = |node: &str| PlannedNode {
        node: node.to_owned(),
        ..PlannedNode::default()
    };
    let wrong = [
        (
            "removing: 00000000000000ff is no member",
            PreviewChangeRequest {
                removing: vec![stranger.clone()],
                ..PreviewChangeRequest::default()
            },
        ),
        (
            "altered.node: ",
            PreviewChangeRequest {
                altered: vec![planned(&stranger)],
                ..PreviewChangeRequest::default()
            },
        ),
        (
            "joining.node: ",
            PreviewChangeRequest {
                joining: vec![planned(&cells[0].id())],
                ..PreviewChangeRequest::default()
            },
        ),
    ];
    for (field, request) in wrong {
        let refused = client.admin().preview_change(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(
            refused.message().starts_with(field),
            "{}",
            refused.message()
        );
    }
    let nothing = preview(&client, PreviewChangeRequest::default()).await;
    assert_eq!((nothing.moves, nothing.nodes.len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wanted_during_a_change_waits_and_its_reason_is_shown() {
    let mut cells = cluster(4).await;
    let client = cells[0].client();
    let dead = cells[1].id();
    cells[1].kill().await;
    cells.push(Cell::start(joiner("n5", &cells)).await);
    let open = async || client.ring(None).await.open;
    eventually("the join is blocked", async || {
        open()
            .await
            .is_some_and(|open| open.blocked_by.contains(&dead))
    })
    .await;
    let heavy = cells[2].id();
    order(&cells[2].client(), Some(400), None).await;
    eventually("the weight waits for it", async || {
        let pending = client.ring(None).await.pending;
        pending.iter().any(|wish| {
            wish.node == heavy
                && wish.wish.contains("weight")
                && wish.waits_for.ends_with("is open")
        })
    })
    .await;
    let coming = preview(&client, PreviewChangeRequest::default()).await;
    assert!(
        coming
            .nodes
            .iter()
            .any(|node| node.node == heavy && node.gains > 0)
    );

    let removal = RemoveRequest { node: dead };
    client.admin().remove(removal).await.unwrap();
    settle(&cells, 4).await;
    eventually("nothing waits any more", async || {
        let ring = client.ring(None).await;
        ring.pending.is_empty() && ring.open.is_none()
    })
    .await;
    let members = client.admin().members(MembersRequest {}).await.unwrap();
    let members = members.into_inner().members;
    let weights: Vec<u32> = members.iter().map(|member| member.weight).collect();
    assert!(weights.contains(&400), "{weights:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_goes_on_where_it_was_after_a_restart_of_either_side() {
    let mut cells = cluster(3).await;
    let client = cells[0].client();
    // Three copies each: the newcomer gets about three quarters of 2.3 MiB.
    fill(&client, 600, &"v".repeat(4_000)).await;
    let mut slow = joiner("n4", &cells);
    slow.transfer_mib_per_second = 1;
    slow.transfer_page_kib = 16;
    cells.push(Cell::start(slow).await);
    let newcomer = cells[3].client();
    let some = |transfers: &TransfersResponse| transfers.partitions_complete > 4;
    eventually("some is here", async || some(&transfers(&newcomer).await)).await;
    let before = transfers(&newcomer).await;
    assert!(
        before.running && before.partitions_complete < before.partitions,
        "{before:?}"
    );
    assert_eq!(before.bytes_per_second_max, 1 << 20);

    cells[1].kill().await;
    cells[3].kill().await;
    cells[1].restart().await.unwrap();
    cells[3].restart().await.unwrap();
    settle(&cells, 4).await;
    let after = transfers(&cells[3].client()).await;
    assert_eq!(after.change, before.change);
    assert_eq!(
        (after.partitions, after.partitions_complete),
        (before.partitions, before.partitions)
    );
    assert!(!after.running && after.streams.is_empty());
    let again = before.items + after.items;
    let gained = cells[3]
        .node()
        .parts()
        .store()
        .range_statistics(dynamokv::ring::TokenRange {
            first: dynamokv::ring::Token(0),
            last: dynamokv::ring::Token(u64::MAX),
        });
    let gained = gained.unwrap().keys;
    // What was on its way, and what came between the last look and the kill, comes twice.
    assert!(
        after.items < gained - before.items / 2,
        "{before:?} and {after:?} for {gained}"
    );
    assert!(again + 100 > gained, "{again} for {gained}");
    read_as(&client, 600, &"v".repeat(4_000)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_a_leave_and_a_removal_go_through_at_once() {
    let mut cells = cluster(5).await;
    let client = cells[0].client();
    fill(&client, 200, "v").await;
    let dead = cells[4].id();
    cells[4].kill().await;
    cells.pop();
    let leaver = cells.remove(3);
    let (joins, leaves, removal) = tokio::join!(
        Cell::start(joiner("n6", &cells)),
        async {
            leaver
                .client()
                .admin()
                .leave(dynamokv::rpc::pb::LeaveRequest {})
                .await
        },
        async {
            client
                .admin()
                .remove(RemoveRequest { node: dead.clone() })
                .await
        },
    );
    cells.push(joins);
    leaves.unwrap();
    removal.unwrap();
    let ended = tokio::time::timeout(support::PATIENCE, leaver.node().ended()).await;
    assert!(matches!(*ended.expect("it leaves"), dynamokv::Error::Left));
    settle(&cells, 4).await;
    on_all_replicas(&client, 200).await;
    let ring = client.ring(None).await;
    assert!(!held(&ring).contains_key(&dead), "{ring:?}");
}
