//! The scenes, and what several of them look for.

pub(crate) mod conflict;
pub(crate) mod failure;
pub(crate) mod joining;
pub(crate) mod recovery;
pub(crate) mod replication;

use std::collections::BTreeSet;

use crate::client::texts;
use crate::cluster::{Cluster, Place};
use crate::stage::{Failure, Stage};

/// Waits until all running nodes are members of the same ring and no change of it is under way.
async fn one_ring(cluster: &Cluster, stage: &mut Stage, claim: &str) -> Result<(), Failure> {
    let nodes = cluster.running().count();
    let expected = format!("one ring of {nodes} members");
    let look = async || {
        let mut rings = BTreeSet::new();
        for node in cluster.running() {
            let ring = node.ring().await?;
            if ring.open.is_some() || ring.shares.len() != nodes {
                let change = ring.open.map_or_else(String::new, |open| {
                    format!(", a change at stage {}", open.stage)
                });
                return Err(format!(
                    "{} sees {} members{change}",
                    node.name(),
                    ring.shares.len()
                ));
            }
            rings.insert((ring.change, ring.fingerprint));
        }
        if rings.len() == 1 {
            Ok(())
        } else {
            Err(format!("{} different rings", rings.len()))
        }
    };
    stage.until(claim, expected, look).await
}

/// Waits until every replica's own copy of each key has this value and no other, and the copies of a key are the same to
/// the last bit of their clocks. Gives the hashes of these states. Looking repairs nothing.
async fn all_copies(
    cluster: &Cluster,
    stage: &mut Stage,
    claim: &str,
    places: &[Place],
    value: &str,
) -> Result<Vec<String>, Failure> {
    let look = async || {
        let mut hashes = Vec::new();
        for place in places {
            hashes.push(copies(cluster, place, value).await?);
        }
        Ok(hashes)
    };
    stage
        .until(
            claim,
            format!("{value:?} and one state on all replicas"),
            look,
        )
        .await
}

/// The hash of the state of all copies of a key, or in what they differ from `value` and from each other.
async fn copies(cluster: &Cluster, place: &Place, value: &str) -> Result<String, String> {
    let mut hashes = BTreeSet::new();
    for owner in &place.owners {
        let copy = cluster.node(owner)?.own_copy(&place.key).await?;
        if texts(&copy.values) != [value] {
            return Err(format!(
                "{owner} has {:?} of {}",
                texts(&copy.values),
                place.key
            ));
        }
        hashes.insert(copy.state_hash);
    }
    match hashes.pop_first() {
        Some(hash) if hashes.is_empty() => Ok(hash),
        _ => Err(format!(
            "the same values of {} with different clocks",
            place.key
        )),
    }
}
