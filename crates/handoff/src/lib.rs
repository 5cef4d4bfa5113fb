#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

mod delivery;
mod gain;
mod hint_log;
mod hint_page;
mod ledger;
mod marker;
mod message;
mod place;
mod position;
mod slice;
mod timing;
mod transfer;

pub use delivery::{Delivered, Delivery, DeliveryConfig, Shipment};
pub use gain::{Gain, gains};
pub use hint_log::{Held, HintBounds, HintLog, Released};
pub use hint_page::{HintPage, PageLimits, Pending};
pub use message::{CollectRequest, CollectStep, Entry, HintRequest, Page, RangeRequest};
pub use place::Place;
pub use position::{Position, Positions};
pub use slice::Slice;
pub use timing::Pace;
pub use transfer::{Progress, Pull, Stream, Transfer, TransferConfig};
