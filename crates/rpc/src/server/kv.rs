//! `Kv` over a [`KvService`].

mod page;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dynamokv_coordinator::{GetRequest, Options, PutReply, PutRequest};
use dynamokv_storage::ObjectKey;
use dynamokv_vclock::{CausalContext, ContextToken};
use futures_util::stream::{BoxStream, StreamExt};
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use super::gate::Permit;
use super::pipeline::Pipeline;
use super::{ServerConfig, batch, keys};
use crate::convert::{mode_from, saturating_u32, some_bytes};
use crate::shown::{seal, values};
use crate::status::{failure_of, invalid};
use crate::topology::TOPOLOGY_HEADER;
use crate::{KvService, deadline, pb, status};

/// The gRPC face of a [`KvService`]: reads and checks the messages, opens and seals contexts, turns errors into statuses.
/// [`ServerBuilder::kv`](crate::ServerBuilder::kv) serves it; where no network is needed it can be called directly.
pub struct KvHandler<S> {
    service: Arc<S>,
    value_bytes_max: usize,
    timeout_max: Duration,
}

impl<S> Clone for KvHandler<S> {
    fn clone(&self) -> Self {
        Self {
            service: Arc::clone(&self.service),
            ..*self
        }
    }
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
        carried: Option<Duration>,
    ) -> Result<Options, pb::Failure> {
        let asked = timeout_ms.map(|millis| Duration::from_millis(millis.into()));
        let timeout = match (asked, carried) {
            (Some(asked), Some(carried)) => Some(asked.min(carried)),
            (Some(asked), None) => Some(asked),
            (None, carried) => carried.map(|carried| carried.min(self.timeout_max)),
        };
        Ok(Options {
            quorum: quorum.map(|quorum| quorum as usize),
            mode: mode_from(mode).map_err(invalid)?,
            timeout,
        })
    }

    fn check_value(&self, value: &Bytes) -> Result<(), pb::Failure> {
        let (bytes, limit) = (value.len(), self.value_bytes_max);
        if bytes > limit {
            return Err(refused(dynamokv_storage::Error::ValueLength {
                bytes,
                limit,
            }));
        }
        Ok(())
    }
}

/// One operation each, whatever way it came. `carried` is the time that the caller gives.
impl<S: KvService> KvHandler<S> {
    pub(crate) async fn read(
        &self,
        message: pb::GetRequest,
        carried: Option<Duration>,
    ) -> Result<pb::GetResponse, pb::Failure> {
        let key = object_key(&message.keyspace, message.key)?;
        let request = GetRequest {
            key: key.clone(),
            options: self.options(message.r, message.mode, message.timeout_ms, carried)?,
        };
        let reply = self.service.get(request).await;
        let reply = reply.map_err(|error| failure_of(&error))?;
        Ok(pb::GetResponse {
            values: values(&reply.state),
            context: seal(reply.state.context(), &key),
            answers: reply.answers.iter().map(Into::into).collect(),
            coordinator: reply.coordinator.to_string(),
            siblings: saturating_u32(reply.state.len()),
        })
    }

    pub(crate) async fn write(
        &self,
        message: pb::PutRequest,
        carried: Option<Duration>,
    ) -> Result<pb::PutResponse, pb::Failure> {
        let key = object_key(&message.keyspace, message.key)?;
        self.check_value(&message.value)?;
        let request = PutRequest {
            context: open(&message.context, &key)?,
            value: Some(message.value),
            content_type: message.content_type.map(Into::into),
            return_values: message.return_values,
            idempotency_key: idempotency_key(message.idempotency_key)?,
            options: self.options(message.w, message.mode, message.timeout_ms, carried)?,
            key: key.clone(),
        };
        let reply = self.put_through(request).await?;
        let state = reply.state.as_ref();
        Ok(pb::PutResponse {
            context: seal(&reply.context, &key),
            values: state.map(values).unwrap_or_default(),
            siblings: state
                .map(|state| saturating_u32(state.len()))
                .unwrap_or_default(),
            answers: reply.answers.iter().map(Into::into).collect(),
            coordinator: reply.coordinator.to_string(),
        })
    }

    pub(crate) async fn remove(
        &self,
        message: pb::DeleteRequest,
        carried: Option<Duration>,
    ) -> Result<pb::DeleteResponse, pb::Failure> {
        let key = object_key(&message.keyspace, message.key)?;
        let request = PutRequest {
            context: open(&message.context, &key)?,
            value: None,
            content_type: None,
            return_values: false,
            idempotency_key: idempotency_key(message.idempotency_key)?,
            options: self.options(message.w, message.mode, message.timeout_ms, carried)?,
            key: key.clone(),
        };
        let reply = self.put_through(request).await?;
        Ok(pb::DeleteResponse {
            context: seal(&reply.context, &key),
            answers: reply.answers.iter().map(Into::into).collect(),
            coordinator: reply.coordinator.to_string(),
        })
    }

    async fn put_through(&self, request: PutRequest) -> Result<PutReply, pb::Failure> {
        let reply = self.service.put(request).await;
        reply.map_err(|error| failure_of(&error))
    }

