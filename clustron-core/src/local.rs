//! What this node says about itself.

use std::collections::BTreeSet;
use std::sync::{PoisonError, RwLock};

use crate::identity::{ClusterId, ClusterName, Incarnation, NodeId, NodeInfo};
use crate::messaging::{Hello, Lane};

/// This node's own description. The identity is fixed; the incarnation rises when the node refutes
/// that it is down, and the cluster id is learnt once.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) id: NodeId,
    pub(crate) cluster: ClusterName,
    modules: BTreeSet<String>,
    changing: RwLock<(NodeInfo, Option<ClusterId>)>,
}

impl Local {
    pub(crate) fn new(cluster: ClusterName, node: NodeInfo, modules: BTreeSet<String>) -> Self {
        Self { id: node.id, cluster, modules, changing: RwLock::new((node, None)) }
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

    pub(crate) fn cluster_id(&self) -> Option<ClusterId> {
        self.changing.read().unwrap_or_else(PoisonError::into_inner).1
    }

    pub(crate) fn node(&self) -> NodeInfo {
        self.changing.read().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    pub(crate) fn hello(&self, lane: Lane, expects: Option<NodeId>) -> Hello {
        let (node, cluster_id) =
            self.changing.read().unwrap_or_else(PoisonError::into_inner).clone();
        let (cluster, modules) = (self.cluster.clone(), self.modules.clone());
        Hello { cluster, cluster_id, node, modules, lane, expects }
    }
}
