//! Looking up allocates nothing.
#![allow(missing_docs, clippy::unwrap_used)]

use allocation_counter::measure;
use dynamokv_ring::{Member, NodeId, PartitionRing, Placement, Token, TokenRing};

#[test]
fn a_look_up_allocates_nothing_under_either_placement() {
    let members = || (1..=50).map(|id| Member::new(NodeId(id)).with_zone(format!("{}", id % 4)));
    let stateless = PartitionRing::new(1024, 3, members()).unwrap();
    let successive = stateless.next(3, members().skip(1)).unwrap();
    let classic = TokenRing::new(64, 3, members()).unwrap();
    let placements: [&dyn Placement; 3] = [&stateless, &successive, &classic];

    let mut owners = 0;
    let look_ups = measure(|| {
        for placement in placements {
            for number in 0..10_000u128 {
                let token = Token::of(b"default", &number.to_le_bytes());
                let partition = placement.partition_of(token);
                assert!(placement.range_of(partition).contains(token));
                owners += placement.owners(token).len();
                owners += usize::from(placement.owns(NodeId(7), partition));
                assert!(placement.contains(NodeId(7)));
            }
        }
    });
    assert_eq!(look_ups.count_total, 0);
    assert!(owners > 90_000);

    let counter_counts = measure(|| drop(stateless.ranking(Token(1))));
    assert!(counter_counts.count_total > 0);
}
