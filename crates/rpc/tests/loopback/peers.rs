use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dynamokv_antientropy::{Answer as TreeAnswer, Difference, Question};
use dynamokv_coordinator::{
    Answer, AnswerKind, Error, ErrorKind, PutReply, Refusal, ReplicaAnswer, ReplicaError,
    ReplicaState, ReplicaTransport,
};
use dynamokv_gossip::{
    Ack, Error as GossipError, FORMAT_VERSION, GossipTransport, Header, Message, TransportError,
};
use dynamokv_handoff::{CollectRequest, CollectStep, Entry, HintRequest, Page, RangeRequest};
use dynamokv_ring::{NodeId, PartitionId};
use dynamokv_rpc::pb::{self, dynamo_rpc_client::DynamoRpcClient};
use dynamokv_rpc::{
    AddressBook, KeyScan, KeyState, KeyStates, Peers, PeersConfig, ServerBuilder, ServerConfig,
};
use dynamokv_storage::StateHash;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tonic::Code;

use crate::fakes::{Asked, Barrier, FakePeer, NODE, fence, forwarded, key, read, state, write};
use crate::running::{PATIENCE, Running, soon};

#[derive(Default)]
struct Book(Mutex<BTreeMap<NodeId, String>>);

impl AddressBook for Book {
    fn address_of(&self, node: NodeId) -> Option<String> {
        self.0.lock().get(&node).cloned()
    }
}

pub(crate) fn peers_at(address: SocketAddr) -> Peers {
    peers_with(address, PeersConfig::default())
}

pub(crate) fn peers_with(address: SocketAddr, config: PeersConfig) -> Peers {
    let book = Book::default();
    book.0.lock().insert(NODE, address.to_string());
    Peers::new(Arc::new(book), config)
}

pub(crate) fn builder(fake: &Arc<FakePeer>) -> ServerBuilder {
    ServerBuilder::new(ServerConfig::default()).peer(Arc::clone(fake))
}

pub(crate) async fn start(fake: FakePeer) -> (Arc<FakePeer>, Peers, Running) {
    let fake = Arc::new(fake);
    let server = Running::start(builder(&fake)).await;
    let peers = peers_at(server.address);
    (fake, peers, server)
}

fn page() -> Page {
    Page {
        entries: vec![Entry {
            key: key("a"),
            state: state("a"),
        }],
        next: Some(key("a")),
    }
}

fn difference() -> TreeAnswer<Entry> {
    TreeAnswer::Difference(Difference {
        entries: page().entries,
        ..Difference::default()
    })
}

fn key_scan() -> KeyScan {
    KeyScan {
        keyspace: key("k").keyspace().clone(),
        partition: PartitionId(5),
        after: Some(key("a")),
        limit: 7,
    }
}

fn key_states() -> KeyStates {
    let state = KeyState {
        key: key("k"),
        hash: StateHash(7 << 64 | 9),
        live: true,
    };
    KeyStates {
        keys: vec![state],
        next: Some(key("k")),
    }
}

fn gossip() -> Message {
    let header = Header {
        format: FORMAT_VERSION,
        cluster_name: "demo".to_owned(),
        cluster_id: Some(1),
        from: NODE,
        generation: 1,
        heartbeat: 7,
        address: "a:1".to_owned(),
        process: 2,
        interval: Duration::from_secs(1),
    };
    Message::Ack(Ack {
        header,
        deltas: Vec::new(),
        wanted: Vec::new(),
        part: None,
    })
}

