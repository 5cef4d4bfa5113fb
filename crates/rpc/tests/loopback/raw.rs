use std::sync::Arc;

use dynamokv_rpc::pb::{self, raw_kv_client::RawKvClient};
use dynamokv_rpc::{ServerBuilder, ServerConfig};
use dynamokv_storage::{Family, MemoryEngine, RawOptions, RawStore};
use tonic::Code;
use tonic::transport::Channel;

use crate::running::Running;

async fn server() -> (RawKvClient<Channel>, Running) {
    let engine = Arc::new(MemoryEngine::new([
        Family::DEFAULT,
        Family::new("users").unwrap(),
    ]));
    let store = Arc::new(RawStore::open(engine, RawOptions::default()).unwrap());
    let server = Running::start(ServerBuilder::new(ServerConfig::default()).raw(store)).await;
    (RawKvClient::new(server.channel()), server)
}

fn scan(start: &'static str, end: &'static str, limit: Option<u32>) -> pb::RawScanRequest {
    pb::RawScanRequest {
        family: String::new(),
        start: start.into(),
        end: end.into(),
        limit,
    }
}

#[tokio::test]
async fn keys_are_written_read_and_removed_in_their_family() {
    let (mut client, _server) = server().await;
    let (users, key) = ("users".to_owned(), bytes::Bytes::from("k"));
    let put = pb::RawPutRequest {
        family: users.clone(),
        key: key.clone(),
        value: "v".into(),
    };
    client.raw_put(put).await.unwrap();
    let get = |family: &str| pb::RawGetRequest {
        family: family.to_owned(),
        key: key.clone(),
    };
    let found = client.raw_get(get("users")).await.unwrap().into_inner();
    assert_eq!((found.found, found.value.as_ref()), (true, b"v".as_slice()));
    assert!(!client.raw_get(get("")).await.unwrap().into_inner().found);
    client
        .raw_delete(pb::RawDeleteRequest {
            family: users,
            key: key.clone(),
        })
        .await
        .unwrap();
    assert!(
        !client
            .raw_get(get("users"))
            .await
            .unwrap()
            .into_inner()
            .found
    );
}

#[tokio::test]
async fn a_range_is_read_page_by_page() {
    let (mut client, _server) = server().await;
    for key in ["a", "b", "c", "d", "e"] {
        let put = pb::RawPutRequest {
            family: "default".to_owned(),
            key: key.into(),
            value: key.into(),
        };
        client.raw_put(put).await.unwrap();
    }
    let mut seen = Vec::new();
    let mut next = scan("b", "e", Some(2));
    loop {
        let page = client.raw_scan(next.clone()).await.unwrap().into_inner();
        assert!(page.pairs.len() <= 2);
        seen.extend(page.pairs.into_iter().map(|pair| pair.key));
        if page.next.is_empty() {
            break;
        }
        next.start = page.next;
    }
    assert_eq!(seen, ["b", "c", "d"]);
    let all = client
        .raw_scan(scan("", "", None))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(all.pairs.len(), 5);
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_named() {
    let (mut client, _server) = server().await;
    let unknown = pb::RawGetRequest {
        family: "ghosts".to_owned(),
        key: "k".into(),
    };
    let misnamed = pb::RawGetRequest {
        family: "No Such".to_owned(),
        key: "k".into(),
    };
    let empty = pb::RawGetRequest::default();
    let table = [
        (
            client.raw_get(unknown).await.unwrap_err(),
            "family \"ghosts\" is not known; this node has: default, users",
        ),
        (client.raw_get(misnamed).await.unwrap_err(), "column family"),
        (client.raw_get(empty).await.unwrap_err(), "key of 0 bytes"),
        (
            client.raw_scan(scan("", "", Some(0))).await.unwrap_err(),
            "limit is 0, but must be 1..=10000",
        ),
        (
            client
                .raw_scan(scan("", "", Some(10_001)))
                .await
                .unwrap_err(),
            "limit is 10001",
        ),
    ];
    for (status, words) in table {
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains(words), "{:?}", status.message());
    }
    let value = vec![0; (4 << 20) + 1].into();
    let oversized = pb::RawPutRequest {
        family: String::new(),
        key: "k".into(),
        value,
    };
    let status = client.raw_put(oversized).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(
        status
            .message()
            .contains("value of 4194305 bytes: at most 4194304"),
        "{status:?}"
    );
}
