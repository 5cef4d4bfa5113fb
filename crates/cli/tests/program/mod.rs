//! The program under test.
#![allow(dead_code, unreachable_pub)] // Shared by tests, each of which is a crate of its own.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::process::{Output, Stdio};

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// `dynamokv`, told which nodes to ask.
pub struct Dynamokv {
    nodes: String,
}

impl Dynamokv {
    pub fn through<'a>(nodes: impl IntoIterator<Item = &'a str>) -> Self {
        let nodes: Vec<&str> = nodes.into_iter().collect();
        Self {
            nodes: nodes.join(","),
        }
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dynamokv"));
        command
            .args(args)
            .env("DYNAMOKV_NODES", &self.nodes)
            .env("DYNAMOKV_WAIT_MS", "30000")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    pub async fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().await.unwrap()
    }

    /// With something to read.
    pub async fn fed(&self, args: &[&str], input: &[u8]) -> Output {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input).await.unwrap();
        drop(stdin);
        child.wait_with_output().await.unwrap()
    }

    /// What it prints when it succeeds.
    pub async fn text(&self, args: &[&str]) -> String {
        let output = self.run(args).await;
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub async fn json(&self, args: &[&str]) -> serde_json::Value {
        let args = [&["--output", "json"], args].concat();
        serde_json::from_str(&self.text(&args).await).unwrap()
    }
}

pub fn exit(output: &Output) -> i32 {
    output.status.code().expect("it ended by itself")
}
