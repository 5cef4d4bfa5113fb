//! The stable hash that tells two views of the ring apart.

use xxhash_rust::xxh3::Xxh3;

use crate::Member;

/// The ways of placing. The number also stands for the version of the algorithm: a change of placement takes a new one.
#[derive(Clone, Copy)]
pub(crate) enum Scheme {
    Tokens = 2,
    Table = 3,
    Partitions = 4,
}

/// XXH3-64 over a canonical form of everything that placement depends on. `parts` is the number of partitions or of
/// virtual nodes; the members come in the order of their ids.
pub(crate) fn of_members(scheme: Scheme, parts: u32, replicas: usize, members: &[Member]) -> u64 {
    canonical(scheme, parts, replicas, members).digest()
}

/// The same for a table that no rule but its past explains: its owners, by the numbers of the members, are part of it.
pub(crate) fn of_table(parts: u32, replicas: usize, members: &[Member], owners: &[u32]) -> u64 {
    let mut hash = canonical(Scheme::Table, parts, replicas, members);
    for owner in owners {
        hash.update(&owner.to_le_bytes());
    }
    hash.digest()
}

fn canonical(scheme: Scheme, parts: u32, replicas: usize, members: &[Member]) -> Xxh3 {
    let mut hash = Xxh3::new();
    let mut number = |value: u64| hash.update(&value.to_le_bytes());
    number(scheme as u64);
    number(u64::from(parts));
    number(replicas as u64);
    number(members.len() as u64);
    for member in members {
        let zone = member.zone.as_str().as_bytes();
        for value in [
            member.id.0,
            u64::from(member.weight.get()),
            zone.len() as u64,
        ] {
            hash.update(&value.to_le_bytes());
        }
        hash.update(zone);
    }
    hash
}
