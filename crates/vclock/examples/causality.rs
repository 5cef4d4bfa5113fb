//! The pictures of `docs/causality.md`, played with the real thing:
//! `cargo run -p dynamokv-vclock --example causality`

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt::{self, Display, Write};

use dynamokv_vclock::{CausalContext, Dot, Epoch, Siblings, VersionVector, issue};

fn main() -> fmt::Result {
    for (title, picture) in pictures()? {
        println!("== {title}\n\n{picture}");
    }
    Ok(())
}

/// Each picture with its title, in the order of the page.
pub(crate) fn pictures() -> Result<Vec<(&'static str, String)>, fmt::Error> {
    Ok(vec![
        ("An entry a server: a write is lost", lost_write()?),
        ("An entry a client: the clock grows", growing_clock()?),
        (
            "An entry a server, cautiously: siblings explode",
            explosion()?,
        ),
        ("Dots: each value under its own name", dots()?),
        ("Deltas: any order, gaps, repetition", deltas()?),
        (
            "A forgetful node without epochs",
            forgetful_without_epochs()?,
        ),
        ("A forgetful node with epochs", forgetful_with_epochs()?),
    ])
}

/// Two clients have seen nothing; the server counts both writes in its own entry.
fn lost_write() -> Result<String, fmt::Error> {
    let mut out = String::new();
    let mut server = VersionVector::new();
    let mut clocks = Vec::new();
    for (client, value) in [("ann", "milk"), ("bob", "eggs")] {
        server.increment(1_u64);
        clocks.push(server.clone());
        writeln!(
            out,
            "{client} has seen {{}}, puts {value:?}; node 1 stamps it {server}"
        )?;
    }
    let verdict = if clocks[0] < clocks[1] {
        "before"
    } else {
        "concurrent with"
    };
    writeln!(
        out,
        "{} is {verdict} {}: \"milk\" is dropped as older, though bob never saw it",
        clocks[0], clocks[1],
    )?;
    Ok(out)
}

/// Every client has an entry of its own: nothing is lost, and nothing is ever let go.
fn growing_clock() -> Result<String, fmt::Error> {
    let mut out = String::from("clients   entries a client each   entries by dots (3 nodes)\n");
    for clients in [10_u64, 100, 1_000] {
        let (mut by_client, mut by_node) = (VersionVector::new(), VersionVector::new());
        for client in 0..clients {
            by_client.increment(client);
            by_node.increment(client % 3);
        }
        let size = |clock: &VersionVector<u64>| {
            let mut bytes = Vec::new();
            clock.encode(&mut bytes);
            format!("{:>5} = {:>4} bytes", clock.len(), bytes.len())
        };
        let (grown, small) = (size(&by_client), size(&by_node));
        writeln!(out, "{clients:>7}   {grown:>21}   {small:>25}")?;
    }
    Ok(out)
}

/// Two clients take turns, each passing the context of its own last reply. A server that stamps
/// the whole set of siblings with one clock cannot tell which of them a client has seen.
fn explosion() -> Result<String, fmt::Error> {
    let mut out =
        String::from("puts   siblings under one clock                   siblings under dots\n");
    let (mut clock, mut stamped) = (VersionVector::<u64>::new(), 0);
    let mut dotted = Siblings::<usize, u64>::new();
    let mut seen = [VersionVector::new(), VersionVector::new()];
    let mut contexts = [CausalContext::new(), CausalContext::new()];
    for put in 1..=32 {
        let client = put % 2;
        // One clock: either all siblings were seen, or all must stay.
        stamped = if seen[client] >= clock {
            1
        } else {
            stamped + 1
        };
        clock.increment(1);
        seen[client] = clock.clone();
        // Dots: what the client has seen goes, whatever else is there.
        let Some(dot) = dotted.context().vector().next_dot(1) else {
            break;
        };
        let delta = Siblings::delta(dot, put, &contexts[client]);
        contexts[client] = delta.context().clone();
        dotted.join(delta);
        if usize::is_power_of_two(put) {
            let bar = |length| "#".repeat(length);
            writeln!(
                out,
                "{put:>4}   {stamped:>2} {:<38} {:>2} {}",
                bar(stamped),
                dotted.len(),
                bar(dotted.len()),
            )?;
        }
    }
    Ok(out)
}

