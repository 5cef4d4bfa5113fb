mod assign;
mod even;
mod primaries;
mod quotas;
mod rebalance;
pub(crate) mod rendezvous;

use std::fmt;

use crate::fingerprint::{self, Scheme};
use crate::placement::{PartitionId, Placement};
use crate::spread::Spread;
use crate::{Error, Member, NodeId, Result, Token, TokenRange, members, shares};
use assign::VACANT;
use rendezvous::Contender;

/// The default placement: equal partitions, each given to N nodes (strategy 3 of the Dynamo paper, section 6.2).
///
/// A token's partition is its highest bits, a partition's preference list a slice of a table: a look-up is a shift and a
/// load. Building takes O(partitions x N x log N) and not all pairs of nodes and partitions; the table takes 8 bytes a
/// replica and every member about 90.
///
/// ```
/// # use dynamokv_ring::{Member, NodeId, PartitionRing, Placement, Token};
/// let members = (1..=5).map(|id| Member::new(NodeId(id)).with_zone(format!("rack {}", id % 3)));
/// let ring = PartitionRing::new(256, 3, members)?;
/// let zones: std::collections::BTreeSet<_> =
///     ring.owners(Token(42)).iter().filter_map(|&id| ring.member(id)).map(|member| &member.zone).collect();
/// assert_eq!(zones.len(), 3);
/// # Ok::<(), dynamokv_ring::Error>(())
/// ```
///
/// # How owners are found
/// The table is a pure function of the members (ids, weights, zones), N and the number of partitions, computed in
/// integers: nodes with equal views have equal rings, and nobody assigns anything.
///
/// 1. Each member has a share of the replicas: by weight, as far as one copy of a partition a node and the zones allow.
/// 2. Weighted rendezvous ranks the members for each partition. A node's draws are stratified over the partitions (one
///    draw in each Q-th of the distribution), which takes away most of the luck that makes plain rendezvous uneven,
///    and costs no movement: a draw still depends on one node and one partition alone.
/// 3. In a fixed pseudo-random order, each partition takes the first N members of its ranking whose zone may take
///    another copy and who hold less than their share and the slack. Zones come before the bound: where only full nodes
///    are left in the zones that must be used, the least full takes it.
/// 4. The first owner in the ranking that is first of less than its share of partitions (and 4 %) comes to the front.
///
/// Zones are dealt out in rounds: no zone takes a second copy before all have one (or have no node left).
///
/// # How even it is, and how much moves
/// The slack is a choice between balance and movement, made once for the number of partitions: 4 % up to 16,384 of them,
/// 9 % for rings of many hundreds of nodes. Measured by the example `placement` with N = 3, weights equal or 1:2:4 and one or
/// three zones. The peak is the most that a node holds, by its feasible share; what moves at a join or a leave is given
/// by the least possible.
///
/// | nodes | partitions | peak | peak of first owners | join | leave |
/// |--:|--:|--:|--:|--:|--:|
/// | 3 | 64 | 1.00 | 1.08 | 1.00 | 1.00 |
/// | 10 | 1,024 | 1.05 | 1.05 | 1.00 to 1.07 | 1.00 to 1.08 |
/// | 100 | 16,384 | 1.04 | 1.05 | 1.02 to 1.04 | 1.01 to 1.07 |
/// | 1,000 | 65,536 | 1.09 | 1.07 to 1.10 | 1.00 to 1.10 | 1.01 to 1.04 |
///
/// [`next`](Self::next) has no such choice to make: peak 1.01, join and leave 1.00 at all sizes, for the price of a table
/// that depends on the one before. [`TokenRing`](crate::TokenRing) with 128 tokens a node moves the least and peaks at
/// 1.06 to 1.30. Choose about 100 partitions for each node that the cluster is ever to have: their number is fixed when it
/// is founded.
#[derive(Clone, PartialEq, Eq)]
pub struct PartitionRing {
    /// log2 of the number of partitions.
    bits: u32,
    replicas: usize,
    members: Vec<Member>,
    /// Parallel to `members`.
    contenders: Vec<Contender>,
    /// The preference lists of all partitions, one after the other, each of `copies` nodes.
    table: Vec<NodeId>,
    /// min(N, members).
    copies: usize,
    fingerprint: u64,
}

impl PartitionRing {
    /// The greatest number of partitions.
    pub const PARTITIONS_MAX: u32 = 1 << 16;

