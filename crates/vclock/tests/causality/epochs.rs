//! The rules of epochs and positions against everything that a node may forget: "a dot is never
//! issued twice".

use proptest::collection::vec;
use proptest::prelude::*;

use crate::cluster::{Cluster, RIGHT, Rules, Step, Violation};
use crate::oracle::values;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn no_dot_is_issued_twice_and_no_write_is_taken_for_old(steps in vec(step(), 1..80)) {
        let mut cluster = Cluster::new(RIGHT);
        for step in steps {
            prop_assert_eq!(cluster.step(step), Ok(()));
        }
        prop_assert_eq!(cluster.everything_heard(), cluster.history().living());
    }
}

/// For each rule a story in which a dot is issued twice without it, and not with it.
#[test]
fn each_rule_is_needed() {
    let put = Step::Put {
        node: 0,
        context: 0,
    };
    let (sync, back_up) = (Step::Sync { node: 0 }, Step::BackUp { node: 0 });
    let restore = Step::Restore { node: 0, backup: 0 };
    let unnoticed = Rules {
        void_after_restore: false,
        ..RIGHT
    };
    let stories = [
        (
            RIGHT,
            Rules {
                void_after_crash: false,
                ..RIGHT
            },
            vec![put, sync, put, Step::Crash { node: 0 }, put],
        ),
        (
            RIGHT,
            Rules {
                void_after_failed_write: false,
                ..RIGHT
            },
            vec![
                put,
                Step::PutFailsLocally {
                    node: 0,
                    context: 0,
                },
                put,
            ],
        ),
        (
            RIGHT,
            unnoticed,
            vec![put, sync, back_up, put, restore, put],
        ),
        (
            // The restore went unnoticed, but an own dot comes back that was issued after it, in a
            // later epoch.
            unnoticed,
            Rules {
                void_by_incoming: false,
                ..unnoticed
            },
            vec![
                put,
                sync,
                back_up,
                put,
                Step::LoseRecord { node: 0 },
                put,
                restore,
                HEAR_THIRD,
                put,
            ],
        ),
    ];
    for (kept, broken, steps) in stories {
        let run = |rules| {
            let mut cluster = Cluster::new(rules);
            steps.iter().try_for_each(|step| cluster.step(*step))
        };
        assert_eq!(run(kept), Ok(()), "{kept:?}");
        assert!(
            matches!(run(broken), Err(Violation::IssuedTwice(_))),
            "{broken:?}"
        );
    }
}

/// A node went back without noticing; a client that it answered before comes back.
#[test]
fn an_unknown_own_dot_that_a_client_shows_takes_a_fresh_epoch() {
    let mut cluster = Cluster::new(Rules {
        void_after_crash: false,
        ..RIGHT
    });
    let put = Step::Put {
        node: 0,
        context: 0,
    };
    for step in [put, Step::Sync { node: 0 }, put, Step::Crash { node: 0 }] {
        cluster.step(step).unwrap();
    }
    let before = cluster.nodes[0].record.position.unwrap();
    cluster
        .step(Step::Put {
            node: 0,
            context: 2,
        })
        .unwrap();
    assert_ne!(
        cluster.nodes[0].record.position.unwrap().epoch,
        before.epoch
    );
}

/// Whoever joined the dot forgot to ask whether the position survives: the state still shows that
/// it lags behind.
#[test]
fn an_own_dot_in_the_state_beyond_the_position_takes_a_fresh_epoch() {
    let mut cluster = Cluster::new(Rules {
        void_after_restore: false,
        void_by_incoming: false,
        ..RIGHT
    });
    let put = Step::Put {
        node: 0,
        context: 0,
    };
    let restore = Step::Restore { node: 0, backup: 0 };
    let hear = Step::Deliver {
        message: 1,
        node: 0,
    };
    for step in [
        put,
        Step::Sync { node: 0 },
        Step::BackUp { node: 0 },
        put,
        restore,
        hear,
        put,
    ] {
        assert_eq!(cluster.step(step), Ok(()));
    }
}

/// A value, its tombstone, which is collected, and a new value; then the first two come late, as
/// hints.
#[test]
fn an_old_hint_leaves_a_recreated_key_alone() {
    let mut cluster = Cluster::new(RIGHT);
    let put = |context| Step::Put { node: 0, context };
    for step in [put(0), put(1), Step::LoseRecord { node: 0 }, put(0)] {
        assert_eq!(cluster.step(step), Ok(()));
    }
    let created = values(&cluster.nodes[0].record.state);
    assert_eq!(created.len(), 1);
    for message in [1, 0] {
        let hint = Step::Deliver { message, node: 0 };
        assert_eq!(cluster.step(hint), Ok(()));
        let held = values(&cluster.nodes[0].record.state);
        assert!(
            created
                .iter()
                .all(|(dot, value)| held.get(dot) == Some(value))
        );
        assert_eq!(
            held.len(),
            2,
            "the tombstone is back, what it covers is not"
        );
    }
}

/// Epochs need not ascend after a restore; a greater one in the state must not cost a fresh epoch
/// at every write.
#[test]
fn one_fresh_epoch_is_enough_after_a_restore() {
    let mut cluster = Cluster::new(RIGHT);
    let put = Step::Put {
        node: 0,
        context: 0,
    };
    let lose = Step::LoseRecord { node: 0 };
    let restore = Step::Restore { node: 0, backup: 0 };
    let hear = Step::Deliver {
        message: 1,
        node: 0,
    };
    for step in [
        Step::BackUp { node: 0 },
        put,
        lose,
        put,
        restore,
        hear,
        put,
        put,
        put,
    ] {
        cluster.step(step).unwrap();
    }
    let epochs = cluster.nodes[0].record.state.context().actors().count();
    assert_eq!(epochs, 2, "the one heard of, and one fresh");
}

fn step() -> impl Strategy<Value = Step> {
    let node = || 0_usize..3;
    prop_oneof![
        6 => (node(), 0_usize..60).prop_map(|(node, context)| Step::Put { node, context }),
        2 => node().prop_map(|node| Step::Put { node, context: 0 }),
        1 => (node(), 0_usize..60).prop_map(|(node, context)| Step::PutFailsLocally { node, context }),
        2 => node().prop_map(|node| Step::Read { node }),
        5 => (0_usize..60, node()).prop_map(|(message, node)| Step::Deliver { message, node }),
        1 => node().prop_map(|node| Step::SendState { node }),
        2 => node().prop_map(|node| Step::Sync { node }),
        1 => node().prop_map(|node| Step::StopCleanly { node }),
        2 => node().prop_map(|node| Step::Crash { node }),
        1 => node().prop_map(|node| Step::LoseRecord { node }),
        1 => node().prop_map(|node| Step::BackUp { node }),
        1 => (node(), 0_usize..4).prop_map(|(node, backup)| Step::Restore { node, backup }),
    ]
}

const HEAR_THIRD: Step = Step::Deliver {
    message: 2,
    node: 0,
};
