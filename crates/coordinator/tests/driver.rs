//! The driver over real stores and a network that misbehaves, in paused time.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use dynamokv_coordinator::{Config, Error, Fence, Options, QuorumMode, ReplicaWrite};
use dynamokv_ring::{NodeId, PartitionRing, Placement};
use dynamokv_storage::{Engine, Family, FaultEngine, SyncMode};
use dynamokv_vclock::CausalContext;
use support::{Cluster, Fault, get, key, put};
use tokio::time::Instant;

fn nothing_seen() -> CausalContext {
    CausalContext::new()
}

fn texts(state: &dynamokv_storage::State) -> Vec<String> {
    let mut texts: Vec<String> = state
        .values()
        .filter_map(|(_, value)| value.body.as_ref())
        .map(|body| String::from_utf8_lossy(body).into_owned())
        .collect();
    texts.sort();
    texts
}

#[tokio::test(start_paused = true)]
async fn two_hundred_concurrent_pairs_through_one_coordinator_lose_nothing() {
    // The prototype kept one of each pair and showed no siblings.
    let cluster = Cluster::new(3, &Config::default());
    let through = cluster.coordinator(NodeId(1));
    for pair in 0..200 {
        let name = format!("pair-{pair}");
        let (a, b) = tokio::join!(
            through.put(put(&name, "a", &nothing_seen())),
            through.put(put(&name, "b", &nothing_seen()))
        );
        a.unwrap();
        b.unwrap();
        assert_eq!(
            texts(&through.get(get(&name)).await.unwrap().state),
            ["a", "b"]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn puts_in_sequence_through_two_coordinators_are_no_siblings() {
    // The prototype's put took no context, so nothing ever resolved them.
    let cluster = Cluster::new(3, &Config::default());
    let mut context = nothing_seen();
    for round in 0..20_u64 {
        let through = cluster.coordinator(NodeId(1 + round % 2));
        context = through
            .put(put("k", &round.to_string(), &context))
            .await
            .unwrap()
            .context;
        assert_eq!(
            texts(&through.get(get("k")).await.unwrap().state),
            [round.to_string()]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn one_stalled_replica_is_not_felt_by_puts_and_at_most_a_hedge_by_gets() {
    // The prototype awaited all N: every request took the full time-out.
    let config = Config::default();
    let cluster = Cluster::new(4, &config);
    let owners = cluster.ring.owners(key("k").token()).to_vec();
    cluster.fault(owners[1], Some(Fault::Stalled));
    let through = cluster.coordinator(owners[0]);
    let start = Instant::now();
    let reply = through.put(put("k", "v", &nothing_seen())).await.unwrap();
    assert!(
        start.elapsed() < Duration::from_millis(50),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(reply.answers.len(), 3);
    let start = Instant::now();
    assert_eq!(texts(&through.get(get("k")).await.unwrap().state), ["v"]);
    assert!(
        start.elapsed() <= config.slow_after + Duration::from_millis(50),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_the_wait_and_the_outcome_is_unknown() {
    let cluster = Cluster::new(3, &Config::default());
    for node in [2, 3] {
        cluster.fault(NodeId(node), Some(Fault::Stalled));
    }
    let mut request = put("k", "v", &nothing_seen());
    request.options.timeout = Some(Duration::from_millis(500));
    let start = Instant::now();
    let error = cluster
        .coordinator(NodeId(1))
        .put(request)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Unknown { needed: 2, .. }), "{error}");
    assert!(start.elapsed() <= Duration::from_millis(550));
    let mut request = get("k");
    request.options.timeout = Some(Duration::from_millis(500));
    let error = cluster
        .coordinator(NodeId(1))
        .get(request)
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::Unreadable { needed: 2, .. }),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn without_enough_live_nodes_nothing_is_written() {
    let cluster = Cluster::new(3, &Config::default());
    cluster.believe_down(&[NodeId(2), NodeId(3)]);
    let error = cluster
        .coordinator(NodeId(1))
        .put(put("k", "v", &nothing_seen()))
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::Unavailable {
                needed: 2,
                reachable: 1,
                ..
            }
        ),
        "{error}"
    );
    assert!(
        cluster
            .replica(NodeId(1))
            .store()
            .get(&key("k"))
            .unwrap()
            .is_none(),
        "not applied means so"
    );
}

#[tokio::test(start_paused = true)]
async fn a_sloppy_quorum_writes_a_hint_where_a_strict_one_refuses() {
    let cluster = Cluster::new(4, &Config::default());
    let owners = cluster.ring.owners(key("k").token()).to_vec();
    cluster.believe_down(&owners[1..]);
    let through = cluster.coordinator(owners[0]);
    let mut strict = put("k", "v", &nothing_seen());
    strict.options = Options {
        mode: QuorumMode::Strict,
        ..Options::default()
    };
    assert!(matches!(
        through.put(strict).await,
        Err(Error::Unavailable { .. })
    ));
    let reply = through.put(put("k", "v", &nothing_seen())).await.unwrap();
    let fallback = cluster.ring.ranking(key("k").token())[3];
    let held = cluster
        .replica(fallback)
        .store()
        .get(&key("k"))
        .unwrap()
        .unwrap();
    assert_eq!(texts(&held), ["v"]);
    assert!(
        reply.answers.iter().any(|answer| answer.node == fallback),
        "{:?}",
        reply.answers
    );
}

#[tokio::test(start_paused = true)]
async fn a_node_outside_the_preference_list_forwards_and_coordinates_only_when_no_replica_can() {
    let cluster = Cluster::new(5, &Config::default());
    let ranking = cluster.ring.ranking(key("k").token());
    let outsider = cluster.coordinator(ranking[4]);
    let reply = outsider.put(put("k", "v1", &nothing_seen())).await.unwrap();
    assert_eq!(reply.coordinator, ranking[0]);
    cluster.fault(ranking[0], Some(Fault::Cut));
    let reply = outsider.put(put("k", "v2", &reply.context)).await.unwrap();
    assert_eq!(
        reply.coordinator, ranking[1],
        "an unreachable replica is passed over"
    );
    for owner in &ranking[..3] {
        cluster.fault(*owner, Some(Fault::Cut));
    }
    cluster.believe_down(&ranking[..3]);
    let reply = outsider.put(put("k", "v3", &reply.context)).await.unwrap();
    assert_eq!(reply.coordinator, ranking[4], "a fallback coordinates");
}

#[tokio::test(start_paused = true)]
async fn reads_repair_a_replica_that_is_behind() {
    let cluster = Cluster::new(3, &Config::default());
    cluster.fault(NodeId(3), Some(Fault::Cut));
    let through = cluster.coordinator(NodeId(1));
    through.put(put("k", "v", &nothing_seen())).await.unwrap();
    cluster.fault(NodeId(3), None);
    let mut request = get("k");
    request.options.quorum = Some(3);
    through.get(request).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(1);
    while cluster
        .replica(NodeId(3))
        .store()
        .get(&key("k"))
        .unwrap()
        .is_none()
    {
        assert!(Instant::now() < deadline, "not repaired");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn quorums_above_n_and_deletes_without_context_are_refused() {
    let cluster = Cluster::new(3, &Config::default());
    let through = cluster.coordinator(NodeId(1));
    let mut request = put("k", "v", &nothing_seen());
    request.options.quorum = Some(4);
    let error = through.put(request).await.unwrap_err();
    assert!(
        error.to_string().contains("w is 4") && error.to_string().contains("1..=3"),
        "{error}"
    );
    let mut request = get("k");
    request.options.quorum = Some(0);
    let error = through.get(request).await.unwrap_err();
    assert!(error.to_string().contains("r is 0"), "{error}");
    let mut request = put("k", "", &nothing_seen());
    request.value = None;
    assert!(matches!(
        through.put(request).await,
        Err(Error::ContextRequired)
    ));
}

#[tokio::test(start_paused = true)]
async fn a_deleted_key_reads_as_nothing_until_written_again() {
    let cluster = Cluster::new(3, &Config::default());
    let through = cluster.coordinator(NodeId(1));
    let written = through.put(put("k", "v", &nothing_seen())).await.unwrap();
    let mut delete = put("k", "", &written.context);
    delete.value = None;
    let deleted = through.put(delete).await.unwrap();
    assert!(texts(&through.get(get("k")).await.unwrap().state).is_empty());
    through
        .put(put("k", "again", &deleted.context))
        .await
        .unwrap();
    assert_eq!(
        texts(&through.get(get("k")).await.unwrap().state),
        ["again"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_with_a_stale_ring_is_refused() {
    let cluster = Cluster::new(3, &Config::default());
    cluster.change(|view| {
        if view.me != NodeId(1) {
            view.required = 2;
        }
    });
    let mut request = put("k", "v", &nothing_seen());
    request.options.timeout = Some(Duration::from_millis(300));
    let error = cluster
        .coordinator(NodeId(1))
        .put(request)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("stale"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_slow_sync_of_a_marker_does_not_outlast_the_deadline() {
    // Nothing is ever synced here.
    let disk = |_| -> Arc<dyn Engine> { Arc::new(FaultEngine::new(Family::CLUSTER)) };
    let cluster = Cluster::on(disk, 5, &Config::default(), SyncMode::Manual);
    let owners = cluster.ring.owners(key("k").token()).to_vec();
    cluster.believe_down(&owners);
    let through = (1..=5)
        .map(NodeId)
        .find(|node| !owners.contains(node))
        .unwrap();
    let start = Instant::now();
    let coordinator = cluster.coordinator(through);
    let error = coordinator.put(put("k", "v", &nothing_seen())).await;
    assert!(matches!(error, Err(Error::Unknown { needed: 2, .. })));
    let timeout = Config::default().timeout;
    assert!(start.elapsed() <= timeout, "{:?}", start.elapsed());
    let marked = owners
        .iter()
        .filter(|target| cluster.holds_for(through, "k", **target));
    assert_eq!(
        marked.count(),
        2,
        "it stands in for one, and keeps a marker where nobody else can"
    );
}

#[tokio::test(start_paused = true)]
async fn overload_is_refused_at_once() {
    let config = Config {
        in_flight_max: 1.try_into().unwrap(),
        ..Config::default()
    };
    let cluster = Cluster::new(3, &config);
    for node in [2, 3] {
        cluster.fault(NodeId(node), Some(Fault::Stalled));
    }
    let through = cluster.coordinator(NodeId(1));
    let first = tokio::spawn({
        let through = through.clone();
        async move { through.put(put("k", "v", &nothing_seen())).await }
    });
    tokio::task::yield_now().await;
    let error = through
        .put(put("k", "v", &nothing_seen()))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Overloaded { limit: 1 }), "{error}");
    assert!(first.await.unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_does_not_free_the_place_of_its_operation() {
    let config = Config {
        in_flight_max: 1.try_into().unwrap(),
        ..Config::default()
    };
    let cluster = Cluster::new(3, &config);
    for node in [2, 3] {
        cluster.fault(NodeId(node), Some(Fault::Stalled));
    }
    let through = cluster.coordinator(NodeId(1));
    let gone = tokio::time::timeout(
        Duration::from_millis(10),
        through.put(put("k", "v", &nothing_seen())),
    );
    assert!(gone.await.is_err(), "the client gives up");
    let error = through.get(get("k")).await.unwrap_err();
    assert!(matches!(error, Error::Overloaded { limit: 1 }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_write_that_goes_on_under_a_newer_ring_is_marked_for_whom_it_counts_then() {
    let cluster = Cluster::new(8, &Config::default());
    let newer = Arc::clone(&cluster.ring);
    let members = newer.members()[..4].to_vec();
    let older: Arc<dyn Placement> = Arc::new(PartitionRing::new(8, 3, members).unwrap());
    // A replica under the older ring is none under the newer one, where a node that was none is dead.
    let (name, me, dead) = (0..)
        .map(|n| format!("k{n}"))
        .find_map(|name| {
            let token = key(&name).token();
            let (before, after) = (older.owners(token), newer.owners(token));
            let me = *before.iter().find(|node| !after.contains(node))?;
            let dead = *after.iter().find(|node| !before.contains(node))?;
            Some((name, me, dead))
        })
        .unwrap();
    cluster.change(|view| {
        view.current = Arc::clone(&older);
        if view.me != me {
            view.required = 2;
        }
    });
    let through = cluster.coordinator(me);
    let request = put(&name, "v", &nothing_seen());
    let writing = tokio::spawn(async move { through.put(request).await });
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!writing.is_finished(), "it waits for the view to catch up");
    cluster.believe_down(&[dead]);
    cluster.change(|view| {
        view.current = Arc::clone(&newer);
        view.fence.seen = 2;
    });
    writing.await.unwrap().unwrap();
    assert!(
        cluster.holds_for(me, &name, dead),
        "the copy here counted for the dead replica, so it must be handed to it"
    );
}

/// `put` under an idempotency key.
fn put_once(name: &str, value: &str, id: &'static str) -> dynamokv_coordinator::PutRequest {
    dynamokv_coordinator::PutRequest {
        idempotency_key: Some(id.into()),
        ..put(name, value, &nothing_seen())
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_sent_again_under_its_idempotency_key_is_the_same_write() {
    let cluster = Cluster::new(3, &Config::default());
    let through = cluster.coordinator(NodeId(1));
    let first = through.put(put_once("k", "v", "a")).await.unwrap();
    let again = through.put(put_once("k", "v", "a")).await.unwrap();
    assert_eq!(first.context, again.context);
    assert_eq!(through.get(get("k")).await.unwrap().state.len(), 1);
    // Under another one, and without one, it is another write.
    through.put(put_once("k", "v", "b")).await.unwrap();
    through.put(put("k", "v", &nothing_seen())).await.unwrap();
    assert_eq!(through.get(get("k")).await.unwrap().state.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn attempts_at_once_are_one_write() {
    let cluster = Cluster::new(3, &Config::default());
    let through = cluster.coordinator(NodeId(1));
    let attempts = (0..20).map(|_| through.put(put_once("k", "v", "a")));
    for reply in futures_util::future::join_all(attempts).await {
        reply.unwrap();
    }
    assert_eq!(through.get(get("k")).await.unwrap().state.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_retry_completes_what_was_unknown_and_brings_nothing_back() {
    let cluster = Cluster::new(3, &Config::default());
    let through = cluster.coordinator(NodeId(1));
    for node in [2, 3] {
        cluster.fault(NodeId(node), Some(Fault::Cut));
    }
    let first = through.put(put_once("k", "v", "a")).await.unwrap_err();
    assert!(matches!(first, Error::Unknown { .. }), "{first}");
    for node in [2, 3] {
        cluster.fault(NodeId(node), None);
    }
    let reply = through.put(put_once("k", "v", "a")).await.unwrap();
    let read = through.get(get("k")).await.unwrap().state;
    assert_eq!((texts(&read), read.len()), (vec!["v".to_owned()], 1));
    assert_eq!(&reply.context, read.context());

    // Somebody has replaced it since: a late attempt does not make it a sibling.
    through
        .put(put("k", "newer", &reply.context))
        .await
        .unwrap();
    through.put(put_once("k", "v", "a")).await.unwrap();
    assert_eq!(
        texts(&through.get(get("k")).await.unwrap().state),
        ["newer"]
    );
}

#[tokio::test(start_paused = true)]
async fn an_idempotency_key_is_for_one_write_and_for_a_while() {
    let config = Config::default();
    let cluster = Cluster::new(3, &config);
    let through = cluster.coordinator(NodeId(1));
    through.put(put_once("k", "v", "a")).await.unwrap();
    let other = through.put(put_once("k", "w", "a")).await.unwrap_err();
    assert!(matches!(other, Error::IdempotencyKeyReused), "{other}");
    through.put(put_once("elsewhere", "w", "a")).await.unwrap();
    tokio::time::advance(config.idempotency_window).await;
    through.put(put_once("k", "w", "a")).await.unwrap();
    assert_eq!(
        texts(&through.get(get("k")).await.unwrap().state),
        ["v", "w"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_forwarded_write_keeps_its_idempotency_key() {
    let cluster = Cluster::new(4, &Config::default());
    let owners = cluster.ring.owners(key("k").token()).to_vec();
    let outside = (1..=4).map(NodeId).find(|id| !owners.contains(id)).unwrap();
    let through = cluster.coordinator(outside);
    for _ in 0..2 {
        through.put(put_once("k", "v", "a")).await.unwrap();
    }
    assert_eq!(through.get(get("k")).await.unwrap().state.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_replica_sends_its_copy_only_where_the_coordinator_has_another() {
    for cluster in [Cluster::new, Cluster::warm].map(|new| new(3, &Config::default())) {
        let [first, second] = [1, 2].map(|node| cluster.coordinator(NodeId(node)));
        let context = first.put(put("k", "old", &nothing_seen())).await.unwrap();
        first.drain().ended_before(u64::MAX).await;
        assert_eq!(texts(&second.get(get("k")).await.unwrap().state), ["old"]);
        assert_eq!(cluster.take_copies_sent(), 0, "all replicas have the same");

        let reader = NodeId(3);
        cluster.fault(reader, Some(Fault::Cut));
        first.put(put("k", "new", &context.context)).await.unwrap();
        first.drain().ended_before(u64::MAX).await;
        cluster.fault(reader, None);
        let through = cluster.coordinator(reader);
        assert_eq!(texts(&through.get(get("k")).await.unwrap().state), ["new"]);
        assert_eq!(
            cluster.take_copies_sent(),
            1,
            "the reader's own copy was behind"
        );

        assert_eq!(
            texts(&through.get(get("never written")).await.unwrap().state),
            [""; 0]
        );
        assert_eq!(cluster.take_copies_sent(), 1, "there is no hash of nothing");
    }
}

#[tokio::test(start_paused = true)]
async fn copies_that_arrive_together_are_taken_as_each_alone_would_be() {
    let (together, alone) = (
        Cluster::new(4, &Config::default()),
        Cluster::new(4, &Config::default()),
    );
    let source = Cluster::new(4, &Config::default());
    let mut writes = Vec::new();
    for number in 0..40_u64 {
        // Some keys come twice, some for a node that is no owner, some to be held for another, some from a stale sender.
        let name = format!("key-{}", number % 30);
        let body = number.to_string();
        let coordinator = source.coordinator(NodeId(1));
        coordinator
            .put(put(&name, &body, &nothing_seen()))
            .await
            .unwrap();
        let state = source
            .replica(NodeId(1))
            .own_copy(&key(&name))
            .unwrap()
            .state;
        let fence = source.replica(NodeId(1)).view().fence;
        writes.push(ReplicaWrite {
            fence: Fence {
                seen: u64::from(number % 7 != 0),
                ..fence
            },
            key: key(&name),
            delta: Arc::new(state),
            hint_for: (number % 5 == 0).then_some(NodeId(1 + number % 4)),
        });
    }
    let node = NodeId(2);
    let results = together.replica(node).write_all(writes.clone()).await;
    let mut expected = Vec::new();
    for write in writes.clone() {
        expected.push(alone.replica(node).write(write).await);
    }
    assert_eq!(results, expected);
    assert!(results.iter().any(Result::is_ok) && results.iter().any(Result::is_err));
    for write in writes {
        let copies =
            [&together, &alone].map(|cluster| cluster.replica(node).own_copy(&write.key).unwrap());
        assert_eq!(copies[0], copies[1], "{:?}", write.key);
        let name = String::from_utf8_lossy(write.key.key()).into_owned();
        for target in (1..=4).map(NodeId) {
            let held = [&together, &alone].map(|cluster| cluster.holds_for(node, &name, target));
            assert_eq!(held[0], held[1]);
        }
    }
}
