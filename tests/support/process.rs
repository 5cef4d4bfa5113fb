//! Nodes as processes of their own.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

use super::{Client, PATIENCE, eventually};

/// The example that the tests run; cargo builds examples with the tests.
pub fn program() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let program = tests
        .parent()
        .unwrap()
        .parent()
        .unwrap()
        .join("examples/node");
    assert!(
        program.exists(),
        "{} is missing: `cargo build --example node` first",
        program.display()
    );
    program
}

pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(program());
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

pub struct Process {
    pub child: Child,
    pub address: String,
    folder: PathBuf,
}

impl Process {
    /// Starts a node and waits for the line that says where it listens.
    pub async fn start(folder: &Path, listen: &str, more: &[&str]) -> Self {
        Self::await_address(Self::spawn(folder, listen, more), folder).await
    }

    /// Starts a node and waits for nothing.
    pub fn spawn(folder: &Path, listen: &str, more: &[&str]) -> Child {
        let mut args = vec![
            "--data-dir",
            folder.to_str().unwrap(),
            "--listen",
            listen,
            "--gossip-interval-ms",
            "100",
        ];
        args.extend(more);
        command(&args).stderr(Stdio::inherit()).spawn().unwrap()
    }

    pub async fn await_address(mut child: Child, folder: &Path) -> Self {
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .await
            .unwrap();
        let address = line
            .split_whitespace()
            .skip_while(|word| *word != "on")
            .nth(1);
        let address = address
            .unwrap_or_else(|| panic!("the node says where it listens, not {line:?}"))
            .to_owned();
        Self {
            child,
            address,
            folder: folder.to_owned(),
        }
    }

    pub fn client(&self) -> Client {
        Client::new(&self.address)
    }

    pub async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    pub async fn restart(&mut self) {
        *self = Self::start(&self.folder.clone(), &self.address.clone(), &[]).await;
    }

    /// Asks it to stop cleanly.
    pub async fn ask_to_stop(&self) {
        let pid = self.child.id().unwrap().to_string();
        let asked = Command::new("kill").args(["-TERM", &pid]).status().await;
        assert!(asked.unwrap().success());
    }

    pub async fn terminate(&mut self) -> ExitStatus {
        self.ask_to_stop().await;
        tokio::time::timeout(PATIENCE, self.child.wait())
            .await
            .expect("it stops")
            .unwrap()
    }
}

/// Runs the node and gives what it says when it fails.
pub async fn refusal(args: &[&str]) -> String {
    refused(command(args)).await
}

/// As [`refusal`], for a command of the caller's.
pub async fn refused(mut command: Command) -> String {
    let mut child = command.spawn().unwrap();
    let mut said = String::new();
    let status = tokio::time::timeout(PATIENCE, child.wait())
        .await
        .expect("it ends")
        .unwrap();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .await
        .unwrap();
    assert!(!status.success(), "{command:?} is refused");
    said
}

/// Three members, their data in folders `n1` to `n3`.
pub async fn three(folder: &Path, more: &[&str]) -> Vec<Process> {
    let mut nodes = Vec::new();
    for name in ["n1", "n2", "n3"] {
        let seed = nodes.first().map(|first: &Process| first.address.clone());
        let found = match &seed {
            None => vec!["--bootstrap"],
            Some(seed) => vec!["--seed", seed],
        };
        let args = [found, more.to_vec()].concat();
        nodes.push(Process::start(&folder.join(name), "127.0.0.1:0", &args).await);
    }
    are_members(&nodes).await;
    nodes
}

/// Waits until all of them are the members and no change is open.
pub async fn are_members(nodes: &[Process]) {
    for node in nodes {
        eventually("all are members", async || {
            let ring = node.client().ring(None).await;
            ring.shares.len() == nodes.len() && ring.open.is_none()
        })
        .await;
    }
}
