//! The waiting room of one kind of one-way message, with one task that calls in what waits.
//!
//! Each kind has a room of its own, so a slow handler keeps others waiting only when its own room
//! is full and what comes then has to wait in the corridor, which is the connection. The messages
//! of one kind and sender stay in order; between kinds there is none.
//!
//! Whoever comes to an empty room goes straight in: what a handler does without waiting is done by
//! the task that has read the message, and only what waits is carried over to the kind's own task.
//! To wake another task for each message costs more than all else that happens to a small one.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Poll;

use bytes::Bytes;
use futures::future::{BoxFuture, Either};
use futures::{FutureExt, poll};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};

use super::Shared;
use super::conversation::Taken;
use super::envelope::NotReplied;
use super::handlers::{Call, Running, run};
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
    /// Messages that wait or are being handled.
    present: Arc<AtomicUsize>,
    begun: Arc<Begun>,
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
    /// Dropped when its handler begins, or when it is clear that none will.
    pub(super) taken: Option<Taken>,
}

type Handled = Result<Bytes, NotReplied>;

/// A message that waits, with its share of the room.
struct Waiting {
    arrived: Arrived,
    _share: OwnedSemaphorePermit,
}

/// A handler that has begun and waits for something, until the kind's task goes on with it. There
/// is one at most, since it began when no other message was here.
#[derive(Default)]
struct Begun {
    handling: Mutex<Option<(Arc<Session>, BoxFuture<'static, Handled>)>>,
    placed: Notify,
}

impl Begun {
    fn lock(&self) -> MutexGuard<'_, Option<(Arc<Session>, BoxFuture<'static, Handled>)>> {
        self.handling.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KindQueue {
    pub(super) fn new(kind: &'static str, call: Call, options: HandlerOptions) -> Self {
        let bytes_free = Arc::new(Semaphore::new(QUEUE_BYTES));
        let (present, begun) = (Arc::default(), Arc::default());
        Self { kind, call, options, bytes_free, present, begun, sender: OnceLock::new() }
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
        let arrived = match self.go_straight_in(shared, arrived).await {
            Ok(handled) => return handled.map(drop),
            Err(arrived) => arrived,
        };
        let present = Present::one_more(&self.present);
        let share = arrived.body.len().min(QUEUE_BYTES) as u32;
        let bytes_free = self.bytes_free.clone();
        // A task that has ended takes nothing: the node is ending.
        let gone = NotReplied::NoHandler;
        if self.options.when_full == WhenFull::Wait && arrived.session.is_some() {
            let Ok(share) = bytes_free.acquire_many_owned(share).await else { return Err(gone) };
            return sender
                .send(Waiting { arrived, _share: share })
                .await
                .map(|()| present.stays())
                .map_err(|_| gone);
        }
        let own = arrived.session.is_none();
        let put = bytes_free
            .try_acquire_many_owned(share)
            .ok()
            .and_then(|share| sender.try_send(Waiting { arrived, _share: share }).ok());
        if put.is_some() {
            present.stays();
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

    /// Handles a message of another node at once, as far as that goes without waiting, if no other
    /// one is here. Gives it back if one is.
    async fn go_straight_in(
        &self,
        shared: &Arc<Shared>,
        arrived: Arrived,
    ) -> Result<Handled, Arrived> {
        let Arrived { from, session: Some(session), trace, body, taken } = arrived else {
            return Err(arrived);
        };
        let alone = self.present.compare_exchange(0, 1, Ordering::AcqRel, Ordering::Relaxed);
        if alone.is_err() {
            return Err(Arrived { from, session: Some(session), trace, body, taken });
        }
        drop(taken);
        let present = Present(&self.present);
        // Without a trace, as most are, there is nothing around the handler's own future, and what
        // does not wait is not moved to where it could.
        let mut handling = match trace {
            None => Either::Left(Running::begin(&self.call, from, self.kind, body)),
            Some(_) => {
                let (shared, call, kind) = (shared.clone(), self.call.clone(), self.kind);
                let run = async move { run(&shared, &call, from, kind, trace, body).await };
                Either::Right(run.boxed())
            }
        };
        match poll!(&mut handling) {
            Poll::Ready(handled) => Ok(handled),
            Poll::Pending => {
                present.stays();
                *self.begun.lock() = Some((session, handling.boxed()));
                self.begun.placed.notify_one();
                Ok(Ok(Bytes::new()))
            }
        }
    }

    fn start(&self, shared: &Arc<Shared>) -> mpsc::Sender<Waiting> {
        let (sender, waiting) = mpsc::channel(self.options.queue.get() as usize);
        let here = (self.present.clone(), self.begun.clone());
        let work = work(self.kind, self.call.clone(), waiting, here, shared.clone());
        shared.tasks.spawn("message queue", work);
        sender
    }
}

/// A message's presence, which ends with it.
struct Present<'a>(&'a AtomicUsize);

impl<'a> Present<'a> {
    fn one_more(present: &'a AtomicUsize) -> Self {
        present.fetch_add(1, Ordering::AcqRel);
        Self(present)
    }

    /// Until the kind's task has handled it.
    fn stays(self) {
        std::mem::forget(self);
    }
}

impl Drop for Present<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

async fn work(
    kind: &'static str,
    call: Call,
    mut waiting: mpsc::Receiver<Waiting>,
    (present, begun): (Arc<AtomicUsize>, Arc<Begun>),
    shared: Arc<Shared>,
) {
    let done = |session: Option<Arc<Session>>, handled: Handled| {
        let Err(why) = handled else { return };
        match session {
            Some(session) => session.not_taken(&shared, kind, why),
            None => tracing::warn!(kind, ?why, "a message to this node itself was not handled"),
        }
    };
    loop {
        let next = tokio::select! {
            biased;
            () = begun.placed.notified() => None,
            next = waiting.recv() => Some(next),
        };
        // Before what came after it.
        let first = begun.lock().take();
        if let Some((session, handling)) = first {
            let _present = Present(&present);
            done(Some(session), handling.await);
        }
        match next {
            Some(Some(Waiting { arrived, _share })) => {
                let Arrived { from, session, trace, body, taken } = arrived;
                drop(taken);
                let _present = Present(&present);
                done(session, run(&shared, &call, from, kind, trace, body).await);
            }
            // Nobody can put anything in any more.
            Some(None) => return,
            None => {}
        }
    }
}
