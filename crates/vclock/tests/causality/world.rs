//! Replicas of one key with their histories beside them, and clients that pass contexts around.

use dynamokv_vclock::{CausalContext, Dot, Siblings};

use crate::oracle::{Dots, Event, History, dot, dots};

#[derive(Clone, Debug, Default)]
pub(crate) struct Replica {
    pub(crate) state: Siblings<u32>,
    pub(crate) history: History,
    issued: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) dot: Dot,
    pub(crate) event: Event,
    pub(crate) delta: Siblings<u32>,
}

/// Every step is made on the real thing and on the history, and the two are compared.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) replicas: Vec<Replica>,
    pub(crate) writes: Vec<Write>,
    /// What clients hold: the empty context, then that of each read and each reply.
    pub(crate) contexts: Vec<CausalContext>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// A put at a replica with a context that some client holds; nobody else hears of it yet.
    Write {
        replica: usize,
        context: usize,
    },
    Read {
        replica: usize,
    },
    /// The delta of a write reaches a replica, maybe again.
    Deliver {
        write: usize,
        replica: usize,
    },
    /// A replica takes in another's whole state.
    Exchange {
        from: usize,
        to: usize,
    },
}

impl World {
    pub(crate) fn new(replicas: usize) -> Self {
        Self {
            replicas: vec![Replica::default(); replicas],
            writes: Vec::new(),
            contexts: vec![CausalContext::new()],
        }
    }

    /// Takes a step; indices wrap around, so that any numbers make sense.
    pub(crate) fn step(&mut self, step: Step) {
        match step {
            Step::Write { replica, context } => {
                self.write(replica % self.replicas.len(), context % self.contexts.len())
            }
            Step::Read { replica } => {
                let context = self.replicas[replica % self.replicas.len()]
                    .state
                    .context()
                    .clone();
                self.contexts.push(context);
            }
            Step::Deliver { .. } if self.writes.is_empty() => {}
            Step::Deliver { write, replica } => {
                let write = self.writes[write % self.writes.len()].clone();
                let at = replica % self.replicas.len();
                self.replicas[at].take(&write);
            }
            Step::Exchange { from, to } => {
                let from = self.replicas[from % self.replicas.len()].clone();
                let at = to % self.replicas.len();
                self.replicas[at].join(&from);
            }
        }
    }

    /// All deltas, in this order, from nothing.
    pub(crate) fn deltas_joined(&self, order: impl IntoIterator<Item = usize>) -> Siblings<u32> {
        let mut state = Siblings::new();
        for at in order {
            state.join_ref(&self.writes[at].delta);
        }
        state
    }

    /// All replicas' states, in this order, from nothing.
    pub(crate) fn replicas_joined(&self, order: impl IntoIterator<Item = usize>) -> Siblings<u32> {
        let mut state = Siblings::new();
        for at in order {
            state.join(self.replicas[at].state.clone());
        }
        state
    }

    /// The history of everybody together.
    pub(crate) fn history(&self) -> History {
        let mut all = History::default();
        self.replicas
            .iter()
            .for_each(|replica| all.join(&replica.history));
        all
    }

    fn write(&mut self, at: usize, context: usize) {
        let client = &self.contexts[context];
        let replica = &mut self.replicas[at];
        replica.issued += 1;
        let dot = dot(at as u64, replica.issued);
        let value = self.writes.len() as u32;
        let event = Event {
            seen: dots(client),
            value,
        };
        let write = Write {
            dot,
            event,
            delta: Siblings::delta(dot, value, client),
        };
        let reply = write.delta.context().clone();
        assert_eq!(
            dots(&reply),
            [dot].into_iter().chain(dots(client)).collect::<Dots>()
        );
        replica.take(&write);
        assert!(
            replica.state.values().any(|(held, _)| *held == dot),
            "a write is visible where it was made"
        );
        self.contexts.push(reply);
        self.writes.push(write);
    }
}

impl Replica {
    fn take(&mut self, write: &Write) {
        let before = self.state.clone();
        let changed = self.state.join_ref(&write.delta);
        self.history.learn(write.dot, &write.event);
        self.check(&before, changed);
    }

    fn join(&mut self, other: &Self) {
        let before = self.state.clone();
        let changed = self.state.join_ref(&other.state);
        self.history.join(&other.history);
        self.check(&before, changed);
    }

    fn check(&self, before: &Siblings<u32>, changed: bool) {
        assert_eq!(
            changed,
            *before != self.state,
            "join tells the truth about change"
        );
        assert!(before.context() <= self.state.context());
        self.history.check(&self.state);
    }
}
