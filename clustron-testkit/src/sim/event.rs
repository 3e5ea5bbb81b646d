//! What happens at a moment of a run.

use super::host::{Arrival, Command};
use super::{DialOutcome, Node, NodeIndex};

pub(super) enum Event<N: Node> {
    /// A message reaches its host.
    Delivery(Delivery<N::Message>),
    /// Something else reaches one life of a process.
    Arrival { to: NodeIndex, life: u32, arrival: Arrival<N> },
    /// A script's command reaches whatever process is there.
    Told { to: NodeIndex, what: String, command: Command<N> },
    /// A dial reaches the host that is dialled.
    DialRequest { dial: u64 },
    /// The first of these ends a dial; later ones find it ended.
    DialEnds { dial: u64, outcome: DialOutcome },
    /// A node may want its timeout.
    Timer { node: NodeIndex },
    /// A process runs again and finds what has waited.
    Wakes { node: NodeIndex, life: u32 },
    /// A starved process gets to run for a moment.
    Slice { node: NodeIndex, slice: u64 },
    /// The nemesis looks for something to break.
    FaultDue { chaos: u64 },
    /// A fault is over.
    FaultEnds { fault: u64 },
}

pub(super) struct Delivery<M> {
    pub(super) from: NodeIndex,
    pub(super) to: NodeIndex,
    pub(super) message: M,
    /// The lives of both ends when it was sent, where the message ends with the connection.
    pub(super) connection: Option<(u32, u32)>,
}

/// A dial under way.
pub(super) struct Dial {
    pub(super) from: NodeIndex,
    pub(super) life: u32,
    pub(super) to: NodeIndex,
}
