//! What is said to and by one peer: the requests that wait for their replies, and what becomes of
//! each frame that comes.
//!
//! What carries the frames is none of its business: one connection, with which it ends, or a
//! conversation through layers, which may go on over the next one.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::conversation::Taken;
use super::envelope::{self, Header, NotReplied, Plain};
use super::gate::Gate;
use super::handshake::Lane;
use super::notices::Notices;
use super::outgoing::{Closed, Outgoing};
use super::queue::Arrived;
use super::stream::{self, Streams};
use super::trace::TraceContext;
use crate::identity::NodeId;
use crate::tasks::Tasks;

/// Requests that wait for others to answer: if they held the slots of those answers, they would
/// wait for themselves. Each connection has slots of its own for them.
const UNSLOTTED: [&str; 4] = ["core.propose", "core.join", "core.read-index", "core.follow"];

const OWN_REQUESTS_AT_ONCE: usize = 4096;

type Reply = Result<Bytes, NotReplied>;

/// What becomes of a request that is not given up.
enum Settled {
    Reply(Reply),
    NotSent { reason: String },
}

/// Why there will be no reply.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// Nobody knows what became of the request.
    Unknown,
    /// It never left.
    NotSent {
        /// Why it did not.
        reason: String,
    },
}

impl From<Closed> for Lost {
    fn from(_: Closed) -> Self {
        Self::Unknown
    }
}

/// See the module's documentation. It lives as long as what carries its frames.
pub(crate) struct Session {
    pub(super) peer: NodeId,
    outgoing: Outgoing,
    waiting: Mutex<BTreeMap<u64, oneshot::Sender<Settled>>>,
    id_next: AtomicU64,
    own_slots: Arc<Semaphore>,
    pub(super) streams: Streams,
    /// What the peer was told about messages that were not taken.
    told: Notices,
    /// What the peer told about them.
    heard: Notices,
    pub(super) closed: CancellationToken,
    pub(super) gate: Gate,
    /// Wakes whoever waits to dial: the peer has shown itself.
    pub(super) shown: Notify,
}

/// A connection that somebody uses, and that therefore is not closed for want of use.
pub(super) struct InUse(Arc<Session>);

impl InUse {
    pub(super) fn session(&self) -> &Arc<Session> {
        &self.0
    }
}

impl Deref for InUse {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.0
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.gate.leave();
    }
}

/// A peer did what the protocol does not allow.
pub(super) type Violation = Box<dyn std::error::Error + Send + Sync>;

impl Session {
    /// What is said to and by this peer, with a queue for what is to be written.
    pub(super) fn new(peer: NodeId, outgoing: Outgoing) -> Arc<Self> {
        Arc::new(Self {
            peer,
            outgoing,
            waiting: Mutex::default(),
            id_next: AtomicU64::new(0),
            own_slots: Arc::new(Semaphore::new(OWN_REQUESTS_AT_ONCE)),
            streams: Streams::default(),
            told: Notices::default(),
            heard: Notices::default(),
            closed: CancellationToken::new(),
            gate: Gate::default(),
            shown: Notify::new(),
        })
    }

    /// Queues a one-way message; waits while the queue is full.
    pub(super) async fn send(
        &self,
        kind: &str,
        trace: Option<TraceContext>,
        body: &[u8],
    ) -> Result<(), Closed> {
        let frame = match trace {
            None => envelope::seal_plain(&Plain::Message { kind }, body),
            Some(trace) => {
                envelope::seal(&Header::TracedMessage { trace, kind: kind.to_owned() }, body)
            }
        };
        self.enqueue(frame.map_err(|_| Closed)?).await
    }

