//! How nodes that know nothing become one cluster, as a pure decision.
//!
//! Like people who meet for the first time at a station: everybody tells everybody whom they see.
//! Only when all see the same group, large enough, does the one with the lowest number say "we are
//! it". Whoever meets somebody of an existing group joins that instead. The group is real only
//! once *each* of its founders follows the first leader (see `control::reign`) and a majority of
//! them has committed so. Where every member is expected, as by default, two groups would need the
//! same founders, and each founder follows one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::data_dir::{GIVEN_UP_MAX, GivenUp};
use crate::identity::{ClusterId, NodeId, NodeInfo};

/// The most acquaintances that one greeting passes on.
const ACQUAINTANCES_MAX: usize = 64;

/// The most nodes that are kept in mind on the way in.
const PEERS_MAX: usize = 1024;

/// What a node tells a node that it does not share a cluster with yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Greeting {
    pub(crate) node: NodeInfo,
    /// The members without a cluster that it has heard from directly, itself among them.
    pub(crate) sees: BTreeSet<NodeId>,
    /// The cluster it belongs to, and whether that is real yet.
    pub(crate) cluster: Option<(ClusterId, bool)>,
    /// Other nodes it has heard of, so that one shared seed is enough.
    pub(crate) knows: Vec<NodeInfo>,
    /// Who it was before, and gave up being: these promise nothing any more.
    pub(crate) given_up: Vec<GivenUp>,
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Not yet; `lacking` more members are needed, or they do not agree on whom they see.
    Wait { lacking: usize },
    /// Found a cluster of exactly these nodes.
    Found(Vec<NodeInfo>),
    /// Ask that node to be let into its cluster.
    Join { cluster: ClusterId, via: NodeId },
}

struct Peer {
    greeting: Greeting,
    at: Duration,
}

/// One node's way into a cluster. See the module's documentation.
pub(crate) struct Bootstrap {
    me: NodeInfo,
    given_up: Vec<GivenUp>,
    expect: usize,
    /// A peer that has not been heard for this long is not seen any more.
    seen_for: Duration,
    peers: BTreeMap<NodeId, Peer>,
    heard_of: BTreeMap<NodeId, NodeInfo>,
}

impl Bootstrap {
    /// `expect` is how many members, this one among them, must see each other to found a cluster;
    /// `seen_for` how long one greeting counts, half of it as ground to found on.
    pub(crate) fn new(me: NodeInfo, expect: usize, seen_for: Duration) -> Self {
        let (peers, heard_of) = (BTreeMap::new(), BTreeMap::new());
        Self { me, given_up: vec![], expect, seen_for, peers, heard_of }
    }

    /// The same for a node that has been others before.
    pub(crate) fn after(self, given_up: Vec<GivenUp>) -> Self {
        Self { given_up, ..self }
    }

    /// Whether a cluster with these groups of voters never came about and never will: of one group
    /// no majority is left that could agree on it, and whoever gave up had nothing of it.
    pub(crate) fn never_comes(&self, cluster: ClusterId, groups: &[BTreeSet<NodeId>]) -> bool {
        let all = self.peers.values().flat_map(|peer| &peer.greeting.given_up);
        let gone: BTreeSet<NodeId> =
            all.filter(|known| known.cluster == cluster).map(|known| known.node).collect();
        groups.iter().any(|group| group.difference(&gone).count() <= group.len() / 2)
    }

    /// Takes in what a peer says.
    pub(crate) fn heard(&mut self, now: Duration, mut greeting: Greeting) {
        let too_many = greeting.sees.len() > PEERS_MAX || greeting.given_up.len() > GIVEN_UP_MAX;
        if greeting.node.check().is_err() || too_many {
            return;
        }
        self.peers.retain(|_, peer| now < peer.at + self.seen_for);
        if self.peers.len() >= PEERS_MAX && !self.peers.contains_key(&greeting.node.id) {
            return;
        }
        for node in std::mem::take(&mut greeting.knows).into_iter().take(ACQUAINTANCES_MAX) {
            // What a node says of itself counts more than what others say of it.
            let told = self.heard_of.contains_key(&node.id) && self.peers.contains_key(&node.id);
            if node.id != self.me.id && !told && node.check().is_ok() {
                self.hear_of(node);
            }
        }
        self.heard_of.remove(&greeting.node.id);
        self.hear_of(greeting.node.clone());
        self.peers.insert(greeting.node.id, Peer { greeting, at: now });
    }

