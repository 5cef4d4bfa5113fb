//! The DynamoKV cluster in one thread and in virtual time, from one seed, under faults.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod end;
pub mod history;
pub mod invariants;
