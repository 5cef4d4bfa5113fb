//! Runs in paused time against a store whose behaviour is known exactly.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, sleep_until};

use crate::drive::{closed, open};
use crate::pace::Pacer;
use crate::results::RunResult;
use crate::*;

/// Answers each request after a millisecond, and none at all during the stall. A write whose context has not seen the newest version
/// adds a value; the context is that version.
#[derive(Clone)]
struct Store {
    start: Instant,
    stall: (Duration, Duration),
    keys: Arc<Mutex<HashMap<Bytes, (u64, usize)>>>,
    refuse: bool,
}

const DELAY: Duration = Duration::from_millis(1);
const NEVER: (Duration, Duration) = (Duration::ZERO, Duration::ZERO);

impl Store {
    fn new(stall: (Duration, Duration)) -> Self {
        Self {
            start: Instant::now(),
            stall,
            keys: Arc::default(),
            refuse: false,
        }
    }

    async fn wait(&self) -> Result<(), Failure> {
        if (self.stall.0..self.stall.1).contains(&self.start.elapsed()) {
            sleep_until(self.start + self.stall.1).await;
        }
        sleep(DELAY).await;
        match self.refuse {
            false => Ok(()),
            true => Err(Failure {
                kind: FailureKind::Overloaded,
                message: "too much".to_owned(),
            }),
        }
    }

    fn values(&self, index: u64) -> usize {
        self.keys
            .lock()
            .get(&key(index))
            .map_or(0, |(_, values)| *values)
    }
}

impl Target for Store {
    type Context = u64;

    async fn read(&self, key: Bytes) -> Result<Seen<u64>, Failure> {
        self.wait().await?;
        let (context, values) = self.keys.lock().get(&key).copied().unwrap_or_default();
        Ok(Seen { values, context })
    }

    async fn write(&self, key: Bytes, _: Bytes, context: u64) -> Result<u64, Failure> {
        self.wait().await?;
        let mut keys = self.keys.lock();
        let (version, values) = keys.entry(key).or_default();
        *values = if context == *version { 1 } else { *values + 1 };
        *version += 1;
        Ok(*version)
    }

    async fn delete(&self, key: Bytes, context: u64) -> Result<u64, Failure> {
        self.wait().await?;
        let mut keys = self.keys.lock();
        let (version, values) = keys.entry(key).or_default();
        assert_eq!(context, *version, "deletes what it saw");
        *values = 0;
        *version += 1;
        Ok(*version)
    }
}

/// A schedule in paused time.
struct Ticking {
    start: Instant,
    schedule: Schedule,
    end: Duration,
}

impl Pacer for Ticking {
    async fn next(&mut self) -> Option<Duration> {
        let at = self.schedule.next().filter(|at| *at < self.end)?;
        sleep_until(self.start + at).await;
        Some(at)
    }
}

fn plan(workload: &str, pace: Pace) -> Plan {
    let (mix, pattern) = Plan::workload(workload).unwrap();
    Plan {
        mix,
        pattern,
        records: 100,
        value: ValueSize { min: 10, max: 10 },
        pace,
        warm_up: Duration::ZERO,
        duration: Duration::from_secs(10),
        contexts: Contexts::Remembered,
        seed: 1,
    }
}

async fn drive(session: &Session<Store>, plan: Plan) -> RunResult {
    let run = session.run(plan).unwrap();
    let unsent = load(&run).await;
    run.result("run", unsent)
}

/// As [`Run::drive`](crate::Run::drive) does it, but for the pacer.
async fn load(run: &Run<Store>) -> u64 {
    let plan = run.worker.plan.clone();
    match plan.pace {
        Pace::Closed { in_flight } => {
            closed(&run.worker, in_flight).await;
            0
        }
        Pace::Open {
            rate,
            arrivals,
            in_flight_max,
        } => {
            let schedule = Schedule::new(rate, arrivals, Dice::new(1, 0));
            let pacer = Ticking {
                start: Instant::now(),
                schedule: schedule.clone(),
                end: plan.warm_up + plan.duration,
            };
            open(&run.worker, pacer, schedule, in_flight_max).await
        }
    }
}

