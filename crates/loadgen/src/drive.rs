//! The closed and the open loop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::Schedule;
use crate::dice::Dice;
use crate::keys::{Pattern, key};
use crate::mix::Action;
use crate::pace::Pacer;
use crate::plan::{Contexts, Plan};
use crate::record::{Done, Ended, Recorder};
use crate::records::{Memory, Records};
use crate::session::{Payload, joined};
use crate::target::{Failure, Target};

/// What all tasks of a run share.
#[derive(Debug)]
pub(crate) struct Worker<T: Target> {
    pub(crate) plan: Plan,
    pub(crate) target: T,
    pub(crate) records: Arc<Records>,
    pub(crate) memory: Arc<Memory<T::Context>>,
    pub(crate) recorder: Recorder,
    pub(crate) payload: Payload,
    /// The next record of a sequential pattern.
    pub(crate) cursor: AtomicU64,
}

/// An action that is decided upon.
#[derive(Debug)]
struct Step {
    action: Action,
    index: u64,
    value: Bytes,
}

/// Keeps `in_flight` actions under way until the time is up.
pub(crate) async fn closed<T: Target>(worker: &Arc<Worker<T>>, in_flight: usize) {
    let start = Instant::now();
    let mut lanes = JoinSet::new();
    for lane in 0..in_flight {
        let worker = Arc::clone(worker);
        lanes.spawn(async move {
            let mut dice = Dice::new(worker.plan.seed, lane as u64);
            loop {
                let due = start.elapsed();
                if due >= worker.plan.end() {
                    break;
                }
                let Some(step) = worker.draw(&mut dice) else {
                    break;
                };
                worker.take(lane, step, due, start).await;
            }
        });
    }
    while let Some(ended) = lanes.join_next().await {
        joined(ended);
    }
}

/// Begins actions when the pacer says so; gives the number of those that could not begin within [`DRAIN`] after the end.
pub(crate) async fn open<T: Target>(
    worker: &Arc<Worker<T>>,
    mut pacer: impl Pacer,
    schedule: Schedule,
    in_flight_max: usize,
) -> u64 {
    let start = Instant::now();
    let end = worker.plan.end();
    let give_up = start + end + DRAIN;
    let permits = Arc::new(Semaphore::new(in_flight_max));
    let mut dice = Dice::new(worker.plan.seed, 0);
    let mut tasks = JoinSet::new();
    let mut begun = 0_usize;
    let mut gave_up = false;
    while let Some(due) = pacer.next().await {
        let Ok(Ok(permit)) = timeout_at(give_up, Arc::clone(&permits).acquire_owned()).await else {
            gave_up = true;
            break;
        };
        let Some(step) = worker.draw(&mut dice) else {
            break;
        };
        let (worker, lane) = (Arc::clone(worker), begun);
        tasks.spawn(async move {
            worker.take(lane, step, due, start).await;
            drop(permit);
        });
        begun += 1;
        while let Some(ended) = tasks.try_join_next() {
            joined(ended);
        }
    }
    while let Some(ended) = tasks.join_next().await {
        joined(ended);
    }
    if !gave_up {
        return 0;
    }
    let offered = schedule.take_while(|at| *at < end).count();
    offered.saturating_sub(begun) as u64
}

impl<T: Target> Worker<T> {
    fn draw(&self, dice: &mut Dice) -> Option<Step> {
        let action = self.plan.mix.draw(dice);
        let index = match (action, self.plan.pattern) {
            (Action::Insert, _) => self.records.next(),
            (_, Pattern::Sequential) => {
                let next = self.cursor.fetch_add(1, Ordering::Relaxed);
                Some(next).filter(|next| *next < self.records.there())?
            }
            (_, pattern) => pattern.draw(self.records.there(), dice)?,
        };
        let value = match action {
            Action::Read | Action::Delete => Bytes::new(),
            Action::Update | Action::Insert | Action::ReadModifyWrite => self.payload.draw(dice),
        };
        Some(Step {
            action,
            index,
            value,
        })
    }

    async fn take(&self, lane: usize, step: Step, due: Duration, start: Instant) {
        let inserted = (step.action == Action::Insert).then_some(step.index);
        let began = start.elapsed();
        let result = self.act(step).await;
        let ended = start.elapsed();
        if let Some(index) = inserted {
            self.records.inserted(index);
        }
        self.recorder
            .note(lane, Ended { due, began, ended }, result);
    }

    async fn act(&self, step: Step) -> Result<Done, Failure> {
        let Step {
            action,
            index,
            value,
        } = step;
        let mut done = Done {
            action,
            found: true,
            values: 1,
            read_first: false,
        };
        let remembered = || self.memory.recall(index);
        let context = match (action, self.plan.contexts) {
            (Action::Insert, _) | (Action::Update, Contexts::Blind) => Some(T::Context::default()),
            (Action::Update | Action::Delete, Contexts::Remembered) => remembered(),
            // Nothing that was not seen can be deleted.
            (Action::Delete, Contexts::Blind | Contexts::Read)
            | (Action::Update, Contexts::Read) => None,
            (Action::Read | Action::ReadModifyWrite, _) => None,
        };
        let context = match context {
            Some(context) => context,
            None => {
                let seen = self.target.read(key(index)).await?;
                done.found = seen.values > 0;
                done.values = seen.values;
                done.read_first = matches!(action, Action::Update | Action::Delete);
                if action == Action::Read || (action == Action::Delete && !done.found) {
                    self.memory.note(index, seen.context);
                    return Ok(done);
                }
                seen.context
            }
        };
        let context = match action {
            Action::Delete => self.target.delete(key(index), context).await?,
            _ => self.target.write(key(index), value, context).await?,
        };
        self.memory.note(index, context);
        Ok(done)
    }
}

/// How long actions whose time had come before the end may begin late, at the limit of what is under way.
const DRAIN: Duration = Duration::from_secs(10);
