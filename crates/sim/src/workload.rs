//! Clients at work: reads, writes and deletes with contexts of every kind, noted in the history.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dynamokv::rpc::pb::{DeleteRequest, GetRequest, GetResponse, PutRequest, QuorumMode, Value};
use dynamokv::vclock::{CausalContext, ContextToken, Dot};
use tonic::Code;

use crate::dice::Dice;
use crate::history::{Key, Quorum, Read, Shown, Write, WriteId, WriteOutcome};
use crate::invariants::Violation;
use crate::kv::{Kv, Unanswered};
use crate::network::Place;
use crate::record::Record;

/// One client: works through its share of the operations, one at a time.
pub struct Client<K> {
    record: Arc<Record>,
    number: u32,
    dice: Dice,
    kv: K,
    /// What it holds of each key, newest last.
    held: BTreeMap<Key, Vec<Held>>,
}

#[derive(Debug, Clone)]
struct Held {
    token: Bytes,
    context: CausalContext,
}

/// What a request says of its context.
enum Given {
    Good(Held),
    /// Damaged, or another key's: must be refused.
    Bad(Bytes),
}

impl<K: Kv> Client<K> {
    /// The client of a number, which reaches the nodes by `kv`.
    pub fn new(record: &Arc<Record>, number: u32, kv: K) -> Self {
        Self {
            record: Arc::clone(record),
            number,
            dice: Dice::new(record.plan().seed, &format!("client {number}")),
            kv,
            held: BTreeMap::new(),
        }
    }

    /// Works until its share is done.
    pub async fn work(mut self, operations: usize) {
        for _ in 0..operations {
            let pause = self
                .dice
                .duration(Duration::ZERO, self.record.plan().think_max);
            tokio::time::sleep(pause).await;
            let (key, place) = (self.key(), self.place());
            match self.dice.below(100) {
                0..40 => self.get(key, place).await,
                40..55 => {
                    self.get(key, place).await;
                    self.put(key, place).await;
                }
                55..88 => self.put(key, place).await,
                _ => self.delete(key, place).await,
            }
            self.record.count("operations", 1);
        }
    }

    /// Reads a key strictly from as many replicas as asked; whether it was answered.
    pub async fn probe(&mut self, key: Key, place: usize, r: usize) -> bool {
        let quorum = Quorum {
            size: r,
            strict: true,
        };
        self.read(key, place, quorum, true, None).await
    }

    fn key(&mut self) -> Key {
        let plan = self.record.plan();
        let keys = if self.dice.chance(plan.hot_per_mille) {
            plan.keys.min(2)
        } else {
            plan.keys
        };
        Key(self.dice.below(keys.into()) as u32)
    }

    fn place(&mut self) -> usize {
        self.dice.index(self.record.places())
    }

    /// The quorum of a request, and whether the request says its size itself.
    fn quorum(&mut self, least: usize) -> (Quorum, bool) {
        let strict = self.dice.chance(400);
        if self.dice.chance(500) {
            return (Quorum { size: 2, strict }, false);
        }
        let replicas = self.record.plan().replicas as u64;
        let size = self.dice.within(least as u64, replicas) as usize;
        (Quorum { size, strict }, true)
    }

    fn timeout(&mut self) -> Option<u32> {
        self.dice
            .chance(300)
            .then(|| self.dice.within(50, 2_500) as u32)
    }

    fn context(&mut self, key: Key) -> Given {
        let kind = self.dice.below(100);
        let held = self.held.get(&key).map(Vec::as_slice).unwrap_or_default();
        let nothing = Held {
            token: Bytes::new(),
            context: CausalContext::new(),
        };
        match kind {
            0..10 => Given::Good(nothing),
            10..25 => Given::Good(self.dice.pick(held).cloned().unwrap_or(nothing)),
            25..28 => match held.last() {
                Some(held) => {
                    let mut token = held.token.to_vec();
                    let at = self.dice.index(token.len());
                    if let Some(byte) = token.get_mut(at) {
                        *byte ^= 1 << self.dice.below(8);
                    }
                    Given::Bad(token.into())
                }
                None => Given::Good(nothing),
            },
            28..31 => {
                let others: Vec<&Held> = self
                    .held
                    .iter()
                    .filter(|(other, _)| **other != key)
                    .filter_map(|(_, held)| held.last())
                    .collect();
                match self.dice.pick(&others) {
                    Some(held) => Given::Bad(held.token.clone()),
                    None => Given::Good(nothing),
                }
            }
            _ => Given::Good(held.last().cloned().unwrap_or(nothing)),
        }
    }

