#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use dynamokv_coordinator::ErrorKind;
use dynamokv_ring::NodeId;
use tokio::time::Instant;

use crate::testing::{Fake, Mood, topology_message};
use crate::transport::{Cause, Request};
use crate::{ClientConfig, Context, Error, Idempotency, Options, Outcome};

const MILLI: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn every_request_goes_straight_to_a_replica() {
    let fake = Fake::new(8);
    let client = fake.client(ClientConfig::default()).await;
    for number in 0..50 {
        let key = format!("key {number}");
        let owners = client.owners(key.as_bytes());
        let read = client.get(key).await.unwrap();
        assert!(owners.contains(&read.coordinator));
        assert_eq!(read.attempts, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_node_costs_each_request_one_attempt_at_most_and_is_then_avoided() {
    let fake = Fake::new(5);
    fake.mood(2, Mood::Bad(Duration::ZERO, Cause::NotSent));
    let client = fake.client(ClientConfig::default()).await;
    let mut met = 0;
    for number in 0..100 {
        let written = client
            .put_with(format!("key {number}"), "v", &Context::new())
            .await
            .unwrap();
        assert!(written.attempts <= 2);
        met += written.attempts - 1;
    }
    assert_eq!(met, 1, "nobody runs into it twice within its pause");
    // After the pause it is asked again, and is a node like all others once it answers.
    fake.moods.lock().clear();
    tokio::time::advance(Duration::from_secs(1)).await;
    fake.asked.lock().clear();
    for number in 0..100 {
        client.get(format!("key {number}")).await.unwrap();
    }
    assert!(fake.asked().contains(&NodeId(2)));
}

#[tokio::test(start_paused = true)]
async fn behind_gateways_everything_goes_to_them_and_one_that_dies_costs_one_attempt() {
    let fake = Fake::new(5);
    let front = dynamokv_rpc::pb::Topology {
        cluster_id: 7,
        front: true,
        ..Default::default()
    };
    *fake.topology.lock() = (9, front);
    // Its seeds are 1:1 and 2:1.
    let client = fake.client(ClientConfig::default()).await;
    assert_eq!(client.topology().cluster_id(), 7);
    let mut asked = BTreeSet::new();
    for number in 0..50 {
        let read = client.get(format!("key {number}")).await.unwrap();
        asked.insert(read.coordinator);
    }
    assert_eq!(asked, [1, 2].map(NodeId).into());
    fake.mood(1, Mood::Bad(Duration::ZERO, Cause::Lost));
    for number in 0..50 {
        let read = client.get(format!("key {number}")).await.unwrap();
        assert!(read.attempts <= 2);
    }
    // The nodes behind them are never asked, however long they tell of nothing else.
    tokio::time::sleep(Duration::from_secs(60)).await;
    client.get("key").await.unwrap();
    assert_eq!(BTreeSet::from_iter(fake.asked()), [1, 2].map(NodeId).into());
}

#[tokio::test(start_paused = true)]
async fn a_stalled_node_is_hedged_around() {
    let fake = Fake::new(3);
    let config = ClientConfig::default();
    let client = fake.client(config.clone()).await;
    for number in 0..2_000 {
        client.get(format!("key {number}")).await.unwrap();
    }
    fake.mood(1, Mood::Good(Duration::from_secs(60)));
    let mut hedged = 0;
    for number in 0..20 {
        let start = Instant::now();
        let read = client.get(format!("key {number}")).await.unwrap();
        assert_ne!(read.coordinator, NodeId(1));
        assert!(start.elapsed() <= config.hedge_after_max + MILLI);
        hedged += read.attempts - 1;
    }
    assert!(hedged > 0, "the stalled one was never asked");
    let off = client.with(Options {
        hedge: false,
        ..Options::default()
    });
    let mut slowest = Duration::ZERO;
    for number in 0..20 {
        let start = Instant::now();
        off.get(format!("key {number}")).await.unwrap();
        slowest = slowest.max(start.elapsed());
    }
    assert!(slowest >= config.attempt_timeout, "{slowest:?}");
}

#[tokio::test(start_paused = true)]
async fn hedges_stay_within_their_budget() {
    let fake = Fake::new(3);
    let config = ClientConfig {
        hedge_after_max: 10 * MILLI,
        hedge_after_min: 10 * MILLI,
        ..ClientConfig::default()
    };
    let client = fake.client(config.clone()).await;
    for node in 1..=3 {
        fake.mood(node, Mood::Good(20 * MILLI));
    }
    for number in 0..1_000 {
        client.get(format!("key {number}")).await.unwrap();
    }
    let hedges = fake.asked().len() - 1_000;
    let allowed = 1_000.0 * config.hedge_ratio + f64::from(config.hedge_burst);
    assert!((1..=allowed as usize).contains(&hedges), "{hedges}");
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_fate_is_unknown_is_sent_again_under_its_idempotency_key_alone() {
    let fake = Fake::new(3);
    let client = fake.client(ClientConfig::default()).await;
    let lost = |node| fake.mood(node, Mood::Bad(MILLI, Cause::Lost));
    [1, 2, 3].into_iter().for_each(lost);
    let error = client
        .put_with("k", "v", &Context::new())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Unknown(_)), "{error}");
    let keys: BTreeSet<Bytes> = fake
        .asked
        .lock()
        .iter()
        .map(|(_, request)| match request {
            Request::Put(put) => put.idempotency_key.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(fake.asked().len() > 1);
    assert!(keys.len() == 1 && !keys.contains(&Bytes::new()), "{keys:?}");

    fake.asked.lock().clear();
    let without = client.with(Options {
        idempotency: Idempotency::Off,
        ..Options::default()
    });
    let error = without
        .put_with("k", "v", &Context::new())
        .await
        .unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert_eq!(fake.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_the_nodes_say_decides() {
    let fake = Fake::new(3);
    let client = fake.client(ClientConfig::default()).await;
    for (kind, sent_again) in [
        (ErrorKind::Invalid, false),
        (ErrorKind::Precondition, false),
        (ErrorKind::NotApplied, true),
        (ErrorKind::Overloaded, true),
    ] {
        for node in 1..=3 {
            fake.mood(node, Mood::Bad(Duration::ZERO, Cause::Said(kind)));
        }
        fake.asked.lock().clear();
        let error = client
            .put_with("k", "v", &Context::new())
            .await
            .unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (kind, Outcome::NotApplied));
        assert_eq!(fake.asked().len() > 1, sent_again, "{kind:?}");
        let details = error.details().unwrap();
        assert_eq!(details.attempts as usize, fake.asked().len());
        assert!(details.message.contains("in a bad mood"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn retries_stay_within_their_budget() {
    let fake = Fake::new(3);
    let config = ClientConfig::default();
    let client = fake.client(config.clone()).await;
    for node in 1..=3 {
        let overloaded = Cause::Said(ErrorKind::Overloaded);
        fake.mood(node, Mood::Bad(Duration::ZERO, overloaded));
    }
    for _ in 0..1_000 {
        client.get("k").await.unwrap_err();
    }
    let retries = fake.asked().len() - 1_000;
    let allowed = 1_000.0 * config.retry_ratio + f64::from(config.retry_burst);
    assert!(retries <= allowed as usize, "{retries}");
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_every_call() {
    let fake = Fake::new(3);
    let client = fake.client(ClientConfig::default()).await;
    for node in 1..=3 {
        fake.mood(node, Mood::Good(Duration::from_secs(60)));
    }
    let client = client.with(Options {
        timeout: Some(1_500 * MILLI),
        ..Options::default()
    });
    let start = Instant::now();
    let read = client.get("k").await.unwrap_err();
    assert!(matches!(read, Error::NotApplied(_)), "{read}");
    assert!(start.elapsed() <= 1_501 * MILLI);
    let start = Instant::now();
    let write = client
        .put_with("k", "v", &Context::new())
        .await
        .unwrap_err();
    assert!(matches!(write, Error::Unknown(_)), "{write}");
    assert!(start.elapsed() <= 1_501 * MILLI);
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_cluster_is_followed_as_soon_as_an_answer_tells_of_it() {
    let fake = Fake::new(3);
    let client = fake.client(ClientConfig::default()).await;
    let mut grown = topology_message(5);
    grown.change = 2;
    *fake.topology.lock() = (2, grown);
    client.get("k").await.unwrap();
    tokio::time::sleep(MILLI).await;
    assert_eq!(client.topology().nodes().len(), 5);
    assert!(fake.kept.lock().contains(&"5:1".to_owned()));
    // An older view, of a node that has not heard of it yet, changes nothing.
    *fake.topology.lock() = (1, topology_message(3));
    client.get("k").await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(client.topology().change(), 2);
}

#[tokio::test(start_paused = true)]
async fn without_any_word_the_topology_is_asked_for_now_and_then() {
    let fake = Fake::new(3);
    let config = ClientConfig::default();
    let client = fake.client(config.clone()).await;
    *fake.topology.lock() = (2, topology_message(5));
    tokio::time::sleep(config.follow_interval + MILLI).await;
    assert_eq!(client.topology().nodes().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_seed_that_answers_is_enough_and_none_is_an_error() {
    let fake = Fake::new(3);
    fake.mood(1, Mood::Bad(Duration::ZERO, Cause::NotSent));
    fake.client(ClientConfig::default()).await;
    fake.mood(2, Mood::Bad(Duration::ZERO, Cause::NotSent));
    let config = ClientConfig::default();
    let start = Instant::now();
    let none = crate::Client::over(fake.clone(), config.clone(), ["1:1", "2:1"]).await;
    let error = none.unwrap_err();
    assert!(
        matches!(&error, Error::NoSeed { reasons } if reasons.len() == 2),
        "{error}"
    );
    assert!(start.elapsed() <= config.timeout);
    // One that comes up in the meantime is found.
    let (again, _) = tokio::join!(
        crate::Client::over(fake.clone(), config, ["1:1", "2:1"]),
        async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            fake.moods.lock().clear();
        }
    );
    again.unwrap();
}
