//! The waiting room of one kind of one-way message, with one task that calls in what waits.
//!
//! Each kind has a room of its own, so a slow handler keeps others waiting only when its own room
//! is full and what comes then has to wait in the corridor, which is the connection. The messages
//! of one kind and sender stay in order; between kinds there is none.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::Shared;
use super::envelope::NotReplied;
use super::handlers::{Call, run};
use super::options::{HandlerOptions, WhenFull};
use super::session::Session;
use super::trace::TraceContext;
use crate::identity::NodeId;

/// Bytes that may wait for one handler; a single message may be larger.
const QUEUE_BYTES: usize = 16 << 20;

/// See the module's documentation.
pub(super) struct KindQueue {
    kind: &'static str,
    call: Call,
    options: HandlerOptions,
    bytes_free: Arc<Semaphore>,
    /// The task's, which runs from the first message on until the handler is replaced.
    sender: OnceLock<mpsc::Sender<Waiting>>,
}

/// A message that arrived.
pub(super) struct Arrived {
    pub(super) from: NodeId,
    /// The connection that brought it; `None` for one from this node itself.
    pub(super) session: Option<Arc<Session>>,
    pub(super) trace: Option<TraceContext>,
    pub(super) body: Bytes,
}

/// One that waits, with its share of the room.
struct Waiting {
    arrived: Arrived,
    _share: OwnedSemaphorePermit,
}

impl KindQueue {
    pub(super) fn new(kind: &'static str, call: Call, options: HandlerOptions) -> Self {
        let bytes_free = Arc::new(Semaphore::new(QUEUE_BYTES));
        Self { kind, call, options, bytes_free, sender: OnceLock::new() }
    }

    /// Puts a message at the end of the queue, waiting for room where the options say so.
    ///
    /// What this node sends to itself never waits: a handler that writes to its own kind would wait
    /// for itself.
    pub(super) async fn put(
        &self,
        shared: &Arc<Shared>,
        arrived: Arrived,
    ) -> Result<(), NotReplied> {
        let sender = self.sender.get_or_init(|| self.start(shared));
        let share = arrived.body.len().min(QUEUE_BYTES) as u32;
        let bytes_free = self.bytes_free.clone();
        // A task that has ended takes nothing: the node is ending.
        let gone = NotReplied::NoHandler;
        if self.options.when_full == WhenFull::Wait && arrived.session.is_some() {
            let Ok(share) = bytes_free.acquire_many_owned(share).await else { return Err(gone) };
            return sender.send(Waiting { arrived, _share: share }).await.map_err(|_| gone);
        }
        let own = arrived.session.is_none();
        let put = bytes_free
            .try_acquire_many_owned(share)
            .ok()
            .and_then(|share| sender.try_send(Waiting { arrived, _share: share }).ok());
        if put.is_some() {
            return Ok(());
        }
        if sender.is_closed() {
            return Err(gone);
        }
        // The own sender is told, so nothing was lost.
        if !own {
            shared.metrics.messages_dropped.get_or_create(&[("kind", self.kind)]).inc();
        }
        Err(NotReplied::Busy)
    }

    fn start(&self, shared: &Arc<Shared>) -> mpsc::Sender<Waiting> {
        let (sender, waiting) = mpsc::channel(self.options.queue.get() as usize);
        let work = work(self.kind, self.call.clone(), waiting, shared.clone());
        shared.tasks.spawn("message queue", work);
        sender
    }
}

async fn work(
    kind: &'static str,
    call: Call,
    mut waiting: mpsc::Receiver<Waiting>,
    shared: Arc<Shared>,
) {
    while let Some(Waiting { arrived, _share }) = waiting.recv().await {
        let Arrived { from, session, trace, body } = arrived;
        if let Err(why) = run(&shared, &call, from, kind, trace, body).await {
            match session {
                Some(session) => session.not_taken(&shared, kind, why),
                None => tracing::warn!(kind, ?why, "a message to this node itself was not handled"),
            }
        }
    }
}
