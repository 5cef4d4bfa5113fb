//! One page of the keys of a keyspace.

use bytes::Bytes;
use dynamokv_storage::{Keyspace, ObjectKey};

use super::{DEFAULT_KEYSPACE, KvHandler, refused};
use crate::status::{failure_of, invalid};
use crate::{KeysRequest, KvService, pb};

impl<S: KvService> KvHandler<S> {
    /// As many keys as are wanted, or about a thousand if that is less; fewer where few of those looked at begin as is wanted.
    pub(crate) async fn page(
        &self,
        asked: pb::ListKeysRequest,
    ) -> Result<pb::ListKeysResponse, pb::Failure> {
        let keyspace = keyspace(&asked.keyspace)?;
        if asked.limit == Some(0) {
            return Err(invalid(
                "limit is 0, but must be at least 1; leave it unset to list all keys",
            ));
        }
        let limit = asked.limit.map_or(usize::MAX, |limit| limit as usize);
        let looked_at = if asked.prefix.is_empty() {
            limit.min(PAGE_KEYS)
        } else {
            PAGE_KEYS
        };
        // Who wants all takes them as they come.
        let enough = asked.limit.map_or(1, |_| limit.min(PAGE_KEYS));
        let mut after = after(&asked.cursor, &keyspace)?;
        let mut found: Vec<ObjectKey> = Vec::new();
        for _ in 0..LOOKS_MAX {
            let request = KeysRequest {
                keyspace: keyspace.clone(),
                after,
                limit: looked_at,
            };
            let page = self.service.list_keys(request).await;
            let page = page.map_err(|error| failure_of(&error))?;
            let keys = page.keys.into_iter();
            found.extend(keys.filter(|key| key.key().starts_with(&asked.prefix)));
            after = page.next;
            if after.is_none() || found.len() >= enough {
                break;
            }
        }
        // There may be more than were wanted: then the rest is left for whoever goes on.
        if found.len() > limit {
            found.truncate(limit);
            after = found.last().cloned();
        }
        Ok(pb::ListKeysResponse {
            keys: found.into_iter().map(|key| key.key().clone()).collect(),
            cursor: after.as_ref().map(ObjectKey::encode).unwrap_or_default(),
        })
    }
}

fn keyspace(name: &str) -> Result<Keyspace, pb::Failure> {
    let name = if name.is_empty() {
        DEFAULT_KEYSPACE
    } else {
        name
    };
    Keyspace::new(name).map_err(refused)
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

const PAGE_KEYS: usize = 1_000;
/// So that a page comes in time however few keys begin as is wanted.
const LOOKS_MAX: usize = 10;
