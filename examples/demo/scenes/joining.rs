//! A fourth node: found by gossip, given its share of the data, and then a replica like the others.

use super::one_ring;
use crate::client::{Put, texts};
use crate::cluster::{Cluster, Place};
use crate::stage::{Failure, Stage};
use bytes::Bytes;
use dynamokv::rpc::pb;

pub(crate) const TITLE: &str = "A node joins";
pub(crate) const IDEA: &str = "A new node takes over its share of the keys. It is sent what was written before it came, \
    and only then counts as a replica.";

/// A key written before the node came.
struct Old {
    before: Place,
    after: Place,
    value: String,
    context: Bytes,
}

pub(crate) async fn play(cluster: &mut Cluster, stage: &mut Stage) -> Result<(), Failure> {
    stage.act(format_args!(
        "put user:1 to user:{USERS} through n1, n2 and n3 in turn"
    ));
    let written = write_users(cluster).await?;
    stage.act("start n4, which is told n2's address and nothing else");
    cluster.start("n4", Some("n2")).await?;
    one_ring(
        cluster,
        stage,
        "all four compute the same ring, with n4 in it",
    )
    .await?;
    meet(cluster, stage).await?;

    let mut users = Vec::new();
    for (before, value, context) in written {
        let after = cluster.locate(&before.key).await?;
        users.push(Old {
            before,
            after,
            value,
            context,
        });
    }
    let gained: Vec<&Old> = users
        .iter()
        .filter(|user| user.after.has_replica("n4"))
        .collect();
    for user in gained.iter().take(SHOWN) {
        stage.see(format_args!(
            "replicas of {}: {}; before: {}",
            user.before.key,
            user.after.shown(),
            user.before.shown()
        ));
    }
    let claim = format!("n4 is a replica of {} of the {USERS} keys", gained.len());
    stage.holds(claim, !gained.is_empty(), "at least one", "none")?;
    has_the_past(cluster, stage, &gained).await?;
    let Some(user) = gained.first() else {
        return Ok(());
    };
    takes_part(cluster, stage, user).await?;
    stage.how(
        "gossip: n2 told the others. The membership change is itself gossiped and walks through stages: writes go to the \
         old and the new replicas, n4 streams its ranges, reads switch over, the old ones hand over what is left and let go.",
    );
    Ok(())
}

async fn write_users(cluster: &Cluster) -> Result<Vec<(Place, String, Bytes)>, Failure> {
    let mut written = Vec::new();
    for (number, through) in (1..=USERS).zip(["n1", "n2", "n3"].into_iter().cycle()) {
        let place = cluster.locate(&format!("user:{number}")).await?;
        let value = format!("name {number}");
        let put = cluster
            .node(through)?
            .put(Put::new(&place.key, &value))
            .await?;
        written.push((place, value, put.context));
    }
    Ok(written)
}

/// Shows the members as the node sees them that nobody told of the new one.
async fn meet(cluster: &Cluster, stage: &mut Stage) -> Result<(), Failure> {
    let shares = cluster.node("n1")?.ring().await?.shares;
    let mut shown: Vec<String> = shares
        .iter()
        .map(|share| {
            format!(
                "{} {:.0} %",
                cluster.named(&share.node),
                100.0 * share.share
            )
        })
        .collect();
    shown.sort();
    stage.see(format_args!(
        "the ring as n1 sees it, with each node's part of all copies: {}",
        shown.join(", ")
    ));
    let look = async || {
        let members = cluster.node("n1")?.members().await?;
        let up = |member: &&pb::Member| member.live && member.status() == pb::NodeStatus::Up;
        let mut known: Vec<&str> = members
            .iter()
            .filter(up)
            .map(|member| member.name.as_str())
            .collect();
        known.sort_unstable();
        if known == ["n1", "n2", "n3", "n4"] {
            Ok(())
        } else {
            Err(format!("up: {}", known.join(", ")))
        }
    };
    let claim = "n1, which nobody told of n4, knows all four and believes them up";
    stage.until(claim, "up: n1, n2, n3, n4", look).await
}

/// The new replica holds the old data already, and whose place it took lets go.
async fn has_the_past(
    cluster: &Cluster,
    stage: &mut Stage,
    gained: &[&Old],
) -> Result<(), Failure> {
    let (mut expected, mut seen) = (Vec::new(), Vec::new());
    for user in gained {
        let copy = cluster.node("n4")?.own_copy(&user.after.key).await?;
        expected.push((user.after.key.clone(), vec![user.value.clone()]));
        seen.push((user.after.key.clone(), texts(&copy.values)));
    }
    stage.same(
        "n4's own copies of them were there when it became a replica",
        expected,
        seen,
    )?;
    let look = async || {
        for user in gained {
            for left in user
                .before
                .owners
                .iter()
                .filter(|owner| !user.after.has_replica(owner))
            {
                let copy = cluster.node(left)?.own_copy(&user.before.key).await?;
                if !copy.state_hash.is_empty() {
                    return Err(format!("{left} still has {}", user.before.key));
                }
            }
        }
        Ok(())
    };
    stage
        .until(
            "the nodes whose places it took have let their copies go",
            "no copies there",
            look,
        )
        .await
}

/// A new write reaches the new node, and a read through it gives that.
async fn takes_part(cluster: &Cluster, stage: &mut Stage, user: &Old) -> Result<(), Failure> {
    let key = &user.after.key;
    let put = Put {
        context: user.context.clone(),
        ..Put::new(key, NEWER)
    };
    stage.act(format_args!(
        "put {key} = {NEWER:?} through n1, with the context of the first put"
    ));
    let put = cluster.node("n1")?.put(put).await?;
    stage.see(format_args!(
        "{} coordinated; when it was acknowledged: {}",
        cluster.named(&put.coordinator),
        cluster.answers(&put.answers)
    ));
    let look = async || match texts(&cluster.node("n4")?.own_copy(key).await?.values) {
        values if values == [NEWER] => Ok(()),
        values => Err(format!("{values:?}")),
    };
    stage
        .until("n4's own copy is the new value", format!("{NEWER:?}"), look)
        .await?;
    stage.act(format_args!("get {key} through n4"));
    let get = cluster.node("n4")?.get(key).await?;
    stage.see(format_args!(
        "{:?}, from {}",
        texts(&get.values),
        cluster.answers(&get.answers)
    ));
    stage.same(
        "the read gives the latest value and no other",
        vec![NEWER.to_owned()],
        texts(&get.values),
    )
}

const USERS: usize = 12;
const SHOWN: usize = 3;
const NEWER: &str = "a newer name";
