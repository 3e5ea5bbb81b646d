//! Puts together what one node knows of the health of all: its own status, and what the others
//! have reported.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::report::Report;
use super::{ClusterHealth, NodeCondition, NodeHealth, NodeReport};
use crate::identity::NodeId;
use crate::status::ClusterStatus;
use crate::view::{NodeRecord, NodeState};

/// What has been heard of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// The latest report, how long it took, and how long ago it came.
    pub(super) report: Option<(Report, Duration, Duration)>,
    /// Why the latest question brought none.
    pub(super) error: Option<String>,
}

impl Heard {
    /// Whether the node still says what it last said. An old word is none.
    fn speaks(&self, silent_after: Duration) -> Option<&Report> {
        let recent = self.report.as_ref().filter(|(_, _, age)| *age <= silent_after);
        recent.filter(|_| self.error.is_none()).map(|(report, _, _)| report)
    }
}

/// The overview of a node with this status, which itself does not take `suspected` for alive. A
/// report that is older than `silent_after` says nothing of how its node is now.
pub(super) fn overview(
    status: &ClusterStatus,
    suspected: &BTreeSet<NodeId>,
    heard: &BTreeMap<NodeId, Heard>,
    silent_after: Duration,
) -> ClusterHealth {
    let speaking =
        || heard.iter().filter_map(|(id, heard)| Some((*id, heard.speaks(silent_after)?)));
    let furthest = speaking().map(|(_, report)| report.applied).max();
    let mut unreachable = status.unreachable.clone();
    for (id, report) in speaking().filter(|(_, report)| !report.unreachable.is_empty()) {
        unreachable.entry(id).or_default().extend(&report.unreachable);
    }
    // Who is gone is missed by everybody: that is no news.
    unreachable.retain(|id, peers| {
        peers.retain(|peer| status.view.is_alive(*peer));
        status.view.is_alive(*id) && !peers.is_empty()
    });
    let node = |record: &NodeRecord| {
        let id = record.info.id;
        // What somebody said before it went says nothing any more.
        let heard = heard.get(&id).filter(|_| record.state == NodeState::Alive);
        let known = heard.cloned().unwrap_or_default();
        let own = suspected.contains(&id).then_some(status.node.id);
        let others = speaking().filter(|(_, report)| report.suspected.contains(&id));
        let suspected_by = match record.state {
            NodeState::Alive => others.map(|(other, _)| other).chain(own).collect(),
            NodeState::Down | NodeState::Left => BTreeSet::new(),
        };
        let health = NodeHealth {
            info: record.info.clone(),
            state: record.state,
            votes: status.voters.contains(&id),
            leads: status.leader.as_ref().is_some_and(|leader| leader.node == id),
            condition: condition(record.state, known.speaks(silent_after)),
            behind: known.report.as_ref().and_then(|(report, ..)| {
                furthest.map(|furthest| furthest.saturating_sub(report.applied))
            }),
            report: known.report.map(|(report, round_trip, age)| NodeReport {
                health: report.health,
                epoch: report.epoch,
                applied: report.applied,
                staleness: report.staleness,
                leader: report.leader,
                round_trip,
                age,
            }),
            error: known.error,
            suspected_by,
        };
        (id, health)
    };
    ClusterHealth {
        cluster: status.cluster,
        leader: status.leader.clone(),
        tolerates: status.tolerates,
        nodes: status.view.nodes().map(node).collect(),
        unreachable,
    }
}

fn condition(state: NodeState, report: Option<&Report>) -> NodeCondition {
    match (state, report.map(|report| &report.health)) {
        (NodeState::Down, _) => NodeCondition::Down,
        (NodeState::Left, _) => NodeCondition::Left,
        (NodeState::Alive, None) => NodeCondition::Silent,
        (NodeState::Alive, Some(health)) if !health.is_live() => NodeCondition::NotLive,
        (NodeState::Alive, Some(health)) if !health.is_started() => NodeCondition::Starting,
        (NodeState::Alive, Some(health)) if !health.is_ready() => NodeCondition::NotReady,
        (NodeState::Alive, Some(_)) => NodeCondition::Ready,
    }
}

#[cfg(test)]
mod tests;
