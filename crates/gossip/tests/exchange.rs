//! Single exchanges: who is refused, what is reported.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::{Duration, Instant};

use dynamokv_gossip::{
    Beat, ClusterFacts, Config, Error, Event, Gossip, KEY_CHANGE, KEY_REMOVE, LocalNode, Message,
    Refusal, Status,
};
use dynamokv_ring::{Member, NodeId};
use support::{SECOND, address, events, exchange, local, machine, machine_of, syn_of};

fn founded(id: u64, cluster_id: u64, now: Instant) -> Gossip {
    let mut node = machine(id, &[], now);
    let facts = ClusterFacts::found(cluster_id, "test", 8, 3, Member::new(NodeId(id))).unwrap();
    node.set_facts(facts).unwrap();
    node
}

#[test]
fn a_node_of_another_cluster_name_is_refused() {
    let now = Instant::now();
    let mut ours = machine(1, &[], now);
    let seeds = vec![address(1)];
    let mut theirs = Gossip::new(Config::new("other"), local(2, 1), seeds, 2, now).unwrap();
    let errors = exchange(&mut theirs, &mut ours, now);
    assert!(
        matches!(&errors[..], [Error::WrongClusterName { .. }]),
        "{errors:?}"
    );
    assert_eq!(errors[0].refusal(), Refusal::WrongClusterName);
    assert_eq!(ours.members().count(), 1);
}

#[test]
fn a_cluster_founded_twice_is_refused() {
    let now = Instant::now();
    let mut ours = founded(1, 5, now);
    let mut theirs = founded(2, 6, now);
    let syn = Message::Ping(header_of(&mut theirs, now));
    assert_eq!(
        ours.handle(now, syn),
        Err(Error::WrongClusterId { ours: 5, theirs: 6 })
    );
}

/// The header that a machine sends, by way of its answer.
fn header_of(machine: &mut Gossip, now: Instant) -> dynamokv_gossip::Header {
    let mut prober = support::machine(77, &[machine.id().0], now);
    let syn = syn_of(&mut prober, machine.local().profile.address.clone(), now);
    machine.handle(now, syn).unwrap().unwrap().header().clone()
}

#[test]
fn a_newer_format_is_refused_and_told() {
    let now = Instant::now();
    let mut ours = machine(1, &[], now);
    let mut theirs = machine(2, &[1], now);
    let Message::Syn(mut syn) = syn_of(&mut theirs, address(1), now) else {
        unreachable!()
    };
    syn.header.format = 99;
    let error = ours.handle(now, Message::Syn(syn)).unwrap_err();
    assert_eq!(error.refusal(), Refusal::FormatTooNew);
}

#[test]
fn a_waiting_node_takes_the_facts_of_its_seed() {
    let now = Instant::now();
    let mut seed = founded(1, 5, now);
    let mut waiting = machine(2, &[1], now);
    assert!(exchange(&mut waiting, &mut seed, now).is_empty());
    assert_eq!(waiting.facts(), seed.facts());
    assert!(events(&mut waiting).contains(&Event::FactsChanged));
}

#[test]
fn facts_of_another_name_are_not_taken() {
    let now = Instant::now();
    let mut node = machine(1, &[], now);
    let facts = ClusterFacts::found(5, "other", 8, 3, Member::new(NodeId(1))).unwrap();
    assert!(matches!(
        node.set_facts(facts),
        Err(Error::WrongClusterName { .. })
    ));
}

#[test]
fn a_second_node_under_a_live_id_is_refused_and_reported() {
    for generation in [1, 2] {
        let mut now = Instant::now();
        let mut witness = machine(1, &[], now);
        let mut first = machine_of(local(2, 1), &[1], now);
        for _ in 0..5 {
            exchange(&mut first, &mut witness, now);
            first.tick(now);
            now += SECOND;
        }
        let mut double = local(2, generation);
        double.profile.address = "elsewhere:1".to_owned();
        let mut double = machine_of(double, &[1], now);
        let errors = exchange(&mut double, &mut witness, now);
        assert!(
            matches!(&errors[..], [Error::IdConflict { .. }]),
            "{errors:?}"
        );
        let conflict = Event::IdConflict {
            id: NodeId(2),
            known: address(2),
            other: "elsewhere:1".to_owned(),
        };
        assert!(events(&mut witness).contains(&conflict));
        assert_eq!(witness.address_of(NodeId(2)), Some(address(2).as_str()));
        exchange(&mut double, &mut witness, now);
        assert!(!events(&mut witness).contains(&conflict), "reported once");
    }
}

