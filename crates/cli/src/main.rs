//! `dynamokv`: see `dynamokv help`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    dynamokv_cli::run(std::env::args_os()).await
}
