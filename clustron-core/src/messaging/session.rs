//! One established connection: a writer that batches, a reader that dispatches, and the requests
//! that wait for their replies.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::envelope::{self, Header, NotReplied};
use super::frame::{FrameError, FrameReader, HEAD_BYTES, put_frame};
use super::handshake::{Established, Hello, Lane};
use crate::identity::NodeId;
use crate::transport::Stream;

/// Frames that may wait for the writer of one connection.
const QUEUE_FRAMES: usize = 1024;

/// Bytes that may wait for the writer of one connection; a single frame may be larger.
const QUEUE_BYTES: usize = 16 << 20;

/// Frames that go into one write at most.
const BATCH_FRAMES: usize = 64;

/// Above this the write buffer is given back after a batch.
const BUFFER_KEEP_BYTES: usize = 256 << 10;

/// Requests that wait for others to answer: if they held the slots of those answers, they would
/// wait for themselves. Each connection has slots of its own for them.
const UNSLOTTED: [&str; 4] = ["core.propose", "core.join", "core.read-index", "core.follow"];

const OWN_REQUESTS_AT_ONCE: usize = 4096;

type Reply = Result<Bytes, NotReplied>;

/// The connection is closed; the frame was not written, or not known to be.
#[derive(Debug)]
pub(super) struct Closed;

/// A frame on its way, with the share of the queue's bytes that it holds.
struct Queued {
    frame: Bytes,
    _share: OwnedSemaphorePermit,
}

/// One connection. It lives as long as both directions of its stream do.
pub(crate) struct Session {
    pub(super) peer: NodeId,
    queue: mpsc::Sender<Queued>,
    bytes_free: Arc<Semaphore>,
    waiting: Mutex<BTreeMap<u64, oneshot::Sender<Reply>>>,
    id_next: AtomicU64,
    own_slots: Arc<Semaphore>,
    closed: CancellationToken,
    gate: Mutex<Gate>,
}

/// Who uses a connection, so that one that nobody uses can be closed without a race.
struct Gate {
    users: usize,
    used_at: Instant,
    /// It ends for want of use, at either side's wish. Nobody comes in any more.
    retired: bool,
}

/// A connection that somebody uses, and that therefore is not closed for want of use.
pub(super) struct InUse(Arc<Session>);

impl Deref for InUse {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.0
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let mut gate = self.0.gate();
        gate.users -= 1;
        gate.used_at = Instant::now();
    }
}

impl Session {
    /// Starts the tasks of an established connection. When it ends, `shared` hears of it, unless it
    /// ends because nobody has used it for as long as `idle`.
    pub(super) fn start(
        shared: &Arc<Shared>,
        established: Established,
        idle: Option<Duration>,
    ) -> Arc<Self> {
        let Established { peer, reader, writer, place } = established;
        let (queue, frames) = mpsc::channel(QUEUE_FRAMES);
        let session = Arc::new(Self {
            peer: peer.node.id,
            queue,
            bytes_free: Arc::new(Semaphore::new(QUEUE_BYTES)),
            waiting: Mutex::default(),
            id_next: AtomicU64::new(0),
            own_slots: Arc::new(Semaphore::new(OWN_REQUESTS_AT_ONCE)),
            closed: CancellationToken::new(),
            gate: Mutex::new(Gate { users: 0, used_at: Instant::now(), retired: false }),
        });
        shared.metrics.connections_open.inc();
        let metrics = shared.metrics.clone();
        let this = session.clone();
        shared.tasks.spawn("connection writer", async move {
            let writing = async {
                let mut writer = writer;
                tokio::select! {
                    biased;
                    () = write_frames(&mut writer, frames, &metrics.bytes_sent) => {}
                    () = this.unused(idle) => {
                        metrics.connections_idle_closed.inc();
                        say_goodbye(&mut writer).await;
                    }
                }
            };
            tokio::select! {
                biased;
                () = this.closed.cancelled() => {}
                () = writing => {}
            }
            this.closed.cancel();
        });
        let (this, shared2) = (session.clone(), shared.clone());
        shared.tasks.spawn("connection reader", async move {
            tokio::select! {
                biased;
                () = this.closed.cancelled() => {}
                () = this.read_frames(&shared2, reader, &peer) => {}
            }
            this.close();
            drop(place);
            shared2.metrics.connections_open.dec();
            if !this.gate().retired {
                shared2.connection_lost(peer.node.id);
            }
        });
        session
    }

    /// Queues a one-way message; waits while the queue is full.
    pub(super) async fn send(&self, kind: &str, body: &[u8]) -> Result<(), Closed> {
        let header = Header::Message { kind: kind.to_owned() };
        self.enqueue(envelope::seal(&header, body).map_err(|_| Closed)?).await
    }

