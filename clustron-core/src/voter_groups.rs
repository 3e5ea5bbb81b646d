//! Who votes on the control log, as it is agreed and as it may soon be.
//!
//! A change of the voters counts for Raft from when it stands in a node's log, agreed or not; but
//! who loses the nodes that have it is back at the one before. As with a bridge that is being
//! replaced: until the new one carries, nobody may count on either alone.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::identity::NodeId;
use crate::tolerance;

/// Groups that each have to agree: one, or two while one replaces the other.
pub(crate) type Groups = Vec<BTreeSet<NodeId>>;

/// More groups, and more voters in all of them, than there ever are.
const GROUPS_MAX: usize = 4;
const VOTERS_MAX: usize = 64;

/// See the module's documentation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VoterGroups {
    /// By the log as far as it is applied.
    agreed: Groups,
    /// By all of the log that the node has.
    logged: Groups,
}

impl VoterGroups {
    pub(crate) fn new(agreed: Groups, logged: Groups) -> Self {
        Self { agreed, logged }
    }

    /// Who is agreed to vote.
    pub(crate) fn voters(&self) -> BTreeSet<NodeId> {
        self.agreed.iter().flatten().copied().collect()
    }

    /// By all of the log that the node has.
    pub(crate) fn logged(&self) -> &[BTreeSet<NodeId>] {
        &self.logged
    }

    /// Whether a node's vote may be needed, now or if what is not agreed yet does not come about.
    pub(crate) fn may_need(&self, node: NodeId) -> bool {
        self.all().any(|group| group.contains(&node))
    }

    /// How many more voters may fail whatever becomes of what is not agreed yet.
    pub(crate) fn tolerates(&self, is_live: impl Fn(NodeId) -> bool) -> usize {
        tolerance::tolerates(self.all(), is_live)
    }

    /// Whether another node can have sent this.
    pub(crate) fn is_bounded(&self) -> bool {
        self.all().count() <= GROUPS_MAX
            && self.all().map(BTreeSet::len).sum::<usize>() <= VOTERS_MAX
    }

    fn all(&self) -> impl Iterator<Item = &BTreeSet<NodeId>> {
        self.agreed.iter().chain(&self.logged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[u64]) -> BTreeSet<NodeId> {
        ids.iter().map(|id| NodeId(*id)).collect()
    }

    #[test]
    fn who_is_replaced_counts_until_that_is_agreed() {
        let (before, after) = (ids(&[1, 2, 3]), ids(&[1, 2, 4]));
        let live = |id: NodeId| id != NodeId(3);
        let in_log = VoterGroups::new(vec![before.clone(), after.clone()], vec![after.clone()]);
        assert_eq!(in_log.tolerates(live), 0, "1 and 2 have to agree to it yet");
        assert_eq!(in_log.voters(), ids(&[1, 2, 3, 4]));
        assert!(in_log.may_need(NodeId(3)));
        let agreed = VoterGroups::new(vec![after.clone()], vec![after.clone()]);
        assert_eq!((agreed.tolerates(live), agreed.voters()), (1, after));
        assert!(!agreed.may_need(NodeId(3)));
        assert_eq!(VoterGroups::default().tolerates(live), 0);
    }

    #[test]
    fn more_than_there_can_be_is_told() {
        let many: BTreeSet<NodeId> = (0..VOTERS_MAX as u64).map(NodeId).collect();
        assert!(VoterGroups::new(vec![many.clone()], vec![]).is_bounded());
        assert!(!VoterGroups::new(vec![many], vec![ids(&[1])]).is_bounded());
        assert!(!VoterGroups::new(vec![ids(&[]); GROUPS_MAX], vec![ids(&[])]).is_bounded());
    }
}
