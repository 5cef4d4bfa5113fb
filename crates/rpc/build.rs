//! Generates the gRPC code with a protobuf compiler in Rust, so that no `protoc` need be installed.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use prost::Message;

const ROOT: &str = "../../proto";
const FILES: [&str; 5] = [
    "dynamokv/v1/admin.proto",
    "dynamokv/v1/gossip.proto",
    "dynamokv/v1/kv.proto",
    "dynamokv/v1/peer.proto",
    "dynamokv/v1/raw.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={ROOT}");
    let descriptors = protox::compile(FILES, [ROOT])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("dynamokv.v1.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .bytes(".")
        .compile_fds(descriptors)?;
    Ok(())
}
