//! Anti-entropy: two nodes find out whether they know the same, and exchange what differs.
//!
//! News is repeated a bounded number of times, so now and then it misses somebody. Like two
//! librarians who compare catalogues by telephone: they read out one number for the whole shelf; if
//! it differs, one number for each board; and only where a board differs, the titles on it. This is
//! range-based set reconciliation (Meyer, "Range-Based Set Reconciliation", 2022). While two nodes
//! agree it costs one small message, however many nodes they know.

use super::Membership;
use super::bug::Bug;
use super::message::{COMPARED_NEWS_MAX, Message, News, PeerState, RANGES_MAX, Range, Standing};
use super::peer::{Described, Links, fingerprint};
use crate::{Incarnation, NodeId};

/// A range with no more nodes than this is sent as it is.
const LEAF: usize = 8;

/// Into how many parts a larger range is cut.
const PARTS: usize = 8;

/// About how many bytes of roles and tags one answer carries; the rest is for the next time.
const METADATA_BYTES: usize = 32 << 10;

const ALL: (NodeId, NodeId) = (NodeId(0), NodeId(u64::MAX));

impl Membership {
    /// Compares with a random peer.
    pub(super) fn sync(&mut self) {
        let peers = &self.peers;
        let listens = |id| peers.get(&id).is_some_and(|peer| peer.state < PeerState::Down);
        if let Some(to) = self.roster.pick(1, &mut self.rng, listens).first().copied() {
            let ranges = vec![Range { from: ALL.0, to: ALL.1, print: Some(self.print) }];
            self.send(to, Message::Compare { ranges, news: vec![self.own_standing()] });
        }
    }

    /// Answers with what we know where it differs, and asks back.
    pub(super) fn compare(&mut self, from: NodeId, theirs: &[Range]) {
        if self.has(Bug::DeafToComparison) {
            return;
        }
        let (mut ranges, mut news, mut bytes) = (vec![], vec![self.own_standing()], 0);
        for range in &theirs[..theirs.len().min(RANGES_MAX)] {
            if news.len() >= COMPARED_NEWS_MAX || ranges.len() >= RANGES_MAX {
                break;
            }
            if range.from > range.to || range.print == Some(self.print_of(range)) {
                continue;
            }
            let ids = self.ids(range);
            if range.print.is_none() || ids.len() <= LEAF {
                let asked = ids.iter().take(COMPARED_NEWS_MAX).flat_map(|id| self.all_about(*id));
                for one in asked {
                    bytes += super::describe::metadata_bytes(&one);
                    if news.len() < COMPARED_NEWS_MAX && bytes <= METADATA_BYTES {
                        news.push(one);
                    }
                }
                ranges.extend(range.print.map(|_| Range { print: None, ..*range }));
            } else {
                ranges.extend(self.parts(range, &ids));
            }
        }
        if !ranges.is_empty() || news.len() > 1 {
            ranges.truncate(RANGES_MAX);
            self.send(from, Message::Compare { ranges, news });
        }
    }

    fn parts(&self, range: &Range, ids: &[NodeId]) -> Vec<Range> {
        let mut parts: Vec<Range> = Vec::with_capacity(PARTS);
        let mut from = range.from;
        for chunk in ids.chunks(ids.len().div_ceil(PARTS)) {
            let last = chunk.last().copied().unwrap_or(range.to);
            let part = Range { from, to: last, print: None };
            parts.push(Range { print: Some(self.print_of(&part)), ..part });
            from = NodeId(last.0.saturating_add(1));
        }
        // Nobody that we know of is beyond the last one; others may know of somebody.
        if let Some(last) = parts.last_mut() {
            last.to = range.to;
        }
        parts
    }

    /// The nodes of a range, this one included.
    fn ids(&self, range: &Range) -> Vec<NodeId> {
        let peers = self.peers.range(range.from..=range.to).map(|(id, _)| *id);
        let mut ids: Vec<NodeId> = peers.collect();
        if (range.from..=range.to).contains(&self.local) {
            let at = ids.partition_point(|id| *id < self.local);
            ids.insert(at, self.local);
        }
        ids
    }

    fn print_of(&self, range: &Range) -> u64 {
        if (range.from, range.to) == ALL {
            return self.print;
        }
        let peers = self.peers.range(range.from..=range.to).map(|(_, peer)| peer.print);
        let own = (range.from..=range.to).contains(&self.local).then_some(self.own_print);
        peers.chain(own).fold(0, u64::wrapping_add)
    }

    /// Everything that others should know about a node.
    fn all_about(&self, node: NodeId) -> Vec<News> {
        let peer = self.peers.get(&node);
        let (standing, described, links): (News, &Described, &Links) = match peer {
            None => (self.own_standing(), &self.described, &self.links),
            // Suspicions are told to those who hear them by gossip, with who had them.
            Some(peer) if peer.state == PeerState::Suspect => {
                let (incarnation, standing) = (peer.incarnation, Standing::Alive);
                let standing = News::Standing { node, incarnation, standing };
                (standing, &peer.described, &peer.links)
            }
            Some(peer) => (peer.news(node, self.local), &peer.described, &peer.links),
        };
        let mut news = vec![standing];
        if described.revision > 0 {
            let (revision, metadata) = (described.revision, described.metadata.clone());
            news.push(News::Metadata { node, revision, metadata });
        }
        if links.version > 0 {
            let (version, broken) = (links.version, links.broken.clone());
            news.push(News::Links { node, version, broken });
        }
        news
    }

    /// Something about this node has changed: brings the fingerprint of everything up to date.
    pub(super) fn reprint(&mut self, node: NodeId) {
        let (old, new) = if node == self.local {
            let state = if self.leaving { PeerState::Left } else { PeerState::Alive };
            let incarnation: Incarnation = self.incarnation;
            let (revision, links) = (self.described.revision, self.links.version);
            let new = fingerprint(node, incarnation, state, revision, links);
            (std::mem::replace(&mut self.own_print, new), new)
        } else if let Some(peer) = self.peers.get_mut(&node) {
            let new = peer.fingerprint(node);
            (std::mem::replace(&mut peer.print, new), new)
        } else {
            return;
        };
        self.print = self.print.wrapping_sub(old).wrapping_add(new);
    }
}
