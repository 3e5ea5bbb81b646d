//! What a declared loss changes in what the cluster agrees on. Pure.
//!
//! The nodes that were lost may have had entries of the log that the survivor never saw, and by
//! these they may have granted epochs and tokens. Raft counts on from the survivor's last entry
//! all the same, as a clerk would who has lost the last pages of the book. So that no number is
//! given out twice, everybody counts a long way further from then on: what is called a log index
//! outside is Raft's own and a [`LEAP`] for each loss.

use super::command::Rejection;
use super::state::Agreed;
use crate::identity::FencingToken;
use crate::recovery::Loss;
use crate::view::NodeState;

/// By how much indexes rise at a loss: more entries than a cluster writes while one of its voters
/// is away, namely ten thousand a second for 79 days.
pub(crate) const LEAP: u64 = 1 << 36;

/// How many losses a cluster can have.
pub(crate) const LOSSES_MAX: u64 = 1_000;

// After all of them there is still room for more tokens than were skipped.
const _: () = assert!(2 * LOSSES_MAX * LEAP < u64::MAX / FencingToken::PLACES);

/// Losses that are remembered.
const LOSSES_REMEMBERED: usize = 64;

impl Agreed {
    /// What the entry at this place of Raft's log is called in epochs, tokens and versions.
    pub(crate) fn index_of(&self, log_index: u64) -> u64 {
        log_index + self.leaps * LEAP
    }

    /// The cluster goes on with the survivor alone, under a new id.
    pub(super) fn declare_loss(&mut self, log_index: u64, loss: Loss) -> Result<(), Rejection> {
        if let Some(cluster) = self.cluster.filter(|cluster| *cluster != loss.was) {
            return Err(Rejection::AlreadyBootstrapped { cluster });
        }
        self.leaps += 1;
        let index = self.index_of(log_index);
        self.cluster = Some(loss.cluster);
        // All others belong to the cluster that was, also those who only used it.
        let others = self.view.alive().map(|node| node.id).filter(|id| *id != loss.survivor);
        for node in others.collect::<Vec<_>>() {
            let forgotten =
                self.view.put_out(index, loss.at, node, NodeState::Down, loss.to_string(), None);
            self.forgot(index, forgotten);
        }
        self.losses.push_back(loss);
        if self.losses.len() > LOSSES_REMEMBERED {
            self.losses.pop_front();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::command::{Command, Response};
    use super::*;
    use crate::chance::Chance;
    use crate::identity::{ClusterId, Epoch, Incarnation, NodeId, NodeInfo, NodeName, Role};
    use crate::time::Timestamp;
    use std::collections::{BTreeMap, BTreeSet};

    const AT: Timestamp = Timestamp::from_unix_ms(0);

    fn info(id: u64) -> NodeInfo {
        NodeInfo {
            id: NodeId(id),
            name: NodeName::new(format!("n{id}")).unwrap(),
            incarnation: Incarnation(1),
            addr: format!("n{id}:1"),
            roles: BTreeSet::from([Role::Member]),
            tags: BTreeMap::new(),
            revision: 0,
            starts: 1,
            process: 0,
        }
    }

    fn loss(was: ClusterId, chance: &Chance) -> Loss {
        Loss {
            was,
            cluster: ClusterId::mint(chance),
            survivor: NodeId(2),
            lost: BTreeSet::from([NodeId(1), NodeId(3)]),
            by: "ann".to_owned(),
            at: AT,
        }
    }

    fn activate(node: u64) -> Command {
        Command::Activate { node: NodeId(node), incarnation: Incarnation(1), at: AT }
    }

    #[test]
    fn with_each_loss_the_cluster_has_a_new_id_one_node_and_far_higher_numbers() {
        let chance = Chance::seeded(1);
        let (mut agreed, mut was) = (Agreed::default(), ClusterId::mint(&chance));
        let nodes = vec![info(1), info(2), info(3)];
        agreed.apply(1, Command::Bootstrap { cluster: was, nodes, at: AT });
        agreed.apply(2, activate(1));
        for round in 1..=70 {
            let loss = loss(was, &chance);
            let at = round * 10;
            assert_eq!(agreed.apply(at, Command::DeclareLoss(loss.clone())), Response::Done);
            assert_eq!(agreed.cluster, Some(loss.cluster));
            assert_eq!(agreed.view.alive().map(|node| node.id).collect::<Vec<_>>(), [NodeId(2)]);
            agreed.apply(at + 1, activate(2));
            assert_eq!(agreed.epoch(), Epoch(at + 1 + round * LEAP));
            agreed.apply(at + 2, Command::Admit { node: info(100 + round), at: AT });
            assert_eq!(agreed.view.version(), at + 2 + round * LEAP);
            was = loss.cluster;
        }
        let lost = agreed.view.node(NodeId(1)).unwrap();
        assert_eq!((lost.state, lost.since), (NodeState::Down, 10 + LEAP));
        assert!(lost.reason.contains("declared lost by \"ann\""), "{}", lost.reason);
        assert_eq!((agreed.leaps, agreed.losses.len()), (70, LOSSES_REMEMBERED));
    }

    #[test]
    fn a_loss_of_another_cluster_changes_nothing() {
        let chance = Chance::seeded(1);
        let (mut agreed, cluster) = (Agreed::default(), ClusterId::mint(&chance));
        agreed.apply(1, Command::Bootstrap { cluster, nodes: vec![info(1), info(2)], at: AT });
        let before = agreed.clone();
        let foreign = Command::DeclareLoss(loss(ClusterId::mint(&chance), &chance));
        let refused = Response::Rejected(Rejection::AlreadyBootstrapped { cluster });
        assert_eq!(agreed.apply(2, foreign), refused);
        assert_eq!(agreed, before);
    }
}
