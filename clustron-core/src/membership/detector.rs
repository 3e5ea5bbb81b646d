//! Judging, from what one node observes, which of its peers still run.
//!
//! Think of a ship's lookouts. One asks each ship in turn whether all is well and has others ask
//! for him when he gets no answer ([`PingPong`]). One listens for each ship's bell and grows
//! uneasy when it is later than it ever was ([`Heartbeat`]). And one lets either of them keep
//! watch, but reports no ship as lost before several lookouts miss it ([`Quorum`]). The captain
//! does not care which of them stands there: all take observations in and give actions out.
//!
//! A detector is a value without socket, clock, task or random source of its own. It does not
//! know incarnations and tells nobody anything: that is [`Membership`](super::Membership)'s part,
//! which feeds it and acts for it. `clustron-testkit` has the conformance suite that all
//! implementations pass, and that one of your own should pass too.

mod alarms;
mod cases;
mod doubt;
#[cfg(test)]
mod harness;
mod health;
mod heartbeat;
mod lateness;
mod links;
mod order;
mod ping_pong;
mod probes;
mod quorum;
mod rhythm;
mod ring;
mod verify;

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use super::{DetectorKind, EvidenceKind, MembershipConfig};
use crate::NodeId;

pub use heartbeat::Heartbeat;
pub use ping_pong::PingPong;
pub use quorum::Quorum;

/// Judges which peers still run.
///
/// # What an implementation promises
///
/// * The same observations at the same times give the same actions.
/// * A peer is judged only after it was named in [`Observation::Peers`]. Every peer is first
///   suspected, by this node ([`Action::Suspect`], once) or by at least two others
///   ([`Observation::Accused`]), and then perhaps [`Down`](Action::Down). After `Down` nothing more
///   is said about it until [`Observation::Cleared`] or [`Observation::Unconfirmed`]; it is only
///   reminded now and then, so that after a healed partition it can object. Being cleared makes
///   everything void that was held against it.
/// * A peer that falls silent is Suspect, and later Down, however unlucky the timing. One that goes
///   on answering is not.
/// * A closed connection is no verdict by itself, and neither is one other node's opinion.
/// * Time in which this process itself did not run is held against nobody: a timeout that is
///   delivered late says that the judge slept, not the judged.
/// * [`next_timeout`](Self::next_timeout) moves on: handling a timeout at its instant gives a later
///   one or none.
pub trait FailureDetector: fmt::Debug + Send {
    /// Takes one observation in and returns what is to be done, in order.
    ///
    /// `now` is the time since the node's start, on a clock that goes on while the process is
    /// stopped. It never falls.
    fn handle(&mut self, now: Duration, observation: Observation) -> Vec<Action>;

    /// When [`Observation::Timeout`] is due, on the clock of `now`; `None` while there is nothing
    /// to wait for.
    fn next_timeout(&self) -> Option<Duration>;

    /// How unwell this node takes itself to be: 0 is well. It stretches the times that it allows
    /// others.
    fn local_health(&self) -> u32;
}

/// The detector that the configuration asks for, watching nobody yet. `config` has passed its
/// check; `seed` decides all that is left to chance.
pub fn configured_detector(
    local: NodeId,
    config: &MembershipConfig,
    seed: u64,
) -> Box<dyn FailureDetector> {
    fn build(
        kind: &DetectorKind,
        local: NodeId,
        config: &MembershipConfig,
        seed: u64,
    ) -> Box<dyn FailureDetector> {
        match kind {
            DetectorKind::PingPong => Box::new(PingPong::new(local, config, seed)),
            DetectorKind::Heartbeat => Box::new(Heartbeat::new(local, config, seed)),
            DetectorKind::Quorum(inner) => {
                Box::new(Quorum::new(build(inner, local, config, seed), local, config))
            }
        }
    }
    build(&config.detector, local, config, seed)
}

