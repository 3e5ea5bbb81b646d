//! Changing our mind about a peer, and defending ourselves.

use super::bug::Bug;
use super::evidence::{EvidenceKind, Verdict};
use super::gossip::Topic;
use super::message::{INCARNATION_STEP, News, PeerState, Standing, overrides};
use super::peer::ACCUSERS_MAX;
use super::{Effect, Membership, Observation};
use crate::{Incarnation, NodeId};

impl Membership {
    /// Takes in what a message of `from` says of a node.
    pub(super) fn hear_standing(
        &mut self,
        from: NodeId,
        node: NodeId,
        incarnation: Incarnation,
        standing: Standing,
    ) {
        if node == self.local {
            // A stranger can only tell that our present incarnation is over.
            let step = if self.peers.contains_key(&from) { INCARNATION_STEP } else { 0 };
            if incarnation.0 <= self.incarnation.0.saturating_add(step) {
                self.hear_about_ourselves(incarnation, standing);
            }
            return;
        }
        let Some(peer) = self.peers.get(&node) else { return };
        if incarnation.0 > peer.incarnation.0.saturating_add(INCARNATION_STEP) {
            return;
        }
        let known = (peer.incarnation, peer.state);
        if let Standing::Suspect { by } = standing
            && (by == node || by == self.local || !self.peers.contains_key(&by))
        {
            // Nobody accuses itself, nobody speaks for us, and whom the view does not have has no
            // voice.
            return;
        }
        if let Standing::Suspect { by } = standing
            && known == (incarnation, PeerState::Suspect)
        {
            self.confirm(node, by);
            return;
        }
        if !self.is_news((incarnation, standing.state()), known) {
            let late = incarnation < known.0 && known.1 == PeerState::Alive;
            if late && standing != Standing::Alive {
                self.outdated.push(node);
            }
            return;
        }
        let Some(peer) = self.peers.get_mut(&node) else { return };
        if standing != Standing::Alive {
            let state = standing.state();
            peer.record(self.now, EvidenceKind::GossipFrom { node: from, state });
        } else if peer.state != PeerState::Alive {
            peer.record(self.now, EvidenceKind::Refuted { by: from, incarnation });
        }
        match standing {
            Standing::Alive => self.revive(node, incarnation),
            Standing::Suspect { by } => {
                if known.1 == PeerState::Suspect {
                    // It has objected to the suspicion before, unheard by us.
                    self.observe(Observation::Cleared { peer: node });
                }
                self.suspect(node, incarnation, by);
                self.observe(Observation::Accused { peer: node, by });
            }
            Standing::Down { by } => {
                self.settle(node, incarnation, PeerState::Down, Some(by));
                self.observe(Observation::Settled { peer: node });
            }
            Standing::Left => {
                self.settle(node, incarnation, PeerState::Left, None);
                self.observe(Observation::Settled { peer: node });
            }
        }
    }

    fn is_news(&self, news: (Incarnation, PeerState), known: (Incarnation, PeerState)) -> bool {
        overrides(news, known)
            || match (news.1, known.1) {
                (PeerState::Alive, PeerState::Suspect | PeerState::Down) => {
                    news.0 >= known.0 && self.has(Bug::RevivedByOldNews)
                }
                (PeerState::Suspect, PeerState::Alive) => self.has(Bug::OldSuspicionCounts),
                _ => false,
            }
    }

    /// Our own detector could not reach the peer.
    pub(super) fn suspect_ourselves(&mut self, node: NodeId) {
        let us = self.local;
        match self.peers.get(&node).map(|peer| (peer.state, peer.incarnation)) {
            Some((PeerState::Alive, incarnation)) => self.suspect(node, incarnation, us),
            Some((PeerState::Suspect, _)) => self.confirm(node, us),
            Some((PeerState::Down | PeerState::Left, _)) | None => {}
        }
    }

    /// Our own detector has given the peer up.
    pub(super) fn convict_ourselves(&mut self, node: NodeId) {
        if let Some(peer) = self.peers.get(&node)
            && peer.state < PeerState::Down
        {
            self.settle(node, peer.incarnation, PeerState::Down, Some(self.local));
        }
    }

