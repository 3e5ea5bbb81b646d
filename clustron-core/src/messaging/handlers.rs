//! Who takes which kind of message.

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::{Serialize, de::DeserializeOwned};

use super::envelope::NotReplied;
use crate::codec;
use crate::identity::NodeId;

/// A value that travels between nodes. The kind names it on the wire: at most 64 bytes, unique in
/// the cluster, by convention `module.noun`.
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
}

fn decode<M: Message>(body: &[u8]) -> Result<M, String> {
    if body.len() > M::BYTES_MAX {
        return Err(format!("{} bytes are more than the {} allowed", body.len(), M::BYTES_MAX));
    }
    codec::decode(body).map_err(|error| error.to_string())
}

type Handler =
    Arc<dyn Fn(NodeId, Bytes) -> BoxFuture<'static, Result<Bytes, NotReplied>> + Send + Sync>;

/// The handlers of one node, by kind.
#[derive(Default)]
pub(crate) struct Handlers {
    by_kind: RwLock<BTreeMap<&'static str, Handler>>,
}

impl Handlers {
    /// Registers a handler for one-way messages; the last registration of a kind counts.
    pub(crate) fn on_message<M, F, Fut>(&self, handler: F)
    where
        M: Message,
        F: Fn(NodeId, M) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.register(
            M::KIND,
            Arc::new(move |from, body| match decode::<M>(&body) {
                Ok(message) => handler(from, message).map(|()| Ok(Bytes::new())).boxed(),
                Err(error) => undecodable(&error),
            }),
        );
    }

    /// Registers a handler for requests; the last registration of a kind counts.
    pub(crate) fn on_request<R, F, Fut>(&self, handler: F)
    where
        R: Request,
        F: Fn(NodeId, R) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = R::Reply> + Send + 'static,
    {
        self.register(
            R::KIND,
            Arc::new(move |from, body| match decode::<R>(&body) {
                Ok(request) => handler(from, request)
                    .map(|reply| match codec::encode(&reply) {
                        Ok(bytes) => Ok(bytes.into()),
                        // Our own reply type does not encode: a bug that the caller must see.
                        Err(error) => Err(NotReplied::ReplyLost { reason: error.to_string() }),
                    })
                    .boxed(),
                Err(error) => undecodable(&error),
            }),
        );
    }

    /// Runs the handler for a kind to its end; a panic in it becomes an answer.
    pub(crate) async fn call(
        &self,
        from: NodeId,
        kind: &str,
        body: Bytes,
    ) -> Result<Bytes, NotReplied> {
        let handler = {
            let by_kind = self.by_kind.read().unwrap_or_else(PoisonError::into_inner);
            by_kind.get(kind).cloned()
        };
        let Some(handler) = handler else { return Err(NotReplied::NoHandler) };
        let run = AssertUnwindSafe(async { handler(from, body).await });
        run.catch_unwind().await.unwrap_or_else(|panic| {
            let panic = crate::tasks::panic_text(panic.as_ref());
            tracing::error!(kind, %from, panic, "a message handler panicked");
            Err(NotReplied::Panicked)
        })
    }

    /// Drops every handler, and with them whatever they hold on to.
    pub(crate) fn clear(&self) {
        self.by_kind.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn register(&self, kind: &'static str, handler: Handler) {
        self.by_kind.write().unwrap_or_else(PoisonError::into_inner).insert(kind, handler);
    }
}

fn undecodable(error: &str) -> BoxFuture<'static, Result<Bytes, NotReplied>> {
    futures::future::ready(Err(NotReplied::Undecodable { reason: error.to_string() })).boxed()
}
