//! Calls as requests, and replies as results.

use bytes::Bytes;
use dynamokv_coordinator::{Answer, QuorumMode};
use dynamokv_ring::{NodeId, Token};
use dynamokv_rpc::pb;

use crate::operation::Kind;
use crate::transport::{Reply, Request};
use crate::{
    Client, Context, Details, Error, Idempotency, NewValue, Result, Transport, Value, Versions,
    Written,
};

/// A request, where it belongs, and what may be done with it.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    pub(crate) token: Token,
    pub(crate) kind: Kind,
    pub(crate) request: Request,
}

impl<T: Transport> Client<T> {
    pub(crate) fn prepare_get(&self, key: Bytes) -> Prepared {
        Prepared {
            token: self.token(&key),
            kind: Kind::Read,
            request: Request::Get(pb::GetRequest {
                keyspace: self.keyspace().to_owned(),
                key,
                r: self.options.r,
                mode: mode(self.options.mode),
                timeout_ms: None,
            }),
        }
    }

    pub(crate) fn prepare_put(
        &self,
        key: Bytes,
        value: NewValue,
        context: &Context,
        return_values: bool,
    ) -> Prepared {
        let (idempotency_key, kind) = self.idempotency();
        Prepared {
            token: self.token(&key),
            kind,
            request: Request::Put(pb::PutRequest {
                keyspace: self.keyspace().to_owned(),
                key,
                value: value.bytes,
                content_type: value.content_type,
                context: context.as_bytes().clone(),
                w: self.options.w,
                mode: mode(self.options.mode),
                timeout_ms: None,
                return_values,
                idempotency_key,
            }),
        }
    }

    pub(crate) fn prepare_delete(&self, key: Bytes, context: &Context) -> Prepared {
        let (idempotency_key, kind) = self.idempotency();
        Prepared {
            token: self.token(&key),
            kind,
            request: Request::Delete(pb::DeleteRequest {
                keyspace: self.keyspace().to_owned(),
                key,
                context: context.as_bytes().clone(),
                w: self.options.w,
                mode: mode(self.options.mode),
                timeout_ms: None,
                idempotency_key,
            }),
        }
    }

    /// The idempotency key of the next write, and what may be done with it.
    fn idempotency(&self) -> (Bytes, Kind) {
        let (key, repeatable) = match &self.options.idempotency {
            Idempotency::Automatic => (self.shared.new_idempotency_key(), true),
            Idempotency::Key(key) => (key.clone(), true),
            Idempotency::Off => (Bytes::new(), false),
        };
        (key, Kind::Write { repeatable })
    }

    pub(crate) fn token(&self, key: &[u8]) -> Token {
        Token::of(self.keyspace().as_bytes(), key)
    }
}

pub(crate) fn versions(reply: Reply, attempts: u32) -> Result<Versions> {
    match reply {
        Reply::Get(reply) => Ok(Versions {
            values: reply.values.into_iter().map(Value::from).collect(),
            context: Context::from_bytes(reply.context),
            siblings: reply.siblings,
            answers: answers(reply.answers),
            coordinator: node(&reply.coordinator),
            attempts,
        }),
        _ => Err(other_answer(attempts)),
    }
}

pub(crate) fn written(reply: Reply, attempts: u32) -> Result<Written> {
    let (context, list, coordinator) = match reply {
        Reply::Put(reply) => (reply.context, reply.answers, reply.coordinator),
        Reply::Delete(reply) => (reply.context, reply.answers, reply.coordinator),
        _ => return Err(other_answer(attempts)),
    };
    Ok(Written {
        context: Context::from_bytes(context),
        answers: answers(list),
        coordinator: node(&coordinator),
        attempts,
    })
}

/// What a later release says beyond is left out.
pub(crate) fn answers(list: Vec<pb::Answer>) -> Vec<Answer> {
    let list = list.into_iter();
    list.filter_map(|answer| Answer::try_from(answer).ok())
        .collect()
}

/// No transport mixes the kinds of answers up.
pub(crate) fn other_answer(attempts: u32) -> Error {
    Error::Internal(Details {
        message: "the answer is one to another question".to_owned(),
        answers: Vec::new(),
        attempts,
    })
}

/// For people: one that cannot be read is no reason to fail.
fn node(text: &str) -> NodeId {
    text.parse().unwrap_or(NodeId(0))
}

fn mode(mode: QuorumMode) -> i32 {
    match mode {
        QuorumMode::Sloppy => pb::QuorumMode::Sloppy.into(),
        QuorumMode::Strict => pb::QuorumMode::Strict.into(),
    }
}
