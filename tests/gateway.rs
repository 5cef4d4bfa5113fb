//! Keys through a gateway whose nodes fail, by HTTP and by gRPC, and by HTTP through a node itself.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;

use dynamokv::rpc::pb::kv_client::KvClient;
use dynamokv::rpc::pb::{GetRequest, PutRequest};
use dynamokv_client::{Client, Context, Operation};
use dynamokv_gateway::{Gateway, GatewayConfig};
use futures_util::TryStreamExt;
use support::http::{self, Answer, sample};
use support::{Cell, config, eventually};

async fn gateway(cells: &[Cell]) -> Gateway {
    let mut config = GatewayConfig::default();
    config.seeds = cells.iter().map(|cell| cell.address().to_owned()).collect();
    config.http_listen = "127.0.0.1:0".to_owned();
    config.grpc_listen = Some("127.0.0.1:0".to_owned());
    config.admin_listen = Some("127.0.0.1:0".to_owned());
    let gateway = Gateway::start(config).await.unwrap();
    eventually("the gateway is ready", async || {
        http::get(gateway.http_address(), "/readyz").await.0 == 200
    })
    .await;
    gateway
}

fn path(key: &str) -> String {
    format!("/v1/keyspaces/default/keys/{key}")
}

async fn put(address: &str, key: &str, value: &str, context: Option<&str>) -> Answer {
    let headers: Vec<_> = context
        .map(|context| ("dynamokv-context", context))
        .into_iter()
        .collect();
    http::send(address, "PUT", &path(key), &headers, value).await
}

async fn get(address: &str, key: &str) -> Answer {
    http::send(address, "GET", &path(key), &[], "").await
}

/// The story of one key, the same whoever serves it.
async fn one_story(address: &str) {
    assert_eq!(get(address, "cart").await.status, 404);
    let first = put(address, "cart", "milk", None).await;
    assert_eq!(first.status, 204);
    put(address, "cart", "bread", None).await;
    let both = get(address, "cart").await;
    assert_eq!(both.status, 300);
    assert!(both.body.contains("\r\nmilk\r\n") && both.body.contains("\r\nbread\r\n"));
    let merged = put(
        address,
        "cart",
        "milk, bread",
        Some(both.header("dynamokv-context")),
    )
    .await;
    assert_eq!(merged.status, 204);
    let read = get(address, "cart").await;
    assert_eq!((read.status, read.body.as_str()), (200, "milk, bread"));
    let other = put(address, "tea", "x", Some(read.header("dynamokv-context"))).await;
    assert_eq!(
        other.status, 400,
        "the context of another key: {}",
        other.body
    );
    let context = [("dynamokv-context", read.header("dynamokv-context"))];
    let deleted = http::send(address, "DELETE", &path("cart"), &context, "").await;
    assert_eq!(deleted.status, 204);
    assert_eq!(get(address, "cart").await.status, 404);
    the_keys(address).await;
    let wrong = http::send(address, "GET", &(path("cart") + "?r=9"), &[], "").await;
    assert!(
        wrong.status == 400 && wrong.body.contains("1..="),
        "{}",
        wrong.body
    );
    let never = http::send(address, "GET", &(path("cart") + "?timeout_ms=0"), &[], "").await;
    assert_eq!(never.status, 400, "{}", never.body);
}