    fn hold(&mut self, key: Key, token: &Bytes) -> CausalContext {
        let name = key.bytes();
        match ContextToken::open(token, b"default", &name) {
            Ok(context) => {
                let held = self.held.entry(key).or_default();
                if !token.is_empty() {
                    held.push(Held {
                        token: token.clone(),
                        context: context.clone(),
                    });
                }
                let surplus = held.len().saturating_sub(HELD_MAX);
                held.drain(..surplus);
                context
            }
            Err(error) => {
                self.record.break_promise(Violation {
                    invariant: "contexts_can_be_used",
                    key: Some(key),
                    story: format!("a node gave c{} a bad context: {error}", self.number),
                });
                CausalContext::new()
            }
        }
    }

    async fn get(&mut self, key: Key, place: usize) {
        let (quorum, said) = self.quorum(1);
        let timeout = self.timeout();
        self.read(key, place, quorum, said, timeout).await;
    }

    async fn read(
        &mut self,
        key: Key,
        place: usize,
        quorum: Quorum,
        said: bool,
        timeout_ms: Option<u32>,
    ) -> bool {
        let invoked = self.record.now();
        let request = GetRequest {
            key: key.bytes(),
            r: said.then_some(quorum.size as u32),
            mode: mode(quorum),
            timeout_ms,
            ..GetRequest::default()
        };
        match self.kv.get(place, request).await {
            Ok(reply) => {
                let GetResponse {
                    values, context, ..
                } = reply;
                self.record.count("reads answered", 1);
                self.note_values(key, quorum, invoked, &values, &context);
                true
            }
            Err(reason) => {
                self.record.count("reads failed", 1);
                self.note(format_args!("get {key} failed: {reason:?}"));
                false
            }
        }
    }

    fn note_values(
        &mut self,
        key: Key,
        quorum: Quorum,
        invoked: Duration,
        values: &[Value],
        token: &Bytes,
    ) {
        let context = self.hold(key, token);
        let shown: Vec<Shown> = values
            .iter()
            .filter_map(|value| {
                Some(Shown {
                    body: value.value.clone(),
                    dot: value.clock.parse().ok()?,
                })
            })
            .collect();
        let dots: Vec<String> = shown.iter().map(|shown| shown.dot.to_string()).collect();
        self.note(format_args!("got {key}: {} with {context}", dots.join(" ")));
        let returned = self.record.now();
        let read = Read {
            client: self.number,
            key,
            quorum,
            invoked,
            returned,
            shown,
            context,
        };
        self.record.history(|history| history.read(read));
    }

    async fn put(&mut self, key: Key, place: usize) {
        let given = self.context(key);
        let number = self.dice.number() >> 16;
        let bytes = self.dice.below(self.record.plan().value_bytes_max) as usize;
        let mut body = format!("{number:012x}").into_bytes();
        body.resize(body.len() + bytes, b'.');
        let body = Bytes::from(body);
        self.attempt(key, place, Some(body.clone()), &given).await;
    }

    async fn delete(&mut self, key: Key, place: usize) {
        let given = self.context(key);
        self.attempt(key, place, None, &given).await;
    }

    /// A write, tried again now and then where nobody knows what became of it.
    async fn attempt(&mut self, key: Key, mut place: usize, body: Option<Bytes>, given: &Given) {
        for attempt in 0..ATTEMPTS_MAX {
            let unknown = self
                .write(key, place, body.clone(), given, attempt > 0)
                .await;
            if !unknown || !self.dice.chance(400) {
                return;
            }
            place = self.place();
            self.record.count("retries", 1);
        }
    }

