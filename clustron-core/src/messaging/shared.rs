//! What the tasks of one node's messaging share.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};

use super::address_book::AddressBook;
use super::conversation::Conversations;
use super::flush::Flush;
use super::handlers::Handlers;
use super::handshake::Lane;
use super::link::Link;
use super::places::Places;
use super::quiet::Quiet;
use crate::chance::Chance;
use crate::identity::NodeId;
use crate::local::Local;
use crate::metrics::CoreMetrics;
use crate::pipeline::Plans;
use crate::tasks::Tasks;
use crate::transport::Transport;

/// Requests of one lane that this node handles at the same time; beyond it, reading waits.
const REQUESTS_AT_ONCE: usize = 1024;

/// News of connections for the failure detector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PeerNews {
    /// A connection to or from the node ended.
    ConnectionLost(NodeId),
}

/// What the tasks of one node's messaging share.
pub(crate) struct Shared {
    pub(super) local: Arc<Local>,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) connect_timeout: Duration,
    pub(super) frame_bytes_max: usize,
    pub(super) handlers: Handlers,
    pub(super) addresses: RwLock<AddressBook>,
    pub(super) links: Mutex<BTreeMap<(NodeId, Lane), Arc<Link>>>,
    /// By lane. Nothing is asked for on a look, and streams have limits of their own.
    pub(super) request_slots: [Arc<Semaphore>; 5],
    pub(super) chance: Arc<Chance>,
    /// Which layers there are on which lane.
    pub(super) plans: Plans,
    /// Those that others have opened.
    pub(super) conversations: Conversations,
    /// What the next conversation that this node opens is called.
    pub(super) conversation_next: AtomicU32,
    /// Of accepted connections.
    pub(super) places: Arc<Places>,
    pub(super) flush: Flush,
    /// How long nothing uses a connection for bulk before it is closed.
    pub(super) data_idle_timeout: Duration,
    /// How long nothing is heard on one after something was said, before it is given up.
    pub(super) silence_max: Duration,
    /// For the waits between dials, so that nodes do not dial in step.
    pub(super) jitter: Chance,
    pub(super) unproven_said: Quiet,
    pub(super) over_limit_said: Quiet,
    pub(super) news: mpsc::Sender<PeerNews>,
    pub(super) metrics: Arc<CoreMetrics>,
    pub(super) tasks: Tasks,
}

/// What [`Messenger::new`] needs.
pub(crate) struct MessengerConfig {
    pub(crate) connect_timeout: Duration,
    pub(crate) frame_bytes_max: usize,
    pub(crate) connections_max: usize,
    pub(crate) connections_per_peer_max: usize,
    pub(crate) data_idle_timeout: Duration,
    pub(crate) silence_max: Duration,
    pub(crate) plans: Plans,
}

impl Shared {
    pub(super) fn new(
        config: &MessengerConfig,
        local: Arc<Local>,
        transport: Arc<dyn Transport>,
        handlers: Handlers,
        chance: Arc<Chance>,
        metrics: Arc<CoreMetrics>,
        tasks: Tasks,
    ) -> (Self, mpsc::Receiver<PeerNews>) {
        let (news, news_rx) = mpsc::channel(1024);
        let slots = || Arc::new(Semaphore::new(REQUESTS_AT_ONCE));
        // What the node's source of chance has drawn for this process already: to draw once more
        // would change what follows from a seed elsewhere.
        let process = local.node().process;
        let jitter = Chance::seeded(process);
        let shared = Self {
            local,
            transport,
            connect_timeout: config.connect_timeout,
            frame_bytes_max: config.frame_bytes_max,
            plans: config.plans.clone(),
            conversations: Conversations::default(),
            conversation_next: AtomicU32::new(process as u32),
            handlers,
            addresses: RwLock::default(),
            links: Mutex::default(),
            request_slots: [slots(), slots(), slots(), slots(), slots()],
            chance,
            flush: Flush::default(),
            places: Places::new(config.connections_max, config.connections_per_peer_max),
            data_idle_timeout: config.data_idle_timeout,
            silence_max: config.silence_max,
            jitter,
            unproven_said: Quiet::default(),
            over_limit_said: Quiet::default(),
            news,
            metrics,
            tasks,
        };
        (shared, news_rx)
    }

    pub(super) fn connection_lost(&self, peer: NodeId) {
        // A full queue means that the detector has plenty of evidence to look at already; its
        // probes find out the rest.
        let _ = self.news.try_send(PeerNews::ConnectionLost(peer));
    }
}
