//! Draws how nodes go through membership changes: `cargo run -p dynamokv-sim --profile sim --example stages > docs/membership-changes.svg`.
//!
//! Four nodes in the simulator; a fifth joins, the second gets twice the weight, the third dies and is replaced, the fourth
//! leaves. The picture has a lane for each place and a bar for each stage.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dynamokv::gossip::Stage;
use dynamokv::ring::NodeId;
use dynamokv::rpc::pb::kv_server::Kv as _;
use dynamokv::rpc::pb::{LeaveRequest, PutRequest, SetPlaceRequest};
use dynamokv::rpc::{AdminService, KvHandler, ServerConfig};
use dynamokv_sim::{Plan, World};
use tokio::time::{sleep, timeout};
use tonic::Request;

/// A stretch of time that a node spent at a stage of a change; `None` is no change.
struct Bar {
    place: usize,
    from: Duration,
    to: Duration,
    at: Option<(u64, Option<Stage>)>,
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime of one thread");
    runtime.block_on(async {
        let mut plan = Plan::new(SEED, 0);
        plan.faults.clear();
        (plan.nodes, plan.spare, plan.partitions) = (4, 1, 64);
        let world = World::new(plan, false);
        let (mut bars, mut events) = (Vec::new(), Vec::new());
        tokio::select! {
            biased;
            () = play(&world, &mut events) => {}
            () = watch(&world, &mut bars) => {}
        }
        world.end();
        println!("{}", draw(&bars, &events));
    });
}

