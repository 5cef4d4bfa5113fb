//! Vectors that must never change: data on disk lies where they say.

use std::num::NonZeroU32;

use dynamokv_ring::{Member, NodeId, PartitionRing, Placement, Token, TokenRing};
use xxhash_rust::xxh3::xxh3_64;

#[test]
fn tokens_never_change_and_are_those_of_other_implementations_of_the_hash() {
    let long = [7u8; 300];
    let tokens: [(&[u8], &[u8], u64); 5] = [
        (b"default", b"", 0xd934_03ef_5e17_1ab0),
        (b"default", b"cart:42", 0x1b6f_7607_7a2b_9b3e),
        (b"sessions", b"cart:42", 0xca29_4462_d98c_d3c6),
        (b"", b"a", 0x795c_8372_8c2a_36e1),
        (b"default", &long, 0xcc03_7003_62a7_d879),
    ];
    for (keyspace, key, token) in tokens {
        assert_eq!(Token::of(keyspace, key), Token(token));
    }
}

#[test]
fn equal_partitions_never_change() {
    let small = PartitionRing::new(8, 3, members(4)).unwrap();
    assert_eq!(
        lists(&small),
        "4,2,3 2,3,4 4,2,3 3,2,1 1,3,2 3,2,1 1,3,2 2,3,4"
    );
    assert_eq!(checksum(&small), 0x8fb9_6cc8_dad7_0ebd);
    for (bits, replicas, count, expected) in [
        (0, 1, 1, 0x8912_b0c9_54b0_133b),
        (6, 3, 3, 0x6f64_5cb8_df4d_287d),
        (8, 3, 12, 0x8353_8342_fc03_e8df),
        (12, 3, 100, 0xf846_a804_cce4_8726),
        (12, 5, 300, 0x211f_c425_ca52_eae8),
    ] {
        let ring = PartitionRing::new(1 << bits, replicas, members(count)).unwrap();
        assert_eq!(checksum(&ring), expected, "{count} nodes");
    }
}

#[test]
fn successive_tables_never_change() {
    let grown = |bits: u32, replicas, sizes: &[u64]| {
        let nobody = PartitionRing::new(1 << bits, replicas, []).unwrap();
        sizes.iter().fold(nobody, |ring, &count| {
            ring.next(replicas, members(count)).unwrap()
        })
    };
    assert_eq!(
        lists(&grown(3, 3, &[1, 4])),
        "2,4,3 2,1,3 2,1,3 3,1,2 1,3,2 3,4,2 1,3,2 4,2,3"
    );
    let sums = [
        checksum(&grown(6, 3, &[1, 2, 3, 4, 5])),
        checksum(&grown(8, 3, &[12, 13, 5])),
        checksum(&grown(12, 3, &[99, 100])),
        checksum(&grown(12, 5, &[300, 150])),
    ];
    assert_eq!(
        sums,
        [
            1851058153681781948,
            2892587410346796159,
            318623083196138449,
            1404337099941749583
        ]
    );
}

#[test]
fn random_tokens_never_change() {
    let small = TokenRing::new(2, 3, members(4)).unwrap();
    assert_eq!(
        lists(&small),
        "1,3,2 3,1,2 1,3,2 3,1,2 1,3,2 3,2,4 3,2,4 2,3,4 3,2,4 2,4,3 4,2,3 2,4,3 4,2,3 2,1,3 1,3,2"
    );
    for (vnodes, replicas, count, expected) in [
        (1, 1, 1, 0x806d_9b9d_20de_80a7),
        (16, 3, 12, 0xfecb_b5b0_ee48_f100),
        (64, 5, 50, 0x31fe_a574_a6c3_db00),
    ] {
        let ring = TokenRing::new(vnodes, replicas, members(count)).unwrap();
        assert_eq!(checksum(&ring), expected, "{count} nodes");
    }
}

/// Members of four weights in three zones.
fn members(count: u64) -> impl Iterator<Item = Member> {
    (1..=count).map(|id| {
        Member::new(NodeId(id))
            .with_weight(NonZeroU32::new(100 + (id as u32 % 4) * 50).unwrap())
            .with_zone(format!("zone-{}", id % 3))
    })
}

/// All lists for the eye.
fn lists(placement: &impl Placement) -> String {
    let list = |partition| {
        let owners = placement.owners_of(partition).iter();
        owners
            .map(|owner| owner.0.to_string())
            .collect::<Vec<_>>()
            .join(",")
    };
    placement
        .partition_ids()
        .map(list)
        .collect::<Vec<_>>()
        .join(" ")
}

/// One number for all ranges, lists and some rankings, and the fingerprint.
fn checksum(placement: &impl Placement) -> u64 {
    let mut bytes = placement.fingerprint().to_le_bytes().to_vec();
    for partition in placement.partition_ids() {
        bytes.extend(placement.range_of(partition).last.0.to_le_bytes());
        for owner in placement.owners_of(partition) {
            bytes.extend(owner.0.to_le_bytes());
        }
        if partition.0 % 16 == 0 {
            bytes.extend(
                placement
                    .ranking_of(partition)
                    .iter()
                    .flat_map(|id| id.0.to_le_bytes()),
            );
        }
    }
    xxh3_64(&bytes)
}
