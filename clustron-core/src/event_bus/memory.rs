//! A bus within one process.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::{EventBus, Origin, PublishError, RawSubscription, Subscribers};
use crate::identity::NodeId;
use crate::messaging::KIND_BYTES_MAX;

/// A bus for nodes that live in one process: for tests, and as an example of a bus of one's own.
///
/// ```
/// use clustron_core::Cluster;
/// use clustron_core::event_bus::MemoryEventBus;
///
/// let bus = MemoryEventBus::new();
/// let node = Cluster::builder("orders").event_bus(move |id| bus.node(id));
/// ```
#[derive(Clone, Default)]
pub struct MemoryEventBus {
    board: Arc<Mutex<Board>>,
}

#[derive(Default)]
struct Board {
    nodes: BTreeMap<NodeId, Arc<Subscribers>>,
    /// How many events of each kind each node has published.
    published: BTreeMap<(NodeId, String), u64>,
}

impl MemoryEventBus {
    /// A bus without nodes.
    pub fn new() -> Self {
        Self::default()
    }

    /// What one node uses the bus through.
    pub fn node(&self, id: NodeId) -> Arc<dyn EventBus> {
        let subscribers = Arc::new(Subscribers::new());
        let mut board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        board.nodes.insert(id, subscribers.clone());
        Arc::new(Node { id, subscribers, board: self.board.clone() })
    }
}

impl fmt::Debug for MemoryEventBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryEventBus").finish_non_exhaustive()
    }
}

struct Node {
    id: NodeId,
    subscribers: Arc<Subscribers>,
    board: Arc<Mutex<Board>>,
}

impl EventBus for Node {
    fn publish<'a>(
        &'a self,
        kind: &'a str,
        event: Bytes,
    ) -> BoxFuture<'a, Result<(), PublishError>> {
        let published = self.publish_now(kind, &event);
        futures::future::ready(published).boxed()
    }

    fn subscribe(&self, kind: &str) -> RawSubscription {
        self.subscribers.subscribe(kind)
    }

    fn close(&self) {
        self.subscribers.close();
        let mut board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        // Another node may have taken the id's place.
        if board.nodes.get(&self.id).is_some_and(|it| Arc::ptr_eq(it, &self.subscribers)) {
            board.nodes.remove(&self.id);
        }
    }
}

impl Node {
    fn publish_now(&self, kind: &str, event: &Bytes) -> Result<(), PublishError> {
        if kind.len() > KIND_BYTES_MAX {
            return Err(PublishError::Kind { kind: kind.to_owned() });
        }
        // Held until all have it, so that all have it in the same order.
        let mut board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        if !board.nodes.contains_key(&self.id) {
            return Err(PublishError::Closed(format!("node {} has ended", self.id)));
        }
        let number = board.published.entry((self.id, kind.to_owned())).or_default();
        *number += 1;
        let origin = Origin { from: self.id, process: 0, number: *number };
        for subscribers in board.nodes.values() {
            subscribers.deliver(kind, origin, event);
        }
        Ok(())
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryEventBus").field("node", &self.id).finish_non_exhaustive()
    }
}
