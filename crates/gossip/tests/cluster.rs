//! Many machines in virtual time: what spreads, what is noticed, what is not imagined.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::Duration;

use dynamokv_gossip::{Event, Status};
use dynamokv_ring::NodeId;
use support::{Cluster, SECOND, local, machine_of};

#[test]
fn nodes_find_each_other_from_one_seed() {
    for seed in 0..3 {
        let mut cluster = Cluster::of(40, seed);
        let known = |cluster: &Cluster| cluster.all(|node| node.members().count() == 40);
        let took = cluster.run_until(30 * SECOND, known).expect("all known");
        assert!(took < 20 * SECOND, "{took:?}");
    }
}

#[test]
fn a_new_fact_is_known_everywhere_within_o_log_n_rounds() {
    for (count, loss, rounds_max) in [(10, 0, 4), (60, 0, 6), (60, 20, 10)] {
        for seed in 0..3 {
            let mut cluster = Cluster::of(count, seed);
            cluster.run(30 * SECOND);
            cluster.loss = loss;
            cluster.node(count).set_kv("colour", "red").unwrap();
            let known = |cluster: &Cluster| {
                cluster.all(|node| node.kv(NodeId(count), "colour") == Some("red"))
            };
            let took = cluster.run_until(60 * SECOND, known).expect("known at all");
            assert!(
                took <= rounds_max * SECOND,
                "{count} nodes, {loss} % loss: {took:?}"
            );
        }
    }
}

#[test]
fn nobody_is_accused_while_all_is_well() {
    for (count, loss) in [(3, 0), (30, 0), (30, 10)] {
        let mut cluster = Cluster::of(count, 7);
        cluster.run(20 * SECOND);
        cluster.events.clear();
        cluster.loss = loss;
        cluster.run(600 * SECOND);
        let accused: Vec<_> = cluster
            .events
            .iter()
            .filter(|(_, event)| matches!(event, Event::Down(_)))
            .collect();
        assert!(
            accused.is_empty(),
            "{count} nodes, {loss} % loss: {accused:?}"
        );
    }
}

#[test]
fn a_crash_is_noticed_by_all_and_a_restart_at_once() {
    for count in [3, 30] {
        let mut cluster = Cluster::of(count, 5);
        cluster.run(30 * SECOND);
        cluster.crash(2);
        let noticed = |cluster: &Cluster| cluster.all(|node| !node.is_live(NodeId(2)));
        cluster.run_until(30 * SECOND, noticed).expect("noticed");

        let reborn = machine_of(local(2, 2), &[1], cluster.now);
        cluster.add(reborn);
        let back = |cluster: &Cluster| {
            cluster.all(|node| {
                node.is_live(NodeId(2)) && node.member(NodeId(2)).unwrap().generation == 2
            })
        };
        cluster.run_until(6 * SECOND, back).expect("back");
        let restarted = Event::Restarted {
            id: NodeId(2),
            generation: 2,
        };
        let told = cluster
            .events
            .iter()
            .filter(|(_, event)| *event == restarted)
            .count() as u64;
        assert_eq!(told, count - 1);
    }
}

#[test]
fn down_is_not_gone() {
    let mut cluster = Cluster::of(5, 1);
    cluster.run(20 * SECOND);
    cluster.crash(3);
    cluster.run(24 * 3600 * SECOND);
    assert!(cluster.all(|node| !node.is_live(NodeId(3)) && node.member(NodeId(3)).is_some()));
}

#[test]
fn a_goodbye_is_believed_at_once() {
    let mut cluster = Cluster::of(5, 1);
    cluster.run(20 * SECOND);
    cluster.node(3).announce_stop();
    cluster.kick(NodeId(3));
    cluster.run(Duration::from_millis(200));
    cluster.crash(3);
    assert!(cluster.all(|node| !node.is_live(NodeId(3))));
    assert_eq!(
        cluster.node(1).status_of(NodeId(3)),
        Some(Status::Joining),
        "it has not left"
    );
}

#[test]
fn islands_rejoin_through_seeds_and_contacts_to_the_down() {
    let mut cluster = Cluster::of(12, 9);
    cluster.run(30 * SECOND);
    for id in 7..=12 {
        cluster.island.insert(NodeId(id), 1);
    }
    cluster.run(120 * SECOND);
    assert!(
        cluster.all(|node| node.live_count() == 6),
        "each island sees itself"
    );
    cluster.node(12).set_kv("colour", "blue").unwrap();
    cluster.island.clear();
    let whole = |cluster: &Cluster| {
        cluster.all(|node| node.live_count() == 12 && node.kv(NodeId(12), "colour") == Some("blue"))
    };
    cluster.run_until(30 * SECOND, whole).expect("rejoined");
}

#[test]
fn islands_that_never_met_join_through_a_seed() {
    let mut cluster = Cluster::of(4, 2);
    for id in 5..=8 {
        let node = machine_of(local(id, 1), &[5, 1], cluster.now);
        cluster.add(node);
        cluster.island.insert(NodeId(id), 1);
    }
    cluster.run(60 * SECOND);
    assert!(cluster.all(|node| node.members().count() == 4));
    cluster.island.clear();
    let whole = |cluster: &Cluster| cluster.all(|node| node.members().count() == 8);
    cluster.run_until(60 * SECOND, whole).expect("met");
}

