//! Several operations in one message.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use prost::Message;

use crate::pb::operation::Operation as Asked;
use crate::pb::operation_result::Result as Answered;
use crate::status::invalid;
use crate::{KeyValue, deadline, pb};

/// All of them, some at a time, the results in order.
pub(super) async fn all(
    store: &impl KeyValue,
    operations: Vec<pb::Operation>,
    carried: Option<Duration>,
) -> Result<Vec<pb::OperationResult>, pb::Failure> {
    check_count(operations.len())?;
    let each = operations
        .into_iter()
        .map(|operation| each(store, operation, carried));
    let mut results = stream::iter(each).buffered(AT_ONCE_MAX);
    let (mut bytes, mut answers) = (0_usize, Vec::new());
    while let Some(result) = results.next().await {
        bytes = bytes.saturating_add(result.encoded_len());
        answers.push(if bytes > ANSWER_BYTES_MAX {
            left_out(result)
        } else {
            result
        });
    }
    Ok(answers)
}

/// One of them, whatever it is. `carried` is the time that the caller gives for all of them.
pub(super) async fn each(
    store: &impl KeyValue,
    operation: pb::Operation,
    carried: Option<Duration>,
) -> pb::OperationResult {
    let sooner = |asked| deadline::sooner(asked, carried);
    let result = match operation.operation {
        Some(Asked::Get(mut get)) => {
            get.timeout_ms = sooner(get.timeout_ms);
            store.get(get).await.map(Answered::Get)
        }
        Some(Asked::Put(mut put)) => {
            put.timeout_ms = sooner(put.timeout_ms);
            store.put(put).await.map(Answered::Put)
        }
        Some(Asked::Delete(mut delete)) => {
            delete.timeout_ms = sooner(delete.timeout_ms);
            store.delete(delete).await.map(Answered::Delete)
        }
        None => Err(invalid("operation: none is set that this node knows")),
    };
    pb::OperationResult {
        result: Some(result.unwrap_or_else(Answered::Failure)),
    }
}

/// Bounds what one message brings.
pub(super) fn check_count(operations: usize) -> Result<(), pb::Failure> {
    if operations > OPERATIONS_MAX {
        return Err(invalid(format!(
            "operations: {operations} in one message, but at most {OPERATIONS_MAX} are allowed"
        )));
    }
    Ok(())
}

/// A read that would make the answer too large is refused; what was written must be said.
fn left_out(result: pb::OperationResult) -> pb::OperationResult {
    let Some(Answered::Get(_)) = result.result else {
        return result;
    };
    let failure = pb::Failure {
        kind: pb::ErrorKind::Overloaded.into(),
        message: format!("the answers exceed {ANSWER_BYTES_MAX} bytes; read this key again"),
        answers: Vec::new(),
    };
    pb::OperationResult {
        result: Some(Answered::Failure(failure)),
    }
}

const OPERATIONS_MAX: usize = 1_024;
const AT_ONCE_MAX: usize = 64;
const ANSWER_BYTES_MAX: usize = 16 << 20;
