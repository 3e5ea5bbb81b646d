//! Running the handlers of streams.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::SERVED_MAX;
use super::allowance::Allowance;
use super::inbox::{End, Inbox};
use super::reply_stream::Ask;
use super::sink::{Out, RawSink, SinkError};
use crate::identity::NodeId;
use crate::messaging::Shared;
use crate::messaging::envelope::{self, Header, NotReplied, StreamEnd};
use crate::messaging::session::Session;
use crate::messaging::trace::{self, TraceContext};

/// How far the handler of one stream may go: the reader opens it.
#[derive(Debug)]
pub(in super::super) struct Gate {
    allowance: Mutex<Allowance>,
    granted: Notify,
    cancelled: CancellationToken,
}

impl Gate {
    pub(super) fn new(items: u32, bytes: u32) -> Self {
        let allowance = Mutex::new(Allowance::new(items, bytes));
        Self { allowance, granted: Notify::new(), cancelled: CancellationToken::new() }
    }

    pub(super) fn grant(&self, items: u32, bytes: u32) {
        self.allowance.lock().unwrap_or_else(PoisonError::into_inner).grant(items, bytes);
        self.granted.notify_one();
    }

    /// Nobody reads any more.
    pub(super) fn cancel(&self) {
        self.cancelled.cancel();
    }

    /// Waits until the next item may go.
    pub(super) async fn opened(&self) -> Result<(), SinkError> {
        loop {
            if self.cancelled.is_cancelled() {
                return Err(SinkError::ReaderGone);
            }
            let allowance = *self.allowance.lock().unwrap_or_else(PoisonError::into_inner);
            if allowance.is_open() {
                return Ok(());
            }
            tokio::select! {
                biased;
                () = self.cancelled.cancelled() => {}
                () = self.granted.notified() => {}
            }
        }
    }

    /// An item went.
    pub(super) fn spend(&self, bytes: usize) {
        let spent = self.allowance.lock().unwrap_or_else(PoisonError::into_inner).spend(bytes);
        debug_assert!(
            spent.is_ok(),
            "only the stream's one sink sends, and it waits to be allowed"
        );
    }
}

/// A peer asks twice for a stream with the same id.
#[derive(Debug, thiserror::Error)]
#[error("a stream was asked for twice with the same id")]
pub(in super::super) struct AskedTwice;

/// What a peer asks for.
pub(in super::super) struct Asked {
    pub(in super::super) trace: Option<TraceContext>,
    pub(in super::super) id: u64,
    pub(in super::super) kind: String,
    pub(in super::super) items: u32,
    pub(in super::super) bytes: u32,
    pub(in super::super) body: Bytes,
}

/// Serves a stream to a peer.
pub(in super::super) async fn serve(
    shared: &Arc<Shared>,
    session: &Arc<Session>,
    asked: Asked,
) -> Result<(), AskedTwice> {
    let Asked { trace, id, kind, items, bytes, body } = asked;
    let gate = Arc::new(Gate::new(items, bytes));
    let ready = {
        let mut served = session.streams.served.lock().unwrap_or_else(PoisonError::into_inner);
        if served.contains_key(&id) {
            return Err(AskedTwice);
        }
        let room = served.len() < SERVED_MAX;
        let ready =
            if room { shared.handlers.stream(shared, &kind) } else { Err(NotReplied::Busy) };
        if ready.is_ok() {
            served.insert(id, gate.clone());
        }
        ready
    };
    let ready = match ready {
        Ok(ready) => ready,
        Err(why) => {
            // Beside the reading, which must not wait until it can write.
            let Some(slot) = session.own_slot().await else { return Ok(()) };
            let session = session.clone();
            shared.tasks.spawn("stream refusal", async move {
                say_end(&session, id, StreamEnd::Refused(why)).await;
                drop(slot);
            });
            return Ok(());
        }
    };
    // The connection may have ended just before the insertion above.
    if session.is_closed() {
        gate.cancel();
    }
    let (session, shared2) = (session.clone(), shared.clone());
    shared.tasks.spawn("stream handler", async move {
        let out = Out::Session { session: session.clone(), id };
        let frame_bytes_max = shared2.frame_bytes_max;
        let sink = RawSink { gate: gate.clone(), out, frame_bytes_max };
        let trace = trace.map(|trace| trace.child(&shared2.chance));
        let run = ready.run(session.peer, &kind, body, sink);
        let run = trace::within(trace, shared2.local.id, &kind, run);
        let end = tokio::select! {
            biased;
            () = gate.cancelled.cancelled() => None,
            end = run => Some(end),
        };
        session.streams.served.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        if let Some(end) = end {
            say_end(&session, id, end).await;
        }
    });
    Ok(())
}

/// Serves a stream to this node itself.
pub(in super::super) fn serve_here(
    shared: &Arc<Shared>,
    ask: Ask,
    body: Bytes,
    inbox: Arc<Inbox>,
) -> Result<Arc<Gate>, NotReplied> {
    let ready = shared.handlers.stream(shared, ask.kind)?;
    let gate = Arc::new(Gate::new(ask.items, ask.bytes));
    let (gate2, shared2) = (gate.clone(), shared.clone());
    let trace = TraceContext::current().map(|trace| trace.child(&shared.chance));
    let lost = LostWhenDropped(inbox.clone());
    let me: NodeId = shared.local.id;
    shared.tasks.spawn("stream handler", async move {
        let frame_bytes_max = shared2.frame_bytes_max;
        let sink = RawSink { gate: gate2.clone(), out: Out::Inbox(inbox), frame_bytes_max };
        let run = trace::within(trace, me, ask.kind, ready.run(me, ask.kind, body, sink));
        tokio::select! {
            biased;
            () = gate2.cancelled.cancelled() => {}
            end = run => lost.0.end(End::Said(end)),
        }
    });
    Ok(gate)
}

/// A reader must learn of the end of its handler's task, however it ends.
struct LostWhenDropped(Arc<Inbox>);

impl Drop for LostWhenDropped {
    fn drop(&mut self) {
        // The first end counts.
        self.0.end(End::Lost);
    }
}

async fn say_end(session: &Session, id: u64, how: StreamEnd) {
    let how = match how {
        // What a handler says of its error may be of any length.
        StreamEnd::Failed { reason } => StreamEnd::Failed { reason: brief(&reason) },
        how => how,
    };
    match envelope::seal(&Header::StreamEnd { id, how }, &[]) {
        // If the connection is gone, so is the reader, and knows it.
        Ok(frame) => drop(session.enqueue(frame).await),
        Err(error) => tracing::error!(%error, "the end of a stream cannot be encoded"),
    }
}

/// The beginning of a text, at most 1024 characters.
fn brief(text: &str) -> String {
    text.chars().take(1024).collect()
}