/// Something that this node observed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// These are the peers to judge from now on, without this node. Whoever is new starts trusted,
    /// whoever is missing is forgotten.
    Peers(BTreeSet<NodeId>),
    /// A message of any kind came from this peer. Reported before what the message says.
    Heard {
        /// The peer.
        from: NodeId,
    },
    /// A heartbeat came from this peer.
    Heartbeat {
        /// The peer.
        from: NodeId,
    },
    /// The peer answered our ping of this number.
    Answered {
        /// The peer.
        from: NodeId,
        /// The number in the [`Action::Ping`].
        seq: u64,
    },
    /// A peer that we asked reports that `target` answered it.
    AnsweredThrough {
        /// Who reports.
        helper: NodeId,
        /// Who answered.
        target: NodeId,
        /// The number in the [`Action::PingThrough`].
        seq: u64,
    },
    /// A connection to or from this peer ended without a goodbye.
    ConnectionLost {
        /// The peer.
        peer: NodeId,
    },
    /// The outcome of an [`Action::Verify`]. Exactly one is owed for each.
    Verified {
        /// Who was dialled.
        peer: NodeId,
        /// What came of it.
        result: Verification,
    },
    /// Another node suspects this peer: it could not reach it. Each accuser is reported once.
    Accused {
        /// The peer.
        peer: NodeId,
        /// Who could not reach it.
        by: NodeId,
    },
    /// Others have found that this peer failed, or it left: there is nothing to judge any more.
    Settled {
        /// The peer.
        peer: NodeId,
    },
    /// The peer spoke with a higher incarnation: what was held against it is void.
    Cleared {
        /// The peer.
        peer: NodeId,
    },
    /// This detector called the peer [`Down`](Action::Down), and that did not stand, because too
    /// few other nodes agree: it is suspected from now on anew, and is to be looked at again. Only
    /// a detector that wraps this one reports it.
    Unconfirmed {
        /// The peer.
        peer: NodeId,
    },
    /// Somebody suspects this node: it may be slow.
    AccusedOurselves,
    /// The instant of [`FailureDetector::next_timeout`] has come.
    Timeout,
}

/// What came of dialling a peer's address afresh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verification {
    /// The same process answered the handshake.
    Reached,
    /// Nobody can be there: the connection was refused, or another identity answered. A process
    /// that is merely slow never looks like this.
    Gone {
        /// What the dial reported, for people.
        why: String,
    },
    /// No answer within the dial's own deadline, which proves nothing.
    NoAnswer {
        /// What the dial reported, for people.
        why: String,
    },
}

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Ask the peer for a sign of life.
    Ping {
        /// The peer.
        to: NodeId,
        /// Comes back in [`Observation::Answered`].
        seq: u64,
    },
    /// Send the peer a message whose answer does not matter, so that it hears that it is doubted
    /// and can object.
    Remind {
        /// The peer.
        to: NodeId,
    },
    /// Have `helper` ask `target` for a sign of life.
    PingThrough {
        /// Who is to ask.
        helper: NodeId,
        /// Who is to answer.
        target: NodeId,
        /// Comes back in [`Observation::AnsweredThrough`]. The helper's own answer, that the
        /// request came, is only [`Observation::Heard`].
        seq: u64,
    },
    /// Send the peer a heartbeat.
    Heartbeat {
        /// The peer.
        to: NodeId,
    },
    /// Dial the peer's address afresh and report [`Observation::Verified`].
    Verify {
        /// The peer.
        peer: NodeId,
    },
    /// This node could not reach the peer, which has from now on to object.
    Suspect {
        /// The peer.
        peer: NodeId,
    },
    /// These peers have failed, and are to be taken out together.
    Down {
        /// The peers; at least one.
        peers: Vec<NodeId>,
    },
    /// The direct way to the peer stopped working although others reach it, or works again. It is
    /// taken to work at first, and again for a peer that was Down.
    Link {
        /// The peer.
        peer: NodeId,
        /// Whether it works.
        works: bool,
    },
    /// An observation to be kept, so that a verdict can be explained.
    Note {
        /// Whom it is about.
        peer: NodeId,
        /// What was observed.
        what: EvidenceKind,
    },
}
