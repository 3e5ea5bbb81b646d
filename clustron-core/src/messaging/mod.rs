//! Typed messages between nodes: one-way, to all, and request/reply with a deadline.
//!
//! Each node opens a connection per peer and lane when it first has something to say, and answers
//! requests on the connection that brought them. A connection that ends is evidence for the failure
//! detector; without layers nothing is ever sent twice by itself.
//!
//! | file | what |
//! | --- | --- |
//! | `handshake`, `listen`, `link` | who may talk, and how connections come about |
//! | `connection` | the frames of one without layers |
//! | `conversation` | the same through layers, over one connection after the other |
//! | `session` | what is said to and by one peer, over whichever of the two |
//! | `address_book`, `whereabouts` | where others live, and looking whether they do |
//! | `frame`, `envelope` | the bytes on them |
//! | `pulse`, `gate`, `backoff`, `places` | when one is dead, unused, dialled again, too many |
//! | `flush` | what was said leaves before the node does |
//! | `handlers`, `queue`, `options`, `notices` | who takes what, and what becomes of too much |
//! | `stream` | replies in many items, with credit |
//! | `retry`, `trace` | pauses between tries; one request as one trace |

mod address_book;
mod backoff;
mod connection;
mod conversation;
#[cfg(feature = "simulation")]
mod decoders;
mod envelope;
mod error;
mod flush;
mod frame;
mod gate;
mod handlers;
mod handshake;
mod knocks;
mod link;
mod listen;
mod notices;
mod options;
mod outgoing;
mod places;
mod pulse;
mod queue;
mod quiet;
mod retry;
mod session;
mod shared;
mod stream;
mod trace;
mod whereabouts;

use std::fmt;
use std::future::Future;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use envelope::Header;
use tokio::sync::mpsc;

#[cfg(feature = "simulation")]
pub(crate) use decoders::DECODERS;
pub(crate) use envelope::KIND_BYTES_MAX;
use error::not_replied;
pub use error::{MessageError, Outcome};
pub(crate) use handlers::{Handlers, decode};
pub use handlers::{Message, Request};
pub(crate) use handshake::{HandshakeError, Hello, Lane, Process};
pub use handshake::{OtherLayers, Refusal};
pub(crate) use link::DialError;
pub use options::{HandlerOptions, RequestOptions, Retry, StreamOptions, WhenFull};
pub(crate) use pulse::SILENCE_MAX;
use queue::Arrived;
pub(crate) use retry::Pauses;
use session::Lost;
use shared::Shared;
pub(crate) use shared::{MessengerConfig, PeerNews};
use stream::{Ask, Back};
pub use stream::{ItemSink, ReplyStream, SinkError, StreamRequest};
pub use trace::{InvalidTraceparent, TraceContext};

use crate::chance::Chance;
use crate::codec;
use crate::identity::NodeId;
use crate::local::Local;
use crate::metrics::CoreMetrics;
use crate::tasks::Tasks;
use crate::transport::Transport;

/// What a header takes at most besides the kind's name: a trace, two varints and some tags.
pub(crate) const HEADER_BYTES: usize = 64;

/// A node's messaging. Clones are the same.
#[derive(Clone)]
pub(crate) struct Messenger {
    shared: Arc<Shared>,
}

impl Messenger {
    pub(crate) fn new(
        config: &MessengerConfig,
        local: Arc<Local>,
        transport: Arc<dyn Transport>,
        handlers: Handlers,
        chance: Arc<Chance>,
        metrics: Arc<CoreMetrics>,
        tasks: Tasks,
    ) -> (Self, mpsc::Receiver<PeerNews>) {
        let (shared, news) =
            Shared::new(config, local, transport, handlers, chance, metrics, tasks);
        (Self { shared: Arc::new(shared) }, news)
    }

    /// Waits until everything that was said so far has been written and, where layers confirm it,
    /// confirmed. Drop it to wait no longer.
    pub(crate) async fn flush(&self) {
        self.shared.flush.all_left().await;
    }

