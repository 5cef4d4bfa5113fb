//! `dynamokv bench`: loads a cluster through the smart client.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dynamokv_client::{Client, Context, Done, Operation, Pipeline};
use dynamokv_loadgen::{
    Failure, FailureKind, Meter, Processes, Progress, Results, Seen, Session, Target, compare, html,
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{data, shown};
use crate::args::{BenchArgs, FILL_IN_FLIGHT, Mode};
use crate::error::{Error, Result};
use crate::output::Screen;
use crate::view::Load;

pub(super) async fn bench(args: &BenchArgs, screen: &Screen) -> Result<()> {
    let plans = args.plans()?;
    let before = args.compare.as_deref().map(read).transpose()?;
    let meter = watched(&args.watch_pids)?;
    let client = data::client(&args.connect, &args.quorum).await?;
    let mut results = Results::new(about(args, &client));
    let store = match args.mode {
        Mode::Unary => Store::Unary(client),
        Mode::Pipelined => Store::Pipelined(client.pipeline(args.under_way_max())),
    };
    let session = Session::new(store, args.records);
    if !args.no_fill {
        let fill = session.fill(args.value, FILL_IN_FLIGHT, args.seed);
        let name = format!("filling {} records", args.records);
        let filled = shown_while(screen, &name, args.records, session.progress(), fill).await;
        filled.map_err(|error| Error::NotDone(error.to_string()))?;
    }
    for (name, plan) in plans {
        let mut run = session
            .run(plan)
            .map_err(|error| Error::Usage(error.to_string()))?;
        if let Some(meter) = &meter {
            run = run.metered(Arc::clone(meter));
        }
        let progress = run.progress();
        let result = shown_while(screen, &name, 0, progress, run.drive(name.as_str())).await;
        if meter.is_some() && result.cpu.is_none() {
            let reason = format!("{name}: a process that is watched has ended");
            return Err(Error::NotDone(reason));
        }
        results.runs.push(result);
    }
    if let Some(path) = &args.save {
        let text = serde_json::to_vec_pretty(&results)
            .map_err(|error| Error::Failed(error.to_string()))?;
        std::fs::write(path, text).map_err(Error::io(path.display()))?;
    }
    if let Some(path) = &args.report {
        std::fs::write(path, html(&results, before.as_ref())).map_err(Error::io(path.display()))?;
    }
    let compared = before.map(|before| compare(&before, &results));
    shown(screen.show(&Load { results, compared }))
}

/// The accounts of the processes to be watched, if there are any.
fn watched(ids: &[u32]) -> Result<Option<Arc<dyn Meter>>> {
    if ids.is_empty() {
        return Ok(None);
    }
    let processes =
        Processes::new(ids).map_err(|error| Error::Usage(format!("watch-pids: {error}")))?;
    Ok(Some(Arc::new(processes)))
}

fn read(path: &Path) -> Result<Results> {
    let text = std::fs::read(path).map_err(Error::io(path.display()))?;
    let wrong = |error: serde_json::Error| {
        Error::Usage(format!("{}: is not a kept result: {error}", path.display()))
    };
    let results: Results = serde_json::from_slice(&text).map_err(wrong)?;
    if results.format != Results::FORMAT {
        return Err(Error::Usage(format!(
            "{}: is of format {}, and this release reads {}",
            path.display(),
            results.format,
            Results::FORMAT
        )));
    }
    Ok(results)
}

fn about(args: &BenchArgs, client: &Client) -> BTreeMap<String, String> {
    let topology = client.topology();
    let about = [
        ("release", env!("CARGO_PKG_VERSION").to_owned()),
        ("nodes", topology.nodes().len().to_string()),
        ("mode", format!("{:?}", args.mode).to_lowercase()),
        ("records", args.records.to_string()),
        (
            "value bytes",
            match args.value.min == args.value.max {
                true => args.value.min.to_string(),
                false => format!("{} to {}", args.value.min, args.value.max),
            },
        ),
    ];
    about
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// Waits for `work` and shows how far it is meanwhile; `length` 0 if that is not known.
async fn shown_while<R>(
    screen: &Screen,
    name: &str,
    length: u64,
    progress: Arc<Progress>,
    work: impl Future<Output = R>,
) -> R {
    let bar = bar(screen, name, length);
    let mut work = std::pin::pin!(work);
    let mut tick = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            biased;
            result = &mut work => {
                bar.finish_and_clear();
                return result;
            }
            _ = tick.tick() => {
                bar.set_position(progress.done());
                bar.set_message(match progress.failed() {
                    0 => String::new(),
                    failed => format!(", {failed} failed"),
                });
            }
        }
    }
}