#[test]
fn a_restart_at_another_address_is_accepted_once_the_old_one_is_silent() {
    let mut now = Instant::now();
    let mut witness = machine(1, &[], now);
    let mut first = machine_of(local(2, 1), &[1], now);
    for _ in 0..5 {
        exchange(&mut first, &mut witness, now);
        first.tick(now);
        now += SECOND;
    }
    now += 5 * SECOND;
    let mut copy = local(2, 1);
    copy.profile.address = "elsewhere:1".to_owned();
    let errors = exchange(&mut machine_of(copy, &[1], now), &mut witness, now);
    assert!(
        matches!(&errors[..], [Error::IdConflict { .. }]),
        "a process never moves: {errors:?}"
    );
    let mut moved = local(2, 2);
    moved.profile.address = "elsewhere:1".to_owned();
    let mut moved = machine_of(moved, &[1], now);
    assert!(exchange(&mut moved, &mut witness, now).is_empty());
    assert_eq!(witness.address_of(NodeId(2)), Some("elsewhere:1"));

    // The old one, should it still run, hears of it.
    let errors = exchange(&mut first, &mut witness, now);
    assert!(errors.is_empty() || matches!(&errors[..], [Error::IdConflict { .. }]));
    now += SECOND;
    let told = events(&mut first).into_iter().chain(events(&mut witness));
    assert!(
        told.into_iter()
            .any(|event| matches!(event, Event::IdConflict { .. }))
    );
}

#[test]
fn a_node_that_meets_its_own_id_reports_it() {
    let now = Instant::now();
    let mut one = machine_of(local(2, 1), &[], now);
    let mut other = local(2, 3);
    other.profile.address = "elsewhere:1".to_owned();
    let mut other = machine_of(other, &[2], now);
    let errors = exchange(&mut other, &mut one, now);
    assert!(
        matches!(&errors[..], [Error::IdConflict { .. }]),
        "{errors:?}"
    );
    assert!(
        events(&mut one)
            .iter()
            .any(|event| matches!(event, Event::IdConflict { .. }))
    );
}

#[test]
fn a_node_that_is_its_own_seed_is_no_conflict() {
    let now = Instant::now();
    let seeds = vec!["alias:1".to_owned()];
    let mut node = Gossip::new(support::config(), local(1, 1), seeds, 1, now).unwrap();
    let syn = syn_of(&mut node, "alias:1".to_owned(), now);
    assert_eq!(node.handle(now, syn), Ok(None));
    assert!(events(&mut node).is_empty());
}

#[test]
fn a_restored_disk_is_told_that_it_was_ahead() {
    // Restored to an older generation, and to the very one that the cluster remembers.
    for restored in [3, 7] {
        let now = Instant::now();
        let mut witness = machine(1, &[], now);
        let mut before = machine_of(local(2, 7), &[1], now);
        before.set_kv("colour", "red").unwrap();
        (0..9).for_each(|_| drop(before.tick(now)));
        exchange(&mut before, &mut witness, now);

        let mut after = machine_of(local(2, restored), &[1], now);
        let syn = after.tick(now).remove(0).message;
        support::deliver(&mut after, &mut witness, syn, now);
        let ahead = Event::GenerationAhead { seen: 7 };
        assert!(
            events(&mut after).contains(&ahead),
            "restored to {restored}"
        );
        assert!(after.raise_generation(restored).is_err());
        after.raise_generation(8).unwrap();
        exchange(&mut after, &mut witness, now);
        assert_eq!(witness.member(NodeId(2)).unwrap().generation, 8);
    }
}

/// A life of node 2 that keeps count of its heartbeats.
fn counting(generation: u64, heartbeats_before: u64, now: Instant) -> Gossip {
    let life = LocalNode {
        heartbeats_before: Some(heartbeats_before),
        ..local(2, generation)
    };
    machine_of(life, &[1], now)
}

