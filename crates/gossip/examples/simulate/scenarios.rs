//! What is measured: each scenario makes a cluster of its own, lets it come to rest, and does one thing to it.

use std::time::Duration;

use crate::protocol::{Place, Protocol};
use crate::world::{Counts, Network, World};

/// The size and the seed of a run, and how much of it.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    pub nodes: usize,
    pub seed: u64,
    /// Times that a scenario of one event is repeated, in one cluster.
    pub repeats: usize,
    /// Virtual time in which false accusations are counted.
    pub watch: Duration,
}

/// How far something has come, over time.
#[derive(Clone, Debug, Default)]
pub struct Curve {
    /// Seconds, and the fraction of the nodes that it has reached by then.
    pub points: Vec<(f64, f64)>,
    /// Seconds until half, 99 % and all of the nodes; none if that took too long.
    pub half: Option<f64>,
    pub most: Option<f64>,
    pub all: Option<f64>,
}

/// False accusations.
#[derive(Clone, Copy, Debug)]
pub struct Accused {
    pub node_hours: f64,
    pub counts: Counts,
}

/// A fact that one node says anew: the slowest of the repeats.
pub fn fact<P: Protocol>(scale: Scale, loss_per_mille: u64) -> Curve {
    let mut world = at_rest::<P>(scale, loss_per_mille);
    let curves = (0..scale.repeats).map(|repeat| {
        let writer = world.below(scale.nodes as u64) as Place;
        let value = repeat as u64 + 1;
        let phase = Duration::from_millis(world.below(1000));
        world.run(phase);
        world.with(writer, |node, now, out| node.write(value, now, out));
        follow(&mut world, |_, node| node.reads(writer) == Some(value))
    });
    slowest(curves.collect())
}

/// A further node: until the others know it.
pub fn join<P: Protocol>(scale: Scale) -> Curve {
    let mut world = at_rest::<P>(scale, 0);
    let curves = (0..scale.repeats).map(|_| {
        let newcomer = world.add(vec![0, 1, 2]);
        follow(&mut world, |_, node| node.takes_for_live(newcomer))
    });
    slowest(curves.collect())
}

/// A node that leaves: until the others know.
pub fn leave<P: Protocol>(scale: Scale) -> Curve {
    let mut world = at_rest::<P>(scale, 0);
    let curves = (0..scale.repeats).map(|repeat| {
        let leaver = scale.nodes - 1 - repeat;
        world.with(leaver, |node, now, out| node.leave(now, out));
        let curve = follow(&mut world, |place, node| {
            place == leaver || !node.knows(leaver)
        });
        // Its process ends; it would not hear of those that leave after it.
        world.crash(leaver);
        curve
    });
    slowest(curves.collect())
}

/// A node that dies: until the others take it for down.
pub fn crash<P: Protocol>(scale: Scale, loss_per_mille: u64) -> Curve {
    let mut world = at_rest::<P>(scale, loss_per_mille);
    let curves = (0..scale.repeats).map(|repeat| {
        let victim = scale.nodes - 1 - repeat;
        world.crash(victim);
        follow(&mut world, |_, node| !node.takes_for_live(victim))
    });
    slowest(curves.collect())
}

/// Two halves that do not hear each other for two minutes: until all know and trust all again.
pub fn partition<P: Protocol>(scale: Scale) -> Curve {
    let mut world = at_rest::<P>(scale, 0);
    for place in 0..scale.nodes / 2 {
        world.isolate(place, 1);
    }
    world.run(Duration::from_secs(60));
    let writer = 0;
    world.with(writer, |node, now, out| node.write(7, now, out));
    world.run(Duration::from_secs(60));
    for place in 0..scale.nodes / 2 {
        world.isolate(place, 0);
    }
    let nodes = scale.nodes;
    follow(&mut world, |_, node| {
        node.reads(writer) == Some(7) && (0..nodes).all(|place| node.takes_for_live(place))
    })
}

/// All nodes restart within ten seconds: until all know all of them again.
pub fn mass_restart<P: Protocol>(scale: Scale) -> Curve {
    let mut world = at_rest::<P>(scale, 0);
    let pause = Duration::from_secs(10) / scale.nodes as u32;
    for place in 0..scale.nodes {
        world.boot(place);
        world.run(pause);
    }
    let nodes = scale.nodes;
    follow(&mut world, |_, node| {
        (0..nodes).all(|place| node.takes_for_live(place))
    })
}

