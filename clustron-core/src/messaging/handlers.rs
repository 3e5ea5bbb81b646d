//! Who takes which kind of message.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Shared;
use super::envelope::{KIND_BYTES_MAX, NotReplied, StreamEnd};
use super::options::HandlerOptions;
use super::queue::{Arrived, KindQueue};
use super::stream::{ItemSink, RawSink, StreamRequest};
use super::trace::{self, TraceContext};
use crate::codec;
use crate::identity::NodeId;

/// A value that travels between nodes. The kind names it on the wire: at most 64 bytes, unique in
/// the cluster, by convention `module.noun`. A longer one does not compile where it is used.
///
/// ```
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Greeting { text: String }
///
/// impl clustron_core::Message for Greeting {
///     const KIND: &'static str = "example.greeting";
/// }
/// ```
pub trait Message: Serialize + DeserializeOwned + Send + 'static {
    /// The name on the wire.
    const KIND: &'static str;

    /// The most bytes that one may have, encoded. What is longer is not even decoded. By default as
    /// many as a frame takes.
    const BYTES_MAX: usize = usize::MAX;
}

/// A message that is answered.
pub trait Request: Message {
    /// What the handler answers with.
    type Reply: Serialize + DeserializeOwned + Send + 'static;

    /// The most bytes that a reply may have, encoded. What is longer is not even decoded. By
    /// default as many as a frame takes.
    const REPLY_BYTES_MAX: usize = usize::MAX;
}

/// The name of a message's kind on the wire.
pub(super) const fn kind_of<M: Message>() -> &'static str {
    const { assert!(M::KIND.len() <= KIND_BYTES_MAX, "a kind has at most 64 bytes") };
    M::KIND
}

pub(crate) fn decode<M: Message>(body: &[u8]) -> Result<M, String> {
    if body.len() > M::BYTES_MAX {
        return Err(format!("{} bytes are more than the {} allowed", body.len(), M::BYTES_MAX));
    }
    codec::decode(body).map_err(|error| error.to_string())
}

type Answered = BoxFuture<'static, Result<Bytes, NotReplied>>;

/// A handler of messages or requests, for bytes.
pub(super) type Call = Arc<dyn Fn(NodeId, Bytes) -> Answered + Send + Sync>;

/// A handler of requests for streams, for bytes.
type Serve = Arc<dyn Fn(NodeId, Bytes, RawSink) -> BoxFuture<'static, StreamEnd> + Send + Sync>;

#[derive(Clone)]
enum Handler {
    /// Runs where it is called; with so many at a time at most, if there is a limit.
    Call(Call, Option<Arc<Semaphore>>),
    Queue(Arc<KindQueue>),
    Stream(Serve, Arc<Semaphore>),
}

/// The handlers of one node, by kind.
#[derive(Default)]
pub(crate) struct Handlers {
    by_kind: RwLock<BTreeMap<&'static str, Handler>>,
}

/// A handler that may run now.
pub(super) struct Ready<C> {
    call: C,
    _slot: Option<OwnedSemaphorePermit>,
}

