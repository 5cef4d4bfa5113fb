use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dynamokv_coordinator::Error;
use dynamokv_rpc::pb::{self, kv_client::KvClient};
use dynamokv_rpc::{ServerBuilder, ServerConfig, failure_in, topology_version};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use crate::fakes::{FakeKv, NODE};
use crate::running::{Running, soon};

const VALUE_BYTES_MAX: usize = 1000;

async fn server() -> (KvClient<Channel>, Arc<FakeKv>, Running) {
    let fake = Arc::new(FakeKv::default());
    let config = ServerConfig {
        value_bytes_max: VALUE_BYTES_MAX,
        ..ServerConfig::default()
    };
    let server = Running::start(ServerBuilder::new(config).kv(Arc::clone(&fake))).await;
    (KvClient::new(server.channel()), fake, server)
}

fn put(key: &str, value: &str, context: &Bytes) -> pb::PutRequest {
    pb::PutRequest {
        key: key.to_owned().into(),
        value: value.to_owned().into(),
        context: context.clone(),
        ..Default::default()
    }
}

fn get(key: &str) -> pb::GetRequest {
    pb::GetRequest {
        key: key.to_owned().into(),
        ..Default::default()
    }
}

fn bodies(values: &[pb::Value]) -> Vec<&[u8]> {
    values.iter().map(|value| value.value.as_ref()).collect()
}

#[track_caller]
fn refused(result: Result<impl std::fmt::Debug, Status>, code: Code, words: &[&str]) {
    let status = result.unwrap_err();
    assert_eq!(status.code(), code, "{status:?}");
    for word in words {
        assert!(
            status.message().contains(word),
            "{word:?} is not in {:?}",
            status.message()
        );
    }
}

#[tokio::test]
async fn values_are_written_read_merged_and_deleted_with_contexts() {
    let (mut client, _, _server) = server().await;
    let nothing = Bytes::new();
    for value in ["milk", "eggs"] {
        client.put(put("cart", value, &nothing)).await.unwrap();
    }
    let both = client.get(get("cart")).await.unwrap().into_inner();
    assert_eq!(
        (bodies(&both.values), both.siblings),
        (vec![b"milk".as_slice(), b"eggs"], 2)
    );
    assert_eq!(both.values[0].clock, format!("{NODE}.1@1"));
    assert_eq!(both.values[0].time_ms, 1_000);
    assert_eq!(both.coordinator, NODE.to_string());
    let kinds: Vec<_> = both.answers.iter().map(pb::Answer::kind).collect();
    assert_eq!(
        kinds,
        [
            pb::AnswerKind::Replica,
            pb::AnswerKind::Holder,
            pb::AnswerKind::Failed
        ]
    );
    assert_eq!(
        (
            both.answers[1].stands_for.as_str(),
            both.answers[2].reason.as_str()
        ),
        ("0000000000000009", "asleep")
    );

    let merged = pb::PutRequest {
        content_type: Some("text/plain".to_owned()),
        return_values: true,
        ..put("cart", "milk and eggs", &both.context)
    };
    let merged = client.put(merged).await.unwrap().into_inner();
    assert_eq!(
        (bodies(&merged.values), merged.siblings),
        (vec![b"milk and eggs".as_slice()], 1)
    );
    assert_eq!(merged.values[0].content_type.as_deref(), Some("text/plain"));

    let delete = pb::DeleteRequest {
        key: "cart".into(),
        context: merged.context,
        ..Default::default()
    };
    let deleted = client.delete(delete).await.unwrap().into_inner();
    let gone = client.get(get("cart")).await.unwrap().into_inner();
    assert_eq!((gone.values.len(), gone.siblings), (0, 1));
    assert!(!gone.context.is_empty() && !deleted.context.is_empty());
}

