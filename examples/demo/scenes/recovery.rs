//! The dead node comes back, and is given what it missed.

use super::{all_copies, failure};
use crate::client::texts;
use crate::cluster::{Cluster, Place};
use crate::stage::{Failure, Stage};

pub(crate) const TITLE: &str = "It recovers";
pub(crate) const IDEA: &str = "Whoever holds something for the node delivers it as soon as gossip says that it is back. \
    Nobody reads the keys, nobody gives an order.";

/// `missed` are the keys that were written while n2, a replica of each, was down.
pub(crate) async fn play(
    cluster: &mut Cluster,
    stage: &mut Stage,
    missed: &[Place],
) -> Result<(), Failure> {
    stage.act("start n2 again: the same disk, the same address, no seeds");
    cluster.restart("n2").await?;
    let status = cluster.node("n2")?.status().await?;
    stage.see(format_args!(
        "n2 on {}, its start number {}",
        status.address, status.generation
    ));
    stage.same(
        "n2 knows that its last stop was not a clean one",
        false,
        status.opened_clean,
    )?;

    let look = async || {
        for node in cluster.running() {
            let held = node.hints().await?;
            if let Some(hints) = held.iter().find(|held| held.count > 0) {
                let target = cluster.named(&hints.target);
                return Err(format!(
                    "{} still keeps {} hints for {target}",
                    node.name(),
                    hints.count
                ));
            }
        }
        Ok(())
    };
    stage
        .until(
            "all hints are delivered and gone, on every node",
            "no hints",
            look,
        )
        .await?;

    stage.act(format_args!(
        "look at n2's own copies of the {} orders, which no read has touched; a clock lists the writes that a copy has \
         seen, as node.epoch@counter",
        missed.len()
    ));
    let mut seen = Vec::new();
    for place in missed {
        let copy = cluster.node("n2")?.own_copy(&place.key).await?;
        stage.see(format_args!(
            "{}: {:?}, clock {}",
            place.key,
            texts(&copy.values),
            cluster.named(&copy.clock)
        ));
        seen.push(texts(&copy.values));
    }
    let expected = vec![vec![failure::LATEST.to_owned()]; missed.len()];
    stage.same("n2 itself has the latest value of each", expected, seen)?;
    let claim = "n2's copies are those of the other replicas, clocks included";
    all_copies(cluster, stage, claim, missed, failure::LATEST).await?;
    let look = async || {
        for place in missed {
            for stand_in in &place.fallbacks {
                if !cluster
                    .node(stand_in)?
                    .own_copy(&place.key)
                    .await?
                    .state_hash
                    .is_empty()
                {
                    return Err(format!("{stand_in} still has {}", place.key));
                }
            }
        }
        Ok(())
    };
    stage
        .until(
            "who stood in has let its copies go",
            "no copies there",
            look,
        )
        .await?;
    stage.how(
        "hinted handoff: hints are sent in batches, and a hint and the copy that it stands for are removed, in one batch, \
         only after n2 has said that its own copy is stored and synced.",
    );
    Ok(())
}
