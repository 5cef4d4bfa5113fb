use std::sync::Arc;
use std::time::{Duration, Instant};

use dynamokv_rpc::pb::{self, kv_client::KvClient};
use dynamokv_rpc::{ServerBuilder, ServerConfig};
use tonic::Code;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::fakes::{Barrier, FakeAdmin, FakeKv, FakePeer};
use crate::running::{PATIENCE, Running, soon};

fn get() -> pb::GetRequest {
    pb::GetRequest {
        key: "k".into(),
        ..Default::default()
    }
}

fn stuck() -> Arc<FakeKv> {
    Arc::new(FakeKv {
        barrier: Barrier::closed(),
        ..FakeKv::default()
    })
}

#[tokio::test]
async fn health_says_serving_once_the_node_is_ready() {
    let builder = ServerBuilder::new(ServerConfig::default()).kv(Arc::new(FakeKv::default()));
    let server = Running::start(builder).await;
    let mut client = HealthClient::new(server.channel());
    let mut status = async |service: &str| {
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        client
            .check(request)
            .await
            .map(|response| response.into_inner().status())
    };
    for service in ["", "dynamokv.v1.Kv"] {
        assert_eq!(status(service).await.unwrap(), ServingStatus::NotServing);
    }
    server.health.set_ready(true);
    let ready = async {
        while status("").await.unwrap() != ServingStatus::Serving {}
        status("dynamokv.v1.Kv").await.unwrap()
    };
    assert_eq!(soon(ready).await, ServingStatus::Serving);
    assert_eq!(
        status("dynamokv.v1.RawKV").await.unwrap_err().code(),
        Code::NotFound
    );
}

#[tokio::test]
async fn reflection_lists_the_services_and_describes_them() {
    let builder = ServerBuilder::new(ServerConfig::default())
        .kv(Arc::new(FakeKv::default()))
        .peer(Arc::new(FakePeer::default()))
        .admin(Arc::new(FakeAdmin::default()));
    let server = Running::start(builder).await;
    let mut client = ServerReflectionClient::new(server.channel());
    let mut ask = async |question| {
        let request = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(question),
        };
        let mut answers = client
            .server_reflection_info(futures_util::stream::iter([request]))
            .await
            .unwrap()
            .into_inner();
        answers
            .message()
            .await
            .unwrap()
            .unwrap()
            .message_response
            .unwrap()
    };
    let MessageResponse::ListServicesResponse(list) =
        ask(MessageRequest::ListServices(String::new())).await
    else {
        panic!("no list");
    };
    let names: Vec<_> = list
        .service
        .into_iter()
        .map(|service| service.name)
        .collect();
    for service in [
        "dynamokv.v1.Kv",
        "dynamokv.v1.Admin",
        "dynamokv.v1.DynamoRPC",
        "grpc.health.v1.Health",
    ] {
        assert!(
            names.iter().any(|name| name == service),
            "{service} is not in {names:?}"
        );
    }
    let file = ask(MessageRequest::FileContainingSymbol(
        "dynamokv.v1.Kv".to_owned(),
    ))
    .await;
    assert!(
        matches!(file, MessageResponse::FileDescriptorResponse(_)),
        "{file:?}"
    );
}

#[tokio::test]
async fn one_request_too_many_is_refused_at_once() {
    let fake = stuck();
    let config = ServerConfig {
        client_requests_max: 1,
        ..ServerConfig::default()
    };
    let server = Running::start(ServerBuilder::new(config).kv(Arc::clone(&fake))).await;
    let mut client = KvClient::new(server.channel());
    let first = tokio::spawn({
        let mut client = client.clone();
        async move { client.get(get()).await }
    });
    soon(fake.barrier.wait_for_arrival()).await;
    let status = soon(client.get(get())).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("1 client requests"), "{status:?}");
    fake.barrier.let_go_on(2);
    soon(first).await.unwrap().unwrap();
    soon(client.get(get())).await.expect("there is room again");
}

#[tokio::test]
async fn a_connection_too_many_is_closed() {
    let config = ServerConfig {
        connections_max: 1,
        ..ServerConfig::default()
    };
    let server = Running::start(ServerBuilder::new(config).kv(Arc::new(FakeKv::default()))).await;
    let mut first = KvClient::new(server.channel());
    first.get(get()).await.unwrap();
    let mut second = KvClient::new(server.channel());
    soon(second.get(get())).await.unwrap_err();
    first.get(get()).await.unwrap();
    drop(first);
    let room = async { while second.get(get()).await.is_err() {} };
    soon(room).await;
}

#[tokio::test]
async fn a_clean_stop_lets_requests_end_and_says_not_serving() {
    let fake = stuck();
    let config = ServerConfig {
        stop_grace: 10 * PATIENCE,
        ..ServerConfig::default()
    };
    let mut server = Running::start(ServerBuilder::new(config).kv(Arc::clone(&fake))).await;
    server.health.set_ready(true);
    let idle = KvClient::new(server.channel());
    let mut client = idle.clone();
    let waiting = tokio::spawn(async move { client.get(get()).await });
    soon(fake.barrier.wait_for_arrival()).await;
    let health = server.health.clone();
    server.ask_to_stop();
    let unready = async {
        while health.is_ready() {
            tokio::task::yield_now().await;
        }
    };
    soon(unready).await;
    health.set_ready(true);
    assert!(!health.is_ready(), "a stop is final");
    fake.barrier.let_go_on(1);
    soon(waiting).await.unwrap().expect("it was under way");
    soon(server.stopped())
        .await
        .expect("an idle connection does not hold it up");
    drop(idle);
}

#[tokio::test]
async fn a_request_that_does_not_end_does_not_hold_up_the_stop() {
    let fake = stuck();
    let config = ServerConfig {
        stop_grace: Duration::from_millis(200),
        ..ServerConfig::default()
    };
    let mut server = Running::start(ServerBuilder::new(config).kv(Arc::clone(&fake))).await;
    let mut client = KvClient::new(server.channel());
    let waiting = tokio::spawn(async move { client.get(get()).await });
    soon(fake.barrier.wait_for_arrival()).await;
    let began = Instant::now();
    server.ask_to_stop();
    soon(server.stopped()).await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(200));
    soon(waiting).await.unwrap().unwrap_err();
}
