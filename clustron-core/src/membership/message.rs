//! What nodes say to each other about who is there.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Incarnation, Metadata, NodeId};

/// The most pieces of news in an ordinary message; what a received one has beyond is not read.
pub const NEWS_MAX: usize = 16;

/// The same for a [`Message::Compare`].
pub(super) const COMPARED_NEWS_MAX: usize = 128;

/// The most ranges of a [`Message::Compare`] that are read.
pub(super) const RANGES_MAX: usize = 32;

/// The most broken links that one node reports.
pub const LINKS_MAX: usize = 32;

/// How far above the known incarnation of a node a new one is believed. A node can only object by
/// going one higher, so a number near the end of `u64` would silence it for ever. This many
/// objections are more than anybody misses.
pub(super) const INCARNATION_STEP: u64 = 1 << 20;

/// What a node is thought to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PeerState {
    /// Nothing speaks against it.
    Alive,
    /// It failed to answer, and has a while to object.
    Suspect,
    /// It did not object. Only a higher incarnation changes that.
    Down,
    /// It said goodbye. Only a higher incarnation changes that.
    Left,
}

impl fmt::Display for PeerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Down => "down",
            Self::Left => "left",
        })
    }
}

/// What is said of a node in one of its incarnations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// It runs. Only the node itself says so first.
    Alive,
    /// `by` could not reach it. Further nodes that could not reach it either say the same in their
    /// own name: that confirms it.
    Suspect {
        /// Who could not reach it.
        by: NodeId,
    },
    /// It did not object in time.
    Down {
        /// Who decided that.
        by: NodeId,
    },
    /// It leaves, and says so itself.
    Left,
}

impl Standing {
    /// Without the names.
    pub fn state(self) -> PeerState {
        match self {
            Self::Alive => PeerState::Alive,
            Self::Suspect { .. } => PeerState::Suspect,
            Self::Down { .. } => PeerState::Down,
            Self::Left => PeerState::Left,
        }
    }
}

/// Whether news of `incarnation` in `state` replaces what is known (the table in SWIM §4.2, with
/// two rules more: a newer Down replaces an older one, so that a late Alive from between the two
/// does not revive anybody; and a goodbye is the last word of an incarnation).
pub(super) fn overrides(
    (incarnation, state): (Incarnation, PeerState),
    (known_incarnation, known): (Incarnation, PeerState),
) -> bool {
    if state == PeerState::Suspect && known >= PeerState::Down {
        // A suspicion is no sign of life.
        return false;
    }
    match incarnation.cmp(&known_incarnation) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => state > known,
        std::cmp::Ordering::Greater => true,
    }
}

/// One piece of news about one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum News {
    /// What it is thought to be.
    Standing {
        /// Whom it is about.
        node: NodeId,
        /// The incarnation that it speaks of; an older one than known is old news.
        incarnation: Incarnation,
        /// What is said of that incarnation.
        standing: Standing,
    },
    /// Its roles and tags, as it describes itself.
    Metadata {
        /// Whose they are.
        node: NodeId,
        /// Raised by the node with every change; an older one than known is old news.
        revision: u64,
        /// The roles and tags.
        metadata: Arc<Metadata>,
    },
    /// The peers that it cannot reach directly although others can.
    Links {
        /// Who cannot reach them.
        node: NodeId,
        /// Raised by the node with every change; an older one than known is old news.
        version: u64,
        /// At most [`LINKS_MAX`] peers.
        broken: Vec<NodeId>,
    },
}

impl News {
    /// Whom it is about.
    pub fn node(&self) -> NodeId {
        match self {
            Self::Standing { node, .. }
            | Self::Metadata { node, .. }
            | Self::Links { node, .. } => *node,
        }
    }
}

/// A stretch of the ids, ends included, and what the sender knows of the nodes in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// The lowest id.
    pub from: NodeId,
    /// The highest id.
    pub to: NodeId,
    /// A fingerprint of all that the sender knows of them; without one, it asks for everything.
    pub print: Option<u64>,
}

