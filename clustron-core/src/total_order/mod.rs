//! Total order broadcast: messages that all nodes receive in one and the same order.
//!
//! A module to be installed where it is wanted, by all members. Whoever follows the control log,
//! as members, witnesses and clients do, broadcasts and reads. What is broadcast goes through the
//! control log, and each node delivers it where it applies it. It is for small and rare things,
//! such as changes of configuration: each takes a place in the log, which also carries the
//! cluster's own life. For events of which some may be lost there is the [event
//! bus](crate::event_bus).
//!
//! ```
//! use clustron_core::Message;
//! use clustron_core::total_order::{Delivery, TotalOrder};
//! use std::time::Duration;
//!
//! #[derive(Debug, serde::Serialize, serde::Deserialize)]
//! struct PriceSet { article: u64, cents: u64 }
//!
//! impl Message for PriceSet {
//!     const KIND: &'static str = "shop.price-set";
//! }
//!
//! # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut builder = clustron_core::Cluster::builder("orders");
//! let order = builder.install(TotalOrder);
//! let mut prices = order.subscribe::<PriceSet>();
//! let cluster = builder.start().await?;
//!
//! let soon = Duration::from_secs(5);
//! let mine = order.broadcast(&PriceSet { article: 7, cents: 250 }, soon).await?;
//! match prices.next().await.expect("the node lives") {
//!     Delivery::Message { place, message, .. } => {
//!         assert_eq!((place, message.cents), (mine, 250));
//!     }
//!     // This node was away for long: look the prices up where they are kept.
//!     other => panic!("{other:?}"),
//! }
//! # cluster.shutdown(soon).await?; Ok(()) }
//! ```
//!
//! # What it promises
//!
//! * No two nodes deliver two messages in different orders: places rise, and a message has the same
//!   place everywhere. This holds across changes of the leader and restarts; after a declared loss
//!   places go on higher than any before, and what was lost with it may be broadcast anew.
//! * A message is delivered at most once, also where its origin had to try again. One that was
//!   confirmed, or that is delivered anywhere, is delivered by every node that stays.
//! * The messages that one task broadcasts, each after the one before was confirmed, are delivered
//!   in that order.
//! * A reader that is too slow makes nobody wait. The log keeps the latest [`KEPT_MAX`] messages
//!   ([`KEPT_BYTES_MAX`]); whoever has missed more is told from where to where. So is a node that
//!   was away: one that keeps the place that it has handled goes on [after](
//!   TotalOrderHandle::subscribe_after) it.
//!
//! # How
//!
//! Total order broadcast and consensus are the same problem (Chandra and Toueg, "Unreliable failure
//! detectors for reliable distributed systems", 1996), so it is built upon the log. A message that
//! is tried again is applied once, in the way of clients in Ongaro, "Consensus: bridging theory and
//! practice" (2014), section 6.3: a process opens an origin in the log, numbers what it broadcasts,
//! and says which numbers nobody will ask for again. When there are [`ORIGINS_MAX`], the one that
//! was unused for longest gives way to the next; its process opens another when it needs one.

mod origin;
mod state;
mod subscription;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::builder::{Installer, Module};
use crate::codec;
use crate::control::{ProposeError, Replicated};
use crate::identity::FencingToken;
use crate::late::LateCluster;
use crate::messaging::{KIND_BYTES_MAX, Message, Outcome};
#[cfg(feature = "simulation")]
use crate::simulation::Decoder;
use origin::Origin;
use state::{Broadcasts, Command, Reply};

pub use subscription::{Delivery, OrderedSubscription};

/// The module's name, and so that of its commands.
const NAME: &str = "core.broadcast";

#[cfg(feature = "simulation")]
pub(crate) const COMMAND_DECODERS: [Decoder; 1] = [state::decoders::COMMAND];

#[cfg(feature = "simulation")]
pub(crate) const STATE_DECODERS: [Decoder; 1] = [state::decoders::STATE];

/// The most bytes that an encoded message may have.
pub const BODY_BYTES_MAX: usize = 64 << 10;

/// The most messages that are kept for readers.
pub const KEPT_MAX: usize = 4096;

/// The most bytes of messages that are kept for readers, 128 for each message included. They are a
/// part of each snapshot.
pub const KEPT_BYTES_MAX: usize = 4 << 20;

/// The most processes that broadcast before one that has long not is forgotten. Being forgotten
/// matters only to what is under way just then.
pub const ORIGINS_MAX: usize = 1024;

/// The most broadcasts of one process under way at once; more wait for their turn.
pub const UNDER_WAY_MAX: usize = 256;

/// How long the log may take for one try. Another one does no harm.
const TRY_MAX: Duration = Duration::from_secs(1);

/// The pause before another try.
const TRY_AGAIN: Duration = Duration::from_millis(10);

