//! Versioned keys of a cluster's only member: all that was acknowledged is on this one disk.

use std::collections::{BTreeMap, BTreeSet};

use dynamokv::rpc::pb::{PutRequest, StatusRequest, Value};
use dynamokv::vclock::{Dot, EpochLease};
use tonic::Status;

use crate::rounds;
use crate::support::Client;
use crate::support::dice::Dice;
use crate::support::process::Process;

const WRITERS: usize = 4;
const KEYS_OF_A_WRITER: u64 = 24;
const VALUE_BYTES_MAX: u64 = 4 << 10;

/// The values that stand under a key together.
type Siblings = BTreeSet<Vec<u8>>;

/// What may stand under one key.
#[derive(Default)]
struct Known {
    /// What was acknowledged.
    acknowledged: Siblings,
    /// What stands there if the last write, which got no answer, was applied.
    tried: Option<Siblings>,
    /// The context of the last reply.
    context: Vec<u8>,
}

#[derive(Default)]
pub struct Writer {
    name: usize,
    known: BTreeMap<String, Known>,
    client: Option<(String, Client)>,
    /// What this life of the node has written, by key.
    written: Vec<(String, Value)>,
}

pub struct Keys {
    writers: Vec<Writer>,
    numbers: Numbers,
}

impl Default for Keys {
    fn default() -> Self {
        let writer = |name| Writer {
            name,
            ..Writer::default()
        };
        Self {
            writers: (0..WRITERS).map(writer).collect(),
            numbers: Numbers::default(),
        }
    }
}

impl rounds::Keys for Keys {
    type Writer = Writer;

    const OPTIONS: &'static [&'static str] = &[
        "--bootstrap",
        "--replicas=1",
        "--read-quorum=1",
        "--write-quorum=1",
        "--partitions=16",
    ];

    async fn check(&mut self, node: &Process) {
        let client = node.client();
        for writer in &mut self.writers {
            for (key, value) in writer.written.drain(..) {
                self.numbers.written(&key, &value);
            }
        }
        let status = client.admin().status(StatusRequest {}).await.unwrap();
        let status = status.into_inner();
        self.numbers
            .on_start(status.generation, status.opened_clean);
        for (key, known) in self.writers.iter_mut().flat_map(|writer| &mut writer.known) {
            let read = client.get(key).await.unwrap();
            let found: Siblings = read
                .values
                .iter()
                .map(|value| value.value.to_vec())
                .collect();
            assert_eq!(
                found.len(),
                read.values.len(),
                "{key}: a value is there twice"
            );
            let tried = known.tried.take();
            assert!(
                found == known.acknowledged || Some(&found) == tried.as_ref(),
                "{key} has {} values; {} were acknowledged, {:?} stand there if the last write was applied",
                found.len(),
                known.acknowledged.len(),
                tried.map(|tried| tried.len()),
            );
            for value in &read.values {
                self.numbers.found(key, value);
            }
            known.acknowledged = found;
            known.context = read.context.to_vec();
        }
    }

    fn writers(&mut self) -> Vec<Writer> {
        std::mem::take(&mut self.writers)
    }

    fn take_back(&mut self, writer: Writer) {
        self.writers.push(writer);
    }

    async fn write(writer: &mut Writer, address: &str, dice: &mut Dice) -> Result<(), Status> {
        let client = writer.client(address);
        let key = format!("{}-{}", writer.name, dice.below(KEYS_OF_A_WRITER));
        let known = writer.known.entry(key.clone()).or_default();
        if dice.one_in(6) && !known.context.is_empty() {
            known.tried = Some(Siblings::new());
            let reply = client.delete(&key, &known.context).await?;
            known.context = reply.context.to_vec();
            known.acknowledged = Siblings::new();
        } else {
            let value = dice.bytes(VALUE_BYTES_MAX);
            // Without a context it is concurrent with everything.
            let blind = dice.one_in(4) && known.acknowledged.len() < 4;
            let mut after = if blind {
                known.acknowledged.clone()
            } else {
                Siblings::new()
            };
            after.insert(value.clone());
            known.tried = Some(after.clone());
            let put = PutRequest {
                key: key.clone().into(),
                value: value.clone().into(),
                context: if blind {
                    Vec::new()
                } else {
                    known.context.clone()
                }
                .into(),
                return_values: true,
                ..PutRequest::default()
            };
            let reply = client.put_request(put).await?;
            known.context = reply.context.to_vec();
            known.acknowledged = after;
            let written = reply.values.into_iter().find(|shown| shown.value == value);
            writer.written.extend(written.map(|value| (key, value)));
        }
        known.tried = None;
        Ok(())
    }
}

impl Writer {
    fn client(&mut self, address: &str) -> Client {
        match &self.client {
            Some((known, client)) if known == address => client.clone(),
            _ => {
                let client = Client::new(address);
                self.client = Some((address.to_owned(), client.clone()));
                client
            }
        }
    }
}

/// One life of the node.
#[derive(Clone, Copy, Default)]
struct Life {
    generation: u64,
    /// Grows with each unclean stop: then no epoch may go on.
    incarnation: u64,
}

/// What the node has numbered so far.
#[derive(Default)]
struct Numbers {
    previous: Life,
    present: Life,
    values: BTreeMap<Dot, Vec<u8>>,
    /// For which key, and in which incarnation, an epoch was taken.
    epochs: BTreeMap<u64, (String, u64)>,
    /// The generation that leased a block of epochs.
    leases: BTreeMap<u64, u64>,
}

/// Epochs are leased in blocks of so many.
const BLOCK: u64 = 1 << 14;

impl Numbers {
    fn on_start(&mut self, generation: u64, clean: bool) {
        assert!(
            generation > self.present.generation,
            "a generation came twice"
        );
        self.previous = self.present;
        self.present = Life {
            generation,
            incarnation: self.present.incarnation + u64::from(!clean),
        };
    }

    /// A value that the present life has written.
    fn written(&mut self, key: &str, value: &Value) {
        let dot = self.note(key, value, self.present);
        let (_, incarnation) = self.epochs[&dot.actor.epoch.0];
        assert_eq!(
            incarnation, self.present.incarnation,
            "{dot}: an epoch went on after an unclean stop"
        );
    }

    /// A value that was there before the present life, if only since the one before.
    fn found(&mut self, key: &str, value: &Value) {
        self.note(key, value, self.previous);
    }

    fn note(&mut self, key: &str, value: &Value, life: Life) -> Dot {
        let dot: Dot = value.clock.parse().unwrap();
        let known = self
            .values
            .entry(dot)
            .or_insert_with(|| value.value.to_vec());
        assert_eq!(*known, value.value, "{dot} was issued for two values");
        let epoch = dot.actor.epoch.0;
        if let Some((of, _)) = self.epochs.get(&epoch) {
            assert_eq!(of, key, "{dot}: the epoch was taken for two keys");
            return dot;
        }
        self.epochs
            .insert(epoch, (key.to_owned(), life.incarnation));
        if dot.counter > 1 {
            // Taken for a delete, whose dot nobody is shown: perhaps in an earlier life.
            return dot;
        }
        let block = (epoch >> EpochLease::RANDOM_BITS) / BLOCK;
        let leased_by = self.leases.entry(block).or_insert(life.generation);
        assert_eq!(
            *leased_by, life.generation,
            "{dot}: a block of epochs was leased twice"
        );
        dot
    }
}
