use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dynamokv_http::{KeyValue, Limits, Server, routes};
use dynamokv_rpc::pb;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::store::Memory;
use crate::{call, path};

const MINUTE: Duration = Duration::from_secs(60);

/// Answers reads when it is let.
struct Held {
    taken: Arc<Semaphore>,
    let_go: Arc<Semaphore>,
    store: Memory,
}

impl KeyValue for Held {
    fn get(&self, request: pb::GetRequest) -> BoxFuture<'_, Result<pb::GetResponse, pb::Failure>> {
        async {
            self.taken.add_permits(1);
            self.let_go.acquire().await.unwrap().forget();
            self.store.get(request).await
        }
        .boxed()
    }

    fn put(&self, request: pb::PutRequest) -> BoxFuture<'_, Result<pb::PutResponse, pb::Failure>> {
        self.store.put(request)
    }

    fn delete(
        &self,
        request: pb::DeleteRequest,
    ) -> BoxFuture<'_, Result<pb::DeleteResponse, pb::Failure>> {
        self.store.delete(request)
    }

    fn list_keys(
        &self,
        request: pb::ListKeysRequest,
    ) -> BoxFuture<'_, Result<pb::ListKeysResponse, pb::Failure>> {
        self.store.list_keys(request)
    }
}

#[tokio::test]
async fn one_request_too_many_is_refused_and_the_others_go_on() {
    let (taken, let_go) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let store = Held {
        taken: Arc::clone(&taken),
        let_go: Arc::clone(&let_go),
        store: Memory::default(),
    };
    let limits = Limits {
        requests_max: 2,
        ..Limits::default()
    };
    let (router, path) = (routes(store, limits), path(b"milk"));
    let one = || call(&router, "GET", &path, &[], "");
    let refused = async {
        let _both = taken.acquire_many(2).await.unwrap();
        let refused = one().await;
        let_go.add_permits(2);
        refused
    };
    let (refused, (first, second)) = join(refused, join(one(), one())).await;
    assert_eq!(
        (refused.status, first.status, second.status),
        (429, 404, 404)
    );
    assert_eq!(refused.header("retry-after"), "1");
    let_go.add_permits(1);
    assert_eq!(one().await.status, 404, "there is room again");
}

#[tokio::test]
async fn a_value_that_is_too_large_is_refused() {
    let limits = Limits {
        value_bytes_max: 10,
        ..Limits::default()
    };
    let (router, path) = (routes(Memory::default(), limits), path(b"milk"));
    let put = |bytes| call(&router, "PUT", &path, &[], Bytes::from(vec![7; bytes]));
    assert_eq!((put(10).await.status, put(11).await.status), (204, 413));
}

/// Sends a request without closing, and reads the answer's first line.
async fn first_line(stream: &mut TcpStream) -> String {
    let request = b"GET /openapi.json HTTP/1.1\r\nhost: a\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut line = [0; 15];
    stream.read_exact(&mut line).await.unwrap();
    String::from_utf8_lossy(&line).into_owned()
}

/// The clock jumps wherever all wait.
#[tokio::test(start_paused = true)]
async fn half_a_request_holds_no_place_for_long_and_neither_does_none() {
    let routes = routes(Memory::default(), Limits::default());
    let server = Server::start("127.0.0.1:0", routes, 1).await.unwrap();
    for sent in ["", "GET /openapi.json HTTP/1.1\r\nhost: a\r\n"] {
        let begun = tokio::time::Instant::now();
        let mut slow = TcpStream::connect(server.address()).await.unwrap();
        slow.write_all(sent.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let closed = tokio::time::timeout(2 * MINUTE, slow.read_to_end(&mut answer)).await;
        closed.unwrap().unwrap();
        assert!(begun.elapsed() >= MINUTE, "{:?}", begun.elapsed());
        assert_eq!(answer, b"");
    }
    // One that takes its time and comes is answered; then its connection is idle.
    let mut late = TcpStream::connect(server.address()).await.unwrap();
    tokio::time::sleep(MINUTE / 2).await;
    assert_eq!(first_line(&mut late).await, "HTTP/1.1 200 OK");
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(2 * MINUTE, late.read_to_end(&mut rest)).await;
    closed.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_too_many_waits_until_another_ends() {
    let routes = routes(Memory::default(), Limits::default());
    let server = Server::start("127.0.0.1:0", routes, 1).await.unwrap();
    let mut first = TcpStream::connect(server.address()).await.unwrap();
    assert_eq!(first_line(&mut first).await, "HTTP/1.1 200 OK");
    let mut second = TcpStream::connect(server.address()).await.unwrap();
    let answer = first_line(&mut second);
    tokio::pin!(answer);
    let early = tokio::time::timeout(Duration::from_millis(50), &mut answer).await;
    assert!(early.is_err(), "there is no place for it yet");
    drop(first);
    assert_eq!(answer.await, "HTTP/1.1 200 OK");
    server.stop(Duration::from_secs(1)).await;
}
