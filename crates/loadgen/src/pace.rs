//! Waiting for the times of a schedule.

use std::future::Future;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::Schedule;

/// Gives each time of a schedule when it has come.
pub(crate) trait Pacer {
    /// The next time after the start; none at the end.
    fn next(&mut self) -> impl Future<Output = Option<Duration>> + Send;
}

/// A thread that sleeps until each time: more exact than a runtime's timers, which tick by milliseconds. Dropping it ends the thread.
pub(crate) struct Punctual {
    due: mpsc::Receiver<Duration>,
}

impl Punctual {
    /// The times of the schedule before `end`, counted from now.
    pub(crate) fn start(schedule: Schedule, end: Duration) -> Self {
        let (sender, due) = mpsc::channel(AHEAD_MAX);
        let start = Instant::now();
        tokio::task::spawn_blocking(move || {
            for at in schedule.take_while(|at| *at < end) {
                while let Some(left) = at
                    .checked_sub(start.elapsed())
                    .filter(|left| !left.is_zero())
                {
                    if sender.is_closed() {
                        return;
                    }
                    std::thread::sleep(left.min(LOOK_UP));
                }
                if sender.blocking_send(at).is_err() {
                    return;
                }
            }
        });
        Self { due }
    }
}

impl Pacer for Punctual {
    async fn next(&mut self) -> Option<Duration> {
        self.due.recv().await
    }
}

/// Times that have come and are not taken yet.
const AHEAD_MAX: usize = 1_024;
/// How long it may sleep on after nobody waits any more.
const LOOK_UP: Duration = Duration::from_millis(100);
