//! The delivery schedule in virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use dynamokv_handoff::{Delivered, Delivery, DeliveryConfig, Place, Shipment};
use dynamokv_ring::NodeId;
use proptest::prelude::*;

use crate::support::*;

const A: NodeId = NodeId(10);
const B: NodeId = NodeId(20);

fn config() -> DeliveryConfig {
    DeliveryConfig {
        batch_items: at_most(10),
        items_per_second: NonZeroU64::MAX,
        backoff_min: ms(100),
        backoff_max: ms(1_000),
        recheck: ms(5_000),
        ..DeliveryConfig::default()
    }
}

fn begun(target: NodeId, delivery: &mut Delivery) -> &mut Delivery {
    delivery.on_marked(target);
    delivery.on_up(target);
    delivery
}

/// A schedule with hints for live targets.
fn for_live(targets: &[NodeId], config: DeliveryConfig) -> Delivery {
    let mut delivery = Delivery::new(config);
    for target in targets {
        begun(*target, &mut delivery);
    }
    delivery
}

fn first(target: NodeId) -> Option<Shipment> {
    Some(Shipment { target, from: None })
}

/// The last page of a pass, with everything on it let go.
fn done(released: usize) -> Delivered {
    Delivered {
        released,
        left: 0,
        next: None,
    }
}

/// A full page with more behind it.
fn more() -> Delivered {
    Delivered {
        released: 10,
        left: 0,
        next: Some(Place::Hint(key("k"))),
    }
}

#[test]
fn hints_wait_for_their_target_and_go_at_once_when_it_is_back() {
    let now = Instant::now();
    let mut delivery = Delivery::new(config());
    delivery.on_marked(A);
    assert_eq!(
        (delivery.poll(now), delivery.next_wakeup(now)),
        (None, None)
    );
    delivery.on_up(A);
    assert_eq!(delivery.next_wakeup(now), Some(now));
    assert_eq!(delivery.poll(now), first(A));
    assert_eq!(delivery.poll(now), None, "one batch at a time");
    delivery.on_delivered(A, more(), now);
    assert_eq!(
        delivery.poll(now),
        Some(Shipment {
            target: A,
            from: Some(Place::Hint(key("k")))
        })
    );
    delivery.on_down(A);
    delivery.on_failed(A, now);
    assert_eq!(
        (delivery.poll(now), delivery.next_wakeup(now)),
        (None, None)
    );
}

#[test]
fn a_pass_after_a_failure_starts_from_the_beginning() {
    let now = Instant::now();
    let mut delivery = for_live(&[A], config());
    delivery.poll(now);
    delivery.on_delivered(A, more(), now);
    delivery.poll(now);
    delivery.on_failed(A, now);
    assert_eq!(delivery.poll(now + ms(100)), first(A));
}

#[test]
fn two_targets_are_served_in_turn() {
    let now = Instant::now();
    let mut delivery = for_live(
        &[A, B],
        DeliveryConfig {
            targets_max: at_most(1),
            ..config()
        },
    );
    let mut served = Vec::new();
    for _ in 0..6 {
        let shipment = delivery.poll(now).unwrap();
        served.push(shipment.target);
        delivery.on_delivered(shipment.target, more(), now);
    }
    assert_eq!(served, [A, B, A, B, A, B]);
}

#[test]
fn the_wait_doubles_with_each_failure_and_ends_with_a_success() {
    let mut now = Instant::now();
    let mut delivery = for_live(&[A], config());
    for wait in [100, 200, 400, 800, 1_000, 1_000] {
        assert_eq!(delivery.poll(now), first(A));
        delivery.on_failed(A, now);
        delivery.on_marked(A); // more to deliver is no reason to press a target that fails
        assert_eq!(delivery.next_wakeup(now), Some(now + ms(wait)));
        assert_eq!(
            delivery.poll(now + ms(wait) - Duration::from_nanos(1)),
            None
        );
        now += ms(wait);
    }
    assert_eq!(delivery.poll(now), first(A));
    delivery.on_delivered(A, more(), now);
    assert!(delivery.poll(now).is_some());
    delivery.on_failed(A, now);
    assert_eq!(delivery.next_wakeup(now), Some(now + ms(100)));
}

#[test]
fn a_target_that_comes_back_does_not_wait_for_its_back_off() {
    let now = Instant::now();
    let mut delivery = for_live(&[A], config());
    delivery.poll(now);
    delivery.on_failed(A, now);
    delivery.on_down(A);
    delivery.on_up(A);
    assert_eq!(delivery.poll(now), first(A));
}