#[test]
fn who_comes_back_with_fewer_heartbeats_than_were_heard_is_refused() {
    let now = Instant::now();
    let mut witness = machine(1, &[], now);
    let mut before = counting(7, 100, now);
    (0..8).for_each(|_| drop(before.tick(now)));
    exchange(&mut before, &mut witness, now);
    assert_eq!(witness.heartbeats(NodeId(2)), Some(109));

    let mut copy = counting(8, 107, now);
    let errors = exchange(&mut copy, &mut witness, now);
    let refused = Error::LostMemory {
        id: NodeId(2),
        known: 109,
        given: 108,
    };
    assert_eq!(errors.first(), Some(&refused));
    assert_eq!(refused.refusal(), Refusal::LostMemory);
    assert!(!copy.is_known_to(NodeId(1)));
    // Nor is it believed to a third, whom the node met first.
    let mut third = machine(3, &[2, 1], now);
    assert_eq!(exchange(&mut third, &mut copy, now), []);
    assert_eq!(exchange(&mut copy, &mut third, now), []);
    assert!(copy.is_known_to(NodeId(3)));
    exchange(&mut third, &mut witness, now);
    assert_eq!(witness.member(NodeId(2)).unwrap().generation, 7);
    // The third one is told better, or the two would never agree.
    exchange(&mut witness, &mut third, now);
    assert_eq!(third.member(NodeId(2)).unwrap().generation, 7);
    assert_eq!(third.heartbeats(NodeId(2)), Some(109));
    let refused = exchange(&mut copy, &mut third, now);
    assert!(matches!(&refused[0], Error::LostMemory { .. }));

    let mut after = counting(8, 109, now);
    assert_eq!(exchange(&mut after, &mut witness, now), []);
    assert_eq!(witness.member(NodeId(2)).unwrap().generation, 8);
    assert!(!after.is_known_to(NodeId(1)), "it is yet to say so");
    assert_eq!(exchange(&mut after, &mut witness, now), []);
    assert!(after.is_known_to(NodeId(1)));
}

#[test]
fn a_copy_from_before_the_last_start_learns_of_it_however_long_ago_that_was() {
    let mut now = Instant::now();
    let mut witness = machine(1, &[], now);
    let mut lost = counting(7, 120, now);
    exchange(&mut lost, &mut witness, now);
    for _ in 0..100 {
        now += SECOND;
        witness.tick(now);
    }
    // Of the very generation and version that the witness knows.
    let mut copy = counting(7, 100, now);
    exchange(&mut copy, &mut witness, now);
    exchange(&mut copy, &mut witness, now);
    assert!(events(&mut copy).contains(&Event::GenerationAhead { seen: 7 }));
    assert!(!copy.is_known_to(NodeId(1)));
}

#[test]
fn who_keeps_no_count_of_its_heartbeats_may_begin_anew() {
    let now = Instant::now();
    let mut witness = machine(1, &[], now);
    for generation in 1..=2 {
        let mut life = machine_of(local(2, generation), &[1], now);
        (0..12 - generation).for_each(|_| drop(life.tick(now)));
        assert_eq!(exchange(&mut life, &mut witness, now), []);
    }
    assert_eq!(witness.member(NodeId(2)).unwrap().generation, 2);
    // From a version that keeps none to one that does.
    assert_eq!(exchange(&mut counting(3, 0, now), &mut witness, now), []);
}

#[test]
fn no_heartbeat_is_made_that_was_not_allowed() {
    let now = Instant::now();
    let mut node = counting(1, 10, now);
    node.allow_heartbeats(13);
    (0..9).for_each(|_| drop(node.tick(now)));
    assert_eq!(node.heartbeats(NodeId(2)), Some(13));
    node.allow_heartbeats(14);
    (0..9).for_each(|_| drop(node.tick(now)));
    assert_eq!(node.heartbeats(NodeId(2)), Some(14));
}

#[test]
fn an_older_number_that_comes_after_one_of_unknown_age_is_no_heartbeat() {
    let mut now = Instant::now();
    let (mut witness, mut node) = (machine(1, &[], now), machine(2, &[1], now));
    (0..60).for_each(|_| drop(node.tick(now)));
    exchange(&mut node, &mut witness, now);
    let known = witness.heartbeats(NodeId(2)).unwrap();
    for _ in 0..60 {
        now += SECOND;
        witness.tick(now);
    }
    let mut late = machine(3, &[1], now);
    exchange(&mut late, &mut witness, now);
    assert_eq!(late.heartbeats(NodeId(2)), Some(known));
    let Message::Syn(mut syn) = syn_of(&mut witness, address(3), now) else {
        panic!("it begins with a syn");
    };
    let beats = syn.beats.beats.iter_mut();
    let of_node = |beat: &&mut Beat| (beat.number, beat.age) == (known as u16, Beat::TOO_OLD);
    let beat = beats.into_iter().find(of_node).unwrap();
    // It was on a slow way, and seems the younger for that.
    (beat.number, beat.age) = (beat.number - 5, 9);
    late.handle(now, Message::Syn(syn)).unwrap();
    assert_eq!(late.heartbeats(NodeId(2)), Some(known));
}

