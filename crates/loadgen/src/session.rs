//! Loads and runs.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::task::{JoinError, JoinSet};

use crate::cpu::{CpuUse, Meter, metered};
use crate::dice::Dice;
use crate::drive::{Worker, closed, open};
use crate::keys::key;
use crate::pace::Punctual;
use crate::plan::{Pace, Plan, ValueSize};
use crate::record::{Progress, Recorder};
use crate::records::{Memory, Records};
use crate::results::RunResult;
use crate::target::{Failure, Target};
use crate::{Error, Result, Schedule};

/// A store with its records, and what was seen of them: runs one after another know what those before wrote.
#[derive(Debug)]
pub struct Session<T: Target> {
    pub(crate) target: T,
    records: Arc<Records>,
    memory: Arc<Memory<T::Context>>,
    progress: Arc<Progress>,
}

impl<T: Target> Session<T> {
    /// A store that has the records 0..`records`, or will have after [`fill`](Self::fill).
    pub fn new(target: T, records: u64) -> Self {
        Self {
            target,
            records: Arc::new(Records::new(records)),
            memory: Arc::new(Memory::new()),
            progress: Arc::default(),
        }
    }

    /// How far [`fill`](Self::fill) is.
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Writes those records that are not there yet, and remembers what was seen of all, `in_flight` at a time.
    ///
    /// # Errors
    /// [`Error::Load`] for the first record that failed, several attempts included.
    pub async fn fill(&self, value: ValueSize, in_flight: usize, seed: u64) -> Result<()> {
        let next = Arc::new(AtomicU64::new(0));
        let payload = Payload::new(value, seed);
        let mut tasks = JoinSet::new();
        for lane in 0..in_flight.max(1) {
            let filler = Filler {
                target: self.target.clone(),
                memory: Arc::clone(&self.memory),
                progress: Arc::clone(&self.progress),
                next: Arc::clone(&next),
                records: self.records.there(),
                payload: payload.clone(),
                dice: Dice::new(seed, FILL_STREAMS + lane as u64),
            };
            tasks.spawn(filler.fill());
        }
        while let Some(ended) = tasks.join_next().await {
            joined(ended)?;
        }
        Ok(())
    }

    /// Makes a run ready.
    ///
    /// # Errors
    /// [`Error::Plan`] names a wrong field.
    pub fn run(&self, plan: Plan) -> Result<Run<T>> {
        plan.validate()?;
        Ok(Run {
            meter: None,
            worker: Arc::new(Worker {
                recorder: Recorder::new(plan.warm_up, plan.duration),
                target: self.target.clone(),
                records: Arc::clone(&self.records),
                memory: Arc::clone(&self.memory),
                payload: Payload::new(plan.value, plan.seed),
                cursor: AtomicU64::new(0),
                plan,
            }),
        })
    }
}

/// A run that can begin.
#[derive(Debug)]
pub struct Run<T: Target> {
    pub(crate) worker: Arc<Worker<T>>,
    meter: Option<Arc<dyn Meter>>,
}

impl<T: Target> Run<T> {
    /// How far it is.
    pub fn progress(&self) -> Arc<Progress> {
        self.worker.recorder.progress()
    }

    /// Has the CPU time read at both edges of the measured time, for [`RunResult::cpu`].
    #[must_use]
    pub fn metered(mut self, meter: Arc<dyn Meter>) -> Self {
        self.meter = Some(meter);
        self
    }

    /// Does it: warm-up, measured time, and the end of what is under way then. `name` is for the report.
    pub async fn drive(self, name: impl Into<String>) -> RunResult {
        let (unsent, cpu) = self.measured(self.load()).await;
        RunResult {
            cpu,
            ..self.result(name, unsent)
        }
    }

    /// Does `load` with a look at the meter, if there is one.
    pub(crate) async fn measured<R>(&self, load: impl Future<Output = R>) -> (R, Option<CpuUse>) {
        let Some(meter) = &self.meter else {
            return (load.await, None);
        };
        metered(meter.as_ref(), &self.progress(), &self.worker.plan, load).await
    }

