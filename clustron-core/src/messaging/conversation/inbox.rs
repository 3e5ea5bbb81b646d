//! What a stack has delivered and no handler has begun with: one message after the other.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, poll};

use super::taken::{Stubs, Taken};
use crate::messaging::Shared;
use crate::messaging::envelope;
use crate::messaging::handshake::Lane;
use crate::messaging::session::{Session, Violation};

/// What a message counts here beside its bytes.
const MESSAGE_COST: usize = 128;

/// Handlers that are begun in one go, before the driver looks at anything else.
const IN_A_ROW: usize = 64;

/// See the module's documentation. Unbounded by itself: its driver reads nothing while it is
/// [full](Self::is_full), or `flow` lets no more come than its window; and what one packet releases
/// is bounded by the windows of the layers.
pub(super) struct Inbox {
    session: Arc<Session>,
    lane: Lane,
    waiting: VecDeque<Bytes>,
    waiting_bytes: usize,
    bytes_max: usize,
    /// A message whose handler, or the way to it, waits for something.
    pub(super) handling: Option<BoxFuture<'static, Handled>>,
    pub(super) stubs: Arc<Stubs>,
}

/// What came of a message.
pub(super) type Handled = Result<(), Violation>;

impl Inbox {
    pub(super) fn new(session: Arc<Session>, lane: Lane, bytes_max: usize) -> Self {
        Self {
            session,
            lane,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            bytes_max,
            handling: None,
            stubs: Arc::default(),
        }
    }

    pub(super) fn push(&mut self, message: Bytes) {
        self.waiting_bytes += message.len() + MESSAGE_COST;
        self.waiting.push_back(message);
    }

    /// Drops what no handler has begun with.
    pub(super) fn clear(&mut self) {
        (self.waiting, self.waiting_bytes) = (VecDeque::new(), 0);
    }

    /// Whether nothing more should be read.
    pub(super) fn is_full(&self) -> bool {
        self.waiting_bytes >= self.bytes_max
    }

    /// Begins with what waits, until something has to be waited for.
    pub(super) async fn begin(&mut self, shared: &Arc<Shared>) -> Handled {
        for _ in 0..IN_A_ROW {
            if self.handling.is_some() {
                break;
            }
            let Some(message) = self.waiting.pop_front() else { break };
            self.waiting_bytes -= message.len() + MESSAGE_COST;
            let mut handling = self.handle(shared.clone(), message);
            match poll!(&mut handling) {
                Poll::Ready(handled) => handled?,
                Poll::Pending => self.handling = Some(handling),
            }
        }
        Ok(())
    }

    /// Whether the driver must come back soon, although nothing else happens.
    pub(super) fn is_behind(&self) -> bool {
        self.handling.is_none() && !self.waiting.is_empty()
    }

    /// Handles all that is left, when nothing more comes.
    pub(super) async fn finish(&mut self, shared: &Arc<Shared>) -> Handled {
        while self.handling.is_some() || !self.waiting.is_empty() {
            if let Some(handling) = self.handling.take() {
                handling.await?;
            }
            self.begin(shared).await?;
        }
        Ok(())
    }

    fn handle(&self, shared: Arc<Shared>, message: Bytes) -> BoxFuture<'static, Handled> {
        let (session, taken) = (self.session.clone(), Taken::new(&self.stubs));
        let lane = self.lane;
        async move {
            let (header, body) = envelope::open(message)?;
            session.dispatch(&shared, lane, header, body, Some(taken)).await
        }
        .boxed()
    }
}
