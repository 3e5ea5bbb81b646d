//! The handles of a running node.

mod messages;

use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::builder::ClusterBuilder;
use crate::chance::Chance;
use crate::collect::{CollectedMetrics, Collector, NotCollector};
use crate::control::{Command, Control, ProposeError};
use crate::error::ShutdownError;
use crate::event_bus::EventBus;
use crate::health::HealthBoard;
use crate::identity::{ClusterId, Epoch, NodeInfo};
use crate::leadership::{self, Leadership};
use crate::local::Local;
use crate::messaging::{Lane, MessageError, Messenger};
use crate::metrics::{CoreMetrics, Exposed, Sampled};
use crate::monitor::Watcher;
use crate::outlook::Outlook;
use crate::status::{ClusterStatus, Events, StatusBoard};
use crate::tasks::Tasks;
use crate::time::Clock;
use crate::view::{Activation, View};

/// How often a leaving node looks whether there is anybody left to tell.
const LOOK_FOR_OTHERS_EVERY: Duration = Duration::from_millis(300);

/// After so many heartbeats of the next leader the others have heard of it.
const HEARTBEATS_TO_HEAR: u32 = 2;

/// How long a node that ends waits for what it has said to leave.
const FLUSH_FOR: Duration = Duration::from_secs(1);

/// A running node, owned: dropping it aborts the node as a crash would, and
/// [`shutdown`](Cluster::shutdown) ends it in order. Everything else is done through the
/// [`ClusterHandle`] that it dereferences to.
///
/// ```
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use clustron_core::Cluster;
/// use std::time::Duration;
///
/// let cluster = Cluster::builder("orders").start().await?;
/// let leader = cluster.wait_for_leader(Duration::from_secs(5)).await.expect("a node of its own");
/// assert_eq!(leader.node, cluster.node().id);
/// cluster.shutdown(Duration::from_secs(5)).await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Cluster {
    handle: ClusterHandle,
}

/// A way to use a running node, cheap to clone, that does not keep the node alive.
#[derive(Clone)]
pub struct ClusterHandle {
    pub(crate) inner: Arc<Inner>,
    /// Where its messages travel.
    pub(crate) lane: Lane,
}

/// The parts of a running node.
pub(crate) struct Inner {
    pub(crate) local: Arc<Local>,
    pub(crate) control: Arc<Control>,
    pub(crate) messenger: Messenger,
    pub(crate) event_bus: Arc<dyn EventBus>,
    pub(crate) chance: Arc<Chance>,
    pub(crate) status: Arc<StatusBoard>,
    pub(crate) health: Arc<HealthBoard>,
    pub(crate) outlook: Outlook,
    pub(crate) metrics: Arc<CoreMetrics>,
    pub(crate) exposed: Arc<Exposed>,
    /// Where the node's roles make it one.
    pub(crate) collector: Option<Arc<Collector>>,
    pub(crate) watcher: Option<Arc<Watcher>>,
    pub(crate) clock: Arc<dyn Clock>,
    /// The node's own tasks.
    pub(crate) tasks: Tasks,
    /// The tasks of modules and of leader work, which end first.
    pub(crate) services: Tasks,
    pub(crate) closing: CancellationToken,
}

impl Cluster {
    /// Begins to configure a node of the cluster with this name. With no other setting it starts a
    /// working cluster of one node.
    pub fn builder(name: impl Into<String>) -> ClusterBuilder {
        ClusterBuilder::new(name.into())
    }

    pub(crate) fn new(inner: Arc<Inner>) -> Self {
        Self { handle: ClusterHandle { inner, lane: Lane::Data } }
    }

    /// A handle for a module, whose messages travel apart from those of the application.
    pub(crate) fn module_handle(&self) -> ClusterHandle {
        ClusterHandle { inner: self.inner(), lane: Lane::Modules }
    }

    pub(crate) fn inner(&self) -> Arc<Inner> {
        self.handle.inner.clone()
    }

