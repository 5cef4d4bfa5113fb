//! Read, merge, write: and again if somebody else wrote at the same time.

use bytes::Bytes;

use crate::operation::Pauses;
use crate::prepare::other_answer;
use crate::transport::Reply;
use crate::{Client, Context, Error, NewValue, Result, Transport, Value};

/// What an update did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Updated {
    /// What stands now; `None` if the merge left everything as it was.
    pub value: Option<NewValue>,
    /// What the update has seen and written: pass it on with the next write.
    pub context: Context,
    /// How often it was merged and written.
    pub rounds: u32,
}

impl<T: Transport> Client<T> {
    /// Reads a key and writes what `merge` makes of its values: none if the key does not exist, several where
    /// writes were concurrent. Where another write came in between, both are merged again, up to
    /// [`ClientConfig::update_rounds_max`](crate::ClientConfig::update_rounds_max) times. `merge` may return `None` to leave the key
    /// as it is.
    ///
    /// So concurrent updates lose nothing and leave one value, unless the coordinators of the last ones did not hear of each other in
    /// time: then there are siblings until the next update.
    ///
    /// # Errors
    /// Those of a read, with nothing written; those of [`put_with`](Self::put_with); [`Error::Contended`].
    pub async fn update(
        &self,
        key: impl Into<Bytes>,
        mut merge: impl FnMut(&[Value]) -> Option<NewValue>,
    ) -> Result<Updated> {
        let key = key.into();
        let seed = self.shared.state.lock().dice.u64(..);
        let mut pauses = Pauses::new(&self.shared.config, seed);
        let read = self.read(key.clone()).await?;
        let (mut values, mut context) = (read.values, read.context);
        let rounds_max = self.shared.config.update_rounds_max;
        for rounds in 1..=rounds_max {
            let Some(merged) = merge(&values) else {
                let rounds = rounds - 1;
                let value = None;
                return Ok(Updated {
                    value,
                    context,
                    rounds,
                });
            };
            let prepared = self.prepare_put(key.clone(), merged.clone(), &context, true);
            let completed = self.shared.call(prepared, &self.options).await?;
            let Reply::Put(reply) = completed.reply else {
                return Err(other_answer(completed.attempts));
            };
            // The coordinator cannot always say what is beside.
            let siblings = if reply.siblings == 0 {
                let read = self.read(key.clone()).await?;
                (values, context) = (read.values, read.context);
                read.siblings
            } else {
                values = reply.values.into_iter().map(Value::from).collect();
                context = Context::from_bytes(reply.context);
                reply.siblings
            };
            if siblings <= 1 {
                return Ok(Updated {
                    value: Some(merged),
                    context,
                    rounds,
                });
            }
            // The others merge too: who waits longer finds their work done.
            tokio::time::sleep(pauses.next()).await;
        }
        Err(Error::Contended { rounds: rounds_max })
    }
}
