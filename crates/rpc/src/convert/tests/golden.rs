//! Nodes of different releases talk to each other, and facts are kept on disk: these bytes never change.

use std::sync::Arc;
use std::time::Duration;

use dynamokv_antientropy::{Item, Listing, Parent, Prefix, Question, Ranges};
use dynamokv_coordinator::{Fence, Forwarded, Options, PutRequest, QuorumMode, ReplicaWrite};
use dynamokv_gossip::ClusterFacts;
use dynamokv_handoff::RangeRequest;
use dynamokv_ring::{Member, NodeId, PartitionId, Token, TokenRange};
use dynamokv_storage::{ObjectKey, State, Value};
use dynamokv_vclock::{ActorId, CausalContext, Dot, Epoch, HybridTime};
use prost::Message;

use crate::pb;

fn hex(message: &impl Message) -> String {
    message
        .encode_to_vec()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn sample_fence() -> Fence {
    Fence {
        cluster: 0x0102,
        number: 3,
        fingerprint: 0x0405,
        seen: 6,
    }
}

fn sample_state() -> State {
    let value = Value {
        content_type: Some("t".into()),
        ..Value::new(HybridTime(9), "v")
    };
    State::delta(
        Dot::new(ActorId::new(1, Epoch(2)), 1),
        value,
        &CausalContext::new(),
    )
}

#[test]
fn replica_write() {
    let write = ReplicaWrite {
        fence: sample_fence(),
        key: ObjectKey::new("default", "k").unwrap(),
        delta: Arc::new(sample_state()),
        hint_for: Some(NodeId(5)),
    };
    assert_eq!(
        hex(&pb::InternalPutRequest::from(&write)),
        concat!(
            "0a1609020100000000000010031905040000000000002006120c0a0764656661756c7412016b1a10",
            "31010102010001010201030901740176210500000000000000",
        )
    );
}

#[test]
fn forwarded_put() {
    let forwarded = Forwarded {
        fence: sample_fence(),
        put: PutRequest {
            key: ObjectKey::new("default", "k").unwrap(),
            value: Some("v".into()),
            content_type: None,
            context: sample_state().context().clone(),
            return_values: true,
            idempotency_key: Some("i".into()),
            options: Options {
                quorum: Some(2),
                mode: QuorumMode::Strict,
                timeout: Some(Duration::from_millis(1)),
            },
        },
    };
    assert_eq!(
        hex(&pb::ForwardPutRequest::from(forwarded)),
        concat!(
            "0a1609020100000000000010031905040000000000002006120c0a0764656661756c7412016b1a01",
            "762a0621010102010030013802400248e807520169",
        )
    );
}

#[test]
fn range_request() {
    let request = RangeRequest {
        partition: PartitionId(7),
        after: Some(ObjectKey::new("default", "a").unwrap()),
        bytes_max: 9,
    };
    assert_eq!(
        hex(&pb::FetchRangeRequest::from((sample_fence(), &request))),
        concat!(
            "0a160902010000000000001003190504000000000000200610071a0c0a0764656661756c74120161",
            "2009",
        )
    );
}

#[test]
fn questions_of_an_exchange() {
    let question = |question| hex(&pb::ExchangeTreesRequest::from((sample_fence(), &question)));
    let fence = "0a16090201000000000000100319050400000000000020 06".replace(' ', "");
    let sum = 0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10;
    let overview = question(Question::Overview {
        from: NodeId(3),
        sum,
    });
    assert_eq!(
        overview,
        format!("{fence}121b0903000000000000001108070605040302011910 0f0e0d0c0b0a09")
            .replace(' ', "")
    );
    let prefix = Prefix::of(Token(0x1234 << 48), 8);
    let sums = question(Question::Sums(vec![Parent::new(prefix, 12).unwrap()]));
    assert_eq!(
        sums,
        format!("{fence}1a100a08000000000000001212010 81a010c").replace(' ', "")
    );
    let range = TokenRange {
        first: Token(1),
        last: Token(2),
    };
    let items = vec![Item {
        token: Token(2),
        hash: sum,
    }];
    let listing = Listing::new(Ranges::union(vec![range]), items, 9).unwrap();
    assert_eq!(
        question(Question::List(listing)),
        format!(
            "{fence}22340a0801000000000000001208020000000000000 01a080200000000000000220808070605040302012a08100f0e0d0c0b0a093009"
        )
        .replace(' ', "")
    );
}

#[test]
fn cluster_facts() {
    let facts = ClusterFacts::found(2, "c", 8, 3, Member::new(NodeId(3))).unwrap();
    assert_eq!(
        hex(&pb::ClusterFacts::from(&facts)),
        "0902000000000000001201631808220f10031a0b09030000000000000010 64".replace(' ', "")
    );
}