/// The module, to be installed in every member; see the module's documentation.
#[derive(Debug, Clone, Copy, Default)]
pub struct TotalOrder;

impl Module for TotalOrder {
    const NAME: &'static str = NAME;
    type Handle = TotalOrderHandle;

    fn install(self, installer: &mut Installer<'_>) -> TotalOrderHandle {
        let ended = CancellationToken::new();
        // Whichever way the node ends, or if it never starts.
        let at_its_end = ended.clone().drop_guard();
        installer.service("total order", |cluster| async move {
            cluster.closing().await;
            drop(at_its_end);
        });
        let counts = Arc::<Counts>::default();
        let shown = counts.clone();
        installer.metrics(move |registry| shown.register(registry));
        TotalOrderHandle {
            log: installer.replicate(),
            cluster: installer.cluster(),
            origin: Arc::default(),
            ended,
            counts,
        }
    }
}

/// Why a broadcast was not, or is not known to be, delivered.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum BroadcastError {
    /// It is larger than the log should carry. Not delivered to anybody.
    #[error(
        "a {kind} of {bytes} bytes is more than the {max} that an ordered broadcast takes: put it \
         elsewhere and broadcast where it is"
    )]
    TooLarge {
        /// The message's kind.
        kind: &'static str,
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// Its type has a shape that the codec does not carry; a bug. Not delivered to anybody.
    #[error("a {kind} cannot be encoded: {reason}")]
    Encode {
        /// The message's kind.
        kind: &'static str,
        /// What the codec said.
        reason: String,
    },
    /// So many broadcasts of this process were under way all the time. Not delivered to anybody;
    /// wait longer, or broadcast less at once.
    #[error(
        "{UNDER_WAY_MAX} broadcasts of this node were under way during all of {0:?}: wait longer, \
         or broadcast less at once"
    )]
    Busy(Duration),
    /// The log did not take it. Not delivered to anybody, nor will it be.
    #[error("it was not broadcast: {0}")]
    NotApplied(#[source] ProposeError),
    /// It was handed to the log and not confirmed in time. Unknown: it may yet be delivered, to all
    /// and once.
    #[error("it was handed to the log and not confirmed in time: {0}")]
    Unknown(String),
}

impl BroadcastError {
    /// Whether it certainly is not delivered to anybody.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::TooLarge { .. } | Self::Encode { .. } | Self::Busy(_) | Self::NotApplied(_) => {
                Outcome::NotApplied
            }
            Self::Unknown(_) => Outcome::Unknown,
        }
    }
}

/// The way to broadcast and to read, at one node. Clones are the same.
#[derive(Clone)]
pub struct TotalOrderHandle {
    log: Replicated<Broadcasts>,
    cluster: LateCluster,
    /// Nothing before the first broadcast.
    origin: Arc<tokio::sync::Mutex<Option<Arc<Origin>>>>,
    ended: CancellationToken,
    counts: Arc<Counts>,
}

impl fmt::Debug for TotalOrderHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TotalOrderHandle").finish_non_exhaustive()
    }
}

impl TotalOrderHandle {
    /// Broadcasts to all nodes, this one included, and waits until the message has its place: it
    /// is delivered everywhere then, as soon as each node has come there. Where the outcome of a
    /// try is unknown it tries again, until the deadline. Whoever drops the future may have
    /// broadcast all the same.
    ///
    /// # Errors
    /// See [`BroadcastError`].
    pub async fn broadcast<M: Message>(
        &self,
        message: &M,
        deadline: Duration,
    ) -> Result<FencingToken, BroadcastError> {
        const { assert!(M::KIND.len() <= KIND_BYTES_MAX, "a kind has at most 64 bytes") };
        let sent = self.send(message, deadline).await;
        match &sent {
            Ok(_) => self.counts.placed.inc(),
            Err(error) if error.outcome() == Outcome::Unknown => self.counts.unknown.inc(),
            Err(_) => self.counts.failed.inc(),
        };
        sent
    }

    /// The messages of a kind from now on; from the first that is kept if the node has not
    /// started.
    pub fn subscribe<M: Message>(&self) -> OrderedSubscription<M> {
        self.subscribe_after(self.log.read_local(Broadcasts::last))
    }

    /// The messages of a kind after a place, such as that of the last one that was handled before
    /// a restart; after [`FencingToken::default`] all that are kept. If some are not kept any more
    /// it begins with a [`Delivery::Gap`].
    pub fn subscribe_after<M: Message>(&self, place: FencingToken) -> OrderedSubscription<M> {
        OrderedSubscription::new(self.log.clone(), self.ended.clone(), place)
    }

