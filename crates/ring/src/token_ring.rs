use std::fmt;

use xxhash_rust::xxh3::xxh3_64;

use crate::fingerprint::{self, Scheme};
use crate::placement::{PartitionId, Placement};
use crate::spread::{Picks, Spread};
use crate::{Error, Member, NodeId, Result, Token, TokenRange, members};

/// The classic ring (Karger et al. 1997; strategy 1 of the Dynamo paper): each node has random tokens, and a key
/// belongs to the owners of the first tokens from its own token on, clockwise. Owners sit in distinct zones where there
/// are enough: nodes of zones that have their copies are passed over.
///
/// Here for comparison and for those who need it: a change moves exactly the least (in one zone), but balance takes many
/// tokens, and the ranges are uneven and change with the members. A partition is the range between two neighbouring
/// tokens; the one that wraps around counts as two, so that no range wraps.
///
/// A look-up is O(1) expected and does not allocate. Building takes O(tokens x log tokens) expected, more where a zone
/// is so small that one has to walk far for it.
///
/// ```
/// # use dynamokv_ring::{Member, NodeId, Placement, Token, TokenRing};
/// let ring = TokenRing::new(128, 3, (1..=5).map(|id| Member::new(NodeId(id))))?;
/// assert_eq!(ring.owners(Token(42)).len(), 3);
/// # Ok::<(), dynamokv_ring::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct TokenRing {
    vnodes: u32,
    replicas: usize,
    members: Vec<Member>,
    /// All tokens of all members, in order.
    tokens: Vec<VirtualNode>,
    /// The last token of each partition.
    ends: Vec<Token>,
    /// The first partition that ends in or after each slice of the tokens: a search need not leave its slice.
    slices: Vec<u32>,
    /// log2 of the number of slices: at least 1, as many slices as partitions and up to twice as many.
    slice_bits: u32,
    /// The preference lists of all partitions, one after the other, each of `copies` nodes.
    table: Vec<NodeId>,
    copies: usize,
    fingerprint: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct VirtualNode {
    token: Token,
    /// By its number.
    member: u32,
}

impl TokenRing {
    /// The greatest number of tokens of all members together.
    pub const TOKENS_MAX: u64 = 1 << 22;

    /// A ring with `vnodes` tokens for each ordinary node (weight 100), and in proportion, but at least one, for others.
    /// The order of the members does not matter. No members is allowed: then nobody owns anything.
    ///
    /// # Errors
    /// [`Error::Tokens`] if `vnodes` is 0 or there are more than [`Self::TOKENS_MAX`] tokens,
    /// [`Error::Replicas`] unless `replicas` is in 1..=16, [`Error::DuplicateMember`] if an id comes twice.
    pub fn new(
        vnodes: u32,
        replicas: usize,
        members: impl IntoIterator<Item = Member>,
    ) -> Result<Self> {
        members::check_replicas(replicas)?;
        let members = members::in_order(members)?;
        let total = members.iter().fold(0u64, |total, member| {
            total.saturating_add(count(vnodes, member))
        });
        if vnodes == 0 || total > Self::TOKENS_MAX {
            return Err(Error::Tokens {
                vnodes,
                tokens: total,
            });
        }
        let tokens = tokens(vnodes, &members);
        let spread = Spread::new(&members, replicas);
        let mut ends: Vec<Token> = tokens.iter().map(|vnode| vnode.token).collect();
        let mut table = Vec::with_capacity((tokens.len() + 1) * spread.copies);
        let mut picks = Picks::new(&spread);
        for start in 0..tokens.len() {
            picks.clear();
            for vnode in clockwise(&tokens, start) {
                if picks.is_complete() {
                    break;
                }
                if picks.admits(vnode.member) {
                    picks.add(vnode.member);
                }
            }
            table.extend(
                picks
                    .chosen()
                    .iter()
                    .map(|&owner| members[owner as usize].id),
            );
        }
        if ends.last() != Some(&Token::MAX) {
            // The second half of the range that wraps around has the owners of the first partition.
            ends.push(Token::MAX);
            table.extend_from_within(..spread.copies);
        }
        let slice_bits = ends.len().next_power_of_two().trailing_zeros().max(1);
        Ok(TokenRing {
            vnodes,
            replicas,
            slices: slices(&ends, slice_bits),
            slice_bits,
            ends,
            table,
            copies: spread.copies,
            fingerprint: fingerprint::of_members(Scheme::Tokens, vnodes, replicas, &members),
            tokens,
            members,
        })
    }

