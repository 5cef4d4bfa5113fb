use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dynamokv_rpc::pb::{self, raw_kv_client::RawKvClient};
use dynamokv_rpc::{ServerBuilder, ServerConfig};
use dynamokv_storage::{Engine, Family, FaultEngine, MemoryEngine, RawOptions, RawStore};
use futures_util::TryStreamExt;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::running::{Running, soon};

async fn server() -> (RawKvClient<Channel>, Running) {
    let families = Family::RAW
        .into_iter()
        .chain([Family::new("users").unwrap()]);
    let engine = Arc::new(MemoryEngine::new(families));
    serve(engine, ServerConfig::default()).await
}

async fn serve(engine: Arc<dyn Engine>, config: ServerConfig) -> (RawKvClient<Channel>, Running) {
    let store = Arc::new(RawStore::open(engine, RawOptions::default()).unwrap());
    let server = Running::start(ServerBuilder::new(config).raw(store)).await;
    (RawKvClient::new(server.channel()), server)
}

async fn put(
    client: &mut RawKvClient<Channel>,
    family: &str,
    key: impl Into<Bytes>,
    value: impl Into<Bytes>,
) -> Result<(), Status> {
    let request = pb::RawPutRequest {
        family: family.to_owned(),
        key: key.into(),
        value: value.into(),
    };
    client.raw_put(request).await.map(|_| ())
}

async fn pages(
    client: &mut RawKvClient<Channel>,
    request: pb::RawScanRequest,
) -> Result<Vec<pb::RawScanResponse>, Status> {
    let stream = client.raw_scan(request).await?.into_inner();
    stream.try_collect().await
}