/// A message between two nodes. Everyone opens its news with the sender's own standing, and tells a
/// receiver that the sender doubts so, whatever else it carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// "Are you there?" Answered with an `Ack` of the same `seq`.
    Ping {
        /// The sender's number for this question.
        seq: u64,
        /// At most [`NEWS_MAX`] pieces.
        news: Vec<News>,
    },
    /// "I am here."
    Ack {
        /// The number of the question that it answers.
        seq: u64,
        /// At most [`NEWS_MAX`] pieces.
        news: Vec<News>,
    },
    /// "`target` does not answer me. Does it answer you?" Answered with a `Gossip` at once: even
    /// where the target stays silent, the one who asks then knows that its own ears are good.
    PingRequest {
        /// The sender's number for the probe of `target`.
        seq: u64,
        /// Whom to ping.
        target: NodeId,
        /// At most [`NEWS_MAX`] pieces.
        news: Vec<News>,
    },
    /// "It answered me." There is no opposite: silence says it.
    IndirectAck {
        /// The `seq` of the `PingRequest`.
        seq: u64,
        /// Who answered.
        target: NodeId,
        /// At most [`NEWS_MAX`] pieces.
        news: Vec<News>,
    },
    /// "I am here", unasked. Not answered.
    Heartbeat {
        /// At most [`NEWS_MAX`] pieces.
        news: Vec<News>,
    },
    /// News that did not wait for the next ping. Not answered.
    Gossip {
        /// At most [`NEWS_MAX`] pieces.
        news: Vec<News>,
    },
    /// "This is what I know. What do you know?" Answered where the receiver knows something else.
    Compare {
        /// At most 32.
        ranges: Vec<Range>,
        /// What the receiver had asked for. At most 128 pieces.
        news: Vec<News>,
    },
}

impl Message {
    /// The news that it carries, and no more of it than is allowed.
    pub fn news(&self) -> &[News] {
        let (news, max) = match self {
            Self::Ping { news, .. }
            | Self::Ack { news, .. }
            | Self::PingRequest { news, .. }
            | Self::IndirectAck { news, .. }
            | Self::Heartbeat { news }
            | Self::Gossip { news } => (news, NEWS_MAX),
            Self::Compare { news, .. } => (news, COMPARED_NEWS_MAX),
        };
        &news[..news.len().min(max)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;
    use PeerState::{Alive, Down, Left, Suspect};

    #[test]
    fn news_overrides_as_in_the_table_of_swim() {
        // (news, known, whether a lower, the same, a higher incarnation overrides)
        let table = [
            (Alive, Alive, [false, false, true]),
            (Alive, Suspect, [false, false, true]),
            (Alive, Down, [false, false, true]),
            (Alive, Left, [false, false, true]),
            (Suspect, Alive, [false, true, true]),
            (Suspect, Suspect, [false, false, true]),
            (Suspect, Down, [false, false, false]),
            (Suspect, Left, [false, false, false]),
            (Down, Alive, [false, true, true]),
            (Down, Suspect, [false, true, true]),
            (Down, Down, [false, false, true]),
            (Down, Left, [false, false, true]),
            (Left, Alive, [false, true, true]),
            (Left, Suspect, [false, true, true]),
            (Left, Down, [false, true, true]),
            (Left, Left, [false, false, true]),
        ];
        for (news, known, expected) in table {
            let got = [4, 5, 6].map(|i| overrides((Incarnation(i), news), (Incarnation(5), known)));
            assert_eq!(got, expected, "{news:?} over {known:?}");
        }
    }

    #[test]
    fn news_beyond_the_limit_is_not_read() {
        let standing = Standing::Alive;
        let one = News::Standing { node: NodeId(1), incarnation: Incarnation(1), standing };
        let many = vec![one; 1000];
        assert_eq!(Message::Gossip { news: many.clone() }.news().len(), NEWS_MAX);
        let compare = Message::Compare { ranges: vec![], news: many };
        assert_eq!(compare.news().len(), COMPARED_NEWS_MAX);
    }

    #[test]
    fn the_bytes_of_each_message_are_frozen() {
        let (node, by, incarnation) = (NodeId(1), NodeId(2), Incarnation(3));
        let standing = |standing| News::Standing { node, incarnation, standing };
        let metadata = Arc::new(golden::node().metadata());
        let news = vec![
            standing(Standing::Alive),
            standing(Standing::Suspect { by }),
            standing(Standing::Down { by }),
            standing(Standing::Left),
            News::Metadata { node, revision: 4, metadata },
            News::Links { node, version: 5, broken: vec![by] },
        ];
        let (seq, target) = (300, NodeId(4));
        let ranges = vec![
            Range { from: node, to: by, print: Some(7) },
            Range { from: by, to: target, print: None },
        ];
        let mut table = golden::file("membership.txt");
        for (name, message) in [
            ("ping", Message::Ping { seq, news }),
            ("ack", Message::Ack { seq, news: vec![] }),
            ("ping request", Message::PingRequest { seq, target, news: vec![] }),
            ("indirect ack", Message::IndirectAck { seq, target, news: vec![] }),
            ("heartbeat", Message::Heartbeat { news: vec![] }),
            ("gossip", Message::Gossip { news: vec![] }),
            ("compare", Message::Compare { ranges, news: vec![] }),
        ] {
            table.add(name, &message);
        }
        table.check();
    }
}
