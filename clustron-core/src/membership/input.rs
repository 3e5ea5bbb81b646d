//! What the machine is told, and what it wants done.

use std::sync::Arc;

use super::Verification;
use super::evidence::Verdict;
use super::message::{INCARNATION_STEP, Message};
use crate::{Incarnation, Metadata, NodeId, NodeInfo};

/// How many bits of a revision count the changes within one life.
const CHANGES_BITS: u32 = 20;

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// The agreed list of nodes changed. It is the truth about who is a peer: whoever is new
    /// starts Alive, whoever is missing is forgotten, and a higher incarnation makes a peer Alive
    /// again whatever it was. It may contain this node.
    ViewChanged(Vec<Listed>),
    /// A message came in. The driver hands over what has arrived before it reports a `Timeout`,
    /// so that an answer in the socket's buffer is not overlooked.
    Received {
        /// Who sent it, as authenticated by the connection.
        from: NodeId,
        /// What it says.
        message: Message,
    },
    /// A connection to this peer closed without a goodbye.
    ConnectionLost {
        /// At the other end.
        peer: NodeId,
    },
    /// The outcome of an [`Effect::Verify`]. Exactly one is owed for each.
    Verified {
        /// Who was dialled.
        peer: NodeId,
        /// What came of it.
        result: Verification,
    },
    /// This node describes itself anew. Only a higher revision than before counts.
    Describe {
        /// The revision that its description has from now on.
        revision: u64,
        /// Its roles and tags.
        metadata: Arc<Metadata>,
    },
    /// This node leaves, and says so from now on.
    Leave,
    /// The instant of `next_timeout` has come.
    Timeout,
}

/// A node of the agreed view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its identity.
    pub id: NodeId,
    /// The incarnation in which it was let in.
    pub incarnation: Incarnation,
    /// The revision of its metadata.
    pub revision: u64,
    /// Its roles and tags.
    pub metadata: Arc<Metadata>,
}

impl From<&NodeInfo> for Listed {
    fn from(node: &NodeInfo) -> Self {
        let metadata = Arc::new(node.metadata());
        Self { id: node.id, incarnation: node.incarnation, revision: node.revision, metadata }
    }
}

impl Listed {
    /// The highest revision that is believed of a node in this incarnation; see `INCARNATION_STEP`.
    pub(super) fn revision_max(incarnation: Incarnation) -> u64 {
        Self::first_revision(Incarnation(incarnation.0.saturating_add(INCARNATION_STEP)))
    }

    /// The revision with which a node begins that starts in this incarnation: higher than any of
    /// its lives before can have reached.
    pub fn first_revision(incarnation: Incarnation) -> u64 {
        // A million changes per life; 2^44 lives.
        incarnation.0.saturating_sub(1).min(u64::MAX >> CHANGES_BITS) << CHANGES_BITS
    }
}

/// Something to do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Send this; if it cannot be sent, drop it.
    Send {
        /// To whom.
        to: NodeId,
        /// What.
        message: Message,
    },
    /// Dial this peer's address afresh and report [`Input::Verified`], also when it is no peer
    /// any more.
    Verify {
        /// Whom to dial.
        peer: NodeId,
    },
    /// What we think of a peer has changed.
    Verdict(Verdict),
    /// Others thought us gone, or knew of a later life of ours, so we raised our own incarnation.
    /// If they dropped us from the view, this is when we learn that we have to join again.
    Refuted {
        /// Our incarnation from now on.
        incarnation: Incarnation,
    },
    /// A node, perhaps this one, describes itself otherwise than the view does.
    Described {
        /// The node.
        node: NodeId,
        /// The revision of its metadata.
        revision: u64,
        /// Its roles and tags.
        metadata: Arc<Metadata>,
    },
    /// Who can reach whom has changed: see
    /// [`Membership::unreachable`](super::Membership::unreachable).
    LinksChanged,
}