/// Written, and then listed page by page.
async fn the_keys(address: &str) {
    let written: BTreeSet<String> = (0..20).map(|number| format!("list-{number}")).collect();
    for key in &written {
        assert_eq!(put(address, key, "v", None).await.status, 204);
    }
    let (mut after, mut listed) = (String::new(), Vec::new());
    loop {
        let page = format!("/v1/keyspaces/default/keys?prefix=list-&limit=3&after={after}");
        let page = http::send(address, "GET", &page, &[], "").await;
        assert_eq!(page.status, 200, "{}", page.body);
        let page: serde_json::Value = serde_json::from_str(&page.body).unwrap();
        let keys = page["keys"].as_array().unwrap();
        assert!(keys.len() <= 3);
        listed.extend(keys.iter().map(|key| key.as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(listed.len(), 20);
    assert_eq!(BTreeSet::from_iter(listed), written);
    let nowhere = "/v1/keyspaces/No%20Such/keys";
    let wrong = http::send(address, "GET", nowhere, &[], "").await;
    assert!(wrong.status == 400 && wrong.body.contains("keyspace"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_can_serve_keys_by_http_itself() {
    let mut founder = config("n1");
    founder.bootstrap = true;
    founder.http_listen = Some("127.0.0.1:0".to_owned());
    let mut cells = vec![Cell::start(founder).await];
    support::grow(&mut cells, 3).await;
    let address = cells[0].node().http_address().unwrap().to_owned();
    one_story(&address).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_does_as_a_node_and_grpc_passes_through_it() {
    let cells = support::cluster(3).await;
    let gateway = gateway(&cells).await;
    one_story(gateway.http_address()).await;

    let address = format!("http://{}", gateway.grpc_address().unwrap());
    let mut kv = KvClient::connect(address).await.unwrap();
    let request = PutRequest {
        key: "milk".into(),
        value: "2 l".into(),
        return_values: true,
        ..PutRequest::default()
    };
    let written = kv.put(request).await.unwrap().into_inner();
    assert_eq!(support::bodies(&written.values), ["2 l"]);
    let request = GetRequest {
        key: "milk".into(),
        r: Some(9),
        ..GetRequest::default()
    };
    let refused = kv.get(request).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    let request = GetRequest {
        key: "milk".into(),
        timeout_ms: Some(0),
        ..GetRequest::default()
    };
    let refused = kv.get(request).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_works_through_a_gateway_and_asks_nobody_else() {
    let cells = support::cluster(3).await;
    let gateway = gateway(&cells).await;
    let address = gateway.grpc_address().unwrap();
    let client = Client::connect([address]).await.unwrap();
    let topology = client.topology();
    let direct = Client::connect([cells[0].address()]).await.unwrap();
    assert_eq!(topology.cluster_id(), direct.topology().cluster_id());
    let asked = topology.nodes().iter().map(|node| node.address.as_str());
    assert_eq!(Vec::from_iter(asked), [address]);

    let names: BTreeSet<String> = (0..30).map(|number| format!("key {number}")).collect();
    let put = |name: &String| Operation::put(name.clone(), "v", Context::new());
    for done in client.batch(names.iter().map(put)).await {
        done.unwrap();
    }
    let pipeline = client.pipeline(8);
    for name in &names {
        pipeline
            .submit(Operation::get(name.clone()))
            .await
            .await
            .unwrap();
    }
    client.delete("key 7").await.unwrap();
    let listed: Vec<_> = client.keys().try_collect().await.unwrap();
    assert_eq!(listed.len(), 29);
    let few: Vec<_> = client
        .keys_with_prefix("key 2")
        .try_collect()
        .await
        .unwrap();
    assert_eq!(few.len(), 11);
    gateway.stop().await;
    client.get("key 1").await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_fails_is_not_noticed_through_a_gateway() {
    let mut cells = support::cluster(4).await;
    let gateway = gateway(&cells).await;
    let address = gateway.http_address();
    for n in 0..40 {
        assert_eq!(
            put(address, &format!("key-{n}"), "v", None).await.status,
            204
        );
    }
    cells[1].kill().await;
    for n in 0..40 {
        let key = format!("key-{n}");
        let read = get(address, &key).await;
        assert_eq!((read.status, read.body.as_str()), (200, "v"), "{key}");
        let context = Some(read.header("dynamokv-context"));
        let written = put(address, &key, "w", context).await;
        assert_eq!(written.status, 204, "{key}: {}", written.body);
    }
    for n in 0..40 {
        let read = get(address, &format!("key-{n}")).await;
        assert_eq!((read.status, read.body.as_str()), (200, "w"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_tells_what_it_does_and_is_ready_while_a_node_answers() {
    let mut cells = support::cluster(3).await;
    let gateway = gateway(&cells).await;
    let (address, admin) = (gateway.http_address(), gateway.admin_address().unwrap());
    for n in 0..10 {
        let written = put(address, &format!("key-{n}"), "v", None).await;
        assert_eq!(written.status, 204);
    }
    assert_eq!(get(address, "key-1").await.status, 200);
    let wrong = http::send(address, "GET", &(path("a") + "?r=9"), &[], "").await;
    assert_eq!(wrong.status, 400);
    let page = http::get(admin, "/metrics").await.1;
    let of = |operation, outcome| {
        let labels = format!("operation=\"{operation}\",outcome=\"{outcome}\"");
        sample(
            &page,
            &format!("dynamokv_gateway_requests_total{{{labels}}}"),
        )
    };
    assert_eq!((of("put", "ok"), of("get", "ok")), (10.0, 1.0));
    assert_eq!((of("get", "invalid"), of("delete", "ok")), (1.0, 0.0));
    assert_eq!(sample(&page, "dynamokv_gateway_nodes"), 3.0);
    assert_eq!(sample(&page, "dynamokv_gateway_retries_total"), 0.0);

    cells[1].kill().await;
    for n in 0..30 {
        assert!(get(address, &format!("key-{n}")).await.status < 500);
    }
    let page = http::get(admin, "/metrics").await.1;
    assert!(
        sample(&page, "dynamokv_gateway_retries_total") >= 1.0,
        "{page}"
    );
    for port in [address, admin] {
        assert_eq!(http::get(port, "/readyz").await.0, 200, "two nodes answer");
    }
    for cell in [0, 2] {
        cells[cell].kill().await;
    }
    for port in [address, admin] {
        assert_eq!(http::get(port, "/readyz").await.0, 503, "no node answers");
        assert_eq!(http::get(port, "/livez").await.0, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_may_be_there_before_the_cluster() {
    let reserved = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let seed = reserved.local_addr().unwrap().to_string();
    drop(reserved);
    let mut config = GatewayConfig::default();
    config.seeds = vec![seed.clone()];
    config.http_listen = "127.0.0.1:0".to_owned();
    config.timeout_ms = 200;
    let gateway = Gateway::start(config).await.unwrap();
    let address = gateway.http_address();
    assert_eq!(http::get(address, "/livez").await.0, 200);
    assert_eq!(http::get(address, "/readyz").await.0, 503);
    assert_eq!(get(address, "milk").await.status, 503);

    let mut founder = support::config("n1");
    founder.bootstrap = true;
    founder.listen = seed;
    (founder.replicas, founder.read_quorum, founder.write_quorum) = (1, 1, 1);
    let _cell = Cell::start(founder).await;
    eventually("the cluster is found", async || {
        put(address, "milk", "2 l", None).await.status == 204
    })
    .await;
}
