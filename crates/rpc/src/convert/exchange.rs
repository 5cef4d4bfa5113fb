//! What owners of a partition say to each other when they compare their copies.

use dynamokv_antientropy::{
    Answer, Difference, Item, Listing, Parent, Prefix, Question, Ranges, Sums,
};
use dynamokv_coordinator::{Fence, ReplicaError};
use dynamokv_handoff::Entry;
use dynamokv_ring::{NodeId, Token, TokenRange};

use super::fence::fence_from;
use super::{all, saturating_usize};
use crate::error::required;
use crate::pb::exchange_trees_request::Question as Asked;
use crate::pb::exchange_trees_response::Outcome;
use crate::{Error, Result, pb};

impl From<(Fence, &Question<Entry>)> for pb::ExchangeTreesRequest {
    fn from((fence, question): (Fence, &Question<Entry>)) -> Self {
        let question = match question {
            Question::Overview { from, sum } => Asked::Overview(pb::TreeOverview {
                from: from.0,
                sum_high: high(*sum),
                sum_low: low(*sum),
            }),
            Question::Sums(parents) => Asked::Places(pb::TreePlaces {
                firsts: parents.iter().map(|at| at.prefix().first().0).collect(),
                lengths: parents
                    .iter()
                    .map(|at| at.prefix().length().into())
                    .collect(),
                splits: parents.iter().map(|at| at.split().into()).collect(),
            }),
            Question::List(listing) => Asked::Listing(listing.into()),
            Question::Push(entries) => Asked::Push(pb::Entries {
                entries: entries.iter().map(Into::into).collect(),
            }),
        };
        Self {
            fence: Some(fence.into()),
            question: Some(question),
        }
    }
}

impl TryFrom<pb::ExchangeTreesRequest> for (Fence, Question<Entry>) {
    type Error = Error;

    fn try_from(message: pb::ExchangeTreesRequest) -> Result<Self> {
        let question = match required("question", message.question)? {
            Asked::Overview(overview) => Question::Overview {
                from: NodeId(overview.from),
                sum: whole(overview.sum_high, overview.sum_low),
            },
            Asked::Places(places) => Question::Sums(parents(&places)?),
            Asked::Listing(listing) => Question::List(listing.try_into()?),
            Asked::Push(push) => Question::Push(all(push.entries)?),
        };
        Ok((fence_from(message.fence)?, question))
    }
}

fn parents(places: &pb::TreePlaces) -> Result<Vec<Parent>> {
    let count = places.firsts.len();
    if places.lengths.len() != count || places.splits.len() != count {
        return Err(uneven("places"));
    }
    let bits = |bits: u32| u8::try_from(bits).unwrap_or(u8::MAX);
    let lengths = places.lengths.iter().zip(&places.splits);
    let places = places.firsts.iter().zip(lengths);
    let parents = places.map(|(first, (length, split))| {
        let prefix = Prefix::new(Token(*first), bits(*length))?;
        Parent::new(prefix, bits(*split))
    });
    parents
        .collect::<Result<_, _>>()
        .map_err(|error| Error::field("places", error))
}

impl From<&Listing> for pb::TreeListing {
    fn from(listing: &Listing) -> Self {
        let items = listing.items();
        Self {
            range_firsts: listing.ranges().iter().map(|range| range.first.0).collect(),
            range_lasts: listing.ranges().iter().map(|range| range.last.0).collect(),
            tokens: items.iter().map(|item| item.token.0).collect(),
            hashes_high: items.iter().map(|item| high(item.hash)).collect(),
            hashes_low: items.iter().map(|item| low(item.hash)).collect(),
            bytes_max: listing.bytes_max() as u64,
        }
    }
}

impl TryFrom<pb::TreeListing> for Listing {
    type Error = Error;

    fn try_from(message: pb::TreeListing) -> Result<Self> {
        if message.range_firsts.len() != message.range_lasts.len()
            || message.tokens.len() != message.hashes_high.len()
        {
            return Err(uneven("listing"));
        }
        let ranges = message.range_firsts.iter().zip(&message.range_lasts);
        let ranges = ranges.map(|(first, last)| TokenRange {
            first: Token(*first),
            last: Token(*last),
        });
        let hashes = wholes("listing", &message.hashes_high, &message.hashes_low)?;
        let items = message.tokens.iter().zip(hashes).map(|(token, hash)| Item {
            token: Token(*token),
            hash,
        });
        let bytes_max = saturating_usize(message.bytes_max);
        Ranges::checked(ranges.collect())
            .and_then(|ranges| Self::new(ranges, items.collect(), bytes_max))
            .map_err(|error| Error::field("listing", error))
    }
}

