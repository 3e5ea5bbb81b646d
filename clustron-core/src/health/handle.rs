//! How an application asks for health, and adds to it.

use std::sync::Arc;

use tokio::sync::watch;

use super::{Check, Health, NotReady};
use crate::builder::{ClusterBuilder, Installer};
use crate::cluster::ClusterHandle;
use crate::late::LateCluster;

impl ClusterHandle {
    /// How this node is now: whether it is live, ready and started, and why not. Looks at the node
    /// at once, cheaply, and waits for nothing.
    pub fn health(&self) -> Health {
        self.inner.health.look()
    }

    /// The health, to wait for changes of it. It is looked at ten times a second; a runtime that
    /// is stuck shows nothing here, so a probe asks [`health`](Self::health).
    pub fn watch_health(&self) -> watch::Receiver<Health> {
        self.inner.health.watch()
    }

    /// Adds a condition for this node to be ready, or replaces that of the same name. The check is
    /// asked five times a second on a thread for blocking work; one that panics, or takes longer
    /// than five seconds, does not hold. A check of a module or an application can never make the
    /// node *not live*. At most 64.
    pub fn add_health(
        &self,
        name: &str,
        check: impl Fn() -> Result<(), NotReady> + Send + Sync + 'static,
    ) {
        self.inner.health.add(name, Arc::new(check));
    }
}

impl ClusterBuilder {
    /// The node, once it has started: a way to ask for its [health](LateCluster::health) while
    /// [`start`](Self::start) still waits.
    pub fn late(&self) -> LateCluster {
        self.late.clone()
    }
}

impl Installer<'_> {
    /// Adds a condition of the module for the node to be ready: see
    /// [`ClusterHandle::add_health`]. Asked again if the node has to start over.
    pub fn health(
        &mut self,
        name: &'static str,
        check: impl Fn() -> Result<(), NotReady> + Send + Sync + 'static,
    ) {
        let check: Arc<Check> = Arc::new(check);
        self.builder.checks.push((name, check));
    }
}
