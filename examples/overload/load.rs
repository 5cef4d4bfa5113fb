//! The load: so many requests under way (closed), or so many a second whatever becomes of them (open).

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use dynamokv::rpc::pb::PutRequest;
use dynamokv::rpc::pb::kv_client::KvClient;
use futures_util::future::join_all;
use hdrhistogram::Histogram;
use tokio::task::LocalSet;
use tokio::time::Instant;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use crate::Fallible;

/// Connections to the node.
pub(crate) struct Load {
    clients: Vec<KvClient<Channel>>,
}

/// What became of the requests of one run.
pub(crate) struct Outcome {
    /// Microseconds of those that were admitted.
    pub(crate) admitted: Histogram<u64>,
    /// Microseconds of those that were refused as too many.
    pub(crate) refused: Histogram<u64>,
    /// Those that failed otherwise.
    pub(crate) failed: u64,
    /// How long the run took.
    pub(crate) took: Duration,
}

impl Outcome {
    fn new() -> Fallible<Self> {
        Ok(Self {
            admitted: Histogram::new_with_max(LONGEST_MICROS, 3)?,
            refused: Histogram::new_with_max(LONGEST_MICROS, 3)?,
            failed: 0,
            took: Duration::ZERO,
        })
    }

    pub(crate) fn admitted_per_second(&self) -> f64 {
        self.admitted.len() as f64 / self.took.as_secs_f64()
    }

    fn note(&mut self, code: Code, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        match code {
            Code::Ok => self.admitted.saturating_record(micros),
            Code::ResourceExhausted => self.refused.saturating_record(micros),
            _ => self.failed += 1,
        }
    }
}

impl Load {
    pub(crate) async fn connect(address: &str, connections: usize) -> Fallible<Self> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true);
        let mut clients = Vec::new();
        for _ in 0..connections.max(1) {
            clients.push(KvClient::new(endpoint.connect().await?));
        }
        Ok(Self { clients })
    }

    /// Keeps `under_way` requests under way.
    pub(crate) async fn closed(&self, under_way: usize, time: Duration) -> Fallible<Outcome> {
        let outcome = RefCell::new(Outcome::new()?);
        let keys = RefCell::new(Keys::default());
        let began = Instant::now();
        let workers = (0..under_way).map(|worker| {
            let mut client = self.clients[worker % self.clients.len()].clone();
            let (outcome, keys) = (&outcome, &keys);
            async move {
                while began.elapsed() < time {
                    let request = keys.borrow_mut().next();
                    let sent = Instant::now();
                    let code = put(&mut client, request).await;
                    outcome.borrow_mut().note(code, sent.elapsed());
                }
            }
        });
        join_all(workers).await;
        let mut outcome = outcome.into_inner();
        outcome.took = began.elapsed();
        Ok(outcome)
    }

    /// Sends `rate` requests a second at random moments, each timed from when it was due: a load that falls behind shows.
    pub(crate) async fn open(&self, rate: f64, time: Duration) -> Fallible<Outcome> {
        let outcome = Rc::new(RefCell::new(Outcome::new()?));
        let (tasks, mut keys) = (LocalSet::new(), Keys::default());
        let began = Instant::now();
        let sending = async {
            let mut due = Duration::ZERO;
            let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
            for turn in 0.. {
                due += Duration::from_secs_f64(dice.exponential() / rate);
                if due > time {
                    break;
                }
                let due = began + due;
                // Timers go off up to a millisecond late, which would count as the node's.
                tokio::time::sleep_until(due - TIMER_PRECISION).await;
                while Instant::now() < due {
                    tokio::task::yield_now().await;
                }
                let mut client = self.clients[turn % self.clients.len()].clone();
                let (outcome, request) = (Rc::clone(&outcome), keys.next());
                tokio::task::spawn_local(async move {
                    let code = put(&mut client, request).await;
                    outcome.borrow_mut().note(code, due.elapsed());
                });
            }
        };
        tasks.run_until(sending).await;
        let took = began.elapsed();
        tasks.await;
        let mut outcome = outcome.replace(Outcome::new()?);
        outcome.took = took;
        Ok(outcome)
    }
}

async fn put(client: &mut KvClient<Channel>, request: PutRequest) -> Code {
    match client.put(request).await {
        Ok(_) => Code::Ok,
        Err(status) => status.code(),
    }
}

/// Each write goes to a key of its own: siblings are not what is measured.
#[derive(Default)]
struct Keys(u64);

impl Keys {
    fn next(&mut self) -> PutRequest {
        self.0 += 1;
        PutRequest {
            key: format!("{:016}", self.0).into(),
            value: vec![7; 100].into(),
            ..PutRequest::default()
        }
    }
}

/// Pauses between arrivals that know nothing of each other (xorshift64*).
struct Dice(u64);

impl Dice {
    fn exponential(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11;
        let uniform = (bits as f64 + 1.0) / (1_u64 << 53) as f64;
        -uniform.ln()
    }
}

const TIMER_PRECISION: Duration = Duration::from_millis(2);
/// What took longer counts as this.
const LONGEST_MICROS: u64 = 60_000_000;
