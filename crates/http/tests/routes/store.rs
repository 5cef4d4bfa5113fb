//! The least store with siblings: each value has a number, and a context is the numbers that were seen.

use std::collections::BTreeMap;
use std::sync::Mutex;

use bytes::Bytes;
use dynamokv_http::KeyValue;
use dynamokv_rpc::pb;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};

#[derive(Default)]
pub(crate) struct Memory(Mutex<State>);

#[derive(Default)]
struct State {
    writes: u8,
    keys: BTreeMap<(String, Bytes), BTreeMap<u8, pb::Value>>,
}

impl State {
    fn write(
        &mut self,
        key: (String, Bytes),
        seen: &Bytes,
        value: Option<pb::Value>,
    ) -> Result<Bytes, pb::Failure> {
        if key.0 == "broken" {
            return Err(pb::Failure {
                kind: pb::ErrorKind::Unknown.into(),
                message: "some replicas may have the write".to_owned(),
                ..pb::Failure::default()
            });
        }
        self.writes += 1;
        let values = self.keys.entry(key).or_default();
        values.retain(|number, _| !seen.contains(number));
        values.extend(value.map(|value| (self.writes, value)));
        Ok([&seen[..], &[self.writes]].concat().into())
    }
}

impl KeyValue for Memory {
    fn get(&self, request: pb::GetRequest) -> BoxFuture<'_, Result<pb::GetResponse, pb::Failure>> {
        let state = self.0.lock().unwrap();
        let values = state.keys.get(&(request.keyspace, request.key));
        let values = values.cloned().unwrap_or_default();
        let reply = pb::GetResponse {
            context: values.keys().copied().collect::<Vec<u8>>().into(),
            values: values.into_values().collect(),
            ..pb::GetResponse::default()
        };
        ready(Ok(reply)).boxed()
    }

    fn put(&self, request: pb::PutRequest) -> BoxFuture<'_, Result<pb::PutResponse, pb::Failure>> {
        let value = pb::Value {
            value: request.value,
            content_type: request.content_type,
            ..pb::Value::default()
        };
        let key = (request.keyspace, request.key);
        let written = self
            .0
            .lock()
            .unwrap()
            .write(key, &request.context, Some(value));
        let reply = written.map(|context| pb::PutResponse {
            context,
            ..pb::PutResponse::default()
        });
        ready(reply).boxed()
    }

    fn delete(
        &self,
        request: pb::DeleteRequest,
    ) -> BoxFuture<'_, Result<pb::DeleteResponse, pb::Failure>> {
        let key = (request.keyspace, request.key);
        let written = self.0.lock().unwrap().write(key, &request.context, None);
        let reply = written.map(|context| pb::DeleteResponse {
            context,
            ..pb::DeleteResponse::default()
        });
        ready(reply).boxed()
    }

    /// The cursor is the last key of a page.
    fn list_keys(
        &self,
        request: pb::ListKeysRequest,
    ) -> BoxFuture<'_, Result<pb::ListKeysResponse, pb::Failure>> {
        let state = self.0.lock().unwrap();
        let keys = state.keys.iter().filter(|((keyspace, key), values)| {
            *keyspace == request.keyspace && *key > request.cursor && !values.is_empty()
        });
        let keys = keys.map(|((_, key), _)| key);
        let mut page = pb::ListKeysResponse::default();
        for key in keys {
            if page.keys.len() == request.limit.unwrap() as usize {
                page.cursor = page.keys.last().cloned().unwrap();
                break;
            }
            if key.starts_with(&request.prefix) {
                page.keys.push(key.clone());
            }
        }
        ready(Ok(page)).boxed()
    }
}
