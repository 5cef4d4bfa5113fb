//! The steady load: clients that put, get and delete, and note what they are told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dynamokv::rpc::pb::{GetRequest, PutRequest, Value};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tonic::{Code, Status};

use super::history::{History, Outcome, WriteId, body, writer_of};
use crate::support::Client;
use crate::support::dice::Dice;

/// The nodes that clients know, dead ones among them.
pub type Directory = Arc<parking_lot::Mutex<BTreeMap<usize, Client>>>;

const CLIENTS: u64 = 8;
/// Keys that one client writes over and over without ever reading them: nothing but handoff and exchange mends them.
const CHAINS: u64 = 30;
/// Keys that all clients read and write.
const SHARED: u64 = 20;
/// Between two operations of a client.
const PAUSE_MAX: Duration = Duration::from_millis(20);
/// A node that failed is not asked again for so long.
const AVOIDED: Duration = Duration::from_millis(500);
const REQUEST_MS: u32 = 1_500;
const PATIENCE: Duration = Duration::from_millis(2_500);

/// What became of the requests.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    pub acknowledged: usize,
    pub refused: usize,
    pub unknown: usize,
    pub reads: usize,
    pub failed_reads: usize,
}

pub struct Load {
    stop: Arc<AtomicBool>,
    clients: JoinSet<Counts>,
    history: Arc<Mutex<History>>,
}

impl Load {
    pub fn start(directory: &Directory, dice: &mut Dice) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let history = Arc::new(Mutex::new(History::default()));
        let mut clients = JoinSet::new();
        for name in 0..CLIENTS {
            let user = User {
                name,
                directory: Arc::clone(directory),
                history: Arc::clone(&history),
                dice: dice.fork(),
                known: BTreeMap::new(),
                avoided: BTreeMap::new(),
                fresh: 0,
                counts: Counts::default(),
            };
            clients.spawn(user.work(Arc::clone(&stop)));
        }
        Self {
            stop,
            clients,
            history,
        }
    }

    /// Ends when every client has its last answer.
    pub async fn stop(self) -> (History, Counts) {
        self.stop.store(true, Ordering::Relaxed);
        let mut sum = Counts::default();
        for counts in self.clients.join_all().await {
            sum.acknowledged += counts.acknowledged;
            sum.refused += counts.refused;
            sum.unknown += counts.unknown;
            sum.reads += counts.reads;
            sum.failed_reads += counts.failed_reads;
        }
        (std::mem::take(&mut *self.history.lock().await), sum)
    }
}

/// What a client has seen of a key: the context, and the values that it stands for.
#[derive(Debug, Clone, Default)]
struct Known {
    context: Vec<u8>,
    values: BTreeSet<WriteId>,
}

struct User {
    name: u64,
    directory: Directory,
    history: Arc<Mutex<History>>,
    dice: Dice,
    known: BTreeMap<String, Known>,
    avoided: BTreeMap<usize, Instant>,
    fresh: u64,
    counts: Counts,
}

impl User {
    async fn work(mut self, stop: Arc<AtomicBool>) -> Counts {
        while !stop.load(Ordering::Relaxed) {
            let pause = self.dice.moment(PAUSE_MAX.as_millis() as u64);
            tokio::time::sleep(pause).await;
            match self.dice.below(10) {
                0..4 => self.go_on_with_a_chain().await,
                4..7 => self.write_a_fresh_key().await,
                7..9 => self.write_a_shared_key(false).await,
                _ => {
                    let deletes = self.dice.one_in(2);
                    self.write_a_shared_key(deletes).await;
                }
            }
        }
        self.counts
    }

    async fn go_on_with_a_chain(&mut self) {
        let key = format!("chain-{}-{}", self.name, self.dice.below(CHAINS));
        let known = self.known.get(&key).cloned().unwrap_or_default();
        if let Some(known) = self.put(&key, known).await {
            self.known.insert(key, known);
        }
    }

    async fn write_a_fresh_key(&mut self) {
        self.fresh += 1;
        let key = format!("fresh-{}-{}", self.name, self.fresh);
        self.put(&key, Known::default()).await;
    }

