//! Looking up allocates nothing. Alone in its process, since the counter sees every thread.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use dynamokv_ring::{Member, NodeId, PartitionRing, Placement, Token, TokenRing};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

#[test]
fn a_look_up_allocates_nothing_under_either_placement() {
    let members = || (1..=50).map(|id| Member::new(NodeId(id)).with_zone(format!("{}", id % 4)));
    let stateless = PartitionRing::new(1024, 3, members()).unwrap();
    let successive = stateless.next(3, members().skip(1)).unwrap();
    let classic = TokenRing::new(64, 3, members()).unwrap();
    let placements: [&dyn Placement; 3] = [&stateless, &successive, &classic];

    let _profiler = dhat::Profiler::builder().testing().build();
    let blocks = || dhat::HeapStats::get().total_blocks;
    let before = blocks();
    let mut owners = 0;
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
    assert_eq!(blocks(), before);
    assert!(owners > 90_000);

    // The counter does count.
    assert!(!stateless.ranking(Token(1)).is_empty());
    assert!(blocks() > before);
}