    /// The loop of the plan; gives the number of actions that could not begin.
    async fn load(&self) -> u64 {
        let plan = &self.worker.plan;
        match plan.pace {
            Pace::Closed { in_flight } => {
                closed(&self.worker, in_flight).await;
                0
            }
            Pace::Open {
                rate,
                arrivals,
                in_flight_max,
            } => {
                let schedule = Schedule::new(rate, arrivals, Dice::new(plan.seed, SCHEDULE_STREAM));
                let pacer = Punctual::start(schedule.clone(), plan.warm_up + plan.duration);
                open(&self.worker, pacer, schedule, in_flight_max).await
            }
        }
    }

    pub(crate) fn result(&self, name: impl Into<String>, unsent: u64) -> RunResult {
        let (record, window) = self.worker.recorder.sum();
        RunResult::new(
            name.into(),
            self.worker.plan.clone(),
            &record,
            window,
            unsent,
        )
    }
}

/// Random bytes from which values are cut: cheap, and not to be compressed.
#[derive(Debug, Clone)]
pub(crate) struct Payload {
    bytes: Bytes,
    size: ValueSize,
}

impl Payload {
    pub(crate) fn new(size: ValueSize, seed: u64) -> Self {
        let mut bytes = vec![0; size.max.saturating_add(PAYLOAD_SLACK)];
        Dice::new(seed, PAYLOAD_STREAM).fill(&mut bytes);
        Self {
            bytes: bytes.into(),
            size,
        }
    }

    pub(crate) fn draw(&self, dice: &mut Dice) -> Bytes {
        let span = self.size.max.saturating_sub(self.size.min) as u64 + 1;
        // Both are below lengths that are a usize.
        let length = self.size.min + dice.below(span) as usize;
        let start = dice.below((self.bytes.len() - length) as u64 + 1) as usize;
        self.bytes.slice(start..start + length)
    }
}

/// Writes records that are not there.
struct Filler<T: Target> {
    target: T,
    memory: Arc<Memory<T::Context>>,
    progress: Arc<Progress>,
    next: Arc<AtomicU64>,
    records: u64,
    payload: Payload,
    dice: Dice,
}

impl<T: Target> Filler<T> {
    async fn fill(mut self) -> Result<()> {
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            if index >= self.records {
                return Ok(());
            }
            let mut attempt = 1;
            while let Err(failure) = self.fill_one(index).await {
                if attempt == FILL_ATTEMPTS {
                    let reason = format!("{}: {}", failure.kind, failure.message);
                    return Err(Error::Load { index, reason });
                }
                attempt += 1;
                tokio::time::sleep(FILL_PAUSE).await;
            }
            self.progress.count();
        }
    }

    async fn fill_one(&mut self, index: u64) -> Result<(), Failure> {
        let seen = self.target.read(key(index)).await?;
        let context = match seen.values {
            0 => {
                let value = self.payload.draw(&mut self.dice);
                self.target.write(key(index), value, seen.context).await?
            }
            _ => seen.context,
        };
        self.memory.note(index, context);
        Ok(())
    }
}

/// What a task gave; its panic goes on here.
pub(crate) fn joined<R>(ended: Result<R, JoinError>) -> R {
    match ended {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => std::panic::resume_unwind(Box::new(error.to_string())),
        },
    }
}

const FILL_ATTEMPTS: u32 = 10;
const FILL_PAUSE: Duration = Duration::from_millis(200);
const PAYLOAD_SLACK: usize = 64 << 10;
/// Lanes of a run have the streams from 0.
const SCHEDULE_STREAM: u64 = u64::MAX;
const PAYLOAD_STREAM: u64 = u64::MAX - 1;
const FILL_STREAMS: u64 = 1 << 32;
