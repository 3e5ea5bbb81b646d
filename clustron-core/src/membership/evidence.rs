//! Why we think what we think, so that "why is it down?" has an answer.

use std::fmt;
use std::time::Duration;

use super::message::PeerState;
use crate::{Incarnation, NodeId};

/// The most that is kept per peer; the oldest goes first.
pub(crate) const EVIDENCE_MAX: usize = 16;

/// One observation about a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Evidence {
    /// When it was made, since this node's start.
    pub(crate) at: Duration,
    /// What was observed.
    pub(crate) kind: EvidenceKind,
}

/// What was observed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EvidenceKind {
    /// A connection to it closed. Says little alone: it is verified at once.
    ConnectionLost,
    /// Its address refused a fresh connection, or somebody else answered there.
    ConnectionRefused {
        /// What the dial reported.
        why: String,
    },
    /// A fresh connection got no answer in time.
    VerificationUnanswered {
        /// What the dial reported.
        why: String,
    },
    /// It did not answer our ping.
    ProbeTimedOut {
        /// How long we waited.
        waited: Duration,
    },
    /// It did not answer the pings of others either, or they did not answer us.
    IndirectProbesFailed {
        /// Whom we asked to try.
        asked: Vec<NodeId>,
    },
    /// Somebody told us.
    GossipFrom {
        /// Who told us; not necessarily who found out.
        node: NodeId,
        /// What we were told.
        state: PeerState,
    },
    /// It did not object to our suspicion in time.
    SuspicionExpired {
        /// How long it had.
        waited: Duration,
    },
    /// It objected, or started again: it speaks with a higher incarnation.
    Refuted {
        /// Who brought the objection: itself or another.
        by: NodeId,
        /// The incarnation that settles it.
        incarnation: Incarnation,
    },
    /// The agreed view lists it with a higher incarnation.
    Readmitted {
        /// The incarnation in the view.
        incarnation: Incarnation,
    },
}

/// A change of what we think of a peer. Coming and going with the view is no verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Whom it is about.
    pub(crate) node: NodeId,
    /// The incarnation that is judged.
    pub(crate) incarnation: Incarnation,
    /// What it is now thought to be.
    pub(crate) state: PeerState,
    /// What led here, oldest first, at most [`EVIDENCE_MAX`].
    pub(crate) evidence: Vec<Evidence>,
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {:.3} s ", self.at.as_secs_f64())?;
        match &self.kind {
            EvidenceKind::ConnectionLost => f.write_str("a connection broke"),
            EvidenceKind::ConnectionRefused { why } => write!(f, "its process was gone ({why})"),
            EvidenceKind::VerificationUnanswered { why } => {
                write!(f, "a new connection failed ({why})")
            }
            EvidenceKind::ProbeTimedOut { waited } => {
                write!(f, "it did not answer a probe within {waited:?}")
            }
            EvidenceKind::IndirectProbesFailed { asked } => {
                write!(f, "{} other nodes did not reach it either", asked.len())
            }
            EvidenceKind::GossipFrom { node, state } => write!(f, "{node} called it {state:?}"),
            EvidenceKind::SuspicionExpired { waited } => {
                write!(f, "it did not refute the suspicion within {waited:?}")
            }
            EvidenceKind::Refuted { by, incarnation } => {
                write!(f, "it was refuted as incarnation {incarnation}, heard from {by}")
            }
            EvidenceKind::Readmitted { incarnation } => {
                write!(f, "it was let in again as incarnation {incarnation}")
            }
        }
    }
}
