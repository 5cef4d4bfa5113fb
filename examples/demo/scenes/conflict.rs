//! Two clients write at once: nothing is lost, and a merge ends it.

use super::all_copies;
use crate::client::{Put, texts};
use crate::cluster::Cluster;
use crate::stage::{Failure, Stage};
use dynamokv::rpc::pb::GetResponse;

pub(crate) const TITLE: &str = "Concurrent writes";
pub(crate) const IDEA: &str = "Every read gives a context: what it has seen. A write replaces what its context has seen \
    and nothing else, so of two writes that did not know of each other both are kept, as siblings, until someone merges.";

pub(crate) async fn play(cluster: &mut Cluster, stage: &mut Stage) -> Result<(), Failure> {
    let place = cluster.locate(KEY).await?;
    let [ann, bob, _] = place.owners.as_slice() else {
        return Err(Failure::new("the key has three replicas", 3, place.shown()));
    };
    let Some(other) = place.fallbacks.first() else {
        return Err(Failure::new(
            "one node is no replica of the key",
            "a fourth node",
            "none",
        ));
    };
    let (at_ann, at_bob) = (cluster.node(ann)?, cluster.node(bob)?);
    stage.act(format_args!(
        "put {KEY} = {FIRST:?} through {ann}; its replicas are {}",
        place.shown()
    ));
    at_ann.put(Put::new(KEY, FIRST)).await?;

    stage.act(format_args!(
        "two clients read it: Ann through {ann}, Bob through {bob}"
    ));
    let (ann_saw, bob_saw) = (at_ann.get(KEY).await?, at_bob.get(KEY).await?);
    tell(cluster, stage, &ann_saw);
    stage.same(
        "both saw the same, and got the same context",
        &ann_saw.context,
        &bob_saw.context,
    )?;

    stage.act(format_args!(
        "at the same time Ann puts {ANN:?} through {ann}, and Bob {BOB:?} through {bob}"
    ));
    let (put_ann, put_bob) = tokio::join!(
        at_ann.put(Put {
            context: ann_saw.context,
            ..Put::new(KEY, ANN)
        }),
        at_bob.put(Put {
            context: bob_saw.context,
            ..Put::new(KEY, BOB)
        }),
    );
    let coordinators = [put_ann?, put_bob?].map(|put| cluster.named(&put.coordinator));
    stage.same(
        "both are acknowledged, each coordinated by the client's node",
        [ann, bob],
        coordinators.each_ref(),
    )?;

    stage.act(format_args!(
        "a third client reads through {other}, which is no replica of the key"
    ));
    let both = cluster.node(other)?.get(KEY).await?;
    tell(cluster, stage, &both);
    let expected = vec![ANN.to_owned(), BOB.to_owned()];
    stage.same(
        "the read gives both writes, and no longer the first",
        expected,
        texts(&both.values),
    )?;

    stage.act(format_args!(
        "it puts the union, {MERGED:?}, with the context of that read"
    ));
    let merge = Put {
        context: both.context,
        ..Put::new(KEY, MERGED)
    };
    let merged = cluster.node(other)?.put(merge).await?;
    stage.see(format_args!(
        "{} coordinated; when it was acknowledged: {}",
        cluster.named(&merged.coordinator),
        cluster.answers(&merged.answers)
    ));
    let places = std::slice::from_ref(&place);
    all_copies(
        cluster,
        stage,
        "every replica is down to the one merged version, clocks included",
        places,
        MERGED,
    )
    .await?;
    for owner in &place.owners {
        let copy = cluster.node(owner)?.own_copy(KEY).await?;
        stage.see(format_args!(
            "{owner}'s own copy has seen {}",
            cluster.named(&copy.clock)
        ));
        stage.same(
            format_args!("{owner} keeps one version and no hidden ones"),
            1,
            copy.siblings,
        )?;
    }
    stage.how(
        "dotted version vectors: each write has a dot of its own, node.epoch@counter, and each copy knows which dots it has \
         seen. A value goes when a context that has seen its dot comes by, and for no other reason: no wall clock decides.",
    );
    Ok(())
}

/// Shows the values of a read with their clocks.
fn tell(cluster: &Cluster, stage: &Stage, get: &GetResponse) {
    for value in &get.values {
        let text = String::from_utf8_lossy(&value.value);
        stage.see(format_args!(
            "{text:?}, written as {}",
            cluster.named(&value.clock)
        ));
    }
    stage.see(format_args!("from {}", cluster.answers(&get.answers)));
}

const KEY: &str = "basket";
const FIRST: &str = "milk";
const ANN: &str = "milk, bread";
const BOB: &str = "milk, eggs";
const MERGED: &str = "milk, bread, eggs";
