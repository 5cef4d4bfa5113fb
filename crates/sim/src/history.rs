//! What clients asked and what they were told: all that the oracle knows of a run.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use dynamokv::storage::ObjectKey;
use dynamokv::vclock::{CausalContext, Dot};

/// A key of the workload, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub u32);

impl Key {
    /// The bytes that the key has in the cluster.
    pub fn bytes(self) -> Bytes {
        Bytes::from(self.to_string())
    }

    /// The key of the workload that is stored under `key`, if it is one.
    pub fn of(key: &ObjectKey) -> Option<Self> {
        let name = std::str::from_utf8(key.key()).ok()?;
        name.strip_prefix("key-")?.parse().ok().map(Self)
    }

    /// The name under which it is stored.
    ///
    /// # Errors
    /// None in fact: the name is short and good.
    pub fn object_key(self) -> Result<ObjectKey, dynamokv::storage::Error> {
        ObjectKey::new("default", self.bytes())
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "key-{}", self.0)
    }
}

/// One write attempt, by its place in the [`History`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriteId(pub usize);

impl std::fmt::Display for WriteId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "w{}", self.0)
    }
}

/// Virtual time since the run began.
pub type Moment = Duration;

/// Whose copies or answers were to count, and how many of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quorum {
    /// R or W.
    pub size: usize,
    /// Whether only the key's own replicas counted.
    pub strict: bool,
}

/// One attempt to write or delete. A retry is another attempt.
#[derive(Debug, Clone)]
pub struct Write {
    /// Who tried.
    pub client: u32,
    /// The key.
    pub key: Key,
    /// What was written, unique to the attempt and its retries; `None` for a delete.
    pub body: Option<Bytes>,
    /// What the client said it had seen.
    pub context: CausalContext,
    /// What was asked for.
    pub quorum: Quorum,
    /// When it was asked.
    pub invoked: Moment,
    /// When the answer came; `None` while there is none.
    pub returned: Option<Moment>,
    /// What came of it, as far as the client knows.
    pub outcome: WriteOutcome,
}

/// What a client knows of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteOutcome {
    /// Acknowledged, under this dot.
    Acknowledged(Dot),
    /// Not applied, on the word of the node: it must never be seen.
    Refused(String),
    /// No answer (yet), or one that says that nobody knows.
    Unknown,
}

impl Write {
    /// The dot under which it was acknowledged.
    pub fn dot(&self) -> Option<Dot> {
        match self.outcome {
            WriteOutcome::Acknowledged(dot) => Some(dot),
            _ => None,
        }
    }

    /// Whether it may have happened.
    pub fn possible(&self) -> bool {
        !matches!(self.outcome, WriteOutcome::Refused(_))
    }

    /// Whether it was acknowledged before `moment`.
    pub fn acknowledged_before(&self, moment: Moment) -> bool {
        self.dot().is_some() && self.returned.is_some_and(|returned| returned < moment)
    }
}

/// A value that a read showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Its bytes.
    pub body: Bytes,
    /// Its dot; of several equal values only one is shown.
    pub dot: Dot,
}

/// A read that was answered. Those that failed show nothing and are not kept.
#[derive(Debug, Clone)]
pub struct Read {
    /// Who asked.
    pub client: u32,
    /// The key.
    pub key: Key,
    /// What was asked for. The values of a write's reply count as a read with R = 1.
    pub quorum: Quorum,
    /// When it was asked.
    pub invoked: Moment,
    /// When the answer came.
    pub returned: Moment,
    /// The values.
    pub shown: Vec<Shown>,
    /// The context that came with them.
    pub context: CausalContext,
}

/// N - 1, in all runs.
const OTHER_OWNERS: usize = 2;

/// `hint-age-max-s` of the runs in which deleted keys are forgotten.
pub const HELD_FOR: Duration = Duration::from_secs(5);

