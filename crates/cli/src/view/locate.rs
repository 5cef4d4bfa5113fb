//! `dynamokv locate`

use std::collections::BTreeSet;

use dynamokv_rpc::pb::{KeyLocation, Member, ReadLocalResponse};
use serde::Serialize;

use super::name_of;
use crate::content::Content;
use crate::output::{Ink, Mood, View, lines};

/// Where a key belongs, and who holds which version of it.
#[derive(Debug, Serialize)]
pub(crate) struct Located {
    keyspace: String,
    key: Content,
    token: String,
    partition: u32,
    /// Whether all owners answered and hold the same.
    agreed: bool,
    copies: Vec<Copy>,
}

/// What one node is to the key, and what it said.
#[derive(Debug, Serialize)]
struct Copy {
    node: String,
    name: String,
    role: Role,
    /// Its place among those of its role, from 1.
    place: usize,
    live: bool,
    /// Unset if the node did not answer.
    copy: Option<Held>,
    error: Option<String>,
}

/// What a node is to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Role {
    Owner,
    NextOwner,
    Fallback,
    Other,
}

#[derive(Debug, Serialize)]
struct Held {
    /// Equal on nodes that hold the same; unset if the node knows nothing of the key.
    state_hash: Option<String>,
    clock: String,
    siblings: u32,
    held_for_another: bool,
    values: Vec<Version>,
}

#[derive(Debug, Serialize)]
struct Version {
    clock: String,
    time_ms: u64,
    bytes: usize,
}

/// Whose copies are looked at.
pub(crate) struct Copies {
    roles: Vec<(String, Role, usize)>,
}

impl Copies {
    /// The owners, the owners to be, and as many fallbacks as there are owners; with `all` every node.
    pub(crate) fn of(location: &KeyLocation, members: &[Member], all: bool) -> Self {
        let fallbacks = if all {
            usize::MAX
        } else {
            location.owners.len()
        };
        let groups = [
            (Role::Owner, &location.owners, usize::MAX),
            (Role::NextOwner, &location.next_owners, usize::MAX),
            (Role::Fallback, &location.fallbacks, fallbacks),
        ];
        let mut roles: Vec<(String, Role, usize)> = Vec::new();
        let mut add = |node: &String, role, place| {
            if roles.iter().all(|(known, _, _)| known != node) {
                roles.push((node.clone(), role, place));
            }
        };
        for (role, nodes, limit) in groups {
            for (place, node) in (1..).zip(nodes.iter().take(limit)) {
                add(node, role, place);
            }
        }
        if all {
            for (place, member) in (1..).zip(members) {
                add(&member.node, Role::Other, place);
            }
        }
        Self { roles }
    }

    /// The nodes to ask.
    pub(crate) fn holders(&self, members: &[Member]) -> Vec<Member> {
        let of = |node: &String| members.iter().find(|member| member.node == *node).cloned();
        self.roles
            .iter()
            .filter_map(|(node, _, _)| of(node))
            .collect()
    }
}

impl Located {
    pub(crate) fn new(
        keyspace: &str,
        key: &[u8],
        location: &KeyLocation,
        members: &[Member],
        copies: Copies,
        mut asked: Vec<(Member, Result<ReadLocalResponse, String>)>,
    ) -> Self {
        let copies: Vec<Copy> = copies
            .roles
            .into_iter()
            .map(|(node, role, place)| {
                let at = asked.iter().position(|(member, _)| member.node == node);
                let answer = at.map(|at| asked.swap_remove(at).1);
                let unknown =
                    || Err("is not among the members that the asked node knows".to_owned());
                let (copy, error) = match answer.unwrap_or_else(unknown) {
                    Ok(copy) => (Some(held(copy)), None),
                    Err(error) => (None, Some(error)),
                };
                Copy {
                    name: name_of(members, &node).to_owned(),
                    live: members
                        .iter()
                        .any(|member| member.node == node && member.live),
                    node,
                    role,
                    place,
                    copy,
                    error,
                }
            })
            .collect();
        Self {
            keyspace: keyspace.to_owned(),
            key: Content::of(key),
            token: location.token.clone(),
            partition: location.partition,
            agreed: agreed(&copies),
            copies,
        }
    }
}

