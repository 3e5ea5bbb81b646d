//! The reader's end of a stream.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use serde::de::DeserializeOwned;
use tokio::runtime::Handle;
use tokio::time::Sleep;

use super::allowance::{BYTES_MAX, ITEMS_MAX};
use super::inbox::{End, Inbox, Next};
use super::serving::Gate;
use crate::codec;
use crate::identity::NodeId;
use crate::messaging::envelope::{Header, StreamEnd};
use crate::messaging::error::MessageError;
use crate::messaging::not_replied;
use crate::messaging::options::StreamOptions;
use crate::messaging::session::InUse;
use crate::tasks::Tasks;

/// The items that a node sends in answer to a [`StreamRequest`](crate::StreamRequest), in order.
///
/// It ends with `None` only where the handler ended it without an error. Whatever else ends it is
/// an `Err` first: the handler's own error or panic, a connection that broke, an item that took
/// longer than [`StreamOptions::idle`]. The items before it are good. Dropping the stream cancels
/// the handler.
pub struct ReplyStream<T> {
    ask: Ask,
    inbox: Arc<Inbox>,
    back: Back,
    /// Read since the credit for it was given back.
    read_items: u32,
    read_bytes: u32,
    idle: Pin<Box<Sleep>>,
    /// Whether `idle` counts the present wait.
    waiting: bool,
    over: bool,
    _items: PhantomData<fn() -> T>,
}

/// What a stream was asked for with.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Ask {
    pub(in super::super) node: NodeId,
    pub(in super::super) kind: &'static str,
    /// The credit, in items.
    pub(in super::super) items: u32,
    /// The same in bytes.
    pub(in super::super) bytes: u32,
    idle: Duration,
}

impl Ask {
    pub(in super::super) fn new(node: NodeId, kind: &'static str, options: &StreamOptions) -> Self {
        let (items, bytes) =
            (options.items.get().min(ITEMS_MAX), options.bytes.get().min(BYTES_MAX));
        Self { node, kind, items, bytes, idle: options.idle }
    }

    /// Where its items will wait.
    pub(in super::super) fn inbox(&self) -> Arc<Inbox> {
        Arc::new(Inbox::new(self.items, self.bytes))
    }
}

/// The way from the reader back to whoever sends.
pub(in super::super) enum Back {
    /// To another node.
    Session { session: InUse, id: u64, tasks: Tasks, runtime: Handle },
    /// To this one.
    Gate(Arc<Gate>),
}

impl Back {
    fn credit(&self, items: u32, bytes: u32) {
        match self {
            Self::Session { session, id, tasks, runtime } => {
                session.session().say(tasks, runtime, &Header::Credit { id: *id, items, bytes });
            }
            Self::Gate(gate) => gate.grant(items, bytes),
        }
    }

    fn cancel(&self) {
        match self {
            Self::Session { session, id, tasks, runtime } => {
                // Nobody needs to be told of an end that came from the other side.
                if session.streams.forget(*id).is_some() {
                    session.session().say(tasks, runtime, &Header::Cancel { id: *id });
                }
            }
            Self::Gate(gate) => gate.cancel(),
        }
    }
}

impl<T: DeserializeOwned> ReplyStream<T> {
    pub(in super::super) fn new(ask: Ask, inbox: Arc<Inbox>, back: Back) -> Self {
        Self {
            ask,
            inbox,
            back,
            read_items: 0,
            read_bytes: 0,
            idle: Box::pin(tokio::time::sleep(ask.idle)),
            waiting: false,
            over: false,
            _items: PhantomData,
        }
    }

    /// Gives room back, some at a time: one word for each item would be as much traffic as items.
    fn took(&mut self, bytes: usize) {
        self.read_items += 1;
        self.read_bytes = self.read_bytes.saturating_add(bytes as u32);
        let (items, bytes) = (self.read_items, self.read_bytes);
        if items >= self.ask.items.div_ceil(2) || bytes >= self.ask.bytes.div_ceil(2) {
            // Here first, or the other side could use it before it is known here.
            self.inbox.grant(items, bytes);
            self.back.credit(items, bytes);
            (self.read_items, self.read_bytes) = (0, 0);
        }
    }

    fn item(&mut self, item: &Bytes) -> Result<T, MessageError> {
        self.took(item.len());
        codec::decode(item).map_err(|error| MessageError::BadReply {
            node: self.ask.node,
            kind: self.ask.kind,
            reason: error.to_string(),
        })
    }

    /// The error that an end is, if it is one.
    fn error(&self, end: End) -> Option<MessageError> {
        let (node, kind) = (self.ask.node, self.ask.kind);
        match end {
            End::Said(StreamEnd::Done) => None,
            End::Said(StreamEnd::Failed { reason }) => {
                Some(MessageError::StreamFailed { node, kind, reason })
            }
            End::Said(StreamEnd::Refused(why)) => Some(not_replied(node, kind, why)),
            End::Lost => Some(MessageError::Disconnected { node }),
        }
    }
}

impl<T: DeserializeOwned> Stream for ReplyStream<T> {
    type Item = Result<T, MessageError>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<T, MessageError>>> {
        let this = &mut *self;
        if this.over {
            return Poll::Ready(None);
        }
        let next = match this.inbox.poll(context) {
            Poll::Ready(Next::Item(item)) => Some(this.item(&item)),
            Poll::Ready(Next::End(end)) => this.error(end).map(Err),
            Poll::Pending => {
                if !this.waiting {
                    let until = crate::tasks::until(this.ask.idle);
                    this.idle.as_mut().reset(until);
                    this.waiting = true;
                }
                if this.idle.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                let Ask { node, kind, idle, .. } = this.ask;
                Some(Err(MessageError::StreamIdle { node, kind, idle }))
            }
        };
        this.waiting = false;
        if !matches!(next, Some(Ok(_))) {
            this.over = true;
            this.back.cancel();
        }
        Poll::Ready(next)
    }
}

impl<T> Drop for ReplyStream<T> {
    fn drop(&mut self) {
        if !self.over {
            self.back.cancel();
        }
    }
}

impl<T> fmt::Debug for ReplyStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyStream")
            .field("node", &self.ask.node)
            .field("kind", &self.ask.kind)
            .field("over", &self.over)
            .finish_non_exhaustive()
    }
}
