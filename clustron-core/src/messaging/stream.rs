//! Replies that are too large, or too slow in coming, for one frame: a stream of items.
//!
//! It works like a well bucket on a rope. The reader lets down a number of empty buckets (its
//! *credit*, in items and bytes), the handler sends up no more full ones than it was given, and
//! gets them back as the reader empties them. So a reader that stops stops the handler, and what is
//! under way between them is bounded, on both sides, whatever their speeds are.
//!
//! ```text
//! reader                                        handler
//!    | -- StreamRequest(credit) ----------------> |
//!    | <- Item, Item, Item ---------------------- |  waits when the credit is used up
//!    | -- Credit -------------------------------> |
//!    | <- Item, StreamEnd(done|failed|refused) -- |  or: Cancel from the reader
//! ```
//!
//! Streams have connections of their own (the bulk lane), so that they delay nothing else; and on
//! these no stream delays another, because what has arrived always finds room. A connection that
//! breaks ends its streams with an error: only an end that was said is an end.

mod allowance;
mod inbox;
mod reply_stream;
mod serving;
mod sink;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Serialize, de::DeserializeOwned};

use super::handlers::Message;
pub(super) use allowance::Overrun;
use inbox::End;
pub(super) use inbox::Inbox;
pub use reply_stream::ReplyStream;
pub(super) use reply_stream::{Ask, Back};
use serving::Gate;
pub(super) use serving::{Asked, serve, serve_here};
pub(super) use sink::RawSink;
pub use sink::{ItemSink, SinkError};

/// A message that is answered by a stream of items.
///
/// ```
/// use clustron_core::{Cluster, Message, StreamOptions, StreamRequest};
/// use futures::StreamExt;
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Lines { of: String }
///
/// impl Message for Lines {
///     const KIND: &'static str = "example.lines";
/// }
/// impl StreamRequest for Lines {
///     type Item = String;
/// }
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cluster = Cluster::builder("orders").start().await?;
/// cluster.on_stream_request(|_from, request: Lines, mut sink| async move {
///     for number in 1..=3 {
///         sink.send(format!("line {number} of {}", request.of)).await?;
///     }
///     Ok::<(), clustron_core::SinkError>(())
/// });
/// let request = Lines { of: "the log".to_owned() };
/// let lines =
///     cluster.request_stream(cluster.node().id, &request, &StreamOptions::default()).await?;
/// let lines: Vec<_> = lines.map(|line| line.expect("a line")).collect().await;
/// assert_eq!(lines[2], "line 3 of the log");
/// # Ok(()) }
/// ```
pub trait StreamRequest: Message {
    /// What the stream consists of.
    type Item: Serialize + DeserializeOwned + Send + 'static;
}

/// Streams that one connection serves at the same time; a peer that asks for more is told that the
/// node is busy.
const SERVED_MAX: usize = 1024;

/// The streams of one connection.
#[derive(Default)]
pub(super) struct Streams {
    /// Those that this side reads, by id.
    read: Mutex<BTreeMap<u64, Arc<Inbox>>>,
    /// Those that this side serves.
    served: Mutex<BTreeMap<u64, Arc<Gate>>>,
}

impl Streams {
    /// Begins to read a stream.
    pub(super) fn open(&self, id: u64, inbox: Arc<Inbox>) {
        self.read.lock().unwrap_or_else(PoisonError::into_inner).insert(id, inbox);
    }

    /// An item came. One of a stream that is not read any more was under way when it was cancelled.
    pub(super) fn item(&self, id: u64, item: bytes::Bytes) -> Result<(), Overrun> {
        let inbox = self.read.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        inbox.map_or(Ok(()), |inbox| inbox.put(item))
    }

    /// The end of a stream came.
    pub(super) fn ended(&self, id: u64, how: super::envelope::StreamEnd) {
        if let Some(inbox) = self.forget(id) {
            inbox.end(End::Said(how));
        }
    }

    /// Reads a stream no more. Gives its inbox if it was being read.
    pub(super) fn forget(&self, id: u64) -> Option<Arc<Inbox>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner).remove(&id)
    }

    /// The reader of a stream that is served here has room for more.
    pub(super) fn credit(&self, id: u64, items: u32, bytes: u32) {
        if let Some(gate) = self.gate(id) {
            gate.grant(items, bytes);
        }
    }

    /// The reader of a stream that is served here wants no more of it.
    pub(super) fn cancel(&self, id: u64) {
        if let Some(gate) = self.gate(id) {
            gate.cancel();
        }
    }

    /// The connection is gone, and with it all of its streams.
    pub(super) fn lost(&self) {
        let read = std::mem::take(&mut *self.read.lock().unwrap_or_else(PoisonError::into_inner));
        for inbox in read.into_values() {
            inbox.end(End::Lost);
        }
        let served =
            std::mem::take(&mut *self.served.lock().unwrap_or_else(PoisonError::into_inner));
        for gate in served.into_values() {
            gate.cancel();
        }
    }

    fn gate(&self, id: u64) -> Option<Arc<Gate>> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }
}

#[cfg(test)]
mod tests;
