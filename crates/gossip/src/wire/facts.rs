//! Cluster facts: encoded once, sent in parts.
//!
//! Zones are listed once; a member names its zone by its place in that list. An open change is written as what it alters:
//! the members that go, and those that come or change.

use std::collections::{BTreeMap, BTreeSet};

use dynamokv_ring::{Member, NodeId};

use super::read::Reader;
use super::write::Sink;
use crate::{Change, ClusterFacts, Error, FactsDigest, FactsPart, FactsState, Result, Target};

pub(crate) fn write_facts(facts: &ClusterFacts) -> Vec<u8> {
    let ClusterFacts {
        cluster_id,
        cluster_name,
        partitions,
        current,
        open,
    } = facts;
    let targets = [Some(current), open.as_ref().map(|open| &open.target)];
    let members = targets
        .into_iter()
        .flatten()
        .flat_map(|target| &target.members);
    let zones: BTreeSet<&str> = members.map(|member| member.zone.as_str()).collect();
    let zones: Vec<&str> = zones.into_iter().collect();
    let place = |member: &Member| zones.binary_search(&member.zone.as_str()).unwrap_or(0) as u64;
    let write_member = |sink: &mut Vec<u8>, member: &Member| {
        sink.fixed64(member.id.0);
        sink.varint(member.weight.get().into());
        sink.varint(place(member));
    };
    let mut sink = Vec::new();
    sink.fixed64(*cluster_id);
    sink.text(cluster_name);
    sink.varint((*partitions).into());
    sink.list(&zones, |sink, zone| sink.text(zone));
    sink.varint(current.number);
    sink.varint(current.replicas as u64);
    sink.list(&current.members, write_member);
    sink.option(open.as_ref(), |sink, open| {
        let target = &open.target;
        let gone = current.ids().filter(|id| !target.contains(*id));
        let altered = target
            .members
            .iter()
            .filter(|member| current.member(member.id) != Some(*member));
        sink.fixed64(open.proposer.0);
        sink.varint(target.number);
        sink.varint(target.replicas as u64);
        sink.list(&gone.collect::<Vec<_>>(), |sink, id| sink.fixed64(id.0));
        sink.list(&altered.cloned().collect::<Vec<_>>(), write_member);
        sink.list(&open.removing, |sink, id| sink.fixed64(id.0));
    });
    sink
}

/// Reads what [`write_facts`] wrote; whether the facts contradict themselves is for whoever takes them.
pub(crate) fn read_facts(bytes: &[u8]) -> Result<ClusterFacts> {
    let mut reader = Reader::new(bytes);
    let cluster_id = reader.fixed64("facts.cluster_id")?;
    let cluster_name = reader.text("facts.cluster_name")?;
    let partitions = reader.small("facts.partitions")?;
    let zones = reader.list("facts.zones", 1, |r| r.text("facts.zones"))?;
    let zones: Vec<dynamokv_ring::Zone> = zones.into_iter().map(Into::into).collect();
    let read_member = |r: &mut Reader<'_>| {
        let id = NodeId(r.fixed64("facts.member.id")?);
        let weight = r.weight("facts.member.weight")?;
        let zone = zones.get(r.small("facts.member.zone")? as usize);
        let zone = zone.ok_or_else(|| Error::malformed("facts.member.zone", "not listed"))?;
        Ok(Member::new(id).with_weight(weight).with_zone(zone.clone()))
    };
    let read_id = |r: &mut Reader<'_>| r.fixed64("facts.open.id").map(NodeId);
    let current = Target {
        number: reader.varint("facts.current.number")?,
        replicas: reader.small("facts.current.replicas")? as usize,
        members: reader.list("facts.current.members", 10, read_member)?,
    };
    let open = reader.option("facts.open", |r| {
        let proposer = read_id(r)?;
        let number = r.varint("facts.open.number")?;
        let replicas = r.small("facts.open.replicas")? as usize;
        let mut members: BTreeMap<NodeId, Member> = current
            .members
            .iter()
            .map(|member| (member.id, member.clone()))
            .collect();
        for gone in r.list("facts.open.gone", 8, read_id)? {
            members.remove(&gone);
        }
        let altered = r.list("facts.open.altered", 10, read_member)?;
        members.extend(altered.into_iter().map(|member| (member.id, member)));
        let members = members.into_values().collect();
        let removing = r.list("facts.open.removing", 8, read_id)?;
        Ok(Change {
            proposer,
            target: Target {
                number,
                replicas,
                members,
            },
            removing,
        })
    })?;
    Ok(ClusterFacts {
        cluster_id,
        cluster_name,
        partitions,
        current,
        open,
    })
}

pub(super) fn write_part(sink: &mut impl Sink, part: &FactsPart) {
    write_facts_digest(sink, &part.digest);
    sink.varint(part.total.into());
    sink.varint(part.offset.into());
    sink.block(&part.bytes);
}

pub(super) fn read_part(reader: &mut Reader<'_>) -> Result<FactsPart> {
    Ok(FactsPart {
        digest: read_facts_digest(reader)?,
        total: reader.small("part.total")?,
        offset: reader.small("part.offset")?,
        bytes: reader.block("part.bytes")?.to_vec(),
    })
}

pub(super) fn write_state(sink: &mut impl Sink, state: &FactsState) {
    sink.option(state.known.as_ref(), write_facts_digest);
    sink.option(state.partial.as_ref(), |sink, (digest, bytes)| {
        write_facts_digest(sink, digest);
        sink.varint((*bytes).into());
    });
}

pub(super) fn read_state(reader: &mut Reader<'_>) -> Result<FactsState> {
    Ok(FactsState {
        known: reader.option("facts.known", read_facts_digest)?,
        partial: reader.option("facts.partial", |r| {
            let digest = read_facts_digest(r)?;
            Ok((digest, r.small("facts.partial.bytes")?))
        })?,
    })
}

fn write_facts_digest(sink: &mut impl Sink, digest: &FactsDigest) {
    sink.varint(digest.number);
    sink.option(digest.open.as_ref(), |sink, proposer| {
        sink.fixed64(proposer.0)
    });
}

fn read_facts_digest(reader: &mut Reader<'_>) -> Result<FactsDigest> {
    Ok(FactsDigest {
        number: reader.varint("facts.digest.number")?,
        open: reader.option("facts.digest.open", |r| {
            r.fixed64("facts.digest.open").map(NodeId)
        })?,
    })
}
