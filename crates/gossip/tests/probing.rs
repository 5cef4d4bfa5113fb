//! A second opinion before a verdict, and who is the slow one.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::Instant;

use dynamokv_gossip::{Event, Gossip, Message, Outgoing};
use dynamokv_ring::NodeId;
use support::{SECOND, address, events, exchange, machine};

/// Node 1 knows 2 and 3, hears 2 all the time, and 3 no more. Returned at the round in which it begins to ask.
fn suspicion() -> (Instant, [Gossip; 3], Vec<Outgoing>) {
    suspicion_of(true)
}

/// The same; the rounds of node 3 may hang.
fn suspicion_of(goes_on: bool) -> (Instant, [Gossip; 3], Vec<Outgoing>) {
    let mut now = Instant::now();
    let mut one = machine(1, &[], now);
    let mut two = machine(2, &[1], now);
    let mut three = machine(3, &[1], now);
    for _ in 0..30 {
        now += SECOND;
        one.tick(now);
        two.tick(now);
        three.tick(now);
        exchange(&mut two, &mut one, now);
        exchange(&mut three, &mut one, now);
        exchange(&mut two, &mut one, now);
    }
    drain(&mut one);
    for _ in 0..40 {
        now += SECOND;
        one.tick(now);
        two.tick(now);
        if goes_on {
            three.tick(now);
        }
        one.report_success(NodeId(2), now);
        let sent = drain(&mut one);
        if one.suspects().any(|id| id == NodeId(3)) {
            drain(&mut two);
            return (now, [one, two, three], sent);
        }
    }
    panic!("never suspected");
}

fn drain(node: &mut Gossip) -> Vec<Outgoing> {
    std::iter::from_fn(|| node.poll_outgoing()).collect()
}

fn sent_to(sent: &[Outgoing], to: u64) -> Message {
    let found = sent.iter().rfind(|outgoing| outgoing.to == address(to));
    found.expect("nothing was sent there").message.clone()
}

#[test]
fn a_silent_node_is_asked_and_asked_about_before_it_counts_as_down() {
    let (mut now, [mut one, ..], sent) = suspicion();
    assert!(matches!(sent_to(&sent, 3), Message::Ping(_)));
    assert!(matches!(sent_to(&sent, 2), Message::Probe(probe) if probe.target == NodeId(3)));
    assert!(events(&mut one).contains(&Event::Suspected(NodeId(3))));
    assert!(one.is_live(NodeId(3)), "not before others had their say");
    for _ in 0..2 {
        now += SECOND;
        one.tick(now);
    }
    assert!(!one.is_live(NodeId(3)), "nobody heard it");
    assert_eq!(one.suspects().count(), 0);
}

#[test]
fn a_node_that_others_hear_is_spared_and_the_accuser_mistrusts_itself() {
    for goes_on in [true, false] {
        spared_by_others(goes_on);
    }
}

fn spared_by_others(goes_on: bool) {
    let (mut now, [mut one, mut two, mut three], sent) = suspicion_of(goes_on);
    assert_eq!(one.sickness(), 0);
    assert_eq!(two.handle(now, sent_to(&sent, 2)), Ok(None));
    let ping = sent_to(&drain(&mut two), 3);
    let pong = three.handle(now, ping).unwrap().unwrap();
    assert_eq!(two.handle(now, pong), Ok(None));
    let vouch = sent_to(&drain(&mut two), 1);
    assert!(matches!(&vouch, Message::Vouch(vouch) if vouch.target == NodeId(3)));
    one.handle(now, vouch).unwrap();
    assert_eq!(one.phi(NodeId(3), now), Some(0.0), "a sign of life");
    assert_eq!(one.suspects().count(), 0);
    assert_eq!(one.sickness(), 1);
    for _ in 0..2 {
        now += SECOND;
        one.tick(now);
        assert!(one.is_live(NodeId(3)));
    }
}

#[test]
fn a_direct_answer_spares_too() {
    let (mut now, [mut one, _, mut three], sent) = suspicion();
    let pong = three.handle(now, sent_to(&sent, 3)).unwrap().unwrap();
    one.handle(now, pong).unwrap();
    assert_eq!(one.suspects().count(), 0);
    assert_eq!(one.sickness(), 0, "nobody was wrong");
    now += SECOND;
    one.tick(now);
    assert!(one.is_live(NodeId(3)));
}

#[test]
fn a_node_that_is_itself_late_waits_longer_and_recovers() {
    let mut now = Instant::now();
    let mut one = machine(1, &[], now);
    let mut two = machine(2, &[1], now);
    one.tick(now);
    exchange(&mut two, &mut one, now);
    for late in 1..=3 {
        now += 3 * SECOND;
        one.tick(now);
        assert_eq!(one.sickness(), late);
    }
    for _ in 0..40 {
        now += SECOND;
        two.tick(now);
        one.tick(now);
        exchange(&mut one, &mut two, now);
    }
    assert_eq!(one.sickness(), 0);
}

#[test]
fn who_asks_about_a_stranger_gets_no_answer() {
    let now = Instant::now();
    let mut one = machine(1, &[], now);
    let mut two = machine(2, &[1], now);
    exchange(&mut two, &mut one, now);
    let Some(Message::Pong(header)) = one
        .handle(now, Message::Ping(header_of(&mut two, now)))
        .unwrap()
    else {
        panic!("a ping is answered");
    };
    let probe = dynamokv_gossip::Probe {
        header,
        target: NodeId(77),
    };
    assert_eq!(two.handle(now, Message::Probe(probe)), Ok(None));
    assert!(drain(&mut two).is_empty());
}

fn header_of(node: &mut Gossip, now: Instant) -> dynamokv_gossip::Header {
    let sent = support::syn_of(node, address(1), now);
    sent.header().clone()
}
