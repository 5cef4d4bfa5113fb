//! Errors as gRPC statuses, and what a node said read back from them.

use dynamokv_coordinator::ErrorKind;
use prost::Message;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};

use crate::{AdminError, Error, pb};

/// Why an operation failed, as clients are told.
pub(crate) fn failure_of(error: &dynamokv_coordinator::Error) -> pb::Failure {
    let answers = error.answers().iter().take(ANSWERS_MAX).map(|answer| {
        let mut answer = pb::Answer::from(answer);
        shorten(&mut answer.reason, REASON_BYTES_MAX);
        answer
    });
    pb::Failure {
        kind: pb::ErrorKind::from(error.kind()).into(),
        message: error.to_string(),
        answers: answers.collect(),
    }
}

/// The failure of a request that is wrong in itself.
pub(crate) fn invalid(error: impl ToString) -> pb::Failure {
    pb::Failure {
        kind: pb::ErrorKind::Invalid.into(),
        message: error.to_string(),
        answers: Vec::new(),
    }
}

/// The status of a failed read or write. UNKNOWN is meant literally: the write may be applied. The failure itself goes along as
/// metadata, less its message, which the status has.
pub fn of_failure(mut failure: pb::Failure) -> Status {
    let code = code_of(failure.kind().into());
    let message = std::mem::take(&mut failure.message);
    let mut metadata = MetadataMap::new();
    metadata.insert_bin(
        FAILURE_TRAILER,
        MetadataValue::from_bytes(&failure.encode_to_vec()),
    );
    with_metadata(code, message, metadata)
}

/// What the node itself said of a failed operation; `None` for a status that the transport made, or a node of another kind.
pub fn failure_in(status: &Status) -> Option<pb::Failure> {
    let bytes = status
        .metadata()
        .get_bin(FAILURE_TRAILER)?
        .to_bytes()
        .ok()?;
    let mut failure = pb::Failure::decode(bytes).ok()?;
    failure.message = status.message().to_owned();
    Some(failure)
}

pub(crate) fn of_storage(error: dynamokv_storage::Error) -> Status {
    of_failure(failure_of(&error.into()))
}

pub(crate) fn of_admin(error: &AdminError) -> Status {
    let code = match error {
        AdminError::InvalidArgument(_) => Code::InvalidArgument,
        AdminError::Precondition(_) => Code::FailedPrecondition,
        AdminError::Unavailable(_) => Code::Unavailable,
        AdminError::Failed(_) => Code::Internal,
    };
    with_metadata(code, error.to_string(), MetadataMap::new())
}

/// The status of a request that could not be read.
pub(crate) fn of_message(error: &Error) -> Status {
    of_failure(invalid(error))
}

/// Messages travel in a header, whose size is bounded: a longer one would break the connection.
fn with_metadata(code: Code, mut message: String, metadata: MetadataMap) -> Status {
    shorten(&mut message, MESSAGE_BYTES_MAX);
    Status::with_metadata(code, message, metadata)
}

fn shorten(text: &mut String, bytes_max: usize) {
    if text.len() > bytes_max {
        let end = (0..=bytes_max).rfind(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or_default());
        text.push_str("...");
    }
}

const FAILURE_TRAILER: &str = "dynamokv-failure-bin";
const MESSAGE_BYTES_MAX: usize = 2048;
const ANSWERS_MAX: usize = 16;
const REASON_BYTES_MAX: usize = 100;

fn code_of(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::Invalid => Code::InvalidArgument,
        ErrorKind::Precondition => Code::FailedPrecondition,
        ErrorKind::NotApplied => Code::Unavailable,
        ErrorKind::Unknown => Code::Unknown,
        ErrorKind::Overloaded => Code::ResourceExhausted,
        ErrorKind::Damaged => Code::DataLoss,
        _ => Code::Internal,
    }
}

#[cfg(test)]
mod tests {
    use dynamokv_coordinator::{Answer, AnswerKind};
    use dynamokv_ring::NodeId;

    use super::*;

    #[test]
    fn every_kind_of_error_has_the_code_that_the_protocol_promises_and_is_read_back() {
        let table = [
            (ErrorKind::Invalid, Code::InvalidArgument),
            (ErrorKind::Precondition, Code::FailedPrecondition),
            (ErrorKind::NotApplied, Code::Unavailable),
            (ErrorKind::Unknown, Code::Unknown),
            (ErrorKind::Overloaded, Code::ResourceExhausted),
            (ErrorKind::Damaged, Code::DataLoss),
            (ErrorKind::Internal, Code::Internal),
        ];
        for (kind, code) in table {
            let failure = pb::Failure {
                kind: pb::ErrorKind::from(kind).into(),
                message: "words".to_owned(),
                answers: vec![pb::Answer::default()],
            };
            let status = of_failure(failure.clone());
            assert_eq!(status.code(), code, "{kind:?}");
            assert_eq!(failure_in(&status), Some(failure));
        }
        assert_eq!(failure_in(&Status::unavailable("no connection")), None);
    }

    #[test]
    fn a_failure_of_any_length_fits_headers() {
        let long = "é".repeat(1_000_000);
        let message = of_admin(&AdminError::Failed(long)).message().to_owned();
        assert!(message.len() <= MESSAGE_BYTES_MAX + 3 && message.ends_with("é..."));
        let answer = Answer {
            node: NodeId(1),
            kind: AnswerKind::Failed("é".repeat(1_000)),
        };
        let failure = failure_of(&dynamokv_coordinator::Error::Unknown {
            needed: 2,
            answers: vec![answer; 100],
        });
        let status = of_failure(failure);
        let trailer = status.metadata().get_bin(FAILURE_TRAILER);
        assert!(trailer.is_some_and(|bytes| bytes.as_encoded_bytes().len() < 4_096));
        let said = failure_in(&status).map(|failure| failure.answers.len());
        assert_eq!(said, Some(ANSWERS_MAX));
    }
}
