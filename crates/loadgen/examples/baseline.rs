//! What a machine gives before any store: a bare unary echo of 1 KiB over gRPC, whose server has a process of its own, and a bare
//! `fdatasync` after an append of 1.1 KB. Prints JSON; benches/cluster.sh sets it beside the store.
//!
//! `cargo run --release -p dynamokv-loadgen --example baseline -- FOLDER SECONDS`, with a folder on the disk in question.

use std::convert::Infallible;
use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dynamokv_loadgen::{
    Contexts, Failure, FailureKind, Pace, Plan, Processes, Results, Seen, Session, Target,
    ValueSize,
};
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::{NamedService, UnaryService};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

#[tokio::main]
async fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    match (args.next(), args.next()) {
        (Some(word), None) if word == SERVE => serve().await,
        (Some(folder), Some(seconds)) => {
            let duration = Duration::try_from_secs_f64(seconds.parse()?)?;
            let echo = echo(duration).await?;
            let fdatasync = fdatasync(Path::new(&folder), duration)?;
            println!("{}", json!({ "echo": echo, "fdatasync": fdatasync }));
            Ok(())
        }
        _ => Err("usage: baseline FOLDER SECONDS".into()),
    }
}

// -- The disk

/// Appends and syncs, one after another; microseconds.
fn fdatasync(folder: &Path, duration: Duration) -> Result<Value> {
    let path = folder.join("fdatasync");
    let mut file = File::create(&path)?;
    let record = [0x5a; APPENDED];
    let mut times = Histogram::<u64>::new(3)?;
    let begun = Instant::now();
    while begun.elapsed() < duration {
        let start = Instant::now();
        file.write_all(&record)?;
        file.sync_data()?;
        times.record(u64::try_from(start.elapsed().as_micros())?)?;
    }
    std::fs::remove_file(&path)?;
    let at = |quantile| times.value_at_quantile(quantile);
    Ok(json!({ "count": times.len(), "p50_us": at(0.5), "p99_us": at(0.99) }))
}

// -- The echo, asked

async fn echo(duration: Duration) -> Result<Results> {
    let server = Echoing::start()?;
    let mut channels = Vec::new();
    for _ in 0..CONNECTIONS {
        let endpoint = Endpoint::from_shared(format!("http://{}", server.address))?;
        channels.push(endpoint.connect().await?);
    }
    let store = Echo {
        channels: channels.into(),
        next: Arc::default(),
        payload: vec![0xa5; PAYLOAD].into(),
    };
    let meter = Arc::new(Processes::new(&[server.process.id()])?);
    let mut results = Results::new([].into());
    let session = Session::new(store, 1);
    for in_flight in [1, 64] {
        let (mix, pattern) = Plan::workload("get")?;
        let run = session.run(Plan {
            mix,
            pattern,
            records: 1,
            value: ValueSize { min: 0, max: 0 },
            pace: Pace::Closed { in_flight },
            warm_up: WARM_UP,
            duration,
            contexts: Contexts::Blind,
            seed: 1,
        })?;
        let run = run.metered(meter.clone());
        let result = run.drive(format!("echo, {in_flight} in flight")).await;
        results.runs.push(result);
    }
    Ok(results)
}

/// The process of the server, which ends with this one.
struct Echoing {
    process: Child,
    address: String,
}

impl Echoing {
    fn start() -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg(SERVE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = process.stdout.take().ok_or("the server has no output")?;
        let mut address = String::new();
        BufReader::new(output).read_line(&mut address)?;
        let address = address.trim_end().to_owned();
        Ok(Self { process, address })
    }
}

impl Drop for Echoing {
    fn drop(&mut self) {
        // Its input ends, and so does it.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// Connections that are taken in turn.
#[derive(Clone)]
struct Echo {
    channels: Arc<[Channel]>,
    next: Arc<AtomicUsize>,
    payload: Bytes,
}

impl Target for Echo {
    type Context = ();

    async fn read(&self, _: Bytes) -> Result<Seen<()>, Failure> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % CONNECTIONS;
        let mut grpc = tonic::client::Grpc::new(self.channels[turn].clone());
        let failure = |message: String| Failure {
            kind: FailureKind::Other,
            message,
        };
        grpc.ready()
            .await
            .map_err(|error| failure(error.to_string()))?;
        let request = Request::new(self.payload.clone());
        let path = PathAndQuery::from_static(PATH);
        let codec = ProstCodec::<Bytes, Bytes>::default();
        let answer = grpc.unary(request, path, codec).await;
        let answer = answer.map_err(|status| failure(status.to_string()))?;
        Ok(Seen {
            values: usize::from(answer.into_inner() == self.payload),
            context: (),
        })
    }

    async fn write(&self, key: Bytes, _: Bytes, (): ()) -> Result<(), Failure> {
        self.read(key).await.map(drop)
    }

    async fn delete(&self, key: Bytes, (): ()) -> Result<(), Failure> {
        self.read(key).await.map(drop)
    }
}

// -- The echo, served

/// Serves until the input ends.
async fn serve() -> Result<()> {
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse()?)?.with_nodelay(Some(true));
    println!("{}", incoming.local_addr()?);
    let end = tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0; 1]));
    let ended = async {
        let _ = end.await;
    };
    let server = Server::builder().add_service(EchoService);
    server
        .serve_with_incoming_shutdown(incoming, ended)
        .await
        .map_err(Into::into)
}

#[derive(Clone)]
struct EchoService;

impl NamedService for EchoService {
    const NAME: &'static str = "bench.Echo";
}

impl Service<http::Request<tonic::body::Body>> for EchoService {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(ProstCodec::<Bytes, Bytes>::default());
            Ok(grpc.unary(EchoService, request).await)
        })
    }
}

impl UnaryService<Bytes> for EchoService {
    type Response = Bytes;
    type Future = std::future::Ready<Result<Response<Bytes>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        std::future::ready(Ok(Response::new(request.into_inner())))
    }
}

const SERVE: &str = "serve";
const PATH: &str = "/bench.Echo/Echo";
const CONNECTIONS: usize = 3;
const PAYLOAD: usize = 1_024;
const APPENDED: usize = 1_100;
const WARM_UP: Duration = Duration::from_secs(1);
