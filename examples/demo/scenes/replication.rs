//! Three nodes, one key: where its copies are, and what a quorum is.

use super::{all_copies, one_ring};
use crate::client::{Put, texts};
use crate::cluster::Cluster;
use crate::stage::{Failure, Stage};
use dynamokv::rpc::pb::AnswerKind;

pub(crate) const TITLE: &str = "Replication and quorum";
pub(crate) const IDEA: &str = "Each key is kept by N=3 nodes, its replicas. A write is done when W=2 of them have stored \
    it, a read when R=2 have answered: of any two and any two out of three, one is the same, so the read meets the write.";

pub(crate) async fn play(cluster: &mut Cluster, stage: &mut Stage) -> Result<(), Failure> {
    stage.act("start n1, which founds a cluster; start n2 and n3, which are told n1's address and nothing else");
    cluster.start("n1", None).await?;
    cluster.start("n2", Some("n1")).await?;
    cluster.start("n3", Some("n1")).await?;
    stage.see(format_args!(
        "n1 listens on {}, n2 on {}, n3 on {}",
        cluster.address("n1")?,
        cluster.address("n2")?,
        cluster.address("n3")?
    ));
    one_ring(
        cluster,
        stage,
        "all three found each other and compute the same ring",
    )
    .await?;

    let place = cluster.locate(KEY).await?;
    stage.act(format_args!("put {KEY} = {VALUE:?} through n1, W=2"));
    let put = cluster.node("n1")?.put(Put::new(KEY, VALUE)).await?;
    stage.see(format_args!(
        "the ring names its replicas, best first: {}",
        place.shown()
    ));
    stage.see(format_args!(
        "{} coordinated; when it was acknowledged: {}",
        cluster.named(&put.coordinator),
        cluster.answers(&put.answers)
    ));
    let stored = put
        .answers
        .iter()
        .filter(|answer| answer.kind() == AnswerKind::Replica)
        .count();
    let answers = cluster.answers(&put.answers);
    stage.holds(
        "two replicas had stored it by then",
        stored >= 2,
        "at least 2 replicas",
        answers,
    )?;
    let places = std::slice::from_ref(&place);
    let hashes = all_copies(
        cluster,
        stage,
        "the third copy followed by itself",
        places,
        VALUE,
    )
    .await?;
    for hash in hashes {
        stage.see(format_args!(
            "the three nodes' own copies have one hash, values and clocks included: {hash:.8}"
        ));
    }

    stage.act(format_args!("get {KEY} through each of the nodes, R=2"));
    let mut read = Vec::new();
    for node in cluster.running() {
        let get = node.get(KEY).await?;
        let answers = cluster.answers(&get.answers);
        stage.see(format_args!(
            "through {}: {:?}, from {answers}",
            node.name(),
            texts(&get.values)
        ));
        read.push(texts(&get.values));
    }
    stage.same(
        "every node gives the value",
        vec![vec![VALUE.to_owned()]; 3],
        read,
    )?;
    stage.how(
        "the key's hash names a partition, and the ring, which every node computes from the gossiped members, names the \
         partition's replicas. The coordinator sends the write to all of them and answers at the second copy.",
    );
    Ok(())
}

const KEY: &str = "greeting";
const VALUE: &str = "hello";