#[test]
fn what_was_under_way_for_hours_does_not_tell_a_node_of_an_earlier_life() {
    let mut now = Instant::now();
    let (mut node, mut other) = (machine(1, &[2], now), machine(2, &[1], now));
    exchange(&mut other, &mut node, now);
    let old = syn_of(&mut other, address(1), now);
    for _ in 0..40_000 {
        now += SECOND;
        node.tick(now);
    }
    events(&mut node);
    node.handle(now, old).unwrap();
    let told = events(&mut node);
    let ahead = |event: &Event| matches!(event, Event::GenerationAhead { .. });
    assert!(!told.iter().any(ahead), "{told:?}");
}

#[test]
fn what_a_peer_knows_of_an_earlier_life_is_not_what_it_was_told() {
    let now = Instant::now();
    let mut witness = machine(1, &[], now);
    let mut before = machine_of(local(2, 7), &[1], now);
    for colour in ["red", "green", "blue"] {
        before.set_kv("colour", colour).unwrap();
    }
    exchange(&mut before, &mut witness, now);
    let mut after = machine_of(local(2, 8), &[1], now);
    let syn = syn_of(&mut after, address(1), now);
    let answer = witness.handle(now, syn).unwrap().unwrap();
    // What follows is lost.
    after.handle(now, answer).unwrap();
    assert_eq!(after.told(), 0);
    exchange(&mut after, &mut witness, now);
    exchange(&mut after, &mut witness, now);
    assert_eq!(after.told(), 1);
}

#[test]
fn a_paused_process_accuses_nobody() {
    let mut now = Instant::now();
    let mut sleeper = machine(1, &[], now);
    let mut other = machine(2, &[1], now);
    for _ in 0..10 {
        sleeper.tick(now);
        exchange(&mut other, &mut sleeper, now);
        now += SECOND;
    }
    now += 300 * SECOND;
    events(&mut sleeper);
    sleeper.tick(now);
    let told = events(&mut sleeper);
    assert!(
        matches!(&told[..], [Event::ClockJumped { gap }] if *gap > 300 * SECOND),
        "{told:?}"
    );
    assert!(sleeper.is_live(NodeId(2)));
    // The pause is no excuse for ever.
    for _ in 0..120 {
        now += SECOND;
        sleeper.tick(now);
    }
    assert!(!sleeper.is_live(NodeId(2)));
}

#[test]
fn request_outcomes_feed_the_verdict() {
    let mut now = Instant::now();
    let mut node = machine(1, &[], now);
    let mut other = machine(2, &[1], now);
    exchange(&mut other, &mut node, now);
    for _ in 0..3 {
        node.report_failure(NodeId(2), now);
    }
    assert!(!node.is_live(NodeId(2)));
    node.report_success(NodeId(2), now);
    assert!(node.is_live(NodeId(2)));
    for _ in 0..300 {
        now += SECOND;
        node.report_success(NodeId(2), now);
        node.tick(now);
        assert!(node.is_live(NodeId(2)), "it answers, so it lives");
    }
}

#[test]
fn illegal_status_steps_are_refused() {
    for from in Status::ALL {
        for to in Status::ALL {
            let mut start = local(1, 1);
            start.profile.status = from;
            let mut node = machine_of(start, &[], Instant::now());
            let version = node.local().version;
            let outcome = node.set_status(to);
            assert_eq!(outcome.is_ok(), from.may_become(to), "{from} to {to}");
            let written = node.local().version > version;
            assert_eq!(written, outcome.is_ok() && from != to);
        }
    }
}

#[test]
fn a_left_node_is_told_and_falls_silent() {
    let now = Instant::now();
    assert!(
        machine(3, &[], now).request_removal(NodeId(2)).is_err(),
        "before it was let in"
    );
    let mut node = founded(1, 5, now);
    let mut gone = machine(2, &[1], now);
    exchange(&mut gone, &mut node, now);
    node.request_removal(NodeId(2)).unwrap();
    assert_eq!(node.status_of(NodeId(2)), Some(Status::Left));
    let errors = exchange(&mut gone, &mut node, now);
    assert!(
        matches!(&errors[..], [Error::MemberLeft { .. }]),
        "{errors:?}"
    );
    gone.refused(&address(1), errors[0].refusal());
    assert!(events(&mut gone).contains(&Event::Left(NodeId(2))));
    assert!(gone.tick(now + SECOND).is_empty());
}

