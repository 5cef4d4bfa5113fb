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
        // The low bits: keys of one partition share their high ones.
        self.locks[token.0 as usize % STRIPES].lock()
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