    /// Places `replicas` copies of each of `partitions` partitions on the members, whose order does not matter.
    /// No members is allowed: then nobody owns anything.
    ///
    /// # Errors
    /// [`Error::Partitions`] unless `partitions` is a power of two of at most [`Self::PARTITIONS_MAX`],
    /// [`Error::Replicas`] unless `replicas` is in 1..=16, [`Error::DuplicateMember`] if an id comes twice.
    pub fn new(
        partitions: u32,
        replicas: usize,
        members: impl IntoIterator<Item = Member>,
    ) -> Result<Self> {
        let field = Field::new(partitions, replicas, members)?;
        let owners = assign::assign(&field.contenders, &field.spread, &field.shares, field.bits);
        let fingerprint =
            fingerprint::of_members(Scheme::Partitions, partitions, replicas, &field.members);
        Ok(field.into_ring(replicas, &owners, fingerprint))
    }

    /// The ring after a change of membership, made from this one: `replicas` copies on `members`, which may differ from the
    /// present ones in any way. A pure function of this ring and of what is given; the order of the members does not matter.
    ///
    /// Every member holds its share by weight and zone to the partition ([`Balance::excess`](crate::Balance::excess)), and about as little as possible moves
    /// to get there. Since the result depends on the present table, all nodes must go through the same changes, or take the
    /// table from one that did: [`to_table`](Self::to_table). The first change is best made from a ring of
    /// nobody; made from a ring of [`new`](Self::new), it also mends what that left uneven.
    ///
    /// ```
    /// # use dynamokv_ring::{Member, NodeId, PartitionRing, Placement, diff};
    /// let nobody = PartitionRing::new(1024, 3, [])?;
    /// let ten = nobody.next(3, (1..=10).map(|id| Member::new(NodeId(id))))?;
    /// let eleven = ten.next(3, (1..=11).map(|id| Member::new(NodeId(id))))?;
    /// // Nothing moves but what the newcomer takes over: an eleventh of the replicas.
    /// assert_eq!(diff(&ten, &eleven)?.len(), 3 * 1024 / 11);
    /// # Ok::<(), dynamokv_ring::Error>(())
    /// ```
    ///
    /// O(partitions x N x log members) expected, and O(members + N x partitions of a node) for each replica that moves.
    ///
    /// # Errors
    /// [`Error::Replicas`] unless `replicas` is in 1..=16, [`Error::DuplicateMember`] if an id comes twice.
    pub fn next(&self, replicas: usize, members: impl IntoIterator<Item = Member>) -> Result<Self> {
        let field = Field::new(self.partitions(), replicas, members)?;
        let number = |&owner: &NodeId| number_of(&field.members, owner);
        let previous: Vec<u32> = self.table.iter().map(number).collect();
        let owners = rebalance::rebalance(
            previous.chunks_exact(self.copies.max(1)),
            &field.contenders,
            &field.spread,
            &field.shares,
            self.bits,
        );
        Ok(field.into_successor(replicas, &owners))
    }

    /// The owners as bytes, for a node that did not go through the changes that led here, or for a start from disk: 2 bytes a
    /// replica, 4 if there are more than 65,536 members. They mean something only together with the number of partitions,
    /// `replicas`, the members and the fingerprint.
    pub fn to_table(&self) -> Vec<u8> {
        let width = number_width(&self.members);
        let mut bytes = Vec::with_capacity(self.table.len() * width);
        for &owner in &self.table {
            bytes.extend_from_slice(&number_of(&self.members, owner).to_le_bytes()[..width]);
        }
        bytes
    }

    /// The ring that [`next`](Self::next) made elsewhere, from the bytes of its [`to_table`](Self::to_table). The bytes may
    /// come from anywhere: only those that belong to the fingerprint are taken.
    ///
    /// # Errors
    /// [`Error::Table`] unless the fingerprint is that of this table, as well as those of [`new`](Self::new).
    pub fn from_table(
        partitions: u32,
        replicas: usize,
        members: impl IntoIterator<Item = Member>,
        table: &[u8],
        fingerprint: u64,
    ) -> Result<Self> {
        let field = Field::new(partitions, replicas, members)?;
        let width = number_width(&field.members);
        let read = |bytes: &[u8]| {
            let number = bytes
                .iter()
                .rev()
                .fold(0, |number, &byte| number << 8 | u32::from(byte));
            ((number as usize) < field.members.len()).then_some(number)
        };
        let fits = table.len() == (field.spread.copies * width) << field.bits;
        let owners: Option<Vec<u32>> = table.chunks_exact(width).map(read).collect();
        let ring = owners
            .filter(|_| fits)
            .map(|owners| field.into_successor(replicas, &owners));
        ring.filter(|ring| ring.fingerprint == fingerprint)
            .ok_or(Error::Table { fingerprint })
    }

