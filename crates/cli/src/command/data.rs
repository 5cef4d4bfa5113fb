//! Keys and values.

use std::io::Read as _;
use std::path::Path;

use dynamokv_client::{Client, ClientConfig, Context, NewValue, Options, QuorumMode, Versions};
use futures_util::StreamExt;

use super::shown;
use crate::args::{DeleteArgs, GetArgs, KeysArgs, PutArgs, Quorum};
use crate::content::{Content, from_base64};
use crate::error::{Error, Result};
use crate::node::Connect;
use crate::output::{Format, Screen};
use crate::view::{Keys, Read, Wrote};

pub(super) async fn get(args: &GetArgs, screen: &Screen) -> Result<()> {
    let client = client(&args.connect, &args.quorum).await?;
    let versions = read(&client, &args.key).await?;
    if versions.is_empty() {
        return Err(not_found(&args.key));
    }
    if args.raw || args.sibling.is_some() {
        return shown(screen.write(&chosen(args, &versions)?));
    }
    shown(screen.show(&Read::new(&args.quorum.keyspace.name, &args.key, versions)))
}

pub(super) async fn put(args: &PutArgs, screen: &Screen) -> Result<()> {
    let value = value(args)?;
    let client = client(&args.connect, &args.quorum).await?;
    let (context, replaced) = match &args.context {
        Some(text) => (given(text)?, None),
        None if args.blind => (Context::new(), None),
        None => {
            let seen = read(&client, &args.key).await?;
            (seen.context, Some(seen.values.len()))
        }
    };
    let written = client.put_with(args.key.clone(), value, &context).await;
    let written = written.map_err(|error| failure(&args.key, &error))?;
    let keyspace = &args.quorum.keyspace.name;
    shown(screen.show(&Wrote::new(
        "written", keyspace, &args.key, replaced, &written,
    )))
}

pub(super) async fn delete(args: &DeleteArgs, screen: &Screen) -> Result<()> {
    let client = client(&args.connect, &args.quorum).await?;
    let (context, replaced) = match &args.context {
        Some(text) => (given(text)?, None),
        None => {
            let seen = read(&client, &args.key).await?;
            if seen.is_empty() {
                return Err(not_found(&args.key));
            }
            (seen.context, Some(seen.values.len()))
        }
    };
    let written = client.delete_with(args.key.clone(), &context).await;
    let written = written.map_err(|error| failure(&args.key, &error))?;
    let keyspace = &args.quorum.keyspace.name;
    shown(screen.show(&Wrote::new(
        "deleted", keyspace, &args.key, replaced, &written,
    )))
}

pub(super) async fn keys(args: &KeysArgs, screen: &Screen) -> Result<()> {
    let name = &args.keyspace.name;
    let client = connected(&args.connect).await?.in_keyspace(name);
    let prefix = args.prefix.clone().unwrap_or_default();
    let limit = args.limit.unwrap_or(usize::MAX);
    let mut found = std::pin::pin!(client.keys_with_prefix(prefix).take(limit));
    let mut keys = Vec::new();
    while let Some(key) = found.next().await {
        let key = Content::of(&key.map_err(|error| failure("keys", &error))?);
        match screen.format {
            // Shown as they come: there may be more than fit into memory.
            Format::Table => {
                let line = key.on_one_line() + "\n";
                shown(screen.write(line.as_bytes()))?;
            }
            Format::Json => keys.push(key),
        }
    }
    match screen.format {
        Format::Table => Ok(()),
        Format::Json => shown(screen.show(&Keys::new(name, keys))),
    }
}

/// A client of the cluster, whose requests ask for what the command line says.
pub(super) async fn client(connect: &Connect, quorum: &Quorum) -> Result<Client> {
    let client = connected(connect).await?;
    let options = Options {
        r: quorum.replicas,
        w: quorum.replicas,
        mode: if quorum.strict {
            QuorumMode::Strict
        } else {
            QuorumMode::Sloppy
        },
        ..Options::default()
    };
    Ok(client.in_keyspace(&quorum.keyspace.name).with(options))
}

async fn connected(connect: &Connect) -> Result<Client> {
    let config = ClientConfig {
        timeout: connect.timeout(),
        ..ClientConfig::default()
    };
    let client = Client::connect_with(config, connect.nodes.clone()).await;
    client.map_err(|error| failure("connecting", &error))
}

async fn read(client: &Client, key: &str) -> Result<Versions> {
    let versions = client.get(key.to_owned()).await;
    versions.map_err(|error| failure(key, &error))
}

/// What a failed call means for who ran the command.
pub(super) fn failure(what: &str, error: &dynamokv_client::Error) -> Error {
    use dynamokv_client::Error as Cause;
    let said = format!("{what}: {error}");
    match error {
        Cause::Config { .. } | Cause::Invalid(_) => Error::Usage(said),
        Cause::Precondition(_) | Cause::Contended { .. } => Error::Refused(said),
        Cause::NoSeed { .. } | Cause::NotApplied(_) | Cause::Overloaded(_) => Error::NotDone(said),
        Cause::Unknown(_) => Error::Unknown(said),
        _ => Error::Failed(said),
    }
}

fn not_found(key: &str) -> Error {
    Error::NotFound(format!("there is no key {key:?}"))
}

fn given(context: &str) -> Result<Context> {
    Ok(Context::from_bytes(from_base64("--context", context)?))
}

/// The bytes of the one value, or of the one that was chosen.
fn chosen(args: &GetArgs, versions: &Versions) -> Result<bytes::Bytes> {
    let count = versions.values.len();
    let value = match args.sibling {
        Some(number) => {
            let wrong = || {
                Error::Usage(format!(
                    "--sibling: is {number}, but must be in 1..={count}"
                ))
            };
            versions
                .values
                .get(number.saturating_sub(1))
                .ok_or_else(wrong)?
        }
        None => versions.one().ok_or_else(|| {
            Error::Refused(format!(
                "{:?} has {count} concurrent values: choose one with --sibling",
                args.key
            ))
        })?,
    };
    Ok(value.bytes.clone())
}

/// The value of the argument, the file, or standard input.
fn value(args: &PutArgs) -> Result<NewValue> {
    let bytes = match (&args.value, &args.file) {
        (Some(text), _) => text.clone().into_bytes(),
        (None, Some(path)) if path != Path::new("-") => {
            std::fs::read(path).map_err(Error::io(path.display()))?
        }
        (None, _) => {
            let mut bytes = Vec::new();
            let read = std::io::stdin().lock().read_to_end(&mut bytes);
            read.map_err(Error::io("standard input"))?;
            bytes
        }
    };
    let value = NewValue::new(bytes);
    Ok(match &args.content_type {
        Some(name) => value.with_content_type(name),
        None => value,
    })
}
