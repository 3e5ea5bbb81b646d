//! What every node agrees on: the cluster's identity, its view and its leaders. Pure: the same
//! entries give the same state everywhere.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::command::{Command, Rejection, Removed, Response};
use crate::identity::{ClusterId, Epoch, NodeId};
use crate::messaging::Process;
use crate::opinion::Removal;
use crate::recovery::Loss;
use crate::roles;
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
    /// How often a loss was declared.
    pub(crate) leaps: u64,
    /// The latest of these losses, the latest last.
    pub(crate) losses: VecDeque<Loss>,
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

    pub(super) fn forgot(&mut self, index: u64, nodes: impl IntoIterator<Item = NodeId>) {
        self.forgotten.extend(nodes.into_iter().map(|node| (index, node)));
        while self.forgotten.len() > FORGOTTEN_REMEMBERED {
            if let Some((index, _)) = self.forgotten.pop_front() {
                self.forgotten_until = index;
            }
        }
    }

    /// Applies the entry at this place of the log. Commands of modules are not for here.
    pub(crate) fn apply(&mut self, log_index: u64, command: Command) -> Response {
        match self.try_apply(log_index, command) {
            Ok(()) => Response::Done,
            Err(rejection) => Response::Rejected(rejection),
        }
    }

    fn try_apply(&mut self, log_index: u64, command: Command) -> Result<(), Rejection> {
        let index = self.index_of(log_index);
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
            Command::Admit { mut node, at } => {
                if let Some(known) = self.view.node(node.id) {
                    if !Process::of(&known.info).allows(Process::of(&node)) {
                        let (stale, current) = (node.starts, known.info.starts);
                        return Err(Rejection::OldState { node: node.id, stale, current });
                    }
                    let (stale, current) = (node.incarnation, known.info.incarnation);
                    let alive = known.state == NodeState::Alive;
                    // A request that was long on its way takes back nothing.
                    if known.info.revision > node.revision {
                        node.describe(known.info.revision, known.info.metadata());
                    }
                    if alive && known.info == node {
                        return Ok(());
                    }
                    if stale < current || (stale == current && !alive) {
                        return Err(Rejection::StaleIncarnation { node: node.id, stale, current });
                    }
                    if self.view.is_last_member(node.id, &node.metadata()) {
                        return Err(Rejection::LastMember { node: node.id });
                    }
                }
                let forgotten = self.view.admit(index, at, node);
                self.forgot(index, forgotten);
            }
            Command::MarkDown { epoch, cut, at } => {
                self.check_epoch(epoch)?;
                // One that has come back since does not keep the others in.
                let mut refused = None;
                let before = self.view.version();
                for Removed { node, incarnation, why, missed_since, opinion } in cut {
                    if let Err(rejection) = self.check_incarnation(node, incarnation) {
                        refused = Some(rejection);
                        continue;
                    }
                    let removal =
                        self.activations.back().map(|Activation { node: leader, .. }| {
                            let leader = *leader;
                            Arc::new(Removal { leader, epoch, index, missed_since, opinion })
                        });
                    // It comes back only with a higher one than that in which it failed.
                    self.view.spoke(node, incarnation);
                    let forgotten =
                        self.view.put_out(index, at, node, NodeState::Down, why, removal);
                    self.forgot(index, forgotten);
                }
                if let Some(rejection) = refused.filter(|_| self.view.version() == before) {
                    return Err(rejection);
                }
            }
            Command::Leave { node, incarnation, at } => {
                self.check_incarnation(node, incarnation)?;
                self.view.spoke(node, incarnation);
                let why = "left in order".to_owned();
                let forgotten = self.view.put_out(index, at, node, NodeState::Left, why, None);
                self.forgot(index, forgotten);
            }
            Command::Describe { node, incarnation, revision, metadata } => {
                self.check_incarnation(node, incarnation)?;
                if self.view.is_last_member(node, &metadata) {
                    return Err(Rejection::LastMember { node });
                }
                let known = self.view.node(node).map(|record| &record.info);
                let current = known.map_or(0, |info| info.revision);
                let kind = known.map(|info| roles::kind(&info.roles));
                if kind.is_some_and(|kind| kind != roles::kind(&metadata.roles)) {
                    return Err(Rejection::OtherKind { node });
                }
                if !self.view.describe(index, node, revision, metadata) {
                    return Err(Rejection::StaleRevision { node, stale: revision, current });
                }
            }
            Command::DeclareLoss(loss) => self.declare_loss(log_index, loss)?,
            Command::Batch(commands) => {
                let module = commands.into_iter().map(|command| command.module).next();
                return Err(Rejection::UnknownModule { module: module.unwrap_or_default() });
            }
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
    use crate::identity::{Incarnation, Metadata, NodeInfo, NodeName, Role};
    use crate::membership::PeerState;
    use crate::opinion::Opinion;
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
            revision: 0,
            starts: 1,
            process: 0,
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

    fn removed(node: u64, incarnation: u64) -> Removed {
        let (node, incarnation) = (NodeId(node), Incarnation(incarnation));
        let opinion = Opinion {
            observer: NodeId(1),
            at: AT,
            node,
            incarnation,
            state: PeerState::Down,
            last_heard: None,
            round_trip: None,
            accusers: vec![],
            local_health: 0,
            evidence: vec![],
        };
        Removed { node, incarnation, why: String::new(), missed_since: AT, opinion }
    }

    fn mark_down(epoch: u64, node: u64, incarnation: u64) -> Command {
        Command::MarkDown { epoch: Epoch(epoch), cut: vec![removed(node, incarnation)], at: AT }
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

    #[test]
    fn who_was_put_out_comes_back_only_higher_than_it_ever_spoke() {
        let mut agreed = bootstrapped();
        agreed.apply(2, activate(1));
        // Node 3 objected to suspicions until it spoke with 5, of which the view never heard.
        agreed.apply(3, mark_down(2, 3, 5));
        let back = |incarnation| Command::Admit { node: info(3, incarnation), at: AT };
        assert!(matches!(agreed.apply(4, back(5)), Response::Rejected(_)));
        assert_eq!(agreed.apply(5, back(6)), Response::Done);
    }

    #[test]
    fn whom_a_cut_takes_out_the_view_can_still_tell_of() {
        let mut agreed = Agreed::default();
        let nodes = (1..=300).map(|id| info(id, 1)).collect();
        let cluster = ClusterId::mint(&Chance::seeded(1));
        agreed.apply(1, Command::Bootstrap { cluster, nodes, at: AT });
        agreed.apply(2, activate(1));
        let largest = crate::cut::CUT_MAX as u64;
        let cut = (2..2 + largest).map(|id| removed(id, 1)).collect();
        agreed.apply(3, Command::MarkDown { epoch: Epoch(2), cut, at: AT });
        assert!((2..2 + largest).all(|id| agreed.view.node(NodeId(id)).is_some()));
    }

    #[test]
    fn a_node_stays_what_it_was_started_for() {
        let mut agreed = bootstrapped();
        let change = |role: Role| Command::Describe {
            node: NodeId(2),
            incarnation: Incarnation(1),
            revision: 9,
            metadata: Metadata { roles: BTreeSet::from([role]), tags: BTreeMap::new() },
        };
        let refused = Response::Rejected(Rejection::OtherKind { node: NodeId(2) });
        assert_eq!(agreed.apply(2, change(Role::Observer)), refused);
        assert_eq!(agreed.apply(3, change(Role::MetricsCollector)), refused);
        assert_eq!(agreed.apply(4, change(Role::Client)), Response::Done);
    }

    fn describe(node: u64, incarnation: u64, revision: u64, tag: &str) -> Command {
        let mut metadata = info(node, 1).metadata();
        metadata.tags.insert("zone".to_owned(), tag.to_owned());
        let (node, incarnation) = (NodeId(node), Incarnation(incarnation));
        Command::Describe { node, incarnation, revision, metadata }
    }

    fn zone(agreed: &Agreed, node: u64) -> Option<&str> {
        agreed.view.node(NodeId(node))?.info.tags.get("zone").map(String::as_str)
    }

    #[test]
    fn only_a_newer_description_of_an_alive_node_counts_and_is_a_new_version() {
        let mut agreed = bootstrapped();
        assert_eq!(agreed.apply(2, describe(3, 1, 2, "new")), Response::Done);
        assert_eq!((zone(&agreed, 3), agreed.view.version()), (Some("new"), 2));
        for late in [1, 2] {
            let refused = agreed.apply(3, describe(3, 1, late, "old"));
            let stale = Rejection::StaleRevision { node: NodeId(3), stale: late, current: 2 };
            assert_eq!(refused, Response::Rejected(stale));
        }
        agreed.apply(4, activate(1));
        agreed.apply(5, mark_down(4, 3, 1));
        assert!(matches!(agreed.apply(6, describe(3, 1, 3, "late")), Response::Rejected(_)));
        assert_eq!((zone(&agreed, 3), agreed.view.version()), (Some("new"), 5));
    }

    #[test]
    fn a_node_that_is_let_in_with_an_old_description_keeps_its_newest() {
        let mut agreed = bootstrapped();
        agreed.apply(2, describe(3, 1, 2, "new"));
        agreed.apply(3, Command::Admit { node: info(3, 2), at: AT });
        assert_eq!(zone(&agreed, 3), Some("new"));
        assert_eq!(agreed.view.node(NodeId(3)).unwrap().info.incarnation, Incarnation(2));
        let mut newer = info(3, 3);
        newer.describe(3, Metadata { tags: BTreeMap::new(), ..newer.metadata() });
        agreed.apply(4, Command::Admit { node: newer, at: AT });
        assert_eq!(zone(&agreed, 3), None);
    }

    #[test]
    fn the_last_member_has_to_remain_one() {
        let mut agreed = bootstrapped();
        let resign = |node: u64| {
            let metadata =
                Metadata { roles: BTreeSet::from([Role::Client]), ..Metadata::default() };
            let (node, incarnation) = (NodeId(node), Incarnation(1));
            Command::Describe { node, incarnation, revision: 1, metadata }
        };
        assert_eq!(agreed.apply(2, resign(1)), Response::Done);
        assert_eq!(agreed.apply(3, resign(2)), Response::Done);
        let last = Response::Rejected(Rejection::LastMember { node: NodeId(3) });
        assert_eq!(agreed.apply(4, resign(3)), last);
        let mut client = info(3, 2);
        client
            .describe(1, Metadata { roles: BTreeSet::from([Role::Client]), ..Metadata::default() });
        assert_eq!(agreed.apply(5, Command::Admit { node: client, at: AT }), last);
    }

    #[test]
    fn a_cut_is_one_version_of_the_view_without_those_who_came_back() {
        let mut agreed = bootstrapped();
        agreed.apply(2, activate(1));
        agreed.apply(3, Command::Admit { node: info(3, 2), at: AT });
        let cut = vec![removed(2, 1), removed(3, 1), removed(9, 1)];
        let epoch = Epoch(2);
        assert_eq!(agreed.apply(4, Command::MarkDown { epoch, cut, at: AT }), Response::Done);
        assert!(!agreed.view.is_alive(NodeId(2)) && agreed.view.is_alive(NodeId(3)));
        let cut = vec![removed(1, 1), removed(3, 2)];
        assert_eq!(agreed.apply(5, Command::MarkDown { epoch, cut, at: AT }), Response::Done);
        assert_eq!((agreed.view.version(), agreed.view.alive().count()), (5, 0));
        let since: Vec<u64> = agreed.view.nodes().map(|record| record.since).collect();
        assert_eq!(since, [5, 4, 5]);
        let removal = agreed.view.node(NodeId(2)).unwrap().removal.clone().unwrap();
        assert_eq!((removal.leader, removal.epoch, removal.index), (NodeId(1), epoch, 4));
        agreed.apply(6, Command::Admit { node: info(2, 2), at: AT });
        assert_eq!(agreed.view.node(NodeId(2)).unwrap().removal, None);
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
