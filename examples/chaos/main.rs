//! Accidents to clusters of real processes under load, for as long as one likes, and a report.
//!
//! `cargo build --example node && cargo run --example chaos -- --minutes 10`. Each round is a fresh cluster to which one accident
//! happens; a broken promise ends the run with what is wrong, and the round's first line says how to repeat it. The short
//! forms are the test `chaos`, on the same code.
#![allow(unreachable_pub)] // The modules of one program.
#![allow(clippy::unwrap_used, clippy::expect_used)] // As in the tests that it shares them with.

#[cfg(target_os = "linux")]
mod away;
#[cfg(target_os = "linux")]
#[path = "../../tests/chaos/harness/mod.rs"]
mod harness;
#[cfg(target_os = "linux")]
mod long;
#[cfg(target_os = "linux")]
mod plot;
#[cfg(target_os = "linux")]
#[path = "../../tests/support/mod.rs"]
mod support;

#[cfg(target_os = "linux")]
#[tokio::main]
async fn main() {
    let options = <long::Options as clap::Parser>::parse();
    match options.hints {
        Some(hints) => away::measure(hints, options.svg.as_deref()).await,
        None => long::report(options).await,
    }
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("connections are told apart by what only Linux shows: /proc");
}