impl Handlers {
    /// Registers a handler for one-way messages that runs where they are received, so that they
    /// stay in order with all else that a connection brings. For those of the core, which are
    /// short.
    pub(super) fn on_message_inline<M, F, Fut>(&self, handler: F)
    where
        M: Message,
        F: Fn(NodeId, M) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.register(kind_of::<M>(), Handler::Call(message_call(handler), None));
    }

    /// Registers a handler for bytes of a kind that runs where they are received.
    pub(super) fn on_bytes<F>(&self, kind: &'static str, handler: F)
    where
        F: Fn(NodeId, Bytes) -> Result<(), String> + Send + Sync + 'static,
    {
        let call: Call = Arc::new(move |from, body| {
            let taken = handler(from, body).map(|()| Bytes::new());
            let taken = taken.map_err(|reason| NotReplied::Undecodable { reason });
            futures::future::ready(taken).boxed()
        });
        self.register(kind, Handler::Call(call, None));
    }

    /// Registers a handler for one-way messages with a queue of its own; the last registration of a
    /// kind counts.
    pub(super) fn on_message<M, F, Fut>(&self, options: HandlerOptions, handler: F)
    where
        M: Message,
        F: Fn(NodeId, M) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let queue = KindQueue::new(kind_of::<M>(), message_call(handler), options);
        self.register(M::KIND, Handler::Queue(Arc::new(queue)));
    }

    /// Registers a handler for requests; the last registration of a kind counts. Without options
    /// it has no limit of its own.
    pub(super) fn on_request<R, F, Fut>(&self, options: Option<HandlerOptions>, handler: F)
    where
        R: Request,
        F: Fn(NodeId, R) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = R::Reply> + Send + 'static,
    {
        let call: Call = Arc::new(move |from, body| match decode::<R>(&body) {
            Ok(request) => handler(from, request)
                .map(|reply| match codec::encode(&reply) {
                    Ok(bytes) => Ok(bytes.into()),
                    // Our own reply type does not encode: a bug that the caller must see.
                    Err(error) => Err(NotReplied::ReplyLost { reason: error.to_string() }),
                })
                .boxed(),
            Err(error) => undecodable(error),
        });
        self.register(kind_of::<R>(), Handler::Call(call, options.map(slots)));
    }

    /// Registers a handler for requests for streams; the last registration of a kind counts.
    pub(super) fn on_stream_request<R, F, Fut, E>(&self, options: HandlerOptions, handler: F)
    where
        R: StreamRequest,
        F: Fn(NodeId, R, ItemSink<R::Item>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display,
    {
        let serve: Serve = Arc::new(move |from, body, sink| match decode::<R>(&body) {
            Ok(request) => handler(from, request, ItemSink::new(sink))
                .map(|end| match end {
                    Ok(()) => StreamEnd::Done,
                    Err(error) => StreamEnd::Failed { reason: error.to_string() },
                })
                .boxed(),
            Err(reason) => {
                let why = NotReplied::Undecodable { reason };
                futures::future::ready(StreamEnd::Refused(why)).boxed()
            }
        });
        self.register(kind_of::<R>(), Handler::Stream(serve, slots(options)));
    }

    /// What takes a request of a kind, if it may take one more.
    pub(super) fn request(&self, shared: &Shared, kind: &str) -> Result<Ready<Call>, NotReplied> {
        match self.find(kind) {
            Some((_, Handler::Call(call, None))) => Ok(Ready { call, _slot: None }),
            Some((kind, Handler::Call(call, Some(slots)))) => {
                Ok(Ready { call, _slot: Some(slot(shared, kind, slots)?) })
            }
            Some((_, Handler::Queue(_) | Handler::Stream(..))) | None => Err(NotReplied::NoHandler),
        }
    }

    /// What takes a request for a stream of a kind, if it may take one more.
    pub(super) fn stream(&self, shared: &Shared, kind: &str) -> Result<Ready<Serve>, NotReplied> {
        match self.find(kind) {
            Some((kind, Handler::Stream(call, slots))) => {
                Ok(Ready { call, _slot: Some(slot(shared, kind, slots)?) })
            }
            Some((_, Handler::Call(..) | Handler::Queue(_))) | None => Err(NotReplied::NoHandler),
        }
    }

    /// Hands a one-way message to its handler, or to the queue before it.
    pub(super) async fn deliver(
        &self,
        shared: &Arc<Shared>,
        kind: &str,
        arrived: Arrived,
    ) -> Result<(), NotReplied> {
        match self.find(kind) {
            Some((_, Handler::Queue(queue))) => queue.put(shared, arrived).await,
            Some((_, Handler::Call(call, _))) => {
                let Arrived { from, trace, body, taken, .. } = arrived;
                drop(taken);
                run(shared, &call, from, kind, trace, body).await.map(drop)
            }
            Some((_, Handler::Stream(..))) | None => Err(NotReplied::NoHandler),
        }
    }

    /// Drops every handler, and with them whatever they hold on to.
    pub(super) fn clear(&self) {
        self.by_kind.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn find(&self, kind: &str) -> Option<(&'static str, Handler)> {
        let by_kind = self.by_kind.read().unwrap_or_else(PoisonError::into_inner);
        by_kind.get_key_value(kind).map(|(kind, handler)| (*kind, handler.clone()))
    }

    fn register(&self, kind: &'static str, handler: Handler) {
        self.by_kind.write().unwrap_or_else(PoisonError::into_inner).insert(kind, handler);
    }
}

impl Ready<Call> {
    /// Runs the handler to its end.
    pub(super) async fn run(
        self,
        shared: &Shared,
        from: NodeId,
        kind: &str,
        trace: Option<TraceContext>,
        body: Bytes,
    ) -> Result<Bytes, NotReplied> {
        run(shared, &self.call, from, kind, trace, body).await
    }
}

impl Ready<Serve> {
    /// Runs the handler to its end; a panic in it becomes one.
    pub(super) async fn run(
        self,
        from: NodeId,
        kind: &str,
        body: Bytes,
        sink: RawSink,
    ) -> StreamEnd {
        let run = AssertUnwindSafe(async { (self.call)(from, body, sink).await });
        run.catch_unwind()
            .await
            .unwrap_or_else(|panic| StreamEnd::Refused(panicked(panic.as_ref(), from, kind)))
    }
}

/// Runs a handler to its end, within the trace of what it handles; a panic in it becomes an answer.
pub(super) async fn run(
    shared: &Shared,
    call: &Call,
    from: NodeId,
    kind: &str,
    trace: Option<TraceContext>,
    body: Bytes,
) -> Result<Bytes, NotReplied> {
    match trace {
        None => Running::begin(call, from, kind, body).await,
        Some(trace) => {
            let span = Some(trace.child(&shared.chance));
            let run = async { Running::begin(call, from, kind, body).await };
            trace::within(span, shared.local.id, kind, run).await
        }
    }
}

/// A handler that runs; a panic in it becomes an answer.
pub(super) struct Running<'a> {
    handling: Answered,
    from: NodeId,
    kind: &'a str,
}