    /// Ends a node that is part of no cluster, and waits until nothing of it is left.
    pub(crate) async fn end(self) {
        let inner = self.inner();
        inner.abort();
        inner.control.stop().await;
        inner.tasks.join().await;
    }

    /// A handle that does not own the node.
    pub fn handle(&self) -> ClusterHandle {
        self.handle.clone()
    }

    /// Ends the node in order, within the deadline: leadership is handed over, modules finish, what
    /// was sent leaves (for at most a second; through `reliable` it is confirmed), the others
    /// commit that the node left, connections close. Modules get half of the deadline at least and
    /// three quarters at most.
    ///
    /// # Errors
    /// When the others could not confirm in time. The node has ended in any case.
    pub async fn shutdown(self, deadline: Duration) -> Result<(), ShutdownError> {
        let inner = &self.handle.inner;
        let until = crate::tasks::until(deadline);
        // First the leadership, so that no job anywhere waits for this node's to finish.
        let led = inner.hand_over(deadline / 4).await;
        let heard_of_by =
            Instant::now() + HEARTBEATS_TO_HEAR * inner.control.timing.heartbeat_interval;
        inner.closing.cancel();
        let finished = tokio::time::timeout_at(until - deadline / 4, inner.services.join()).await;
        if finished.is_err() {
            tracing::warn!("a module did not finish in time");
        }
        inner.services.cancel();
        // Others hang up when they hear that it left.
        let flushed_by = until.min(Instant::now() + FLUSH_FOR);
        if tokio::time::timeout_at(flushed_by, inner.messenger.flush()).await.is_err() {
            tracing::warn!("messages were still under way when the node ended");
        }
        let left = tokio::select! {
            biased;
            left = inner.leave(until) => left,
            () = inner.others_gone() => Ok(()),
            () = tokio::time::sleep_until(until) => {
                Err(ShutdownError::Unconfirmed("the deadline passed".to_owned()))
            }
        };
        if led && left.is_ok() {
            // Whoever has not heard of the next leader yet still hands commands to this node, and
            // would not know what became of them if it broke off.
            tokio::time::sleep_until(heard_of_by.min(until)).await;
        }
        inner.abort();
        inner.control.stop().await;
        inner.tasks.join().await;
        match inner.panicked() {
            Some(panic) => Err(ShutdownError::Panicked(panic)),
            None => left,
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.handle.inner.abort();
    }
}

impl Deref for Cluster {
    type Target = ClusterHandle;

    fn deref(&self) -> &ClusterHandle {
        &self.handle
    }
}

impl ClusterHandle {
    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }

    /// This node.
    pub fn node(&self) -> NodeInfo {
        self.inner.local.node()
    }

    /// The cluster's id.
    pub fn cluster_id(&self) -> Option<ClusterId> {
        self.inner.local.cluster_id()
    }

    /// What this node knows of the cluster now.
    pub fn status(&self) -> ClusterStatus {
        self.inner.status.watch().borrow().clone()
    }

    /// The status, to wait for changes of it.
    pub fn watch(&self) -> watch::Receiver<ClusterStatus> {
        self.inner.status.watch()
    }

    /// The agreed list of nodes as applied here.
    pub fn view(&self) -> View {
        self.inner.control.agreed_now().view.clone()
    }

    /// The leader, while it is heard.
    pub fn leader(&self) -> Option<Activation> {
        self.inner.control.believed_leader()
    }

    /// The epoch of the latest leader that this node has applied; zero before the first.
    pub fn epoch(&self) -> Epoch {
        self.inner.control.agreed_now().epoch()
    }

    /// The latest leaders, at most 256, oldest first.
    pub fn leader_history(&self) -> Vec<Activation> {
        self.inner.control.agreed_now().activations.iter().cloned().collect()
    }

