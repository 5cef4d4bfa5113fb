//! Answers as they are shown: pure functions of what nodes said.

mod change;
mod exchanges;
mod hints;
mod load;
mod locate;
mod members;
mod ring;
mod status;
#[cfg(test)]
mod tests;
mod transfers;
mod value;

pub(crate) use change::{Ordered, Preview};
pub(crate) use exchanges::Exchanges;
pub(crate) use hints::Hints;
pub(crate) use load::Load;
pub(crate) use locate::{Copies, Located};
pub(crate) use members::Members;
pub(crate) use ring::Ring;
pub(crate) use status::Statuses;
pub(crate) use transfers::{Transfer, Transfers};
pub(crate) use value::{Keys, Read, Wrote};

use std::fmt::Write as _;
use std::time::Duration;

use dynamokv_rpc::pb::{Member, NodeStatus};
use indicatif::{BinaryBytes, HumanDuration};
use serde::Serialize;

use crate::output::{Ink, Mood};

/// A node that did not answer.
#[derive(Debug, Serialize)]
pub(crate) struct Silent {
    node: String,
    name: String,
    address: String,
    error: String,
}

impl Silent {
    pub(crate) fn new(member: &Member, error: String) -> Self {
        Self {
            node: member.node.clone(),
            name: member.name.clone(),
            address: member.address.clone(),
            error,
        }
    }
}

/// Splits what each node said into answers and silence.
pub(crate) fn sorted<A, B>(
    asked: Vec<(Member, Result<A, String>)>,
    show: impl Fn(&Member, A) -> B,
) -> (Vec<B>, Vec<Silent>) {
    let (mut answers, mut silent) = (Vec::new(), Vec::new());
    for (member, answer) in asked {
        match answer {
            Ok(answer) => answers.push(show(&member, answer)),
            Err(error) => silent.push(Silent::new(&member, error)),
        }
    }
    (answers, silent)
}

/// A line for each node that did not answer.
fn silence(silent: &[Silent], ink: Ink) -> String {
    let mut text = String::new();
    for node in silent {
        let line = format!(
            "no answer from {} ({}, {}): {}",
            node.name, node.node, node.address, node.error
        );
        let _ = writeln!(text, "{}", ink.paint(Mood::Bad, &line));
    }
    text
}

/// The stable name of a status.
fn status_name(status: NodeStatus) -> &'static str {
    match status {
        NodeStatus::Unspecified => "unknown",
        NodeStatus::Joining => "joining",
        NodeStatus::Up => "up",
        NodeStatus::Leaving => "leaving",
        NodeStatus::Removing => "removing",
        NodeStatus::Replacing => "replacing",
        NodeStatus::Left => "left",
    }
}

fn status_mood(status: NodeStatus) -> Mood {
    match status {
        NodeStatus::Up => Mood::Good,
        NodeStatus::Left => Mood::Dim,
        _ => Mood::Warn,
    }
}

/// The name of a node, where it is known.
fn name_of<'a>(members: &'a [Member], node: &'a str) -> &'a str {
    let member = members.iter().find(|member| member.node == node);
    member.map_or(node, |member| &member.name)
}

fn names_of(members: &[Member], nodes: &[String]) -> String {
    let names = nodes.iter().map(|node| name_of(members, node));
    names.collect::<Vec<_>>().join(", ")
}

fn bytes(count: u64) -> String {
    BinaryBytes(count).to_string()
}

fn span(ms: u64) -> String {
    if ms < 1_000 {
        return format!("{ms} ms");
    }
    HumanDuration(Duration::from_millis(ms)).to_string()
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn yes_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

/// `1 copy`, `2 copies`.
fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
