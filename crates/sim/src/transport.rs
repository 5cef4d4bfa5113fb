//! The way of a node to the others through the simulated network.

use std::sync::Arc;
use std::time::Duration;

use dynamokv::antientropy::{Answer, Question};
use dynamokv::coordinator::{
    Error as PutError, Fence, Forwarded, PutReply, ReplicaAnswer, ReplicaError, ReplicaRead,
    ReplicaTransport, ReplicaWrite,
};
use dynamokv::gossip::{GossipTransport, Message, TransportError};
use dynamokv::handoff::{CollectRequest, CollectStep, Entry, Page, RangeRequest};
use dynamokv::ring::NodeId;
use dynamokv::rpc::{AddressBook, KeyScan, KeyStates, PeerService};
use dynamokv::{Addresses, ExchangeTransport, HandoverTransport, ListingTransport, Service};

use crate::courier::{self, Failure};
use crate::down::Down;
use crate::host::place_of;
use crate::network::Place;
use crate::world::World;

/// The transport of one life of a node.
pub struct Wires {
    world: Arc<World>,
    place: usize,
    book: Addresses,
    down: Down,
}

impl Wires {
    /// The way from the node at `place`, until it goes `down`.
    pub fn new(world: Arc<World>, place: usize, book: Addresses, down: Down) -> Self {
        Self {
            world,
            place,
            book,
            down,
        }
    }

    fn see(&self, entries: &[Entry]) {
        for entry in entries {
            self.world.see(&entry.key, &entry.state);
        }
    }

    async fn ask<R, F>(
        &self,
        to: NodeId,
        what: String,
        timeout: Duration,
        repeatable: bool,
        serve: impl Fn(Arc<Service<Wires>>) -> F + Send + Sync + 'static,
    ) -> Result<R, ReplicaError>
    where
        R: Send + 'static,
        F: Future<Output = R> + Send,
    {
        let address = self.book.address_of(to).ok_or_else(|| {
            ReplicaError::Unreachable(format!("the address of {to} is not known"))
        })?;
        let asked = self.ask_at(&address, what, repeatable, serve);
        match tokio::time::timeout(timeout, asked).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(Failure::NotSent)) => Err(ReplicaError::Unreachable("no connection".into())),
            Ok(Err(Failure::Cut)) => Err(ReplicaError::Lost("connection reset".into())),
            Err(_) => Err(ReplicaError::Lost(format!(
                "nothing came within {timeout:?}"
            ))),
        }
    }

    async fn ask_at<R, F>(
        &self,
        address: &str,
        what: String,
        repeatable: bool,
        serve: impl Fn(Arc<Service<Wires>>) -> F + Send + Sync + 'static,
    ) -> Result<R, Failure>
    where
        R: Send + 'static,
        F: Future<Output = R> + Send,
    {
        // What a dead process has left under way says nothing any more.
        if self.down.is_set() {
            std::future::pending::<()>().await;
        }
        let to = place_of(address).ok_or(Failure::NotSent)?;
        let from = Place::Node(self.place);
        let reply = courier::carry(&self.world, from, to, what, repeatable, move |parts| {
            serve(parts.service())
        })
        .await;
        if self.down.is_set() {
            std::future::pending::<()>().await;
        }
        reply
    }
}

impl ReplicaTransport for Wires {
    async fn write(
        &self,
        to: NodeId,
        request: ReplicaWrite,
        timeout: Duration,
    ) -> Result<(), ReplicaError> {
        self.world.see(&request.key, &request.delta);
        let what = match request.hint_for {
            Some(target) => format!("write {} for {target}", request.key),
            None => format!("write {}", request.key),
        };
        let serve = move |service: Arc<Service<Wires>>| {
            let request = request.clone();
            async move { service.internal_put(request).await }
        };
        self.ask(to, what, timeout, true, serve).await?
    }

    async fn read(
        &self,
        to: NodeId,
        request: ReplicaRead,
        timeout: Duration,
    ) -> Result<ReplicaAnswer, ReplicaError> {
        let what = format!("read {}", request.key);
        let key = request.key.clone();
        let serve = move |service: Arc<Service<Wires>>| {
            let request = request.clone();
            async move { service.internal_get(request).await }
        };
        let answer = self.ask(to, what, timeout, true, serve).await??;
        if let ReplicaAnswer::Copy(copy) = &answer {
            self.world.see(&key, &copy.state);
        }
        Ok(answer)
    }