const CLOSED: Pace = Pace::Closed { in_flight: 1 };

fn even(rate: f64, in_flight_max: usize) -> Pace {
    Pace::Open {
        rate,
        arrivals: Arrivals::Even,
        in_flight_max,
    }
}

/// One second of ten in which the store does not answer.
const STALL: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(6));

#[tokio::test(start_paused = true)]
async fn a_stall_shows_in_the_percentiles_of_an_open_loop_and_hides_from_a_closed_one() {
    let session = Session::new(Store::new(STALL), 100);
    let result = drive(&session, plan("get", even(500.0, 10_000))).await;
    let latency = &result.of(Action::Read).unwrap().latency;
    // 500 of 5,000 requests fall into the second and wait half of it on the average: the slowest hundredth 0.9 s or more.
    assert_eq!(latency.count, 5_000);
    assert!(
        (890_000..=1_003_000).contains(&latency.p99_us),
        "{latency:?}"
    );
    assert!(
        (400_000..=600_000).contains(&latency.curve.iter().find(|(q, _)| *q >= 0.95).unwrap().1),
        "{latency:?}"
    );
    assert!(latency.p50_us <= 3_000, "{latency:?}");
    assert!(
        result.lag.max_us <= 2_000,
        "all began in time: {:?}",
        result.lag
    );

    let session = Session::new(Store::new(STALL), 100);
    let result = drive(&session, plan("get", CLOSED)).await;
    let latency = &result.of(Action::Read).unwrap().latency;
    assert!(
        latency.p99_us <= 3_000,
        "one user met the stall once: {latency:?}"
    );
    assert!(latency.max_us >= 900_000, "{latency:?}");
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_place_counts_as_latency_too() {
    let session = Session::new(Store::new(STALL), 100);
    let result = drive(&session, plan("get", even(500.0, 4))).await;
    let latency = &result.of(Action::Read).unwrap().latency;
    assert!(latency.p99_us >= 890_000, "{latency:?}");
    assert!(
        result.lag.p99_us >= 890_000,
        "and is told apart: {:?}",
        result.lag
    );
    assert_eq!(result.unsent, 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_store_cannot_take_is_said_to_be_unsent() {
    // One at a time, some 1 to 2 ms each, so at most 1,000 a second of 4,000.
    let session = Session::new(Store::new(NEVER), 100);
    let result = drive(&session, plan("get", even(4_000.0, 1))).await;
    assert!(result.unsent > 15_000, "{}", result.unsent);
    assert_eq!(result.unsent + result.operations, 40_000);
}

#[tokio::test(start_paused = true)]
async fn the_warm_up_does_not_count() {
    let stall = (Duration::ZERO, Duration::from_secs(1));
    let session = Session::new(Store::new(stall), 100);
    let plan = Plan {
        warm_up: Duration::from_secs(2),
        ..plan("get", even(500.0, 10_000))
    };
    let result = drive(&session, plan).await;
    assert_eq!(result.operations, 5_000);
    assert!(result.of(Action::Read).unwrap().latency.max_us <= 3_000);
    assert!(
        (result.throughput - 500.0).abs() < 5.0,
        "{}",
        result.throughput
    );
    assert_eq!(result.timeline.len(), 10);
}

/// Processes of which the first works all the time, the second a quarter of it, and the load tool half of it, until they end.
#[derive(Debug)]
struct Clockwork {
    start: Instant,
    end: Duration,
}

impl Meter for Clockwork {
    fn read(&self) -> Option<Reading> {
        let now = self.start.elapsed();
        (now < self.end).then(|| Reading {
            servers: vec![now, now / 4],
            load_tool: now / 2,
        })
    }
}

async fn cpu_of(plan: Plan, end: Duration) -> (RunResult, Option<CpuUse>) {
    let session = Session::new(Store::new(NEVER), plan.records);
    let start = Instant::now();
    let run = session.run(plan).unwrap();
    let run = run.metered(Arc::new(Clockwork { start, end }));
    let (unsent, cpu) = run.measured(load(&run)).await;
    (run.result("run", unsent), cpu)
}

#[tokio::test(start_paused = true)]
async fn cpu_time_is_that_of_the_measured_time_by_what_ended_in_it() {
    let never = Duration::MAX;
    let plan = Plan {
        warm_up: Duration::from_secs(3),
        ..plan("get", even(500.0, 10_000))
    };
    let (result, cpu) = cpu_of(plan.clone(), never).await;
    let cpu = cpu.unwrap();
    assert!((cpu.elapsed_s - 10.0).abs() < 0.01, "{cpu:?}");
    assert!((cpu.servers_s[0] - 10.0).abs() < 0.01, "{cpu:?}");
    assert!((cpu.servers_s[1] - 2.5).abs() < 0.01, "{cpu:?}");
    assert!((cpu.load_tool_s - 5.0).abs() < 0.01, "{cpu:?}");
    assert!(
        cpu.operations.abs_diff(result.operations) <= 2,
        "{cpu:?} of {}",
        result.operations
    );
    // 12.5 s of 5,000 operations.
    assert!(
        (cpu.servers_ms_per_operation.unwrap() - 2.5).abs() < 0.01,
        "{cpu:?}"
    );

    let short = Plan {
        pattern: Pattern::Sequential,
        records: 2_000,
        ..plan.clone()
    };
    let (_, cpu) = cpu_of(short.clone(), never).await;
    let cpu = cpu.unwrap();
    assert!(
        (cpu.elapsed_s - 1.0).abs() < 0.01 && cpu.operations.abs_diff(500) <= 2,
        "nothing counts after the last one: {cpu:?}"
    );
    let none = cpu_of(
        Plan {
            records: 1_000,
            ..short
        },
        never,
    );
    assert_eq!(none.await.1, None, "all ended before the measured time");
    let gone = cpu_of(plan, Duration::from_secs(5));
    assert_eq!(gone.await.1, None, "a process ended meanwhile");
}

#[tokio::test(start_paused = true)]
async fn writes_carry_what_was_last_seen_so_values_do_not_pile_up() {
    let session = Session::new(Store::new(NEVER), 100);
    session
        .fill(ValueSize { min: 1, max: 1 }, 8, 1)
        .await
        .unwrap();
    let most = |session: &Session<Store>| (0..100).map(|at| session.target.values(at)).max();
    assert_eq!(most(&session), Some(1));
    let result = drive(&session, plan("put", CLOSED)).await;
    assert_eq!((most(&session), result.read_first), (Some(1), 0));
    assert!(result.operations > 3_000);

    let strange = Session::new(session.target.clone(), 100);
    let result = drive(&strange, plan("put", CLOSED)).await;
    assert_eq!(
        (most(&strange), result.read_first),
        (Some(1), 100),
        "each key was read once"
    );

    let blind = Plan {
        contexts: Contexts::Blind,
        ..plan("put", CLOSED)
    };
    drive(&strange, blind).await;
    assert!(most(&strange) > Some(10), "{:?}", most(&strange));
}

#[tokio::test(start_paused = true)]
async fn filling_writes_only_what_is_missing() {
    let store = Store::new(NEVER);
    let size = ValueSize { min: 1, max: 1 };
    Session::new(store.clone(), 50)
        .fill(size, 4, 1)
        .await
        .unwrap();
    Session::new(store.clone(), 100)
        .fill(size, 4, 1)
        .await
        .unwrap();
    let versions: Vec<u64> = (0..100).map(|at| store.keys.lock()[&key(at)].0).collect();
    assert_eq!(versions, [1; 100]);
}

#[tokio::test(start_paused = true)]
async fn deletes_go_through_the_records_once_and_the_run_ends() {
    let session = Session::new(Store::new(NEVER), 100);
    session
        .fill(ValueSize { min: 1, max: 1 }, 8, 1)
        .await
        .unwrap();
    let result = drive(&session, plan("delete", Pace::Closed { in_flight: 4 })).await;
    assert_eq!((result.operations, result.missing), (100, 0));
    assert!((0..100).all(|at| session.target.values(at) == 0));
    let again = Session::new(session.target.clone(), 100);
    let result = drive(&again, plan("delete", CLOSED)).await;
    assert_eq!(
        (result.operations, result.missing),
        (100, 100),
        "nothing is deleted twice"
    );
}

#[tokio::test(start_paused = true)]
async fn inserts_make_new_records_and_failures_are_counted_apart() {
    let mut store = Store::new(NEVER);
    let session = Session::new(store.clone(), 100);
    session
        .fill(ValueSize { min: 1, max: 1 }, 8, 1)
        .await
        .unwrap();
    let result = drive(&session, plan("d", Pace::Closed { in_flight: 16 })).await;
    let inserted = result.of(Action::Insert).unwrap().latency.count;
    assert!(inserted > 100, "{inserted}");
    assert_eq!(store.keys.lock().len() as u64, 100 + inserted);
    assert_eq!(result.missing, 0, "only what is there is read");

    store.refuse = true;
    let session = Session::new(store, 100);
    let result = drive(&session, plan("a", CLOSED)).await;
    assert_eq!((result.operations, result.actions.len()), (0, 0));
    assert!(result.failed > 1_000);
    assert_eq!(result.failures[0].kind, FailureKind::Overloaded);
    assert_eq!(result.failures[0].example, "too much");
}

#[tokio::test]
async fn the_real_pacer_keeps_its_schedule_and_ends() {
    let store = Store::new(NEVER);
    let plan = Plan {
        duration: Duration::from_millis(300),
        ..plan("get", even(200.0, 100))
    };
    let result = Session::new(store, 100)
        .run(plan)
        .unwrap()
        .drive("real")
        .await;
    assert_eq!(result.operations, 60);
}

#[tokio::test(start_paused = true)]
async fn results_are_read_back_compared_and_drawn() {
    let session = Session::new(Store::new(NEVER), 100);
    let slow = drive(&session, plan("a", CLOSED)).await;
    let fast = drive(&session, plan("a", Pace::Closed { in_flight: 10 })).await;
    let mut before = Results::new([("store".to_owned(), "a <fake>".to_owned())].into());
    before.runs.push(slow);
    let text = serde_json::to_string(&before).unwrap();
    assert_eq!(serde_json::from_str::<Results>(&text).unwrap(), before);

    let mut after = before.clone();
    after.runs = vec![fast];
    let differences = compare(&before, &after);
    assert_eq!(differences.len(), 2, "read and update");
    let ratio = differences[0].throughput.ratio.unwrap();
    assert!((9.0..11.0).contains(&ratio), "{ratio}");

    let page = html(&after, Some(&before));
    assert!(page.contains("a &lt;fake&gt;") && page.contains("Update: latency by percentile"));
    assert!(
        page.contains("dashed") && !page.contains("http"),
        "it needs nothing else"
    );
    assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    assert!(
        !page.contains("NaN") && !page.contains("inf"),
        "every point has a place"
    );
}

#[test]
fn wrong_plans_are_named() {
    let right = plan("a", CLOSED);
    right.validate().unwrap();
    let wrong: [(&str, Plan); 6] = [
        (
            "records",
            Plan {
                records: 0,
                ..right.clone()
            },
        ),
        (
            "value",
            Plan {
                value: ValueSize { min: 2, max: 1 },
                ..right.clone()
            },
        ),
        (
            "duration",
            Plan {
                duration: Duration::ZERO,
                ..right.clone()
            },
        ),
        (
            "in-flight",
            Plan {
                pace: Pace::Closed { in_flight: 0 },
                ..right.clone()
            },
        ),
        (
            "rate",
            Plan {
                pace: even(f64::NAN, 1),
                ..right.clone()
            },
        ),
        (
            "exponent",
            Plan {
                pattern: Pattern::Zipfian { exponent: -1.0 },
                ..right
            },
        ),
    ];
    for (field, plan) in wrong {
        assert!(
            plan.validate().unwrap_err().to_string().starts_with(field),
            "{field}"
        );
    }
    assert!(
        Plan::workload("e")
            .unwrap_err()
            .to_string()
            .contains("known are a, b")
    );
}
