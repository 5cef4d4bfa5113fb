//! Where nothing grows, nothing is allocated; and what is decoded takes no more memory than its
//! bytes justify.
#![allow(clippy::unwrap_used)]

use std::hint::black_box;

use allocation_counter::measure;
use dynamokv_vclock::{ActorId, CausalContext, Dot, Epoch, Siblings, VersionVector};

/// Up to four actors live inline; the greater sizes are for what changes in place.
const SIZES: [u64; 5] = [1, 3, 4, 10, 100];
const INLINE: u64 = 4;

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(black_box(vec![1_u8]))), 1);
    let five = vector(INLINE + 1, 1);
    assert!(allocations(|| drop(black_box(five.clone()))) > 0);
}

#[test]
fn comparing_and_asking_allocate_nothing() {
    for actors in SIZES {
        let (less, more) = (context_with_gaps(actors), context_with_gaps(actors + 1));
        let count = allocations(|| {
            black_box(less.vector().partial_cmp(more.vector()));
            black_box(less.partial_cmp(&more));
            black_box(less == more);
            black_box(more.covers(&Dot::new(actor(0), 8)));
            black_box(more.highest(&actor(1)));
            black_box(more.lacks_dots_of(7, &less));
            black_box(more.actors().count());
        });
        assert_eq!(count, 0, "{actors} actors");
    }
}

#[test]
fn what_brings_no_new_actor_allocates_nothing() {
    for actors in SIZES {
        let (mut clock, other) = (vector(actors, 7), vector(actors, 8));
        let (mut context, same) = (context_with_gaps(actors), context_with_gaps(actors));
        // Known dots, a new counter, and the dot that closes a gap.
        let closing = CausalContext::from_iter((1..=8).map(|n| Dot::new(actor(0), n)));
        let count = allocations(|| {
            assert!(clock.merge(&other));
            assert!(!clock.merge(&other));
            assert!(clock.increment(actor(0)).is_some());
            assert!(clock.advance(Dot::new(actor(0), 12)));
            assert!(!context.merge(&same));
            assert!(context.insert(Dot::new(actor(0), 8)));
        });
        assert_eq!(count, 0, "{actors} actors");
        let mut context = context_with_gaps(actors);
        assert_eq!(allocations(|| assert!(context.merge(&closing))), 0);
        assert_eq!(context.gaps().len(), 0);
    }
}

#[test]
fn clocks_of_up_to_four_actors_and_one_gap_need_no_heap() {
    let count = allocations(|| {
        let mut context = context_with_gaps(3);
        context.merge(&CausalContext::from(vector(INLINE, 7)));
        black_box(context.clone());
        black_box(VersionVector::from_iter(
            (0..INLINE).map(|node| Dot::new(actor(node), 1)),
        ));
    });
    assert_eq!(count, 0);
}

#[test]
fn a_join_that_changes_nothing_allocates_nothing() {
    for actors in SIZES {
        let seen = CausalContext::from(vector(actors, 7));
        let old = Siblings::delta(Dot::new(actor(0), 8), 1_u64, &seen);
        let mut state = old.clone();
        let rival = Siblings::delta(Dot::new(actor(actors), 1), 2_u64, &seen);
        state.join_ref(&rival);
        let (again, late) = (state.clone(), rival.clone());
        let count = allocations(|| {
            assert!(!state.join_ref(&again));
            assert!(!state.join_ref(&old));
            assert!(!state.join(late));
        });
        assert_eq!(count, 0, "{actors} actors");
    }
}

#[test]
fn what_is_decoded_takes_no_more_than_its_bytes_justify() {
    for actors in [0, 1, INLINE, 1_000] {
        let mut bytes = Vec::new();
        context_with_gaps(actors).encode(&mut bytes);
        let taken = measure(|| drop(black_box(CausalContext::<ActorId>::decode(&bytes))));
        assert!(
            taken.bytes_max <= 8 * bytes.len() as u64,
            "{actors}: {taken:?}"
        );
        if actors <= INLINE {
            assert_eq!(taken.count_total, 0, "{actors} actors");
        }
        // The same count, with nothing behind it.
        bytes.truncate(3);
        let taken = measure(|| assert!(CausalContext::<ActorId>::decode(&bytes).is_err()));
        assert_eq!(taken.count_total, 0, "{actors}: {taken:?}");
    }
}

/// All actors at 7, and the first one's ninth write before its eighth.
fn context_with_gaps(actors: u64) -> CausalContext {
    let mut context = CausalContext::from(vector(actors, 7));
    context.insert(Dot::new(actor(0), 9));
    context
}

fn vector(actors: u64, counter: u64) -> VersionVector {
    (0..actors)
        .map(|node| Dot::new(actor(node), counter))
        .collect()
}

fn actor(node: u64) -> ActorId {
    ActorId::new(node, Epoch(node << 24))
}

fn allocations(run: impl FnOnce()) -> u64 {
    measure(run).count_total
}
