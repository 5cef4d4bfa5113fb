//! Ids and ranges as text.

use dynamokv_ring::{Error, Member, NodeId, Token, TokenRange, Zone};
use proptest::prelude::*;

proptest! {
    #[test]
    fn a_node_id_is_read_back_from_its_text(id: u64) {
        let text = NodeId(id).to_string();
        prop_assert_eq!(text.len(), 16);
        prop_assert_eq!(text.parse(), Ok(NodeId(id)));
    }

    #[test]
    fn only_sixteen_hexadecimal_digits_are_a_node_id(text in "[0-9a-fA-F+x ]{0,18}|\\PC*") {
        let good = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        prop_assert_eq!(text.parse::<NodeId>().is_ok(), good);
    }

    #[test]
    fn a_range_contains_its_ends_and_what_lies_between(a: u64, b: u64, token: u64) {
        let range = TokenRange { first: Token(a.min(b)), last: Token(a.max(b)) };
        prop_assert!(range.contains(range.first) && range.contains(range.last));
        prop_assert_eq!(range.contains(Token(token)), (range.first.0..=range.last.0).contains(&token));
        prop_assert!(TokenRange::ALL.contains(Token(token)));
    }
}

#[test]
fn a_malformed_node_id_is_shown_shortened() {
    let refused = "é".repeat(100).parse::<NodeId>().unwrap_err();
    assert_eq!(
        refused,
        Error::NodeId {
            given: "é".repeat(32)
        }
    );
    assert!(refused.to_string().contains("16 hexadecimal digits"));
}

#[test]
fn a_plain_member_is_one_ordinary_node_in_the_nameless_zone() {
    let member = Member::new(NodeId(9));
    assert_eq!(member.weight.get(), 100);
    assert_eq!(member.zone, Zone::new(""));
}