    async fn write_a_shared_key(&mut self, deletes: bool) {
        let key = format!("shared-{}", self.dice.below(SHARED));
        let Some(known) = self.get(&key).await else {
            return;
        };
        if deletes && !known.context.is_empty() {
            self.delete(&key, known).await;
        } else {
            self.put(&key, known).await;
        }
    }

    /// What the client knows after an acknowledged write.
    async fn put(&mut self, key: &str, known: Known) -> Option<Known> {
        let mut history = self.history.lock().await;
        let id = history.begin(key, known.values, false);
        drop(history);
        let request = PutRequest {
            key: key.to_owned().into(),
            value: body(id).into(),
            context: known.context.into(),
            timeout_ms: Some(REQUEST_MS),
            ..PutRequest::default()
        };
        let (node, client) = self.choose();
        let answer = within_patience(client.put_request(request)).await;
        let answer = self.note(node, key, id, answer).await?;
        Some(Known {
            context: answer.context.to_vec(),
            values: BTreeSet::from([id]),
        })
    }

    async fn delete(&mut self, key: &str, known: Known) {
        let id = self.history.lock().await.begin(key, known.values, true);
        let (node, client) = self.choose();
        let answer = within_patience(client.delete(key, &known.context)).await;
        self.note(node, key, id, answer).await;
    }

    async fn get(&mut self, key: &str) -> Option<Known> {
        let request = GetRequest {
            key: key.to_owned().into(),
            timeout_ms: Some(REQUEST_MS),
            ..GetRequest::default()
        };
        let (node, client) = self.choose();
        let Ok(answer) = within_patience(client.get_request(request)).await else {
            self.avoid(node);
            self.counts.failed_reads += 1;
            return None;
        };
        self.counts.reads += 1;
        let values = writers_of(key, &answer.values);
        self.history.lock().await.shown(key, &values);
        Some(Known {
            context: answer.context.to_vec(),
            values,
        })
    }

    async fn note<R>(
        &mut self,
        node: usize,
        key: &str,
        id: WriteId,
        answer: Result<R, Status>,
    ) -> Option<R> {
        let outcome = match &answer {
            Ok(_) => Outcome::Acknowledged,
            Err(status) if is_refusal(status) => Outcome::Refused,
            Err(_) => Outcome::Unknown,
        };
        match outcome {
            Outcome::Acknowledged => self.counts.acknowledged += 1,
            Outcome::Refused => self.counts.refused += 1,
            Outcome::Unknown => self.counts.unknown += 1,
        }
        self.history.lock().await.end(key, id, outcome);
        if answer.is_err() {
            self.avoid(node);
        }
        answer.ok()
    }

    /// Any node that has not just failed.
    fn choose(&mut self) -> (usize, Client) {
        let now = Instant::now();
        self.avoided.retain(|_, until| *until > now);
        let directory = self.directory.lock();
        let mut candidates: Vec<_> = directory
            .iter()
            .filter(|(node, _)| !self.avoided.contains_key(node))
            .collect();
        if candidates.is_empty() {
            candidates = directory.iter().collect();
        }
        let chosen = self.dice.below(candidates.len() as u64) as usize;
        let (node, client) = candidates[chosen];
        (*node, client.clone())
    }

    fn avoid(&mut self, node: usize) {
        self.avoided.insert(node, Instant::now() + AVOIDED);
    }
}

/// The writes behind the values of an answer.
pub fn writers_of(key: &str, values: &[Value]) -> BTreeSet<WriteId> {
    let writer =
        |value: &Value| writer_of(&value.value).unwrap_or_else(|| panic!("{key}: a torn value"));
    let ids: BTreeSet<WriteId> = values.iter().map(writer).collect();
    assert_eq!(ids.len(), values.len(), "{key}: a value is there twice");
    ids
}

/// Whether the answer promises that nothing was done.
fn is_refusal(status: &Status) -> bool {
    match status.code() {
        // The transport uses this code too, when it knows nothing.
        Code::Unavailable => status.message().starts_with("not applied"),
        Code::ResourceExhausted | Code::FailedPrecondition | Code::InvalidArgument => true,
        _ => false,
    }
}

async fn within_patience<R>(answer: impl Future<Output = Result<R, Status>>) -> Result<R, Status> {
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(Status::deadline_exceeded(
            "the client has lost its patience",
        )),
    }
}
