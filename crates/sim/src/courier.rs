//! Carrying one request through the network, and its answer back.

use std::sync::Arc;

use dynamokv::Parts;
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::network::Place;
use crate::transport::Wires;
use crate::world::World;

/// Why no answer came. A message that was lost gives no failure, but silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// Nobody listens there: the request was not carried out.
    #[error("no connection")]
    NotSent,
    /// The other side went down meanwhile: nobody knows.
    #[error("connection reset")]
    Cut,
}

/// Carries a request to the node at an address, has it served there, and carries the answer back. Goes on when the
/// caller does not wait any more; never completes where a message is lost. One that is `repeatable` may arrive twice.
///
/// # Errors
/// See [`Failure`].
pub(crate) async fn carry<R, F>(
    world: &Arc<World>,
    from: Place,
    to: (usize, u64),
    what: String,
    repeatable: bool,
    serve: impl Fn(Arc<Parts<Wires>>) -> F + Send + Sync + 'static,
) -> Result<R, Failure>
where
    R: Send + 'static,
    F: Future<Output = R> + Send,
{
    let (place, _) = to;
    let fate = world.fate(from, Place::Node(place));
    let Some(arrives) = fate.arrives else {
        world.note(from, format_args!("-> n{place} {what}: lost"));
        return std::future::pending().await;
    };
    world.note(from, format_args!("-> n{place} {what}: takes {arrives:?}"));
    let (answer, answered) = oneshot::channel();
    let world = Arc::clone(world);
    tokio::spawn(async move {
        sleep(arrives).await;
        let served = visit(&world, to, &serve).await;
        // A second copy of the request finds that the first was served.
        let again = fate.again.filter(|_| repeatable);
        match served {
            Ok(reply) => {
                world.note(Place::Node(place), format_args!("answers {from} {what}"));
                return_to(&world, place, from, Ok(reply), answer).await;
            }
            Err(failure) => {
                world.note(
                    Place::Node(place),
                    format_args!("{failure} for {from} {what}"),
                );
                return_to(&world, place, from, Err(failure), answer).await;
            }
        }
        if let Some(again) = again {
            sleep(again).await;
            world.note(
                Place::Node(place),
                format_args!("once more from {from}: {what}"),
            );
            // Nobody waits for this answer.
            let _ = visit(&world, to, &serve).await;
        }
    });
    match answered.await {
        Ok(reply) => reply,
        // The answer was lost.
        Err(_) => std::future::pending().await,
    }
}

/// Serves a request at its destination, unless or until the node there is down.
async fn visit<R, F>(
    world: &World,
    (place, life): (usize, u64),
    serve: &impl Fn(Arc<Parts<Wires>>) -> F,
) -> Result<R, Failure>
where
    F: Future<Output = R>,
{
    let Some((parts, down)) = world.host(place, |host| host.answers(life)) else {
        return Err(Failure::NotSent);
    };
    tokio::select! {
        biased;
        () = down.wait() => Err(Failure::Cut),
        reply = serve(parts) => Ok(reply),
    }
}

async fn return_to<R>(
    world: &World,
    place: usize,
    to: Place,
    reply: Result<R, Failure>,
    answer: oneshot::Sender<Result<R, Failure>>,
) {
    match world.fate(Place::Node(place), to).arrives {
        Some(arrives) => {
            sleep(arrives).await;
            // Whoever asked may have stopped waiting.
            let _ = answer.send(reply);
        }
        None => world.note(Place::Node(place), format_args!("-> {to} answer: lost")),
    }
}
