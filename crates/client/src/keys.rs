//! The keys of a keyspace.

use bytes::Bytes;
use dynamokv_ring::Token;
use dynamokv_rpc::pb;
use futures_util::stream::{self, Stream, StreamExt, TryStreamExt};

use crate::operation::Kind;
use crate::prepare::{Prepared, other_answer};
use crate::transport::{Reply, Request};
use crate::{Client, Result, Transport};

/// A page of keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyPage {
    /// The keys, in no order that means anything.
    pub keys: Vec<Bytes>,
    /// Where the next page begins; `None` at the end. Opaque.
    pub cursor: Option<Bytes>,
}

impl<T: Transport> Client<T> {
    /// The keys of the keyspace from `cursor` on, or from the beginning: at most `limit`, 1 at least. Each key comes once in all
    /// pages together, deleted ones do not. A key that a read would find all the while is listed, and one that it would not find is
    /// not; what is written or deleted in the meantime may be listed or not.
    ///
    /// # Errors
    /// See [`Error`](crate::Error); the cursor is good for another try.
    pub async fn keys_page(&self, cursor: Option<&Bytes>, limit: u32) -> Result<KeyPage> {
        let dice = self.shared.state.lock().dice.u64(..);
        let prepared = Prepared {
            // Any node will do.
            token: Token(dice),
            kind: Kind::Read,
            request: Request::ListKeys(pb::ListKeysRequest {
                keyspace: self.keyspace().to_owned(),
                cursor: cursor.cloned().unwrap_or_default(),
                limit: Some(limit),
            }),
        };
        let mut options = self.options.clone();
        options.hedge = false;
        let completed = self.shared.call(prepared, &options).await?;
        match completed.reply {
            Reply::ListKeys(page) => Ok(KeyPage {
                keys: page.keys,
                cursor: (!page.cursor.is_empty()).then_some(page.cursor),
            }),
            _ => Err(other_answer(completed.attempts)),
        }
    }

    /// All keys of the keyspace, as by [`keys_page`](Self::keys_page). It ends after an error.
    pub fn keys(&self) -> impl Stream<Item = Result<Bytes>> + Send + use<T> {
        let start = Some((self.clone(), None));
        let pages = stream::try_unfold(start, |state| async move {
            let Some((client, cursor)) = state else {
                return Ok(None);
            };
            let page: KeyPage = client.keys_page(cursor.as_ref(), PAGE_KEYS).await?;
            let next = page.cursor.map(|cursor| (client, Some(cursor)));
            Ok(Some((stream::iter(page.keys).map(Ok), next)))
        });
        pages.try_flatten()
    }
}

const PAGE_KEYS: u32 = 1_000;
