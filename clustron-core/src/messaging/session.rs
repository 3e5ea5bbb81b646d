//! One established connection: a writer that batches, a reader that dispatches, and the requests
//! that wait for their replies.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::ReadHalf;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::envelope::{self, Header, NotReplied, Plain};
use super::frame::{Came, FrameError, FrameReader, HEAD_BYTES};
use super::gate::Gate;
use super::handshake::{Established, Hello, Lane};
use super::notices::Notices;
use super::outgoing::{self, Closed, Outgoing};
use super::places::Place;
use super::pulse::Pulse;
use super::queue::Arrived;
use super::stream::{self, Streams};
use super::trace::TraceContext;
use crate::identity::NodeId;
use crate::tasks::Tasks;
use crate::transport::Stream;

/// Requests that wait for others to answer: if they held the slots of those answers, they would
/// wait for themselves. Each connection has slots of its own for them.
const UNSLOTTED: [&str; 4] = ["core.propose", "core.join", "core.read-index", "core.follow"];

const OWN_REQUESTS_AT_ONCE: usize = 4096;

type Reply = Result<Bytes, NotReplied>;

/// One connection. It lives as long as both directions of its stream do.
pub(crate) struct Session {
    pub(super) peer: NodeId,
    outgoing: Outgoing,
    waiting: Mutex<BTreeMap<u64, oneshot::Sender<Reply>>>,
    id_next: AtomicU64,
    own_slots: Arc<Semaphore>,
    pub(super) streams: Streams,
    /// What the peer was told about messages that were not taken.
    told: Notices,
    /// What the peer told about them.
    heard: Notices,
    closed: CancellationToken,
    gate: Gate,
    pulse: Pulse,
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

async fn taken_away(place: Option<&Place>) {
    match place {
        Some(place) => place.taken_away().await,
        None => std::future::pending().await,
    }
}

/// A peer did what the protocol does not allow.
type Violation = Box<dyn std::error::Error + Send + Sync>;

impl Session {
    /// Starts the tasks of an established connection. When it ends, `shared` hears of it, unless it
    /// ends because nobody has used it for as long as `idle`.
    pub(super) fn start(
        shared: &Arc<Shared>,
        established: Established,
        idle: Option<Duration>,
    ) -> Arc<Self> {
        let Established { peer, reader, writer, place } = established;
        let waiting = shared.metrics.frames_waiting.clone();
        let (outgoing, frames) = outgoing::queue(waiting);
        let session = Arc::new(Self {
            peer: peer.node.id,
            outgoing,
            waiting: Mutex::default(),
            id_next: AtomicU64::new(0),
            own_slots: Arc::new(Semaphore::new(OWN_REQUESTS_AT_ONCE)),
            streams: Streams::default(),
            told: Notices::default(),
            heard: Notices::default(),
            closed: CancellationToken::new(),
            gate: Gate::default(),
            pulse: Pulse::new(shared.silence_max),
        });
        shared.metrics.connections_open.inc();
        let (metrics, this) = (shared.metrics.clone(), session.clone());
        let (lane, opened_there) = (peer.lane, place.is_some());
        shared.tasks.spawn("connection writer", async move {
            let writing = async {
                let mut writer = writer;
                let unused = this.gate.unused(idle);
                if frames.write(&mut writer, metrics.bytes_sent.of(lane), unused).await {
                    metrics.connections_idle_closed.inc();
                    outgoing::say_goodbye(&mut writer).await;
                }
            };
            tokio::select! {
                biased;
                () = this.closed.cancelled() => {}
                () = this.stopped(lane.is_patient() && !opened_there) => {
                    tracing::debug!(peer = %this.peer, ?lane, "nobody is there any more");
                }
                () = writing => {}
            }
            this.closed.cancel();
        });
        let (this, shared2) = (session.clone(), shared.clone());
        shared.tasks.spawn("connection reader", async move {
            tokio::select! {
                biased;
                () = this.closed.cancelled() => {}
                () = taken_away(place.as_ref()) => {}
                () = this.beat(lane.is_patient() && opened_there) => {}
                () = this.read_frames(&shared2, reader, &peer, opened_there) => {}
            }
            this.close();
            drop(place);
            shared2.metrics.connections_open.dec();
            if !this.gate.is_retired() {
                shared2.connection_lost(peer.node.id);
            }
        });
        session
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
    ) -> Result<Reply, Closed> {
        let id = self.next_id();
        let (tx, rx) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id, tx);
        let _forget = Forget { session: self, id };
        // The reader may have closed and drained the map just before the insertion above.
        if self.closed.is_cancelled() {
            return Err(Closed);
        }
        let frame = match trace {
            None => envelope::seal_plain(&Plain::Request { id, kind }, body),
            Some(trace) => {
                envelope::seal(&Header::TracedRequest { trace, id, kind: kind.to_owned() }, body)
            }
        };
        self.enqueue(frame.map_err(|_| Closed)?).await?;
        rx.await.map_err(|_| Closed)
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

