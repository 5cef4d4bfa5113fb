#![allow(clippy::unwrap_used)]

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::*;
use crate::testing::{Fake, Mood};
use crate::{ClientConfig, Error, Idempotency, Options, Outcome};

/// What the fake answers: the key that was asked for.
fn key_of(done: &Result<Done>) -> Bytes {
    match done.as_ref().unwrap() {
        Done::Read(versions) => versions.context.as_bytes().clone(),
        Done::Written(written) => written.context.as_bytes().clone(),
    }
}

fn some_of_each(number: usize) -> Operation {
    let key = format!("key {number}");
    match number % 3 {
        0 => Operation::get(key),
        1 => Operation::put(key, "v", Context::new()),
        _ => Operation::delete(key, Context::from_bytes("seen")),
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_goes_to_each_node_in_one_message_and_comes_back_in_order() {
    let fake = Fake::new(5);
    let client = fake.client(ClientConfig::default()).await;
    let results = client.batch((0..100).map(some_of_each)).await;
    assert_eq!(results.len(), 100);
    for (number, done) in results.iter().enumerate() {
        assert_eq!(key_of(done), format!("key {number}"));
        assert_eq!(matches!(done, Ok(Done::Read(_))), number % 3 == 0);
    }
    assert!(fake.asked().len() <= 5, "{:?}", fake.asked());
    assert!(client.batch([]).await.is_empty());
    // No message is too large for a node.
    fake.asked.lock().clear();
    let value = "v".repeat(1 << 20);
    let large = |number: usize| Operation::put(format!("{number}"), value.clone(), Context::new());
    for done in client.batch((0..20).map(large)).await {
        done.unwrap();
    }
    for (_, request) in fake.asked.lock().iter() {
        let Request::Batch(batch) = request else {
            panic!("alone");
        };
        assert!(batch.operations.len() <= 2);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_node_did_not_answer_is_carried_on_elsewhere_if_that_is_safe() {
    let fake = Fake::new(5);
    fake.mood(2, Mood::Bad(Duration::ZERO, Cause::Lost));
    let client = fake.client(ClientConfig::default()).await;
    for (number, done) in client
        .batch((0..90).map(some_of_each))
        .await
        .iter()
        .enumerate()
    {
        assert_eq!(key_of(done), format!("key {number}"));
    }
    tokio::time::advance(Duration::from_secs(10)).await;
    let without = client.with(Options {
        idempotency: Idempotency::Off,
        ..Options::default()
    });
    let mut unknown = 0;
    for done in without.batch((0..90).map(some_of_each)).await {
        match done {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
                unknown += 1;
            }
        }
    }
    assert!((1..60).contains(&unknown), "{unknown}");
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_answers_each_operation_with_its_own_result_and_packs_them_together() {
    let fake = Fake::new(5);
    let client = fake.client(ClientConfig::default()).await;
    let pipeline = client.pipeline(200);
    let mut results = FuturesUnordered::new();
    for number in 0..1_000 {
        if results.len() == 150 {
            check(results.next().await.unwrap());
        }
        let result = pipeline.submit(some_of_each(number)).await;
        results.push(async move { (number, result.await) });
    }
    while let Some(result) = results.next().await {
        check(result);
    }
    assert!(fake.asked().is_empty(), "nothing goes by itself");
    let messages = fake.messages.load(Ordering::Relaxed);
    assert!(messages < 900, "{messages}");
}

fn check((number, done): (usize, Result<Done>)) {
    assert_eq!(key_of(&done), format!("key {number}"));
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_has_no_more_under_way_than_it_may() {
    let fake = Fake::new(3);
    let client = fake.client(ClientConfig::default()).await;
    let pipeline = client.pipeline(2);
    let first = pipeline.submit(some_of_each(0)).await;
    let second = pipeline.submit(some_of_each(1)).await;
    let third = pipeline.submit(some_of_each(2));
    let mut third = std::pin::pin!(third);
    assert!(futures_util::poll!(third.as_mut()).is_pending());
    first.await.unwrap();
    third.await.await.unwrap();
    second.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn where_a_stream_breaks_its_operations_are_carried_on() {
    let fake = Fake::new(3);
    fake.mood(1, Mood::Bad(Duration::ZERO, Cause::Lost));
    let client = fake.client(ClientConfig::default()).await;
    let pipeline = client.pipeline(100);
    for round in 0..3 {
        for number in 0..30 {
            let result = pipeline.submit(some_of_each(number)).await;
            check((number, result.await));
        }
        assert!(!fake.asked().is_empty(), "round {round}");
        tokio::time::advance(Duration::from_secs(10)).await;
    }
    for node in 1..=3 {
        fake.mood(node, Mood::Bad(Duration::ZERO, Cause::Lost));
    }
    let lost = pipeline.submit(some_of_each(1)).await.await.unwrap_err();
    assert!(matches!(lost, Error::Unknown(_)), "{lost}");
}
