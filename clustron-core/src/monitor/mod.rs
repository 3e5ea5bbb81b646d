//! The health of all nodes, at one that collects it.
//!
//! Like the board in a control room. Every node has a line on it; a line says what its node last
//! reported, and how long ago that was. A node that has stopped reporting keeps its line, grows
//! old on it and is shown as silent, never as well.
//!
//! Every node answers `core.health` with a `report` of bounded size. A node with the role
//! `MetricsCollector` asks all others about once a second (`watcher`); what it makes of their
//! answers and of its own view is `overview`, a pure decision.

mod overview;
mod report;
mod table;
mod watcher;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

#[cfg(feature = "simulation")]
pub(crate) use report::DECODERS;
use report::Reporter;
pub(crate) use watcher::Watcher;

use crate::cluster::ClusterHandle;
use crate::collect::NotCollector;
use crate::config::Config;
use crate::control::Control;
use crate::health::{Health, HealthBoard};
use crate::identity::{ClusterId, Epoch, NodeId, NodeInfo};
use crate::messaging::Messenger;
use crate::roles;
use crate::status::StatusBoard;
use crate::view::{Activation, NodeState};

/// Answers whoever asks for this node's health from now on. Where its roles make it a collector, it
/// also asks the others.
pub(crate) fn start(
    control: &Arc<Control>,
    health: &Arc<HealthBoard>,
    messenger: &Messenger,
    status: &StatusBoard,
    config: &Config,
) -> Option<Arc<Watcher>> {
    let reporter = Arc::new(Reporter { control: control.clone(), health: health.clone() });
    report::serve(messenger, reporter.clone());
    if !roles::collects_metrics(&config.roles) {
        return None;
    }
    let watcher = Watcher::new(reporter, status, config.metrics_interval);
    control.tasks.spawn("health of all nodes", watcher.clone().run(messenger.clone()));
    Some(watcher)
}

/// A live view of all nodes' health, at a node that collects it. Clones show the same.
#[derive(Clone)]
pub struct ClusterMonitor {
    watcher: Arc<Watcher>,
}

impl ClusterMonitor {
    /// How the cluster is, as far as this node knows at this moment.
    pub fn now(&self) -> Arc<ClusterHealth> {
        self.watcher.overview()
    }

    /// The same, to wait for changes: a new one after every round of questions, about once a
    /// second, and whenever the view, the leader or the voters change.
    pub fn watch(&self) -> watch::Receiver<Arc<ClusterHealth>> {
        self.watcher.watch()
    }
}

impl fmt::Debug for ClusterMonitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterMonitor").finish_non_exhaustive()
    }
}

impl ClusterHandle {
    /// The health of all nodes, as this one collects it.
    ///
    /// # Errors
    /// The node does not have the role [`MetricsCollector`](crate::Role::MetricsCollector).
    pub fn monitor(&self) -> Result<ClusterMonitor, NotCollector> {
        let watcher = self.inner.watcher.clone();
        let watcher = watcher.ok_or_else(|| NotCollector::new(&self.node()))?;
        Ok(ClusterMonitor { watcher })
    }
}

/// The health of a cluster at one moment, as one node knows it. Its `Display` is a table for
/// people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterHealth {
    /// The cluster; `None` only while the collecting node starts.
    pub cluster: Option<ClusterId>,
    /// The leader, while the collecting node hears of one.
    pub leader: Option<Activation>,
    /// How many more voters may fail: see [`ClusterStatus::tolerates`](crate::ClusterStatus).
    pub tolerates: usize,
    /// All nodes that the view remembers, gone ones too.
    pub nodes: BTreeMap<NodeId, NodeHealth>,
    /// Who cannot reach whom directly, by the node that complains.
    pub unreachable: BTreeMap<NodeId, BTreeSet<NodeId>>,
}

/// How one node is, as another one knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeHealth {
    /// The node, with its roles.
    pub info: NodeInfo,
    /// Where it stands in the view.
    pub state: NodeState,
    /// Whether it votes.
    pub votes: bool,
    /// Whether it leads.
    pub leads: bool,
    /// All of the below in a word.
    pub condition: NodeCondition,
    /// What it reported last; `None` if nothing ever came.
    pub report: Option<NodeReport>,
    /// Why the latest question brought no report; `None` if it did.
    pub error: Option<String>,
    /// How many entries of the log it had not applied that the furthest node had, by the latest
    /// reports. A node that is asked before another may seem a little behind it.
    pub behind: Option<u64>,
    /// Who does not take it for alive, the collecting node included.
    pub suspected_by: BTreeSet<NodeId>,
}

/// What a node reported of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeReport {
    /// How it found itself, at most 16 reasons.
    pub health: Health,
    /// The epoch of the latest leader that it had applied.
    pub epoch: Epoch,
    /// How far it had applied the control log.
    pub applied: u64,
    /// How old its copy could be; `None` where it has none, or does not know.
    pub staleness: Option<Duration>,
    /// Whom it heard lead.
    pub leader: Option<NodeId>,
    /// How long the question and its answer took together; zero for the collecting node.
    pub round_trip: Duration,
    /// How long ago the answer came.
    pub age: Duration,
}

/// How a node is, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum NodeCondition {
    /// It says that it is ready, and has just said so.
    Ready,
    /// It says that it has not been let in, or has had no state yet.
    Starting,
    /// It answers, and says why it is not ready.
    NotReady,
    /// It answers, and says that it has failed.
    NotLive,
    /// It does not answer the collecting node, whatever it said before.
    Silent,
    /// The view says that it failed.
    Down,
    /// It left in order.
    Left,
}

impl fmt::Display for NodeCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ready => "ready",
            Self::Starting => "starting",
            Self::NotReady => "not ready",
            Self::NotLive => "not live",
            Self::Silent => "silent",
            Self::Down => "down",
            Self::Left => "left",
        })
    }
}

impl ClusterHealth {
    /// The nodes that are in this condition.
    pub fn in_condition(&self, condition: NodeCondition) -> impl Iterator<Item = &NodeHealth> {
        self.nodes.values().filter(move |node| node.condition == condition)
    }

    /// Whether there is a leader and every node of the view that has not left is ready, reached by
    /// all and suspected by nobody.
    pub fn is_well(&self) -> bool {
        let mut nodes = self.nodes.values().filter(|node| node.state != NodeState::Left);
        self.leader.is_some()
            && self.unreachable.is_empty()
            && nodes.all(|it| it.condition == NodeCondition::Ready && it.suspected_by.is_empty())
    }
}