    /// Sends a request and waits for its reply. Dropping the future forgets the request.
    pub(super) async fn request(
        &self,
        kind: &str,
        trace: Option<TraceContext>,
        body: &[u8],
    ) -> Result<Reply, Lost> {
        let id = self.next_id();
        let (tx, rx) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id, tx);
        let _forget = Forget { session: self, id };
        // The reader may have closed and drained the map just before the insertion above.
        if self.closed.is_cancelled() {
            return Err(Lost::Unknown);
        }
        let frame = match trace {
            None => envelope::seal_plain(&Plain::Request { id, kind }, body),
            Some(trace) => {
                envelope::seal(&Header::TracedRequest { trace, id, kind: kind.to_owned() }, body)
            }
        };
        self.enqueue(frame.map_err(|_| Lost::Unknown)?).await?;
        match rx.await {
            Ok(Settled::Reply(reply)) => Ok(reply),
            Ok(Settled::NotSent { reason }) => Err(Lost::NotSent { reason }),
            Err(_) => Err(Lost::Unknown),
        }
    }

    /// Uses the connection, unless it is just being closed for want of use.
    pub(super) fn enter(self: &Arc<Self>) -> Option<InUse> {
        self.gate.enter().then(|| InUse(self.clone()))
    }

    /// Leave to answer the peer beside the reading. `None` when the node ends.
    pub(super) async fn own_slot(&self) -> Option<OwnedSemaphorePermit> {
        self.own_slots.clone().acquire_owned().await.ok()
    }

    /// Whether it ended because nobody used it.
    pub(super) fn is_retired(&self) -> bool {
        self.gate.is_retired()
    }

    /// Names a request or stream on this connection.
    pub(super) fn next_id(&self) -> u64 {
        self.id_next.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }

    /// Ends the connection; whoever waits on it learns so.
    pub(super) fn close(&self) {
        self.closed.cancel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.streams.lost();
    }

    /// Counts a one-way message that was not taken, and tells its sender, which hears of each kind
    /// once a second at most.
    pub(super) fn not_taken(&self, shared: &Shared, kind: &str, why: NotReplied) {
        shared.metrics.messages_unhandled.inc();
        let Some(count) = self.told.due(kind, 1, Instant::now()) else { return };
        tracing::warn!(from = %self.peer, kind, count, ?why, "messages were not handled");
        let header = Header::NotTaken { kind: kind.to_owned(), count, why };
        // Where the queue is full the next notice speaks for this one, too.
        if let Ok(frame) = envelope::seal(&header, &[])
            && self.try_enqueue(&frame).is_err()
        {
            self.told.put_back(kind, count);
        }
    }

    /// Queues a frame without a body where nothing can be waited for.
    pub(super) fn say(self: &Arc<Self>, tasks: &Tasks, runtime: &Handle, header: &Header) {
        let Ok(frame) = envelope::seal(header, &[]) else { return };
        if self.try_enqueue(&frame).is_ok() {
            return;
        }
        let this = self.clone();
        // Whoever drops a stream may do so outside of the runtime.
        let _runtime = runtime.enter();
        tasks.spawn("stream credit", async move { drop(this.enqueue(frame).await) });
    }

    /// Queues a frame if there is room.
    pub(super) fn try_enqueue(&self, frame: &Bytes) -> Result<(), Closed> {
        self.outgoing.try_push(frame)
    }

    pub(super) async fn enqueue(&self, frame: Bytes) -> Result<(), Closed> {
        self.outgoing.push(frame).await
    }

    /// Handles one frame. Messages are queued by kind, in their order; requests run beside each
    /// other, and when too many do, reading waits.
    ///
    /// `taken` is dropped when the application has taken it, which may be later than this returns.
    pub(super) async fn dispatch(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        lane: Lane,
        header: Header,
        body: Bytes,
        taken: Option<Taken>,
    ) -> Result<(), Violation> {
        match header {
            Header::Message { kind } => self.take(shared, &kind, None, body, taken).await,
            Header::TracedMessage { trace, kind } => {
                self.take(shared, &kind, Some(trace), body, taken).await;
            }
            Header::Request { id, kind } => self.answer(shared, lane, id, kind, None, body).await,
            Header::TracedRequest { trace, id, kind } => {
                self.answer(shared, lane, id, kind, Some(trace), body).await;
            }
            Header::Reply { id } => self.settle(id, Ok(body)),
            Header::Refused { id, why } => self.settle(id, Err(why)),
            Header::NotTaken { kind, count, why } => self.heard(shared, &kind, count, &why),
            Header::StreamRequest { trace, id, kind, items, bytes } => {
                let trace = trace.filter(TraceContext::is_valid);
                let asked = stream::Asked { trace, id, kind, items, bytes, body };
                stream::serve(shared, self, asked).await?;
            }
            Header::Item { id } => self.streams.item(id, body)?,
            Header::StreamEnd { id, how } => self.streams.ended(id, how),
            Header::Credit { id, items, bytes } => self.streams.credit(id, items, bytes),
            Header::Cancel { id } => self.streams.cancel(id),
            Header::Here => {}
            Header::Goodbye => return Err("a goodbye by who did not open the connection".into()),
        }
        Ok(())
    }

    async fn take(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        kind: &str,
        trace: Option<TraceContext>,
        body: Bytes,
        taken: Option<Taken>,
    ) {
        shared.metrics.messages_received.inc();
        let trace = trace.filter(TraceContext::is_valid);
        let session = Some(self.clone());
        let arrived = Arrived { from: self.peer, session, trace, body, taken };
        if let Err(why) = shared.handlers.deliver(shared, kind, arrived).await {
            self.not_taken(shared, kind, why);
        }
    }

    async fn answer(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        lane: Lane,
        id: u64,
        kind: String,
        trace: Option<TraceContext>,
        body: Bytes,
    ) {
        shared.metrics.requests_received.inc();
        let ready = shared.handlers.request(shared, &kind);
        // Also who is turned away is answered beside the reading: two that both wait until they can
        // write, and do not read meanwhile, would wait for each other.
        let slots = match ready.is_err() || UNSLOTTED.contains(&kind.as_str()) {
            true => self.own_slots.clone(),
            false => shared.request_slots[lane as usize].clone(),
        };
        let Ok(slot) = slots.acquire_owned().await else { return };
        let trace = trace.filter(TraceContext::is_valid);
        let (this, shared2) = (self.clone(), shared.clone());
        shared.tasks.spawn("request handler", async move {
            let reply = match ready {
                Ok(ready) => ready.run(&shared2, this.peer, &kind, trace, body).await,
                Err(why) => Err(why),
            };
            this.reply(&shared2, id, reply).await;
            // Held to the end: a peer that reads no replies must not pile them up.
            drop(slot);
        });
    }

    /// The peer did not take messages of this node.
    fn heard(&self, shared: &Shared, kind: &str, count: u64, why: &NotReplied) {
        // A peer can say any number; it shall not make the counter wrap.
        let count = count.min(u32::MAX.into());
        shared.metrics.messages_not_taken.inc_by(count);
        let Some(count) = self.heard.due(kind, count, Instant::now()) else { return };
        let node = self.peer;
        match why {
            NotReplied::NoHandler => tracing::warn!(
                %node, kind, count,
                "the node has no handler for messages of this kind, and they are lost: register one \
                 there, or send only to nodes that have one"
            ),
            NotReplied::Busy => tracing::warn!(
                %node, kind, count,
                "the node dropped messages of this kind because its queue was full: send less, or \
                 give the handler there a larger queue or `WhenFull::Wait`"
            ),
            NotReplied::Undecodable { .. }
            | NotReplied::Panicked
            | NotReplied::ReplyLost { .. } => tracing::warn!(
                %node, kind, count,
                "the node could not handle messages of this kind: see its log, and whether both \
                 sides run the same version"
            ),
        }
    }

    async fn reply(&self, shared: &Shared, id: u64, reply: Reply) {
        let frame = match reply {
            Ok(body) if body.len() + 64 > shared.frame_bytes_max => {
                let reason = format!(
                    "the reply has {} bytes, a frame {}",
                    body.len(),
                    shared.frame_bytes_max
                );
                envelope::seal(&Header::Refused { id, why: NotReplied::ReplyLost { reason } }, &[])
            }
            Ok(body) => envelope::seal(&Header::Reply { id }, &body),
            Err(why) => envelope::seal(&Header::Refused { id, why }, &[]),
        };
        match frame {
            // If the connection is gone, so is whoever waits for the reply.
            Ok(frame) => drop(self.enqueue(frame).await),
            Err(error) => tracing::error!(%error, "a reply cannot be encoded"),
        }
    }

    fn settle(&self, id: u64, reply: Reply) {
        let waiter = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        // Nobody waits where the deadline passed first.
        if let Some(waiter) = waiter {
            let _ = waiter.send(Settled::Reply(reply));
        }
    }

    /// A request of this node's never left, and never will.
    pub(super) fn not_sent(&self, id: u64, reason: &str) {
        let waiter = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        if let Some(waiter) = waiter {
            let _ = waiter.send(Settled::NotSent { reason: reason.to_owned() });
        }
    }
}

/// Forgets a request when its future ends in whatever way, so that the map stays bounded by the
/// callers that really wait.
struct Forget<'a> {
    session: &'a Session,
    id: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.session.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}