fn held(copy: ReadLocalResponse) -> Held {
    let version = |value: dynamokv_rpc::pb::Value| Version {
        clock: value.clock,
        time_ms: value.time_ms,
        bytes: value.value.len(),
    };
    Held {
        state_hash: Some(copy.state_hash).filter(|hash| !hash.is_empty()),
        clock: copy.clock,
        siblings: copy.siblings,
        held_for_another: copy.marked,
        values: copy.values.into_iter().map(version).collect(),
    }
}

fn agreed(copies: &[Copy]) -> bool {
    let owners = copies.iter().filter(|copy| copy.role == Role::Owner);
    let hashes = owners.map(|copy| copy.copy.as_ref().map(|copy| copy.state_hash.as_deref()));
    match hashes.collect::<Option<BTreeSet<_>>>() {
        Some(hashes) => hashes.len() <= 1,
        None => false,
    }
}

impl View for Located {
    fn human(&self, ink: Ink) -> String {
        let mut text = format!("token {}, partition {}\n\n", self.token, self.partition);
        let columns = [
            "ROLE", "NAME", "NODE", "LIVE", "STATE", "VALUES", "VERSIONS",
        ];
        let mut table = ink.table(&columns);
        for copy in &self.copies {
            let (live, live_mood) = if copy.live {
                ("live", Mood::Good)
            } else {
                ("down", Mood::Bad)
            };
            let (state, values, versions) = copy.said();
            let mood = if copy.error.is_some() {
                Mood::Bad
            } else {
                Mood::Plain
            };
            table.add_row([
                ink.cell(Mood::Plain, format!("{} {}", copy.role.name(), copy.place)),
                ink.cell(Mood::Plain, &copy.name),
                ink.cell(Mood::Dim, &copy.node),
                ink.cell(live_mood, live),
                ink.cell(mood, state),
                ink.cell(Mood::Plain, values),
                ink.cell(Mood::Plain, versions),
            ]);
        }
        text.push_str(&lines(table));
        text.push('\n');
        text.push_str(&if self.agreed {
            ink.paint(Mood::Good, "all owners hold the same")
        } else {
            ink.paint(
                Mood::Warn,
                "the owners differ, or not all answered: exchanges mend that within seconds once all are there",
            )
        });
        text.push('\n');
        for copy in &self.copies {
            if let Some(error) = &copy.error {
                let line = format!("{}: {error}\n", copy.name);
                text.push_str(&ink.paint(Mood::Bad, &line));
            }
        }
        text
    }
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::NextOwner => "next owner",
            Self::Fallback => "fallback",
            Self::Other => "other",
        }
    }
}

impl Copy {
    /// State, number of values, and their clocks, as cells.
    fn said(&self) -> (String, String, String) {
        let none = || "-".to_owned();
        let Some(held) = &self.copy else {
            return ("no answer".to_owned(), none(), none());
        };
        let Some(hash) = &held.state_hash else {
            return ("nothing".to_owned(), none(), none());
        };
        let mark = if held.held_for_another {
            ", held for another"
        } else {
            ""
        };
        let short: String = hash.chars().take(HASH_DIGITS).collect();
        let versions: Vec<&str> = held
            .values
            .iter()
            .map(|value| value.clock.as_str())
            .collect();
        let versions = if versions.is_empty() {
            "deleted".to_owned()
        } else {
            versions.join(" ")
        };
        (
            format!("{short}{mark}"),
            held.values.len().to_string(),
            versions,
        )
    }
}

/// Digits of a state's hash that people compare.
const HASH_DIGITS: usize = 12;
