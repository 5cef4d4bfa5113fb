use dynamokv_ring::Token;
use parking_lot::{Mutex, MutexGuard};

/// One lock for many keys: two keys share one by chance, one key never has two.
pub(super) struct Stripes {
    locks: Box<[Mutex<()>; STRIPES]>,
}

/// Far more than cores, so that two writers seldom meet.
const STRIPES: usize = 256;

impl Stripes {
    pub(super) fn new() -> Self {
        Self {
            locks: Box::new([const { Mutex::new(()) }; STRIPES]),
        }
    }

    pub(super) fn lock(&self, token: Token) -> MutexGuard<'_, ()> {
        self.locks[stripe(token)].lock()
    }

    /// The lock, if nobody has it.
    pub(super) fn try_lock(&self, token: Token) -> Option<MutexGuard<'_, ()>> {
        self.locks[stripe(token)].try_lock()
    }

    /// The locks of several keys, each once. In ascending order, as all who take several.
    pub(super) fn lock_each(&self, tokens: impl Iterator<Item = Token>) -> Vec<MutexGuard<'_, ()>> {
        let mut stripes: Vec<usize> = tokens.map(stripe).collect();
        stripes.sort_unstable();
        stripes.dedup();
        let locks = stripes.into_iter().map(|stripe| self.locks[stripe].lock());
        locks.collect()
    }

    /// Stops every writer. Always in the same order, so two callers cannot block each other.
    pub(super) fn lock_all(&self) -> Vec<MutexGuard<'_, ()>> {
        self.locks.iter().map(Mutex::lock).collect()
    }

    /// Waits for every writer that is at work, and stops none that comes.
    pub(super) fn pass(&self) {
        self.locks.iter().for_each(|lock| drop(lock.lock()));
    }
}

/// The low bits: keys of one partition share their high ones.
fn stripe(token: Token) -> usize {
    token.0 as usize % STRIPES
}
