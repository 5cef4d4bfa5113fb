#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

mod delivery;
mod gain;
mod hint_log;
mod marker;
mod message;
mod position;
mod rotation;
mod stretch;
mod timing;
mod transfer;

pub use delivery::{Delivered, Delivery, DeliveryConfig, Shipment};
pub use gain::{Gain, gains};
pub use hint_log::{HintLog, HintPage, Pending, Released};
pub use message::{Entry, HintRequest, Page, RangePurpose, RangeRequest};
pub use position::{Position, Positions};
pub use rotation::{Pair, Rotation};
pub use stretch::{RangeDigest, Stretch};
pub use transfer::{Progress, Pull, Stream, Transfer, TransferConfig};
