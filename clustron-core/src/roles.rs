//! What a node may do by its roles: the one place that says so. Whoever needs to know asks here
//! and not for a role by name.
//!
//! | role | votes | holds data | runs work | follows the log | suspicions | collects metrics |
//! | --- | --- | --- | --- | --- | --- | --- |
//! | `Member` | when chosen | yes | yes | yes | yes | |
//! | `Client` | | | | yes | yes | |
//! | `Observer` | | | | | | |
//! | `MetricsCollector` | | | | | | yes |
//! | `Custom`, alone | | | | yes | yes | |
//! | `Witness` | when chosen | | | yes | yes | |
//!
//! A node with several roles has the rights of all of them. A custom role is a label for placement
//! and gives no right to a node that has one of the other roles; a node with nothing but custom
//! roles takes part as a client does. Every role sees the view, the leader and the voters.

use std::collections::BTreeSet;

use crate::identity::{NodeInfo, Role};

/// Whether the node may found a cluster, vote and lead.
pub(crate) fn votes(roles: &BTreeSet<Role>) -> bool {
    roles.contains(&Role::Member) || roles.contains(&Role::Witness)
}

/// Whether partitions of data may be placed on the node.
pub(crate) fn holds_data(roles: &BTreeSet<Role>) -> bool {
    roles.contains(&Role::Member)
}

/// Whether a leader may grant work to the node.
pub(crate) fn runs_work(roles: &BTreeSet<Role>) -> bool {
    roles.contains(&Role::Member)
}

/// Whether the node follows the control log, and so has replicated state and may propose. Who does
/// not is told of the view and the leader by a member.
pub(crate) fn follows_log(roles: &BTreeSet<Role>) -> bool {
    votes(roles) || acts_as_client(roles)
}

/// Whether the node's own suspicions stand in its status and are events there. All take part in the
/// failure detection; of a node that only watches, nobody wants to know whom it cannot reach.
pub(crate) fn sees_suspicions(roles: &BTreeSet<Role>) -> bool {
    votes(roles) || acts_as_client(roles)
}

/// Whether the node polls the metrics of the others.
pub(crate) fn collects_metrics(roles: &BTreeSet<Role>) -> bool {
    roles.contains(&Role::MetricsCollector)
}

/// What a node is built for, and what therefore cannot change while it runs: whether it follows the
/// control log, and whether it collects metrics.
pub(crate) fn kind(roles: &BTreeSet<Role>) -> (bool, bool) {
    (follows_log(roles), collects_metrics(roles))
}

/// The roles for people, in order, with commas between.
pub(crate) fn listed(roles: &BTreeSet<Role>) -> String {
    roles.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn acts_as_client(roles: &BTreeSet<Role>) -> bool {
    let custom = |role: &Role| matches!(role, Role::Custom(_));
    roles.contains(&Role::Client) || (!roles.is_empty() && roles.iter().all(custom))
}

/// What the node may do by its [roles](Role).
impl NodeInfo {
    /// Whether the node may found a cluster, vote and lead. Which of those that may do vote is up
    /// to the leader: see [`ClusterStatus::voters`](crate::ClusterStatus::voters).
    pub fn votes(&self) -> bool {
        votes(&self.roles)
    }

    /// Whether partitions of data may be placed on the node.
    pub fn holds_data(&self) -> bool {
        holds_data(&self.roles)
    }

    /// Whether a leader may grant work to the node.
    pub fn runs_work(&self) -> bool {
        runs_work(&self.roles)
    }

    /// Whether the node follows the control log, and so has replicated state and may propose.
    pub fn follows_log(&self) -> bool {
        follows_log(&self.roles)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Votes, holds data, runs work, follows the log, sees suspicions, collects metrics.
    fn rights(roles: &[Role]) -> [bool; 6] {
        let roles = roles.iter().cloned().collect();
        [
            votes(&roles),
            holds_data(&roles),
            runs_work(&roles),
            follows_log(&roles),
            sees_suspicions(&roles),
            collects_metrics(&roles),
        ]
    }

    #[test]
    fn each_role_has_the_rights_of_the_table() {
        let custom = Role::Custom("edge".to_owned());
        assert_eq!(rights(&[Role::Member]), [true, true, true, true, true, false]);
        assert_eq!(rights(&[Role::Client]), [false, false, false, true, true, false]);
        assert_eq!(rights(&[Role::Observer]), [false; 6]);
        assert_eq!(rights(&[Role::MetricsCollector]), [false, false, false, false, false, true]);
        assert_eq!(rights(&[custom]), rights(&[Role::Client]));
        assert_eq!(rights(&[Role::Witness]), [true, false, false, true, true, false]);
        assert_eq!(rights(&[]), [false; 6]);
    }

    #[test]
    fn several_roles_have_the_rights_of_all_and_a_custom_one_adds_none() {
        let custom = || Role::Custom("edge".to_owned());
        let all = [Role::Member, Role::Observer, Role::MetricsCollector];
        assert_eq!(rights(&all), [true; 6]);
        let both = [Role::Client, Role::MetricsCollector];
        assert_eq!(rights(&both), [false, false, false, true, true, true]);
        assert_eq!(rights(&[Role::Member, Role::Witness]), rights(&[Role::Member]));
        let each =
            [Role::Member, Role::Client, Role::Observer, Role::MetricsCollector, Role::Witness];
        for role in each {
            assert_eq!(rights(&[role.clone(), custom()]), rights(&[role]));
        }
    }

    /// Roles stand in the log and on the wire by their place: a new one goes to the end.
    #[test]
    fn the_bytes_of_each_role_are_frozen() {
        let edge = Role::Custom("e".to_owned());
        let roles = [Role::Member, Role::Client, Role::Observer, Role::MetricsCollector, edge];
        for (place, role) in roles.into_iter().chain([Role::Witness]).enumerate() {
            let bytes = crate::codec::encode(&role).unwrap();
            assert_eq!(usize::from(bytes[0]), place, "{role}");
        }
    }

    #[test]
    fn roles_are_listed_for_people() {
        let roles = BTreeSet::from([Role::Custom("edge".to_owned()), Role::Observer]);
        assert_eq!(listed(&roles), "observer, custom:edge");
    }
}
