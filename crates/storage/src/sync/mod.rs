//! Group sync: many writes, applied at once, become durable together.

mod gather;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gather::Gather;
use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::oneshot;

use crate::engine::{Batch, Engine};
use crate::{Error, Result};

/// What an acknowledgement promises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The write is on disk: it waited for a sync, which it may have shared.
    #[default]
    Sync,
    /// The write is with the operating system, for which it waited for a flush that it may have shared, and on disk within this time.
    Interval(Duration),
    /// The write is with the operating system: it survives the process, not a power loss.
    Os,
}

/// Who runs the syncs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncMode {
    /// A thread of the store's own, asleep while nobody waits.
    #[default]
    Thread,
    /// The caller, through `run_pending_syncs`: for deterministic simulators.
    Manual,
}

/// The number of a write within one run of a store: a sync settles all writes up to a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriteSeq(u64);

/// How often room is looked for after a sync that found none.
const CURE_EVERY: Duration = Duration::from_secs(1);

/// Writes to an engine and tells when they are durable.
///
/// A write gets its number after the engine applied it, so a sync that begins when the numbers stand at `n` covers
/// every write up to `n`. After a failed sync nothing is known about the disk, and every further write is refused
/// (see Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020), until the engine is opened again. Where it
/// failed for lack of room, the engine writes out anew what is visible as soon as there is some, and that is proof as well.
pub(crate) struct GroupSync {
    shared: Arc<Shared>,
    durability: Durability,
    worker: Option<JoinHandle<()>>,
}

impl GroupSync {
    pub(crate) fn new(
        engine: Arc<dyn Engine>,
        durability: Durability,
        mode: SyncMode,
    ) -> Result<Self> {
        let threaded = mode == SyncMode::Thread && engine.needs_sync();
        let shared = Arc::new(Shared {
            needs_sync: engine.needs_sync(),
            engine,
            applied: AtomicU64::new(0),
            synced: AtomicU64::new(0),
            flushed: AtomicU64::new(0),
            poisoned: AtomicBool::new(false),
            lapses: AtomicU64::new(0),
            full: AtomicBool::new(false),
            write_failed: AtomicBool::new(false),
            queue: Mutex::new(Queue::default()),
            wake: Condvar::new(),
        });
        let worker = if threaded {
            let (shared, interval) = (Arc::clone(&shared), durability.interval());
            let thread = std::thread::Builder::new().name("dynamokv-sync".into());
            let spawned = thread.spawn(move || shared.serve(interval));
            Some(spawned.map_err(|error| Error::Thread {
                reason: error.to_string().into(),
            })?)
        } else {
            None
        };
        Ok(Self {
            shared,
            durability,
            worker,
        })
    }

    pub(crate) fn engine(&self) -> &Arc<dyn Engine> {
        &self.shared.engine
    }

    /// Applies a batch; its number stands for it in [`settled`](Self::settled) and [`synced`](Self::synced).
    pub(crate) fn write(&self, batch: Batch) -> Result<WriteSeq> {
        self.shared.refuse_if_poisoned()?;
        let written = self.shared.engine.write(batch);
        let full = matches!(written, Err(Error::DiskFull { .. }));
        if full != self.shared.full.load(Ordering::Relaxed) {
            self.shared.full.store(full, Ordering::Relaxed);
        }
        if let Err(error) = written {
            self.shared.write_failed.store(true, Ordering::Release);
            return Err(error);
        }
        Ok(WriteSeq(
            self.shared.applied.fetch_add(1, Ordering::AcqRel) + 1,
        ))
    }

    /// The number of the newest write: settled once every write so far is.
    pub(crate) fn newest(&self) -> WriteSeq {
        WriteSeq(self.shared.applied.load(Ordering::Acquire))
    }

    /// Waits as long as the durability policy asks.
    pub(crate) fn settled(&self, seq: WriteSeq) -> SyncWait {
        match self.durability {
            Durability::Sync => self.synced(seq),
            Durability::Interval(_) | Durability::Os => self.shared.wait_for_flush(seq),
        }
    }

    /// Waits for a real sync, whatever the policy.
    pub(crate) fn synced(&self, seq: WriteSeq) -> SyncWait {
        self.shared.wait_for(seq)
    }