    /// The bytes on the heap, apart from the names of the zones.
    pub fn heap_bytes(&self) -> usize {
        size_of_val(&self.members[..])
            + size_of_val(&self.tokens[..])
            + size_of_val(&self.ends[..])
            + size_of_val(&self.slices[..])
            + size_of_val(&self.table[..])
    }

    /// Tokens for each ordinary node.
    pub fn vnodes(&self) -> u32 {
        self.vnodes
    }
}

/// The number of tokens of a member.
fn count(vnodes: u32, member: &Member) -> u64 {
    let ordinary = u64::from(Member::ORDINARY_WEIGHT.get());
    let scaled = u64::from(vnodes) * u64::from(member.weight.get());
    ((scaled + ordinary / 2) / ordinary).max(1)
}

/// The tokens of all members in order. Should two fall together, the lower id keeps it.
fn tokens(vnodes: u32, members: &[Member]) -> Vec<VirtualNode> {
    let mut tokens: Vec<VirtualNode> = members
        .iter()
        .zip(0..)
        .flat_map(|(member, number)| {
            (0..count(vnodes, member)).map(move |index| VirtualNode {
                token: virtual_token(member.id, index),
                member: number,
            })
        })
        .collect();
    tokens.sort_unstable();
    tokens.dedup_by_key(|vnode| vnode.token);
    tokens
}

/// XXH3-64 of the id and the index, 8 bytes each, little-endian.
fn virtual_token(id: NodeId, index: u64) -> Token {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&id.0.to_le_bytes());
    bytes[8..].copy_from_slice(&index.to_le_bytes());
    Token(xxh3_64(&bytes))
}

/// The first partition that ends in or after each of 2^bits slices of the tokens, and the last partition as a guard.
fn slices(ends: &[Token], bits: u32) -> Vec<u32> {
    let mut partition = 0;
    let first_token = |slice: u64| Token(slice << (u64::BITS - bits));
    let mut slices: Vec<u32> = (0..1 << bits)
        .map(|slice| {
            while ends[partition] < first_token(slice) {
                partition += 1;
            }
            partition as u32
        })
        .collect();
    slices.push(ends.len() as u32 - 1);
    slices
}

/// All virtual nodes once around, from a place on.
fn clockwise(tokens: &[VirtualNode], start: usize) -> impl Iterator<Item = &VirtualNode> {
    let (before, after) = tokens.split_at(start);
    after.iter().chain(before)
}

impl Placement for TokenRing {
    fn replicas_wanted(&self) -> usize {
        self.replicas
    }

    fn partitions(&self) -> u32 {
        self.ends.len() as u32
    }

    fn partition_of(&self, token: Token) -> PartitionId {
        let slice = (token.0 >> (u64::BITS - self.slice_bits)) as usize;
        let (from, to) = (self.slices[slice] as usize, self.slices[slice + 1] as usize);
        PartitionId((from + self.ends[from..to].partition_point(|&end| end < token)) as u32)
    }

    fn range_of(&self, partition: PartitionId) -> TokenRange {
        let place = (partition.0 as usize).min(self.ends.len() - 1);
        let before = place.checked_sub(1).map(|place| self.ends[place]);
        TokenRange {
            first: before.map_or(Token::MIN, |end| Token(end.0 + 1)),
            last: self.ends[place],
        }
    }

    fn owners_of(&self, partition: PartitionId) -> &[NodeId] {
        let start = partition.0 as usize * self.copies;
        self.table
            .get(start..start + self.copies)
            .unwrap_or_default()
    }

