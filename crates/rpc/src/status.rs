//! Errors as gRPC statuses.

use dynamokv_coordinator::ErrorKind;
use tonic::{Code, Status};

use crate::{AdminError, Error};

/// The status of a failed read or write. UNKNOWN is meant literally: the write may be applied.
pub(crate) fn of_operation(error: &dynamokv_coordinator::Error) -> Status {
    status(code_of(error.kind()), error.to_string())
}

pub(crate) fn of_storage(error: dynamokv_storage::Error) -> Status {
    of_operation(&error.into())
}

pub(crate) fn of_admin(error: &AdminError) -> Status {
    let code = match error {
        AdminError::InvalidArgument(_) => Code::InvalidArgument,
        AdminError::Precondition(_) => Code::FailedPrecondition,
        AdminError::Unavailable(_) => Code::Unavailable,
        AdminError::Failed(_) => Code::Internal,
    };
    status(code, error.to_string())
}

/// The status of a request that could not be read.
pub(crate) fn of_message(error: &Error) -> Status {
    status(Code::InvalidArgument, error.to_string())
}

/// Messages travel in a header, whose size is bounded: a longer one would break the connection.
fn status(code: Code, mut message: String) -> Status {
    if message.len() > MESSAGE_BYTES_MAX {
        let end = (0..=MESSAGE_BYTES_MAX).rfind(|at| message.is_char_boundary(*at));
        message.truncate(end.unwrap_or_default());
        message.push_str("...");
    }
    Status::new(code, message)
}

const MESSAGE_BYTES_MAX: usize = 2048;

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
    use super::*;

    #[test]
    fn every_kind_of_error_has_the_code_that_the_protocol_promises() {
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
            assert_eq!(code_of(kind), code, "{kind:?}");
        }
    }

    #[test]
    fn a_message_of_any_length_fits_a_header() {
        let long = AdminError::Failed("é".repeat(1_000_000));
        let message = of_admin(&long).message().to_owned();
        assert!(message.len() <= MESSAGE_BYTES_MAX + 3 && message.ends_with("é..."));
    }
}
