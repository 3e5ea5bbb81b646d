//! How a leader brings into the view what nodes say about themselves since they joined.

use super::Control;
use super::command::{Command, Response};
use super::reign::CHANGE_DEADLINE;
use super::rpc::Proposed;
use crate::identity::NodeId;
use crate::outlook::Described;
use crate::roles;
use crate::view::View;

/// The most descriptions that are committed at one look; the others have their turn at the next.
const DESCRIBED_AT_ONCE: usize = 16;

impl Control {
    /// Commits the descriptions that the failure detector has heard of and the view does not show.
    pub(super) async fn commit_descriptions(&self) {
        let view = self.agreed_now().view.clone();
        let described = self.outlook.described_now();
        let news = described.values().filter(|described| is_news(&view, described));
        for Described { node, revision, metadata } in news.take(DESCRIBED_AT_ONCE).cloned() {
            let Some(incarnation) = view.node(node).map(|record| record.info.incarnation) else {
                continue;
            };
            let metadata = metadata.as_ref().clone();
            let command = Command::Describe { node, incarnation, revision, metadata };
            match self.propose_here(command, CHANGE_DEADLINE).await {
                Ok(Proposed::Applied { response: Response::Done, .. }) => {
                    self.metrics.nodes_described.inc();
                }
                Ok(other) => tracing::debug!(%node, ?other, "a description was not committed"),
                Err(error) => tracing::warn!(%node, %error, "a description was not committed"),
            }
        }
    }

    /// Whether this node has given up the roles that vote, so that another should lead.
    pub(super) fn has_resigned(&self) -> bool {
        let view = self.agreed_now().view.clone();
        view.node(self.local.id).is_some_and(|record| !record.info.votes())
    }

    /// Whether the view has a node as alive and in a role that votes.
    pub(super) fn may_lead(&self, node: NodeId) -> bool {
        let view = self.agreed_now().view.clone();
        view.alive().any(|info| info.id == node && info.votes())
    }
}

/// Whether committing a description would change the view. What would be refused anyway must not
/// fill the log.
fn is_news(view: &View, described: &Described) -> bool {
    let Described { node, revision, metadata } = described;
    let known = view.node(*node).filter(|_| view.is_alive(*node));
    known.is_some_and(|known| known.info.revision < *revision)
        && known.is_some_and(|known| roles::kind(&known.info.roles) == roles::kind(&metadata.roles))
        && metadata.check().is_ok()
        && !view.is_last_member(*node, metadata)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Incarnation, Metadata, NodeInfo, NodeName, Role};
    use crate::time::Timestamp;
    use crate::view::NodeState;
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::Arc;

    fn metadata(role: Role) -> Metadata {
        Metadata { roles: BTreeSet::from([role]), tags: BTreeMap::new() }
    }

    fn view() -> View {
        let mut view = View::default();
        for id in [1, 2] {
            let Metadata { roles, tags } = metadata(Role::Member);
            let info = NodeInfo {
                id: NodeId(id),
                name: NodeName::new(format!("n{id}")).unwrap(),
                incarnation: Incarnation(1),
                addr: format!("n{id}:1"),
                roles,
                tags,
                revision: 3,
                starts: 1,
                process: 0,
            };
            view.admit(1, Timestamp::default(), info);
        }
        view
    }

    fn described(node: u64, revision: u64, role: Role) -> Described {
        Described { node: NodeId(node), revision, metadata: Arc::new(metadata(role)) }
    }

    #[test]
    fn only_what_would_change_the_view_is_proposed() {
        let mut view = view();
        assert!(is_news(&view, &described(2, 4, Role::Client)));
        assert!(!is_news(&view, &described(2, 3, Role::Client)), "known");
        assert!(!is_news(&view, &described(9, 4, Role::Client)), "a stranger");
        assert!(!is_news(&view, &described(2, 4, Role::Custom(String::new()))), "not valid");
        let (at, why) = (Timestamp::default(), String::new());
        view.put_out(2, at, NodeId(1), NodeState::Down, why, None);
        assert!(!is_news(&view, &described(1, 4, Role::Client)), "not there");
        assert!(!is_news(&view, &described(2, 4, Role::Client)), "the last member");
    }
}