#[tokio::test]
async fn questions_and_answers_arrive_as_they_were_sent() {
    let reply = PutReply {
        context: state("new").context().clone(),
        state: Some(state("new")),
        answers: vec![Answer {
            node: NodeId(8),
            kind: AnswerKind::Silent,
        }],
        coordinator: NODE,
    };
    let copy = ReplicaAnswer::Copy(ReplicaState {
        state: state("copy"),
        marked: true,
    });
    let (fake, peers, _server) = start(FakePeer {
        get: Ok(copy.clone()),
        forward: Ok(reply.clone()),
        hints: Ok(vec![true]),
        page: Ok(page()),
        keys: Ok(key_states()),
        trees: Ok(difference()),
        gossip: Ok(Some(gossip())),
        ..FakePeer::default()
    })
    .await;

    peers.write(NODE, write("w"), PATIENCE).await.unwrap();
    assert_eq!(peers.read(NODE, read("r"), PATIENCE).await, Ok(copy));
    assert_eq!(
        peers
            .forward(NODE, forwarded("f"), PATIENCE)
            .await
            .unwrap()
            .unwrap(),
        reply
    );
    assert_eq!(
        peers.fetch_keys(NODE, fence(), &key_scan(), PATIENCE).await,
        Ok(key_states())
    );
    assert_eq!(
        peers
            .send_hints(NODE, fence(), &page().entries, PATIENCE)
            .await,
        Ok(vec![true])
    );
    let collect = CollectRequest {
        step: CollectStep::Drop,
        tombstones: vec![(key("t"), StateHash(1 << 100 | 3))],
    };
    let agreed = peers.collect_tombstones(NODE, fence(), &collect, PATIENCE);
    assert_eq!(agreed.await, Ok(vec![true]));
    let hints = HintRequest {
        target: NodeId(5),
        after: Some(key("a")),
        limit: 10,
    };
    assert_eq!(
        peers.fetch_hints(NODE, fence(), &hints, PATIENCE).await,
        Ok(page())
    );
    let range = RangeRequest {
        partition: PartitionId(3),
        after: None,
        bytes_max: 1 << 20,
    };
    assert_eq!(
        peers.fetch_range(NODE, fence(), &range, PATIENCE).await,
        Ok(page())
    );
    let push = Question::Push(page().entries);
    assert_eq!(
        peers.exchange_trees(NODE, fence(), &push, PATIENCE).await,
        Ok(difference())
    );
    let address = _server.address.to_string();
    assert_eq!(peers.exchange(&address, gossip()).await, Ok(Some(gossip())));

    let mut sent = forwarded("f");
    sent.put.options.timeout = Some(PATIENCE - Duration::from_millis(50));
    let expected = [
        Asked::PutAll(vec![write("w")]),
        Asked::Get(read("r")),
        Asked::Forward(sent),
        Asked::Keys(fence(), key_scan()),
        Asked::SendHints(fence(), page().entries),
        Asked::Collect(fence(), collect),
        Asked::FetchHints(fence(), hints),
        Asked::FetchRange(fence(), range),
        Asked::Trees(fence(), push),
        Asked::Gossip(gossip()),
    ];
    assert_eq!(fake.take_asked(), expected);
}

#[tokio::test]
async fn refusals_and_failures_arrive_as_what_they_are() {
    let refused = ReplicaError::Refused(Refusal::StaleRing { required: 9 });
    let failed = ReplicaError::Failed("disk full".to_owned());
    let (_, peers, server) = start(FakePeer {
        put: Err(refused.clone()),
        get: Err(failed.clone()),
        forward: Err(Error::Refused(Refusal::NotOwner)),
        hints: Err(failed.clone()),
        page: Err(Refusal::OtherCluster.into()),
        trees: Err(Refusal::NotOwner.into()),
        gossip: Err(GossipError::MemberLeft { id: NODE }),
        ..FakePeer::default()
    })
    .await;
    assert_eq!(peers.write(NODE, write("k"), PATIENCE).await, Err(refused));
    assert_eq!(
        peers.read(NODE, read("k"), PATIENCE).await,
        Err(failed.clone())
    );
    let verdict = peers.forward(NODE, forwarded("k"), PATIENCE).await.unwrap();
    assert!(
        matches!(verdict, Err(Error::Refused(Refusal::NotOwner))),
        "{verdict:?}"
    );
    assert_eq!(
        peers.send_hints(NODE, fence(), &[], PATIENCE).await,
        Err(failed)
    );
    let range = RangeRequest {
        partition: PartitionId(3),
        after: None,
        bytes_max: 1,
    };
    let refused = peers.fetch_range(NODE, fence(), &range, PATIENCE).await;
    assert_eq!(refused, Err(Refusal::OtherCluster.into()));
    let overview = Question::Overview { from: NODE, sum: 1 };
    let refused = peers
        .exchange_trees(NODE, fence(), &overview, PATIENCE)
        .await;
    assert_eq!(refused, Err(Refusal::NotOwner.into()));
    let refused = peers.exchange(&server.address.to_string(), gossip()).await;
    assert_eq!(
        refused,
        Err(TransportError::Refused(
            dynamokv_gossip::Refusal::MemberLeft
        ))
    );
}

