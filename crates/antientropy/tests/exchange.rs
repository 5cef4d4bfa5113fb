//! Two stores that exchange until they are the same, over a way that loses, repeats and cuts off.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use dynamokv_antientropy::{
    Descent, Difference, Forest, Item, Listing, Matching, Parent, Prefix, Ranges, Verdict, leads,
    verdicts,
};
use dynamokv_ring::{NodeId, PartitionId, Token};
use proptest::collection::vec;
use proptest::prelude::*;

/// A set that grows, the least of all states that can be joined.
type State = BTreeSet<u8>;
type Entry = (Token, State);

fn hash(token: Token, state: &State) -> u128 {
    let mut sum =
        (u128::from(token.0) << 64 | 1).wrapping_mul(0x0fc9_4e3b_f4e9_ab32_8664_57a5_1fb1_7d6b);
    for value in state {
        sum = (sum ^ u128::from(*value) ^ 0xff)
            .wrapping_mul(0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645);
    }
    sum ^ sum >> 57
}

struct Node {
    store: BTreeMap<Token, State>,
    forest: Forest,
}

impl Node {
    fn new(entries: impl IntoIterator<Item = Entry>) -> Self {
        let mut node = Self {
            store: BTreeMap::new(),
            forest: Forest::new(true),
        };
        for entry in entries {
            node.join(entry);
        }
        node.grow();
        node
    }

    fn join(&mut self, (token, state): Entry) {
        let old = self.store.get(&token).map(|state| hash(token, state));
        let kept = self.store.entry(token).or_default();
        kept.extend(state);
        self.forest.change(token, old, Some(hash(token, kept)));
    }

    /// Gives the leaves the number that fits.
    fn grow(&self) {
        while let Some(due) = self.forest.due(1) {
            let range = self.forest.range_of(&due);
            let mut recount = self.forest.begin_recount(due, 0);
            for (token, state) in self.store.range(range.first..=range.last) {
                recount.add(*token, hash(*token, state));
            }
            recount.finish();
        }
    }

    fn items(&self, ranges: &Ranges) -> Vec<Item> {
        let of = |range: dynamokv_ring::TokenRange| self.store.range(range.first..=range.last);
        let item = |(token, state): (&Token, &State)| Item {
            token: *token,
            hash: hash(*token, state),
        };
        ranges.iter().flat_map(of).map(item).collect()
    }

    fn answer(&self, listing: &Listing) -> Difference<Entry> {
        let mut matching = Matching::new(listing);
        'ranges: for range in listing.ranges().iter() {
            for (token, state) in self.store.range(range.first..=range.last) {
                let entry = (*token, state.clone());
                if let ControlFlow::Break(()) =
                    matching.own(*token, hash(*token, state), 100, entry)
                {
                    break 'ranges;
                }
            }
        }
        matching.finish()
    }
}

/// What an exchange cost.
#[derive(Debug, Default)]
struct Cost {
    questions: usize,
    sums: usize,
    items: usize,
    pulled: usize,
    pushed: usize,
}

/// The way between two nodes: what is lost ends an exchange where it is.
struct Way<'a> {
    lost: &'a mut dyn FnMut() -> bool,
    cost: Cost,
}

impl Way<'_> {
    fn cross(&mut self) -> Option<()> {
        self.cost.questions += 1;
        (!(self.lost)()).then_some(())
    }
}

const BITS: u8 = 4;
const ITEMS: usize = 500;

