//! Events: what one node tells all who want to know.
//!
//! It is a notice board, not a letter box. Whoever looks at it sees what is put up from then on, in
//! the order of each author; what nobody looks at is lost; and a reader who is away for too long
//! finds a note of how many notices were taken down meanwhile. Nobody who puts up a notice waits
//! for readers. For what must not be lost there is the log.
//!
//! ```
//! use clustron_core::{Cluster, Message};
//! use clustron_core::event_bus::{Event, Received};
//!
//! #[derive(Debug, serde::Serialize, serde::Deserialize)]
//! struct PriceChanged { article: u64, cents: u64 }
//!
//! impl Message for PriceChanged {
//!     const KIND: &'static str = "shop.price-changed";
//! }
//! impl Event for PriceChanged {}
//!
//! # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let cluster = Cluster::builder("orders").start().await?;
//! let mut prices = cluster.subscribe::<PriceChanged>();
//! cluster.publish(&PriceChanged { article: 7, cents: 250 }).await?;
//! match prices.next().await.expect("the node lives") {
//!     Received::Event { event, .. } => assert_eq!(event.cents, 250),
//!     // Something was missed: look the prices up where they are kept.
//!     other => panic!("{other:?}"),
//! }
//! # Ok(()) }
//! ```
//!
//! The cluster's own bus sends events straight to the nodes that want them. Another one can take
//! its place ([`ClusterBuilder::event_bus`](crate::ClusterBuilder::event_bus)): it implements
//! [`EventBus`], most easily with [`Subscribers`], and passes the conformance suite in
//! `clustron-testkit`.

mod cluster_bus;
mod feed;
mod interest;
mod memory;
mod outbox;
mod subscribers;
mod subscription;

use std::fmt;

use bytes::Bytes;
use futures::future::BoxFuture;

pub(crate) use cluster_bus::start;
pub use feed::RawSubscription;
pub use memory::MemoryEventBus;
pub use subscribers::{Origin, Subscribers};
pub use subscription::Subscription;

use crate::identity::NodeId;
use crate::messaging::Message;
#[cfg(feature = "simulation")]
use crate::simulation::Decoder;

#[cfg(feature = "simulation")]
pub(crate) const DECODERS: [Decoder; 2] = [interest::WANTS, cluster_bus::EVENTS];

/// A message that is told to whoever subscribes to its kind.
pub trait Event: Message {}

/// What a subscription receives.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Received<E> {
    /// The next event of a publisher.
    Event {
        /// The node that published it.
        from: NodeId,
        /// What it published.
        event: E,
    },
    /// Events were lost on the way: the publisher has published so many more of this kind since the
    /// one before. Only a later event shows that, so of the last ones nobody knows.
    Gap {
        /// The publisher.
        from: NodeId,
        /// How many are missing, at least one.
        missed: u64,
    },
    /// The subscriber was too slow: so many events, of whatever publishers, were dropped here to
    /// make room for later ones.
    Lagged(u64),
    /// An event came that is not of the type that is expected: the publisher runs another version.
    Unreadable {
        /// The publisher.
        from: NodeId,
        /// What the decoder said.
        reason: String,
    },
}

/// Why an event was not published. Nobody has received it.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The event is larger than the bus carries. Publish less at once, or where it can be found.
    #[error("the event has {bytes} bytes, the bus carries {max}: publish less at once")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit; of the cluster's own bus, what `Config::frame_bytes_max` leaves.
        max: usize,
    },
    /// The kind's name is longer than a name may be.
    #[error("the kind {kind:?} has {} bytes, at most 64 are allowed: choose a shorter name", kind.len())]
    Kind {
        /// The name.
        kind: String,
    },
    /// The event's type has a shape that the codec does not carry; a bug.
    #[error("the event cannot be encoded: {0}")]
    Encode(String),
    /// The node has ended, or the bus has failed for good.
    #[error("the bus is closed: {0}")]
    Closed(String),
}

/// What carries events between the nodes of a cluster, as bytes.
///
/// What it promises, which a conformance suite checks:
///
/// * an event reaches every subscription to its kind at every node, the publishing one included, at
///   most once, and those of one publisher and kind in the order in which they were published;
/// * an event that is missing shows as a [`Gap`](Received::Gap) when the next one comes;
/// * neither a slow subscription nor a node that is not reached delays publishers or other
///   subscriptions; a slow one is told how much it has missed;
/// * after [`close`](Self::close) subscriptions end.
pub trait EventBus: fmt::Debug + Send + Sync + 'static {
    /// Publishes an event. A kind is a name of at most 64 bytes.
    fn publish<'a>(
        &'a self,
        kind: &'a str,
        event: Bytes,
    ) -> BoxFuture<'a, Result<(), PublishError>>;

    /// Hears the events of a kind from now on.
    fn subscribe(&self, kind: &str) -> RawSubscription;

    /// Ends all subscriptions of this node, which is ending.
    fn close(&self);
}
