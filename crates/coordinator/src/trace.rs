//! The name of a client's request, by which the logs of all nodes that it touched are found.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

/// The name of a client's request: 1..=64 visible ASCII characters.
///
/// It goes with the task that serves the request, not with the messages of the operations: [`scope`](Self::scope) says which
/// request a future serves, [`current`](Self::current) asks, and what an operation does in the background still has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

tokio::task_local! {
    static CURRENT: Option<RequestId>;
}

impl RequestId {
    /// Reads a name that came from outside; `None` if it is too long or has characters that do not belong into logs.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=LENGTH_MAX).contains(&text.len());
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic());
        (fits && plain).then(|| Self(text.into()))
    }

    /// A name made of a number that was drawn at random.
    pub fn from_random(number: u64) -> Self {
        Self(format!("{number:016x}").into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The request that the running task serves; `None` if it serves none.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok().flatten()
    }

    /// Runs `work` as a part of serving this request.
    pub async fn scope<F: Future>(self, work: F) -> F::Output {
        CURRENT.scope(Some(self), work).await
    }

    /// `work` as a part of what the running task serves, for a task of its own.
    pub(crate) fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(Self::current(), work)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

const LENGTH_MAX: usize = 64;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn only_plain_names_are_taken() {
        for text in ["", " ", "a b", "a\n", "\u{e9}", &"x".repeat(65)] {
            assert_eq!(RequestId::parse(text), None, "{text:?}");
        }
        for text in ["a", "cart-7/retry", &"x".repeat(64)] {
            assert_eq!(RequestId::parse(text).unwrap().as_str(), text);
        }
        let drawn = RequestId::from_random(10);
        assert_eq!(RequestId::parse(drawn.as_str()), Some(drawn));
    }

    #[tokio::test]
    async fn a_task_of_its_own_serves_the_same_request() {
        let id = RequestId::from_random(7);
        assert_eq!(RequestId::current(), None);
        let seen = id.clone().scope(async {
            let carried = tokio::spawn(RequestId::carried(async { RequestId::current() }));
            let forgotten = tokio::spawn(async { RequestId::current() });
            (carried.await.unwrap(), forgotten.await.unwrap())
        });
        assert_eq!(seen.await, (Some(id), None));
        assert_eq!(RequestId::current(), None);
    }
}
