//! Why we think what we think, so that "why is it down?" has an answer.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::message::PeerState;
use crate::{Incarnation, NodeId};

/// The most that is kept per peer; the oldest goes first.
pub const EVIDENCE_MAX: usize = 24;

/// One observation about a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// When it was made, since this node's start.
    pub at: Duration,
    /// What was observed.
    pub kind: EvidenceKind,
}

/// What was observed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum EvidenceKind {
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
    /// It answered a ping of this node.
    ProbeAnswered {
        /// How long that took.
        round_trip: Duration,
    },
    /// It did not answer this node, but another one that was asked to try.
    AnsweredThrough {
        /// Who reached it.
        helper: NodeId,
        /// How long that took, from this node's own ping on.
        after: Duration,
    },
    /// It did not answer this node's ping.
    ProbeTimedOut {
        /// How long this node waited.
        waited: Duration,
        /// How unwell this node took itself to be; 0 is well. It had waited that many times longer.
        local_health: u32,
    },
    /// It did not answer the pings of others either, or they did not answer this node.
    IndirectProbesFailed {
        /// Who was asked to try.
        asked: Vec<NodeId>,
    },
    /// Its heartbeats stayed away for longer than their rhythm explains.
    HeartbeatsMissing {
        /// How long none had come.
        silent: Duration,
        /// The suspicion level (Hayashibara et al., 2004) at that moment: at 8 the odds that it
        /// still runs were one in a hundred million, going by how regular its heartbeats were.
        phi: u32,
        /// How unwell this node took itself to be; 0 is well.
        local_health: u32,
    },
    /// Another node could not reach it.
    AccusedBy {
        /// The other node.
        node: NodeId,
    },
    /// Somebody told this node.
    GossipFrom {
        /// Who told; not necessarily who found out.
        node: NodeId,
        /// What it said.
        state: PeerState,
    },
    /// It did not object to the suspicion in time.
    SuspicionExpired {
        /// How long it had.
        waited: Duration,
        /// The other nodes that could not reach it either.
        confirmed_by: Vec<NodeId>,
    },
    /// Enough nodes could not reach it to take it out.
    QuorumReached {
        /// Who could not reach it.
        observers: Vec<NodeId>,
        /// How many nodes were taken out together.
        cut: usize,
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

/// A change of what this node thinks of a peer. Coming and going with the view is no verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Whom it is about.
    pub node: NodeId,
    /// The incarnation that is judged.
    pub incarnation: Incarnation,
    /// What it is now thought to be.
    pub state: PeerState,
    /// What led here, oldest first, at most [`EVIDENCE_MAX`].
    pub evidence: Vec<Evidence>,
}

/// All that one node can say about another at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// Whom it is about.
    pub node: NodeId,
    /// The highest incarnation that was heard of.
    pub incarnation: Incarnation,
    /// What it is thought to be.
    pub state: PeerState,
    /// When it last sent this node anything itself, since this node's start.
    pub last_heard: Option<Duration>,
    /// How long its last answer to a ping of this node took.
    pub round_trip: Option<Duration>,
    /// Who could not reach it in this incarnation, this node included.
    pub accusers: Vec<NodeId>,
    /// How unwell this node takes itself to be; 0 is well.
    pub local_health: u32,
    /// What was observed since it was last found Alive, oldest first, at most [`EVIDENCE_MAX`].
    pub evidence: Vec<Evidence>,
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {:.3} s {}", self.at.as_secs_f64(), self.kind)
    }
}

/// A list of nodes for people.
struct Names<'a>(&'a [NodeId]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, node) in self.0.iter().enumerate() {
            write!(f, "{}{node}", if at == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl fmt::Display for EvidenceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConnectionLost => f.write_str("a connection broke"),
            Self::ConnectionRefused { why } => write!(f, "its process was gone ({why})"),
            Self::VerificationUnanswered { why } => write!(f, "a new connection failed ({why})"),
            Self::ProbeAnswered { round_trip } => write!(f, "it answered within {round_trip:.1?}"),
            Self::AnsweredThrough { helper, after } => {
                write!(f, "it answered through {helper} after {after:.1?}")
            }
            Self::ProbeTimedOut { waited, local_health } => {
                write!(
                    f,
                    "it did not answer a probe within {waited:.1?} (local health {local_health})"
                )
            }
            Self::IndirectProbesFailed { asked } => {
                write!(f, "it did not answer through {} either", Names(asked))
            }
            Self::HeartbeatsMissing { silent, phi, local_health } => write!(
                f,
                "no heartbeat came for {silent:.1?} (phi {phi}, local health {local_health})"
            ),
            Self::AccusedBy { node } => write!(f, "{node} could not reach it"),
            Self::GossipFrom { node, state } => write!(f, "{node} called it {state}"),
            Self::SuspicionExpired { waited, confirmed_by } if confirmed_by.is_empty() => {
                write!(f, "it did not refute the suspicion within {waited:.1?}")
            }
            Self::SuspicionExpired { waited, confirmed_by } => write!(
                f,
                "it did not refute the suspicion within {waited:.1?}, confirmed by {}",
                Names(confirmed_by)
            ),
            Self::QuorumReached { observers, cut } => {
                write!(f, "{} agreed, in a cut of {cut}", Names(observers))
            }
            Self::Refuted { by, incarnation } => {
                write!(f, "it was refuted as incarnation {incarnation}, heard from {by}")
            }
            Self::Readmitted { incarnation } => {
                write!(f, "it was let in again as incarnation {incarnation}")
            }
        }
    }
}