    fn try_enqueue(&self, frame: &Bytes) -> Result<(), Closed> {
        self.pulse.said();
        self.outgoing.try_push(frame)
    }

    pub(super) async fn enqueue(&self, frame: Bytes) -> Result<(), Closed> {
        self.pulse.said();
        self.outgoing.push(frame).await
    }

    /// Says that this side is there, where the other wants to know.
    async fn beat(&self, wanted: bool) {
        match (wanted, envelope::seal(&Header::Here, &[])) {
            // Where the queue is full the other side hears enough.
            (true, Ok(here)) => self.pulse.beat(|| drop(self.outgoing.try_push(&here))).await,
            (true, Err(_)) | (false, _) => std::future::pending().await,
        }
    }

    /// Resolves when the other side is not there any more, where that is to be found out here.
    async fn stopped(&self, wanted: bool) {
        match wanted {
            true => self.pulse.stopped().await,
            false => std::future::pending().await,
        }
    }

    async fn read_frames(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        mut reader: FrameReader<ReadHalf<Box<dyn Stream>>>,
        peer: &Hello,
        opened_there: bool,
    ) {
        // Only who has opened it closes it for want of use, and never that of the core: otherwise
        // an end is an end, and a sign.
        let may_retire = opened_there && peer.lane != Lane::Control;
        loop {
            let came = reader.come().await;
            self.pulse.heard();
            let frame = match came {
                Ok(Came::Frame(frame)) => frame,
                Ok(Came::Part) => continue,
                Ok(Came::End) => return,
                Err(FrameError::Io(error)) => {
                    tracing::debug!(peer = %peer.node, %error, "a connection broke");
                    return;
                }
                Err(error @ (FrameError::TooLarge { .. } | FrameError::Damaged { .. })) => {
                    shared.metrics.protocol_errors.inc();
                    tracing::warn!(peer = %peer.node, %error, "dropped a connection that sent garbage");
                    return;
                }
            };
            let received = shared.metrics.bytes_received.of(peer.lane);
            received.inc_by((HEAD_BYTES + frame.len()) as u64);
            match envelope::open(frame) {
                Ok((Header::Goodbye, _)) if may_retire => {
                    self.gate.retire();
                    return;
                }
                Ok((header, body)) => {
                    self.pulse.handling(true);
                    let handled = self.dispatch(shared, peer.lane, header, body).await;
                    self.pulse.handling(false);
                    if let Err(error) = handled {
                        shared.metrics.protocol_errors.inc();
                        tracing::warn!(peer = %peer.node, %error, "dropped a connection that broke the rules");
                        return;
                    }
                }
                Err(error) => {
                    shared.metrics.protocol_errors.inc();
                    tracing::warn!(peer = %peer.node, %error, "dropped a connection that sent garbage");
                    return;
                }
            }
        }
    }

    /// Handles one frame. Messages are queued by kind, in their order; requests run beside each
    /// other, and when too many do, reading waits.
    async fn dispatch(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        lane: Lane,
        header: Header,
        body: Bytes,
    ) -> Result<(), Violation> {
        match header {
            Header::Message { kind } => self.take(shared, &kind, None, body).await,
            Header::TracedMessage { trace, kind } => {
                self.take(shared, &kind, Some(trace), body).await;
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
    ) {
        shared.metrics.messages_received.inc();
        let trace = trace.filter(TraceContext::is_valid);
        let arrived = Arrived { from: self.peer, session: Some(self.clone()), trace, body };
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
            let _ = waiter.send(reply);
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
