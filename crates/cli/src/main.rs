//! `dynamokv`: see `dynamokv help`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

/// A request allocates dozens of small pieces on one thread and frees many on another: a sixth of a node's time with the system's own
/// allocator (docs/performance.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    dynamokv_cli::run(std::env::args_os()).await
}
