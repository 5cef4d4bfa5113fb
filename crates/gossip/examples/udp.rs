//! Three nodes that find each other over UDP, share a fact, and say goodbye: `cargo run -p dynamokv-gossip --example udp`.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dynamokv_gossip::{
    Config, Gossip, GossipHandle, GossipTransport, LocalNode, Message, Seen, TransportError, spawn,
};
use dynamokv_ring::NodeId;
use tokio::net::UdpSocket;

struct Udp(Arc<UdpSocket>);

impl GossipTransport for Udp {
    async fn exchange(
        &self,
        to: &str,
        message: Message,
    ) -> Result<Option<Message>, TransportError> {
        // The answer, if it comes, is a datagram of its own.
        let sent = self.0.send_to(&message.encode(), to).await;
        sent.map(|_| None).map_err(|error| {
            let reason = error.to_string();
            TransportError::Unreachable { reason }
        })
    }
}

async fn start(id: u64, seeds: Vec<String>) -> Result<(GossipHandle, String), Box<dyn Error>> {
    let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await?);
    let address = socket.local_addr()?.to_string();
    let local = LocalNode::new(NodeId(id), 1, &address);
    let config = Config {
        // What a datagram holds.
        max_message_bytes: 60_000,
        ..Config::new("example").with_interval(Duration::from_millis(100))
    };
    let gossip = Gossip::new(config, local, seeds, id, Instant::now())?;
    let (handle, _loop) = spawn(gossip, Arc::new(Udp(Arc::clone(&socket))));
    let receiver = handle.clone();
    tokio::spawn(async move {
        let mut datagram = vec![0; 65_536];
        while let Ok((length, from)) = socket.recv_from(&mut datagram).await {
            let message = Message::decode(datagram.get(..length).unwrap_or_default());
            if let Ok(Some(answer)) = message.and_then(|message| receiver.receive(message)) {
                // A lost answer is no different from a lost question.
                let _ = socket.send_to(&answer.encode(), from).await;
            }
        }
    });
    Ok((handle, address))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (one, address) = start(1, vec![]).await?;
    let (two, _) = start(2, vec![address.clone()]).await?;
    let (three, _) = start(3, vec![address]).await?;

    let mut view = three.snapshots();
    view.wait_for(|view| view.members.values().filter(|seen| seen.live).count() == 3)
        .await?;
    println!("three nodes see each other");

    one.with(|gossip| gossip.set_kv("colour", "red"))?;
    one.kick();
    let colour = |seen: &Seen| seen.state.value("colour") == Some("red");
    view.wait_for(|view| view.members.get(&NodeId(1)).is_some_and(colour))
        .await?;
    println!("node 3 knows that node 1 is red");

    two.stop().await;
    view.wait_for(|view| view.members.get(&NodeId(2)).is_some_and(|seen| !seen.live))
        .await?;
    println!("node 3 knows that node 2 has stopped");
    Ok(())
}