/// The keys of all pages, and the resume key.
async fn keys(
    client: &mut RawKvClient<Channel>,
    request: pb::RawScanRequest,
) -> (Vec<Bytes>, Bytes) {
    let pages = pages(client, request).await.unwrap();
    let next = pages.last().unwrap().next.clone();
    let pairs = pages.into_iter().flat_map(|page| page.pairs);
    (pairs.map(|pair| pair.key).collect(), next)
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
    let (users, key) = ("users".to_owned(), Bytes::from("k"));
    put(&mut client, "users", "k", "v").await.unwrap();
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
async fn the_families_lock_and_write_are_there_beside_default_and_configured_ones() {
    let (mut client, _server) = server().await;
    for family in ["", "lock", "write", "users"] {
        put(&mut client, family, "k", family.to_owned())
            .await
            .unwrap();
    }
    for family in ["default", "lock", "write", "users"] {
        let request = pb::RawScanRequest {
            family: family.to_owned(),
            ..scan("", "", None)
        };
        let page = pages(&mut client, request).await.unwrap().remove(0);
        let own = if family == "default" { "" } else { family };
        let values: Vec<Bytes> = page.pairs.into_iter().map(|pair| pair.value).collect();
        assert_eq!(values, [own], "{family}");
    }
}

#[tokio::test]
async fn a_scan_goes_on_where_its_limit_ended_it() {
    let (mut client, _server) = server().await;
    for key in ["a", "b", "c", "d", "e"] {
        put(&mut client, "default", key, key).await.unwrap();
    }
    let first = keys(&mut client, scan("b", "e", Some(2))).await;
    assert_eq!(first, (vec!["b".into(), "c".into()], "d".into()));
    let rest = pb::RawScanRequest {
        start: first.1,
        ..scan("", "e", Some(2))
    };
    assert_eq!(
        keys(&mut client, rest).await,
        (vec!["d".into()], Bytes::new())
    );
    let (all, next) = keys(&mut client, scan("", "", None)).await;
    assert_eq!((all.len(), next), (5, Bytes::new()));
    for empty in [
        scan("d", "b", None),
        scan("b", "b", None),
        scan("x", "", Some(1)),
    ] {
        assert_eq!(keys(&mut client, empty).await, (Vec::new(), Bytes::new()));
    }
}

#[tokio::test]
async fn a_large_range_arrives_in_pages_of_a_mebibyte_in_order_and_whole() {
    let (mut client, _server) = server().await;
    let name = |n: usize| Bytes::from(format!("{n:04}"));
    for n in 0..100 {
        put(&mut client, "", name(n), vec![n as u8; 100_000])
            .await
            .unwrap();
    }
    put(&mut client, "", name(100), vec![7; 3 << 20])
        .await
        .unwrap();
    let all = pages(&mut client, scan("", "", None)).await.unwrap();
    assert!(all.len() > 10, "{} pages", all.len());
    let size = |page: &pb::RawScanResponse| -> usize {
        page.pairs
            .iter()
            .map(|pair| pair.key.len() + pair.value.len())
            .sum()
    };
    assert!(
        all.iter()
            .all(|page| size(page) <= 1 << 20 || page.pairs.len() == 1)
    );
    for pair in all.windows(2) {
        let beyond = &pair[1].pairs[0].key;
        assert_eq!(
            &pair[0].next, beyond,
            "each page names where the next begins"
        );
    }
    let pairs: Vec<pb::RawPair> = all.into_iter().flat_map(|page| page.pairs).collect();
    assert!(
        pairs
            .iter()
            .map(|pair| pair.key.clone())
            .eq((0..=100).map(name))
    );
    assert!(
        pairs
            .iter()
            .take(100)
            .enumerate()
            .all(|(n, pair)| pair.value == vec![n as u8; 100_000])
    );
    // A limit bounds all pages together.
    let (some, next) = keys(&mut client, scan("", "", Some(42))).await;
    assert_eq!((some.len(), next), (42, name(42)));
}

#[tokio::test]
async fn a_scan_counts_as_under_way_until_its_last_page() {
    let engine = Arc::new(MemoryEngine::new(Family::RAW));
    let store = RawStore::open(engine.clone(), RawOptions::default()).unwrap();
    for n in 0..64_u8 {
        store
            .put(&Family::DEFAULT, vec![n], vec![n; 1 << 20])
            .unwrap();
    }
    let config = ServerConfig {
        client_requests_max: 1,
        ..ServerConfig::default()
    };
    let (mut client, _server) = serve(engine, config).await;
    let mut stream = client
        .raw_scan(scan("", "", None))
        .await
        .unwrap()
        .into_inner();
    stream.message().await.unwrap().unwrap();
    let refused = client
        .clone()
        .raw_get(pb::RawGetRequest::default())
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    drop(stream);
    soon(async {
        while put(&mut client, "", "k", "v").await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_full_disk_refuses_writes_serves_reads_and_recovers() {
    let engine = FaultEngine::new(Family::RAW);
    let (mut client, _server) = serve(Arc::new(engine.clone()), ServerConfig::default()).await;
    put(&mut client, "", "before", "v").await.unwrap();
    engine.set_full(true);
    let refused = put(&mut client, "", "during", "v").await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    assert!(refused.message().contains("make room"), "{refused}");
    let request = pb::RawDeleteRequest {
        family: String::new(),
        key: "before".into(),
    };
    let refused = client.raw_delete(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    assert_eq!(keys(&mut client, scan("", "", None)).await.0, ["before"]);
    engine.set_full(false);
    put(&mut client, "", "after", "v").await.unwrap();
    assert_eq!(
        keys(&mut client, scan("", "", None)).await.0,
        ["after", "before"]
    );
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
    let long = pb::RawScanRequest {
        start: vec![0; 65_537].into(),
        ..scan("", "", None)
    };
    let nowhere = pb::RawScanRequest {
        family: "ghosts".to_owned(),
        ..scan("", "", None)
    };
    let unnamed = pb::RawDeleteRequest::default();
    let table = [
        (
            client.raw_get(unknown).await.unwrap_err(),
            "family \"ghosts\" is not known; this node has: default, lock, users, write",
        ),
        (client.raw_get(misnamed).await.unwrap_err(), "column family"),
        (client.raw_get(empty).await.unwrap_err(), "key of 0 bytes"),
        (
            client.raw_scan(scan("", "", Some(0))).await.unwrap_err(),
            "limit is 0, but must be at least 1",
        ),
        (
            client.raw_scan(long).await.unwrap_err(),
            "key of 65537 bytes: 1..=65536",
        ),
        (
            client.raw_scan(nowhere).await.unwrap_err(),
            "family \"ghosts\"",
        ),
        (
            put(&mut client, "", "", "v").await.unwrap_err(),
            "key of 0 bytes",
        ),
        (
            client.raw_delete(unnamed).await.unwrap_err(),
            "key of 0 bytes",
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
