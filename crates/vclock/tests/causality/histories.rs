//! Sibling sets in random worlds. Every step is compared with the full history inside
//! [`World::step`].

use dynamokv_vclock::{CausalContext, Siblings};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::oracle::{History, dot, dots, values};
use crate::world::{Step, World};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_state_is_what_its_history_makes_of_it(world in world()) {
        for replica in &world.replicas {
            replica.history.check(&replica.state);
        }
    }

    #[test]
    fn no_value_disappears_unless_a_write_has_seen_it(world in world()) {
        let joined = world.replicas_joined(0..world.replicas.len());
        for write in &world.writes {
            let held = joined.values().any(|(dot, value)| (*dot, *value) == (write.dot, write.event.value));
            let seen = world.writes.iter().any(|other| other.event.seen.contains(&write.dot));
            prop_assert_eq!(held, !seen);
        }
    }

    #[test]
    fn join_is_commutative_associative_and_idempotent(world in world()) {
        let state = |at: usize| world.replicas[at].state.clone();
        let join = |mut a: Siblings<u32>, b: Siblings<u32>| { a.join(b); a };
        let (a, b, c) = (state(0), state(1), state(2));
        prop_assert_eq!(join(a.clone(), b.clone()), join(b.clone(), a.clone()));
        prop_assert_eq!(
            join(join(a.clone(), b.clone()), c.clone()),
            join(a.clone(), join(b.clone(), c.clone())),
        );
        prop_assert_eq!(join(a.clone(), a.clone()), a.clone());
        let mut by_reference = a.clone();
        by_reference.join_ref(&b);
        prop_assert_eq!(by_reference, join(a, b));
    }

    #[test]
    fn deltas_in_any_order_with_repetition_and_gaps_make_the_joined_states(
        (world, order) in world().prop_flat_map(|world| {
            let count = world.writes.len();
            let twice: Vec<usize> = (0..count).chain(0..count).collect();
            (Just(world), Just(twice).prop_shuffle())
        }),
    ) {
        let (mut state, mut history) = (Siblings::new(), History::default());
        for at in &order {
            let write = &world.writes[*at];
            state.join_ref(&write.delta);
            history.learn(write.dot, &write.event);
            history.check(&state);
        }
        prop_assert_eq!(&state, &world.replicas_joined(0..world.replicas.len()));
        prop_assert_eq!(state.context().gaps().count(), 0, "all writes known: no gap is left");
    }

    #[test]
    fn what_is_missing_brings_a_replica_up_and_says_nothing_else(world in world()) {
        let joined = world.replicas_joined(0..world.replicas.len());
        for replica in world.replicas.iter().map(|replica| &replica.state) {
            let missing = joined.missing_in(replica);
            let mut mended = replica.clone();
            mended.join_ref(&missing);
            prop_assert_eq!(&mended, &joined);
            // A part of the joined state, for whoever gets it.
            let mut again = joined.clone();
            prop_assert!(!again.join_ref(&missing));
            let repeats = missing.values().any(|(dot, _)| replica.context().covers(dot));
            prop_assert!(!repeats || missing == joined, "{:?}", missing);
        }
    }

    #[test]
    fn causal_order_of_states_is_the_subset_order_of_their_histories(world in world()) {
        for a in &world.replicas {
            for b in &world.replicas {
                let (x, y) = (a.history.dots(), b.history.dots());
                prop_assert_eq!(a.state.context() <= b.state.context(), x.is_subset(&y));
                prop_assert_eq!(a.state.context() >= b.state.context(), x.is_superset(&y));
            }
        }
    }
}

#[test]
fn one_new_sibling_of_many_travels_alone() {
    let mut replica = Siblings::new();
    for node in 1..=5 {
        replica.join(Siblings::delta(dot(node, 1), 0, &CausalContext::new()));
    }
    let mut joined = replica.clone();
    joined.join(Siblings::delta(dot(6, 1), 6, &CausalContext::new()));
    let missing = joined.missing_in(&replica);
    assert_eq!(
        values(&missing).into_keys().collect::<Vec<_>>(),
        [dot(6, 1)]
    );
    // A write that replaced one of them: its value, and the name of what it replaced.
    let seen = CausalContext::from(dot(3, 1));
    joined.join(Siblings::delta(dot(7, 1), 7, &seen));
    let missing = joined.missing_in(&replica);
    assert_eq!(
        values(&missing).into_keys().collect::<Vec<_>>(),
        [dot(6, 1), dot(7, 1)]
    );
    assert_eq!(
        dots(missing.context()),
        [dot(3, 1), dot(6, 1), dot(7, 1)].into()
    );
}

fn world() -> impl Strategy<Value = World> {
    vec(step(), 1..40).prop_map(|steps| {
        let mut world = World::new(3);
        steps.into_iter().for_each(|step| world.step(step));
        world
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0_usize..3, 0_usize..50).prop_map(|(replica, context)| Step::Write { replica, context }),
        1 => (0_usize..3).prop_map(|replica| Step::Read { replica }),
        3 => (0_usize..50, 0_usize..3).prop_map(|(write, replica)| Step::Deliver { write, replica }),
        1 => (0_usize..3, 0_usize..3).prop_map(|(from, to)| Step::Exchange { from, to }),
    ]
}