    /// Sends a request and waits for its reply. Dropping the future forgets the request.
    pub(super) async fn request(&self, kind: &str, body: &[u8]) -> Result<Reply, Closed> {
        let id = self.id_next.fetch_add(1, Ordering::Relaxed);
        let (tx, rx) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id, tx);
        let _forget = Forget { session: self, id };
        // The reader may have closed and drained the map just before the insertion above.
        if self.closed.is_cancelled() {
            return Err(Closed);
        }
        let header = Header::Request { id, kind: kind.to_owned() };
        self.enqueue(envelope::seal(&header, body).map_err(|_| Closed)?).await?;
        rx.await.map_err(|_| Closed)
    }

    /// Uses the connection, unless it is just being closed for want of use.
    pub(super) fn enter(self: &Arc<Self>) -> Option<InUse> {
        let mut gate = self.gate();
        if gate.retired {
            return None;
        }
        gate.users += 1;
        drop(gate);
        Some(InUse(self.clone()))
    }

    /// Resolves when nobody has used the connection for that long; then nobody can any more. Who
    /// waits for a reply uses it. Never, without a time.
    async fn unused(&self, idle: Option<Duration>) {
        let Some(idle) = idle else { return std::future::pending().await };
        loop {
            let next = {
                let mut gate = self.gate();
                let due = gate.used_at + idle;
                let now = Instant::now();
                match gate.users {
                    0 if due <= now => {
                        gate.retired = true;
                        return;
                    }
                    0 => due,
                    _ => now + idle,
                }
            };
            tokio::time::sleep_until(next).await;
        }
    }

    /// Whether it ended because nobody used it.
    pub(super) fn is_retired(&self) -> bool {
        self.gate().retired
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }

    /// Ends the connection; whoever waits on it learns so.
    pub(super) fn close(&self) {
        self.closed.cancel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    async fn enqueue(&self, frame: Bytes) -> Result<(), Closed> {
        let share = frame.len().min(QUEUE_BYTES) as u32;
        let queued = async {
            let _share =
                self.bytes_free.clone().acquire_many_owned(share).await.map_err(|_| Closed)?;
            self.queue.send(Queued { frame, _share }).await.map_err(|_| Closed)
        };
        tokio::select! {
            biased;
            () = self.closed.cancelled() => Err(Closed),
            queued = queued => queued,
        }
    }

    async fn read_frames(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        mut reader: FrameReader<ReadHalf<Box<dyn Stream>>>,
        peer: &Hello,
    ) {
        loop {
            let frame = match reader.next().await {
                Ok(Some(frame)) => frame,
                Ok(None) => return,
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
            shared.metrics.bytes_received.inc_by((HEAD_BYTES + frame.len()) as u64);
            match envelope::open(frame) {
                Ok((Header::Goodbye, _)) => {
                    self.gate().retired = true;
                    return;
                }
                Ok((header, body)) => self.dispatch(shared, peer.lane, header, body).await,
                Err(error) => {
                    shared.metrics.protocol_errors.inc();
                    tracing::warn!(peer = %peer.node, %error, "dropped a connection that sent garbage");
                    return;
                }
            }
        }
    }

    /// Handles one frame. Messages run here, one after the other, so that they keep their order;
    /// requests run beside each other, and when too many do, reading waits.
    async fn dispatch(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        lane: Lane,
        header: Header,
        body: Bytes,
    ) {
        match header {
            Header::Message { kind } => {
                shared.metrics.messages_received.inc();
                if let Err(why) = shared.handlers.call(self.peer, &kind, body).await {
                    shared.metrics.messages_unhandled.inc();
                    tracing::warn!(from = %self.peer, kind, ?why, "a message was not handled");
                }
            }
            Header::Request { id, kind } => {
                let slots = match UNSLOTTED.contains(&kind.as_str()) {
                    true => self.own_slots.clone(),
                    false => shared.request_slots[lane as usize].clone(),
                };
                let Ok(slot) = slots.acquire_owned().await else { return };
                let (this, shared2) = (self.clone(), shared.clone());
                shared.tasks.spawn("request handler", async move {
                    let reply = shared2.handlers.call(this.peer, &kind, body).await;
                    this.reply(&shared2, id, reply).await;
                    // Held to the end: a peer that reads no replies must not pile them up.
                    drop(slot);
                });
            }
            Header::Reply { id } => self.settle(id, Ok(body)),
            Header::Refused { id, why } => self.settle(id, Err(why)),
            // The reader has seen to it.
            Header::Goodbye => {}
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

/// Writes queued frames, as many as there are with one system call.
async fn write_frames(
    writer: &mut WriteHalf<Box<dyn Stream>>,
    mut frames: mpsc::Receiver<Queued>,
    written: &prometheus_client::metrics::counter::Counter,
) {
    let mut batch = Vec::with_capacity(BATCH_FRAMES);
    let mut out = BytesMut::new();
    while frames.recv_many(&mut batch, BATCH_FRAMES).await > 0 {
        if batch.len() < BATCH_FRAMES {
            // Whoever else can run now may have something to say, too. A system call for each
            // frame costs more than anything else that happens to a small one.
            tokio::task::yield_now().await;
            while batch.len() < BATCH_FRAMES
                && let Ok(queued) = frames.try_recv()
            {
                batch.push(queued);
            }
        }
        for queued in &batch {
            put_frame(&mut out, &queued.frame);
        }
        if writer.write_all(&out).await.is_err() || writer.flush().await.is_err() {
            return;
        }
        written.inc_by(out.len() as u64);
        batch.clear();
        out.clear();
        if out.capacity() > BUFFER_KEEP_BYTES {
            out = BytesMut::new();
        }
    }
}

/// Tells the other side that the connection ends for want of use. If that fails, it has ended
/// anyway.
async fn say_goodbye(writer: &mut WriteHalf<Box<dyn Stream>>) {
    let Ok(frame) = envelope::seal(&Header::Goodbye, &[]) else { return };
    let mut out = BytesMut::new();
    put_frame(&mut out, &frame);
    if writer.write_all(&out).await.is_ok() {
        let _ = writer.shutdown().await;
    }
}
