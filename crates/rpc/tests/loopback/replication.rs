//! The stream of requests between two nodes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dynamokv_coordinator::{
    ReplicaAnswer, ReplicaError, ReplicaState, ReplicaTransport, ReplicaWrite,
};
use dynamokv_rpc::{PeersConfig, ServerBuilder, ServerConfig};
use dynamokv_storage::{State, Value};
use dynamokv_vclock::{ActorId, Dot, Epoch, HybridTime};
use futures_util::future::join_all;
use tokio::net::TcpListener;

use crate::fakes::{Asked, Barrier, FakePeer, NODE, read, state, write};
use crate::peers::{builder, peers_at, peers_with, start};
use crate::running::{PATIENCE, Running, soon};

#[tokio::test]
async fn requests_that_are_ready_at_the_same_time_share_a_message() {
    let (fake, peers, _server) = start(FakePeer::default()).await;
    let names: Vec<String> = (0..10).map(|number| format!("k{number}")).collect();
    let written = names
        .iter()
        .map(|name| peers.write(NODE, write(name), PATIENCE));
    let written = soon(join_all(written)).await;
    assert!(written.iter().all(Result::is_ok), "{written:?}");
    let together = names.iter().map(|name| write(name)).collect();
    assert_eq!(fake.take_asked(), [Asked::PutAll(together)]);
}

#[tokio::test]
async fn a_read_does_not_wait_for_the_writes_that_it_came_with() {
    let (fake, peers, _server) = start(FakePeer {
        put_barrier: Barrier::closed(),
        ..FakePeer::default()
    })
    .await;
    let written = tokio::spawn({
        let peers = peers.clone();
        async move { peers.write(NODE, write("w"), PATIENCE).await }
    });
    soon(fake.put_barrier.wait_for_arrival()).await;
    soon(peers.read(NODE, read("r"), PATIENCE)).await.unwrap();
    assert!(!written.is_finished());
    fake.put_barrier.let_go_on(1);
    assert_eq!(soon(written).await.unwrap(), Ok(()));
}

#[tokio::test]
async fn a_copy_that_the_asking_node_has_is_not_sent() {
    let same = ReplicaAnswer::Same { marked: true };
    let (_, peers, _server) = start(FakePeer {
        get: Ok(same.clone()),
        ..FakePeer::default()
    })
    .await;
    assert_eq!(soon(peers.read(NODE, read("r"), PATIENCE)).await, Ok(same));
}

#[tokio::test]
async fn answers_with_large_copies_come_in_messages_of_their_own() {
    let copy = ReplicaState {
        state: state(&"v".repeat(50_000)),
        marked: false,
    };
    let fake = Arc::new(FakePeer {
        get: Ok(ReplicaAnswer::Copy(copy.clone())),
        ..FakePeer::default()
    });
    let server = Running::start(builder(&fake)).await;
    let config = PeersConfig {
        message_bytes_max: 200_000,
        ..PeersConfig::default()
    };
    let peers = peers_with(server.address, config);
    let asked = (0..50).map(|_| peers.read(NODE, read("r"), PATIENCE));
    for answer in soon(join_all(asked)).await {
        assert_eq!(answer, Ok(ReplicaAnswer::Copy(copy.clone())));
    }
}

#[tokio::test]
async fn what_waits_for_a_node_that_takes_nothing_is_bounded() {
    // Connections are made by the system; nobody ever accepts or answers them.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peers = peers_at(silent.local_addr().unwrap());
    let large = |_| peers.write(NODE, mebibyte(), Duration::from_millis(500));
    let results = soon(join_all((0..40).map(large))).await;
    let refused = results.iter().filter(
        |result| matches!(result, Err(ReplicaError::Failed(words)) if words.contains("not sent")),
    );
    let refused = refused.count();
    // 16 MiB wait, of which none was sent.
    assert_eq!(refused, 40 - 15, "{results:?}");
}

#[tokio::test]
async fn an_open_stream_does_not_hold_up_a_stop() {
    let fake = Arc::new(FakePeer::default());
    let config = ServerConfig {
        stop_grace: Duration::from_secs(3600),
        ..ServerConfig::default()
    };
    let mut server = Running::start(ServerBuilder::new(config).peer(fake)).await;
    let peers = peers_at(server.address);
    soon(peers.write(NODE, write("k"), PATIENCE)).await.unwrap();
    server.ask_to_stop();
    soon(server.stopped()).await.unwrap();
    let result = soon(peers.write(NODE, write("k"), PATIENCE)).await;
    assert!(
        matches!(result, Err(ReplicaError::Unreachable(_))),
        "{result:?}"
    );
}

fn mebibyte() -> ReplicaWrite {
    let value = Value::new(HybridTime(1), Bytes::from(vec![0; 1 << 20]));
    let dot = Dot::new(ActorId::new(1, Epoch(1)), 1);
    ReplicaWrite {
        delta: Arc::new(State::delta(dot, value, &Default::default())),
        ..write("large")
    }
}