#[test]
fn a_failing_target_does_not_hold_up_another() {
    let now = Instant::now();
    let mut delivery = for_live(
        &[A, B],
        DeliveryConfig {
            targets_max: at_most(1),
            ..config()
        },
    );
    delivery.poll(now);
    delivery.on_failed(A, now);
    for _ in 0..3 {
        assert_eq!(delivery.poll(now).map(|shipment| shipment.target), Some(B));
        delivery.on_delivered(B, more(), now);
    }
}

#[test]
fn what_is_marked_during_a_pass_is_found_by_another_one() {
    let now = Instant::now();
    let mut delivery = for_live(&[A], config());
    delivery.poll(now);
    delivery.on_marked(A);
    delivery.on_delivered(A, done(3), now);
    assert_eq!(delivery.poll(now), first(A));
    delivery.on_delivered(A, done(1), now);
    assert_eq!(delivery.poll(now), None);
}

#[test]
fn a_marker_that_became_visible_after_the_look_for_it_is_found() {
    let now = Instant::now();
    let mut delivery = for_live(&[A], config());
    delivery.poll(now);
    delivery.on_delivered(A, done(0), now);
    assert_eq!(delivery.next_wakeup(now), Some(now + ms(5_000)));
    assert_eq!(delivery.poll(now + ms(5_000)), first(A));
}

#[test]
fn hints_that_stay_are_tried_again_more_and_more_rarely_unless_something_is_marked() {
    let mut now = Instant::now();
    let mut delivery = for_live(&[A], config());
    let stuck = Delivered {
        released: 0,
        left: 2,
        next: None,
    };
    for wait in [100, 200, 400] {
        assert_eq!(delivery.poll(now), first(A));
        delivery.on_delivered(A, stuck.clone(), now);
        assert_eq!(delivery.next_wakeup(now), Some(now + ms(wait)));
        now += ms(wait);
    }
    delivery.poll(now);
    delivery.on_delivered(A, stuck, now);
    delivery.on_marked(A);
    assert_eq!(
        delivery.poll(now),
        first(A),
        "a stuck hint does not delay a new one"
    );
}

#[test]
fn the_rate_is_kept_over_all_targets() {
    let mut now = Instant::now();
    let begin = now;
    let rate = NonZeroU64::new(100).unwrap();
    let mut delivery = for_live(
        &[A, B],
        DeliveryConfig {
            items_per_second: rate,
            ..config()
        },
    );
    let mut sent = 0;
    while now < begin + Duration::from_secs(10) {
        while let Some(shipment) = delivery.poll(now) {
            sent += 10;
            delivery.on_delivered(shipment.target, more(), now);
        }
        let next = delivery.next_wakeup(now).unwrap();
        assert!(next > now);
        now = next;
    }
    assert_eq!(sent, 1_000);
}

#[test]
fn a_short_batch_costs_only_what_it_holds() {
    let now = Instant::now();
    let rate = NonZeroU64::new(100).unwrap();
    let mut delivery = for_live(
        &[A, B],
        DeliveryConfig {
            items_per_second: rate,
            ..config()
        },
    );
    delivery.poll(now);
    assert_eq!(delivery.next_wakeup(now), Some(now + ms(100)));
    delivery.on_delivered(A, done(1), now);
    assert_eq!(delivery.next_wakeup(now), Some(now + ms(10)));
}

#[test]
fn a_target_that_left_for_good_gets_nothing_more() {
    let now = Instant::now();
    let one = DeliveryConfig {
        targets_max: at_most(1),
        ..config()
    };
    let mut delivery = for_live(&[A, B], one);
    delivery.poll(now);
    delivery.forget(A);
    delivery.on_delivered(A, more(), now);
    for _ in 0..3 {
        assert_eq!(delivery.poll(now).map(|shipment| shipment.target), Some(B));
        delivery.on_delivered(B, more(), now);
    }
}

#[derive(Debug, Clone)]
enum Event {
    Mark(u8),
    Up(u8),
    Down(u8),
    Poll,
    Deliver { nth: usize, taken: usize },
    Fail { nth: usize },
    Wait(u64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => (0..4_u8).prop_map(Event::Mark),
        2 => (0..4_u8).prop_map(Event::Up),
        1 => (0..4_u8).prop_map(Event::Down),
        6 => Just(Event::Poll),
        4 => (0..4_usize, 0..4_usize).prop_map(|(nth, taken)| Event::Deliver { nth, taken }),
        1 => (0..4_usize).prop_map(|nth| Event::Fail { nth }),
        2 => (1..500_u64).prop_map(Event::Wait),
    ];
    prop::collection::vec(event, 1..150)
}