/// The story. Each event is noted with its time.
async fn play(world: &Arc<World>, events: &mut Vec<(Duration, &'static str)>) {
    for place in 0..4 {
        world.start(place).unwrap();
    }
    rest(world).await;
    fill(world).await;
    events.push((world.now(), "n4 joins"));
    newcomer(world, 4, None);
    rest(world).await;

    events.push((world.now(), "n1 gets twice the weight"));
    let place = SetPlaceRequest {
        weight: Some(200),
        zone: None,
    };
    parts(world, 1).service().set_place(place).await.unwrap();
    rest(world).await;

    events.push((world.now(), "n2 dies"));
    let dead = parts(world, 2).id();
    world.crash(2, 0);
    sleep(Duration::from_secs(1)).await;
    events.push((world.now(), "a new n2 takes its place"));
    newcomer(world, 2, Some(dead));
    rest(world).await;

    events.push((world.now(), "n3 leaves"));
    parts(world, 3)
        .service()
        .leave(LeaveRequest {})
        .await
        .unwrap();
    parts(world, 3).ended().await;
    events.push((world.now(), "n3 has left"));
    world.crash(3, 0);
    world.host(3, |host| host.vacate());
    rest(world).await;
    sleep(Duration::from_millis(500)).await;
}

fn newcomer(world: &Arc<World>, place: usize, replaces: Option<NodeId>) {
    let seeds = vec![world.host(0, |host| host.address(0))];
    world.host(place, |host| host.replace_disk(seeds, replaces));
    world.start(place).unwrap();
}

fn parts(world: &World, place: usize) -> Arc<dynamokv::Parts<dynamokv_sim::Wires>> {
    world.host(place, |host| host.parts().cloned().unwrap())
}

async fn fill(world: &World) {
    let kv = KvHandler::new(parts(world, 0).service(), &ServerConfig::default());
    for number in 0..OBJECTS {
        let request = PutRequest {
            key: Bytes::from(format!("k{number}")),
            value: vec![b'.'; VALUE_BYTES].into(),
            ..PutRequest::default()
        };
        kv.put(Request::new(request)).await.unwrap();
    }
}

async fn rest(world: &World) {
    let rested = async {
        while world.at_rest().is_err() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(120), rested)
        .await
        .unwrap_or_else(|_| panic!("no rest: {:?}", world.at_rest()));
    sleep(Duration::from_millis(500)).await;
}

/// Looks at everybody's stage all the time; never completes.
async fn watch(world: &World, bars: &mut Vec<Bar>) {
    loop {
        let now = world.now();
        for place in world.running() {
            let at = parts(world, place).gossip().with(|gossip| {
                let open = gossip.open_change()?.id();
                let mark = gossip.local().stage_mark();
                Some((open.number, mark.and_then(|mark| mark.stage_of(open))))
            });
            let last = bars
                .iter_mut()
                .rev()
                .find(|bar: &&mut Bar| bar.place == place);
            match last.filter(|bar| bar.at == at && now - bar.to <= 2 * LOOK) {
                Some(bar) => bar.to = now,
                None => bars.push(Bar {
                    place,
                    from: now,
                    to: now + LOOK,
                    at,
                }),
            }
        }
        sleep(LOOK).await;
    }
}

fn draw(bars: &[Bar], events: &[(Duration, &str)]) -> String {
    let begin = events.first().map_or(Duration::ZERO, |(at, _)| *at) - Duration::from_millis(300);
    let end = bars.iter().map(|bar| bar.to).max().unwrap_or_default();
    let x = |at: Duration| LEFT + at.saturating_sub(begin).as_secs_f64() * PIXELS_PER_SECOND;
    let (width, height) = (x(end) + 20.0, LANES_TOP + 5.0 * LANE + 60.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for place in 0..5 {
        let y = LANES_TOP + LANE * place as f64 + LANE / 2.0;
        let _ = writeln!(svg, "<text x=\"12\" y=\"{y:.0}\">n{place}</text>");
    }
    for bar in bars.iter().filter(|bar| bar.to >= begin) {
        let (from, to) = (x(bar.from), x(bar.to));
        let y = LANES_TOP + LANE * bar.place as f64;
        let (fill, title) = match bar.at {
            None => ("#e8e8e8", "no change is open".to_owned()),
            Some((number, stage)) => {
                let name = stage.map_or("knows of it".to_owned(), |stage| stage.to_string());
                (colour(stage), format!("change {number}: {name}"))
            }
        };
        let _ = writeln!(
            svg,
            "<rect x=\"{from:.1}\" y=\"{y:.0}\" width=\"{:.1}\" height=\"{:.0}\" fill=\"{fill}\"><title>n{} {title}</title></rect>",
            to - from,
            LANE - 8.0,
            bar.place,
        );
    }
    for (row, (at, what)) in events.iter().enumerate() {
        let (at, y) = (x(*at), 16.0 + 15.0 * (row % 3) as f64);
        let bottom = LANES_TOP + 5.0 * LANE;
        let _ = writeln!(
            svg,
            "<line x1=\"{at:.1}\" y1=\"{y:.0}\" x2=\"{at:.1}\" y2=\"{bottom:.0}\" stroke=\"#888\" stroke-dasharray=\"2 3\"/>\
             <text x=\"{:.1}\" y=\"{y:.0}\">{what}</text>",
            at + 4.0,
        );
    }
    let axis = LANES_TOP + 5.0 * LANE + 14.0;
    for second in 0..=(end - begin).as_secs() {
        let at = LEFT + second as f64 * PIXELS_PER_SECOND;
        let _ = writeln!(
            svg,
            "<text x=\"{at:.0}\" y=\"{axis:.0}\" fill=\"#555\">{second} s</text>"
        );
    }
    for (nth, stage) in std::iter::once(None)
        .chain(Stage::ALL.map(Some))
        .enumerate()
    {
        let (at, y) = (LEFT + 110.0 * nth as f64, axis + 14.0);
        let name = stage.map_or("knows of it".to_owned(), |stage| stage.to_string());
        let _ = writeln!(
            svg,
            "<rect x=\"{at:.0}\" y=\"{y:.0}\" width=\"14\" height=\"14\" fill=\"{}\"/><text x=\"{:.0}\" y=\"{:.0}\">{name}</text>",
            colour(stage),
            at + 18.0,
            y + 12.0,
        );
    }
    svg + "</svg>"
}

fn colour(stage: Option<Stage>) -> &'static str {
    match stage {
        None => "#bdbdbd",
        Some(Stage::Announced) => "#9ecae1",
        Some(Stage::Double) => "#f16913",
        Some(Stage::Streamed) => "#fdae6b",
        Some(Stage::ReadNew) => "#74c476",
        Some(Stage::SingleNew) => "#238b45",
        Some(Stage::Finished) => "#00441b",
    }
}

const SEED: u64 = 1;
const OBJECTS: usize = 600;
const VALUE_BYTES: usize = 2_000;
const LOOK: Duration = Duration::from_millis(10);
const LEFT: f64 = 40.0;
const LANES_TOP: f64 = 60.0;
const LANE: f64 = 34.0;
const PIXELS_PER_SECOND: f64 = 120.0;