#[test]
fn removal_requests_name_a_known_other_node_and_are_repeated() {
    let now = Instant::now();
    let mut one = founded(1, 5, now);
    let mut facts = one.facts().unwrap().clone();
    facts.current.members = (1..=3).map(|id| Member::new(NodeId(id))).collect();
    let mut two = machine(2, &[1], now);
    two.set_facts(facts.clone()).unwrap();
    let mut one_again = machine(1, &[2], now);
    one_again.set_facts(facts).unwrap();
    one = one_again;
    assert!(matches!(
        one.request_removal(NodeId(1)),
        Err(Error::OwnNode { .. })
    ));
    assert!(matches!(
        one.request_removal(NodeId(9)),
        Err(Error::UnknownNode { .. })
    ));
    one.request_removal(NodeId(3)).unwrap();
    assert_eq!(
        one.status_of(NodeId(3)),
        None,
        "never heard of, but a member"
    );
    exchange(&mut one, &mut two, now);
    exchange(&mut one, &mut two, now);
    assert_eq!(two.kv(NodeId(2), KEY_REMOVE), Some("0000000000000003"));
}

#[test]
fn oversized_texts_are_refused_with_their_limit() {
    let mut node = machine(1, &[], Instant::now());
    let too_long = |result: Result<bool, Error>| matches!(result, Err(Error::TooLong { .. }));
    assert!(too_long(node.set_kv("k".repeat(257), "v")));
    assert!(too_long(node.set_kv("k", "v".repeat(8 * 1024 + 1))));
    for key in 0..256 {
        node.set_kv(format!("key{key}"), "v").unwrap();
    }
    assert!(too_long(node.set_kv("one more", "v")));
    assert_eq!(node.set_kv("key0", "v"), Ok(false));
}

#[test]
fn a_message_from_an_earlier_life_is_ignored() {
    let now = Instant::now();
    let mut earlier = machine_of(local(1, 1), &[2], now);
    let late = syn_of(&mut earlier, address(2), now);
    let mut later = machine_of(local(1, 2), &[2], now);
    assert_eq!(later.handle(now + Duration::from_millis(5), late), Ok(None));
    assert!(events(&mut later).is_empty());
}

/// Three members, and the change of a proposer that lets the newcomers in.
fn opened(proposer: u64, newcomers: &[u64]) -> ClusterFacts {
    let members =
        |ids: &[u64]| -> Vec<Member> { ids.iter().map(|id| Member::new(NodeId(*id))).collect() };
    let mut facts = ClusterFacts::found(5, "test", 8, 3, Member::new(NodeId(1))).unwrap();
    facts.current.members = members(&[1, 2, 3]);
    let change = dynamokv_gossip::Change {
        proposer: NodeId(proposer),
        target: dynamokv_gossip::Target {
            number: 1,
            replicas: 3,
            members: members(&[&[1, 2, 3], newcomers].concat()),
        },
        removing: vec![],
    };
    facts.open(change).unwrap();
    facts
}

#[test]
fn the_acknowledgement_of_a_loser_is_withdrawn_at_once() {
    let mut node = machine(3, &[], Instant::now());
    node.set_facts(opened(2, &[4])).unwrap();
    let mark = format!("1/{}/1", NodeId(2));
    node.set_kv(KEY_CHANGE, mark.clone()).unwrap();
    node.set_facts(opened(2, &[4])).unwrap();
    assert_eq!(node.kv(NodeId(3), KEY_CHANGE), Some(mark.as_str()));
    node.set_facts(opened(1, &[5])).unwrap();
    assert_eq!(node.kv(NodeId(3), KEY_CHANGE), None);
}

#[test]
fn a_node_forgotten_while_it_enters_a_ring_is_removed_from_it() {
    let now = Instant::now();
    let mut behind = machine(3, &[], now);
    behind.set_facts(opened(1, &[]).without_open()).unwrap();
    let mut newcomer = machine(4, &[3], now);
    exchange(&mut newcomer, &mut behind, now);
    behind.request_removal(NodeId(4)).unwrap();
    assert!(behind.removals().is_empty());
    let mut proposer = machine(1, &[3], now);
    proposer.set_facts(opened(1, &[4])).unwrap();
    exchange(&mut proposer, &mut behind, now);
    assert_eq!(behind.removals(), [NodeId(4)].into());
}

