//! A node dies: writes go on, and whoever stands in for it remembers what it misses.

use std::time::Instant;

use super::all_copies;
use crate::client::{Put, texts};
use crate::cluster::{Cluster, Place};
use crate::stage::{Failure, Stage};
use bytes::Bytes;
use dynamokv::rpc::pb;
use dynamokv::rpc::pb::AnswerKind;
use tonic::Code;

pub(crate) const TITLE: &str = "A node fails";
pub(crate) const IDEA: &str = "Writes are not refused because a node is down: the next node in the ring's ranking stores \
    the copy in its place, with a hint that says for whom. That is a sloppy quorum.";
/// What is written while the node is down.
pub(crate) const LATEST: &str = "paid";

/// Gives the keys that got [`LATEST`] while n2, a replica of each, was down.
pub(crate) async fn play(cluster: &mut Cluster, stage: &mut Stage) -> Result<Vec<Place>, Failure> {
    let orders = place_orders(cluster, stage).await?;
    stage.act("kill n2: no goodbye, no clean stop");
    cluster.kill("n2").await;
    let mut orders = orders.into_iter();
    let mut places = Vec::new();
    if let Some((place, context)) = orders.next() {
        before_it_is_noticed(cluster, stage, &place, context.clone()).await?;
        noticed(cluster, stage).await?;
        refused_when_strict(cluster, stage, &place, context).await?;
        places.push(place);
    }
    places.extend(sloppy(cluster, stage, orders).await?);
    hinted(cluster, stage, &places).await?;
    stage.how(
        "failure detection (phi accrual over gossiped heartbeats, and failed calls) tells who is down; a sloppy quorum counts \
         a stand-in's copy for the replica that it stands in for; the hint is stored in one batch with the copy.",
    );
    Ok(places)
}

/// Two keys for each node that can stand in for n2, with the contexts of their first puts.
async fn place_orders(
    cluster: &Cluster,
    stage: &mut Stage,
) -> Result<Vec<(Place, Bytes)>, Failure> {
    stage.act(format_args!(
        "put six orders = {FIRST:?}; the keys are chosen so that n2 is a replica of each"
    ));
    let (mut places, mut contexts) = (Vec::new(), Vec::new());
    for stand_in in ["n1", "n3", "n4"] {
        let wanted = |place: &Place| place.has_replica("n2") && place.fallbacks == [stand_in];
        for place in cluster.keys("order", 2, wanted).await? {
            contexts.push(
                cluster
                    .node("n1")?
                    .put(Put::new(&place.key, FIRST))
                    .await?
                    .context,
            );
            stage.see(format_args!(
                "replicas of {}: {}; {stand_in} would stand in",
                place.key,
                place.shown()
            ));
            places.push(place);
        }
    }
    all_copies(
        cluster,
        stage,
        "n2 and the other replicas have the same copies of all",
        &places,
        FIRST,
    )
    .await?;
    Ok(places.into_iter().zip(contexts).collect())
}

/// Through a replica, which has its own copy and asks for the others. Any other node would pass the put on to a replica,
/// and where that is the dead one the honest answer may be "unknown".
async fn before_it_is_noticed(
    cluster: &Cluster,
    stage: &mut Stage,
    place: &Place,
    context: Bytes,
) -> Result<(), Failure> {
    let key = &place.key;
    let alive = place.owners.iter().find(|owner| *owner != "n2");
    let through = alive.map_or("n1", String::as_str);
    stage.act(format_args!(
        "put {key} = {LATEST:?} through {through} at once, W=2"
    ));
    let begun = Instant::now();
    let put = cluster
        .node(through)?
        .put(Put {
            context,
            ..Put::new(key, LATEST)
        })
        .await?;
    let took = begun.elapsed().as_millis();
    stage.see(format_args!(
        "acknowledged after {took} ms, coordinated by {}: {}",
        cluster.named(&put.coordinator),
        cluster.answers(&put.answers)
    ));
    stage.holds(
        "the put did not wait for n2",
        took < STALL_MS,
        format_args!("less than {STALL_MS} ms"),
        took,
    )
}

