//! What runs in the simulation: a plain value that takes input and says what should be done.

use std::fmt;
use std::time::Duration;

use super::Outbox;

/// Which node, from zero. Nodes are addressed by it; one that restarts keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeIndex(pub usize);

impl fmt::Display for NodeIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

/// A node of your service, without its sockets, clocks and tasks.
///
/// It must decide by its inputs alone: a value that looks at the real clock, draws from a random
/// source of its own or iterates over a hash map behaves differently in each run, and no seed
/// repeats what went wrong. Random numbers come from the seed that the factory is given.
pub trait Node: Sized {
    /// What nodes send each other. `Debug` is what the trace shows.
    type Message: Clone + fmt::Debug;

    /// What a crash does not take: what the node has written to its disk. What
    /// [`Outbox::disk`] has changed is safe at once, as if it were synced. `()` for none.
    type Disk: Clone + Default;

    /// Takes one input and puts into `out` what should be done.
    ///
    /// `now` is what the node's own clock shows. It began at some offset and runs a little fast or
    /// slow, so it compares with other times of this node and of no other. It goes back only where
    /// a test sets it back.
    fn handle(&mut self, now: Duration, input: Input<Self::Message>, out: &mut Outbox<'_, Self>);

    /// When, on its own clock, the node next wants [`Input::Timeout`]. Asked after every input. It
    /// may come late, never early. `None`, which is the default, for not at all.
    fn next_timeout(&self) -> Option<Duration> {
        None
    }

    /// How long a message is on the wire, in bytes. Only counted, see
    /// [`Traffic`](super::Traffic). Zero unless you say more.
    fn size(_message: &Self::Message) -> usize {
        0
    }

    /// What becomes of a message whose bytes were damaged on the way, `None` if the receiver would
    /// notice and drop it. By default it does, as any checksum would see to.
    ///
    /// To test a decoder, encode the message, damage the bytes with
    /// [`flip_bits`](super::flip_bits) and `entropy`, and decode them again: an error is `None`.
    fn corrupt(_message: &Self::Message, _entropy: u64) -> Option<Self::Message> {
        None
    }
}

/// What a node is told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Input<M> {
    /// The first input of every life, before anything else.
    Start,
    /// A message came in.
    Received {
        /// Who sent it.
        from: NodeIndex,
        /// What it says.
        message: M,
    },
    /// A connection with this peer ended: its process died, or a new one has taken its place. A
    /// host that vanishes and a link that is cut close nothing.
    ConnectionLost {
        /// The node at the other end.
        peer: NodeIndex,
    },
    /// The outcome of [`Outbox::dial`]: exactly one for each, unless the node dies before.
    Dialled {
        /// Who was dialled.
        peer: NodeIndex,
        /// What came of it.
        outcome: DialOutcome,
    },
    /// The time that [`Node::next_timeout`] named has come.
    Timeout,
}

/// What a fresh connection told about the node at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DialOutcome {
    /// Its process answered.
    Reached,
    /// Its host is up and says that no process listens there.
    Refused,
    /// Nobody said anything in time: the host is gone, the process stands still, or a link is cut
    /// in one direction or the other.
    NoAnswer,
}

/// Flips a burst of one to eight neighbouring bits of `bytes`, chosen by `entropy`. An empty slice
/// stays as it is.
///
/// ```
/// let mut bytes = *b"hello";
/// clustron_testkit::sim::flip_bits(&mut bytes, 42);
/// assert_ne!(&bytes, b"hello");
/// ```
pub fn flip_bits(bytes: &mut [u8], entropy: u64) {
    let bits = bytes.len() as u64 * 8;
    if bits == 0 {
        return;
    }
    // The upper bits choose the length: the remainder below uses the lower ones.
    let more = (entropy >> 61).min(bits - 1);
    for distance in 0..=more {
        let bit = (entropy % bits + distance) % bits;
        bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
    }
}
