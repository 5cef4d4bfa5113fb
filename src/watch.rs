//! Following gossip: keeps the view fresh, tells people what they should know, and stops the node where
//! going on would be wrong.

use std::sync::Arc;

use dynamokv_gossip::{Event, Refusal};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::Error;
use crate::core::Core;
use crate::persist;
use crate::transport::Transport;

/// Follows for as long as the node runs; ends with the reason why the node must stop.
///
/// `events` were subscribed to before the first message could arrive.
pub(crate) async fn run<T: Transport>(core: Arc<Core<T>>, mut events: Receiver<Event>) -> Error {
    core.cluster.refresh();
    loop {
        match events.recv().await {
            Ok(event) => {
                if let Err(error) = heed(&core, &event) {
                    return error;
                }
            }
            // The view is read whole; but a reason to stop may be among what was missed.
            Err(RecvError::Lagged(missed)) => {
                tracing::warn!(missed, "events of gossip were missed");
            }
            Err(RecvError::Closed) => return Error::Stopped,
        }
        if events.is_empty() {
            core.cluster.refresh();
        }
    }
}

fn heed<T: Transport>(core: &Core<T>, event: &Event) -> Result<(), Error> {
    match event {
        Event::GenerationAhead { seen } => {
            let ours = core.store.generation();
            let why = format!(
                "the cluster has seen start {seen} of this node, and the directory knows of {ours}"
            );
            return Err(is_older(core, why));
        }
        Event::Refused {
            address,
            refusal: Refusal::LostMemory,
        } => {
            let why = format!(
                "{address} has heard later heartbeats of this node than the directory knows of"
            );
            return Err(is_older(core, why));
        }
        Event::Left(id) if *id == core.me => return Err(Error::Removed),
        Event::Refused { address, refusal } => {
            let waiting = core
                .cluster
                .gossip()
                .with(|gossip| gossip.facts().is_none());
            if waiting || *refusal == Refusal::MemberLeft {
                return Err(Error::RefusedBy {
                    address: address.clone(),
                    refusal: *refusal,
                });
            }
            tracing::error!(%address, %refusal, "a peer refuses this node");
        }
        Event::IdConflict { id, known, other } => tracing::error!(
            %id, %known, %other,
            "two nodes claim one id: give one of them an id and a data directory of its own"
        ),
        Event::ClockJumped { gap } => tracing::warn!(?gap, "this process was paused"),
        Event::Joined(id) => tracing::info!(node = %id, "found by gossip"),
        Event::Up(id) => tracing::info!(node = %id, "up"),
        Event::Down(id) => tracing::info!(node = %id, "down"),
        Event::Left(id) => tracing::info!(node = %id, "left for good"),
        _ => {}
    }
    Ok(())
}

fn is_older<T: Transport>(core: &Core<T>, why: String) -> Error {
    if let Err(error) = persist::save_older(&core.store, &why) {
        tracing::error!(%error, "that the data directory is an older copy could not be noted in it");
    }
    Error::OlderDisk { why }
}