async fn noticed(cluster: &Cluster, stage: &mut Stage) -> Result<(), Failure> {
    let look = async || {
        for node in cluster.running() {
            if node
                .members()
                .await?
                .iter()
                .any(|member| member.name == "n2" && member.live)
            {
                return Err(format!("{} believes n2 alive", node.name()));
            }
        }
        Ok(())
    };
    stage
        .until(
            "n1, n3 and n4 each found out that n2 is down",
            "n2 is down on all",
            look,
        )
        .await
}

async fn refused_when_strict(
    cluster: &Cluster,
    stage: &mut Stage,
    place: &Place,
    context: Bytes,
) -> Result<(), Failure> {
    let key = &place.key;
    stage.act(format_args!(
        "put {key} through n1 with W=3 and a strict quorum: the replicas themselves or nobody"
    ));
    let put = Put {
        context,
        w: 3,
        mode: pb::QuorumMode::Strict,
        ..Put::new(key, "never")
    };
    let (code, said) = match cluster.node("n1")?.try_put(put).await {
        Ok(_) => (Code::Ok, "applied".to_owned()),
        Err(status) => (status.code(), cluster.named(status.message())),
    };
    stage.holds(
        "it is refused, and nothing is applied",
        code == Code::Unavailable,
        "UNAVAILABLE",
        &said,
    )?;
    stage.see(said);
    Ok(())
}

/// Puts through all who are left, each with three copies without n2.
async fn sloppy(
    cluster: &Cluster,
    stage: &mut Stage,
    orders: impl Iterator<Item = (Place, Bytes)>,
) -> Result<Vec<Place>, Failure> {
    stage.act(format_args!(
        "put the other orders = {LATEST:?} through n1, n3 and n4, W=3, sloppy as by default"
    ));
    let (mut places, mut counted) = (Vec::new(), Vec::new());
    for ((place, context), through) in orders.zip(["n1", "n3", "n4"].into_iter().cycle()) {
        let put = Put {
            context,
            w: 3,
            ..Put::new(&place.key, LATEST)
        };
        let put = cluster.node(through)?.put(put).await?;
        stage.see(format_args!(
            "{} through {through}: {}",
            place.key,
            cluster.answers(&put.answers)
        ));
        let holds = |answer: &&pb::Answer| {
            answer.kind() == AnswerKind::Holder && cluster.named(&answer.stands_for) == "n2"
        };
        let replicas = put
            .answers
            .iter()
            .filter(|answer| answer.kind() == AnswerKind::Replica)
            .count();
        counted.push((replicas, put.answers.iter().filter(holds).count()));
        places.push(place);
    }
    let claim = "each has three copies: those of two replicas, and one held for n2";
    stage.same(claim, vec![(2, 1); places.len()], counted)?;
    Ok(places)
}

/// Whoever stands in has the latest value of each key, marked for n2, and says so.
async fn hinted(cluster: &Cluster, stage: &mut Stage, places: &[Place]) -> Result<(), Failure> {
    let look = async || {
        for place in places {
            for stand_in in &place.fallbacks {
                let copy = cluster.node(stand_in)?.own_copy(&place.key).await?;
                if !copy.marked || texts(&copy.values) != [LATEST] {
                    return Err(format!(
                        "{stand_in} has {:?} of {}",
                        texts(&copy.values),
                        place.key
                    ));
                }
            }
        }
        Ok(())
    };
    let claim = "each stand-in's own copy is the latest value, marked as held for another";
    stage
        .until(claim, format!("{LATEST:?}, marked"), look)
        .await?;
    let mut held = 0;
    for node in cluster.running() {
        for hints in node.hints().await? {
            stage.see(format_args!(
                "{} keeps {} hints for {}",
                node.name(),
                hints.count,
                cluster.named(&hints.target)
            ));
            held += hints.count;
        }
    }
    let expected = places.len() as u64;
    stage.holds(
        "there is a hint for every key",
        held >= expected,
        format_args!("at least {expected}"),
        held,
    )
}

const FIRST: &str = "placed";
/// A put that waits for the dead would take its whole timeout of 2 s.
const STALL_MS: u128 = 1_500;