    fn hear_of(&mut self, node: NodeInfo) {
        let has_room = match self.heard_of.get(&node.id) {
            // Who passes on an earlier process of a node does not know where it lives now.
            Some(known) => known.starts <= node.starts,
            None => self.heard_of.len() < PEERS_MAX,
        };
        if has_room {
            self.heard_of.insert(node.id, node);
        }
    }

    /// A peer cannot be reached where it was said to live.
    pub(crate) fn unreachable(&mut self, node: NodeId) {
        self.heard_of.remove(&node);
    }

    /// Whom else to greet: everybody who was heard of.
    pub(crate) fn acquaintances(&self) -> impl Iterator<Item = &NodeInfo> {
        self.heard_of.values()
    }

    /// What to tell others.
    pub(crate) fn greeting(&self, now: Duration, cluster: Option<(ClusterId, bool)>) -> Greeting {
        Greeting {
            node: self.me.clone(),
            sees: self.sees(now),
            cluster,
            knows: self.heard_of.values().take(ACQUAINTANCES_MAX).cloned().collect(),
            given_up: self.given_up.clone(),
        }
    }

    /// The decision as things stand.
    pub(crate) fn decide(&self, now: Duration) -> Decision {
        let fresh = |peer: &&Peer| now < peer.at + self.seen_for / 2;
        for peer in self.peers.values().filter(fresh) {
            if let Some((cluster, true)) = peer.greeting.cluster {
                return Decision::Join { cluster, via: peer.greeting.node.id };
            }
        }
        let sees = self.sees(now);
        let lacking = self.expect.saturating_sub(sees.len());
        let agrees = |id: &NodeId| {
            *id == self.me.id
                || self.peers.get(id).filter(fresh).is_some_and(|p| p.greeting.sees == sees)
        };
        let mine_to_found = self.me.votes() && self.founder(&sees) == Some(self.me.id);
        if lacking > 0 || !mine_to_found || !sees.iter().all(agrees) {
            return Decision::Wait { lacking };
        }
        let others = sees.iter().filter_map(|id| self.peers.get(id));
        let founders = others.map(|peer| peer.greeting.node.clone());
        Decision::Found(founders.chain([self.me.clone()]).collect())
    }

    /// Who founds a cluster of these: the lowest id of those that hold data. Only where all are
    /// witnesses is it one of them.
    fn founder(&self, sees: &BTreeSet<NodeId>) -> Option<NodeId> {
        let holds_data = |id: &&NodeId| match self.peers.get(id) {
            Some(peer) => peer.greeting.node.holds_data(),
            None => self.me.holds_data(),
        };
        sees.iter().find(holds_data).or(sees.first()).copied()
    }

    /// The members without a cluster that were heard lately, and this one if it is such.
    fn sees(&self, now: Duration) -> BTreeSet<NodeId> {
        let free = self.peers.values().filter(|peer| {
            now < peer.at + self.seen_for
                && peer.greeting.cluster.is_none()
                && peer.greeting.node.votes()
        });
        let me = Some(self.me.id).filter(|_| self.me.votes());
        free.map(|peer| peer.greeting.node.id).chain(me).collect()
    }
}

/// What a node waits for that lacks so many members to found a cluster, for people.
pub(crate) fn waiting_for(founds: bool, lacking: usize) -> String {
    match (founds, lacking) {
        (true, 0) => "all members to see each other".to_owned(),
        (true, _) => format!("{lacking} more members"),
        (false, 0) => "the members to found a cluster: this node is none".to_owned(),
        (false, _) => format!(
            "{lacking} more members, which found a cluster before this node joins: it is none"
        ),
    }
}

#[cfg(test)]
mod tests;
