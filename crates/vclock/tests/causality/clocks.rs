//! Version vectors against a map of maxima, contexts against a set of dots.

use std::collections::{BTreeMap, BTreeSet};

use dynamokv_vclock::{ActorId, CausalContext, Dot, Epoch, VersionVector};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::oracle::{Dots, dots};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_vector_is_a_map_of_maxima(a in some_dots(), b in some_dots()) {
        let (mut x, y) = (vector(&a), vector(&b));
        let (mut model, other) = (maxima(&a), maxima(&b));
        prop_assert_eq!(x.iter().collect::<BTreeMap<_, _>>(), model.clone());
        prop_assert_eq!((x.len(), x.is_empty()), (model.len(), model.is_empty()));
        for dot in &b {
            let known = model.get(&dot.actor).copied().unwrap_or(0);
            prop_assert_eq!((x.get(&dot.actor), x.covers(dot)), (known, dot.counter <= known));
            let next = Dot::new(dot.actor, known + 1);
            prop_assert_eq!(x.next_dot(dot.actor), Some(next));
            let (mut named, mut learnt) = (x.clone(), x.clone());
            prop_assert_eq!((named.increment(dot.actor), learnt.advance(next)), (Some(next), true));
            prop_assert_eq!(named, learnt);
        }
        let within = |a: &BTreeMap<ActorId, u64>, b: &BTreeMap<ActorId, u64>| {
            a.iter().all(|(actor, n)| b.get(actor) >= Some(n))
        };
        prop_assert_eq!(x <= y, within(&model, &other));
        prop_assert_eq!(x >= y, within(&other, &model));
        prop_assert_eq!(x == y, model == other);

        let before = model.clone();
        for (actor, n) in other {
            let known = model.entry(actor).or_default();
            *known = n.max(*known);
        }
        prop_assert_eq!(x.merge(&y), model != before);
        prop_assert_eq!(x.iter().collect::<Vec<_>>(), model.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn a_context_is_a_set_of_dots(a in some_dots(), b in some_dots()) {
        let (mut x, y) = (CausalContext::new(), context(&b));
        let (mut model, other) = (Dots::new(), set(&b));
        for dot in &a {
            prop_assert_eq!(x.insert(*dot), model.insert(*dot));
            prop_assert_eq!(dots(&x), model.clone());
        }
        for dot in &b {
            prop_assert_eq!(x.covers(dot), model.contains(dot));
            let highest = model.iter().filter(|seen| seen.actor == dot.actor).map(|seen| seen.counter).max();
            prop_assert_eq!(x.highest(&dot.actor), highest.unwrap_or(0));
        }
        let actors: BTreeSet<ActorId> = model.iter().map(|dot| dot.actor).collect();
        prop_assert_eq!(x.actors().collect::<Vec<_>>(), actors.into_iter().collect::<Vec<_>>());
        prop_assert_eq!(x.is_empty(), model.is_empty());
        for node in 0..4 {
            let lacks = other.difference(&model).any(|dot| dot.actor.node == node);
            prop_assert_eq!(x.lacks_dots_of(node, &y), lacks);
        }
        prop_assert_eq!(x <= y, model.is_subset(&other));
        prop_assert_eq!(x >= y, model.is_superset(&other));
        prop_assert_eq!(x == y, model == other);

        prop_assert_eq!(x.merge(&y), !other.is_subset(&model));
        model.extend(other);
        prop_assert_eq!(dots(&x), model);
    }

    #[test]
    fn equal_sets_are_equal_bytes_however_they_came_about(
        (once, again) in some_dots().prop_flat_map(|dots| (Just(dots.clone()), Just(dots).prop_shuffle())),
        split in 0_usize..40,
    ) {
        let (left, right) = again.split_at(split.min(again.len()));
        let mut merged = context(left);
        merged.merge(&context(right));
        prop_assert_eq!(bytes(&merged), bytes(&context(&once)));
    }
}

#[test]
fn a_dot_without_a_counter_stands_for_nothing() {
    let nothing = Dot::new(7_u64, 0);
    let (mut vector, mut context) = (VersionVector::new(), CausalContext::new());
    assert!(vector.covers(&nothing) && !vector.advance(nothing) && vector.is_empty());
    assert!(context.covers(&nothing) && !context.insert(nothing) && context.is_empty());
}

#[test]
fn the_greatest_counter_is_covered_and_has_no_successor() {
    let last = Dot::new(7_u64, u64::MAX);
    let mut context = CausalContext::from(last);
    assert!(context.covers(&last) && context.gaps().eq([last]));
    context.merge(&VersionVector::from_iter([Dot::new(7, u64::MAX - 1)]).into());
    assert_eq!(
        (context.gaps().len(), context.vector().get(&7)),
        (0, u64::MAX)
    );
    let mut vector = context.vector().clone();
    assert_eq!((vector.next_dot(7), vector.increment(7)), (None, None));
    assert_eq!(&vector, context.vector());
}

#[test]
fn clocks_are_shown_with_their_gaps() {
    let mut context = CausalContext::from(Dot::new(1_u64, 1));
    context.extend([Dot::new(2, 1), Dot::new(2, 4)]);
    assert_eq!(context.to_string(), "{1@1, 2@1} + 2@4");
    let dot = Dot::new(ActorId::new(0xab, Epoch(0x1f)), 3);
    assert_eq!(dot.to_string(), "00000000000000ab.1f@3");
}

/// Few actors and small counters, so that dots meet, close gaps and leave gaps.
fn some_dots() -> impl Strategy<Value = Vec<Dot>> {
    let dot = (0_u64..4, 0_u64..3, 1_u64..6)
        .prop_map(|(node, epoch, counter)| Dot::new(ActorId::new(node, Epoch(epoch)), counter));
    vec(dot, 0..40)
}

fn vector(dots: &[Dot]) -> VersionVector {
    dots.iter().copied().collect()
}

fn maxima(dots: &[Dot]) -> BTreeMap<ActorId, u64> {
    dots.iter()
        .copied()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .map(|dot| (dot.actor, dot.counter))
        .collect()
}

fn context(dots: &[Dot]) -> CausalContext {
    dots.iter().copied().collect()
}

fn set(dots: &[Dot]) -> Dots {
    dots.iter().copied().collect()
}

fn bytes(context: &CausalContext) -> Vec<u8> {
    let mut out = Vec::new();
    context.encode(&mut out);
    out
}
