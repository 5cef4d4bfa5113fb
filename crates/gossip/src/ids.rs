use std::collections::BTreeSet;

use dynamokv_ring::NodeId;

use crate::{Error, Result};

/// Node ids as gossiped text: sorted, comma-separated, empty for none. [`parse_ids`] reads it back.
pub fn format_ids(ids: &BTreeSet<NodeId>) -> String {
    let texts: Vec<String> = ids.iter().map(NodeId::to_string).collect();
    texts.join(",")
}

/// The ids in a text made by [`format_ids`].
///
/// # Errors
/// [`Error::Malformed`] if any of them is no node id.
pub fn parse_ids(text: &str) -> Result<BTreeSet<NodeId>> {
    if text.is_empty() {
        return Ok(BTreeSet::new());
    }
    text.split(',')
        .map(|id| {
            id.parse()
                .map_err(|_| Error::malformed("list of node ids", text))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ids_read_back(ids in proptest::collection::btree_set(any::<u64>().prop_map(NodeId), 0..9)) {
            prop_assert_eq!(parse_ids(&format_ids(&ids)), Ok(ids));
        }
    }

    #[test]
    fn damaged_lists_are_refused() {
        for text in [
            ",",
            "1",
            "0000000000000001,",
            "0000000000000001 0000000000000002",
        ] {
            assert!(parse_ids(text).is_err(), "{text:?}");
        }
    }
}
