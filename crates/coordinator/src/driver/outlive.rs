//! Operations that go on after their answer, or after whoever asked is gone.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::RecvError;
use tracing::Instrument;

use crate::RequestId;

/// Runs `work` within the caller's task until it has answered. What is left of it then, or when the caller goes away, gets a task of
/// its own: an operation that ends with its answer never needs one.
pub(super) async fn until_answered<R>(
    work: BoxFuture<'static, ()>,
    mut answer: oneshot::Receiver<R>,
) -> Result<R, RecvError> {
    let mut work = Outliving(Some(work));
    tokio::select! {
        biased;
        () = &mut work => answer.await,
        answer = &mut answer => answer,
    }
}

/// Work that goes on in the background when it is dropped before its end.
struct Outliving(Option<BoxFuture<'static, ()>>);

impl Future for Outliving {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(work) = &mut self.0 else {
            return Poll::Ready(());
        };
        let ended = work.as_mut().poll(context);
        if ended.is_ready() {
            self.0 = None;
        }
        ended
    }
}

impl Drop for Outliving {
    fn drop(&mut self) {
        // A runtime that has ended runs nothing any more.
        if let Some(work) = self.0.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(RequestId::carried(work.in_current_span()));
        }
    }
}
