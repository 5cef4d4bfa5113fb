//! Small histories and ends for the tests of the invariants.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use bytes::Bytes;
use dynamokv::ring::NodeId;
use dynamokv::storage::{State, Value};
use dynamokv::vclock::{ActorId, CausalContext, Dot, Epoch, HybridTime};

use super::Violation;
use crate::end::{End, NodeEnd};
use crate::history::{History, Key, Quorum, Read, Shown, Write, WriteId, WriteOutcome};

/// The key of most tests, owned by [`OWNERS`] of the nodes 1 to 4.
pub(super) const KEY: Key = Key(7);
pub(super) const OWNERS: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];
pub(super) const STRANGER: NodeId = NodeId(4);

/// The `counter`-th write of `node`.
pub(super) const fn dot(node: u64, counter: u64) -> Dot {
    Dot::new(ActorId::new(node, Epoch(1)), counter)
}

pub(super) fn context(dots: &[Dot]) -> CausalContext {
    let mut context = CausalContext::new();
    for dot in dots {
        context.insert(*dot);
    }
    context
}

/// What is kept under a dot; `None` is a tombstone.
pub(super) fn value(body: Option<&str>) -> Value {
    let time = HybridTime::new(1, 0);
    match body {
        Some(body) => Value::new(time, body.to_owned()),
        None => Value::tombstone(time),
    }
}

/// A history in the making and the end of its run. Each operation takes a second and begins a
/// second after the one before.
pub(super) struct Scene {
    pub(super) history: History,
    pub(super) end: End,
    /// For the operations to come; strict and 2 at first.
    pub(super) quorum: Quorum,
    now: Duration,
}

impl Scene {
    /// Nothing has happened and nothing is kept.
    pub(super) fn new() -> Self {
        let nodes = OWNERS.into_iter().chain([STRANGER]);
        Self {
            history: History::default(),
            end: End {
                replicas: OWNERS.len(),
                nodes: nodes.map(|node| (node, NodeEnd::default())).collect(),
                owners: [(KEY, OWNERS.into())].into(),
                settled_after: Some(Duration::from_secs(1)),
                ..End::default()
            },
            quorum: Quorum {
                size: 2,
                strict: true,
            },
            now: Duration::ZERO,
        }
    }

    /// An acknowledged put.
    pub(super) fn put(&mut self, body: &str, seen: &[Dot], dot: Dot) -> WriteId {
        self.write(Some(body), seen, WriteOutcome::Acknowledged(dot))
    }

    /// An acknowledged delete.
    pub(super) fn delete(&mut self, seen: &[Dot], dot: Dot) -> WriteId {
        self.write(None, seen, WriteOutcome::Acknowledged(dot))
    }

    /// A put without an answer.
    pub(super) fn unknown_put(&mut self, body: &str, seen: &[Dot]) -> WriteId {
        self.write(Some(body), seen, WriteOutcome::Unknown)
    }

    /// A delete without an answer.
    pub(super) fn unknown_delete(&mut self, seen: &[Dot]) -> WriteId {
        self.write(None, seen, WriteOutcome::Unknown)
    }

    /// A put that was refused.
    pub(super) fn refused_put(&mut self, body: &str, seen: &[Dot]) -> WriteId {
        let refused = WriteOutcome::Refused("busy".to_owned());
        self.write(Some(body), seen, refused)
    }

    /// A write whose context is as told.
    pub(super) fn write(
        &mut self,
        body: Option<&str>,
        seen: &[Dot],
        outcome: WriteOutcome,
    ) -> WriteId {
        let (invoked, returned) = self.take_time();
        let id = self.history.begin(Write {
            client: 1,
            key: KEY,
            body: body.map(|body| Bytes::from(body.to_owned())),
            context: context(seen),
            quorum: self.quorum,
            invoked,
            returned: None,
            outcome: WriteOutcome::Unknown,
        });
        if outcome != WriteOutcome::Unknown {
            self.history.end(id, returned, outcome);
        }
        id
    }

    /// A read that showed `shown`, with a context of `seen`.
    pub(super) fn read(&mut self, shown: &[(&str, Dot)], seen: &[Dot]) {
        let (invoked, returned) = self.take_time();
        let shown = shown.iter().map(|(body, dot)| Shown {
            body: Bytes::from((*body).to_owned()),
            dot: *dot,
        });
        self.history.read(Read {
            client: 2,
            key: KEY,
            quorum: self.quorum,
            invoked,
            returned,
            shown: shown.collect(),
            context: context(seen),
        });
    }

    /// What all owners keep at the end; `replaced` are the dots of the context beyond the values.
    pub(super) fn keep(&mut self, values: &[(Dot, Option<&str>)], replaced: &[Dot]) {
        for owner in OWNERS {
            self.keep_on(owner, values, replaced);
        }
    }

    /// What one node keeps at the end.
    pub(super) fn keep_on(
        &mut self,
        node: NodeId,
        values: &[(Dot, Option<&str>)],
        replaced: &[Dot],
    ) {
        let mut state = State::new();
        for (dot, body) in values {
            state.join(State::delta(*dot, value(*body), &context(replaced)));
        }
        let node = self.end.nodes.get_mut(&node).unwrap();
        node.copies.insert(KEY, state);
    }

    /// Membership is not stable until [`History::settle`] at [`Scene::now`].
    pub(super) fn unsettle(&mut self) {
        self.history.unsettle(self.now);
    }

    pub(super) fn now(&self) -> Duration {
        self.now
    }

    fn take_time(&mut self) -> (Duration, Duration) {
        let invoked = self.now;
        self.now += Duration::from_secs(2);
        (invoked, invoked + Duration::from_secs(1))
    }
}

/// The story of the violation that `result` must be.
pub(super) fn story(result: Result<(), Violation>) -> String {
    result.unwrap_err().story
}
