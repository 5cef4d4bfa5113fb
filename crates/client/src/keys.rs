//! The keys of a keyspace.

use bytes::Bytes;
use dynamokv_ring::Token;
use dynamokv_rpc::pb;
use futures_util::stream::{self, Stream, StreamExt, TryStreamExt};

use crate::operation::Kind;
use crate::prepare::{Prepared, other_answer};
use crate::shared::Shared;
use crate::transport::{Reply, Request};
use crate::{Client, Options, Result, Transport};

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
    /// The keys of the keyspace from `cursor` on, or from the beginning: at most `limit`, 1 at least, and at most about a thousand. There
    /// is more as long as there is a cursor. Each key comes once in all pages together, deleted ones do not. A key that a read would find all the while is listed, and one that it would not find is
    /// not; what is written or deleted in the meantime may be listed or not.
    ///
    /// # Errors
    /// See [`Error`](crate::Error); the cursor is good for another try.
    pub async fn keys_page(&self, cursor: Option<&Bytes>, limit: u32) -> Result<KeyPage> {
        self.page(Bytes::new(), cursor, limit).await
    }

    async fn page(&self, prefix: Bytes, cursor: Option<&Bytes>, limit: u32) -> Result<KeyPage> {
        let page = self.shared.list_keys(
            pb::ListKeysRequest {
                keyspace: self.keyspace().to_owned(),
                cursor: cursor.cloned().unwrap_or_default(),
                limit: Some(limit),
                prefix,
            },
            &self.options,
        );
        let page = page.await?;
        Ok(KeyPage {
            keys: page.keys,
            cursor: (!page.cursor.is_empty()).then_some(page.cursor),
        })
    }

    /// All keys of the keyspace, as by [`keys_page`](Self::keys_page). It ends after an error.
    pub fn keys(&self) -> impl Stream<Item = Result<Bytes>> + Send + use<T> {
        self.keys_with_prefix(Bytes::new())
    }

    /// The keys of the keyspace that begin with `prefix`, as by [`keys`](Self::keys). Keys have no order: the nodes look at all of them.
    pub fn keys_with_prefix<P: Into<Bytes>>(
        &self,
        prefix: P,
    ) -> impl Stream<Item = Result<Bytes>> + Send + use<T, P> {
        let start = Some((self.clone(), prefix.into(), None));
        let pages = stream::try_unfold(start, |state| async move {
            let Some((client, prefix, cursor)) = state else {
                return Ok(None);
            };
            let page = client.page(prefix.clone(), cursor.as_ref(), PAGE_KEYS);
            let KeyPage { keys, cursor } = page.await?;
            let next = cursor.map(|cursor| (client, prefix, Some(cursor)));
            Ok(Some((stream::iter(keys).map(Ok), next)))
        });
        pages.try_flatten()
    }
}

impl<T: Transport> Shared<T> {
    /// A page, from whatever node.
    pub(crate) async fn list_keys(
        &self,
        request: pb::ListKeysRequest,
        options: &Options,
    ) -> Result<pb::ListKeysResponse> {
        let dice = self.state.lock().dice.u64(..);
        let prepared = Prepared {
            token: Token(dice),
            kind: Kind::Read,
            request: Request::ListKeys(request),
        };
        let options = Options {
            hedge: false,
            ..options.clone()
        };
        let completed = self.call(prepared, &options).await?;
        match completed.reply {
            Reply::ListKeys(page) => Ok(page),
            _ => Err(other_answer(completed.attempts)),
        }
    }
}

const PAGE_KEYS: u32 = 1_000;
