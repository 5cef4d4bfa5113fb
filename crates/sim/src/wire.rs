//! The full path: whole nodes with their servers and connections, and clients with theirs, in turmoil's simulated network and
//! virtual time.
//!
//! It runs what the fast path replaces: tonic, hyper and h2 on both sides, the reading and writing of messages, deadlines that
//! travel in headers, connections that break and are made again. Each node is a host of its own with a disk that outlives
//! it. Faults of the plan that cannot be made here are left out.
//!
//! A seed repeats, but for what these libraries take from the machine: the `date` header of each reply is the real time of day
//! (it shows in no event), and h2 remembers the streams that it reset for one real second (in a run that is so slow that a
//! message for such a stream comes later, it is answered by one segment more).

mod cell;
mod grpc;
mod nemesis;
mod network;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use dynamokv::rpc::Peers;
use dynamokv::{Node, Parts};
use parking_lot::Mutex;
use tokio::task::JoinSet;
use turmoil::{Builder, Sim};

use self::cell::Cell;
use self::grpc::Grpc;
use self::nemesis::{FAULTS, Nemesis};
use crate::end::End;
use crate::network::Place;
use crate::panics;
use crate::plan::{Fault, Plan};
use crate::record::Record;
use crate::rest::{at_rest, end_state};
use crate::run::{self, READER, Report, SETTLING_MAX};
use crate::workload::Client;

/// Runs a plan to its end over gRPC, in this thread and in virtual time. See [`run`](crate::run()).
///
/// # Panics
/// Where the simulation itself does.
pub fn run(plan: Plan, keep_trace: bool) -> Report {
    panics::watch();
    let left_out: Vec<Fault> = Fault::ALL
        .into_iter()
        .filter(|fault| !FAULTS.contains(fault))
        .collect();
    let plan = plan.without(&left_out);
    let mut stage = Stage::new(plan, keep_trace);
    let end = stage.play();
    run::conclude(&stage.record, &end)
}

/// Hosts, their links, and what is noted of them.
struct Stage {
    sim: Sim<'static>,
    record: Arc<Record>,
    cells: Vec<Arc<Cell>>,
    /// Virtual time of the last step, in microseconds.
    stepped: Arc<AtomicU64>,
}

/// Why a run cannot go on.
type Broken = Vec<String>;

impl Stage {
    fn new(plan: Plan, keep_trace: bool) -> Self {
        let mut sim = Builder::new()
            .rng_seed(plan.seed)
            .tick_duration(TICK)
            .simulation_duration(LONGEST)
            .min_message_latency(Duration::ZERO)
            .max_message_latency(LATENCY)
            .repair_rate(REPAIR_RATE)
            .tcp_capacity(SEGMENTS_MAX)
            .build();
        let stepped = Arc::<AtomicU64>::default();
        let clock = Arc::clone(&stepped);
        let record = Record::new(plan, keep_trace, move || {
            let between_steps = || Duration::from_micros(clock.load(Ordering::Relaxed));
            turmoil::sim_elapsed().unwrap_or_else(between_steps)
        });
        let cells: Vec<Arc<Cell>> = (0..record.places())
            .map(|place| Arc::new(Cell::new(&record, place)))
            .collect();
        let looked_at: Vec<Weak<Cell>> = cells.iter().map(Arc::downgrade).collect();
        record.show_disks(move |keys| {
            let cells = looked_at.iter().filter_map(Weak::upgrade);
            cells.map(|cell| cell.safe_copies(keys)).collect()
        });
        for cell in &cells {
            let living = Arc::clone(cell);
            sim.host(cell.name(), move || Arc::clone(&living).live());
        }
        Self {
            sim,
            record,
            cells,
            stepped,
        }
    }

    fn play(&mut self) -> End {
        let played = self
            .await_rest(FORMING_MAX, |_| {})
            .and_then(|()| self.work())
            .and_then(|mut nemesis| self.settle(&mut nemesis));
        played.unwrap_or_else(|unsettled| End {
            unsettled,
            ..End::default()
        })
    }

    /// The safety phase: clients work while things go wrong.
    fn work(&mut self) -> Result<Nemesis, Broken> {
        let record = Arc::clone(&self.record);
        self.sim.client(CLIENTS, async move {
            let plan = record.plan();
            let kv = Grpc::new(record.places())?;
            let mut clients = JoinSet::new();
            for number in 0..plan.clients {
                let share = (plan.operations + number) / plan.clients;
                let client = Client::new(&record, number as u32, kv.clone());
                clients.spawn(client.work(share));
            }
            while let Some(worked) = clients.join_next().await {
                worked?;
            }
            Ok(())
        });
        let mut nemesis = Nemesis::new(&self.record, &self.cells);
        while !self.step()? {
            nemesis.act(&mut self.sim);
        }
        Ok(nemesis)
    }