    /// Waits until a leader is known here. `None` when the deadline passed.
    pub async fn wait_for_leader(&self, deadline: Duration) -> Option<Activation> {
        self.wait_for(deadline, |status| status.leader.is_some()).await.and_then(|s| s.leader)
    }

    /// Waits until the status is as wanted, and gives it. `None` when the deadline passed.
    pub async fn wait_for(
        &self,
        deadline: Duration,
        wanted: impl FnMut(&ClusterStatus) -> bool,
    ) -> Option<ClusterStatus> {
        let mut status = self.watch();
        let waiting = status.wait_for(wanted);
        match tokio::time::timeout(deadline, waiting).await {
            Ok(Ok(status)) => Some(status.clone()),
            Ok(Err(_)) | Err(_) => None,
        }
    }

    /// What changes in the cluster from now on.
    pub fn events(&self) -> Events {
        self.inner.status.events()
    }

    /// Runs `task` once per epoch in which this node leads, from when it has applied its own
    /// activation. On loss the task is told through its [`Leadership`] and awaited before it may
    /// start anew, so it should end soon then.
    pub fn lead<F, Fut>(&self, name: &'static str, task: F)
    where
        F: FnMut(Leadership) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let leading = self.inner.control.leading();
        let lead = leadership::lead(leading, self.inner.closing.clone(), task);
        self.inner.services.spawn(name, lead);
    }

    /// Runs a task of a module until it ends or the node closes; on [`closing`](Self::closing) it
    /// should finish within the shutdown's deadline.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.inner.services.spawn(name, task);
    }

    /// Resolves when the node begins to shut down.
    pub async fn closing(&self) {
        self.inner.closing.cancelled().await;
    }

    /// Whether the node is shutting down, or has ended.
    pub fn is_closing(&self) -> bool {
        self.inner.closing.is_cancelled()
    }

    /// Waits until this node has applied everything that was committed anywhere when the call was
    /// made: a read of replicated state after it is linearizable.
    ///
    /// # Errors
    /// [`ProposeError::NoLeader`] when no leader confirmed in time, as on the minority side;
    /// [`ProposeError::NoLog`] at a node whose roles do not let it follow the log.
    pub async fn barrier(&self, deadline: Duration) -> Result<(), ProposeError> {
        self.inner.control.barrier(deadline).await
    }

    /// Waits until this node has applied the control log up to an index, such as that of a
    /// [`Committed`](crate::Committed) command of another node.
    ///
    /// # Errors
    /// [`ProposeError::Behind`] when it had not come so far before the deadline;
    /// [`ProposeError::NoLog`] at a node whose roles do not let it follow the log.
    pub async fn wait_applied(&self, index: u64, deadline: Duration) -> Result<(), ProposeError> {
        self.inner.control.wait_applied(index, crate::tasks::until(deadline)).await
    }

    /// How old this node's copy of replicated state may be: everything that was acknowledged to
    /// anybody so long ago, or longer, is in it. While a leader is heard that is about one
    /// heartbeat interval; on the minority side of a cut it grows with the time. `None` where the
    /// node was never current as far as it knows, or does not follow the log.
    pub fn staleness(&self) -> Option<Duration> {
        self.inner.control.staleness()
    }

    /// How far this node has applied the control log; where its roles do not let it follow the log,
    /// how far the member had that told it last.
    pub fn applied_index(&self) -> u64 {
        self.inner.control.applied_index()
    }

    /// The wall clock that this node was given.
    pub fn clock(&self) -> Arc<dyn Clock> {
        self.inner.clock.clone()
    }

    /// Adds this node's core metrics to a registry, named `clustron_core_…`.
    pub fn register_metrics(&self, registry: &mut Registry) {
        self.inner.metrics.register(registry);
        Sampled::register(&self.inner.control, registry);
    }

    /// Adds metrics of the application to those that this node shows and that a metrics collector
    /// collects.
    pub fn add_metrics(&self, register: impl FnOnce(&mut Registry)) {
        self.inner.exposed.add(register);
    }

    /// The metrics of this node, its core's, its modules' and those that were
    /// [added](Self::add_metrics), as OpenMetrics text.
    pub fn metrics_text(&self) -> String {
        self.inner.exposed.text()
    }

    /// The metrics of all nodes, as this one last collected them: every
    /// [`metrics_interval`](crate::Config::metrics_interval).
    ///
    /// # Errors
    /// The node does not have the role [`MetricsCollector`](crate::Role::MetricsCollector).
    pub fn collected_metrics(&self) -> Result<CollectedMetrics, NotCollector> {
        let collector = self.inner.collector.as_ref();
        let collector = collector.ok_or_else(|| NotCollector::new(&self.node()))?;
        Ok(collector.collected())
    }

    /// Whether the node has ended, and the panic that ended it if there was one.
    pub fn ended(&self) -> Option<Result<(), String>> {
        let ended = self.inner.tasks.is_cancelled();
        ended.then(|| self.inner.panicked().map_or(Ok(()), Err))
    }
}