fn bar(screen: &Screen, name: &str, length: u64) -> ProgressBar {
    let target = if screen.attended {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let (length, template) = match length {
        0 => (
            None,
            "{spinner} {prefix}: {pos} done, {per_sec}{msg} [{elapsed}]",
        ),
        known => (
            Some(known),
            "{prefix} [{bar:40}] {pos}/{len}, {per_sec}{msg} [{elapsed}]",
        ),
    };
    let bar = ProgressBar::with_draw_target(length, target).with_prefix(name.to_owned());
    // The templates are constants; a default bar serves as well.
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// The cluster as a store to be loaded.
#[derive(Clone)]
enum Store {
    Unary(Client),
    Pipelined(Pipeline),
}

impl Target for Store {
    type Context = Context;

    async fn read(&self, key: Bytes) -> Result<Seen<Context>, Failure> {
        let versions = match self {
            Self::Unary(client) => client.get(key).await.map_err(failure)?,
            Self::Pipelined(pipeline) => match done(pipeline, Operation::get(key)).await? {
                Done::Read(versions) => versions,
                _ => return Err(other_answer()),
            },
        };
        Ok(Seen {
            values: versions.values.len(),
            context: versions.context,
        })
    }

    async fn write(&self, key: Bytes, value: Bytes, context: Context) -> Result<Context, Failure> {
        match self {
            Self::Unary(client) => {
                let written = client.put_with(key, value, &context).await;
                Ok(written.map_err(failure)?.context)
            }
            Self::Pipelined(pipeline) => {
                written(pipeline, Operation::put(key, value, context)).await
            }
        }
    }

    async fn delete(&self, key: Bytes, context: Context) -> Result<Context, Failure> {
        match self {
            Self::Unary(client) => {
                let written = client.delete_with(key, &context).await;
                Ok(written.map_err(failure)?.context)
            }
            Self::Pipelined(pipeline) => written(pipeline, Operation::delete(key, context)).await,
        }
    }
}

async fn done(pipeline: &Pipeline, operation: Operation) -> Result<Done, Failure> {
    pipeline.submit(operation).await.await.map_err(failure)
}

async fn written(pipeline: &Pipeline, operation: Operation) -> Result<Context, Failure> {
    match done(pipeline, operation).await? {
        Done::Written(written) => Ok(written.context),
        _ => Err(other_answer()),
    }
}

/// No client mixes the kinds of answers up.
fn other_answer() -> Failure {
    Failure {
        kind: FailureKind::Other,
        message: "the answer is one to another question".to_owned(),
    }
}

fn failure(error: dynamokv_client::Error) -> Failure {
    use dynamokv_client::Error as Cause;
    Failure {
        kind: match &error {
            Cause::NoSeed { .. } | Cause::NotApplied(_) => FailureKind::NotApplied,
            Cause::Unknown(_) => FailureKind::Unknown,
            Cause::Overloaded(_) => FailureKind::Overloaded,
            Cause::Invalid(_) | Cause::Precondition(_) => FailureKind::Refused,
            _ => FailureKind::Other,
        },
        message: error.to_string(),
    }
}

const TICK: Duration = Duration::from_millis(200);