    /// The liveness phase: no more faults; everything must come to rest, and every request be answered.
    fn settle(&mut self, nemesis: &mut Nemesis) -> Result<End, Broken> {
        let began = self.record.now();
        nemesis.mend(&mut self.sim);
        self.pass(DEAD_CONNECTIONS, |sim| nemesis.tend(sim))?;
        let rested = self.await_rest(SETTLING_MAX, |sim| nemesis.tend(sim));
        let settled_after = self.record.now() - began;
        let failed_probes = self.probe()?;
        let mut end = self.with_nodes(|nodes| end_state(&self.record, nodes));
        match rested {
            Ok(()) => end.settled_after = Some(settled_after),
            Err(reasons) => end.unsettled = reasons,
        }
        end.failed_probes = failed_probes;
        end.high_water = run::high_water(&self.record);
        Ok(end)
    }

    fn probe(&mut self) -> Result<Vec<String>, Broken> {
        let failed = Arc::<Mutex<Vec<String>>>::default();
        let (record, told) = (Arc::clone(&self.record), Arc::clone(&failed));
        self.sim.client("reader", async move {
            let kv = Grpc::new(record.places())?;
            let reader = Client::new(&record, READER, kv);
            let places: Vec<usize> = (0..record.places()).collect();
            *told.lock() = run::probe(&record, reader, &places).await;
            Ok(())
        });
        while !self.step()? {}
        Ok(std::mem::take(&mut *failed.lock()))
    }

    fn await_rest(
        &mut self,
        patience: Duration,
        mut tend: impl FnMut(&mut Sim<'static>),
    ) -> Result<(), Broken> {
        let deadline = self.record.now() + patience;
        let places: Vec<usize> = (0..self.record.places()).collect();
        loop {
            self.pass(GAUGING, &mut tend)?;
            let rest = self.with_nodes(|nodes| at_rest(&places, nodes));
            match rest {
                Ok(()) => {
                    self.record.note(Place::Everybody, format_args!("at rest"));
                    return Ok(());
                }
                Err(reasons) if self.record.now() >= deadline => return Err(reasons),
                Err(_) => {}
            }
        }
    }

    /// Lets time pass.
    fn pass(
        &mut self,
        time: Duration,
        mut tend: impl FnMut(&mut Sim<'static>),
    ) -> Result<(), Broken> {
        let until = self.record.now() + time;
        while self.record.now() < until {
            self.step()?;
            tend(&mut self.sim);
        }
        Ok(())
    }

    /// One step; whether all clients are done.
    fn step(&mut self) -> Result<bool, Broken> {
        let done = self.sim.step().map_err(|error| vec![error.to_string()])?;
        let now = self.sim.elapsed();
        self.stepped
            .store(now.as_micros() as u64, Ordering::Relaxed);
        if now.as_millis() % GAUGING.as_millis() < TICK.as_millis() {
            self.gauge();
        }
        Ok(done)
    }

    /// Looks at what must be bounded, and at the network: two runs that differ in a single message are told apart.
    fn gauge(&self) {
        self.with_nodes(|nodes| {
            for (_, parts) in nodes {
                run::measure(&self.record, parts);
            }
        });
        self.record.look_at_disks();
        let mut segments = 0;
        self.sim
            .links(|links| segments = links.map(Iterator::count).sum());
        self.record.note(
            Place::Everybody,
            format_args!("{segments} segments under way"),
        );
    }

    fn with_nodes<R>(&self, look: impl FnOnce(&[(usize, &Parts<Peers>)]) -> R) -> R {
        let running: Vec<(usize, Arc<Node>)> = self
            .cells
            .iter()
            .enumerate()
            .filter_map(|(place, cell)| Some((place, cell.node()?)))
            .collect();
        let nodes: Vec<(usize, &Parts<Peers>)> = running
            .iter()
            .map(|(place, node)| (*place, node.parts()))
            .collect();
        look(&nodes)
    }
}

/// The name of the host that all clients run on.
const CLIENTS: &str = "clients";
const TICK: Duration = Duration::from_millis(1);
/// How long a segment is under way at most when all is well.
const LATENCY: Duration = Duration::from_millis(10);
/// How likely a message gets through a link that a loss has broken, and mends it.
const REPAIR_RATE: f64 = 0.1;
/// Segments of a connection under way at once; more than any burst of the nodes has.
const SEGMENTS_MAX: usize = 4_096;
const FORMING_MAX: Duration = Duration::from_secs(120);
/// Turmoil sends nothing again: a connection that lost a segment is dead until the keep-alive of the nodes says so.
const DEAD_CONNECTIONS: Duration = Duration::from_secs(5);
const GAUGING: Duration = Duration::from_millis(250);
/// Far beyond any run.
const LONGEST: Duration = Duration::from_secs(24 * 3_600);
