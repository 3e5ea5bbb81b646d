//! What this node says about itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{OnceLock, PoisonError, RwLock};

use crate::data_dir::GivenUp;
use crate::defect::Defect;
use crate::identity::{ClusterId, ClusterName, Incarnation, Metadata, NodeId, NodeInfo};
use crate::messaging::{Hello, Lane, Process};
use crate::pipeline::Fingerprint;
use crate::view::View;

/// This node's own description. The identity is fixed; the incarnation rises when the node refutes
/// that it is down, roles and tags change when the application says so, and the cluster id is
/// learnt once.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) id: NodeId,
    /// How often a process has started with this identity, this one included.
    pub(crate) starts: u64,
    pub(crate) cluster: ClusterName,
    /// Whether the node was started as a member: only then did the others find that it runs all of
    /// the members' modules.
    pub(crate) may_vote: bool,
    /// Whether the node keeps its part of the control log on disk.
    pub(crate) durable: bool,
    modules: BTreeSet<String>,
    changing: RwLock<(NodeInfo, Option<ClusterId>)>,
    /// The latest process of each node of the view.
    processes: RwLock<BTreeMap<NodeId, Process>>,
    /// Processes that the log named when this one started, agreed or not: they have been there.
    logged: OnceLock<BTreeMap<NodeId, Process>>,
    /// Who it was before, and gave up being.
    pub(crate) given_up: Vec<GivenUp>,
    /// What is deliberately wrong with the node.
    pub(crate) defect: Defect,
}

impl Local {
    /// A node that is in this cluster already, or in none yet.
    pub(crate) fn new(
        cluster: ClusterName,
        cluster_id: Option<ClusterId>,
        node: NodeInfo,
        modules: BTreeSet<String>,
        durable: bool,
    ) -> Self {
        Self {
            id: node.id,
            starts: node.starts,
            cluster,
            may_vote: node.votes(),
            durable,
            modules,
            changing: RwLock::new((node, cluster_id)),
            processes: RwLock::default(),
            logged: OnceLock::new(),
            given_up: vec![],
            defect: Defect::default(),
        }
    }

    /// The same node after it has been these.
    pub(crate) fn after(self, given_up: Vec<GivenUp>) -> Self {
        Self { given_up, ..self }
    }

    /// The same node with a deliberate defect, if one is switched on.
    pub(crate) fn with_defect(self, defect: Defect) -> Self {
        Self { defect, ..self }
    }

    /// Records the cluster that this node belongs to. Returns the id in force, which is the first
    /// one ever recorded: a node never changes its cluster.
    pub(crate) fn adopt_cluster(&self, id: ClusterId) -> ClusterId {
        let mut changing = self.changing.write().unwrap_or_else(PoisonError::into_inner);
        *changing.1.get_or_insert(id)
    }

    /// Raises the incarnation to at least `to`.
    pub(crate) fn raise_incarnation(&self, to: Incarnation) {
        let mut changing = self.changing.write().unwrap_or_else(PoisonError::into_inner);
        changing.0.incarnation = changing.0.incarnation.max(to);
    }

    /// Describes the node anew, if its description still has the revision `before`. Gives the node
    /// as it is then, or else the revision that it has.
    pub(crate) fn describe(&self, before: u64, metadata: Metadata) -> Result<NodeInfo, u64> {
        let mut changing = self.changing.write().unwrap_or_else(PoisonError::into_inner);
        let node = &mut changing.0;
        if node.revision != before {
            return Err(node.revision);
        }
        node.describe(before + 1, metadata);
        Ok(node.clone())
    }

    /// Others know of this revision: goes on from there.
    pub(crate) fn outdo(&self, revision: u64) {
        let mut changing = self.changing.write().unwrap_or_else(PoisonError::into_inner);
        changing.0.revision = changing.0.revision.max(revision);
    }

    /// The view has this description of the node. Where it is not what the node says, which always
    /// comes first, the node says it again in a higher revision, and gives that.
    pub(crate) fn insist(&self, listed: &NodeInfo) -> Option<NodeInfo> {
        let mut changing = self.changing.write().unwrap_or_else(PoisonError::into_inner);
        let node = &mut changing.0;
        let foreign = listed.revision > node.revision
            || (listed.revision == node.revision && listed.metadata() != node.metadata());
        foreign.then(|| {
            node.revision = listed.revision.saturating_add(1);
            node.clone()
        })
    }

    pub(crate) fn cluster_id(&self) -> Option<ClusterId> {
        self.changing.read().unwrap_or_else(PoisonError::into_inner).1
    }

    pub(crate) fn node(&self) -> NodeInfo {
        self.changing.read().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// Takes in which processes the nodes of the view have.
    pub(crate) fn learn_processes(&self, view: &View) {
        let nodes = view.nodes().map(|record| (record.info.id, Process::of(&record.info)));
        *self.processes.write().unwrap_or_else(PoisonError::into_inner) = nodes.collect();
    }

    /// Takes in which processes a node finds in its log when it starts. Until it hears what of that
    /// is agreed, this is what it tells old copies of data directories by.
    pub(crate) fn learn_logged(&self, processes: BTreeMap<NodeId, Process>) {
        let known = self.logged.set(processes);
        assert!(known.is_ok(), "a node starts once");
    }

    /// The latest process of a node that is known here.
    fn latest_process(&self, id: NodeId) -> Option<Process> {
        let agreed = self.processes.read().unwrap_or_else(PoisonError::into_inner);
        match (agreed.get(&id), self.logged.get().and_then(|logged| logged.get(&id))) {
            (Some(agreed), Some(logged)) if agreed.allows(*logged) => Some(*logged),
            (agreed, logged) => agreed.or(logged).copied(),
        }
    }

    /// What to say to a node that this one connects to, on a lane without layers.
    pub(crate) fn hello(&self, lane: Lane, expects: Option<NodeId>) -> Hello {
        let (node, cluster_id) =
            self.changing.read().unwrap_or_else(PoisonError::into_inner).clone();
        let (cluster, modules) = (self.cluster.clone(), self.modules.clone());
        let knows = expects.and_then(|id| self.latest_process(id));
        let (durable, pipeline, conversation) = (self.durable, Fingerprint::default(), None);
        Hello {
            cluster,
            cluster_id,
            node,
            modules,
            lane,
            durable,
            expects,
            knows,
            pipeline,
            conversation,
        }
    }

    /// What to answer to a node that has connected.
    pub(crate) fn answer(&self, peer: &Hello) -> Hello {
        Hello { expects: None, ..self.hello(peer.lane, Some(peer.node.id)) }
    }
}

#[cfg(test)]
impl Local {
    /// A member of no cluster yet.
    pub(crate) fn of_test(cluster: ClusterName) -> Self {
        let node = NodeInfo {
            id: NodeId(1),
            name: crate::NodeName::new("a").unwrap(),
            incarnation: Incarnation(1),
            addr: "a:1".to_owned(),
            roles: BTreeSet::from([crate::Role::Member]),
            tags: BTreeMap::new(),
            revision: 0,
            starts: 1,
            process: 0,
        };
        Self::new(cluster, None, node, BTreeSet::new(), true)
    }
}
