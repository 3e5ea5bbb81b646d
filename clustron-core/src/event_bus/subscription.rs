//! A subscription whose events have a type.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::Stream;

use super::{Event, RawSubscription, Received};
use crate::messaging::decode;

/// The events of one kind from when it was made, in the order of each publisher; see [`Received`].
/// It holds at most 1024 of them, and 16 MiB, for its reader. It ends when the node does.
pub struct Subscription<E> {
    raw: RawSubscription,
    _events: PhantomData<fn() -> E>,
}

impl<E: Event> Subscription<E> {
    /// Gives a subscription, which must be to this type's kind, its type.
    pub fn new(raw: RawSubscription) -> Self {
        Self { raw, _events: PhantomData }
    }

    /// What comes next; `None` when the node has ended. Cancel-safe.
    pub async fn next(&mut self) -> Option<Received<E>> {
        self.raw.next().await.map(typed)
    }
}

impl<E: Event> Stream for Subscription<E> {
    type Item = Received<E>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Received<E>>> {
        let received = ready!(Pin::new(&mut self.raw).poll_next(context));
        Poll::Ready(received.map(typed))
    }
}

impl<E> fmt::Debug for Subscription<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").finish_non_exhaustive()
    }
}

fn typed<E: Event>(received: Received<Bytes>) -> Received<E> {
    match received {
        Received::Event { from, event } => match decode(&event) {
            Ok(event) => Received::Event { from, event },
            Err(reason) => Received::Unreadable { from, reason },
        },
        Received::Gap { from, missed } => Received::Gap { from, missed },
        Received::Lagged(missed) => Received::Lagged(missed),
        Received::Unreadable { from, reason } => Received::Unreadable { from, reason },
    }
}
