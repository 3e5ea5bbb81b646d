//! What we know about one other node.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::evidence::{EVIDENCE_MAX, Evidence, EvidenceKind};
use super::input::Listed;
use super::message::{News, PeerState, Standing};
use crate::{Incarnation, Metadata, NodeId};

/// The most accusers of one peer that are remembered and passed on.
pub(super) const ACCUSERS_MAX: usize = 8;

/// Another node of the view.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub(super) incarnation: Incarnation,
    pub(super) state: PeerState,
    /// Who could not reach it in this incarnation, first come first.
    pub(super) accusers: Vec<NodeId>,
    /// Who decided that it is Down.
    pub(super) convicted_by: Option<NodeId>,
    pub(super) last_heard: Option<Duration>,
    pub(super) round_trip: Option<Duration>,
    /// When it was last told of an objection that it had missed.
    pub(super) corrected: Option<Duration>,
    pub(super) described: Described,
    pub(super) links: Links,
    /// What [`Peer::fingerprint`] gave when it was last asked.
    pub(super) print: u64,
    evidence: VecDeque<Evidence>,
}

/// A node's roles and tags.
#[derive(Debug, Clone, Default)]
pub(super) struct Described {
    pub(super) revision: u64,
    pub(super) metadata: Arc<Metadata>,
    /// The revision in the view.
    pub(super) listed: u64,
}

impl Described {
    /// Takes in what the view says, unless more is known.
    pub(super) fn list(&mut self, listed: &Listed) {
        self.listed = listed.revision;
        if listed.revision > self.revision {
            self.revision = listed.revision;
            self.metadata = listed.metadata.clone();
        }
    }
}

/// Whom a node cannot reach directly although others can.
#[derive(Debug, Clone, Default)]
pub(super) struct Links {
    pub(super) version: u64,
    pub(super) broken: Vec<NodeId>,
}

impl Peer {
    pub(super) fn new(listed: &Listed) -> Self {
        let described = Described {
            revision: listed.revision,
            metadata: listed.metadata.clone(),
            listed: listed.revision,
        };
        Self {
            incarnation: listed.incarnation,
            state: PeerState::Alive,
            accusers: Vec::new(),
            convicted_by: None,
            last_heard: None,
            round_trip: None,
            corrected: None,
            described,
            links: Links::default(),
            print: 0,
            evidence: VecDeque::new(),
        }
    }

    pub(super) fn record(&mut self, at: Duration, kind: EvidenceKind) {
        if self.evidence.len() == EVIDENCE_MAX {
            self.evidence.pop_front();
        }
        self.evidence.push_back(Evidence { at, kind });
    }

    /// Starts a new case: what spoke against it has been answered.
    pub(super) fn close_case(&mut self) {
        self.evidence.clear();
        self.accusers.clear();
        self.convicted_by = None;
    }

    /// What was observed since it was last found Alive, oldest first.
    pub(super) fn evidence(&self) -> Vec<Evidence> {
        self.evidence.iter().cloned().collect()
    }

    /// What we would tell others about it; `us` decided what nobody else is known to have.
    pub(super) fn standing(&self, us: NodeId) -> Standing {
        match self.state {
            PeerState::Alive => Standing::Alive,
            PeerState::Suspect => {
                Standing::Suspect { by: self.accusers.first().copied().unwrap_or(us) }
            }
            PeerState::Down => Standing::Down { by: self.convicted_by.unwrap_or(us) },
            PeerState::Left => Standing::Left,
        }
    }

    /// The same as news.
    pub(super) fn news(&self, node: NodeId, us: NodeId) -> News {
        News::Standing { node, incarnation: self.incarnation, standing: self.standing(us) }
    }

    /// What is said of it again and again while it is not Alive: that we could not reach it, or
    /// else who could not, each in turn.
    pub(super) fn doubt(&self, node: NodeId, us: NodeId, turn: u64) -> News {
        let news = self.news(node, us);
        if self.state != PeerState::Suspect || self.accusers.is_empty() {
            return news;
        }
        let turn = usize::try_from(turn % self.accusers.len() as u64).unwrap_or(0);
        let by = if self.accusers.contains(&us) { us } else { self.accusers[turn] };
        let (incarnation, standing) = (self.incarnation, Standing::Suspect { by });
        News::Standing { node, incarnation, standing }
    }

    /// A number that differs where something differs that all should know.
    pub(super) fn fingerprint(&self, node: NodeId) -> u64 {
        fingerprint(node, self.incarnation, self.state, self.described.revision, self.links.version)
    }
}

/// See [`Peer::fingerprint`]. A suspicion ends by itself, so it counts as Alive.
pub(super) fn fingerprint(
    node: NodeId,
    incarnation: Incarnation,
    state: PeerState,
    revision: u64,
    links: u64,
) -> u64 {
    let state = match state {
        PeerState::Alive | PeerState::Suspect => 0,
        PeerState::Down => 1,
        PeerState::Left => 2,
    };
    let mut print = node.0;
    for word in [incarnation.0, state, revision, links] {
        // The finalizer of SplitMix64 (Steele, Lea, Flood, 2014) spreads every bit over all.
        print = print.wrapping_add(word).wrapping_add(0x9e37_79b9_7f4a_7c15);
        print = (print ^ (print >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        print = (print ^ (print >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        print ^= print >> 31;
    }
    print
}
