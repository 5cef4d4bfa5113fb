//! The rounds: start, check, write, kill.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tokio::task::JoinSet;

use crate::support::dice::Dice;
use crate::support::process::Process;

/// The writers of a run and what they know.
pub trait Keys: Default + 'static {
    /// One writer's own keys: nobody else writes them.
    type Writer: Send + 'static;

    /// The options of the node.
    const OPTIONS: &'static [&'static str];

    /// Compares what the node has with what was acknowledged.
    fn check(&mut self, node: &Process) -> impl Future<Output = ()>;

    /// Lends the writers out.
    fn writers(&mut self) -> Vec<Self::Writer>;

    /// Takes them back.
    fn take_back(&mut self, writer: Self::Writer);

    /// Makes one write; false if it was not acknowledged. What it may have done is then noted.
    fn write(
        writer: &mut Self::Writer,
        address: &str,
        dice: &mut Dice,
    ) -> impl Future<Output = Result<(), tonic::Status>> + Send;
}

/// Kills the node so many times; on the way it is also stopped cleanly, killed while it stops, and killed while it starts.
/// What is acknowledged survives the process in every `durability`.
pub async fn run<K: Keys>(kills: usize, durability: &str) {
    let options = [K::OPTIONS, &["--durability", durability]].concat();
    let folder = tempfile::tempdir().unwrap();
    let mut dice = Dice::new("DYNAMOKV_CRASH_SEED");
    let mut keys = K::default();
    let began = Instant::now();
    let (mut killed, mut acknowledged, mut clean) = (0, 0, 0);
    while killed < kills {
        if dice.one_in(6) {
            kill_at_start(folder.path(), &options, &mut dice).await;
            killed += 1;
        }
        let mut node = Process::start(folder.path(), "127.0.0.1:0", &options).await;
        keys.check(&node).await;
        let ending = Arc::new(AtomicBool::new(false));
        let mut writing = JoinSet::new();
        for writer in keys.writers() {
            let (address, ending) = (node.address.clone(), Arc::clone(&ending));
            writing.spawn(write::<K>(writer, address, dice.fork(), ending));
        }
        tokio::time::sleep(dice.moment(150)).await;
        ending.store(true, Ordering::SeqCst);
        if dice.one_in(5) {
            node.ask_to_stop().await;
            if dice.one_in(2) {
                assert!(node.child.wait().await.unwrap().success());
                clean += 1;
            } else {
                tokio::time::sleep(dice.moment(20)).await;
                node.kill().await;
                killed += 1;
            }
        } else {
            node.kill().await;
            killed += 1;
        }
        while let Some(done) = writing.join_next().await {
            let (writer, writes) = done.unwrap();
            acknowledged += writes;
            keys.take_back(writer);
        }
    }
    let node = Process::start(folder.path(), "127.0.0.1:0", &options).await;
    keys.check(&node).await;
    println!(
        "{killed} kills and {clean} clean stops, {acknowledged} writes acknowledged, in {:?}",
        began.elapsed()
    );
    assert!(acknowledged > kills, "only {acknowledged} writes");
}

/// Writes until the node is gone; gives the writer back, and how many writes were acknowledged.
async fn write<K: Keys>(
    mut writer: K::Writer,
    address: String,
    mut dice: Dice,
    ending: Arc<AtomicBool>,
) -> (K::Writer, usize) {
    for writes in 0.. {
        if let Err(status) = K::write(&mut writer, &address, &mut dice).await {
            assert!(
                ending.load(Ordering::SeqCst),
                "nobody has touched the node yet: {status}"
            );
            return (writer, writes);
        }
    }
    unreachable!("writes end with the node")
}

async fn kill_at_start(folder: &Path, options: &[&str], dice: &mut Dice) {
    let mut child = Process::spawn(folder, "127.0.0.1:0", options);
    tokio::time::sleep(dice.moment(100)).await;
    child.kill().await.unwrap();
}