    /// The bytes on the heap, apart from the names of the zones.
    pub fn heap_bytes(&self) -> usize {
        size_of_val(&self.table[..])
            + size_of_val(&self.members[..])
            + size_of_val(&self.contenders[..])
    }
}

/// The number of a member, in the order of the ids.
fn number_of(members: &[Member], id: NodeId) -> u32 {
    let found = members.binary_search_by_key(&id, |member| member.id);
    found.map_or(VACANT, |number| number as u32)
}

/// The bytes that the number of a member takes.
fn number_width(members: &[Member]) -> usize {
    if members.len() <= 1 << 16 { 2 } else { 4 }
}

/// Everything about the members that a table is made from.
struct Field {
    bits: u32,
    members: Vec<Member>,
    spread: Spread,
    shares: Vec<u64>,
    contenders: Vec<Contender>,
}

impl Field {
    fn new(
        partitions: u32,
        replicas: usize,
        members: impl IntoIterator<Item = Member>,
    ) -> Result<Self> {
        if !partitions.is_power_of_two() || partitions > PartitionRing::PARTITIONS_MAX {
            return Err(Error::Partitions { given: partitions });
        }
        members::check_replicas(replicas)?;
        let members = members::in_order(members)?;
        let bits = partitions.trailing_zeros();
        let spread = Spread::new(&members, replicas);
        let shares = shares::shares(&members, &spread, bits);
        let contenders = members
            .iter()
            .zip(shares::rates(&members, &spread, &shares, bits))
            .map(|(member, rate)| Contender::new(member.id, rate, bits))
            .collect();
        Ok(Field {
            bits,
            members,
            spread,
            shares,
            contenders,
        })
    }

    /// The ring of a table that its past explains.
    fn into_successor(self, replicas: usize, owners: &[u32]) -> PartitionRing {
        let fingerprint = fingerprint::of_table(1 << self.bits, replicas, &self.members, owners);
        self.into_ring(replicas, owners, fingerprint)
    }

    /// The ring in which the members of these numbers are the owners.
    fn into_ring(self, replicas: usize, owners: &[u32], fingerprint: u64) -> PartitionRing {
        PartitionRing {
            bits: self.bits,
            replicas,
            table: owners
                .iter()
                .map(|&owner| self.members[owner as usize].id)
                .collect(),
            copies: self.spread.copies,
            fingerprint,
            members: self.members,
            contenders: self.contenders,
        }
    }
}

impl Placement for PartitionRing {
    fn replicas_wanted(&self) -> usize {
        self.replicas
    }

    fn partitions(&self) -> u32 {
        1 << self.bits
    }

    #[inline]
    fn partition_of(&self, token: Token) -> PartitionId {
        // In two steps, since one of 64 (a ring of one partition) would be out of range.
        PartitionId(((token.0 >> 1) >> (u64::BITS - 1 - self.bits)) as u32)
    }

    fn range_of(&self, partition: PartitionId) -> TokenRange {
        let number = u64::from(partition.0.min(self.partitions() - 1));
        let rest = u64::MAX.checked_shr(self.bits).unwrap_or(0);
        let first = number.checked_shl(u64::BITS - self.bits).unwrap_or(0);
        TokenRange {
            first: Token(first),
            last: Token(first | rest),
        }
    }

    #[inline]
    fn owners_of(&self, partition: PartitionId) -> &[NodeId] {
        let start = partition.0 as usize * self.copies;
        self.table
            .get(start..start + self.copies)
            .unwrap_or_default()
    }

    fn ranking_of(&self, partition: PartitionId) -> Vec<NodeId> {
        let owners = self.owners_of(partition);
        let mut others: Vec<(u64, NodeId)> = self
            .members
            .iter()
            .zip(&self.contenders)
            .filter(|(member, _)| !owners.contains(&member.id))
            .map(|(member, contender)| (contender.cost(partition.0), member.id))
            .collect();
        others.sort_unstable();
        let others = others.into_iter().map(|(_, id)| id);
        owners.iter().copied().chain(others).collect()
    }

    fn members(&self) -> &[Member] {
        &self.members
    }

    fn fingerprint(&self) -> u64 {
        self.fingerprint
    }
}

impl fmt::Debug for PartitionRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartitionRing")
            .field("partitions", &self.partitions())
            .field("replicas", &self.replicas)
            .field("members", &self.members)
            .field("fingerprint", &format_args!("{:016x}", self.fingerprint))
            .finish_non_exhaustive()
    }
}
