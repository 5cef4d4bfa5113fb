//! `dynamokv members`

use std::collections::BTreeMap;

use dynamokv_rpc::pb;
use serde::Serialize;

use super::{status_mood, status_name};
use crate::output::{Ink, Mood, View, lines};

/// The nodes that one node knows.
#[derive(Debug, Serialize)]
pub(crate) struct Members {
    /// The node that was asked.
    asked: String,
    members: Vec<Member>,
}

#[derive(Debug, Serialize)]
struct Member {
    node: String,
    name: String,
    address: String,
    zone: String,
    weight: u32,
    status: &'static str,
    live: bool,
    in_ring: bool,
    in_next_ring: bool,
    generation: u64,
    heartbeat: u64,
    details: BTreeMap<String, String>,
    #[serde(skip)]
    mood: Mood,
}

impl Members {
    /// `left` keeps those that are gone for good.
    pub(crate) fn new(asked: &str, members: Vec<pb::Member>, left: bool) -> Self {
        let shown = |member: &pb::Member| left || member.status() != pb::NodeStatus::Left;
        let members = members.into_iter().filter(shown).map(|member| Member {
            mood: status_mood(member.status()),
            status: status_name(member.status()),
            node: member.node,
            name: member.name,
            address: member.address,
            zone: member.zone,
            weight: member.weight,
            live: member.live,
            in_ring: member.in_ring,
            in_next_ring: member.in_next_ring,
            generation: member.generation,
            heartbeat: member.heartbeat,
            details: member.details.into_iter().collect(),
        });
        Self {
            asked: asked.to_owned(),
            members: members.collect(),
        }
    }
}

impl View for Members {
    fn human(&self, ink: Ink) -> String {
        let columns = [
            "NAME", "NODE", "ADDRESS", "ZONE", "WEIGHT", "STATUS", "LIVE", "RING",
        ];
        let mut table = ink.table(&columns);
        for member in &self.members {
            let (live, live_mood) = match (member.status, member.live) {
                ("left", _) => ("-", Mood::Dim),
                (_, true) => ("live", Mood::Good),
                (_, false) => ("down", Mood::Bad),
            };
            let ring = match (member.in_ring, member.in_next_ring) {
                (true, _) => "member",
                (false, true) => "next",
                (false, false) => "-",
            };
            table.add_row([
                ink.cell(Mood::Plain, &member.name),
                ink.cell(Mood::Dim, &member.node),
                ink.cell(Mood::Plain, &member.address),
                ink.cell(Mood::Plain, &member.zone),
                ink.cell(Mood::Plain, member.weight),
                ink.cell(member.mood, member.status),
                ink.cell(live_mood, live),
                ink.cell(Mood::Plain, ring),
            ]);
        }
        lines(table)
    }
}
