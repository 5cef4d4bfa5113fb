//! A node as a process of its own.

use std::sync::Arc;

use crate::{Error, Node, NodeConfig, Standalone};

/// Runs what the settings ask for, a member of a cluster or a standalone node, until the process is asked to stop (an interrupt, or
/// SIGTERM), which is a clean stop, or until the node must stop by itself. `say` is told what its operator is to know: where it
/// listens, and that it has left as it was asked to.
///
/// # Errors
/// Whatever keeps the node from starting, or from going on.
pub async fn serve(config: NodeConfig, say: impl Fn(&str)) -> Result<(), Arc<Error>> {
    if config.standalone {
        standalone(config, say).await
    } else {
        member(config, say).await
    }
}

async fn standalone(config: NodeConfig, say: impl Fn(&str)) -> Result<(), Arc<Error>> {
    let engine = format!("{:?}", config.engine).to_lowercase();
    let node = Standalone::start(config).await?;
    let address = node.address();
    say(&format!("standalone node listens on {address} ({engine})"));
    asked_to_stop().await?;
    node.shutdown().await;
    Ok(())
}

async fn member(config: NodeConfig, say: impl Fn(&str)) -> Result<(), Arc<Error>> {
    let engine = format!("{:?}", config.engine).to_lowercase();
    let about = format!("cluster {}, {engine}", config.cluster);
    if !config.bootstrap && config.seeds.is_empty() {
        tracing::info!(
            "neither `bootstrap` nor `seeds` is set: only a node that was a member before goes on"
        );
    }
    let node = Node::builder(config).start().await?;
    let admin = node.admin_address();
    let admin = admin.map_or(String::new(), |address| {
        format!(", for operators' tools on {address}")
    });
    let (id, address) = (node.id(), node.address());
    say(&format!("node {id} listens on {address}{admin} ({about})"));
    let ended = tokio::select! {
        biased;
        asked = asked_to_stop() => { asked?; None }
        reason = node.ended() => Some(reason),
    };
    node.shutdown().await?;
    match ended {
        None => Ok(()),
        Some(reason) if matches!(*reason, Error::Left) => {
            say(&reason.to_string());
            Ok(())
        }
        Some(reason) => Err(reason),
    }
}

/// Completes when the process is asked to stop, by an interrupt or by SIGTERM.
///
/// # Errors
/// [`Error::Signals`] if it cannot be.
pub async fn asked_to_stop() -> Result<(), Error> {
    let failed = |reason| Error::Signals { reason };
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted.map_err(failed),
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await.map_err(failed)
}