/// One node after another is down for three seconds and comes back: who else is accused meanwhile.
pub fn rolling_upgrade<P: Protocol>(scale: Scale) -> Accused {
    let mut world = at_rest::<P>(scale, 0);
    world.reset_counts();
    let before = world.elapsed();
    for place in 0..scale.nodes.min(UPGRADED_MAX) {
        world.crash(place);
        world.run(Duration::from_secs(3));
        world.boot(place);
        world.run(Duration::from_secs(1));
    }
    let time = world.elapsed() - before;
    accused(&world, time)
}

/// Nobody dies: who is accused all the same, and what all this costs.
pub fn calm<P: Protocol>(scale: Scale, loss_per_mille: u64) -> Accused {
    let mut world = at_rest::<P>(scale, loss_per_mille);
    world.run(SETTLE);
    world.reset_counts();
    world.run(scale.watch);
    accused(&world, scale.watch)
}

/// At any time about 5 % of the nodes stand still, for 1 to 20 seconds each.
pub fn paused<P: Protocol>(scale: Scale) -> Accused {
    let mut world = at_rest::<P>(scale, 0);
    world.reset_counts();
    let pauses_per_second = scale.nodes as f64 * 0.05 / 10.5;
    let seconds = scale.watch.as_secs();
    let mut owed = 0.0;
    for _ in 0..seconds {
        owed += pauses_per_second;
        while owed >= 1.0 {
            owed -= 1.0;
            let place = world.below(scale.nodes as u64) as Place;
            let time = Duration::from_millis(1_000 + world.below(19_001));
            world.pause(place, time);
        }
        world.run(Duration::from_secs(1));
    }
    accused(&world, scale.watch)
}

/// 5 % of the nodes are slow: each message from and to them takes two seconds longer.
pub fn slow<P: Protocol>(scale: Scale) -> Accused {
    let mut world = at_rest::<P>(scale, 0);
    for place in 0..scale.nodes.div_ceil(20) {
        world.slow_down(place, Duration::from_secs(2));
    }
    world.run(SETTLE);
    world.reset_counts();
    world.run(scale.watch);
    accused(&world, scale.watch)
}

fn at_rest<P: Protocol>(scale: Scale, loss_per_mille: u64) -> World<P> {
    let network = Network::losing(loss_per_mille);
    let mut world = World::<P>::of(scale.nodes, scale.seed, INTERVAL, network);
    let nodes = scale.nodes;
    let met = follow(&mut world, |_, node| {
        (0..nodes).all(|place| node.takes_for_live(place))
    });
    if met.all.is_none() {
        eprintln!(
            "{}: {nodes} nodes did not all meet in {FOLLOW_MAX:?}",
            P::NAME
        );
    }
    world.run(SETTLE);
    world
}

fn accused<P: Protocol>(world: &World<P>, time: Duration) -> Accused {
    let nodes = world.running().count() as f64;
    Accused {
        node_hours: nodes * time.as_secs_f64() / 3600.0,
        counts: world.counts(time),
    }
}

/// Runs until it holds on every running node, looking ten times a second.
fn follow<P: Protocol>(world: &mut World<P>, holds: impl Fn(Place, &P) -> bool) -> Curve {
    let start = world.elapsed();
    let mut curve = Curve::default();
    // Whoever was reached stays reached, so that nobody is asked again.
    let mut waiting: Vec<Place> = world.running().map(|(place, _)| place).collect();
    let total = waiting.len().max(1) as f64;
    while curve.all.is_none() && world.elapsed() - start < FOLLOW_MAX {
        waiting.retain(|place| world.node(*place).is_some_and(|node| !holds(*place, node)));
        let reached = 1.0 - waiting.len() as f64 / total;
        let seconds = (world.elapsed() - start).as_secs_f64();
        curve.points.push((seconds, reached));
        for (mark, fraction) in [
            (&mut curve.half, 0.5),
            (&mut curve.most, 0.99),
            (&mut curve.all, 1.0),
        ] {
            if reached >= fraction {
                mark.get_or_insert(seconds);
            }
        }
        world.run(LOOK_EVERY);
    }
    curve
}

fn slowest(curves: Vec<Curve>) -> Curve {
    let rank = |curve: &Curve| curve.all.unwrap_or(f64::INFINITY);
    let slowest = curves
        .into_iter()
        .max_by(|a, b| rank(a).total_cmp(&rank(b)));
    slowest.unwrap_or_default()
}

const INTERVAL: Duration = Duration::from_secs(1);
const SETTLE: Duration = Duration::from_secs(40);
const LOOK_EVERY: Duration = Duration::from_millis(100);
const FOLLOW_MAX: Duration = Duration::from_secs(180);
const UPGRADED_MAX: usize = 60;
