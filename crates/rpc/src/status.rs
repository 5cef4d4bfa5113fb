//! Errors as gRPC statuses.

use dynamokv_coordinator::ErrorKind;
use tonic::{Code, Status};

use crate::{AdminError, Error};

/// The status of a failed read or write. UNKNOWN is meant literally: the write may be applied.
pub(crate) fn of_operation(error: &dynamokv_coordinator::Error) -> Status {
    Status::new(code_of(error.kind()), error.to_string())
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
    Status::new(code, error.to_string())
}

/// The status of a request that could not be read.
pub(crate) fn of_message(error: &Error) -> Status {
    Status::invalid_argument(error.to_string())
}

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
}
