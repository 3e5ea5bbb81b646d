//! Data directories as nodes leave them, for tests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use clustron_wal::SimDisk;
use openraft::{CommittedLeaderId, EntryPayload, Membership};

use super::super::command::Command;
use super::super::log_disk::{LogDisk, record};
use super::super::types::{Entry, LogId, RaftNode, Vote};
use crate::chance::Chance;
use crate::data_dir::{Calls, DataDir};
use crate::identity::{ClusterId, ClusterName, Incarnation, NodeId, NodeInfo, NodeName, Role};
use crate::time::Timestamp;

fn info(id: NodeId, role: Role) -> NodeInfo {
    NodeInfo {
        id,
        name: NodeName::new(format!("n{}", id.0 % 100)).unwrap(),
        incarnation: Incarnation(1),
        addr: format!("n{}:1", id.0 % 100),
        roles: BTreeSet::from([role]),
        tags: BTreeMap::new(),
        revision: 0,
        starts: 1,
        process: 0,
    }
}

/// Starts a node of the cluster "orders".
pub(crate) fn started(disk: &SimDisk) -> Arc<DataDir> {
    let (name, chance) = (ClusterName::new("orders").unwrap(), Chance::seeded(3));
    let disk = Arc::new(disk.clone());
    Arc::new(DataDir::open(disk, Calls::Pool, &name, None, &chance).unwrap())
}

/// Has a node with this role found a cluster with the voters 1 and 2, then end. It has voted for
/// node 1 in term 5, and its log reaches to index 3 of term 4.
pub(crate) fn lay_out(disk: &SimDisk, role: Role) -> (NodeId, ClusterId) {
    let (data, cluster) = (started(disk), ClusterId::mint(&Chance::seeded(4)));
    let me = data.identity().node;
    let others = [1, 2].map(|id| info(NodeId(id), Role::Member));
    let nodes = [&others[..], &[info(me, role.clone())]].concat();
    let voters = nodes.iter().filter(|node| node.votes()).map(|node| node.id).collect();
    let known: BTreeMap<NodeId, RaftNode> =
        nodes.iter().map(|node| (node.id, node.clone().into())).collect();
    let (at, node, incarnation) = (Timestamp::default(), NodeId(1), Incarnation(1));
    let entries = [
        (0, EntryPayload::Membership(Membership::new(vec![voters], known))),
        (1, EntryPayload::Blank),
        (1, EntryPayload::Normal(Command::Bootstrap { cluster, nodes, at })),
        (4, EntryPayload::Normal(Command::Activate { node, incarnation, at })),
    ];
    let records = (0..).zip(entries).map(|(index, (term, payload))| {
        let log_id = LogId::new(CommittedLeaderId::new(term, NodeId(1)), index);
        record(&Entry { log_id, payload }).unwrap()
    });
    let (log, _) = LogDisk::open(data.clone(), None).unwrap();
    log.save_vote(&Vote::new_committed(5, NodeId(1))).unwrap();
    log.append(0, &records.collect::<Vec<_>>()).unwrap();
    data.bind(cluster).unwrap();
    (me, cluster)
}

/// Leaves a directory as that of one of these nodes, which was founding a cluster when the power
/// failed. The first of them has led; whoever `knows` has the entry that makes the cluster real.
pub(crate) fn founding_on_disk(
    data: &Arc<DataDir>,
    cluster: ClusterId,
    founders: &[NodeId],
    knows: bool,
) {
    let nodes: Vec<NodeInfo> = founders.iter().map(|id| info(*id, Role::Member)).collect();
    let known: BTreeMap<NodeId, RaftNode> =
        nodes.iter().map(|node| (node.id, node.clone().into())).collect();
    let voters = founders.iter().copied().collect();
    let mut entries = vec![
        (0, EntryPayload::Membership(Membership::new(vec![voters], known))),
        (1, EntryPayload::Blank),
    ];
    if knows {
        let at = Timestamp::default();
        entries.push((1, EntryPayload::Normal(Command::Bootstrap { cluster, nodes, at })));
    }
    let leader = founders[0];
    let records = (0..).zip(entries).map(|(index, (term, payload))| {
        let node = if term == 0 { NodeId::default() } else { leader };
        let log_id = LogId::new(CommittedLeaderId::new(term, node), index);
        record(&Entry { log_id, payload }).unwrap()
    });
    let (log, _) = LogDisk::open(data.clone(), None).unwrap();
    log.save_vote(&Vote::new_committed(1, leader)).unwrap();
    log.append(0, &records.collect::<Vec<_>>()).unwrap();
    data.bind(cluster).unwrap();
}

/// The term of the node's vote, for whom it is, and whether that node was elected.
pub(crate) fn vote(data: &Arc<DataDir>) -> (u64, NodeId, bool) {
    let (_, found) = LogDisk::open(data.clone(), None).unwrap();
    let vote = found.vote.unwrap();
    (vote.leader_id.term, vote.leader_id.node_id, vote.committed)
}