/// Everything that clients asked and were told, in the order of asking.
#[derive(Debug, Clone, Default)]
pub struct History {
    writes: Vec<Write>,
    by_key: BTreeMap<Key, Vec<WriteId>>,
    reads: Vec<Read>,
    unstable: Vec<(Moment, Option<Moment>)>,
    /// How long a deleted key is remembered at least; `None` for longer than the run.
    grace: Option<Duration>,
}

impl History {
    /// An empty history of a cluster that remembers deleted keys for so long; `None` for longer than the run.
    pub fn remembering(grace: Option<Duration>) -> Self {
        Self {
            grace,
            ..Self::default()
        }
    }

    /// Notes that a write begins; its outcome is unknown from now on.
    pub fn begin(&mut self, write: Write) -> WriteId {
        let id = WriteId(self.writes.len());
        self.by_key.entry(write.key).or_default().push(id);
        self.writes.push(write);
        id
    }

    /// Notes what the client was told.
    pub fn end(&mut self, id: WriteId, returned: Moment, outcome: WriteOutcome) {
        if let Some(write) = self.writes.get_mut(id.0) {
            write.returned = Some(returned);
            write.outcome = outcome;
        }
    }

    /// Notes a read that was answered.
    pub fn read(&mut self, read: Read) {
        self.reads.push(read);
    }

    /// Notes that from now on membership is not stable: a change is open, or a disk was lost.
    pub fn unsettle(&mut self, from: Moment) {
        if self.unstable.last().is_none_or(|(_, to)| to.is_some()) {
            self.unstable.push((from, None));
        }
    }

    /// Notes that membership is stable again.
    pub fn settle(&mut self, to: Moment) {
        if let Some((_, end @ None)) = self.unstable.last_mut() {
            *end = Some(to);
        }
    }

    /// Whether membership was stable all the time between two moments.
    pub fn stable(&self, from: Moment, to: Moment) -> bool {
        !self
            .unstable
            .iter()
            .any(|(begin, end)| *begin <= to && end.is_none_or(|end| end >= from))
    }

    /// So many disks must have a write that nothing has replaced: W; but where hints grow old a fallback lets go of its copy
    /// when all other owners have it, which are N - 1, and who is away for the grace time comes back without those that it held.
    pub fn copies_owed(&self, write: &Write, now: Moment) -> usize {
        match self.grace {
            Some(grace) if write.invoked + grace <= now => 1,
            Some(_) => write.quorum.size.min(OTHER_OWNERS),
            None => write.quorum.size,
        }
    }

    /// Whether the cluster may have forgotten a write by then, because its key was deleted: by this write, or by one whose
    /// client had seen it.
    pub fn forgettable(&self, write: &Write, by: Moment) -> bool {
        let Some(grace) = self.grace else {
            return false;
        };
        let seen_by = |other: &Write| write.dot().is_some_and(|dot| other.context.covers(&dot));
        self.writes_to(write.key).any(|(_, other)| {
            other.body.is_none()
                && other.possible()
                && other.invoked + grace <= by
                && (std::ptr::eq(other, write) || seen_by(other))
        })
    }

    /// One write.
    pub fn write(&self, id: WriteId) -> Option<&Write> {
        self.writes.get(id.0)
    }

    /// All writes with their ids.
    pub fn writes(&self) -> impl Iterator<Item = (WriteId, &Write)> {
        self.writes
            .iter()
            .enumerate()
            .map(|(index, write)| (WriteId(index), write))
    }

    /// The writes to one key, in the order of asking.
    pub fn writes_to(&self, key: Key) -> impl Iterator<Item = (WriteId, &Write)> {
        let ids = self.by_key.get(&key).map(Vec::as_slice).unwrap_or_default();
        ids.iter()
            .filter_map(|id| Some((*id, self.writes.get(id.0)?)))
    }

    /// The keys that were written.
    pub fn keys(&self) -> impl Iterator<Item = Key> {
        self.by_key.keys().copied()
    }

    /// All reads.
    pub fn reads(&self) -> &[Read] {
        &self.reads
    }
}
