mod assign;
mod rendezvous;
mod shares;

use std::fmt;

use crate::fingerprint::{self, Scheme};
use crate::placement::{PartitionId, Placement};
use crate::spread::Spread;
use crate::{Error, Member, NodeId, Result, Token, TokenRange, members};
use rendezvous::Contender;

/// The default placement: equal partitions, each given to N nodes (strategy 3 of the Dynamo paper, section 6.2).
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
        if !partitions.is_power_of_two() || partitions > Self::PARTITIONS_MAX {
            return Err(Error::Partitions { given: partitions });
        }
        members::check_replicas(replicas)?;
        let members = members::in_order(members)?;
        let bits = partitions.trailing_zeros();
        let spread = Spread::new(&members, replicas);
        let shares = shares::shares(&members, &spread, bits);
        let contenders: Vec<Contender> = members
            .iter()
            .zip(shares::rates(&members, &spread, &shares, bits))
            .map(|(member, rate)| Contender::new(member.id, rate, bits))
            .collect();
        let owners = assign::assign(&contenders, &spread, &shares, bits);
        let table = owners
            .iter()
            .map(|&owner| members[owner as usize].id)
            .collect();
        Ok(PartitionRing {
            bits,
            replicas,
            table,
            copies: spread.copies,
            fingerprint: fingerprint::fingerprint(
                Scheme::Partitions,
                partitions,
                replicas,
                &members,
            ),
            members,
            contenders,
        })
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
