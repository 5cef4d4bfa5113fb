//! This crate's machine.

use std::time::Instant;

use dynamokv_gossip::{Config, Event, Gossip, LocalNode, Message, Outgoing, Status};
use dynamokv_ring::NodeId;

use crate::protocol::{Place, Protocol, Sent, Start, Verdict};

pub struct Ours {
    gossip: Gossip,
    wakes_at: Instant,
}

impl Protocol for Ours {
    type Message = Message;
    const NAME: &'static str = "dynamokv-gossip";

    fn start(start: Start) -> Self {
        let id = id_of(start.place);
        let local = LocalNode::new(id, start.generation, address_of(start.place));
        let config = Config::new("simulated").with_interval(start.interval);
        let seeds = start.seeds.iter().map(|seed| address_of(*seed)).collect();
        let gossip = Gossip::new(config, local, seeds, start.random_seed, start.now);
        Ours {
            gossip: gossip.expect("the settings are within their limits"),
            wakes_at: start.now,
        }
    }

    fn wakes_at(&self) -> Instant {
        self.wakes_at
    }

    fn wake(&mut self, now: Instant, out: &mut Vec<Sent<Message>>) {
        self.wakes_at = now + self.gossip.next_interval();
        let sent = self.gossip.tick(now);
        pass_on(sent, out);
        self.pass_on_further(out);
    }

    fn receive(
        &mut self,
        now: Instant,
        from: Place,
        message: Message,
        out: &mut Vec<Sent<Message>>,
    ) {
        if let Ok(Some(message)) = self.gossip.handle(now, message) {
            out.push(Sent { to: from, message });
        }
        self.pass_on_further(out);
    }

    fn bytes(message: &Message) -> usize {
        message.encoded_len()
    }

    fn write(&mut self, value: u64, now: Instant, out: &mut Vec<Sent<Message>>) {
        let said = self.gossip.set_kv(FACT, value.to_string());
        said.expect("a short fact");
        let sent = self.gossip.spread(now);
        pass_on(sent, out);
    }

    fn reads(&self, of: Place) -> Option<u64> {
        self.gossip.kv(id_of(of), FACT)?.parse().ok()
    }

    fn leave(&mut self, now: Instant, out: &mut Vec<Sent<Message>>) {
        let left = self.gossip.set_status(Status::Left);
        left.expect("a joining node may leave");
        let sent = self.gossip.spread(now);
        pass_on(sent, out);
    }

    fn knows(&self, of: Place) -> bool {
        self.gossip.member(id_of(of)).is_some()
    }

    fn takes_for_live(&self, of: Place) -> bool {
        self.gossip.is_live(id_of(of))
    }

    fn verdicts(&mut self) -> Vec<Verdict> {
        std::iter::from_fn(|| self.gossip.poll_event())
            .filter_map(|event| match event {
                Event::Up(id) => Some((id, false)),
                Event::Down(id) => Some((id, true)),
                _ => None,
            })
            .filter_map(|(id, down)| {
                Some(Verdict {
                    about: place_of(id)?,
                    down,
                })
            })
            .collect()
    }
}

impl Ours {
    fn pass_on_further(&mut self, out: &mut Vec<Sent<Message>>) {
        pass_on(std::iter::from_fn(|| self.gossip.poll_outgoing()), out);
    }
}

fn pass_on(sent: impl IntoIterator<Item = Outgoing>, out: &mut Vec<Sent<Message>>) {
    out.extend(sent.into_iter().filter_map(|outgoing| {
        let to = place_at(&outgoing.to)?;
        Some(Sent {
            to,
            message: outgoing.message,
        })
    }));
}

/// Ids are as long as random ones, but their places can be read from them.
fn id_of(place: Place) -> NodeId {
    NodeId((place as u64 + 1).wrapping_mul(SPREAD))
}

fn place_of(id: NodeId) -> Option<Place> {
    let place = id.0.wrapping_mul(SPREAD_INVERSE).wrapping_sub(1);
    usize::try_from(place).ok()
}

fn address_of(place: Place) -> String {
    format!(
        "10.{}.{}.{}:7000",
        place >> 16,
        place >> 8 & 255,
        place & 255
    )
}

fn place_at(address: &str) -> Option<Place> {
    let (host, _) = address.split_once(':')?;
    let mut place = 0;
    for byte in host.split('.').skip(1) {
        place = place << 8 | byte.parse::<usize>().ok()?;
    }
    Some(place)
}

const FACT: &str = "fact";
/// Odd, so that it has an inverse.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;
const SPREAD_INVERSE: u64 = inverse(SPREAD);

/// Newton's iteration: each step doubles the bits that are right.
const fn inverse(odd: u64) -> u64 {
    let mut inverse = odd;
    let mut step = 0;
    while step < 6 {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(inverse)));
        step += 1;
    }
    inverse
}
