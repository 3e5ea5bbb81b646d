//! The agreed list of nodes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::identity::{Epoch, Incarnation, Metadata, NodeId, NodeInfo, NodeName, Role};
use crate::opinion::Removal;
use crate::time::Timestamp;

/// Nodes that have gone and are still remembered; the longest gone is forgotten first. No leader
/// takes out more than this in one entry of the log, so nobody is forgotten by the entry that takes
/// it out, but for the many that may go with a declared loss.
pub(crate) const GONE_REMEMBERED: usize = 256;

/// Where a node stands in the agreed view. Suspicion is a local hint and never stands here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum NodeState {
    /// Takes part.
    Alive,
    /// Failed, as the leader found. It comes back only with a higher incarnation.
    Down,
    /// Left in order.
    Left,
}

impl fmt::Display for NodeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NodeState::Alive => "alive",
            NodeState::Down => "down",
            NodeState::Left => "left",
        })
    }
}

/// One node as the cluster agrees on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// What the node says about itself, as far as it is agreed.
    pub info: NodeInfo,
    /// Where it stands.
    pub state: NodeState,
    /// Why it stands there, for people, in one line.
    pub reason: String,
    /// With what the leader took it out, if that is how it went.
    pub removal: Option<Arc<Removal>>,
    /// The log index that let the node's present process in. What an earlier entry granted it,
    /// it granted to a process that has ended.
    pub process_since: u64,
    /// The log index that put it there.
    pub since: u64,
    /// When that was, by the leader's clock.
    pub since_at: Timestamp,
    /// The log index that last changed anything here.
    pub changed: u64,
}

/// The agreed, versioned list of nodes, committed by the control log. Gossip is a hint, the view is
/// truth.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    version: u64,
    nodes: BTreeMap<NodeId, NodeRecord>,
}

impl View {
    /// The log index of the latest change. A higher version is a newer view.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The nodes that take part, in the order of their ids.
    pub fn alive(&self) -> impl Iterator<Item = &NodeInfo> {
        self.nodes.values().filter(|r| r.state == NodeState::Alive).map(|r| &r.info)
    }

