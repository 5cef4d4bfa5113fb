//! The least client: reads, writes and deletes one key through any node.
//!
//! `cargo run --example kv -- 127.0.0.1:7071 put cart tea`, then `get cart` through another node.

use std::error::Error;
use std::process::ExitCode;

use bytes::Bytes;
use clap::{Parser, Subcommand};
use dynamokv::rpc::pb::kv_client::KvClient;
use dynamokv::rpc::pb::{DeleteRequest, GetRequest, GetResponse, PutRequest};
use tonic::transport::Channel;

/// Reads, writes and deletes one key through any node.
#[derive(Parser)]
struct Args {
    /// Any node of the cluster, host:port.
    node: String,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Shows the values of a key: one, or siblings where writes were concurrent.
    Get { key: String },
    /// Reads the key and replaces what it saw.
    Put { key: String, value: String },
    /// Writes without reading first: what is there becomes a sibling.
    PutBlind { key: String, value: String },
    /// Reads the key and deletes what it saw.
    Delete { key: String },
}

async fn get(kv: &mut KvClient<Channel>, key: &str) -> Result<GetResponse, tonic::Status> {
    let request = GetRequest {
        key: Bytes::from(key.to_owned()),
        ..GetRequest::default()
    };
    Ok(kv.get(request).await?.into_inner())
}

async fn put(
    kv: &mut KvClient<Channel>,
    key: String,
    value: String,
    context: Bytes,
) -> Result<(), tonic::Status> {
    let (key, value) = (Bytes::from(key), Bytes::from(value));
    let reply = kv
        .put(PutRequest {
            key,
            value,
            context,
            ..PutRequest::default()
        })
        .await?
        .into_inner();
    println!("written, coordinated by {}", reply.coordinator);
    Ok(())
}

async fn run(args: Args) -> Result<(), Box<dyn Error>> {
    let unreachable = |error| format!("{} cannot be reached: {error}", args.node);
    let mut kv = KvClient::connect(format!("http://{}", args.node))
        .await
        .map_err(unreachable)?;
    match args.action {
        Action::Get { key } => {
            let found = get(&mut kv, &key).await?;
            if found.values.is_empty() {
                println!("nothing");
            }
            for value in &found.values {
                println!(
                    "{}   ({})",
                    String::from_utf8_lossy(&value.value),
                    value.clock
                );
            }
        }
        Action::Put { key, value } => {
            let seen = get(&mut kv, &key).await?;
            put(&mut kv, key, value, seen.context).await?;
        }
        Action::PutBlind { key, value } => put(&mut kv, key, value, Bytes::new()).await?,
        Action::Delete { key } => {
            let seen = get(&mut kv, &key).await?;
            let (key, context) = (Bytes::from(key), seen.context);
            kv.delete(DeleteRequest {
                key,
                context,
                ..DeleteRequest::default()
            })
            .await?;
            println!("deleted");
        }
    }
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            match error.downcast_ref::<tonic::Status>() {
                Some(status) => eprintln!("error: {} ({:?})", status.message(), status.code()),
                None => eprintln!("error: {error}"),
            }
            ExitCode::FAILURE
        }
    }
}
