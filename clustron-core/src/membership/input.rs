//! What the machine is told, and what it wants done.

use super::evidence::Verdict;
use super::message::Message;
use crate::{Incarnation, NodeId};

/// Something that happened.
#[derive(Debug, Clone)]
pub(crate) enum Input {
    /// The agreed list of nodes changed. It is the truth about who is a peer: whoever is new
    /// starts Alive, whoever is missing is forgotten, and a higher incarnation makes a Suspect or
    /// Down peer Alive again. It may contain this node.
    ViewChanged(Vec<(NodeId, Incarnation)>),
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
    /// The instant of `next_timeout` has come.
    Timeout,
}

/// What came of dialling a peer's address afresh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verification {
    /// The same process answered the handshake.
    Reached,
    /// Nobody can be there: the connection was refused, or another identity answered. A process
    /// that is merely slow never looks like this.
    Gone {
        /// What the dial reported.
        why: String,
    },
    /// No answer within the dial's own deadline, which proves nothing.
    NoAnswer {
        /// What the dial reported.
        why: String,
    },
}

/// Something to do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
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
}