    /// All nodes that are remembered, gone ones too, in the order of their ids.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeRecord> {
        self.nodes.values()
    }

    /// One node, gone or not.
    pub fn node(&self, id: NodeId) -> Option<&NodeRecord> {
        self.nodes.get(&id)
    }

    /// Whether a node takes part.
    pub fn is_alive(&self, id: NodeId) -> bool {
        self.nodes.get(&id).is_some_and(|r| r.state == NodeState::Alive)
    }

    /// The records that were changed after a version, oldest change first.
    pub(crate) fn changed_after(&self, version: u64) -> Vec<&NodeRecord> {
        if self.version <= version {
            return vec![];
        }
        let mut changed: Vec<_> = self.nodes.values().filter(|r| r.changed > version).collect();
        changed.sort_by_key(|record| (record.changed, record.info.id));
        changed
    }

    /// Puts a record of another copy in place.
    pub(crate) fn put(&mut self, record: NodeRecord) {
        self.nodes.insert(record.info.id, record);
    }

    /// Removes a node that another copy forgot at that version, unless it is back since.
    pub(crate) fn forget(&mut self, id: NodeId, version: u64) {
        if self.nodes.get(&id).is_some_and(|record| record.since < version) {
            self.nodes.remove(&id);
        }
    }

    /// Says that the records are those of a version.
    pub(crate) fn complete(&mut self, version: u64) {
        self.version = version;
    }

    /// Whether this is the only member that takes part, and would be none with this description.
    pub(crate) fn is_last_member(&self, id: NodeId, wanted: &Metadata) -> bool {
        let mut members = self.alive().filter(|node| node.is_member());
        let only = members.next().filter(|_| members.next().is_none());
        only.is_some_and(|only| only.id == id) && !wanted.roles.contains(&Role::Member)
    }

    /// Takes in what an alive node says about itself now. Returns whether that is news.
    pub(crate) fn describe(
        &mut self,
        index: u64,
        id: NodeId,
        revision: u64,
        metadata: Metadata,
    ) -> bool {
        let record = self.nodes.get_mut(&id).filter(|r| r.state == NodeState::Alive);
        let Some(record) = record.filter(|r| r.info.revision < revision) else { return false };
        record.info.describe(revision, metadata);
        record.changed = index;
        self.version = index;
        true
    }

    /// Takes a node in, or back in. A node that stood at the same address is gone from there. Gives
    /// the nodes that were forgotten for it.
    pub(crate) fn admit(&mut self, index: u64, at: Timestamp, info: NodeInfo) -> Vec<NodeId> {
        let replaced: Vec<NodeId> = self
            .nodes
            .values()
            .filter(|r| r.state == NodeState::Alive && r.info.addr == info.addr)
            .map(|r| r.info.id)
            .filter(|id| *id != info.id)
            .collect();
        let mut forgotten = vec![];
        for id in replaced {
            let why = format!("replaced at its address by {info}");
            forgotten.extend(self.put_out(index, at, id, NodeState::Down, why, None));
        }
        let known = self.nodes.get(&info.id).filter(|known| known.info.starts == info.starts);
        let record = NodeRecord {
            process_since: known.map_or(index, |known| known.process_since),
            info,
            state: NodeState::Alive,
            reason: "joined".to_owned(),
            removal: None,
            since: index,
            since_at: at,
            changed: index,
        };
        self.nodes.insert(record.info.id, record);
        self.version = index;
        forgotten
    }

    /// A node has spoken with a higher incarnation than the one in which it was let in.
    pub(crate) fn spoke(&mut self, id: NodeId, incarnation: Incarnation) {
        if let Some(record) = self.nodes.get_mut(&id) {
            record.info.incarnation = record.info.incarnation.max(incarnation);
        }
    }

    /// Records that a node has gone. Gives the node that was forgotten for it.
    pub(crate) fn put_out(
        &mut self,
        index: u64,
        at: Timestamp,
        id: NodeId,
        state: NodeState,
        reason: String,
        removal: Option<Arc<Removal>>,
    ) -> Option<NodeId> {
        let record = self.nodes.get_mut(&id).filter(|r| r.state == NodeState::Alive)?;
        (record.state, record.reason, record.removal) = (state, reason, removal);
        (record.since, record.since_at, record.changed) = (index, at, index);
        self.version = index;
        let gone = self.nodes.values().filter(|r| r.state != NodeState::Alive);
        if gone.clone().count() > GONE_REMEMBERED
            && let Some(longest) = gone.min_by_key(|r| r.since).map(|r| r.info.id)
        {
            self.nodes.remove(&longest);
            return Some(longest);
        }
        None
    }
}

/// A node became leader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activation {
    /// The epoch, unique to this activation and higher than all before.
    pub epoch: Epoch,
    /// The leader's identity.
    pub node: NodeId,
    /// Its name.
    pub name: NodeName,
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// When, by its clock.
    pub at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn info(id: u64, addr: &str) -> NodeInfo {
        NodeInfo {
            id: NodeId(id),
            name: NodeName::new(format!("n{id}")).unwrap(),
            incarnation: Incarnation(1),
            addr: addr.to_owned(),
            roles: BTreeSet::from([Role::Member]),
            tags: BTreeMap::new(),
            revision: 0,
            starts: 1,
            process: 0,
        }
    }

    #[test]
    fn a_new_identity_at_an_address_puts_the_old_one_out() {
        let mut view = View::default();
        view.admit(1, Timestamp::default(), info(1, "a:1"));
        view.admit(2, Timestamp::default(), info(2, "a:1"));
        assert!(!view.is_alive(NodeId(1)) && view.is_alive(NodeId(2)));
        let reason = &view.node(NodeId(1)).unwrap().reason;
        assert!(reason.contains("n2 (0000000000000002 at a:1)"), "{reason}");
    }

    #[test]
    fn restarts_for_ever_keep_the_view_bounded() {
        let mut view = View::default();
        for id in 1..1000 {
            view.admit(id, Timestamp::default(), info(id, "a:1"));
        }
        assert_eq!(view.nodes().count(), GONE_REMEMBERED + 1);
        assert!(view.is_alive(NodeId(999)) && view.node(NodeId(998)).is_some());
    }
}
