//! What travels between simulated nodes, and what they keep.

use clustron_core::membership::Message;
use clustron_core::{Incarnation, NodeId, NodeInfo};

/// What nodes send each other.
#[derive(Debug, Clone)]
pub enum Wire {
    /// The membership machine's. The identities at both ends come with the connection.
    Membership {
        /// Who sent it.
        from: NodeId,
        /// Whom it is for: another identity at the same address refuses it.
        to: NodeId,
        /// What it says.
        message: Message,
    },
    /// The leader: there is a view of this version.
    ViewAt(u64),
    /// To the leader: this version has arrived.
    ViewSeen(u64),
    /// To the leader: let me in.
    Join(Box<NodeInfo>),
    /// To the leader: am I still in? Asked by all now and then, as a node notices when the control
    /// log does not reach it any more.
    StillIn(NodeId, Incarnation),
    /// From the leader: no.
    PutOut(NodeId, Incarnation),
}

/// What a node keeps on its disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Disk {
    /// Its identity and the latest incarnation it has spoken with.
    pub identity: Option<(NodeId, Incarnation)>,
}