/// Targets with numbers for hints; a page has three at most.
#[derive(Default)]
struct Model {
    hints: BTreeMap<NodeId, BTreeSet<usize>>,
    up: BTreeSet<NodeId>,
    under_way: BTreeMap<NodeId, Vec<usize>>,
    numbers: usize,
}

impl Model {
    /// The page that the shipment asks for. The numbers are in the order of their keys.
    fn begin(&mut self, shipment: &Shipment) {
        let hints = self.hints.entry(shipment.target).or_default();
        let after = shipment.from.as_ref().map(ordinal);
        let page = hints
            .iter()
            .filter(|hint| after.is_none_or(|after| **hint > after));
        self.under_way
            .insert(shipment.target, page.copied().take(3).collect());
    }

    fn end(&mut self, target: NodeId, taken: usize) -> Delivered {
        let page = self.under_way.remove(&target).unwrap();
        let hints = self.hints.get_mut(&target).unwrap();
        let released = page.len().min(taken);
        for hint in page.iter().take(released) {
            hints.remove(hint);
        }
        let last = page.last().copied();
        let next = last.filter(|last| hints.iter().any(|hint| hint > last));
        Delivered {
            released,
            left: page.len() - released,
            next: next.map(ordered),
        }
    }
}

/// A place that carries a number.
fn ordered(number: usize) -> Place {
    Place::Hint(key(&number.to_string()))
}

fn ordinal(place: &Place) -> usize {
    let Place::Hint(key) = place else {
        panic!("no slices here");
    };
    String::from_utf8(key.key().to_vec())
        .unwrap()
        .parse()
        .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Never to a node that is down, never two at once to one, never more than K; the wake-up is exact; and when all are up
    /// and nothing fails any more, everything is delivered.
    #[test]
    fn every_interleaving_keeps_the_bounds_and_ends_with_everything_delivered(
        events in events(),
        targets_max in 1_usize..4,
    ) {
        let mut now = Instant::now();
        let limits = DeliveryConfig { targets_max: at_most(targets_max), ..config() };
        let mut delivery = Delivery::new(limits);
        let mut model = Model::default();
        let id = |number: u8| NodeId(u64::from(number));
        for event in events {
            match event {
                Event::Mark(target) => {
                    model.numbers += 1;
                    model.hints.entry(id(target)).or_default().insert(model.numbers);
                    delivery.on_marked(id(target));
                }
                Event::Up(target) => {
                    model.up.insert(id(target));
                    delivery.on_up(id(target));
                }
                Event::Down(target) => {
                    model.up.remove(&id(target));
                    delivery.on_down(id(target));
                }
                Event::Poll => {
                    let promised = delivery.next_wakeup(now);
                    let shipment = delivery.poll(now);
                    prop_assert_eq!(promised == Some(now), shipment.is_some());
                    if let Some(shipment) = shipment {
                        prop_assert!(model.up.contains(&shipment.target));
                        prop_assert!(!model.under_way.contains_key(&shipment.target));
                        model.begin(&shipment);
                    }
                    prop_assert!(model.under_way.len() <= targets_max);
                }
                Event::Deliver { nth, taken } => {
                    let target = model.under_way.keys().nth(nth).copied();
                    if let Some(target) = target {
                        delivery.on_delivered(target, model.end(target, taken), now);
                    }
                }
                Event::Fail { nth } => {
                    let target = model.under_way.keys().nth(nth).copied();
                    if let Some(target) = target {
                        model.under_way.remove(&target);
                        delivery.on_failed(target, now);
                    }
                }
                Event::Wait(millis) => now += ms(millis),
            }
        }

        (0..4).for_each(|target| delivery.on_up(id(target)));
        let late: Vec<NodeId> = model.under_way.keys().copied().collect();
        for target in late {
            delivery.on_delivered(target, model.end(target, 3), now);
        }
        for _ in 0..model.numbers * 2 + 10 {
            match delivery.poll(now) {
                Some(shipment) => {
                    model.begin(&shipment);
                    delivery.on_delivered(shipment.target, model.end(shipment.target, 3), now);
                }
                None if model.hints.values().all(BTreeSet::is_empty) => break,
                None => now = delivery.next_wakeup(now).unwrap(),
            }
        }
        prop_assert!(model.hints.values().all(BTreeSet::is_empty), "left: {:?}", model.hints);
    }
}