    /// Syncs on the caller's thread and answers everyone who waited for it.
    pub(crate) fn sync_now(&self) -> Result<()> {
        self.shared.refuse_if_poisoned()?;
        if self.shared.needs_sync {
            self.shared.sync()
        } else {
            Ok(())
        }
    }

    /// Why writes are refused until the store is opened again, once a sync has failed.
    pub(crate) fn poison(&self) -> Option<Arc<str>> {
        let queue = self.shared.queue.lock();
        let poison = queue.poison.as_ref().filter(|poison| !poison.curable);
        poison.map(|poison| Arc::clone(&poison.reason))
    }

    /// Whether the last write or sync found no room.
    pub(crate) fn is_full(&self) -> bool {
        self.shared.full.load(Ordering::Relaxed) || self.shared.queue.lock().is_curable()
    }

    /// Whether a write has failed: it may come back when the engine is opened again.
    pub(crate) fn write_failed(&self) -> bool {
        self.shared.write_failed.load(Ordering::Acquire)
    }

    /// How often a sync has failed and writes were refused after it.
    pub(crate) fn lapses(&self) -> u64 {
        self.shared.lapses.load(Ordering::Acquire)
    }

    /// One sync on the caller's thread, if one is due; whether it was.
    pub(crate) fn run_pending(&self) -> bool {
        let due = {
            let queue = self.shared.queue.lock();
            if queue.is_curable() {
                drop(queue);
                return self.shared.cure();
            }
            queue.is_due(self.durability.interval().is_some() && self.shared.has_unsynced())
        };
        if due {
            // A failure reaches those who wait, and poisons the store.
            let _ = self.shared.sync();
        }
        due
    }
}

impl Drop for GroupSync {
    fn drop(&mut self) {
        self.shared.queue.lock().stopping = true;
        self.shared.wake.notify_all();
        if let Some(worker) = self.worker.take()
            // A waiter that was just woken may own the last handle, and drop it on the worker itself.
            && worker.thread().id() != std::thread::current().id()
        {
            let _ = worker.join();
        }
        // Whoever still waits learns that the store is gone.
        let waiters = std::mem::take(&mut self.shared.queue.lock().waiters);
        drop(waiters);
    }
}

struct Shared {
    engine: Arc<dyn Engine>,
    needs_sync: bool,
    /// The number of the newest write that the engine applied.
    applied: AtomicU64,
    /// Every write up to this number is durable.
    synced: AtomicU64,
    /// Every write up to this number is with the operating system.
    flushed: AtomicU64,
    /// Mirrors `queue.poison` for the hot path.
    poisoned: AtomicBool,
    /// How often it was poisoned.
    lapses: AtomicU64,
    /// The last write found no room.
    full: AtomicBool,
    write_failed: AtomicBool,
    queue: Mutex<Queue>,
    wake: Condvar,
}

#[derive(Default)]
struct Queue {
    waiters: VecDeque<Waiter>,
    /// The thread is to be woken when so many wait.
    wanted: usize,
    poison: Option<Poison>,
    stopping: bool,
}

/// A sync failed, so what is on disk is unknown and writes are refused.
struct Poison {
    reason: Arc<str>,
    /// It failed for lack of room. Then nothing is wrong with the disk itself, and once there is room again the engine can
    /// write out anew all that is visible: that proves what the failed sync left open.
    curable: bool,
}

impl Poison {
    /// For those who would write.
    fn refusal(&self, engine: &dyn Engine) -> Error {
        let reason = Arc::clone(&self.reason);
        if self.curable {
            let engine = engine.name();
            Error::DiskFull { engine, reason }
        } else {
            Error::Poisoned { reason }
        }
    }

    /// For those whose write was waiting for the sync.
    fn unknown(&self) -> Error {
        let reason = Arc::clone(&self.reason);
        if self.curable {
            Error::Unsynced { reason }
        } else {
            Error::Poisoned { reason }
        }
    }
}

struct Waiter {
    seq: u64,
    reply: oneshot::Sender<Result<()>>,
}

impl Queue {
    fn is_due(&self, also: bool) -> bool {
        self.poison.is_none() && (also || !self.waiters.is_empty())
    }

