//! The promises that a simulated cluster can break, one file each.
//!
//! A [`Predicate`] sees every change of every node's status at the moment at which it happens, and
//! remembers what it needs of the moments before. One of a test's own is added with
//! [`SimBuilder::predicate`](super::SimBuilder::predicate).

mod each_start_is_counted;
mod epoch_and_view_never_fall;
mod minority_commits_nothing;
mod no_healthy_node_is_removed;
mod one_activation_per_epoch;
mod one_cluster_id;
mod same_index_same_state;
mod same_version_same_view;
mod voters_change_one_at_a_time;

use std::time::Duration;

use clustron_core::simulation::AgreedVoters;
use clustron_core::{Activation, ClusterStatus, Config};

use super::health::Health;
pub use each_start_is_counted::EachStartIsCounted;
pub use epoch_and_view_never_fall::EpochAndViewNeverFall;
pub use minority_commits_nothing::MinorityCommitsNothing;
pub use no_healthy_node_is_removed::NoHealthyNodeIsRemoved;
pub use one_activation_per_epoch::OneActivationPerEpoch;
pub use one_cluster_id::OneClusterId;
pub use same_index_same_state::SameIndexSameState;
pub use same_version_same_view::SameVersionSameView;
pub use voters_change_one_at_a_time::VotersChangeOneAtATime;

/// What one node shows at one moment, beside what is known from outside.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    /// Virtual time since the run began.
    pub at: Duration,
    /// The node's name, which is its host's too.
    pub host: &'a str,
    /// Which start of the host's node it is, from 1. Another life is another node.
    pub life: u32,
    /// What the node knows of its cluster.
    pub status: &'a ClusterStatus,
    /// How far it has applied the control log.
    pub applied_index: u64,
    /// The leaders that it remembers, oldest first.
    pub history: &'a [Activation],
    /// Who was agreed to vote, as far as its log still has it, oldest first.
    pub voters: &'a [AgreedVoters],
    /// The log index of the last command of the watched state, and a digest of that state, where
    /// the test watches one.
    pub state: Option<(u64, u64)>,
    /// What the faults allow.
    pub health: &'a Health,
}

/// A safety property: something that must never be seen.
pub trait Predicate: Send + 'static {
    /// What to call it.
    fn name(&self) -> &'static str;

    /// Looks at a moment.
    ///
    /// # Errors
    /// What is wrong, for people.
    fn check(&mut self, moment: &Moment<'_>) -> Result<(), String>;
}

/// All that holds whatever the faults are, of nodes with these settings.
/// [`NoHealthyNodeIsRemoved`] depends on the failure detector's settings too, and is added by who
/// wants it.
pub fn standard(config: &Config) -> Vec<Box<dyn Predicate>> {
    vec![
        Box::new(OneClusterId::default()),
        Box::new(OneActivationPerEpoch::default()),
        Box::new(EpochAndViewNeverFall::default()),
        Box::new(SameIndexSameState::default()),
        Box::new(SameVersionSameView::default()),
        Box::new(EachStartIsCounted::default()),
        Box::new(MinorityCommitsNothing::default()),
        Box::new(VotersChangeOneAtATime::new(config)),
    ]
}

#[cfg(test)]
pub(super) mod testing {
    use std::collections::{BTreeMap, BTreeSet};

    use clustron_core::{
        Activation, ClusterId, ClusterStatus, Epoch, Incarnation, NodeId, NodeInfo, NodeName, Role,
        Timestamp, View,
    };

    use super::{Duration, Health, Moment};

    /// A status of a node that knows nothing yet.
    pub(crate) fn status(id: u64) -> ClusterStatus {
        let node = NodeInfo {
            id: NodeId(id),
            name: NodeName::new("a").unwrap(),
            incarnation: Incarnation(1),
            addr: "a:1".to_owned(),
            roles: BTreeSet::from([Role::Member]),
            tags: BTreeMap::new(),
            revision: 0,
            starts: 1,
            process: 0,
        };
        ClusterStatus {
            node,
            cluster: None,
            view: View::default(),
            voters: BTreeSet::new(),
            tolerates: 0,
            learners: BTreeSet::new(),
            attached: None,
            leader: None,
            leading: None,
            suspected: BTreeMap::new(),
            unreachable: BTreeMap::new(),
        }
    }

    /// What host "a" shows first of all, in its first life: this status, and nothing of a log.
    pub(crate) fn moment<'a>(status: &'a ClusterStatus, health: &'a Health) -> Moment<'a> {
        Moment {
            at: Duration::ZERO,
            host: "a",
            life: 1,
            status,
            applied_index: 0,
            history: &[],
            voters: &[],
            state: None,
            health,
        }
    }

    /// One cluster's id for each number.
    pub(crate) fn cluster_id(number: u8) -> ClusterId {
        serde_json::from_value(number.into()).unwrap()
    }

    /// A view of version 9 in which node 1 stands so, as core would have it in a snapshot.
    pub(crate) fn view_of_one(name: &str, state: &str, reason: &str) -> View {
        let info = serde_json::json!({
            "id": 1, "name": name, "incarnation": 1, "addr": "a:1", "roles": ["Member"], "tags": {},
            "revision": 0, "starts": 1, "process": 0
        });
        let record = serde_json::json!({
            "info": info, "state": state, "reason": reason, "process_since": 1, "since": 9,
            "since_at": 0, "changed": 9, "removal": null
        });
        let view = serde_json::json!({ "version": 9, "nodes": { "1": record } });
        serde_json::from_value(view).unwrap()
    }

    pub(crate) fn activation(epoch: u64, node: u64) -> Activation {
        Activation {
            epoch: Epoch(epoch),
            node: NodeId(node),
            name: NodeName::new("a").unwrap(),
            incarnation: Incarnation(1),
            at: Timestamp::default(),
        }
    }
}