/// The lost write again, and a write that has seen one of two siblings.
fn dots() -> Result<String, fmt::Error> {
    let mut out = String::new();
    let mut node = Siblings::<&str, u64>::new();
    let mut put = |client, value, seen: &CausalContext<u64>| {
        let dot = Dot::new(1, node.context().vector().get(&1) + 1);
        let delta = Siblings::delta(dot, value, seen);
        node.join_ref(&delta);
        writeln!(
            out,
            "{client} has seen {seen}, puts {value:?}; node 1 names it {dot}"
        )?;
        writeln!(out, "    node 1 holds {}", shown(&node))?;
        Ok::<_, fmt::Error>(delta.context().clone())
    };
    let anns = put("ann", "milk", &CausalContext::new())?;
    put("bob", "eggs", &CausalContext::new())?;
    put("ann", "milk, tea", &anns)?;
    Ok(out)
}

/// The writes of the last picture as deltas, on their way to another node.
fn deltas() -> Result<String, fmt::Error> {
    let mut out = String::new();
    let nothing = CausalContext::new();
    let milk = Siblings::delta(Dot::new(1_u64, 1), "milk", &nothing);
    let eggs = Siblings::delta(Dot::new(1, 2), "eggs", &nothing);
    let tea = Siblings::delta(Dot::new(1, 3), "milk, tea", milk.context());
    let mut node = Siblings::new();
    for (how, delta) in [
        ("first", &tea),
        ("then", &eggs),
        ("again", &eggs),
        ("late", &milk),
    ] {
        let changed = if node.join_ref(delta) {
            ""
        } else {
            " (nothing new)"
        };
        writeln!(out, "{how:>5} {}", shown(delta))?;
        writeln!(out, "      node 2 holds {}{changed}", shown(&node))?;
    }
    Ok(out)
}

/// A dot leaves the node, which crashes before its disk has it, and counts from 1 again.
fn forgetful_without_epochs() -> Result<String, fmt::Error> {
    let mut out = String::new();
    let nothing = CausalContext::new();
    let first = Siblings::delta(Dot::new(1_u64, 1), "milk", &nothing);
    let mut other = first.clone();
    writeln!(
        out,
        "node 1 names \"milk\" 1@1; node 2 holds {}",
        shown(&other)
    )?;
    writeln!(out, "node 1 crashes, forgets, and starts again")?;
    let second = Siblings::delta(Dot::new(1, 1), "eggs", &nothing);
    let taken = if other.join_ref(&second) {
        "takes"
    } else {
        "refuses"
    };
    writeln!(
        out,
        "node 1 names \"eggs\" 1@1; node 2 {taken} it: it knows 1@1"
    )?;
    writeln!(out, "node 1 holds {}", shown(&second))?;
    writeln!(out, "node 2 holds {}: they never agree", shown(&other))?;
    Ok(out)
}

/// The same, with a fresh epoch whenever a node has no position for the key.
fn forgetful_with_epochs() -> Result<String, fmt::Error> {
    let mut out = String::new();
    let nothing = CausalContext::new();
    // Epochs come from a counter that is durable before they are used.
    let mut epochs = (1..).map(Epoch);
    let mut fresh = || Ok::<_, Infallible>(epochs.next().unwrap_or_default());
    let Ok((dot, _)) = issue(1, None, &nothing, &nothing, &mut fresh);
    let first = Siblings::delta(dot, "milk", &nothing);
    let mut other = first.clone();
    writeln!(
        out,
        "node 1 names \"milk\" {}; node 2 holds it",
        short(&dot)
    )?;
    writeln!(out, "node 1 crashes, forgets, and starts again")?;
    let Ok((dot, _)) = issue(1, None, &nothing, &nothing, &mut fresh);
    let second = Siblings::delta(dot, "eggs", &nothing);
    writeln!(out, "node 1 names \"eggs\" {}: another name", short(&dot))?;
    other.join_ref(&second);
    let mut node = second;
    node.join(first);
    let held: BTreeSet<String> = [&node, &other]
        .map(|state| {
            let values = state
                .values()
                .map(|(dot, value)| format!("{} {value:?}", short(dot)));
            values.collect::<Vec<_>>().join(", ")
        })
        .into();
    for held in held {
        writeln!(out, "both nodes hold {held}")?;
    }
    Ok(out)
}

/// The living values under their dots, and the context.
fn shown(state: &Siblings<&str, u64>) -> String {
    let values = state
        .values()
        .map(|(dot, value)| format!("{dot} {value:?}"));
    let values = values.collect::<Vec<_>>().join(", ");
    format!("{values}, context {}", state.context())
}

/// A dot with its node and epoch in few digits.
fn short(dot: &Dot) -> impl Display {
    format!("{}.{}@{}", dot.actor.node, dot.actor.epoch, dot.counter)
}