impl<'a> Running<'a> {
    /// Calls the handler. What it does from its first wait on is done as this is polled.
    pub(super) fn begin(call: &Call, from: NodeId, kind: &'a str, body: Bytes) -> Self {
        let begun = std::panic::catch_unwind(AssertUnwindSafe(|| call(from, body)));
        let handling = begun.unwrap_or_else(|panic| {
            futures::future::ready(Err(panicked(panic.as_ref(), from, kind))).boxed()
        });
        Self { handling, from, kind }
    }
}

impl Future for Running<'_> {
    type Output = Result<Bytes, NotReplied>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let polled =
            std::panic::catch_unwind(AssertUnwindSafe(|| self.handling.as_mut().poll(context)));
        polled.unwrap_or_else(|panic| {
            Poll::Ready(Err(panicked(panic.as_ref(), self.from, self.kind)))
        })
    }
}

fn panicked(panic: &(dyn std::any::Any + Send), from: NodeId, kind: &str) -> NotReplied {
    let panic = crate::tasks::panic_text(panic);
    tracing::error!(kind, %from, panic, "a message handler panicked");
    NotReplied::Panicked
}

fn message_call<M, F, Fut>(handler: F) -> Call
where
    M: Message,
    F: Fn(NodeId, M) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    Arc::new(move |from, body| match decode::<M>(&body) {
        Ok(message) => handler(from, message).map(|()| Ok(Bytes::new())).boxed(),
        Err(error) => undecodable(error),
    })
}

fn slots(options: HandlerOptions) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(options.at_once.get() as usize))
}

fn slot(
    shared: &Shared,
    kind: &'static str,
    slots: Arc<Semaphore>,
) -> Result<OwnedSemaphorePermit, NotReplied> {
    slots.try_acquire_owned().map_err(|_| {
        shared.metrics.requests_turned_away.get_or_create(&[("kind", kind)]).inc();
        NotReplied::Busy
    })
}

fn undecodable(reason: String) -> Answered {
    futures::future::ready(Err(NotReplied::Undecodable { reason })).boxed()
}