#[tokio::test]
async fn the_verdict_on_a_forwarded_write_keeps_its_kind_and_says_who_gave_it() {
    let answers = vec![Answer {
        node: NodeId(8),
        kind: AnswerKind::Down,
    }];
    let forward = Err(Error::Unknown { needed: 2, answers });
    let (_, peers, _server) = start(FakePeer {
        forward,
        ..FakePeer::default()
    })
    .await;
    let error = peers
        .forward(NODE, forwarded("k"), PATIENCE)
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unknown);
    let words = error.to_string();
    assert!(
        words.contains("0000000000000008 is down") && words.contains(&NODE.to_string()),
        "{words}"
    );
}

#[tokio::test]
async fn too_few_flags_for_the_objects_sent_are_not_taken_for_acknowledgements() {
    let (_, peers, _server) = start(FakePeer {
        hints: Ok(vec![true]),
        ..FakePeer::default()
    })
    .await;
    let entries = [page().entries, page().entries].concat();
    let result = peers.send_hints(NODE, fence(), &entries, PATIENCE).await;
    assert!(matches!(result, Err(ReplicaError::Failed(_))), "{result:?}");
}

#[tokio::test]
async fn who_cannot_be_reached_is_unreachable() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let peers = peers_at(closed);
    let unreachable = |result| {
        assert!(
            matches!(result, Err(ReplicaError::Unreachable(_))),
            "{result:?}"
        )
    };
    unreachable(soon(peers.write(NODE, write("k"), PATIENCE)).await);
    unreachable(soon(peers.write(NodeId(99), write("k"), PATIENCE)).await);
    unreachable(peers.write(NODE, write("k"), Duration::ZERO).await);
    let result = soon(peers.exchange("not an address", gossip())).await;
    assert!(
        matches!(result, Err(TransportError::Unreachable { .. })),
        "{result:?}"
    );
}

#[tokio::test]
async fn a_stalled_peer_is_waited_for_until_the_deadline_and_the_request_is_lost() {
    let (fake, peers, _server) = start(FakePeer {
        barrier: Barrier::closed(),
        ..FakePeer::default()
    })
    .await;
    let began = Instant::now();
    let result = soon(peers.write(NODE, write("k"), Duration::from_millis(300))).await;
    assert!(matches!(result, Err(ReplicaError::Lost(_))), "{result:?}");
    assert!((Duration::from_millis(250)..Duration::from_secs(3)).contains(&began.elapsed()));
    assert_eq!(fake.take_asked().len(), 1, "it was sent");
}

#[tokio::test]
async fn a_peer_that_never_speaks_is_waited_for_until_the_deadline() {
    // Connections are made by the system; nobody ever accepts or answers them.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peers = peers_at(silent.local_addr().unwrap());
    let began = Instant::now();
    let result = soon(peers.write(NODE, write("k"), Duration::from_millis(300))).await;
    assert!(
        result.is_err() && began.elapsed() < Duration::from_secs(3),
        "{result:?}"
    );
}

#[tokio::test]
async fn a_request_whose_connection_breaks_is_lost() {
    let (fake, peers, server) = start(FakePeer {
        barrier: Barrier::closed(),
        ..FakePeer::default()
    })
    .await;
    let waiting = tokio::spawn(async move { peers.write(NODE, write("k"), PATIENCE).await });
    soon(fake.barrier.wait_for_arrival()).await;
    server.kill().await;
    let result = soon(waiting).await.unwrap();
    assert!(matches!(result, Err(ReplicaError::Lost(_))), "{result:?}");
}

#[tokio::test]
async fn a_peer_that_comes_back_on_its_port_is_reached_again() {
    let (fake, peers, server) = start(FakePeer::default()).await;
    for _ in 0..2 {
        peers.write(NODE, write("k"), PATIENCE).await.unwrap();
    }
    let address = server.address;
    server.kill().await;
    // The end of the connection may be noticed with the first request only; then nobody listens.
    let gone = async {
        while !matches!(
            peers.write(NODE, write("k"), PATIENCE).await,
            Err(ReplicaError::Unreachable(_))
        ) {}
    };
    soon(gone).await;
    let _server = Running::restart(address, builder(&fake));
    assert_eq!(
        soon(peers.write(NODE, write("k"), PATIENCE)).await,
        Ok(()),
        "the first request reaches it"
    );
}