    /// Registers a handler for one-way messages that runs where they are received: all messages of
    /// one sender and lane stay in order, and the handler must be short.
    pub(crate) fn on_message_inline<M, F, Fut>(&self, handler: F)
    where
        M: Message,
        F: Fn(NodeId, M) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.shared.handlers.on_message_inline(handler);
    }

    /// The same for bytes of a kind.
    pub(crate) fn on_bytes<F>(&self, kind: &'static str, handler: F)
    where
        F: Fn(NodeId, Bytes) -> Result<(), String> + Send + Sync + 'static,
    {
        self.shared.handlers.on_bytes(kind, handler);
    }

    /// Registers a handler for one-way messages, with a queue of its own. Messages of one sender,
    /// kind and lane arrive in order, each after the handler of the one before has ended.
    pub(crate) fn on_message<M, F, Fut>(&self, options: HandlerOptions, handler: F)
    where
        M: Message,
        F: Fn(NodeId, M) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.shared.handlers.on_message(options, handler);
    }

    /// Registers a handler for requests; handlers run beside each other.
    pub(crate) fn on_request<R, F, Fut>(&self, handler: F)
    where
        R: Request,
        F: Fn(NodeId, R) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = R::Reply> + Send + 'static,
    {
        self.shared.handlers.on_request(None, handler);
    }

    /// The same with a limit to how many run.
    pub(crate) fn on_request_with<R, F, Fut>(&self, options: HandlerOptions, handler: F)
    where
        R: Request,
        F: Fn(NodeId, R) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = R::Reply> + Send + 'static,
    {
        self.shared.handlers.on_request(Some(options), handler);
    }

    /// Registers a handler for requests for streams.
    pub(crate) fn on_stream_request<R, F, Fut, E>(&self, options: HandlerOptions, handler: F)
    where
        R: StreamRequest,
        F: Fn(NodeId, R, ItemSink<R::Item>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display,
    {
        self.shared.handlers.on_stream_request(options, handler);
    }

    /// Sends a one-way message: at most once, in order per addressee, kind and lane. Returns when a
    /// connection has taken it; waits while the connection's queue is full.
    pub(crate) async fn send<M: Message>(
        &self,
        to: NodeId,
        lane: Lane,
        message: &M,
    ) -> Result<(), MessageError> {
        let body = self.encode(message)?;
        self.shared.metrics.messages_sent.inc();
        let trace = TraceContext::current();
        if to == self.shared.local.id {
            let body = body.into();
            let arrived = Arrived { from: to, session: None, trace, body, taken: None };
            let taken = self.shared.handlers.deliver(&self.shared, M::KIND, arrived).await;
            return taken.map_err(|why| not_replied(to, M::KIND, why));
        }
        let session = self.session(to, lane).await?;
        let sent = session.send(M::KIND, trace, &body).await;
        sent.map_err(|_| MessageError::Disconnected { node: to })
    }

    /// The same with bytes, to another node. They must fit into a frame.
    pub(crate) async fn send_bytes(
        &self,
        to: NodeId,
        lane: Lane,
        kind: &'static str,
        body: &[u8],
    ) -> Result<(), MessageError> {
        self.shared.metrics.messages_sent.inc();
        let session = self.session(to, lane).await?;
        let sent = session.send(kind, None, body).await;
        sent.map_err(|_| MessageError::Disconnected { node: to })
    }

    /// Sends a request and waits at most `deadline` for the reply. It is processed at most once.
    pub(crate) async fn request<R: Request>(
        &self,
        to: NodeId,
        lane: Lane,
        request: &R,
        deadline: Duration,
    ) -> Result<R::Reply, MessageError> {
        let body = self.encode(request)?;
        self.shared.metrics.requests_sent.inc();
        let (kind, trace) = (R::KIND, TraceContext::current());
        let reply = async {
            if to == self.shared.local.id {
                let ready = match self.shared.handlers.request(&self.shared, kind) {
                    Ok(ready) => ready,
                    Err(why) => return Ok(Err(why)),
                };
                return Ok(ready.run(&self.shared, to, kind, trace, body.into()).await);
            }
            let session = self.session(to, lane).await?;
            let reply = session.request(kind, trace, &body).await;
            reply.map_err(|lost| match lost {
                Lost::Unknown => MessageError::Disconnected { node: to },
                Lost::NotSent { reason } => {
                    let addr = self.address(to).unwrap_or_default();
                    MessageError::Unreachable { node: to, addr, reason, gone: false }
                }
            })
        };
        let asked_at = tokio::time::Instant::now();
        let reply = tokio::time::timeout(deadline, reply)
            .await
            .map_err(|_| MessageError::Timeout { node: to, kind, deadline })??;
        self.shared.metrics.request_seconds.observe(kind, asked_at.elapsed());
        let body = reply.map_err(|why| not_replied(to, kind, why))?;
        let bad = |reason| MessageError::BadReply { node: to, kind, reason };
        if body.len() > R::REPLY_BYTES_MAX {
            let (bytes, max) = (body.len(), R::REPLY_BYTES_MAX);
            return Err(bad(format!("{bytes} bytes are more than the {max} allowed")));
        }
        codec::decode(&body).map_err(|error| bad(error.to_string()))
    }

    /// Asks for a stream of replies, on the lane for these or another.
    pub(crate) async fn request_stream<R: StreamRequest>(
        &self,
        to: NodeId,
        lane: Lane,
        request: &R,
        options: &StreamOptions,
    ) -> Result<ReplyStream<R::Item>, MessageError> {
        let body = self.encode(request)?;
        self.shared.metrics.requests_sent.inc();
        let ask = Ask::new(to, R::KIND, options);
        let inbox = ask.inbox();
        if to == self.shared.local.id {
            let gate = stream::serve_here(&self.shared, ask, body.into(), inbox.clone())
                .map_err(|why| not_replied(to, R::KIND, why))?;
            return Ok(ReplyStream::new(ask, inbox, Back::Gate(gate)));
        }
        let in_use = self.session(to, lane).await?;
        let session = in_use.session().clone();
        let id = session.next_id();
        session.streams.open(id, inbox.clone());
        let back = Back::Session {
            session: in_use,
            id,
            tasks: self.shared.tasks.clone(),
            runtime: tokio::runtime::Handle::current(),
        };
        // From here on dropping it forgets the stream.
        let stream = ReplyStream::new(ask, inbox, back);
        let lost = MessageError::Disconnected { node: to };
        // The reader may have closed just before the stream was opened.
        if session.is_closed() {
            return Err(lost);
        }
        let header = Header::StreamRequest {
            trace: TraceContext::current(),
            id,
            kind: R::KIND.to_owned(),
            items: ask.items,
            bytes: ask.bytes,
        };
        let frame = envelope::seal(&header, &body);
        let frame = frame.map_err(|error| MessageError::Encode(error.to_string()))?;
        session.enqueue(frame).await.map_err(|_| lost)?;
        Ok(stream)
    }

    /// Drops the handlers, which may hold on to whatever owns this messenger.
    pub(crate) fn clear_handlers(&self) {
        self.shared.handlers.clear();
    }

    fn encode<M: Message>(&self, message: &M) -> Result<Vec<u8>, MessageError> {
        let body = codec::encode(message).map_err(|e| MessageError::Encode(e.to_string()))?;
        let (bytes, max) = (
            body.len() + handlers::kind_of::<M>().len() + HEADER_BYTES,
            self.shared.frame_bytes_max,
        );
        if bytes > max {
            return Err(MessageError::TooLarge { bytes, max });
        }
        Ok(body)
    }

    async fn session(&self, to: NodeId, lane: Lane) -> Result<session::InUse, MessageError> {
        let link = {
            let mut links = self.shared.links.lock().unwrap_or_else(PoisonError::into_inner);
            match links.get(&(to, lane)) {
                Some(link) => link.clone(),
                None => {
                    self.shared.address(to)?;
                    links.entry((to, lane)).or_default().clone()
                }
            }
        };
        link.session(&self.shared, to, lane).await
    }
}

#[cfg(test)]
mod tests;