impl fmt::Debug for ClusterHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterHandle")
            .field("node", &self.node().to_string())
            .field("epoch", &self.epoch())
            .finish_non_exhaustive()
    }
}

impl Inner {
    /// Has another voter lead, where this node does and there is one. Gives whether it did.
    async fn hand_over(&self, deadline: Duration) -> bool {
        let leads = self.control.leading().borrow().is_some();
        if leads
            && self.has_others()
            && let Err(error) = self.control.hand_over(deadline).await
        {
            tracing::warn!(%error, "nobody took over the leadership");
        }
        leads && self.has_others()
    }

    fn has_others(&self) -> bool {
        let agreed = self.control.agreed_now();
        agreed.cluster.is_some() && agreed.view.alive().any(|node| node.id != self.local.id)
    }

    /// Resolves when the processes of all others are known to be gone, as when all are ended at
    /// once: there is nobody left to tell.
    async fn others_gone(&self) {
        loop {
            tokio::time::sleep(LOOK_FOR_OTHERS_EVERY).await;
            let agreed = self.control.agreed_now();
            let others = agreed.view.alive().filter(|node| node.id != self.local.id);
            let looks = others.map(|node| self.messenger.verify(node.id));
            let looks = futures::future::join_all(looks).await;
            let gone = |look: &Result<(), MessageError>| {
                look.as_ref().is_err_and(|error| error.says_gone())
            };
            if looks.iter().all(gone) {
                return;
            }
        }
    }

    /// Has the others commit that this node left.
    async fn leave(&self, until: Instant) -> Result<(), ShutdownError> {
        if !self.has_others() {
            return Ok(());
        }
        let left = until.saturating_duration_since(Instant::now());
        self.hand_over(left / 2).await;
        // Should this node not get through to the leader, then perhaps to somebody who does.
        self.outlook.say_goodbye();
        let node = self.local.node();
        let leave =
            Command::Leave { node: node.id, incarnation: node.incarnation, at: self.clock.now() };
        // Leaving twice is leaving once, so what is not confirmed is said again.
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.control.propose(leave.clone(), left).await {
                Ok(_) => break,
                Err(ProposeError::Unconfirmed(_)) if Instant::now() < until => {}
                Err(error) => return Err(ShutdownError::Unconfirmed(error.to_string())),
            }
        }
        // A voter stays until the group can do without it.
        if self.control.wait_until_no_voter(until).await {
            return Ok(());
        }
        Err(ShutdownError::Unconfirmed("the others have not replaced its vote".to_owned()))
    }

    pub(crate) fn abort(&self) {
        self.closing.cancel();
        self.services.cancel();
        self.tasks.cancel();
        self.messenger.clear_handlers();
        self.event_bus.close();
        self.health.clear();
    }

    fn panicked(&self) -> Option<String> {
        self.tasks.panicked()
    }
}
