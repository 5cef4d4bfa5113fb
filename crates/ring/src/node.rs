use std::fmt;
use std::str::FromStr;

use crate::Error;

/// The permanent identity of a node, chosen once, at random, when the node is set up.
///
/// Written as 16 hexadecimal digits, and parsed from exactly that: a decimal number is never mistaken for an id.
///
/// ```
/// # use dynamokv_ring::NodeId;
/// let id = NodeId(0xbeef);
/// assert_eq!(id.to_string(), "000000000000beef");
/// assert_eq!("000000000000beef".parse(), Ok(id));
/// assert!("48879".parse::<NodeId>().is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({self})")
    }
}

impl FromStr for NodeId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let malformed = || Error::NodeId {
            given: text.chars().take(SHOWN_MAX).collect(),
        };
        // `from_str_radix` alone would take a sign.
        if text.len() != DIGITS || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(malformed());
        }
        u64::from_str_radix(text, 16)
            .map(NodeId)
            .map_err(|_| malformed())
    }
}

const DIGITS: usize = 16;
const SHOWN_MAX: usize = 32;
