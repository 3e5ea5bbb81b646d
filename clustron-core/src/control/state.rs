//! What every node agrees on: the cluster's identity, its view and its leaders. Pure: the same
//! entries give the same state everywhere.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::command::{Command, Rejection, Response};
use crate::identity::{ClusterId, Epoch, NodeId};
use crate::view::{Activation, NodeState, View};

/// Leader activations that are remembered.
const ACTIVATIONS_REMEMBERED: usize = 256;

/// Nodes that the view has forgotten and of which this is still known, so that whoever follows the
/// view by its changes can forget them too.
const FORGOTTEN_REMEMBERED: usize = 256;

/// The agreed state of the core. Modules keep theirs beside it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Agreed {
    /// `None` until the bootstrap entry is applied.
    pub(crate) cluster: Option<ClusterId>,
    pub(crate) view: View,
    /// The latest last.
    pub(crate) activations: VecDeque<Activation>,
    /// Nodes that the view forgot, each with the log index at which it did, the latest last.
    pub(crate) forgotten: VecDeque<(u64, NodeId)>,
    /// The log index of the last forgetting that itself is not remembered.
    pub(crate) forgotten_until: u64,
}

impl Agreed {
    /// The epoch in force; zero before the first leader.
    pub(crate) fn epoch(&self) -> Epoch {
        self.activations.back().map_or(Epoch(0), |a| a.epoch)
    }

    /// Whether leader work of `epoch` may still take effect.
    pub(crate) fn check_epoch(&self, epoch: Epoch) -> Result<(), Rejection> {
        let current = self.epoch();
        if epoch == current { Ok(()) } else { Err(Rejection::StaleEpoch { stale: epoch, current }) }
    }

    /// Remembers a leader; the one that goes back furthest is forgotten for it.
    pub(crate) fn activated(&mut self, activation: Activation) {
        assert!(activation.epoch > self.epoch(), "log indexes rise, so epochs do");
        self.activations.push_back(activation);
        if self.activations.len() > ACTIVATIONS_REMEMBERED {
            self.activations.pop_front();
        }
    }

    fn forgot(&mut self, index: u64, nodes: impl IntoIterator<Item = NodeId>) {
        self.forgotten.extend(nodes.into_iter().map(|node| (index, node)));
        while self.forgotten.len() > FORGOTTEN_REMEMBERED {
            if let Some((index, _)) = self.forgotten.pop_front() {
                self.forgotten_until = index;
            }
        }
    }

    /// Applies one entry. Commands of modules are not for here.
    pub(crate) fn apply(&mut self, index: u64, command: Command) -> Response {
        match self.try_apply(index, command) {
            Ok(()) => Response::Done,
            Err(rejection) => Response::Rejected(rejection),
        }
    }

    fn try_apply(&mut self, index: u64, command: Command) -> Result<(), Rejection> {
        match command {
            Command::Bootstrap { cluster, nodes, at } => {
                if let Some(cluster) = self.cluster {
                    return Err(Rejection::AlreadyBootstrapped { cluster });
                }
                self.cluster = Some(cluster);
                for node in nodes {
                    let forgotten = self.view.admit(index, at, node);
                    self.forgot(index, forgotten);
                }
            }
            Command::Activate { node, incarnation, at } => {
                let record = self.view.node(node).ok_or(Rejection::NotAlive { node })?;
                let name = record.info.name.clone();
                let epoch = Epoch(index);
                self.activated(Activation { epoch, node, name, incarnation, at });
            }
            Command::Admit { node, at } => {
                if let Some(known) = self.view.node(node.id) {
                    let (stale, current) = (node.incarnation, known.info.incarnation);
                    let alive = known.state == NodeState::Alive;
                    if alive && known.info == node {
                        return Ok(());
                    }
                    if stale < current || (stale == current && !alive) {
                        return Err(Rejection::StaleIncarnation { node: node.id, stale, current });
                    }
                }
                let forgotten = self.view.admit(index, at, node);
                self.forgot(index, forgotten);
            }
            Command::MarkDown { epoch, node, incarnation, why, at } => {
                self.check_epoch(epoch)?;
                self.check_incarnation(node, incarnation)?;
                let forgotten = self.view.put_out(index, at, node, NodeState::Down, why);
                self.forgot(index, forgotten);
            }
            Command::Leave { node, incarnation, at } => {
                self.check_incarnation(node, incarnation)?;
                let why = "left in order".to_owned();
                let forgotten = self.view.put_out(index, at, node, NodeState::Left, why);
                self.forgot(index, forgotten);
            }
            Command::Module { module, .. } => return Err(Rejection::UnknownModule { module }),
        }
        Ok(())
    }

