//! Reading ordered broadcasts: a bookmark in what the log keeps.

use std::fmt;
use std::marker::PhantomData;

use futures::Stream;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::state::{Broadcasts, Next};
use crate::control::Replicated;
use crate::identity::{FencingToken, NodeId};
use crate::messaging::{self, Message};

/// What a subscription gives.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Delivery<M> {
    /// The next message.
    Message {
        /// Its place: the same at every node, and higher than those of all before it.
        place: FencingToken,
        /// The node that broadcast it.
        from: NodeId,
        /// What it broadcast.
        message: M,
    },
    /// What was broadcast after one place and up to another is not kept any more. Some of it may
    /// have been of the kind that is read, or none.
    Gap {
        /// The place up to which all was delivered.
        after: FencingToken,
        /// The place after which all will be.
        up_to: FencingToken,
    },
    /// A message is not of the type that is expected: its origin runs another version.
    Unreadable {
        /// Its place.
        place: FencingToken,
        /// The node that broadcast it.
        from: NodeId,
        /// What the decoder said.
        reason: String,
    },
}

/// The messages of one kind in the order of all nodes. It holds nothing itself, so it costs nothing
/// while nobody reads it.
pub struct OrderedSubscription<M> {
    log: Replicated<Broadcasts>,
    changed: watch::Receiver<u64>,
    ended: CancellationToken,
    place: FencingToken,
    _messages: PhantomData<fn() -> M>,
}

impl<M: Message> OrderedSubscription<M> {
    pub(super) fn new(
        log: Replicated<Broadcasts>,
        ended: CancellationToken,
        place: FencingToken,
    ) -> Self {
        let changed = log.applied();
        Self { log, changed, ended, place, _messages: PhantomData }
    }

    /// What comes next; `None` when the node has ended and all that it had is read. Cancel-safe.
    pub async fn next(&mut self) -> Option<Delivery<M>> {
        loop {
            // Before the look, so that what it misses wakes.
            let over = self.ended.is_cancelled();
            self.changed.mark_unchanged();
            let (place, kind) = (self.place, M::KIND);
            match self.log.read_local(|broadcasts| broadcasts.after(place, kind)) {
                Next::Broadcast(kept) => {
                    self.place = kept.place;
                    let (place, from) = (kept.place, kept.from);
                    return Some(match messaging::decode(&kept.body) {
                        Ok(message) => Delivery::Message { place, from, message },
                        Err(reason) => Delivery::Unreadable { place, from, reason },
                    });
                }
                Next::Gap(up_to) => {
                    self.place = up_to;
                    return Some(Delivery::Gap { after: place, up_to });
                }
                Next::End(_) if over => return None,
                Next::End(end) => self.place = end,
            }
            tokio::select! {
                biased;
                changed = self.changed.changed() => changed.ok()?,
                () = self.ended.cancelled() => {}
            }
        }
    }

    /// The place up to which all was given: whoever subscribes after it, here or at another node,
    /// goes on from there.
    pub fn place(&self) -> FencingToken {
        self.place
    }

    /// The same as a stream.
    pub fn into_stream(self) -> impl Stream<Item = Delivery<M>> + Send {
        futures::stream::unfold(self, |mut this| async move {
            let next = this.next().await?;
            Some((next, this))
        })
    }
}

impl<M> fmt::Debug for OrderedSubscription<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OrderedSubscription").field("place", &self.place).finish_non_exhaustive()
    }
}
