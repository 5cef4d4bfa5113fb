//! A node that can vanish as a killed process does.

use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use dynamokv::NodeBuilder;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

/// A running node in a thread and a runtime of its own. Dropping it is its `kill -9`: every task, socket and lock is gone
/// at once, nobody is told, and its store bears no mark of a clean stop.
pub(crate) struct Process {
    alive: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts the node; gives its address as well.
    pub(crate) async fn start(name: &str, node: NodeBuilder) -> Result<(Self, String), String> {
        let (alive, killed) = mpsc::channel();
        let (tell, told) = oneshot::channel();
        let life = move || match Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
        {
            Ok(runtime) => live(runtime, node, tell, &killed),
            // Who asked went away: then nobody needs to know.
            Err(error) => drop(tell.send(Err(error.to_string()))),
        };
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(life)
            .map_err(|error| error.to_string())?;
        // From here on the thread is waited for, even if this future is dropped.
        let process = Self {
            alive: Some(alive),
            thread: Some(thread),
        };
        let address = told.await.map_err(|_| "its thread ended".to_owned())??;
        Ok((process, address))
    }

    /// Kills it; completes when nothing of it is left.
    pub(crate) async fn kill(self) {
        // Dropping waits for the thread, which must not hold up the tasks of the caller. An error would say that it
        // panicked, and then it is gone too.
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.alive.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn live(
    runtime: Runtime,
    node: NodeBuilder,
    tell: oneshot::Sender<Result<String, String>>,
    killed: &mpsc::Receiver<()>,
) {
    match runtime.block_on(node.start()) {
        Ok(node) => {
            let _ = tell.send(Ok(node.address().to_owned()));
            // Nothing is ever sent: it ends when the other side is dropped.
            let _ = killed.recv();
            // First its tasks and sockets, all at once; then its store, which nobody uses any more.
            runtime.shutdown_timeout(DEATH_MAX);
            drop(node);
        }
        Err(error) => drop(tell.send(Err(error.to_string()))),
    }
}

const DEATH_MAX: Duration = Duration::from_secs(5);
