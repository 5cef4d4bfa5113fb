#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

mod bucket;
mod descent;
mod error;
mod forest;
mod matching;
mod message;
mod prefix;
mod ranges;
mod recount;
mod saved;

pub use descent::{Descent, Verdict, verdicts};
pub use error::{Error, Result};
pub use forest::{Forest, Sight};
pub use matching::Matching;
pub use message::{
    Answer, Difference, ITEMS_MAX, Item, Listing, PARENTS_MAX, Parent, Question, Sums, leads,
};
pub use prefix::Prefix;
pub use ranges::Ranges;
pub use recount::{Recount, Recounted};
pub use saved::SAVED_PARTS;
