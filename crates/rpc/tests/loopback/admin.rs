use std::sync::Arc;

use dynamokv_rpc::pb::{self, admin_client::AdminClient};
use dynamokv_rpc::{AdminError, ServerBuilder, ServerConfig};
use tonic::Code;

use crate::fakes::{FakeAdmin, NODE};
use crate::running::Running;

#[tokio::test]
async fn each_call_reaches_its_method() {
    let server = Running::start(
        ServerBuilder::new(ServerConfig::default()).admin(Arc::new(FakeAdmin::default())),
    )
    .await;
    let mut client = AdminClient::new(server.channel());
    let status = client
        .status(pb::StatusRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(status.node, NODE.to_string());
    assert_eq!(
        client
            .members(pb::MembersRequest {})
            .await
            .unwrap()
            .into_inner()
            .members
            .len(),
        1
    );
    let ring = pb::RingRequest {
        locate: Some(pb::KeyLocator::default()),
    };
    assert!(
        client
            .ring(ring)
            .await
            .unwrap()
            .into_inner()
            .location
            .is_some()
    );
    assert_eq!(
        client
            .hints(pb::HintsRequest {})
            .await
            .unwrap()
            .into_inner()
            .targets
            .len(),
        1
    );
    let exchanges = client.exchanges(pb::ExchangesRequest {}).await.unwrap();
    assert_eq!(exchanges.into_inner().keys, 7);
    let local = pb::ReadLocalRequest {
        keyspace: "here".to_owned(),
        key: "k".into(),
    };
    assert_eq!(
        client.read_local(local).await.unwrap().into_inner().clock,
        "here"
    );
    client.leave(pb::LeaveRequest {}).await.unwrap();
    let place = pb::SetPlaceRequest::default();
    client.set_place(place).await.unwrap();
    let change = pb::PreviewChangeRequest {
        leaving: vec!["x".to_owned()],
        ..Default::default()
    };
    let preview = client.preview_change(change).await.unwrap().into_inner();
    assert_eq!(preview.warnings, ["x"]);
    let transfers = client.transfers(pb::TransfersRequest {}).await.unwrap();
    assert_eq!(transfers.into_inner().streams.len(), 1);
    let name = "monday".to_owned();
    let snapshot = client.snapshot(pb::SnapshotRequest { name }).await.unwrap();
    assert_eq!(snapshot.into_inner().path, "monday");
    let refused = client
        .remove(pb::RemoveRequest {
            node: "x".to_owned(),
        })
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        (Code::InvalidArgument, "node: \"x\" is not known")
    );
}

#[tokio::test]
async fn failures_have_their_codes() {
    let fake = Arc::new(FakeAdmin::default());
    let server =
        Running::start(ServerBuilder::new(ServerConfig::default()).admin(Arc::clone(&fake))).await;
    let mut client = AdminClient::new(server.channel());
    let table = [
        (
            AdminError::Precondition("w".to_owned()),
            Code::FailedPrecondition,
        ),
        (AdminError::Unavailable("w".to_owned()), Code::Unavailable),
        (AdminError::Failed("w".to_owned()), Code::Internal),
    ];
    for (error, code) in table {
        *fake.fail.lock() = Some(error);
        let status = client.status(pb::StatusRequest {}).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (code, "w"));
    }
}
