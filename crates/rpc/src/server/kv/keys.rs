//! The keys of a keyspace, page by page.

use std::sync::Arc;

use bytes::Bytes;
use dynamokv_storage::{Keyspace, ObjectKey};
use futures_util::stream::{self, BoxStream, StreamExt};
use tonic::Status;

use super::{DEFAULT_KEYSPACE, refused};
use crate::server::gate::Permit;
use crate::status::{failure_of, invalid};
use crate::{KeyPage, KeysRequest, KvService, pb, status};

/// The pages of a listing, each read when there is room for it on the way to the client.
pub(super) async fn list<S: KvService>(
    service: Arc<S>,
    message: pb::ListKeysRequest,
    permit: Option<Permit>,
) -> Result<BoxStream<'static, Result<pb::ListKeysResponse, Status>>, pb::Failure> {
    let mut listing = Listing::new(service, message, permit)?;
    // At once, so that what is wrong with the request is the answer itself and not the end of a stream.
    let first = listing.page().await?;
    let rest = stream::try_unfold(listing, |mut listing| async move {
        if listing.over {
            return Ok(None);
        }
        let page = listing.page().await.map_err(status::of_failure)?;
        Ok(Some((page, listing)))
    });
    Ok(stream::iter([Ok(first)]).chain(rest).boxed())
}

struct Listing<S> {
    service: Arc<S>,
    keyspace: Keyspace,
    after: Option<ObjectKey>,
    /// Keys that may still be sent.
    left: usize,
    over: bool,
    _permit: Option<Permit>,
}

impl<S: KvService> Listing<S> {
    fn new(
        service: Arc<S>,
        message: pb::ListKeysRequest,
        permit: Option<Permit>,
    ) -> Result<Self, pb::Failure> {
        let name = match message.keyspace.as_str() {
            "" => DEFAULT_KEYSPACE,
            name => name,
        };
        let keyspace = Keyspace::new(name).map_err(refused)?;
        if message.limit == Some(0) {
            return Err(invalid(
                "limit is 0, but must be at least 1; leave it unset to list all keys",
            ));
        }
        Ok(Self {
            after: after(&message.cursor, &keyspace)?,
            service,
            keyspace,
            left: message.limit.map_or(usize::MAX, |limit| limit as usize),
            over: false,
            _permit: permit,
        })
    }

    async fn page(&mut self) -> Result<pb::ListKeysResponse, pb::Failure> {
        let request = KeysRequest {
            keyspace: self.keyspace.clone(),
            after: self.after.take(),
            limit: self.left.min(PAGE_KEYS_MAX),
        };
        let page = self.service.list_keys(request).await;
        let KeyPage { mut keys, next } = page.map_err(|error| failure_of(&error))?;
        // A page may be larger than was asked for: then the rest is left for whoever goes on.
        let cut = keys.len() > self.left;
        keys.truncate(self.left);
        self.left -= keys.len();
        let cursor = if cut { keys.last().cloned() } else { next };
        self.over = cursor.is_none() || self.left == 0;
        let response = pb::ListKeysResponse {
            keys: keys.into_iter().map(|key| key.key().clone()).collect(),
            cursor: cursor.as_ref().map(ObjectKey::encode).unwrap_or_default(),
        };
        self.after = cursor;
        Ok(response)
    }
}

/// Where an earlier listing stopped.
fn after(cursor: &Bytes, keyspace: &Keyspace) -> Result<Option<ObjectKey>, pb::Failure> {
    if cursor.is_empty() {
        return Ok(None);
    }
    match ObjectKey::decode(cursor) {
        Ok(key) if key.keyspace() == keyspace => Ok(Some(key)),
        Ok(key) => Err(invalid(format!(
            "cursor: it belongs to the keyspace {}",
            key.keyspace()
        ))),
        Err(_) => Err(invalid("cursor: it is none that a listing gave")),
    }
}

const PAGE_KEYS_MAX: usize = 1_000;
