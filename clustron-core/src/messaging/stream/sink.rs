//! The handler's end of a stream.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;

use super::inbox::Inbox;
use super::serving::Gate;
use crate::codec;
use crate::messaging::envelope::{self, Header};
use crate::messaging::session::Session;

/// What an item's header and frame may take besides its own bytes.
const OVERHEAD_BYTES: usize = 32;

/// Why an item could not be sent.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// The reader has dropped the stream, or its connection is gone. The handler is being
    /// cancelled.
    #[error("nobody reads the stream any more")]
    ReaderGone,
    /// The item is larger than a frame may be. It was not sent, and smaller ones can be.
    #[error("the item has {bytes} bytes, a frame may have {max}: send it in smaller parts")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit, `Config::frame_bytes_max`.
        max: usize,
    },
    /// The item's type has a shape that the codec does not carry; a bug.
    #[error("the item cannot be encoded: {0}")]
    Encode(String),
}

/// Where a handler puts the items of its stream.
pub struct ItemSink<T> {
    raw: RawSink,
    _items: PhantomData<fn(T)>,
}

impl<T: Serialize> ItemSink<T> {
    pub(in super::super) fn new(raw: RawSink) -> Self {
        Self { raw, _items: PhantomData }
    }

    /// Sends the next item; waits while the reader has not given room for it. That it was sent does
    /// not say that it arrived.
    ///
    /// # Errors
    /// See [`SinkError`].
    pub async fn send(&mut self, item: T) -> Result<(), SinkError> {
        let bytes = codec::encode(&item).map_err(|error| SinkError::Encode(error.to_string()))?;
        self.raw.send(bytes.into()).await
    }
}

impl<T> fmt::Debug for ItemSink<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ItemSink").finish_non_exhaustive()
    }
}

/// The same for bytes. There is one for each stream, so nobody else uses what it finds allowed.
pub(in super::super) struct RawSink {
    pub(super) gate: Arc<Gate>,
    pub(super) out: Out,
    pub(super) frame_bytes_max: usize,
}

/// Where items go.
pub(super) enum Out {
    /// To another node.
    Session { session: Arc<Session>, id: u64 },
    /// To this one.
    Inbox(Arc<Inbox>),
}

impl RawSink {
    async fn send(&mut self, item: Bytes) -> Result<(), SinkError> {
        let (bytes, max) = (item.len() + OVERHEAD_BYTES, self.frame_bytes_max);
        if bytes > max {
            return Err(SinkError::TooLarge { bytes, max });
        }
        self.gate.opened().await?;
        let len = item.len();
        match &self.out {
            Out::Session { session, id } => {
                let frame = envelope::seal(&Header::Item { id: *id }, &item)
                    .map_err(|error| SinkError::Encode(error.to_string()))?;
                session.enqueue(frame).await.map_err(|_| SinkError::ReaderGone)?;
            }
            Out::Inbox(inbox) => inbox.put(item).map_err(|_| SinkError::ReaderGone)?,
        }
        // Only now: whoever drops this future before has sent nothing.
        self.gate.spend(len);
        Ok(())
    }
}