    /// News about a node counts only if it is about the incarnation that is alive in the view.
    fn check_incarnation(
        &self,
        node: NodeId,
        incarnation: crate::Incarnation,
    ) -> Result<(), Rejection> {
        let record = self.view.node(node).filter(|r| r.state == NodeState::Alive);
        let current = record.ok_or(Rejection::NotAlive { node })?.info.incarnation;
        if incarnation < current {
            return Err(Rejection::StaleIncarnation { node, stale: incarnation, current });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Chance;
    use crate::identity::{Incarnation, NodeInfo, NodeName, Role};
    use crate::time::Timestamp;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    const AT: Timestamp = Timestamp::from_unix_ms(0);

    fn info(id: u64, incarnation: u64) -> NodeInfo {
        NodeInfo {
            id: NodeId(id),
            name: NodeName::new(format!("n{id}")).unwrap(),
            incarnation: Incarnation(incarnation),
            addr: format!("n{id}:1"),
            roles: BTreeSet::from([Role::Member]),
            tags: BTreeMap::new(),
        }
    }

    fn bootstrapped() -> Agreed {
        let mut agreed = Agreed::default();
        let nodes = vec![info(1, 1), info(2, 1), info(3, 1)];
        let bootstrap =
            Command::Bootstrap { cluster: ClusterId::mint(&Chance::from_os()), nodes, at: AT };
        assert_eq!(agreed.apply(1, bootstrap), Response::Done);
        agreed
    }

    fn activate(node: u64) -> Command {
        Command::Activate { node: NodeId(node), incarnation: Incarnation(1), at: AT }
    }

    fn mark_down(epoch: u64, node: u64, incarnation: u64) -> Command {
        let (node, incarnation) = (NodeId(node), Incarnation(incarnation));
        Command::MarkDown { epoch: Epoch(epoch), node, incarnation, why: String::new(), at: AT }
    }

    #[test]
    fn a_cluster_is_bootstrapped_once() {
        let mut agreed = bootstrapped();
        let before = agreed.clone();
        let again = Command::Bootstrap {
            cluster: ClusterId::mint(&Chance::from_os()),
            nodes: vec![],
            at: AT,
        };
        assert!(matches!(agreed.apply(2, again), Response::Rejected(_)));
        assert_eq!(agreed, before);
    }

    #[test]
    fn leader_work_of_a_passed_epoch_has_no_effect() {
        let mut agreed = bootstrapped();
        agreed.apply(2, activate(1));
        agreed.apply(5, activate(2));
        assert_eq!(agreed.epoch(), Epoch(5));
        let stale = Rejection::StaleEpoch { stale: Epoch(2), current: Epoch(5) };
        assert_eq!(agreed.apply(6, mark_down(2, 3, 1)), Response::Rejected(stale));
        assert!(agreed.view.is_alive(NodeId(3)));
        assert_eq!(agreed.apply(7, mark_down(5, 3, 1)), Response::Done);
        assert!(!agreed.view.is_alive(NodeId(3)));
    }

    #[test]
    fn a_node_comes_back_from_down_only_with_a_higher_incarnation() {
        let mut agreed = bootstrapped();
        agreed.apply(2, activate(1));
        agreed.apply(3, mark_down(2, 3, 1));
        let back = |incarnation| Command::Admit { node: info(3, incarnation), at: AT };
        assert!(matches!(agreed.apply(4, back(1)), Response::Rejected(_)));
        assert_eq!(agreed.apply(5, back(2)), Response::Done);
        assert!(agreed.view.is_alive(NodeId(3)));
        // A verdict about the incarnation before is late news.
        assert!(matches!(agreed.apply(6, mark_down(2, 3, 1)), Response::Rejected(_)));
        assert!(agreed.view.is_alive(NodeId(3)));
    }

    proptest! {
        #[test]
        fn the_epoch_never_falls(steps in proptest::collection::vec((1u64..5, 0u8..4), 0..60)) {
            let mut agreed = bootstrapped();
            let mut highest = Epoch(0);
            for (i, (node, what)) in steps.into_iter().enumerate() {
                let index = 2 + i as u64;
                agreed.apply(index, match what {
                    0 => activate(node),
                    1 => mark_down(highest.0, node, 1),
                    2 => Command::Admit { node: info(node, index), at: AT },
                    _ => Command::Leave { node: NodeId(node), incarnation: Incarnation(1), at: AT },
                });
                prop_assert!(agreed.epoch() >= highest);
                highest = agreed.epoch();
            }
        }
    }
}
