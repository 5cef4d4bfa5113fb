//! `Kv` over a [`KvService`].

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dynamokv_coordinator::{GetRequest, Options, PutReply, PutRequest};
use dynamokv_storage::ObjectKey;
use dynamokv_vclock::{CausalContext, ContextToken};
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use super::ServerConfig;
use crate::convert::{mode_from, saturating_u32};
use crate::shown::{seal, values};
use crate::{KvService, deadline, pb, status};

/// The gRPC face of a [`KvService`]: reads and checks the messages, opens and seals contexts, turns errors into statuses.
/// [`ServerBuilder::kv`](crate::ServerBuilder::kv) serves it; where no network is needed it can be called directly.
pub struct KvHandler<S> {
    service: Arc<S>,
    value_bytes_max: usize,
    timeout_max: Duration,
}

impl<S> KvHandler<S> {
    /// Calls `service` within the bounds of `config`.
    pub fn new(service: Arc<S>, config: &ServerConfig) -> Self {
        Self {
            service,
            value_bytes_max: config.value_bytes_max,
            timeout_max: config.timeout_max,
        }
    }

    fn options(
        &self,
        quorum: Option<u32>,
        mode: i32,
        timeout_ms: Option<u32>,
        metadata: &MetadataMap,
    ) -> Result<Options, Status> {
        let asked = timeout_ms.map(|millis| Duration::from_millis(millis.into()));
        let carried = deadline::of_call(metadata).map(deadline::with_time_to_answer);
        let timeout = match (asked, carried) {
            (Some(asked), Some(carried)) => Some(asked.min(carried)),
            (Some(asked), None) => Some(asked),
            (None, carried) => carried.map(|carried| carried.min(self.timeout_max)),
        };
        Ok(Options {
            quorum: quorum.map(|quorum| quorum as usize),
            mode: mode_from(mode).map_err(|error| status::of_message(&error))?,
            timeout,
        })
    }

    fn check_value(&self, value: &Bytes) -> Result<(), Status> {
        let (bytes, limit) = (value.len(), self.value_bytes_max);
        if bytes > limit {
            return Err(status::of_storage(dynamokv_storage::Error::ValueLength {
                bytes,
                limit,
            }));
        }
        Ok(())
    }
}

#[tonic::async_trait]
impl<S: KvService> pb::kv_server::Kv for KvHandler<S> {
    async fn get(
        &self,
        request: Request<pb::GetRequest>,
    ) -> Result<Response<pb::GetResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        let key = object_key(&message.keyspace, message.key)?;
        let options = self.options(message.r, message.mode, message.timeout_ms, &metadata)?;
        let request = GetRequest {
            key: key.clone(),
            options,
        };
        let reply = self
            .service
            .get(request)
            .await
            .map_err(|error| status::of_operation(&error))?;
        Ok(Response::new(pb::GetResponse {
            values: values(&reply.state),
            context: seal(reply.state.context(), &key),
            answers: reply.answers.iter().map(Into::into).collect(),
            coordinator: reply.coordinator.to_string(),
            siblings: saturating_u32(reply.state.len()),
        }))
    }

    async fn put(
        &self,
        request: Request<pb::PutRequest>,
    ) -> Result<Response<pb::PutResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        let key = object_key(&message.keyspace, message.key)?;
        self.check_value(&message.value)?;
        let request = PutRequest {
            context: open(&message.context, &key)?,
            value: Some(message.value),
            content_type: message.content_type.map(Into::into),
            return_values: message.return_values,
            options: self.options(message.w, message.mode, message.timeout_ms, &metadata)?,
            key: key.clone(),
        };
        let reply = self
            .service
            .put(request)
            .await
            .map_err(|error| status::of_operation(&error))?;
        let state = reply.state.as_ref();
        Ok(Response::new(pb::PutResponse {
            context: seal(&reply.context, &key),
            values: state.map(values).unwrap_or_default(),
            siblings: state
                .map(|state| saturating_u32(state.len()))
                .unwrap_or_default(),
            answers: reply.answers.iter().map(Into::into).collect(),
            coordinator: reply.coordinator.to_string(),
        }))
    }

    async fn delete(
        &self,
        request: Request<pb::DeleteRequest>,
    ) -> Result<Response<pb::DeleteResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        let key = object_key(&message.keyspace, message.key)?;
        let request = PutRequest {
            context: open(&message.context, &key)?,
            value: None,
            content_type: None,
            return_values: false,
            options: self.options(message.w, message.mode, message.timeout_ms, &metadata)?,
            key: key.clone(),
        };
        let reply: PutReply = self
            .service
            .put(request)
            .await
            .map_err(|error| status::of_operation(&error))?;
        Ok(Response::new(pb::DeleteResponse {
            context: seal(&reply.context, &key),
            answers: reply.answers.iter().map(Into::into).collect(),
            coordinator: reply.coordinator.to_string(),
        }))
    }
}

fn object_key(keyspace: &str, key: Bytes) -> Result<ObjectKey, Status> {
    let keyspace = if keyspace.is_empty() {
        DEFAULT_KEYSPACE
    } else {
        keyspace
    };
    ObjectKey::new(keyspace, key).map_err(status::of_storage)
}

fn open(token: &Bytes, key: &ObjectKey) -> Result<CausalContext, Status> {
    ContextToken::open(token, key.keyspace().as_str().as_bytes(), key.key()).map_err(|error| {
        let error = error.to_string();
        let error = error.strip_prefix("context: ").unwrap_or(&error);
        Status::invalid_argument(format!("context: {error}"))
    })
}

const DEFAULT_KEYSPACE: &str = "default";
