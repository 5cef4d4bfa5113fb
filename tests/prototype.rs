//! What the prototype did wrong, each through real nodes over loopback: the names say what they guard.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dynamokv::NodeConfig;
use dynamokv::rpc::pb::{
    AnswerKind, GetRequest, HintsRequest, LeaveRequest, MembersRequest, PutRequest, QuorumMode,
    RemoveRequest,
};
use dynamokv::storage::{Batch, Family, ObjectKey};
use support::{Cell, Client, bodies, cluster, config, eventually, grow, on_all_replicas, settle};
use tonic::Code;

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_concurrent_pairs_through_one_coordinator_keep_both_writes() {
    let cells = cluster(3).await;
    let client = cells[0].client();
    for pair in 0..200 {
        let key = format!("pair-{pair}");
        let (a, b) = tokio::join!(client.put(&key, "a", b""), client.put(&key, "b", b""));
        a.unwrap();
        b.unwrap();
        assert_eq!(client.values(&key).await, ["a", "b"], "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn puts_in_sequence_through_two_coordinators_leave_no_false_siblings() {
    let cells = cluster(3).await;
    let clients = [cells[0].client(), cells[1].client()];
    let mut context = Vec::new();
    for round in 0..50_usize {
        let client = &clients[round % 2];
        let value = round.to_string();
        context = client
            .put("k", &value, &context)
            .await
            .unwrap()
            .context
            .to_vec();
        assert_eq!(clients[(round + 1) % 2].values("k").await, [value]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_coordinator_does_not_issue_its_dots_again() {
    let mut cells = cluster(3).await;
    let mut context = cells[0]
        .client()
        .put("k", "before", b"")
        .await
        .unwrap()
        .context;
    for round in 0..5 {
        cells[0].kill().await;
        cells[0].restart().await.unwrap();
        let client = cells[0].client();
        eventually("the node is back", async || client.get("k").await.is_ok()).await;
        let value = format!("after {round}");
        client.put("k", &value, &context).await.unwrap();
        for cell in &cells {
            assert_eq!(
                cell.client().values("k").await,
                [value.as_str()],
                "acknowledged and not thrown away"
            );
        }
        // A write without context is concurrent with it, and neither may swallow the other.
        client.put("k", "blind", b"").await.unwrap();
        let read = client.get("k").await.unwrap();
        assert_eq!(bodies(&read.values), [value, "blind".to_owned()]);
        context = client
            .put("k", "merged", &read.context)
            .await
            .unwrap()
            .context;
        assert_eq!(client.values("k").await, ["merged"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_two_of_three_nodes_down_a_write_quorum_of_two_is_refused() {
    let mut cells = cluster(3).await;
    for cell in &mut cells[1..] {
        cell.kill().await;
    }
    let client = cells[0].client();
    let error = client.put("k", "v", b"").await.unwrap_err();
    assert!(
        matches!(error.code(), Code::Unavailable | Code::Unknown),
        "{error}"
    );
    eventually(
        "the others count as down and nothing is written any more",
        async || {
            let error = client.put("other", "v", b"").await.unwrap_err();
            error.code() == Code::Unavailable && error.message().contains("not applied")
        },
    )
    .await;
    let error = client.get("k").await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    assert!(error.message().contains("2 answers are needed"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crashed_node_gets_its_hints_when_it_comes_back_under_its_address() {
    let mut cells = cluster(4).await;
    let away = cells[1].id();
    cells[1].kill().await;
    let client = cells[0].client();
    let keys: Vec<String> = (0..50).map(|n| format!("hinted-{n}")).collect();
    for key in &keys {
        // Until the crash is noticed a put may find its coordinator gone.
        eventually("the put is acknowledged", async || {
            client.put(key, "v", b"").await.is_ok()
        })
        .await;
    }
    let mut held = 0;
    for cell in cells.iter().filter(|cell| cell.config.name != "n2") {
        held += cell.client().hints().await;
    }
    assert!(held > 0, "nobody holds anything for the crashed node");
    cells[1].restart().await.unwrap();
    let back = cells[1].client();
    let mut owned = 0;
    for key in &keys {
        if client.owners(key).await.contains(&away) {
            owned += 1;
            // Its own copy: no read repairs it.
            eventually(&format!("{key} is on the node's own disk"), async || {
                bodies(&back.own(key).await.values) == ["v"]
            })
            .await;
        }
    }
    assert!(owned > 10, "only {owned} of 50 keys belong to the node");
    for cell in &cells {
        eventually("no hint is left", async || cell.client().hints().await == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_hints_max_writes_for_a_crashed_node_are_taken_and_handed_over_with_their_ranges()
{
    let mut cells = Vec::new();
    for number in 1..=4 {
        let mut config = config(&format!("n{number}"));
        config.hints_max = 5;
        config.bootstrap = number == 1;
        let seed = cells.first().map(|first: &Cell| first.address().to_owned());
        config.seeds = seed.into_iter().collect();
        cells.push(Cell::start(config).await);
    }
    settle(&cells, 4).await;
    let away = cells[1].id();
    cells[1].kill().await;
    let client = cells[0].client();
    for n in 0..200 {
        eventually("the put is acknowledged", async || {
            client.put(&format!("key-{n}"), "v", b"").await.is_ok()
        })
        .await;
    }
    let mut ranges = 0;
    for cell in cells.iter().filter(|cell| cell.config.name != "n2") {
        let hints = cell.client().admin().hints(HintsRequest {}).await.unwrap();
        for held in hints.into_inner().targets {
            assert_eq!(held.target, away);
            assert!(held.count <= 5 && held.oldest_ms.is_some());
            ranges += held.dirty_ranges;
        }
    }
    assert!(ranges > 20, "only {ranges} ranges are held");
    cells[1].restart().await.unwrap();
    for cell in &cells {
        eventually("nothing is held any more", async || {
            cell.client().hints().await == 0
        })
        .await;
    }
    for n in 0..200 {
        let key = format!("key-{n}");
        let owners = client.owners(&key).await;
        for cell in &cells {
            // Its own copy; and who held it for another has let it go.
            let own = bodies(&cell.client().own(&key).await.values);
            assert_eq!(own.len(), usize::from(owners.contains(&cell.id())), "{key}");
        }
    }
    let mut delivered = 0;
    for cell in cells.iter().filter(|cell| cell.config.name != "n2") {
        let hints = cell.client().admin().hints(HintsRequest {}).await.unwrap();
        for of in hints.into_inner().targets {
            assert_eq!((of.target, of.oldest_ms), (away.clone(), None));
            assert!(of.last_delivery_ms.is_some());
            delivered += of.delivered;
        }
    }
    assert!(delivered > 100, "only {delivered} objects were delivered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hint_that_cannot_be_delivered_stays_durable_until_it_can() {
    let mut cells = cluster(4).await;
    let away = cells[1].id();
    cells[1].kill().await;
    let client = cells[0].client();
    let mut keys = (0..).map(|n| format!("hinted-{n}"));
    let key = loop {
        let key = keys.next().unwrap();
        if client.owners(&key).await.contains(&away) {
            break key;
        }
    };
    eventually("the put is acknowledged", async || {
        client.put(&key, "v", b"").await.is_ok()
    })
    .await;
    let mut holder = None;
    eventually("somebody holds the hint", async || {
        for (index, cell) in cells.iter().enumerate().filter(|(index, _)| *index != 1) {
            if cell.client().own(&key).await.marked {
                holder = Some(index);
            }
        }
        holder.is_some()
    })
    .await;
    let holder = holder.unwrap();
    cells[holder].kill().await;
    cells[holder].restart().await.unwrap();
    assert!(
        cells[holder].client().own(&key).await.marked,
        "the hint outlived its holder's crash"
    );
    cells[1].restart().await.unwrap();
    let back = cells[1].client();
    eventually("the hint is delivered", async || {
        bodies(&back.own(&key).await.values) == ["v"]
    })
    .await;
    eventually("and then let go", async || {
        !cells[holder].client().own(&key).await.marked
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn growing_from_three_to_twelve_nodes_hides_no_acknowledged_key() {
    let mut cells = cluster(3).await;
    let client = cells[0].client();
    for n in 0..1_000 {
        client
            .put(&format!("key-{n}"), &format!("value-{n}"), b"")
            .await
            .unwrap();
    }
    for size in [6, 9, 12] {
        // Reads go on while the ring grows.
        let grown = Arc::new(AtomicBool::new(false));
        let reader = tokio::spawn(read_until(client.clone(), Arc::clone(&grown)));
        grow(&mut cells, size).await;
        grown.store(true, Ordering::Relaxed);
        let (reads, wrong) = reader.await.unwrap();
        assert!(
            wrong.is_empty(),
            "{} of {reads} reads while growing to {size}: {:?}",
            wrong.len(),
            wrong.first()
        );
        let newest = cells.last().unwrap().client();
        for n in 0..1_000 {
            assert_eq!(
                newest.values(&format!("key-{n}")).await,
                [format!("value-{n}")],
                "at {size} nodes"
            );
        }
    }
    strays_go(&cells).await;
}

/// Reads the thousand keys over and over, once at least; gives the count and what was not the value written.
async fn read_until(client: Client, stop: Arc<AtomicBool>) -> (usize, Vec<String>) {
    let mut wrong = Vec::new();
    for reads in 0.. {
        if reads >= 1_000 && stop.load(Ordering::Relaxed) {
            return (reads, wrong);
        }
        let n = reads % 1_000;
        match client.get(&format!("key-{n}")).await {
            Ok(reply) if bodies(&reply.values) == [format!("value-{n}")] => {}
            Ok(reply) => wrong.push(format!("key-{n}: {:?}", bodies(&reply.values))),
            Err(error) => wrong.push(format!("key-{n}: {error}")),
        }
    }
    (0, wrong)
}

/// Every key lies on its three replicas and nowhere else.
async fn strays_go(cells: &[Cell]) {
    for n in (0..1_000).step_by(50) {
        let key = format!("key-{n}");
        let owners = cells[0].client().owners(&key).await;
        for cell in cells {
            let owned = owners.contains(&cell.id());
            eventually(
                &format!(
                    "{key} is on {} only if that owns it ({owned})",
                    cell.config.name
                ),
                async || cell.client().own(&key).await.values.is_empty() != owned,
            )
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaving_node_hands_everything_over_first() {
    let mut cells = cluster(4).await;
    let client = cells[0].client();
    for n in 0..300 {
        client.put(&format!("key-{n}"), "v", b"").await.unwrap();
    }
    let mut leaver = cells.remove(3);
    leaver
        .client()
        .admin()
        .leave(LeaveRequest {})
        .await
        .unwrap();
    let reason = tokio::time::timeout(support::PATIENCE, leaver.node().ended())
        .await
        .expect("it ends by itself");
    assert!(matches!(*reason, dynamokv::Error::Left), "{reason}");
    let mut left = 0;
    for n in 0..300 {
        left += leaver.client().own(&format!("key-{n}")).await.values.len();
    }
    assert_eq!(left, 0, "it let go of everything");
    let id = leaver.id();
    leaver.stop().await;
    settle(&cells, 3).await;
    for cell in &cells {
        eventually("nobody lists the node any more", async || {
            let members = cell
                .client()
                .admin()
                .members(MembersRequest {})
                .await
                .unwrap()
                .into_inner()
                .members;
            members.iter().all(|member| member.node != id)
        })
        .await;
    }
    for n in 0..300 {
        for cell in &cells {
            assert_eq!(
                bodies(&cell.client().own(&format!("key-{n}")).await.values),
                ["v"],
                "key-{n}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_member_that_is_removed_is_replaced_by_heirs_with_all_the_data() {
    let mut cells = cluster(4).await;
    let client = cells[0].client();
    for n in 0..200 {
        client.put(&format!("key-{n}"), "v", b"").await.unwrap();
    }
    let dead = cells[3].id();
    cells[3].kill().await;
    let mut dead_cell = cells.remove(3);
    client
        .admin()
        .remove(RemoveRequest { node: dead })
        .await
        .unwrap();
    settle(&cells, 3).await;
    on_all_replicas(&client, 200).await;
    // What it held is no part of the cluster any more: it may not come back with it.
    dead_cell.restart().await.unwrap();
    let reason = tokio::time::timeout(support::PATIENCE, dead_cell.node().ended())
        .await
        .expect("it is told");
    let told = reason.to_string();
    assert!(
        told.contains("removed") || told.contains("left the cluster"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_dies_during_a_join_is_removed_and_the_join_goes_on() {
    let mut cells = cluster(4).await;
    let client = cells[0].client();
    for n in 0..200 {
        client.put(&format!("key-{n}"), "v", b"").await.unwrap();
    }
    let dead = cells[1].id();
    cells[1].kill().await;
    let mut joiner = config("n5");
    joiner.seeds = vec![cells[0].address().to_owned()];
    cells.push(Cell::start(joiner).await);
    eventually("the join waits for the dead member", async || {
        let open = client.ring(None).await.open;
        open.is_some_and(|open| open.blocked_by.contains(&dead))
    })
    .await;
    client
        .admin()
        .remove(RemoveRequest { node: dead })
        .await
        .unwrap();
    settle(&cells, 4).await;
    on_all_replicas(&client, 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaving_node_takes_no_hint_along_and_a_restart_does_not_make_it_stay() {
    let mut cells = cluster(5).await;
    let client = cells[0].client();
    let dead = cells[1].id();
    cells[1].kill().await;
    for n in 0..200 {
        let key = format!("key-{n}");
        eventually("the put is acknowledged", async || {
            client.put(&key, "v", b"").await.is_ok()
        })
        .await;
    }
    let leaver = cells[4].client();
    eventually("the leaver holds hints", async || leaver.hints().await > 0).await;
    leaver.admin().leave(LeaveRequest {}).await.unwrap();
    cells[4].kill().await;
    cells[4].restart().await.unwrap();
    client
        .admin()
        .remove(RemoveRequest { node: dead })
        .await
        .unwrap();
    let reason = tokio::time::timeout(support::PATIENCE, cells[4].node().ended())
        .await
        .expect("it ends");
    assert!(matches!(*reason, dynamokv::Error::Left), "{reason}");
    assert_eq!(cells[4].client().hints().await, 0);
    cells[4].stop().await;
    settle(&cells, 3).await;
    on_all_replicas(&client, 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_restarts_alone_more_than_once_still_knows_the_others() {
    let mut cells = cluster(2).await;
    for cell in &mut cells {
        cell.kill().await;
        cell.config.seeds.clear();
    }
    for _ in 0..2 {
        cells[0].restart().await.unwrap();
        cells[0].stop().await;
    }
    cells[0].restart().await.unwrap();
    cells[1].restart().await.unwrap();
    let client = cells[0].client();
    eventually("the two find each other", async || {
        client.put("k", "v", b"").await.is_ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_node_works_with_the_others_before_gossip_has_met_them() {
    let mut cells = cluster(3).await;
    let client = cells[0].client();
    client.put("k", "v", b"").await.unwrap();
    for cell in &mut cells {
        cell.kill().await;
        cell.config.seeds.clear();
        // The first round finds nobody who listens yet; the second one is far away.
        cell.config.gossip_interval_ms = 60_000;
    }
    for cell in &mut cells {
        cell.restart().await.unwrap();
    }
    let client = cells[0].client();
    let read = client.get("k").await.unwrap();
    assert_eq!(bodies(&read.values), ["v"]);
    client.put("k", "w", &read.context).await.unwrap();
    assert_eq!(client.values("k").await, ["w"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_during_a_change_are_on_all_replicas_of_the_new_ring() {
    let mut cells = cluster(3).await;
    let client = cells[0].client();
    let writer = tokio::spawn({
        let client = client.clone();
        async move {
            let mut acknowledged = Vec::new();
            for n in 0..1_500 {
                let key = format!("during-{n}");
                if client.put(&key, "v", b"").await.is_ok() {
                    acknowledged.push(key);
                }
            }
            acknowledged
        }
    });
    grow(&mut cells, 5).await;
    let acknowledged = writer.await.unwrap();
    assert!(
        acknowledged.len() > 1_400,
        "only {} of 1500 puts went through",
        acknowledged.len()
    );
    for key in &acknowledged {
        // Two copies are on two of the three: whichever two answer, one of them has it.
        let strict = GetRequest {
            key: key.clone().into(),
            mode: QuorumMode::Strict.into(),
            ..GetRequest::default()
        };
        let values = client.get_request(strict).await.unwrap().values;
        assert_eq!(bodies(&values), ["v"], "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_reaches_every_replica_and_any_node_takes_any_request() {
    let cells = cluster(5).await;
    for n in 0..40 {
        let key = format!("key-{n}");
        let through = cells[n % 5].client();
        let reply = through.put(&key, "v", b"").await.unwrap();
        let owners = through.owners(&key).await;
        assert!(owners.contains(&reply.coordinator), "a replica coordinates");
        for cell in &cells {
            assert_eq!(cell.client().values(&key).await, ["v"]);
        }
    }
}

/// Writes `k`, kills a replica that has it, and deletes it through the first node; which replica that is.
async fn delete_while_a_replica_is_away(cells: &mut [Cell]) -> usize {
    let client = cells[0].client();
    let context = client.put("k", "v", b"").await.unwrap().context;
    let owners = client.owners("k").await;
    let away = (1..4)
        .find(|index| owners.contains(&cells[*index].id()))
        .unwrap();
    let returning = cells[away].client();
    eventually("the replica has the value", async || {
        !returning.own("k").await.values.is_empty()
    })
    .await;
    cells[away].kill().await;
    eventually("the delete is acknowledged", async || {
        client.delete("k", &context).await.is_ok()
    })
    .await;
    away
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_key_stays_deleted_when_a_replica_that_was_away_returns() {
    let mut cells = cluster(4).await;
    let away = delete_while_a_replica_is_away(&mut cells).await;
    cells[away].restart().await.unwrap();
    let returning = cells[away].client();
    eventually("the returned replica learns of it", async || {
        returning.own("k").await.values.is_empty()
    })
    .await;
    for cell in &cells {
        assert!(
            cell.client().values("k").await.is_empty(),
            "{} brings it back",
            cell.config.name
        );
    }
}

/// Nodes that forget deletes after two seconds.
async fn forgetful(size: usize) -> Vec<Cell> {
    let forgets = |config: &mut NodeConfig| {
        config.hint_age_max_s = 1;
        config.tombstone_grace_s = 2;
        config.tombstone_interval_ms = 50;
        config.exchange_interval_ms = 50;
    };
    let mut cells = cluster(size).await;
    for cell in &mut cells {
        forgets(&mut cell.config);
        cell.stop().await;
        cell.restart().await.unwrap();
    }
    cells
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_key_is_forgotten_once_every_owner_knows_and_not_before() {
    let mut cells = forgetful(4).await;
    let away = delete_while_a_replica_is_away(&mut cells).await;
    // Longer than the grace time: an owner that is away has confirmed nothing.
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    let mut remembered = 0;
    for (_, cell) in cells.iter().enumerate().filter(|(index, _)| *index != away) {
        remembered += usize::from(!cell.client().own("k").await.state_hash.is_empty());
    }
    assert!(remembered >= 2, "only {remembered} remember the delete");
    cells[away].restart().await.unwrap();
    eventually("nobody remembers the key", async || {
        for cell in &cells {
            if !cell.client().own("k").await.state_hash.is_empty() {
                return false;
            }
        }
        true
    })
    .await;
    let client = cells[0].client();
    client.put("k", "again", b"").await.unwrap();
    assert_eq!(client.values("k").await, ["again"]);
}

/// Stops all nodes, changes the disk of one, and starts all again, with exchanges all the time.
async fn tamper_and_exchange(cells: &mut [Cell], index: usize, change: impl FnOnce(&mut Batch)) {
    for cell in &mut *cells {
        cell.stop().await;
        cell.config.exchange_interval_ms = 50;
    }
    cells[index].tamper(change);
    for cell in cells {
        cell.restart().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_gets_what_it_lacks_without_a_hint_and_without_a_read() {
    let mut cells = cluster(4).await;
    let client = cells[0].client();
    let keys: Vec<String> = (0..100).map(|n| format!("key-{n}")).collect();
    let mut owned = BTreeSet::new();
    for key in &keys {
        client.put(key, "v", b"").await.unwrap();
        let owners = client.owners(key).await;
        for cell in cells.iter().filter(|cell| owners.contains(&cell.id())) {
            eventually("every replica has the key", async || {
                bodies(&cell.client().own(key).await.values) == ["v"]
            })
            .await;
        }
        if owners.contains(&cells[1].id()) {
            owned.insert(key);
        }
    }
    assert!((10..100).contains(&owned.len()), "{} keys", owned.len());
    for cell in &cells {
        eventually("no hint is left", async || cell.client().hints().await == 0).await;
    }
    tamper_and_exchange(&mut cells, 1, |batch| {
        batch.delete_range(&Family::OBJECTS, vec![], vec![0xff; 9]);
    })
    .await;
    let emptied = cells[1].client();
    for key in &owned {
        eventually(&format!("{key} is back"), async || {
            bodies(&emptied.own(key).await.values) == ["v"]
        })
        .await;
    }
    for key in keys.iter().filter(|key| !owned.contains(key)) {
        assert_eq!(cells[1].record(key), None, "{key} belongs to others");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_missed_a_delete_learns_of_it_and_does_not_bring_the_key_back() {
    let mut cells = cluster(3).await;
    let client = cells[0].client();
    let context = client.put("k", "v", b"").await.unwrap().context;
    for cell in &cells {
        eventually("every replica has the value", async || {
            bodies(&cell.client().own("k").await.values) == ["v"]
        })
        .await;
    }
    let stale = cells[2].record("k").unwrap();
    client.delete("k", &context).await.unwrap();
    for cell in &cells {
        eventually("every replica knows of the delete", async || {
            cell.client().own("k").await.values.is_empty()
        })
        .await;
    }
    let deleted = client.own("k").await.state_hash;
    let key = ObjectKey::new("default", "k").unwrap().encode();
    tamper_and_exchange(&mut cells, 2, |batch| {
        batch.put(&Family::OBJECTS, key, stale);
    })
    .await;
    let returning = cells[2].client();
    eventually("the delete wins", async || {
        returning.own("k").await.state_hash == deleted
    })
    .await;
    for cell in &cells {
        let own = cell.client().own("k").await;
        assert!(own.values.is_empty(), "{} has it", cell.config.name);
        assert_eq!(own.state_hash, deleted, "{}", cell.config.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_node_with_the_same_id_is_told_so_and_does_not_join() {
    let mut founder = config("n1");
    founder.bootstrap = true;
    founder.id = Some("00000000000000a1".into());
    let first = Cell::start(founder).await;
    let mut twin = config("twin");
    twin.id = Some("00000000000000a1".into());
    twin.seeds = vec![first.address().to_owned()];
    let twin = Cell::start(twin).await;
    let reason = tokio::time::timeout(support::PATIENCE, twin.node().ended())
        .await
        .expect("it is told");
    assert!(reason.to_string().contains("id"), "{reason}");
    assert_eq!(first.client().ring(None).await.shares.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_another_cluster_name_is_told_so_and_does_not_join() {
    let mut founder = config("n1");
    founder.bootstrap = true;
    let first = Cell::start(founder).await;
    let mut stranger = config("stranger");
    stranger.cluster = "another".into();
    stranger.seeds = vec![first.address().to_owned()];
    let stranger = Cell::start(stranger).await;
    let reason = tokio::time::timeout(support::PATIENCE, stranger.node().ended())
        .await
        .expect("it is told");
    assert!(reason.to_string().contains("another name"), "{reason}");
    assert_eq!(first.client().ring(None).await.shares.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_disk_was_emptied_does_not_pass_for_what_it_was() {
    let mut cells = cluster(3).await;
    cells[2].kill().await;
    let mut config = cells[2].config.clone();
    config.id = Some(
        cells[0]
            .client()
            .ring(None)
            .await
            .shares
            .iter()
            .map(|share| share.node.clone())
            .find(|id| *id != cells[0].id() && *id != cells[1].id())
            .unwrap(),
    );
    let emptied = Cell::try_start(config, support::memory()).await.unwrap();
    let reason = tokio::time::timeout(support::PATIENCE, emptied.node().ended())
        .await
        .expect("it is told");
    assert!(reason.to_string().contains("emptied"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_gets_an_answer_that_names_the_field_and_the_limit() {
    let cells = cluster(3).await;
    let client = cells[0].client();
    let context = client.put("k", "v", b"").await.unwrap().context.to_vec();
    let put = |key: &[u8], value: Vec<u8>, context: &[u8], w: Option<u32>| {
        let request = PutRequest {
            key: key.to_vec().into(),
            value: value.into(),
            context: context.to_vec().into(),
            w,
            ..PutRequest::default()
        };
        let client = client.clone();
        async move { client.put_request(request).await.unwrap_err() }
    };
    let mut damaged = context.clone();
    damaged[3] ^= 1;
    let cases = [
        (
            "an empty key",
            put(b"", b"v".to_vec(), b"", None).await,
            "key",
            "65536",
        ),
        (
            "an oversized key",
            put(&[7; 65_537], b"v".to_vec(), b"", None).await,
            "key",
            "65536",
        ),
        (
            "an oversized value",
            put(b"k", vec![7; (4 << 20) + 1], b"", None).await,
            "value",
            "4194304",
        ),
        (
            "a damaged context",
            put(b"k", b"v".to_vec(), &damaged, None).await,
            "context",
            "",
        ),
        (
            "a context of another key",
            put(b"other", b"v".to_vec(), &context, None).await,
            "context",
            "",
        ),
        (
            "w above N",
            put(b"k", b"v".to_vec(), b"", Some(4)).await,
            "w",
            "1..=3",
        ),
    ];
    for (what, error, field, limit) in cases {
        assert_eq!(error.code(), Code::InvalidArgument, "{what}: {error}");
        assert!(
            error.message().contains(field) && error.message().contains(limit),
            "{what}: {error}"
        );
    }
    let request = GetRequest {
        key: "k".into(),
        r: Some(4),
        ..GetRequest::default()
    };
    let error = client.get_request(request).await.unwrap_err();
    assert!(
        error.code() == Code::InvalidArgument && error.message().contains("1..=3"),
        "{error}"
    );
    let error = client.delete("k", b"").await.unwrap_err();
    assert!(
        error.code() == Code::InvalidArgument && error.message().contains("context"),
        "{error}"
    );
    // A stale context is no error: the write is concurrent with what the client did not see.
    client.put("k", "newer", &context).await.unwrap();
    client.put("k", "stale", &context).await.unwrap();
    assert_eq!(client.values("k").await, ["newer", "stale"]);
    client
        .put("big", &"x".repeat(4 << 20), b"")
        .await
        .expect("the greatest value is taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_replica_is_awaited_by_nobody_once_it_is_noticed() {
    let mut cells = cluster(3).await;
    let dead = cells[2].id();
    cells[2].kill().await;
    let client = cells[0].client();
    let mut context = Vec::new();
    eventually(
        "puts pass the dead replica over, without asking it",
        async || {
            let reply = client.put("k", "v", &context).await.unwrap();
            context = reply.context.to_vec();
            let kind = reply
                .answers
                .iter()
                .find(|answer| answer.node == dead)
                .map(|answer| answer.kind());
            kind == Some(AnswerKind::Down)
        },
    )
    .await;
}