#[tokio::test]
async fn a_peer_that_moves_is_reached_at_its_new_address() {
    let fake = Arc::new(FakePeer::default());
    let (first, second) = (
        Running::start(builder(&fake)).await,
        Running::start(builder(&fake)).await,
    );
    let book = Arc::new(Book::default());
    let config = PeersConfig {
        addresses_max: 1,
        ..PeersConfig::default()
    };
    let peers = Peers::new(Arc::clone(&book) as Arc<dyn AddressBook>, config);
    book.0.lock().insert(NODE, first.address.to_string());
    peers.write(NODE, write("k"), PATIENCE).await.unwrap();
    first.kill().await;
    book.0.lock().insert(NODE, second.address.to_string());
    soon(peers.write(NODE, write("k"), PATIENCE)).await.unwrap();
}

#[tokio::test]
async fn a_peer_without_room_for_the_request_has_failed_it() {
    let fake = Arc::new(FakePeer {
        barrier: Barrier::closed(),
        ..FakePeer::default()
    });
    let config = ServerConfig {
        peer_requests_max: 1,
        peer_message_bytes_max: 1000,
        ..ServerConfig::default()
    };
    let server = Running::start(ServerBuilder::new(config).peer(Arc::clone(&fake))).await;
    let peers = peers_at(server.address);
    let entries = vec![Entry {
        key: key("k"),
        state: state(&"v".repeat(2000)),
    }];
    let result = soon(peers.send_hints(NODE, fence(), &entries, PATIENCE)).await;
    assert!(matches!(result, Err(ReplicaError::Failed(_))), "{result:?}");

    let first = tokio::spawn({
        let peers = peers.clone();
        async move { peers.write(NODE, write("k"), PATIENCE).await }
    });
    soon(fake.barrier.wait_for_arrival()).await;
    let result = soon(peers.write(NODE, write("k"), PATIENCE)).await;
    assert!(
        matches!(&result, Err(ReplicaError::Failed(words)) if words.contains("1 peer requests")),
        "{result:?}"
    );
    soon(peers.exchange(&server.address.to_string(), gossip()))
        .await
        .expect("gossip goes on");
    fake.barrier.let_go_on(1);
    assert_eq!(soon(first).await.unwrap(), Ok(()));
}

#[tokio::test]
async fn a_malformed_request_is_refused_with_the_field_named() {
    let (fake, _, server) = start(FakePeer::default()).await;
    let mut client = DynamoRpcClient::new(server.channel());
    let fence = Some(pb::Fence::default());
    let key = Some(pb::ObjectKey {
        keyspace: "default".to_owned(),
        key: "k".into(),
    });
    let table = [
        (pb::InternalPutRequest::default(), "fence: missing"),
        (
            pb::InternalPutRequest {
                fence,
                ..Default::default()
            },
            "key: missing",
        ),
        (
            pb::InternalPutRequest {
                fence,
                key,
                delta: "nonsense".into(),
                hint_for: None,
            },
            "delta: ",
        ),
    ];
    for (request, words) in table {
        let status = client.internal_put(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().starts_with(words), "{status:?}");
    }
    let status = client
        .push_gossip(pb::PushGossipRequest::default())
        .await
        .unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::InvalidArgument, "message: missing")
    );
    let status = client
        .push_gossip(pb::PushGossipRequest {
            message: Some(pb::GossipMessage {
                message: vec![9].into(),
            }),
        })
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("header"), "{status:?}");
    assert!(fake.take_asked().is_empty());
}

#[tokio::test]
async fn gossip_of_a_later_format_is_refused_in_its_own_terms() {
    let (fake, peers, server) = start(FakePeer::default()).await;
    let Message::Ack(mut later) = gossip() else {
        unreachable!()
    };
    later.header.format = FORMAT_VERSION + 1;
    let refused = peers
        .exchange(&server.address.to_string(), Message::Ack(later))
        .await;
    assert_eq!(
        refused,
        Err(TransportError::Refused(
            dynamokv_gossip::Refusal::FormatTooNew
        ))
    );
    assert!(fake.take_asked().is_empty());
}