    /// One attempt; whether its outcome is unknown.
    async fn write(
        &mut self,
        key: Key,
        place: usize,
        body: Option<Bytes>,
        given: &Given,
        retry: bool,
    ) -> bool {
        let least = if self.record.plan().loses_disks() {
            2
        } else {
            1
        };
        let (quorum, said) = self.quorum(least);
        let timeout_ms = self.timeout();
        let invoked = self.record.now();
        let (token, context) = match given {
            Given::Good(held) => (held.token.clone(), held.context.clone()),
            Given::Bad(token) => (token.clone(), CausalContext::new()),
        };
        let id = self.record.history(|history| {
            history.begin(Write {
                client: self.number,
                key,
                body: body.clone(),
                context: context.clone(),
                quorum,
                invoked,
                returned: None,
                outcome: WriteOutcome::Unknown,
            })
        });
        let w = said.then_some(quorum.size as u32);
        let mode = mode(quorum);
        let return_values = !retry && body.is_some() && self.dice.chance(150);
        let words = if body.is_some() { "put" } else { "delete" };
        self.note(format_args!(
            "{id} {words} {key} through n{place} having seen {context}"
        ));
        let replied = match body.clone() {
            Some(value) => {
                let request = PutRequest {
                    key: key.bytes(),
                    value,
                    context: token,
                    w,
                    mode,
                    timeout_ms,
                    return_values,
                    ..PutRequest::default()
                };
                let reply = self.kv.put(place, request).await;
                reply.map(|reply| (reply.context, reply.values))
            }
            None => {
                let request = DeleteRequest {
                    key: key.bytes(),
                    context: token,
                    w,
                    mode,
                    timeout_ms,
                    ..DeleteRequest::default()
                };
                let reply = self.kv.delete(place, request).await;
                reply.map(|reply| (reply.context, Vec::new()))
            }
        };
        let outcome = match replied {
            Ok((token, values)) => {
                if let Given::Bad(_) = given {
                    self.record.break_promise(Violation {
                        invariant: "bad_contexts_are_refused",
                        key: Some(key),
                        story: format!("{id} was accepted with a bad context"),
                    });
                }
                // Where they could not be read there are none, and the reply is a plain one; a concurrent delete may also
                // have left none.
                let dot = if return_values && !values.is_empty() {
                    let read = Quorum { size: 1, ..quorum };
                    self.note_values(key, read, invoked, &values, &token);
                    own_value(&values, body.as_ref())
                } else {
                    let replied = self.hold(key, &token);
                    new_dot(&context, &replied)
                };
                // With all values in the reply one's own may be missing: replaced already, under a dot that nobody tells.
                dot.map_or(WriteOutcome::Unknown, WriteOutcome::Acknowledged)
            }
            Err(Unanswered::NotSent) => WriteOutcome::Refused("not sent".to_owned()),
            Err(Unanswered::Silence) => WriteOutcome::Unknown,
            Err(Unanswered::Status(status)) => match status.code() {
                Code::Unknown | Code::Internal | Code::DeadlineExceeded | Code::Cancelled => {
                    WriteOutcome::Unknown
                }
                _ => WriteOutcome::Refused(status.message().to_owned()),
            },
        };
        self.end(id, outcome)
    }

    fn end(&mut self, id: WriteId, outcome: WriteOutcome) -> bool {
        let returned = self.record.now();
        self.note(format_args!("{id} ends: {outcome:?}"));
        let (unknown, counted) = match &outcome {
            WriteOutcome::Acknowledged(_) => (false, "writes acknowledged"),
            WriteOutcome::Refused(_) => (false, "writes refused"),
            WriteOutcome::Unknown => (true, "writes unknown"),
        };
        self.record.count(counted, 1);
        self.record
            .history(|history| history.end(id, returned, outcome));
        self.record.look_at_disks_for(id);
        unknown
    }

    fn note(&self, what: std::fmt::Arguments<'_>) {
        self.record.note(Place::Client(self.number), what);
    }
}

fn mode(quorum: Quorum) -> i32 {
    if quorum.strict {
        QuorumMode::Strict.into()
    } else {
        QuorumMode::Sloppy.into()
    }
}

/// The dot by which the context of a reply exceeds that of the request; `None` if it exceeds it by more.
fn new_dot(asked: &CausalContext, replied: &CausalContext) -> Option<Dot> {
    let dot = replied
        .actors()
        .map(|actor| Dot::new(actor, replied.highest(&actor)))
        .find(|dot| !asked.covers(dot))?;
    let mut seen = asked.clone();
    seen.insert(dot);
    (seen == *replied).then_some(dot)
}

fn own_value(values: &[Value], body: Option<&Bytes>) -> Option<Dot> {
    let own = values.iter().find(|value| Some(&value.value) == body)?;
    own.clock.parse().ok()
}

/// Contexts of one key that a client keeps to use again.
const HELD_MAX: usize = 4;
const ATTEMPTS_MAX: usize = 3;
