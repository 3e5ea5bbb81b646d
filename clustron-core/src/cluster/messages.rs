//! What nodes say to each other, through the handle: messages, requests, streams and events.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::ClusterHandle;
use crate::codec;
use crate::event_bus::{Event, EventBus, PublishError, Subscription};
use crate::identity::NodeId;
use crate::messaging::{
    HandlerOptions, ItemSink, Lane, Message, MessageError, Pauses, ReplyStream, Request,
    RequestOptions, StreamOptions, StreamRequest, TraceContext,
};

impl ClusterHandle {
    /// Sends a one-way message: at most once, in order per sender, addressee and kind. Waits while
    /// the connection's queue is full. What modules send travels on another connection than what
    /// the application does, so that neither holds the other up. A message to this node itself does
    /// not wait for room in the queue of its kind.
    ///
    /// What its receiver does not take, because it has no handler for the kind or drops what it has
    /// no room for, it tells this node a moment later, which logs and counts it
    /// (`clustron_core_messages_not_taken_total`).
    ///
    /// # Errors
    /// See [`MessageError`]; with [`Outcome::NotApplied`](crate::Outcome::NotApplied) it is safe to
    /// send again.
    pub async fn send<M: Message>(&self, to: NodeId, message: &M) -> Result<(), MessageError> {
        self.inner.messenger.send(to, self.lane, message).await
    }

    /// Sends a one-way message to every other node that is alive in the view. Gives the errors by
    /// node; the nodes that are not named were sent to.
    pub async fn broadcast<M: Message + Sync>(&self, message: &M) -> Vec<(NodeId, MessageError)> {
        let me = self.inner.local.id;
        let others: Vec<NodeId> =
            self.view().alive().map(|n| n.id).filter(|id| *id != me).collect();
        let sends = others
            .into_iter()
            .map(|id| async move { self.send(id, message).await.err().map(|error| (id, error)) });
        futures::future::join_all(sends).await.into_iter().flatten().collect()
    }

    /// Sends a request and waits at most `deadline` for its reply. It is processed at most once.
    ///
    /// # Errors
    /// See [`MessageError`].
    pub async fn request<R: Request>(
        &self,
        to: NodeId,
        request: &R,
        deadline: Duration,
    ) -> Result<R::Reply, MessageError> {
        self.inner.messenger.request(to, self.lane, request, deadline).await
    }

