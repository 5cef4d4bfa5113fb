use std::collections::BTreeSet;

use dynamokv_ring::NodeId;
use dynamokv_storage::ObjectKey;
use parking_lot::Mutex;

/// The repairs under way: at most one of a key at a replica.
#[derive(Default)]
pub(crate) struct Repairs {
    under_way: Mutex<BTreeSet<(NodeId, ObjectKey)>>,
}

/// The right to repair a key at a replica, until it is dropped.
pub(crate) struct Turn<'a> {
    repairs: &'a Repairs,
    place: (NodeId, ObjectKey),
}

impl Repairs {
    /// `None` while another read repairs the key there. What that one did not know, a later read finds.
    pub(crate) fn begin(&self, to: NodeId, key: &ObjectKey) -> Option<Turn<'_>> {
        let place = (to, key.clone());
        let is_first = self.under_way.lock().insert(place.clone());
        is_first.then_some(Turn {
            repairs: self,
            place,
        })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.repairs.under_way.lock().remove(&self.place);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_repaired_by_one_read_at_a_time_at_each_replica() {
        let key = |name: &'static str| ObjectKey::new("default", name).unwrap();
        let repairs = Repairs::default();
        let first = repairs.begin(NodeId(1), &key("a"));
        assert!(first.is_some());
        assert!(repairs.begin(NodeId(1), &key("a")).is_none());
        assert!(repairs.begin(NodeId(2), &key("a")).is_some());
        assert!(repairs.begin(NodeId(1), &key("b")).is_some());
        drop(first);
        assert!(repairs.begin(NodeId(1), &key("a")).is_some());
    }
}