/// One exchange, led by `me`. `None` if it was cut off.
fn exchange(me: &mut Node, peer: &mut Node, page: usize, way: &mut Way<'_>) -> Option<bool> {
    way.cross()?;
    if me.forest.see(Prefix::ROOT) == peer.forest.see(Prefix::ROOT) {
        return Some(true);
    }
    let asked: Vec<Parent> = Prefix::ROOT.split(BITS).map(Parent::itself).collect();
    way.cross()?;
    let theirs = peer.forest.sums(&asked).unwrap();
    way.cost.sums += asked.len();
    let compared = verdicts(&me.forest, &asked, &theirs).unwrap();
    let differing = asked.iter().zip(compared);
    let differing = differing.filter(|(_, verdict)| *verdict == Verdict::Differs);
    let mut descent = Descent::new(&me.forest, differing.map(|(parent, _)| parent.prefix()));
    while let Some(asked) = descent.ask(&me.forest) {
        way.cross()?;
        let sums = peer.forest.sums(&asked).unwrap();
        way.cost.sums += asked
            .iter()
            .map(|parent| parent.children().len())
            .sum::<usize>();
        descent.answered(&me.forest, &asked, &sums).unwrap();
    }
    let mut left = descent.into_ranges();
    while !left.is_empty() {
        let mut items = me.items(&left);
        let mut ranges = left.clone();
        if items.len() > ITEMS {
            items.truncate(ITEMS);
            ranges = left.up_to(items.last().unwrap().token);
        }
        way.cost.items += items.len();
        let end = ranges.iter().last().unwrap().last;
        let listing = Listing::new(ranges, items, page).unwrap();
        way.cross()?;
        let difference = peer.answer(&listing);
        way.cost.pulled += difference.entries.len();
        let got: BTreeMap<Token, u128> = difference
            .entries
            .iter()
            .map(|(token, state)| (*token, hash(*token, state)))
            .collect();
        difference
            .entries
            .into_iter()
            .for_each(|entry| me.join(entry));
        let lacked = difference
            .wanted
            .iter()
            .map(|token| (*token, me.store[token].clone()));
        let lacked = lacked.filter(|(token, state)| got.get(token) != Some(&hash(*token, state)));
        let lacked: Vec<Entry> = lacked.collect();
        if !lacked.is_empty() {
            way.cross()?;
            way.cost.pushed += lacked.len();
            lacked.into_iter().for_each(|entry| peer.join(entry));
        }
        left = left.behind(difference.until.unwrap_or(end));
    }
    Some(false)
}

