//! Small worlds, all of them. Every step is compared with the full history inside [`World::step`].

use dynamokv_vclock::CausalContext;

use crate::world::{Step, World};

/// Two replicas, four writes at either with any context in reach, deltas arriving in between in
/// every possible order.
#[test]
fn two_replicas_four_writes_every_interleaving() {
    assert_eq!(explore(&World::new(2), 4), 58_560);
}

/// The same with three replicas and three writes.
#[test]
fn three_replicas_three_writes_every_interleaving() {
    assert_eq!(explore(&World::new(3), 3), 403_920);
}

/// Three replicas, three writes: every choice of replicas and contexts, then every order of deltas
/// and of whole states.
#[test]
fn three_replicas_three_writes_every_order_of_arrival() {
    let mut worlds = vec![World::new(3)];
    for _ in 0..3 {
        worlds = worlds.iter().flat_map(writes).collect();
    }
    for world in &worlds {
        for order in ORDERS_OF_THREE {
            world.history().check(&world.deltas_joined(order));
            world.history().check(&world.replicas_joined(order));
        }
    }
    assert_eq!(worlds.len(), 171);
}

/// Takes every next step from here, down to worlds in which all is written and has arrived; returns
/// their number.
fn explore(world: &World, writes_left: usize) -> usize {
    let mut next = deliveries(world);
    let mut complete: usize = next.iter().map(|world| explore(world, writes_left)).sum();
    if writes_left > 0 {
        next = writes(world);
        complete += next
            .iter()
            .map(|world| explore(world, writes_left - 1))
            .sum::<usize>();
    }
    if !next.is_empty() {
        return complete;
    }
    let mut states = world.replicas.iter().map(|replica| &replica.state);
    let first = states.next();
    assert!(
        states.all(|state| Some(state) == first),
        "all has arrived: the replicas agree"
    );
    1
}

/// A put at each replica, with every context that a client may hold by now.
fn writes(world: &World) -> Vec<World> {
    let contexts = 0..world.contexts.len();
    let puts = contexts.flat_map(|context| {
        (0..world.replicas.len()).map(move |replica| Step::Write { replica, context })
    });
    puts.map(|step| after(world, step)).collect()
}

/// Each delta that has not arrived yet, at each replica that lacks it.
fn deliveries(world: &World) -> Vec<World> {
    let pairs = (0..world.writes.len())
        .flat_map(|write| (0..world.replicas.len()).map(move |replica| (write, replica)));
    let open = pairs.filter(|(write, replica)| {
        !world.replicas[*replica]
            .history
            .contains(&world.writes[*write].dot)
    });
    open.map(|(write, replica)| after(world, Step::Deliver { write, replica }))
        .collect()
}

/// One step on. Clients hold what any replica ever showed and what any reply contained, each
/// context once.
fn after(world: &World, step: Step) -> World {
    let mut after = world.clone();
    after.step(step);
    for replica in 0..after.replicas.len() {
        after.step(Step::Read { replica });
    }
    let mut distinct: Vec<CausalContext> = Vec::new();
    for context in after.contexts {
        if !distinct.contains(&context) {
            distinct.push(context);
        }
    }
    World {
        contexts: distinct,
        ..after
    }
}

const ORDERS_OF_THREE: [[usize; 3]; 6] = [
    [0, 1, 2],
    [0, 2, 1],
    [1, 0, 2],
    [1, 2, 0],
    [2, 0, 1],
    [2, 1, 0],
];
