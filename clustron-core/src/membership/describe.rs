//! What each node says of itself: its roles and tags, and whom it cannot reach.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::bug::Bug;
use super::gossip::Topic;
use super::message::{LINKS_MAX, News};
use super::{Effect, Listed, Membership, PeerState};
use crate::{Metadata, NodeId, Role};

impl Membership {
    /// This node describes itself anew.
    pub(super) fn describe(&mut self, revision: u64, metadata: Arc<Metadata>) {
        if revision > self.described.revision {
            self.described.revision = revision;
            self.described.metadata = metadata;
            self.tell_own_metadata();
        }
    }

    fn tell_own_metadata(&mut self) {
        self.reprint(self.local);
        let (node, revision) = (self.local, self.described.revision);
        let metadata = self.described.metadata.clone();
        self.effects.push(Effect::Described { node, revision, metadata: metadata.clone() });
        self.tell_others(Topic::Metadata, News::Metadata { node, revision, metadata });
    }

    pub(super) fn hear_metadata(&mut self, node: NodeId, revision: u64, metadata: &Arc<Metadata>) {
        if revision > self.revision_max(node) || metadata.check().is_err() {
            return;
        }
        if node == self.local {
            // Others remember a former life of ours that had changed more often.
            let ours = &mut self.described;
            if revision > ours.revision || (revision == ours.revision && ours.metadata != *metadata)
            {
                ours.revision = revision + 1;
                self.tell_own_metadata();
            }
            return;
        }
        let old_wins = self.has(Bug::OldMetadataWins);
        let Some(peer) = self.peers.get_mut(&node) else { return };
        let known = peer.described.revision;
        if revision > known || (old_wins && revision != known) {
            peer.described.revision = revision;
            peer.described.metadata = metadata.clone();
            let listed = peer.described.listed;
            self.reprint(node);
            let metadata = metadata.clone();
            if revision > listed {
                let metadata = metadata.clone();
                self.effects.push(Effect::Described { node, revision, metadata });
            }
            self.tell_others(Topic::Metadata, News::Metadata { node, revision, metadata });
        }
    }

    /// The highest revision or version of a node that is believed now.
    fn revision_max(&self, node: NodeId) -> u64 {
        let known = self.peers.get(&node).map_or(self.incarnation, |peer| peer.incarnation);
        Listed::revision_max(known)
    }

    /// The detector found that the direct way to a peer stopped working, or works again.
    pub(super) fn link_changed(&mut self, peer: NodeId, works: bool) {
        let broken = &mut self.links.broken;
        let known = broken.iter().position(|id| *id == peer);
        match (known, works) {
            (Some(at), true) => drop(broken.remove(at)),
            (None, false) if broken.len() < LINKS_MAX && self.peers.contains_key(&peer) => {
                broken.push(peer);
            }
            (Some(_), false) | (None, _) => return,
        }
        self.links.version += 1;
        self.reprint(self.local);
        self.effects.push(Effect::LinksChanged);
        self.tell_others(Topic::Links, self.own_links());
    }

    pub(super) fn own_links(&self) -> News {
        let (version, broken) = (self.links.version, self.links.broken.clone());
        News::Links { node: self.local, version, broken }
    }

    pub(super) fn hear_links(&mut self, node: NodeId, version: u64, broken: &[NodeId]) {
        if version > self.revision_max(node) {
            return;
        }
        if node == self.local {
            if version > self.links.version {
                self.links.version = version + 1;
                self.reprint(node);
                self.tell_others(Topic::Links, self.own_links());
            }
            return;
        }
        let Some(peer) = self.peers.get_mut(&node) else { return };
        if version > peer.links.version {
            peer.links.version = version;
            peer.links.broken = broken[..broken.len().min(LINKS_MAX)].to_vec();
            let broken = peer.links.broken.clone();
            self.reprint(node);
            self.effects.push(Effect::LinksChanged);
            self.tell_others(Topic::Links, News::Links { node, version, broken });
        }
    }

    /// Who cannot reach whom directly, as far as this node knows: what each node says itself, and
    /// whom it suspects. Only nodes of the view, and only those that are not known to be gone.
    pub fn unreachable(&self) -> BTreeMap<NodeId, BTreeSet<NodeId>> {
        let mut rows: BTreeMap<NodeId, BTreeSet<NodeId>> = BTreeMap::new();
        let here = |id: NodeId| {
            id == self.local || self.peers.get(&id).is_some_and(|p| p.state < PeerState::Down)
        };
        let said = self.peers.iter().map(|(id, peer)| (*id, &peer.links));
        for (observer, links) in said.chain([(self.local, &self.links)]) {
            for to in links.broken.iter().filter(|to| here(observer) && here(**to)) {
                rows.entry(observer).or_default().insert(*to);
            }
        }
        for suspect in self.doubted.iter().filter(|id| here(**id)) {
            let accusers = self.peers.get(suspect).map_or(&[][..], |peer| &peer.accusers);
            for observer in accusers.iter().filter(|id| here(**id)) {
                rows.entry(*observer).or_default().insert(*suspect);
            }
        }
        rows
    }
}

/// About how many bytes of roles and tags a piece of news holds.
pub(super) fn metadata_bytes(news: &News) -> usize {
    let News::Metadata { metadata, .. } = news else { return 0 };
    let role = |role: &Role| match role {
        Role::Custom(name) => name.len() + 2,
        Role::Member | Role::Client | Role::Observer | Role::MetricsCollector | Role::Witness => 1,
    };
    let roles: usize = metadata.roles.iter().map(role).sum();
    let tags: usize = metadata.tags.iter().map(|(key, value)| key.len() + value.len() + 2).sum();
    roles + tags
}
