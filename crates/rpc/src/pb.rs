//! The messages, clients and server traits generated from `proto/dynamokv/v1`.
//!
//! The `.proto` files are the reference; the comments here are theirs.

#![allow(clippy::all, clippy::pedantic, missing_docs, unreachable_pub)]

tonic::include_proto!("dynamokv.v1");

/// The encoded descriptors of all files, as gRPC reflection serves them.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/dynamokv.v1.bin"));
