//! Requests that come as messages of the protocol, from fronts that speak it themselves.

use std::time::Duration;

use dynamokv_ring::Token;
use dynamokv_rpc::{Front, KeyValue, pb};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::client::DEFAULT_KEYSPACE;
use crate::operation::Kind;
use crate::prepare::Prepared;
use crate::transport::{Reply, Request, Transport};
use crate::{Client, Error, Options};

type Answer<'a, M> = BoxFuture<'a, Result<M, pb::Failure>>;

/// Each request goes to a replica of its key, and again to another where that is safe. The handle's keyspace and options do not
/// count: the requests name theirs. A write without an idempotency key gets one, so that it can be sent again.
impl<T: Transport> KeyValue for Client<T> {
    fn get(&self, request: pb::GetRequest) -> Answer<'_, pb::GetResponse> {
        async move {
            let token = token(&request.keyspace, &request.key);
            let options = options(request.timeout_ms)?;
            match self
                .pass(token, Kind::Read, &options, Request::Get(request))
                .await?
            {
                Reply::Get(reply) => Ok(reply),
                _ => Err(other_answer()),
            }
        }
        .boxed()
    }

    fn put(&self, mut request: pb::PutRequest) -> Answer<'_, pb::PutResponse> {
        async move {
            let token = token(&request.keyspace, &request.key);
            let options = options(request.timeout_ms)?;
            if request.idempotency_key.is_empty() {
                request.idempotency_key = self.shared.new_idempotency_key();
            }
            match self
                .pass(token, WRITE, &options, Request::Put(request))
                .await?
            {
                Reply::Put(reply) => Ok(reply),
                _ => Err(other_answer()),
            }
        }
        .boxed()
    }

    fn delete(&self, mut request: pb::DeleteRequest) -> Answer<'_, pb::DeleteResponse> {
        async move {
            let token = token(&request.keyspace, &request.key);
            let options = options(request.timeout_ms)?;
            if request.idempotency_key.is_empty() {
                request.idempotency_key = self.shared.new_idempotency_key();
            }
            match self
                .pass(token, WRITE, &options, Request::Delete(request))
                .await?
            {
                Reply::Delete(reply) => Ok(reply),
                _ => Err(other_answer()),
            }
        }
        .boxed()
    }

    fn list_keys(&self, request: pb::ListKeysRequest) -> Answer<'_, pb::ListKeysResponse> {
        async move {
            let page = self.shared.list_keys(request, &Options::default()).await;
            page.map_err(|error| failure(&error))
        }
        .boxed()
    }
}

impl<T: Transport> Front for Client<T> {
    fn cluster_id(&self) -> Result<u64, pb::Failure> {
        Ok(self.topology().cluster_id())
    }
}

impl<T: Transport> Client<T> {
    async fn pass(
        &self,
        token: Token,
        kind: Kind,
        options: &Options,
        request: Request,
    ) -> Result<Reply, pb::Failure> {
        let prepared = Prepared {
            token,
            kind,
            request,
        };
        let completed = self.shared.call(prepared, options).await;
        Ok(completed.map_err(|error| failure(&error))?.reply)
    }
}

fn token(keyspace: &str, key: &[u8]) -> Token {
    let keyspace = if keyspace.is_empty() {
        DEFAULT_KEYSPACE
    } else {
        keyspace
    };
    Token::of(keyspace.as_bytes(), key)
}

/// A node refuses no time at all; nothing would reach one.
fn options(timeout_ms: Option<u32>) -> Result<Options, pb::Failure> {
    if timeout_ms == Some(0) {
        return Err(pb::Failure {
            kind: pb::ErrorKind::Invalid.into(),
            message: "timeout_ms is 0, but must be at least 1".to_owned(),
            answers: Vec::new(),
        });
    }
    Ok(Options {
        timeout: timeout_ms.map(|ms| Duration::from_millis(ms.into())),
        ..Options::default()
    })
}

fn failure(error: &Error) -> pb::Failure {
    let answers = error.details().map(|details| details.answers.as_slice());
    pb::Failure {
        kind: pb::ErrorKind::from(error.kind()).into(),
        message: error.to_string(),
        answers: answers.unwrap_or_default().iter().map(Into::into).collect(),
    }
}

/// No transport mixes the kinds of answers up.
fn other_answer() -> pb::Failure {
    pb::Failure {
        kind: pb::ErrorKind::Internal.into(),
        message: "the answer is one to another question".to_owned(),
        answers: Vec::new(),
    }
}

const WRITE: Kind = Kind::Write { repeatable: true };