    async fn forward(
        &self,
        to: NodeId,
        mut request: Forwarded,
        timeout: Duration,
    ) -> Result<Result<PutReply, PutError>, ReplicaError> {
        request.put.options.timeout = Some(timeout);
        let what = format!("forward {}", request.put.key);
        let serve = move |service: Arc<Service<Wires>>| {
            let request = request.clone();
            async move { service.forward_put(request).await }
        };
        // No transport repeats it: it would be another write.
        self.ask(to, what, timeout, false, serve).await
    }
}

impl GossipTransport for Wires {
    async fn exchange(
        &self,
        to_address: &str,
        message: Message,
    ) -> Result<Option<Message>, TransportError> {
        let what = format!("gossip {}", message.kind());
        let serve = move |service: Arc<Service<Wires>>| {
            let message = message.clone();
            async move { service.push_gossip(message).await }
        };
        match self.ask_at(to_address, what, true, serve).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(error)) => Err(TransportError::Refused(error.refusal())),
            Err(failure) => Err(TransportError::Unreachable {
                reason: failure.to_string(),
            }),
        }
    }
}

impl ListingTransport for Wires {
    async fn fetch_keys(
        &self,
        to: NodeId,
        fence: Fence,
        scan: &KeyScan,
        timeout: Duration,
    ) -> Result<KeyStates, ReplicaError> {
        let what = format!("list keys of partition {}", scan.partition);
        let scan = scan.clone();
        let serve = move |service: Arc<Service<Wires>>| {
            let scan = scan.clone();
            async move { service.fetch_keys(fence, scan).await }
        };
        self.ask(to, what, timeout, true, serve).await?
    }
}

impl ExchangeTransport for Wires {
    async fn exchange_trees(
        &self,
        to: NodeId,
        fence: Fence,
        question: &Question<Entry>,
        timeout: Duration,
    ) -> Result<Answer<Entry>, ReplicaError> {
        let what = match question {
            Question::Overview { .. } => "compare all".to_owned(),
            Question::Sums(places) => format!("compare {} places", places.len()),
            Question::List(listing) => format!("list {} hashes", listing.items().len()),
            Question::Push(entries) => format!("push {} objects", entries.len()),
        };
        if let Question::Push(entries) = question {
            self.see(entries);
        }
        let question = question.clone();
        let serve = move |service: Arc<Service<Wires>>| {
            let question = question.clone();
            async move { service.exchange_trees(fence, question).await }
        };
        let answer = self.ask(to, what, timeout, true, serve).await??;
        if let Answer::Difference(difference) = &answer {
            self.see(&difference.entries);
        }
        Ok(answer)
    }
}

impl HandoverTransport for Wires {
    async fn send_hints(
        &self,
        to: NodeId,
        fence: Fence,
        entries: &[Entry],
        timeout: Duration,
    ) -> Result<Vec<bool>, ReplicaError> {
        self.see(entries);
        let what = format!("hand over {} objects", entries.len());
        let entries = entries.to_vec();
        let serve = move |service: Arc<Service<Wires>>| {
            let entries = entries.clone();
            async move { service.send_hints(fence, entries).await }
        };
        self.ask(to, what, timeout, true, serve).await?
    }

    async fn collect_tombstones(
        &self,
        to: NodeId,
        fence: Fence,
        request: &CollectRequest,
        timeout: Duration,
    ) -> Result<Vec<bool>, ReplicaError> {
        let (step, count) = (request.step, request.tombstones.len());
        let what = format!("{step:?} {count} tombstones");
        let request = request.clone();
        let serve = move |service: Arc<Service<Wires>>| {
            let request = request.clone();
            async move { service.collect_tombstones(fence, request).await }
        };
        let agreed = self.ask(to, what, timeout, true, serve).await??;
        if step == CollectStep::Drop {
            let gone = agreed.iter().filter(|agreed| **agreed).count();
            self.world.count("tombstones dropped", gone as u64);
        }
        Ok(agreed)
    }

    async fn fetch_range(
        &self,
        from: NodeId,
        fence: Fence,
        request: &RangeRequest,
        timeout: Duration,
    ) -> Result<Page, ReplicaError> {
        let what = format!("fetch partition {}", request.partition);
        let request = request.clone();
        let serve = move |service: Arc<Service<Wires>>| {
            let request = request.clone();
            async move { service.fetch_range(fence, request).await }
        };
        let page = self.ask(from, what, timeout, true, serve).await??;
        self.see(&page.entries);
        Ok(page)
    }
}