    /// Sends a request, if need be several times, and waits for its reply. It is tried again only
    /// while it is certain that it had no effect, so it is processed at most once, too.
    ///
    /// ```
    /// use clustron_core::{Cluster, Message, Request, RequestOptions, Retry};
    /// use std::time::Duration;
    ///
    /// #[derive(serde::Serialize, serde::Deserialize)]
    /// struct Stock { article: u64 }
    ///
    /// impl Message for Stock {
    ///     const KIND: &'static str = "example.stock";
    /// }
    /// impl Request for Stock {
    ///     type Reply = u32;
    /// }
    ///
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let cluster = Cluster::builder("orders").start().await?;
    /// cluster.on_request(|_from, stock: Stock| async move { stock.article as u32 * 3 });
    /// // Until it is answered, for two seconds at most; also if the node is busy or starts just
    /// // now.
    /// let options =
    ///     RequestOptions { deadline: Duration::from_secs(2), retry: Retry::not_applied() };
    /// let request = Stock { article: 7 };
    /// assert_eq!(cluster.request_with(cluster.node().id, &request, &options).await?, 21);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// That of the last try; see [`MessageError`].
    pub async fn request_with<R: Request>(
        &self,
        to: NodeId,
        request: &R,
        options: &RequestOptions,
    ) -> Result<R::Reply, MessageError> {
        let until = crate::tasks::until(options.deadline);
        let mut pauses = Pauses::new(options.retry);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let error = match self.request(to, request, left).await {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            let left = until.saturating_duration_since(Instant::now());
            match pauses.next(&error, left, &self.inner.chance) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(error),
            }
        }
    }

    /// Asks for a stream of replies, for what is too large for one frame or comes little by little:
    /// see [`StreamRequest`]. Neither side holds more of it than the options allow, and it delays
    /// no other messages. The handler runs at most once.
    ///
    /// # Errors
    /// See [`MessageError`]. What the other node says, also that it has no handler, comes as an
    /// error of the stream.
    pub async fn request_stream<R: StreamRequest>(
        &self,
        to: NodeId,
        request: &R,
        options: &StreamOptions,
    ) -> Result<ReplyStream<R::Item>, MessageError> {
        self.inner.messenger.request_stream(to, Lane::Bulk, request, options).await
    }

    /// Takes one-way messages of a kind from now on; the last handler of a kind counts. One
    /// sender's messages of a kind arrive in order, each after the handler of the one before has
    /// ended. Each kind has a queue of its own: messages of different kinds come in any order, and
    /// a slow handler of one does not delay another as long as its own queue has room.
    pub fn on_message<M, F, Fut>(&self, handler: F)
    where
        M: Message,
        F: Fn(NodeId, M) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.on_message_with(HandlerOptions::default(), handler);
    }

    /// The same with a queue as wanted.
    pub fn on_message_with<M, F, Fut>(&self, options: HandlerOptions, handler: F)
    where
        M: Message,
        F: Fn(NodeId, M) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.inner.messenger.on_message(options, handler);
    }

    /// Answers requests of a kind from now on; the last handler of a kind counts. Handlers run
    /// beside each other.
    pub fn on_request<R, F, Fut>(&self, handler: F)
    where
        R: Request,
        F: Fn(NodeId, R) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = R::Reply> + Send + 'static,
    {
        self.on_request_with(HandlerOptions::default(), handler);
    }

    /// The same with as many at a time as wanted.
    pub fn on_request_with<R, F, Fut>(&self, options: HandlerOptions, handler: F)
    where
        R: Request,
        F: Fn(NodeId, R) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = R::Reply> + Send + 'static,
    {
        self.inner.messenger.on_request_with(options, handler);
    }

    /// Answers requests of a kind with streams from now on; the last handler of a kind counts. The
    /// stream ends where the handler does: in order if that gives `Ok`, and with its error
    /// otherwise. When the reader drops the stream, or is gone, the handler's future is dropped at
    /// its next `await`.
    pub fn on_stream_request<R, F, Fut, E>(&self, handler: F)
    where
        R: StreamRequest,
        F: Fn(NodeId, R, ItemSink<R::Item>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display,
    {
        self.on_stream_request_with(HandlerOptions::default(), handler);
    }

    /// The same with as many at a time as wanted.
    pub fn on_stream_request_with<R, F, Fut, E>(&self, options: HandlerOptions, handler: F)
    where
        R: StreamRequest,
        F: Fn(NodeId, R, ItemSink<R::Item>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display,
    {
        self.inner.messenger.on_stream_request(options, handler);
    }

    /// Tells an event to whoever subscribes to its kind, on all nodes that are alive in the view,
    /// this one included: at most once, and in the order in which it was published here. It waits
    /// for no subscriber; see [`Received`](crate::event_bus::Received) for what one is told that
    /// misses events.
    ///
    /// # Errors
    /// See [`PublishError`].
    pub async fn publish<E: Event>(&self, event: &E) -> Result<(), PublishError> {
        let body = codec::encode(event).map_err(|e| PublishError::Encode(e.to_string()))?;
        self.inner.event_bus.publish(E::KIND, body.into()).await
    }

    /// Hears the events of a kind from now on. A node that has told others that it wants none of
    /// the kind hears theirs when they know better, a moment later.
    pub fn subscribe<E: Event>(&self) -> Subscription<E> {
        Subscription::new(self.inner.event_bus.subscribe(E::KIND))
    }

    /// The bus that carries events, for those whose types are not known when the program is built.
    pub fn event_bus(&self) -> Arc<dyn EventBus> {
        self.inner.event_bus.clone()
    }

    /// Begins a new trace, in whose [scope](TraceContext::scope) to send.
    pub fn begin_trace(&self) -> TraceContext {
        TraceContext::begin(&self.inner.chance)
    }
}