    fn is_curable(&self) -> bool {
        self.poison.as_ref().is_some_and(|poison| poison.curable)
    }
}

impl Shared {
    fn serve(&self, interval: Option<Duration>) {
        let mut queue = self.queue.lock();
        let mut gather = Gather::default();
        let mut elapsed = false;
        while !queue.stopping {
            if queue.is_due(elapsed && self.has_unsynced()) {
                self.await_company(&mut queue, &gather);
                let answered = queue.waiters.len();
                drop(queue);
                let begun = Instant::now();
                // A failure reaches the waiters and poisons the store.
                let _ = self.sync();
                let took = begun.elapsed();
                queue = self.queue.lock();
                gather = Gather::after(answered, queue.waiters.len(), took);
                elapsed = false;
            } else if queue.is_curable() {
                self.wake.wait_for(&mut queue, CURE_EVERY);
                if !queue.stopping {
                    drop(queue);
                    self.cure();
                    queue = self.queue.lock();
                }
            } else if let Some(interval) = interval {
                elapsed = self.wake.wait_for(&mut queue, interval).timed_out();
            } else {
                self.wake.wait(&mut queue);
            }
        }
    }

    fn await_company(&self, queue: &mut MutexGuard<'_, Queue>, gather: &Gather) {
        let deadline = gather.deadline(Instant::now());
        queue.wanted = gather.wanted();
        while queue.waiters.len() < queue.wanted && !queue.stopping {
            let seen = queue.waiters.len();
            let look_at = gather.look_at(Instant::now(), deadline);
            let none_came = |queue: &Queue| queue.waiters.len() == seen;
            if self.wake.wait_until(queue, look_at).timed_out()
                && (none_came(queue) || look_at == deadline)
            {
                break;
            }
        }
        queue.wanted = 0;
    }

    fn sync(&self) -> Result<()> {
        let target = self.applied.load(Ordering::Acquire);
        let outcome = self.engine.sync();
        let mut queue = self.queue.lock();
        let (answered, answer) = match outcome {
            Ok(()) => {
                self.synced.fetch_max(target, Ordering::AcqRel);
                self.flushed.fetch_max(target, Ordering::AcqRel);
                let (done, waiting) = std::mem::take(&mut queue.waiters)
                    .into_iter()
                    .partition(|w| w.seq <= target);
                queue.waiters = waiting;
                (done, Ok(()))
            }
            Err(error) => {
                let unknown = self.poison_with(&mut queue, &error);
                (std::mem::take(&mut queue.waiters), Err(unknown))
            }
        };
        drop(queue);
        for waiter in answered {
            // Whoever stopped waiting does not mind.
            let _ = waiter.reply.send(answer.clone());
        }
        answer
    }

    /// Refuses writes from now on; the answer for those who waited.
    fn poison_with(&self, queue: &mut Queue, error: &Error) -> Error {
        let curable = matches!(error, Error::DiskFull { .. });
        if queue.poison.is_none() {
            self.lapses.fetch_add(1, Ordering::AcqRel);
        }
        let poison = queue.poison.get_or_insert_with(|| Poison {
            reason: error.to_string().into(),
            curable,
        });
        poison.curable &= curable;
        self.poisoned.store(true, Ordering::Release);
        let reason = &poison.reason;
        if poison.curable {
            tracing::error!(%reason, "a sync found no room: the store refuses writes until there is some");
            self.wake.notify_one();
        } else {
            tracing::error!(%reason, "a sync failed: the store refuses writes until it is opened again");
        }
        poison.unknown()
    }

    /// Tries to make durable all that is visible, without relying on what the failed sync left. Whether it could.
    fn cure(&self) -> bool {
        let target = self.applied.load(Ordering::Acquire);
        if let Err(error) = self.engine.rewrite() {
            tracing::debug!(%error, "still no room");
            return false;
        }
        let mut queue = self.queue.lock();
        self.synced.fetch_max(target, Ordering::AcqRel);
        self.flushed.fetch_max(target, Ordering::AcqRel);
        if queue.poison.take_if(|poison| poison.curable).is_some() {
            self.poisoned.store(false, Ordering::Release);
            tracing::info!("there is room again: the store takes writes");
        }
        true
    }