#[test]
fn a_delta_with_a_hole_before_it_is_not_used() {
    let now = Instant::now();
    let mut writer = machine(1, &[2, 3], now);
    let mut close = machine(2, &[], now);
    let mut behind = machine(3, &[], now);
    exchange(&mut writer, &mut close, now);
    exchange(&mut writer, &mut behind, now);
    writer.set_kv("first", "1").unwrap();
    exchange(&mut writer, &mut close, now);
    writer.set_kv("second", "2").unwrap();
    let syn = syn_of(&mut writer, address(2), now);
    let syn_ack = close.handle(now, syn).unwrap().unwrap();
    // What was meant for node 2 holds the second write only.
    let ack = writer.handle(now, syn_ack).unwrap().unwrap();
    behind.handle(now, ack).unwrap();
    assert_eq!(behind.kv(NodeId(1), "second"), None);
    exchange(&mut writer, &mut behind, now);
    assert_eq!(behind.kv(NodeId(1), "first"), Some("1"));
    assert_eq!(behind.kv(NodeId(1), "second"), Some("2"));
}

#[test]
fn of_two_memories_of_a_node_that_left_the_shorter_one_counts() {
    let now = Instant::now();
    let mut node = machine(1, &[], now);
    let mut other = machine(2, &[1], now);
    for seconds in [60, 10, 60] {
        let ack = Message::Ack(dynamokv_gossip::Ack {
            header: header_of(&mut other, now),
            deltas: vec![dynamokv_gossip::Delta {
                id: NodeId(9),
                generation: 0,
                heartbeat: 0,
                age: 0,
                news: dynamokv_gossip::News::Left {
                    remember: seconds * SECOND,
                },
            }],
            wanted: vec![],
            part: None,
        });
        node.handle(now, ack).unwrap();
    }
    node.tick(now + 9 * SECOND);
    assert_eq!(node.left().count(), 1);
    node.tick(now + 11 * SECOND);
    assert_eq!(node.left().count(), 0);
}

#[test]
fn facts_that_do_not_fit_a_message_come_in_parts() {
    let now = Instant::now();
    let mut small = support::config();
    small.max_message_bytes = 32 * 1024;
    let start = |id: u64, seeds: Vec<String>| {
        Gossip::new(small.clone(), local(id, 1), seeds, id, now).unwrap()
    };
    let mut knows = start(1, vec![]);
    let mut facts = ClusterFacts::found(5, "test", 8, 3, Member::new(NodeId(1))).unwrap();
    facts.current.members = (1..=9_000).map(|id| Member::new(NodeId(id))).collect();
    knows.set_facts(facts.clone()).unwrap();
    let mut waits = start(9_999, vec![address(1)]);
    for exchanges in 1..20 {
        let mut next = Some(syn_of(&mut waits, address(1), now));
        let mut to_first = true;
        while let Some(message) = next.take() {
            assert!(message.encoded_len() <= small.max_message_bytes);
            let to = if to_first { &mut knows } else { &mut waits };
            next = to.handle(now, message).unwrap();
            to_first = !to_first;
        }
        if waits.facts() == Some(&facts) {
            assert!(exchanges >= 3, "90 KB in {exchanges} messages of 32 KiB");
            return;
        }
    }
    panic!("never whole");
}

#[test]
fn a_node_that_writes_all_the_time_starves_nobody() {
    let now = Instant::now();
    let mut small = support::config();
    small.max_message_bytes = 32 * 1024;
    let mut relay = Gossip::new(small, local(1, 1), vec![], 1, now).unwrap();
    let mut loud = machine(2, &[1], now);
    let mut quiet = machine(3, &[1], now);
    let mut reader = machine(4, &[1], now);
    for node in [&mut loud, &mut quiet, &mut reader] {
        exchange(node, &mut relay, now);
    }
    let mut now = now;
    let news = "n".repeat(4_000);
    quiet.set_kv("news", &news).unwrap();
    exchange(&mut quiet, &mut relay, now);
    for round in 0..3 {
        now += SECOND;
        // More than a message holds, each time, in pieces that leave no room for the news.
        for key in 0..60 {
            let value = round.to_string().repeat(700);
            loud.set_kv(format!("key{key}"), value).unwrap();
        }
        (0..4).for_each(|_| drop(exchange(&mut loud, &mut relay, now)));
        exchange(&mut reader, &mut relay, now);
    }
    assert_eq!(reader.kv(NodeId(3), "news"), Some(news.as_str()));
}
