//! What operators' tools are told: liveness, readiness, metrics, and the logs of one request on all nodes.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use dynamokv::rpc::pb::PutRequest;
use dynamokv::rpc::pb::kv_client::KvClient;
use dynamokv_gateway::{Gateway, GatewayConfig};
use support::http::{self, sample};
use support::process::{self, Process};
use support::{Cell, config, eventually};

fn watched(name: &str) -> dynamokv::NodeConfig {
    let mut config = config(name);
    config.admin_listen = Some("127.0.0.1:0".to_owned());
    config
}

async fn founder() -> Cell {
    let mut config = watched("n1");
    config.bootstrap = true;
    Cell::start(config).await
}

async fn page(cell: &Cell) -> String {
    let (status, page) = http::get(cell.node().admin_address().unwrap(), "/metrics").await;
    assert_eq!(status, 200);
    page
}

/// Name, kind and meaning of each metric of a page, in its order.
fn described(page: &str) -> Vec<(String, String, String)> {
    let kinds: BTreeMap<&str, &str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .collect();
    let helps = page
        .lines()
        .filter_map(|line| line.strip_prefix("# HELP ")?.split_once(' '));
    helps
        .map(|(name, help)| (name.to_owned(), kinds[name].to_owned(), help.to_owned()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_lives_before_it_is_ready() {
    let mut alone = watched("n2");
    // Nobody listens there: it waits to be let in.
    alone.seeds = vec!["127.0.0.1:1".to_owned()];
    let waiting = Cell::start(alone).await;
    let address = waiting.node().admin_address().unwrap().to_owned();
    assert_eq!(http::get(&address, "/livez").await.0, 200);
    assert_eq!(http::get(&address, "/readyz").await.0, 503);
    assert_eq!(sample(&page(&waiting).await, "dynamokv_ready"), 0.0);
    assert_eq!(http::get(&address, "/elsewhere").await.0, 404);

    let member = founder().await;
    let address = member.node().admin_address().unwrap().to_owned();
    eventually("the founder is ready", async || {
        http::get(&address, "/readyz").await.0 == 200
    })
    .await;
    assert_eq!(sample(&page(&member).await, "dynamokv_ready"), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_do_is_counted() {
    let mut cells = vec![founder().await];
    support::grow(&mut cells, 3).await;
    let client = cells[0].client();
    let written = client.put("milk", "2 l", &[]).await.unwrap();
    client.put("milk", "3 l", &[]).await.unwrap();
    client.get("milk").await.unwrap();
    client.delete("milk", &written.context).await.unwrap();
    client.delete("milk", &[]).await.unwrap_err();

    let before = page(&cells[0]).await;
    let count = |page: &str, operation, outcome| {
        let labels = format!("operation=\"{operation}\",outcome=\"{outcome}\"");
        sample(page, &format!("dynamokv_requests_total{{{labels}}}"))
    };
    assert_eq!(count(&before, "put", "ok"), 2.0);
    assert_eq!(count(&before, "get", "ok"), 1.0);
    assert_eq!(count(&before, "delete", "ok"), 1.0);
    assert_eq!(count(&before, "delete", "invalid"), 1.0);
    let of_puts = "dynamokv_request_duration_seconds_count{operation=\"put\"}";
    assert_eq!(sample(&before, of_puts), 2.0);
    // Two siblings were read.
    assert_eq!(sample(&before, "dynamokv_read_siblings_sum"), 2.0);
    assert_eq!(sample(&before, "dynamokv_siblings_max"), 2.0);
    assert_eq!(sample(&before, "dynamokv_nodes_live"), 3.0);
    assert_eq!(sample(&before, "dynamokv_partitions_owned"), 64.0);
    assert_eq!(sample(&before, "dynamokv_keys"), 1.0);

    // With two of three gone no quorum is found, whoever is believed down meanwhile.
    let gone = [cells[1].id(), cells[2].id()];
    for cell in &mut cells[1..] {
        cell.kill().await;
    }
    client.put("bread", "1", &[]).await.unwrap_err();
    client.get("milk").await.unwrap_err();
    let after = page(&cells[0]).await;
    let failed = |operation: &str| -> f64 {
        let begin = format!("dynamokv_quorum_failures_total{{operation=\"{operation}\"");
        let lines = after.lines().filter(|line| line.starts_with(&begin));
        lines
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum()
    };
    assert_eq!((failed("put"), failed("get")), (1.0, 1.0));
    for node in gone {
        let phi = sample(&after, &format!("dynamokv_phi{{node=\"{node}\"}}"));
        assert!(phi >= 0.0);
    }
}

const METRICS_INTRODUCTION: &str = "\
# Metrics

What a node or a gateway tells at `/metrics` on its `admin-listen` port, in the text format of OpenMetrics, which Prometheus reads. Names of counters end
in `_total` there; a histogram has `_bucket`, `_sum` and `_count`. This page is written by
`UPDATE_DOCS=1 cargo test --test operators` from a running node and a running gateway; the same test fails where the two differ. `deploy/grafana/dynamokv.json` is a dashboard of them;
[operations.md](operations.md#watching) says what to watch.

## A node

";
const GATEWAY_METRICS: &str = "\n## A gateway\n\n";
const HEADING: &str = "| metric | kind | meaning |\n|---|---|---|\n";

#[tokio::test(flavor = "multi_thread")]
async fn the_page_and_the_dashboard_name_what_there_is() {
    let cell = founder().await;
    let of_node = described(&page(&cell).await);
    let mut config = GatewayConfig::default();
    config.seeds = vec![cell.address().to_owned()];
    config.http_listen = "127.0.0.1:0".to_owned();
    config.admin_listen = Some("127.0.0.1:0".to_owned());
    let gateway = Gateway::start(config).await.unwrap();
    let (_, page) = http::get(gateway.admin_address().unwrap(), "/metrics").await;
    let of_gateway = described(&page);
    let table = |metrics: &[(String, String, String)]| {
        let rows = metrics.iter();
        let rows = rows.map(|(name, kind, help)| format!("| `{name}` | {kind} | {help} |\n"));
        HEADING.to_owned() + &rows.collect::<String>()
    };
    let tables = table(&of_node) + GATEWAY_METRICS + &table(&of_gateway);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = folder.join("docs/metrics.md");
    let expected = format!("{METRICS_INTRODUCTION}{tables}");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap();
    assert!(
        kept == expected,
        "docs/metrics.md is not what is told: UPDATE_DOCS=1 cargo test --test operators"
    );

    let mut known = BTreeSet::new();
    for (name, kind, _) in of_node.iter().chain(&of_gateway) {
        let endings: &[&str] = match kind.as_str() {
            "counter" => &["_total"],
            "histogram" => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        known.extend(endings.iter().map(|ending| format!("{name}{ending}")));
    }
    let dashboard = std::fs::read_to_string(folder.join("deploy/grafana/dynamokv.json")).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&dashboard).unwrap();
    let mut named = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            named.extend(metrics_in(target["expr"].as_str().unwrap()));
        }
    }
    assert!(named.len() >= 20, "{named:?}");
    let unknown: Vec<_> = named.difference(&known).collect();
    assert!(unknown.is_empty(), "the dashboard asks for {unknown:?}");
}

fn metrics_in(expression: &str) -> Vec<String> {
    expression
        .split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
        .filter(|word| word.starts_with("dynamokv_"))
        .map(str::to_owned)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_found_in_the_logs_of_every_node_that_it_touched() {
    let folder = tempfile::tempdir().unwrap();
    let log = |name: &str| folder.path().join(name).with_extension("log");
    let mut nodes: Vec<Process> = Vec::new();
    for name in ["n1", "n2", "n3"] {
        let found = match nodes.first() {
            None => "--bootstrap".to_owned(),
            Some(first) => format!("--seed={}", first.address),
        };
        let settings = "--engine=memory --listen=127.0.0.1:0 --gossip-interval-ms=100";
        let mut args: Vec<&str> = settings.split(' ').collect();
        args.extend(["--log=warn,dynamokv_rpc=debug", "--log-json", &found]);
        let said = std::fs::File::create(log(name)).unwrap();
        let child = process::command(&args).stderr(said).spawn().unwrap();
        nodes.push(Process::await_address(child, folder.path()).await);
    }
    process::are_members(&nodes).await;

    let put = |id: Option<&'static str>| {
        let mut request = tonic::Request::new(PutRequest {
            key: "milk".into(),
            value: "2 l".into(),
            w: Some(3),
            ..PutRequest::default()
        });
        if let Some(id) = id {
            let id = id.parse().unwrap();
            request.metadata_mut().insert("x-request-id", id);
        }
        let address = format!("http://{}", nodes[0].address);
        async move {
            let mut client = KvClient::connect(address).await.unwrap();
            let answer = client.put(request).await.unwrap();
            let id = answer.metadata().get("x-request-id").unwrap();
            id.to_str().unwrap().to_owned()
        }
    };
    assert_eq!(put(Some("order-66")).await, "order-66");
    let drawn = put(None).await;
    // One that does not belong into logs is replaced.
    assert_ne!(put(Some("two words")).await, "two words");
    for id in ["order-66", &drawn] {
        for name in ["n1", "n2", "n3"] {
            eventually(&format!("{id} is in the log of {name}"), async || {
                let said = std::fs::read_to_string(log(name)).unwrap();
                said.lines().any(|line| {
                    let line: serde_json::Value = serde_json::from_str(line).unwrap();
                    line["span"]["id"] == id
                })
            })
            .await;
        }
    }
}