#[tokio::test]
async fn a_key_that_was_never_written_is_no_error() {
    let (mut client, _, _server) = server().await;
    let reply = client.get(get("nothing")).await.unwrap().into_inner();
    assert!(reply.values.is_empty() && reply.context.is_empty());
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_named_with_its_limit() {
    let (mut client, fake, _server) = server().await;
    let invalid = Code::InvalidArgument;
    let nothing = Bytes::new();
    refused(
        client.get(get("")).await,
        invalid,
        &["key of 0 bytes", "65536"],
    );
    refused(
        client.get(get(&"k".repeat(65_537))).await,
        invalid,
        &["key of 65537 bytes", "65536"],
    );
    let oversized = "v".repeat(VALUE_BYTES_MAX + 1);
    refused(
        client.put(put("k", &oversized, &nothing)).await,
        invalid,
        &["value of 1001 bytes", "1000"],
    );
    let keyspace = pb::GetRequest {
        keyspace: "No Such".to_owned(),
        ..get("k")
    };
    refused(
        client.get(keyspace).await,
        invalid,
        &["keyspace", "No Such", "a-z"],
    );
    let mode = pb::GetRequest {
        mode: 9,
        ..get("k")
    };
    refused(client.get(mode).await, invalid, &["mode", "9"]);
    let delete = pb::DeleteRequest {
        key: "k".into(),
        ..Default::default()
    };
    refused(client.delete(delete).await, invalid, &["context", "read"]);
    assert_eq!(
        fake.options.lock().len(),
        1,
        "only the delete without a context got that far"
    );
    client
        .put(put("k", &oversized[1..], &nothing))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_message_beyond_all_bounds_is_not_read() {
    let (mut client, fake, _server) = server().await;
    let result = soon(client.put(put("k", &"v".repeat(1_000_000), &Bytes::new()))).await;
    refused(result, Code::OutOfRange, &[]);
    assert!(fake.options.lock().is_empty());
}

#[tokio::test]
async fn a_damaged_context_and_that_of_another_key_are_told_apart() {
    let (mut client, _, _server) = server().await;
    let context = client
        .put(put("mine", "v", &Bytes::new()))
        .await
        .unwrap()
        .into_inner()
        .context;
    let mut damaged = context.to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    let invalid = Code::InvalidArgument;
    refused(
        client.put(put("mine", "v", &damaged.into())).await,
        invalid,
        &["context: ", "damaged"],
    );
    refused(
        client.put(put("mine", "v", &context.slice(..5))).await,
        invalid,
        &["context: "],
    );
    refused(
        client
            .put(put("mine", "v", &Bytes::from_static(b"\xff")))
            .await,
        invalid,
        &["context: "],
    );
    refused(
        client.put(put("other", "v", &context)).await,
        invalid,
        &["context: ", "another key"],
    );
    let elsewhere = pb::PutRequest {
        keyspace: "elsewhere".to_owned(),
        ..put("mine", "v", &context)
    };
    refused(
        client.put(elsewhere).await,
        invalid,
        &["context: ", "keyspace"],
    );
    client.put(put("mine", "v", &context)).await.unwrap();
}

#[tokio::test]
async fn a_failed_operation_has_the_code_of_what_it_means() {
    let (mut client, fake, _server) = server().await;
    let answers = Vec::new();
    let table = [
        (
            Error::Quorum {
                field: "r",
                value: 9,
                limit: 3,
            },
            Code::InvalidArgument,
            "r is 9, but must be 1..=3",
        ),
        (
            Error::Unreadable {
                needed: 2,
                answers: answers.clone(),
            },
            Code::Unavailable,
            "2 answers",
        ),
        (
            Error::Unknown { needed: 2, answers },
            Code::Unknown,
            "read before retrying",
        ),
        (
            Error::Overloaded { limit: 5 },
            Code::ResourceExhausted,
            "back off",
        ),
        (
            dynamokv_storage::Error::Closed.into(),
            Code::Internal,
            "closed",
        ),
    ];
    for (error, code, words) in table {
        *fake.fail.lock() = Some(error);
        refused(client.get(get("k")).await, code, &[words]);
    }
}

#[tokio::test]
async fn the_settings_of_a_request_reach_the_coordinator() {
    let (mut client, fake, _server) = server().await;
    let request = pb::GetRequest {
        r: Some(3),
        mode: 2,
        timeout_ms: Some(250),
        ..get("k")
    };
    client.get(request).await.unwrap();
    client.get(get("k")).await.unwrap();
    let seen = fake.options.lock().clone();
    assert_eq!(
        (seen[0].quorum, seen[0].timeout),
        (Some(3), Some(Duration::from_millis(250)))
    );
    assert_eq!(seen[0].mode, dynamokv_coordinator::QuorumMode::Strict);
    assert_eq!(seen[1], Default::default());
}

#[tokio::test]
async fn the_deadline_of_a_call_bounds_the_operation_with_time_left_to_answer() {
    let (client, fake, _server) = server().await;
    let with = |timeout_ms, deadline: Duration| {
        let mut request = Request::new(pb::GetRequest {
            timeout_ms,
            ..get("k")
        });
        request.set_timeout(deadline);
        let mut client = client.clone();
        let fake = Arc::clone(&fake);
        async move {
            client.get(request).await.unwrap();
            fake.options.lock().pop().unwrap().timeout.unwrap()
        }
    };
    let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
    assert_eq!(
        with(None, 10 * second).await,
        10 * second - Duration::from_millis(50)
    );
    assert_eq!(
        with(Some(20_000), 10 * second).await,
        10 * second - Duration::from_millis(50)
    );
    assert_eq!(with(Some(5_000), 10 * second).await, 5 * second);
    assert_eq!(
        with(None, 60 * minute).await,
        minute,
        "a careless deadline is not an error"
    );
}

#[tokio::test]
async fn the_topology_is_told_once_and_its_version_with_every_answer() {
    let (mut client, fake, _server) = server().await;
    let ask = |known| pb::TopologyRequest { known };
    let told = client.topology(ask(None)).await.unwrap();
    let version = told.get_ref().version;
    assert_eq!(topology_version(told.metadata()), Some(version));
    assert_eq!(told.into_inner().topology, Some(crate::fakes::topology()));
    let known = client.topology(ask(Some(version))).await.unwrap();
    assert_eq!(known.into_inner().topology, None);
    let outdated = client.topology(ask(Some(version ^ 1))).await.unwrap();
    assert!(outdated.into_inner().topology.is_some());

    let read = client.get(get("k")).await.unwrap();
    assert_eq!(topology_version(read.metadata()), Some(version));
    let refused = client.get(get("")).await.unwrap_err();
    assert_eq!(topology_version(refused.metadata()), Some(version));

    *fake.fail.lock() = Some(Error::NotMember);
    let nobody = client.topology(ask(None)).await.unwrap_err();
    let failure = failure_in(&nobody).unwrap();
    assert_eq!(failure.kind(), pb::ErrorKind::NotApplied);
    assert_eq!(topology_version(nobody.metadata()), None);
}

#[tokio::test]
async fn a_failure_arrives_with_its_kind_and_who_answered_what() {
    let (mut client, fake, _server) = server().await;
    let answer = dynamokv_coordinator::Answer {
        node: NODE,
        kind: dynamokv_coordinator::AnswerKind::Failed("asleep".to_owned()),
    };
    let error = Error::Unknown {
        needed: 2,
        answers: vec![answer],
    };
    *fake.fail.lock() = Some(error.clone());
    let status = client.put(put("k", "v", &Bytes::new())).await.unwrap_err();
    let failure = failure_in(&status).unwrap();
    assert_eq!(failure.kind(), pb::ErrorKind::Unknown);
    assert_eq!(failure.message, error.to_string());
    assert_eq!(failure.answers[0].reason, "asleep");
}

#[tokio::test]
async fn an_idempotency_key_reaches_the_coordinator_and_is_bounded() {
    let (mut client, fake, _server) = server().await;
    let write = |bytes: usize| pb::PutRequest {
        idempotency_key: vec![7; bytes].into(),
        ..put("k", "v", &Bytes::new())
    };
    client.put(write(64)).await.unwrap();
    client.put(write(0)).await.unwrap();
    let seen = fake.idempotency_keys.lock().clone();
    assert_eq!(seen, [Some(Bytes::from(vec![7; 64])), None]);
    refused(
        client.put(write(65)).await,
        Code::InvalidArgument,
        &["idempotency_key of 65 bytes", "64"],
    );
}

fn operation(operation: pb::operation::Operation) -> pb::Operation {
    pb::Operation {
        operation: Some(operation),
    }
}

fn put_operation(key: &str, value: &str) -> pb::Operation {
    operation(pb::operation::Operation::Put(put(
        key,
        value,
        &Bytes::new(),
    )))
}

fn get_operation(key: &str) -> pb::Operation {
    operation(pb::operation::Operation::Get(get(key)))
}

#[tokio::test]
async fn the_operations_of_a_batch_succeed_and_fail_alone_and_keep_their_order() {
    use pb::operation_result::Result as Told;
    let (mut client, _, _server) = server().await;
    client.put(put("there", "v", &Bytes::new())).await.unwrap();
    let operations = vec![
        put_operation("k", "v"),
        put_operation("", "v"),
        get_operation("there"),
        pb::Operation::default(),
        put_operation("k", &"v".repeat(VALUE_BYTES_MAX + 1)),
    ];
    let reply = client.batch(pb::BatchRequest { operations }).await.unwrap();
    assert!(topology_version(reply.metadata()).is_some());
    let results: Vec<Told> = reply
        .into_inner()
        .results
        .into_iter()
        .map(|result| result.result.unwrap())
        .collect();
    let [
        Told::Put(_),
        Told::Failure(key),
        Told::Get(read),
        Told::Failure(none),
        Told::Failure(value),
    ] = &results[..]
    else {
        panic!("{results:?}");
    };
    assert_eq!(bodies(&read.values), [b"v"]);
    for (failure, word) in [
        (key, "key of 0 bytes"),
        (none, "operation"),
        (value, "1000"),
    ] {
        assert_eq!(failure.kind(), pb::ErrorKind::Invalid);
        assert!(failure.message.contains(word), "{failure:?}");
    }
    let operations = vec![get_operation("k"); 1_025];
    refused(
        client.batch(pb::BatchRequest { operations }).await,
        Code::InvalidArgument,
        &["operations", "1025", "1024"],
    );
}

#[tokio::test]
async fn the_answers_of_a_batch_are_bounded_and_no_write_goes_unanswered() {
    use pb::operation_result::Result as Told;
    let fake = Arc::new(FakeKv::default());
    let server =
        Running::start(ServerBuilder::new(ServerConfig::default()).kv(Arc::clone(&fake))).await;
    let mut client = KvClient::new(server.channel()).max_decoding_message_size(64 << 20);
    let value = "v".repeat(4 << 20);
    client
        .put(put("large", &value, &Bytes::new()))
        .await
        .unwrap();
    let mut operations = vec![get_operation("large"); 6];
    operations.push(put_operation("k", "v"));
    let reply = client.batch(pb::BatchRequest { operations }).await.unwrap();
    let results = reply.into_inner().results;
    let reads = results
        .iter()
        .filter(|result| matches!(result.result, Some(Told::Get(_))));
    assert_eq!(reads.count(), 3);
    let refused = results.iter().filter(|result| match &result.result {
        Some(Told::Failure(failure)) => failure.kind() == pb::ErrorKind::Overloaded,
        _ => false,
    });
    assert_eq!(refused.count(), 3);
    assert!(matches!(results[6].result, Some(Told::Put(_))));
}

/// A stream of operations, and what comes back.
async fn pipeline(
    client: &mut KvClient<Channel>,
) -> (
    tokio::sync::mpsc::Sender<pb::PipelineRequest>,
    tonic::Streaming<pb::PipelineResponse>,
) {
    let (send, requests) = tokio::sync::mpsc::channel(1);
    let requests = futures_util::stream::unfold(requests, |mut requests| async move {
        Some((requests.recv().await?, requests))
    });
    let responses = client.pipeline(requests).await.unwrap();
    (send, responses.into_inner())
}

fn numbered(id: u64, operation: pb::Operation) -> pb::NumberedOperation {
    pb::NumberedOperation {
        id,
        operation: Some(operation),
    }
}

#[tokio::test]
async fn a_pipeline_answers_every_operation_once_and_ends_after_the_last() {
    let (mut client, _, _server) = server().await;
    let (send, mut responses) = pipeline(&mut client).await;
    let feed = tokio::spawn(async move {
        for message in 0..40 {
            let ids = (message * 25)..(message * 25 + 25);
            let operations = ids.map(|id| numbered(id, put_operation(&format!("key {id}"), "v")));
            let operations = operations.collect();
            send.send(pb::PipelineRequest { operations }).await.unwrap();
        }
    });
    let mut seen = Vec::new();
    while let Some(response) = soon(responses.message()).await.unwrap() {
        assert_ne!(response.topology, 0);
        for pb::NumberedResult { id, result } in response.results {
            let result = result.unwrap().result.unwrap();
            assert!(
                matches!(result, pb::operation_result::Result::Put(_)),
                "{result:?}"
            );
            seen.push(id);
        }
    }
    feed.await.unwrap();
    seen.sort_unstable();
    assert_eq!(seen, Vec::from_iter(0..1_000));
}

#[tokio::test]
async fn a_pipeline_answers_what_has_ended_and_takes_no_more_than_its_bound() {
    let fake = Arc::new(FakeKv {
        barrier: crate::fakes::Barrier::closed(),
        ..FakeKv::default()
    });
    let server =
        Running::start(ServerBuilder::new(ServerConfig::default()).kv(Arc::clone(&fake))).await;
    let mut client = KvClient::new(server.channel());
    let (send, requests) = tokio::sync::mpsc::channel(1);
    let requests = futures_util::stream::unfold(requests, |mut requests| async move {
        Some((requests.recv().await?, requests))
    });
    let opening = tokio::spawn(async move { client.pipeline(requests).await });
    let operations = (0..300)
        .map(|id| numbered(id, get_operation("k")))
        .collect();
    send.send(pb::PipelineRequest { operations }).await.unwrap();
    let mut responses = soon(opening).await.unwrap().unwrap().into_inner();
    for _ in 0..256 {
        soon(fake.barrier.wait_for_arrival()).await;
    }
    assert_eq!(fake.options.lock().len(), 256, "the others wait");
    fake.barrier.let_go_on(7);
    let mut answered = 0;
    while answered < 7 {
        let response = soon(responses.message()).await.unwrap().unwrap();
        answered += response.results.len();
    }
    assert_eq!(answered, 7);
    for _ in 0..7 {
        soon(fake.barrier.wait_for_arrival()).await;
    }
    fake.barrier.let_go_on(293);
    drop(send);
    while let Some(response) = soon(responses.message()).await.unwrap() {
        answered += response.results.len();
    }
    assert_eq!(answered, 300);
}

#[tokio::test]
async fn keys_come_in_pages_and_a_cursor_goes_on_behind_them() {
    let (mut client, _, _server) = server().await;
    let names: Vec<String> = (0..10).map(|number| format!("key {number}")).collect();
    for name in &names {
        client.put(put(name, "v", &Bytes::new())).await.unwrap();
    }
    let list = |cursor: Bytes, limit| pb::ListKeysRequest {
        cursor,
        limit,
        ..Default::default()
    };
    let mut pages = client
        .list_keys(list(Bytes::new(), None))
        .await
        .unwrap()
        .into_inner();
    let mut keys = Vec::new();
    let mut sizes = Vec::new();
    while let Some(page) = pages.message().await.unwrap() {
        sizes.push(page.keys.len());
        keys.extend(page.keys);
    }
    assert_eq!(sizes, [3, 3, 3, 1]);
    keys.sort();
    assert_eq!(keys, names);
    // By twos, each time behind the cursor of the last.
    let (mut cursor, mut again) = (Bytes::new(), Vec::new());
    loop {
        let request = list(cursor.clone(), Some(2));
        let mut pages = client.list_keys(request).await.unwrap().into_inner();
        let page = pages.message().await.unwrap().unwrap();
        assert!(page.keys.len() <= 2);
        assert!(pages.message().await.unwrap().is_none());
        again.extend(page.keys);
        if page.cursor.is_empty() {
            break;
        }
        cursor = page.cursor;
    }
    again.sort();
    assert_eq!(again, names);

    let invalid = Code::InvalidArgument;
    refused(
        client.list_keys(list(Bytes::new(), Some(0))).await,
        invalid,
        &["limit is 0"],
    );
    refused(
        client.list_keys(list("nonsense".into(), None)).await,
        invalid,
        &["cursor"],
    );
    let elsewhere = pb::ListKeysRequest {
        keyspace: "elsewhere".to_owned(),
        ..list(cursor_of(&mut client).await, None)
    };
    refused(
        client.list_keys(elsewhere).await,
        invalid,
        &["cursor", "default"],
    );
}

#[tokio::test]
async fn only_keys_that_begin_as_is_wanted_are_listed() {
    let (mut client, _, _server) = server().await;
    // More than one page looks at: the fake gives three at a time.
    let names: Vec<String> = (0..100).map(|number| format!("{number:02}")).collect();
    for name in &names {
        client.put(put(name, "v", &Bytes::new())).await.unwrap();
    }
    for (prefix, limit) in [("9", None), ("9", Some(4)), ("42", Some(1)), ("x", Some(5))] {
        let mut request = pb::ListKeysRequest {
            prefix: prefix.into(),
            limit,
            ..Default::default()
        };
        let (mut found, mut pages) = (Vec::new(), 0);
        loop {
            let mut listing = client
                .list_keys(request.clone())
                .await
                .unwrap()
                .into_inner();
            let (mut came, mut cursor) = (0, Bytes::new());
            while let Some(page) = listing.message().await.unwrap() {
                came += page.keys.len();
                pages += 1;
                found.extend(page.keys);
                cursor = page.cursor;
            }
            assert!(limit.is_none_or(|limit| came <= limit as usize), "{came}");
            if cursor.is_empty() {
                break;
            }
            request.cursor = cursor;
        }
        found.sort();
        let wanted = names.iter().filter(|name| name.starts_with(prefix));
        assert_eq!(found, Vec::from_iter(wanted), "{prefix} {limit:?}");
        assert!(pages > 1, "no page looks at all of them");
    }
}

/// Some cursor of the default keyspace.
async fn cursor_of(client: &mut KvClient<Channel>) -> Bytes {
    let request = pb::ListKeysRequest {
        limit: Some(1),
        ..Default::default()
    };
    let mut pages = client.list_keys(request).await.unwrap().into_inner();
    pages.message().await.unwrap().unwrap().cursor
}
