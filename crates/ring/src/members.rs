//! Both rings start from the same checked, ordered list of members.

use crate::placement::REPLICAS_MAX;
use crate::{Error, Member, NodeId, Result};

/// The members in the order of their ids, each once.
pub(crate) fn in_order(members: impl IntoIterator<Item = Member>) -> Result<Vec<Member>> {
    let mut members: Vec<Member> = members.into_iter().collect();
    members.sort_unstable_by_key(|member| member.id);
    match members.windows(2).find(|pair| pair[0].id == pair[1].id) {
        Some(pair) => Err(Error::DuplicateMember { id: pair[0].id }),
        None => Ok(members),
    }
}

/// The member of that id in an ordered list.
pub(crate) fn find(members: &[Member], id: NodeId) -> Option<&Member> {
    let at = members.binary_search_by_key(&id, |member| member.id).ok()?;
    members.get(at)
}

/// Refuses a number of replicas out of bounds.
pub(crate) fn check_replicas(replicas: usize) -> Result<()> {
    match replicas {
        1..=REPLICAS_MAX => Ok(()),
        given => Err(Error::Replicas { given }),
    }
}