impl From<Result<Answer<Entry>, ReplicaError>> for pb::ExchangeTreesResponse {
    fn from(answer: Result<Answer<Entry>, ReplicaError>) -> Self {
        let outcome = match answer {
            Ok(Answer::Same(same)) => Outcome::Same(same),
            Ok(Answer::Sums(places)) => Outcome::Sums(pb::TreeSums {
                places: places.iter().map(Into::into).collect(),
            }),
            Ok(Answer::Difference(difference)) => Outcome::Difference((&difference).into()),
            Ok(Answer::Taken) => Outcome::Taken(pb::Taken {}),
            Err(error) => Outcome::Failure(error.into()),
        };
        Self {
            outcome: Some(outcome),
        }
    }
}

impl TryFrom<pb::ExchangeTreesResponse> for Answer<Entry> {
    type Error = ReplicaError;

    fn try_from(message: pb::ExchangeTreesResponse) -> Result<Self, ReplicaError> {
        let unreadable = |error: Error| ReplicaError::Failed(error.to_string());
        Ok(
            match required("outcome", message.outcome).map_err(unreadable)? {
                Outcome::Same(same) => Self::Same(same),
                Outcome::Sums(sums) => Self::Sums(all(sums.places).map_err(unreadable)?),
                Outcome::Difference(difference) => {
                    Self::Difference(difference.try_into().map_err(unreadable)?)
                }
                Outcome::Taken(pb::Taken {}) => Self::Taken,
                Outcome::Failure(failure) => return Err(failure.into()),
            },
        )
    }
}

impl From<&Sums> for pb::PlaceSums {
    fn from(sums: &Sums) -> Self {
        let of = |kind: pb::PlaceKind| Self {
            kind: kind.into(),
            ..Self::default()
        };
        match sums {
            Sums::TooFine => of(pb::PlaceKind::TooFine),
            Sums::NotReady => of(pb::PlaceKind::NotReady),
            Sums::Of(sums) => Self {
                sums_high: sums.iter().map(|sum| high(*sum)).collect(),
                sums_low: sums.iter().map(|sum| low(*sum)).collect(),
                ..of(pb::PlaceKind::Sums)
            },
        }
    }
}

impl TryFrom<pb::PlaceSums> for Sums {
    type Error = Error;

    fn try_from(message: pb::PlaceSums) -> Result<Self> {
        Ok(match message.kind() {
            pb::PlaceKind::Sums => Self::Of(wholes("sums", &message.sums_high, &message.sums_low)?),
            pb::PlaceKind::TooFine => Self::TooFine,
            pb::PlaceKind::NotReady | pb::PlaceKind::Unspecified => Self::NotReady,
        })
    }
}

impl From<&Difference<Entry>> for pb::TreeDifference {
    fn from(difference: &Difference<Entry>) -> Self {
        Self {
            entries: difference.entries.iter().map(Into::into).collect(),
            wanted: difference.wanted.iter().map(|token| token.0).collect(),
            until: difference.until.map(|token| token.0),
        }
    }
}

impl TryFrom<pb::TreeDifference> for Difference<Entry> {
    type Error = Error;

    fn try_from(message: pb::TreeDifference) -> Result<Self> {
        Ok(Self {
            entries: all(message.entries)?,
            wanted: message.wanted.into_iter().map(Token).collect(),
            until: message.until.map(Token),
        })
    }
}

fn wholes(field: &'static str, highs: &[u64], lows: &[u64]) -> Result<Vec<u128>> {
    if highs.len() != lows.len() {
        return Err(uneven(field));
    }
    let halves = highs.iter().zip(lows);
    Ok(halves.map(|(high, low)| whole(*high, *low)).collect())
}

fn whole(high: u64, low: u64) -> u128 {
    u128::from(high) << u64::BITS | u128::from(low)
}

fn high(whole: u128) -> u64 {
    (whole >> u64::BITS) as u64
}

fn low(whole: u128) -> u64 {
    whole as u64
}

fn uneven(field: &'static str) -> Error {
    Error::field(field, "its lists differ in length")
}
