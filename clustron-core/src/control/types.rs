//! How the control log is told to openraft. Nothing outside `control` names openraft.

use serde::{Deserialize, Serialize};

use super::command::{Command, Response};
use super::content::Content;
use crate::election::LogEnd;
use crate::identity::{NodeId, NodeInfo};

/// What Raft keeps about a node beside its id: enough to reach it before any view is agreed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RaftNode {
    /// Only openraft's own defaults lack it.
    pub(crate) info: Option<NodeInfo>,
}

impl From<NodeInfo> for RaftNode {
    fn from(info: NodeInfo) -> Self {
        Self { info: Some(info) }
    }
}

impl From<LogId> for LogEnd {
    fn from(last: LogId) -> Self {
        let openraft::LeaderId { term, node_id: leader } = last.leader_id;
        Self { term, leader, index: last.index }
    }
}

openraft::declare_raft_types!(
    pub(crate) TypeConfig:
        D = Command,
        R = Response,
        NodeId = NodeId,
        Node = RaftNode,
        SnapshotData = Content,
);

pub(crate) type Raft = openraft::Raft<TypeConfig>;
pub(crate) type Entry = openraft::Entry<TypeConfig>;
pub(crate) type LogId = openraft::LogId<NodeId>;
pub(crate) type Vote = openraft::Vote<NodeId>;
pub(crate) type StorageError = openraft::StorageError<NodeId>;
pub(crate) type StoredMembership = openraft::StoredMembership<NodeId, RaftNode>;
pub(crate) type SnapshotMeta = openraft::SnapshotMeta<NodeId, RaftNode>;
pub(crate) type Snapshot = openraft::Snapshot<TypeConfig>;
pub(crate) type Metrics = openraft::RaftMetrics<NodeId, RaftNode>;

#[cfg(test)]
mod tests {
    use super::*;
    use openraft::CommittedLeaderId;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_log_is_longer_for_a_pre_vote_where_it_is_for_raft(
            one in (0u64..3, 0u64..3, 0u64..3), other in (0u64..3, 0u64..3, 0u64..3)
        ) {
            let id = |(term, node, index): (u64, u64, u64)| {
                LogId::new(CommittedLeaderId::new(term, NodeId(node)), index)
            };
            let (one, other) = (id(one), id(other));
            prop_assert_eq!(LogEnd::from(one).cmp(&LogEnd::from(other)), one.cmp(&other));
        }
    }
}