fn entries(max: usize) -> impl Strategy<Value = Vec<Entry>> {
    let token = prop_oneof![
        any::<u64>(),
        (0..3_u64, 0..300_u64).prop_map(|(high, low)| high << 61 | low << 44),
    ];
    vec((token.prop_map(Token), vec(0..4_u8, 0..3)), 0..max).prop_map(|all| {
        all.into_iter()
            .map(|(token, values)| (token, values.into_iter().collect()))
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Against the plain union of both, whatever is lost on the way, whoever leads and however short the answers are.
    #[test]
    fn two_stores_come_to_hold_the_union_of_both(
        shared in entries(400),
        mine in entries(200),
        theirs in entries(200),
        losses in vec(prop::bool::weighted(0.2), 0..200),
        leaders in vec(any::<bool>(), 1..10),
        page in 1_usize..3_000,
        written in entries(50),
    ) {
        let mut one = Node::new(shared.iter().cloned().chain(mine.clone()));
        let mut other = Node::new(shared.iter().cloned().chain(theirs.clone()));
        let mut union: BTreeMap<Token, State> = BTreeMap::new();
        for (token, state) in shared.into_iter().chain(mine).chain(theirs).chain(written.iter().cloned()) {
            union.entry(token).or_default().extend(state);
        }
        let (mut losses, mut leaders, mut written) = (losses.into_iter(), leaders.into_iter().cycle(), written.into_iter());
        let mut lost = || losses.next().unwrap_or(false);
        let mut way = Way { lost: &mut lost, cost: Cost::default() };
        let mut rounds = 0;
        loop {
            let (leader, follower) = if leaders.next().unwrap() { (&mut one, &mut other) } else { (&mut other, &mut one) };
            let same = exchange(leader, follower, page, &mut way) == Some(true);
            if let Some(entry) = written.next() {
                follower.join(entry);
            } else if same {
                break;
            }
            rounds += 1;
            prop_assert!(rounds < 300, "no end");
        }
        prop_assert_eq!(&one.store, &union);
        prop_assert_eq!(&other.store, &union);
    }

    #[test]
    fn of_two_owners_one_leads(a in any::<u64>(), b in any::<u64>(), partition in any::<u32>()) {
        prop_assume!(a != b);
        let (a, b, partition) = (NodeId(a), NodeId(b), PartitionId(partition));
        prop_assert_ne!(leads(a, b, partition), leads(b, a, partition));
        prop_assert_ne!(leads(a, b, partition), leads(a, b, PartitionId(partition.0 ^ 1)));
    }

    /// Against a plain filter.
    #[test]
    fn ranges_are_the_sets_that_they_stand_for(
        parts in vec((0..60_u64, 0..6_u64), 0..12),
        cut in 0..70_u64,
    ) {
        let in_parts = |n: u64| parts.iter().any(|(first, length)| (*first..first + length).contains(&n));
        let ranges = parts.iter().filter(|(_, length)| *length > 0).map(|(first, length)| dynamokv_ring::TokenRange {
            first: Token(*first),
            last: Token(first + length - 1),
        });
        let union = Ranges::union(ranges.collect());
        let (head, tail) = (union.up_to(Token(cut)), union.behind(Token(cut)));
        for n in 0..70 {
            prop_assert_eq!(union.contains(Token(n)), in_parts(n));
            prop_assert_eq!(head.contains(Token(n)), in_parts(n) && n <= cut);
            prop_assert_eq!(tail.contains(Token(n)), in_parts(n) && n > cut);
        }
        for checked in [&union, &head, &tail] {
            prop_assert_eq!(Ranges::checked(checked.iter().collect()), Ok(checked.clone()));
        }
    }
}

fn spread(n: u64) -> Token {
    Token(n.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

#[test]
fn the_cost_follows_the_difference_and_not_the_data() {
    const KEYS: u64 = 100_000;
    let state = |extra: bool| -> State { [1].into_iter().chain(extra.then_some(2)).collect() };
    let mut before = 0;
    for differing in [0_u64, 10, 100, 1_000] {
        let mut me = Node::new((0..KEYS).map(|n| (spread(n), state(false))));
        let mut peer = Node::new((0..KEYS).map(|n| {
            (
                spread(n),
                state(n % (KEYS / differing.max(1)) == 0 && differing > 0),
            )
        }));
        let mut never = || false;
        let mut way = Way {
            lost: &mut never,
            cost: Cost::default(),
        };
        exchange(&mut me, &mut peer, 1 << 20, &mut way).unwrap();
        let cost = way.cost;
        assert_eq!(me.store, peer.store);
        assert_eq!(cost.pulled as u64, differing);
        assert_eq!(cost.pushed, 0, "what was older here is not sent back");
        let bytes = cost.sums * 16 + cost.items * 24;
        let keys = differing.max(1) as usize;
        assert!(bytes <= 1_500 * keys + 4_096, "{differing}: {cost:?}");
        assert!(bytes >= before, "{differing}: {cost:?}");
        before = bytes;
    }
}

#[test]
fn what_is_not_counted_is_not_taken_for_the_same_nor_for_different() {
    let me = Node::new((0..5_000).map(|n| (spread(n), [1].into())));
    let peer = Node::new((0..5_000).map(|n| (spread(n), [2].into())));
    let counting = peer.forest.begin_recount(0..1, 0);
    drop(counting);
    peer.forest.clear(dynamokv_ring::TokenRange {
        first: Token(1),
        last: Token(2),
    });
    for (leader, follower) in [(&me, &peer), (&peer, &me)] {
        let places: Vec<Prefix> = Prefix::ROOT.split(BITS).collect();
        let asked: Vec<Parent> = places.iter().copied().map(Parent::itself).collect();
        let sums = follower.forest.sums(&asked).unwrap();
        let compared = verdicts(&leader.forest, &asked, &sums).unwrap();
        assert_eq!(compared[0], Verdict::NotReady);
        assert!(
            compared[1..]
                .iter()
                .all(|verdict| *verdict == Verdict::Differs)
        );
        let mut descent = Descent::new(&leader.forest, places);
        while let Some(asked) = descent.ask(&leader.forest) {
            let sums = follower.forest.sums(&asked).unwrap();
            descent.answered(&leader.forest, &asked, &sums).unwrap();
        }
        assert!(descent.has_unknown());
        assert!(!descent.into_ranges().contains(Token(0)));
    }
}

#[test]
fn an_empty_store_is_filled_at_the_cost_of_what_it_lacks() {
    for full_leads in [false, true] {
        let mut full = Node::new((0..50_000).map(|n| (spread(n), [1].into())));
        let mut empty = Node::new([]);
        let mut never = || false;
        let mut way = Way {
            lost: &mut never,
            cost: Cost::default(),
        };
        if full_leads {
            exchange(&mut full, &mut empty, 1 << 20, &mut way).unwrap();
        } else {
            exchange(&mut empty, &mut full, 1 << 20, &mut way).unwrap();
        }
        assert_eq!(full.store, empty.store);
        let cost = way.cost;
        assert_eq!(cost.pulled + cost.pushed, 50_000);
        assert!(cost.sums <= 16 + 16 * 16, "{cost:?}");
        assert!(
            cost.items <= if full_leads { 50_000 } else { 0 },
            "{cost:?}"
        );
    }
}