    fn ranking_of(&self, partition: PartitionId) -> Vec<NodeId> {
        let mut ranking = self.owners_of(partition).to_vec();
        let mut ranked = vec![false; self.members.len()];
        for owner in &ranking {
            if let Ok(number) = self.members.binary_search_by_key(owner, |member| member.id) {
                ranked[number] = true;
            }
        }
        let start = (partition.0 as usize).min(self.tokens.len());
        for vnode in clockwise(&self.tokens, start) {
            if ranking.len() == self.members.len() {
                break;
            }
            let ranked = &mut ranked[vnode.member as usize];
            if !*ranked {
                *ranked = true;
                ranking.push(self.members[vnode.member as usize].id);
            }
        }
        ranking
    }

    fn members(&self) -> &[Member] {
        &self.members
    }

    fn fingerprint(&self) -> u64 {
        self.fingerprint
    }
}

impl fmt::Debug for TokenRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenRing")
            .field("vnodes", &self.vnodes)
            .field("replicas", &self.replicas)
            .field("members", &self.members)
            .field("fingerprint", &format_args!("{:016x}", self.fingerprint))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::num::NonZeroU32;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn owners_and_ranking_are_those_of_a_linear_scan(
            nodes in prop::collection::btree_map(any::<u64>(), (1u32..300, 0u8..4), 0..12),
            vnodes in 1u32..12,
            replicas in 1usize..=5,
            token: u64,
        ) {
            let members: Vec<Member> = nodes
                .into_iter()
                .filter_map(|(id, (weight, zone))| {
                    let weight = NonZeroU32::new(weight)?;
                    Some(Member::new(NodeId(id)).with_weight(weight).with_zone(zone.to_string()))
                })
                .collect();
            let ring = TokenRing::new(vnodes, replicas, members.clone())
                .map_err(|error| TestCaseError::fail(error.to_string()))?;
            let edges: Vec<u64> = tokens(vnodes, &members)
                .into_iter()
                .flat_map(|vnode| [vnode.token.0.wrapping_sub(1), vnode.token.0, vnode.token.0.wrapping_add(1)])
                .collect();
            for token in edges.into_iter().chain([token, 0, u64::MAX]).map(Token) {
                let around = scan(vnodes, &members, token);
                let owners = distinct_zones(&members, &around, replicas);
                prop_assert_eq!(ring.owners(token), &owners[..], "token {}", token);
                let rest = around.into_iter().filter(|id| !owners.contains(id));
                let ranking: Vec<NodeId> = owners.iter().copied().chain(rest).collect();
                prop_assert_eq!(ring.ranking(token), ranking, "token {}", token);
            }
        }
    }

    /// Every member once, in the order in which their nearest tokens come clockwise.
    fn scan(vnodes: u32, members: &[Member], token: Token) -> Vec<NodeId> {
        let nearest = |member: &Member| {
            let tokens = (0..count(vnodes, member)).map(|index| virtual_token(member.id, index));
            tokens.map(|other| other.0.wrapping_sub(token.0)).min()
        };
        let mut around: Vec<_> = members
            .iter()
            .map(|member| (nearest(member), member.id))
            .collect();
        around.sort_unstable();
        around.into_iter().map(|(_, id)| id).collect()
    }

    /// Rounds over the zones in the order of the scan, sorted back into that order.
    fn distinct_zones(members: &[Member], around: &[NodeId], replicas: usize) -> Vec<NodeId> {
        let mut rounds: Vec<(usize, usize, NodeId)> = Vec::new();
        for (place, &id) in around.iter().enumerate() {
            let zone = members::find(members, id).map(|member| &member.zone);
            let before = around[..place].iter();
            let round = before
                .filter(|&&other| members::find(members, other).map(|member| &member.zone) == zone)
                .count();
            rounds.push((round, place, id));
        }
        rounds.sort_unstable();
        rounds.truncate(replicas);
        rounds.sort_unstable_by_key(|&(_, place, _)| place);
        rounds.into_iter().map(|(_, _, id)| id).collect()
    }
}