    /// The answer or the status, with the version of the topology.
    fn answer<T>(&self, result: Result<T, pb::Failure>) -> Result<Response<T>, Status> {
        let topology = self.service.topology();
        let header = topology.and_then(|topology| topology.header());
        let mark = |metadata: &mut MetadataMap| {
            if let Some(header) = header {
                metadata.insert(TOPOLOGY_HEADER, header);
            }
        };
        match result {
            Ok(message) => {
                let mut response = Response::new(message);
                mark(response.metadata_mut());
                Ok(response)
            }
            Err(failure) => {
                let mut status = status::of_failure(failure);
                mark(status.metadata_mut());
                Err(status)
            }
        }
    }
}

#[tonic::async_trait]
impl<S: KvService> pb::kv_server::Kv for KvHandler<S> {
    async fn topology(
        &self,
        request: Request<pb::TopologyRequest>,
    ) -> Result<Response<pb::TopologyResponse>, Status> {
        let known = request.into_inner().known;
        let not_member = || failure_of(&dynamokv_coordinator::Error::NotMember);
        let topology = self.service.topology().ok_or_else(not_member);
        self.answer(topology.map(|topology| topology.answer(known)))
    }

    async fn get(
        &self,
        request: Request<pb::GetRequest>,
    ) -> Result<Response<pb::GetResponse>, Status> {
        let carried = time_carried(&request);
        self.answer(self.read(request.into_inner(), carried).await)
    }

    async fn put(
        &self,
        request: Request<pb::PutRequest>,
    ) -> Result<Response<pb::PutResponse>, Status> {
        let carried = time_carried(&request);
        self.answer(self.write(request.into_inner(), carried).await)
    }

    async fn delete(
        &self,
        request: Request<pb::DeleteRequest>,
    ) -> Result<Response<pb::DeleteResponse>, Status> {
        let carried = time_carried(&request);
        self.answer(self.remove(request.into_inner(), carried).await)
    }

    async fn batch(
        &self,
        request: Request<pb::BatchRequest>,
    ) -> Result<Response<pb::BatchResponse>, Status> {
        // A careless deadline is no error.
        let carried = time_carried(&request).map(|carried| carried.min(self.timeout_max));
        let results = batch::all(self, request.into_inner().operations, carried).await;
        self.answer(results.map(|results| pb::BatchResponse { results }))
    }

    type PipelineStream = BoxStream<'static, Result<pb::PipelineResponse, Status>>;

    async fn pipeline(
        &self,
        request: Request<Streaming<pb::PipelineRequest>>,
    ) -> Result<Response<Self::PipelineStream>, Status> {
        let permit = request.extensions().get::<Permit>().cloned();
        let service = Arc::clone(&self.service);
        let topology = move || service.topology().map_or(0, |topology| topology.version());
        let store = Arc::new(self.clone());
        let pipeline = Pipeline::new(store, topology, request.into_inner(), permit);
        self.answer(Ok(pipeline.boxed()))
    }

    type ListKeysStream = BoxStream<'static, Result<pb::ListKeysResponse, Status>>;

    async fn list_keys(
        &self,
        request: Request<pb::ListKeysRequest>,
    ) -> Result<Response<Self::ListKeysStream>, Status> {
        let permit = request.extensions().get::<Permit>().cloned();
        let store = Arc::new(self.clone());
        self.answer(keys::list(store, request.into_inner(), permit).await)
    }
}

/// What the deadline of the call leaves for the work.
fn time_carried<M>(request: &Request<M>) -> Option<Duration> {
    deadline::of_call(request.metadata()).map(deadline::with_time_to_answer)
}

fn object_key(keyspace: &str, key: Bytes) -> Result<ObjectKey, pb::Failure> {
    let keyspace = if keyspace.is_empty() {
        DEFAULT_KEYSPACE
    } else {
        keyspace
    };
    ObjectKey::new(keyspace, key).map_err(refused)
}

fn open(token: &Bytes, key: &ObjectKey) -> Result<CausalContext, pb::Failure> {
    ContextToken::open(token, key.keyspace().as_str().as_bytes(), key.key()).map_err(|error| {
        let error = error.to_string();
        let error = error.strip_prefix("context: ").unwrap_or(&error);
        invalid(format!("context: {error}"))
    })
}

fn idempotency_key(bytes: Bytes) -> Result<Option<Bytes>, pb::Failure> {
    if bytes.len() > IDEMPOTENCY_KEY_BYTES_MAX {
        return Err(invalid(format!(
            "idempotency_key of {} bytes, but at most {IDEMPOTENCY_KEY_BYTES_MAX} are allowed",
            bytes.len()
        )));
    }
    Ok(some_bytes(bytes))
}

fn refused(error: dynamokv_storage::Error) -> pb::Failure {
    failure_of(&error.into())
}

const DEFAULT_KEYSPACE: &str = "default";
const IDEMPOTENCY_KEY_BYTES_MAX: usize = 64;