#[test]
fn a_member_that_left_does_not_rise_again_while_it_is_remembered() {
    let mut cluster = Cluster::of(6, 3);
    cluster.run(20 * SECOND);
    // One node sleeps through the leave and still believes in the old world.
    cluster.crash(6);
    cluster.run(30 * SECOND);
    cluster.node(2).set_status(Status::Left).unwrap();
    cluster.run(10 * SECOND);
    cluster.crash(2);
    assert!(cluster.all(|node| node.member(NodeId(2)).is_none()));
    cluster.down.remove(&NodeId(6));
    cluster.run(20 * SECOND);
    assert!(cluster.all(|node| node.member(NodeId(2)).is_none() && node.left().eq([NodeId(2)])));

    // It tries to come back under its id.
    let reborn = machine_of(local(2, 9), &[1, 3, 4], cluster.now);
    cluster.add(reborn);
    cluster.run(60 * SECOND);
    cluster.crash(2);
    assert!(cluster.all(|node| node.member(NodeId(2)).is_none()));
}

#[test]
fn the_memory_of_the_left_ends_everywhere() {
    let mut cluster = Cluster::new(4);
    for id in 1..=5 {
        let mut config = support::config();
        config.left_lifetime = 60 * SECOND;
        let node = dynamokv_gossip::Gossip::new(
            config,
            local(id, 1),
            vec![support::address(1)],
            id,
            cluster.now,
        );
        cluster.add(node.unwrap());
    }
    cluster.run(20 * SECOND);
    cluster.node(2).set_status(Status::Left).unwrap();
    cluster.run(10 * SECOND);
    cluster.crash(2);
    assert!(cluster.all(|node| node.left().count() == 1));
    cluster.run(70 * SECOND);
    assert!(cluster.all(|node| node.left().count() == 0 && node.members().count() == 4));
}

#[test]
fn messages_stay_within_their_bound_and_much_state_still_arrives() {
    let mut cluster = Cluster::new(6);
    let mut small = support::config();
    small.max_message_bytes = 32 * 1024;
    for id in 1..=8 {
        let seeds = vec![support::address(1)];
        let mut node =
            dynamokv_gossip::Gossip::new(small.clone(), local(id, 1), seeds, id, cluster.now)
                .unwrap();
        for key in 0..20 {
            node.set_kv(format!("key{key}"), "x".repeat(8 * 1024))
                .unwrap();
        }
        cluster.add(node);
    }
    let all = |cluster: &Cluster| {
        cluster.all(|node| {
            node.members().count() == 8 && node.members().all(|state| state.kv.len() == 20)
        })
    };
    cluster
        .run_until(120 * SECOND, all)
        .expect("all of it arrives");
    assert!(
        cluster.bytes_max <= small.max_message_bytes,
        "{}",
        cluster.bytes_max
    );
}

#[test]
fn more_nodes_than_fit_a_message_are_all_kept_alive() {
    let mut cluster = Cluster::new(6);
    let mut small = support::config();
    small.max_message_bytes = 32 * 1024;
    // 341 digests fit half a message. Node 1 knows 800; the rest of them are silent.
    let mut first =
        dynamokv_gossip::Gossip::new(small.clone(), local(1, 1), vec![], 1, cluster.now).unwrap();
    for id in 100..900 {
        let mut other = machine_of(local(id, 1), &[1], cluster.now);
        support::exchange(&mut other, &mut first, cluster.now);
    }
    let second = dynamokv_gossip::Gossip::new(
        small.clone(),
        local(2, 1),
        vec![support::address(1)],
        2,
        cluster.now,
    );
    cluster.add(first);
    cluster.add(second.unwrap());
    let all = |cluster: &Cluster| cluster.all(|node| node.members().count() == 802);
    cluster
        .run_until(200 * SECOND, all)
        .expect("window by window");
    assert!(
        cluster.bytes_max <= small.max_message_bytes,
        "{}",
        cluster.bytes_max
    );
}

#[test]
fn under_loss_doubling_and_reordering_states_only_move_forward_and_converge() {
    for seed in 0..5 {
        let mut cluster = Cluster::of(6, seed);
        cluster.loss = 30;
        cluster.doubled = 30;
        cluster.delay_max = 3 * SECOND;
        let mut seen = std::collections::BTreeMap::new();
        for round in 0..60u64 {
            let writer = 1 + cluster.below(6);
            cluster
                .node(writer)
                .set_kv(format!("key{}", round % 7), round.to_string())
                .unwrap();
            if round == 30 {
                let reborn = machine_of(local(5, 2), &[1], cluster.now);
                cluster.add(reborn);
            }
            cluster.run(SECOND);
            for (observer, node) in &cluster.nodes {
                // A restarted observer begins anew.
                let life = node.local().generation;
                for state in node.members().filter(|state| state.id != *observer) {
                    let heartbeat = node.heartbeats(state.id).unwrap();
                    let latest = (state.generation, state.version, heartbeat);
                    let before = seen
                        .insert((*observer, life, state.id), latest)
                        .unwrap_or_default();
                    assert!(latest >= before, "{observer} forgot {}", state.id);
                }
            }
        }
        cluster.loss = 0;
        let truth: Vec<_> = cluster
            .nodes
            .values()
            .map(|node| node.local().kv.clone())
            .collect();
        let same = |cluster: &Cluster| {
            cluster.all(|node| node.members().map(|state| &state.kv).eq(truth.iter()))
        };
        cluster.run_until(30 * SECOND, same).expect("converged");
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let trace = || {
        let mut cluster = Cluster::of(12, 42);
        cluster.loss = 20;
        cluster.run(40 * SECOND);
        cluster.crash(4);
        cluster.run(40 * SECOND);
        format!("{:?}", cluster.events)
    };
    assert_eq!(trace(), trace());
}
