//! What a failed call says of the request: never arrived, perhaps carried out, or failed over there.

use std::error::Error;

use dynamokv_coordinator::ReplicaError;
use tonic::{Code, ConnectError, Status};

pub(super) fn unreachable(reason: String) -> ReplicaError {
    ReplicaError::Unreachable(reason)
}

pub(super) fn lost(reason: String) -> ReplicaError {
    ReplicaError::Lost(reason)
}

/// A status with a source was made here, by the transport: without a connection the request was never sent;
/// otherwise nobody knows. A status without one was sent by the other side: those that its services give before
/// they do anything are failures there.
pub(super) fn replica_error(status: &Status) -> ReplicaError {
    let words = describe(status);
    if status.source().is_some() {
        return if never_connected(status) {
            unreachable(words)
        } else {
            lost(words)
        };
    }
    match status.code() {
        Code::InvalidArgument
        | Code::OutOfRange
        | Code::ResourceExhausted
        | Code::Unimplemented
        | Code::PermissionDenied
        | Code::Unauthenticated => ReplicaError::Failed(words),
        _ => lost(words),
    }
}

fn never_connected(status: &Status) -> bool {
    chain(status).any(|error| error.is::<ConnectError>())
}

/// The last cause says most: the layers above it only pass it on.
fn describe(status: &Status) -> String {
    match chain(status).last() {
        Some(cause) => format!("{}: {cause}", status.message()),
        None => format!("{}: {}", status.code(), status.message()),
    }
}

fn chain(status: &Status) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(status.source(), |error| (*error).source())
}
