//! Keys by HTTP: through a gateway whose nodes fail, and through a node itself.
#![allow(clippy::unwrap_used)]

mod support;

use dynamokv::rpc::pb::kv_client::KvClient;
use dynamokv::rpc::pb::{GetRequest, PutRequest, TopologyRequest};
use dynamokv_gateway::{Gateway, GatewayConfig};
use support::http::{self, Answer};
use support::{Cell, config, eventually};

async fn gateway(cells: &[Cell]) -> Gateway {
    let mut config = GatewayConfig::default();
    config.seeds = cells.iter().map(|cell| cell.address().to_owned()).collect();
    config.http_listen = "127.0.0.1:0".to_owned();
    config.grpc_listen = Some("127.0.0.1:0".to_owned());
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
    let wrong = http::send(address, "GET", &(path("cart") + "?r=9"), &[], "").await;
    assert!(
        wrong.status == 400 && wrong.body.contains("1..="),
        "{}",
        wrong.body
    );
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
    let told = kv.topology(TopologyRequest::default()).await.unwrap_err();
    assert_eq!(told.code(), tonic::Code::Unimplemented);
    gateway.stop().await;
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
