//! Words for the stories of violations.

use std::fmt;

use bytes::Bytes;
use dynamokv::ring::NodeId;
use dynamokv::storage::{State, Value};

use super::view::Attempt;
use crate::history::{Moment, Read, WriteOutcome};

/// `w12 (client 3 put "tea" to key-4 at 1.000000s, having seen {}, strict W=2; acknowledged at 1.200000s as a.1@1)`
impl fmt::Display for Attempt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let write = self.write;
        write!(f, "{} (client {} ", self.id, write.client)?;
        match &write.body {
            Some(body) => write!(f, "put {} to {}", bytes(body), write.key)?,
            None => write!(f, "deleted {}", write.key)?,
        }
        write!(
            f,
            " at {}, having seen {}, {} W={}; ",
            moment(write.invoked),
            write.context,
            strictness(write.quorum.strict),
            write.quorum.size
        )?;
        match &write.outcome {
            WriteOutcome::Acknowledged(_) => f.write_str("acknowledged")?,
            WriteOutcome::Refused(reason) => write!(f, "refused ({reason})")?,
            WriteOutcome::Unknown => f.write_str("outcome unknown")?,
        }
        if let Some(returned) = write.returned {
            write!(f, " at {}", moment(returned))?;
        }
        if let Some(dot) = write.dot() {
            write!(f, " as {dot}")?;
        }
        f.write_str(")")
    }
}

/// `client 3's read of key-4 (strict R=2, 1.000000s to 1.200000s, context {a.1@1}) showed "tea" as a.1@1`
pub(super) fn read(read: &Read) -> String {
    let shown = read
        .shown
        .iter()
        .map(|shown| format!("{} as {}", bytes(&shown.body), shown.dot));
    format!(
        "client {}'s read of {} ({} R={}, {} to {}, context {}) showed {}",
        read.client,
        read.key,
        strictness(read.quorum.strict),
        read.quorum.size,
        moment(read.invoked),
        moment(read.returned),
        read.context,
        list(shown),
    )
}

/// `node 0000000000000001 keeps "tea" as a.1@1 with the context {a.1@1}`
pub(super) fn copy(node: NodeId, state: Option<&State>) -> String {
    let Some(state) = state else {
        return format!("node {node} has no copy");
    };
    let values = state
        .values()
        .map(|(dot, kept)| format!("{} as {dot}", value(kept)));
    format!(
        "node {node} keeps {} with the context {}",
        list(values),
        state.context()
    )
}

/// The body, shortened, or that it is the mark of a delete.
pub(super) fn value(value: &Value) -> String {
    match &value.body {
        Some(body) => bytes(body),
        None => "a tombstone".to_owned(),
    }
}

/// A body in quotes, cut after a few bytes.
pub(super) fn bytes(body: &Bytes) -> String {
    let start = &body[..body.len().min(BYTES_TOLD)];
    if start.len() < body.len() {
        format!("\"{}...\" ({} bytes)", start.escape_ascii(), body.len())
    } else {
        format!("\"{}\"", start.escape_ascii())
    }
}

/// Seconds since the run began.
pub(super) fn moment(moment: Moment) -> String {
    format!("{:.6}s", moment.as_secs_f64())
}

/// The items with commas between them, or `nothing`.
pub(super) fn list(items: impl IntoIterator<Item = String>) -> String {
    let items: Vec<String> = items.into_iter().collect();
    if items.is_empty() {
        "nothing".to_owned()
    } else {
        items.join(", ")
    }
}

fn strictness(strict: bool) -> &'static str {
    if strict { "strict" } else { "sloppy" }
}

const BYTES_TOLD: usize = 24;