    /// The peer speaks with a higher incarnation than what was held against it.
    pub(super) fn revive(&mut self, node: NodeId, incarnation: Incarnation) {
        self.change(node, incarnation, PeerState::Alive);
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.close_case();
        }
        if !self.has(Bug::ClearedUnheard) {
            self.observe(Observation::Cleared { peer: node });
        }
    }

    /// The peer has from now on to object.
    fn suspect(&mut self, node: NodeId, incarnation: Incarnation, by: NodeId) {
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.accusers = vec![by];
        }
        self.change(node, incarnation, PeerState::Suspect);
    }

    /// Another node could not reach the suspect either.
    fn confirm(&mut self, node: NodeId, by: NodeId) {
        let us = self.local;
        let Some(peer) = self.peers.get_mut(&node) else { return };
        // Our own voice always has room.
        let full = peer.accusers.len() >= ACCUSERS_MAX && by != us;
        if peer.accusers.contains(&by) || full {
            return;
        }
        peer.accusers.push(by);
        let incarnation = peer.incarnation;
        if by != us {
            self.observe(Observation::Accused { peer: node, by });
        }
        let standing = Standing::Suspect { by };
        self.tell_others(Topic::Confirmed(by), News::Standing { node, incarnation, standing });
        self.effects.push(Effect::LinksChanged);
    }

    /// The peer is gone, one way or the other.
    fn settle(
        &mut self,
        node: NodeId,
        incarnation: Incarnation,
        state: PeerState,
        by: Option<NodeId>,
    ) {
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.convicted_by = by;
        }
        // There is no way to nobody. Should it come back, the detector finds out anew.
        self.link_changed(node, true);
        self.change(node, incarnation, state);
    }

    fn change(&mut self, node: NodeId, incarnation: Incarnation, state: PeerState) {
        let us = self.local;
        let Some(peer) = self.peers.get_mut(&node) else { return };
        // One that is suspected in a higher incarnation has objected in between.
        let again = (state, peer.state) == (PeerState::Suspect, PeerState::Suspect)
            && incarnation > peer.incarnation;
        let changed = peer.state != state || again;
        peer.incarnation = incarnation;
        peer.state = state;
        let news = peer.news(node, us);
        if changed {
            let evidence = peer.evidence();
            self.effects.push(Effect::Verdict(Verdict { node, incarnation, state, evidence }));
            self.effects.push(Effect::LinksChanged);
        }
        if state == PeerState::Alive {
            self.doubted.remove(&node);
        } else {
            self.doubted.insert(node);
        }
        self.reprint(node);
        self.tell_others(Topic::Standing, news);
    }

    /// Somebody's news is about this node. An accusation is answered with a higher incarnation.
    /// So is an Alive that is ahead of us: we were started again and others remember objections
    /// of our former life, below which nothing that we say would count.
    fn hear_about_ourselves(&mut self, incarnation: Incarnation, standing: Standing) {
        if self.leaving {
            return;
        }
        let accused = standing != Standing::Alive && incarnation >= self.incarnation;
        if accused {
            self.observe(Observation::AccusedOurselves);
            if self.has(Bug::ForgottenRefutation) {
                return;
            }
        }
        if accused || incarnation > self.incarnation {
            let raised = Incarnation(incarnation.0.saturating_add(1));
            let reused = self.has(Bug::ReusedIncarnation);
            self.raise_incarnation(if reused { self.incarnation } else { raised });
        }
    }

    /// Speaks with this incarnation from now on, and says so.
    pub(super) fn raise_incarnation(&mut self, incarnation: Incarnation) {
        self.incarnation = incarnation;
        self.effects.push(Effect::Refuted { incarnation });
        self.reprint(self.local);
        self.tell_others(Topic::Standing, self.own_standing());
    }

    pub(super) fn own_standing(&self) -> News {
        let standing = if self.leaving && !self.has(Bug::SilentGoodbye) {
            Standing::Left
        } else {
            Standing::Alive
        };
        News::Standing { node: self.local, incarnation: self.incarnation, standing }
    }
}