    async fn send<M: Message>(
        &self,
        message: &M,
        deadline: Duration,
    ) -> Result<FencingToken, BroadcastError> {
        let (kind, until) = (M::KIND, crate::tasks::until(deadline));
        let body = codec::encode(message)
            .map_err(|error| BroadcastError::Encode { kind, reason: error.to_string() })?;
        let max = BODY_BYTES_MAX.min(M::BYTES_MAX);
        if body.len() > max {
            return Err(BroadcastError::TooLarge { kind, bytes: body.len(), max });
        }
        let body = bytes::Bytes::from(body);
        loop {
            let origin = self.origin(until, deadline).await?;
            let number = timeout_at(until, origin.take());
            let number = number.await.map_err(|_| BroadcastError::Busy(deadline))?;
            let command = || Command::Broadcast {
                origin: origin.name,
                number: number.number,
                done_below: number.done_below(),
                kind: kind.to_owned(),
                body: body.clone(),
            };
            match self.bring(command, until, deadline).await? {
                Reply::Placed(place) => return Ok(place),
                Reply::Forgotten => self.forget(&origin).await,
                other => return Err(out_of_order(&other)),
            }
        }
    }

    /// This process as the log knows it.
    async fn origin(
        &self,
        until: Instant,
        deadline: Duration,
    ) -> Result<Arc<Origin>, BroadcastError> {
        let slot = timeout_at(until, self.origin.lock());
        let no_leader = |_| BroadcastError::NotApplied(ProposeError::NoLeader(deadline));
        let mut slot = slot.await.map_err(no_leader)?;
        if let Some(origin) = &*slot {
            return Ok(origin.clone());
        }
        let not_running = BroadcastError::NotApplied(ProposeError::NotRunning);
        let node = self.cluster.get().ok_or(not_running)?.node().id;
        // One that was opened and of which nobody heard is used by nobody.
        let opened = self.bring(|| Command::Open { node }, until, deadline).await;
        match opened {
            Ok(Reply::Opened(name)) => Ok(slot.insert(Arc::new(Origin::new(name))).clone()),
            Ok(other) => Err(out_of_order(&other)),
            Err(BroadcastError::Unknown(reason)) => {
                Err(BroadcastError::NotApplied(ProposeError::Unconfirmed(reason)))
            }
            Err(error) => Err(error),
        }
    }

    /// The log does not know this origin any more, so the next broadcast opens another.
    async fn forget(&self, forgotten: &Arc<Origin>) {
        let mut slot = self.origin.lock().await;
        if slot.as_ref().is_some_and(|origin| Arc::ptr_eq(origin, forgotten)) {
            *slot = None;
        }
    }

    /// Proposes a command until its outcome is known. [`Reply::Forgotten`] only where no try was
    /// applied.
    async fn bring(
        &self,
        command: impl Fn() -> Command,
        until: Instant,
        deadline: Duration,
    ) -> Result<Reply, BroadcastError> {
        let mut in_doubt = None;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let no_leader = BroadcastError::NotApplied(ProposeError::NoLeader(deadline));
                return Err(in_doubt.map_or(no_leader, BroadcastError::Unknown));
            }
            let error = match self.log.propose(&command(), left.min(TRY_MAX)).await {
                Ok(committed) => match (committed.reply, in_doubt) {
                    (Reply::Forgotten, Some(doubt)) => return Err(BroadcastError::Unknown(doubt)),
                    (reply, _) => return Ok(reply),
                },
                Err(error) => error,
            };
            let again = match &error {
                ProposeError::NoLeader(_) | ProposeError::Overloaded { .. } => true,
                ProposeError::Unconfirmed(reason) => {
                    in_doubt = Some(reason.clone());
                    true
                }
                _ => false,
            };
            // A leader may say at once that it is overloaded.
            if again {
                tokio::time::sleep_until(until.min(Instant::now() + TRY_AGAIN)).await;
            }
            let over = until <= Instant::now();
            if !again || over {
                let not_applied = BroadcastError::NotApplied(error);
                return Err(in_doubt.map_or(not_applied, BroadcastError::Unknown));
            }
            self.counts.tried_again.inc();
        }
    }
}

/// The log answered what it never does to a node of this version.
fn out_of_order(reply: &Reply) -> BroadcastError {
    BroadcastError::Unknown(format!("the log answered {reply:?}; this is a bug"))
}

#[derive(Debug, Default)]
struct Counts {
    placed: Counter,
    failed: Counter,
    unknown: Counter,
    tried_again: Counter,
}

impl Counts {
    fn register(&self, registry: &mut prometheus_client::registry::Registry) {
        let mut add = |name: &str, help: &str, counter: &Counter| {
            registry.register(format!("clustron_broadcast_{name}"), help, counter.clone());
        };
        add("placed", "Ordered broadcasts of this node that got a place", &self.placed);
        add("failed", "Ordered broadcasts of this node that were not made", &self.failed);
        add("unknown", "Ordered broadcasts of this node of unknown outcome", &self.unknown);
        add("tried_again", "Tries of ordered broadcasts beyond the first", &self.tried_again);
    }
}

#[cfg(test)]
mod tests;
