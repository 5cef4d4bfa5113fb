//! Clients that pass the context of their last read or reply, and the bugs of a prototype whose
//! clients could not.

use std::collections::BTreeSet;
use std::convert::Infallible;

use dynamokv_vclock::{CausalContext, Epoch, Position, Siblings, issue};

/// A replica that issues its own dots.
#[derive(Debug)]
struct Coordinator {
    node: u64,
    state: Siblings<u32>,
    position: Option<Position>,
    epochs: u64,
}

impl Coordinator {
    fn new(node: u64) -> Self {
        Self {
            node,
            state: Siblings::new(),
            position: None,
            epochs: 0,
        }
    }

    /// Returns the delta for the other replicas; its context is the reply to the client.
    fn put(&mut self, value: u32, client: &CausalContext) -> Siblings<u32> {
        let fresh = || {
            self.epochs += 1;
            Ok::<_, Infallible>(Epoch(self.epochs))
        };
        let Ok((dot, position)) = issue(
            self.node,
            self.position,
            self.state.context(),
            client,
            fresh,
        );
        let delta = Siblings::delta(dot, value, client);
        self.position = Some(position);
        self.state.join_ref(&delta);
        delta
    }

    fn values(&self) -> Vec<u32> {
        let mut values: Vec<u32> = self.state.values().map(|(_, value)| *value).collect();
        values.sort_unstable();
        values
    }
}

/// The prototype had no siblings here, and lost one acknowledged write of each pair, 200 times of
/// 200.
#[test]
fn prototype_bug_200_pairs_of_concurrent_puts_through_one_coordinator() {
    let (mut coordinator, mut replica) = (Coordinator::new(1), Coordinator::new(2));
    for pair in 0..200 {
        let seen = coordinator.state.context().clone();
        for value in [2 * pair, 2 * pair + 1] {
            let delta = coordinator.put(value, &seen);
            replica.state.join(delta);
        }
        assert_eq!(
            coordinator.values(),
            [2 * pair, 2 * pair + 1],
            "both are siblings, what they have seen is gone"
        );
        assert_eq!(replica.state, coordinator.state);
    }
}

/// The prototype made false siblings here that no later put resolved, since its put took no
/// context.
#[test]
fn prototype_bug_false_siblings_of_puts_in_sequence_through_two_coordinators() {
    for delivered_at_once in [true, false] {
        let mut coordinators = [Coordinator::new(1), Coordinator::new(2)];
        let mut late = Vec::new();
        let mut reply = CausalContext::new();
        for value in 0..200 {
            let (at, other) = ((value % 2) as usize, (value as usize + 1) % 2);
            let delta = coordinators[at].put(value, &reply);
            reply = delta.context().clone();
            if delivered_at_once {
                coordinators[other].state.join(delta);
            } else {
                late.push((other, delta));
            }
            assert_eq!(coordinators[at].values(), [value]);
        }
        for (other, delta) in late.into_iter().rev() {
            coordinators[other].state.join(delta);
        }
        assert_eq!(coordinators[0].values(), [199]);
        assert_eq!(coordinators[0].state, coordinators[1].state);
    }
}

/// The prototype's coordinator began counting at 0 again: its puts were acknowledged and thrown
/// away as old.
#[test]
fn prototype_bug_puts_of_a_restarted_coordinator_are_thrown_away_as_old() {
    let (mut coordinator, mut replica) = (Coordinator::new(1), Coordinator::new(2));
    let mut reply = CausalContext::new();
    for value in 0..10 {
        let delta = coordinator.put(value, &reply);
        reply = delta.context().clone();
        replica.state.join(delta);
    }
    let epochs = coordinator.epochs; // all that outlives the restart
    coordinator = Coordinator {
        epochs,
        ..Coordinator::new(1)
    };
    replica
        .state
        .join(coordinator.put(10, &CausalContext::new()));
    assert_eq!(
        replica.values(),
        [9, 10],
        "concurrent with what it did not see, not older"
    );
    replica
        .state
        .join(coordinator.put(11, &replica.state.context().clone()));
    assert_eq!(replica.values(), [11]);
}

#[test]
fn interleaved_clients_have_at_most_one_sibling_each_however_long_they_run() {
    for clients in [1, 2, 5] {
        interleave(clients, 10_000);
    }
}

/// N = 3, R = 2, W = 2; the third replica hears of a write late, out of order, or only by an
/// exchange of states.
fn interleave(clients: u32, rounds: usize) {
    let mut random = Random(u64::from(clients));
    let mut replicas = [1, 2, 3].map(Coordinator::new);
    let mut late: Vec<(usize, Siblings<u32>)> = Vec::new();
    let mut contexts = vec![CausalContext::new(); clients as usize];
    let mut most = 0;
    for round in 0..rounds {
        let client = random.below(clients as usize);
        let [first, second, third] = [[0, 1, 2], [1, 2, 0], [2, 0, 1]][random.below(3)];
        if random.below(3) == 0 {
            let mut answer = replicas[first].state.clone();
            answer.join_ref(&replicas[second].state);
            contexts[client] = answer.context().clone();
        } else {
            let delta = replicas[first].put(client as u32, &contexts[client]);
            contexts[client] = delta.context().clone();
            replicas[second].state.join_ref(&delta);
            late.push((third, delta));
        }
        if random.below(2) == 0 && !late.is_empty() {
            let (at, delta) = late.swap_remove(random.below(late.len()));
            replicas[at].state.join(delta);
        }
        if round % 97 == 0 {
            late.truncate(3); // lost messages
            let states = replicas.each_ref().map(|replica| replica.state.clone());
            for replica in &mut replicas {
                states
                    .iter()
                    .for_each(|state| _ = replica.state.join_ref(state));
                assert_eq!(
                    replica.state.context().len(),
                    replica.state.context().vector().len()
                );
            }
        }
        for replica in &replicas {
            let values = replica.values();
            let writers: BTreeSet<u32> = values.iter().copied().collect();
            assert_eq!(
                writers.len(),
                values.len(),
                "round {round}: two siblings of one client in {values:?}"
            );
            most = most.max(values.len());
        }
    }
    assert_eq!(
        most, clients as usize,
        "the bound is reached, so the test could see it broken"
    );
    assert!(
        replicas.iter().all(|replica| replica.epochs <= 1),
        "nothing was forgotten: one epoch a node"
    );
}

/// Xorshift: enough to interleave clients, and the same at every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % end
    }
}