    fn wait_for(&self, seq: WriteSeq) -> SyncWait {
        if !self.needs_sync || seq.0 <= self.synced.load(Ordering::Acquire) {
            return SyncWait(Wait::Over(Ok(())));
        }
        let mut queue = self.queue.lock();
        // Again, under the lock that a sync takes before it answers: nobody is missed.
        if seq.0 <= self.synced.load(Ordering::Acquire) {
            return SyncWait(Wait::Over(Ok(())));
        }
        if let Some(poison) = &queue.poison {
            return SyncWait(Wait::Over(Err(poison.unknown())));
        }
        let (reply, answer) = oneshot::channel();
        queue.waiters.push_back(Waiter { seq: seq.0, reply });
        if queue.waiters.len() >= queue.wanted {
            self.wake.notify_one();
        }
        SyncWait(Wait::For(answer))
    }

    fn wait_for_flush(self: &Arc<Self>, seq: WriteSeq) -> SyncWait {
        if !self.needs_sync || self.is_flushed(seq.0) {
            return SyncWait(Wait::Over(Ok(())));
        }
        SyncWait(Wait::ForFlush {
            shared: Arc::clone(self),
            seq: seq.0,
        })
    }

    fn is_flushed(&self, seq: u64) -> bool {
        seq <= self.flushed.load(Ordering::Acquire)
    }

    /// Hands over all that is written by now, unless somebody has done so since the write.
    fn flush(&self, seq: u64) -> Result<()> {
        if self.is_flushed(seq) {
            return Ok(());
        }
        if let Some(poison) = &self.queue.lock().poison {
            return Err(poison.unknown());
        }
        let target = self.applied.load(Ordering::Acquire);
        match self.engine.flush() {
            Ok(()) => {
                self.flushed.fetch_max(target, Ordering::AcqRel);
                Ok(())
            }
            // The log has a hole then: as after a failed sync.
            Err(error) => Err(self.poison_with(&mut self.queue.lock(), &error)),
        }
    }

    fn has_unsynced(&self) -> bool {
        self.needs_sync
            && self.synced.load(Ordering::Acquire) < self.applied.load(Ordering::Acquire)
    }

    fn refuse_if_poisoned(&self) -> Result<()> {
        if !self.poisoned.load(Ordering::Acquire) {
            return Ok(());
        }
        match &self.queue.lock().poison {
            Some(poison) => Err(poison.refusal(self.engine.as_ref())),
            // Cured in between.
            None => Ok(()),
        }
    }
}

impl Durability {
    fn interval(self) -> Option<Duration> {
        match self {
            // A shorter one would keep the thread spinning.
            Self::Interval(interval) => Some(interval.max(Duration::from_millis(1))),
            Self::Sync | Self::Os => None,
        }
    }
}

/// A future that is ready when a write is as durable as was asked for. Needs no particular runtime.
///
/// An error means that the write's outcome on disk is unknown: [`Error::Poisoned`] after a failed sync,
/// [`Error::Closed`] when the store went away first.
///
/// Where the policy asks for a flush only, the first poll does it, for all that is written by then: let others write before.
#[must_use = "the write may not be durable before this is ready"]
pub struct SyncWait(Wait);

impl SyncWait {
    /// Whether others should have their turn before the first poll, so that they share a flush with this one.
    #[must_use]
    pub fn lets_others_write(&self) -> bool {
        matches!(self.0, Wait::ForFlush { .. })
    }
}

enum Wait {
    Over(Result<()>),
    For(oneshot::Receiver<Result<()>>),
    ForFlush { shared: Arc<Shared>, seq: u64 },
}

impl Future for SyncWait {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Wait::Over(outcome) => Poll::Ready(outcome.clone()),
            Wait::For(answer) => Pin::new(answer)
                .poll(context)
                .map(|sent| sent.unwrap_or(Err(Error::Closed))),
            Wait::ForFlush { shared, seq } => Poll::Ready(shared.flush(*seq)),
        }
    }
}

impl fmt::Debug for SyncWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SyncWait")
            .field(&matches!(self.0, Wait::Over(_)))
            .finish()
    }
}
