//! What the control planes of two nodes say to each other. Every message names the cluster, so that
//! a node of another cluster can neither vote nor append.

use std::collections::BTreeSet;

use bytes::Bytes;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, VoteRequest, VoteResponse};
use serde::{Deserialize, Serialize};

use super::batch::BATCH_BYTES_MAX;
use super::command::{Command, ModuleCommand, Rejection, Response};
use super::proposer::Overload;
use super::recency::Current;
use super::types::{SnapshotMeta, TypeConfig, Vote};
use crate::election::{LogEnd, PreVote};
use crate::hand_over::HandOverError;
use crate::identity::{ClusterId, Incarnation, NodeId, NodeInfo};
use crate::messaging::{Message, Request, StreamRequest};
#[cfg(feature = "simulation")]
use crate::simulation::Decoder;

macro_rules! request {
    ($type:ty, $kind:literal, $reply:ty) => {
        impl Message for $type {
            const KIND: &'static str = $kind;
        }
        impl Request for $type {
            type Reply = $reply;
        }
    };
}

/// Why a node did not do what another node's control plane asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub(super) enum Refused {
    #[error("the node is in cluster {theirs}, not in {ours}")]
    OtherCluster { ours: ClusterId, theirs: ClusterId },
    #[error("the leader has been out of touch with the majority for too long")]
    OutOfTouch,
    #[error("the node's control plane has failed: {0}")]
    Failed(String),
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Append {
    pub(super) cluster: ClusterId,
    /// The leader has not heard a majority for a while: it leads in name only.
    pub(super) out_of_touch: bool,
    /// What the leader says of its own copy, while it is in office.
    pub(super) current: Option<Current>,
    /// The latest stamp that the addressee gave the leader, after which it said so.
    pub(super) echo: Option<u64>,
    pub(super) rpc: AppendEntriesRequest<TypeConfig>,
}
request!(Append, "core.append", Result<Appended, Refused>);

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Appended {
    pub(super) reply: AppendEntriesResponse<NodeId>,
    /// When it was said, by a clock that only who said it can read.
    pub(super) stamp: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct AskVote {
    pub(super) cluster: ClusterId,
    pub(super) rpc: VoteRequest<NodeId>,
    /// The vote of the leader that has asked the candidate to take over, if one has.
    pub(super) permit: Option<Vote>,
}
request!(AskVote, "core.vote", Result<VoteResponse<NodeId>, Refused>);

/// One piece of a snapshot. The receiver installs it when it has all bytes in order.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SnapshotChunk {
    pub(super) cluster: ClusterId,
    pub(super) vote: Vote,
    pub(super) meta: SnapshotMeta,
    pub(super) offset: u64,
    pub(super) total: u64,
    pub(super) data: Bytes,
}
request!(SnapshotChunk, "core.snapshot", Result<ChunkReply, Refused>);

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ChunkReply {
    /// Send on from this offset.
    Continue { offset: u64 },
    /// Installed, or refused for a higher vote.
    Installed { vote: Vote },
}

/// Would you vote for me?
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct AskPreVote {
    pub(super) cluster: ClusterId,
    pub(super) log_end: LogEnd,
    /// As in [`AskVote`].
    pub(super) permit: Option<Vote>,
}
request!(AskPreVote, "core.pre-vote", PreVote);

/// The leader with this vote falls silent so that the addressee may take over. Answers whether it
/// does.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TakeOver {
    pub(super) cluster: ClusterId,
    pub(super) permit: Vote,
}
request!(TakeOver, "core.take-over", bool);

/// Somebody wants another leader: this voter, or any.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HandOver {
    pub(super) cluster: ClusterId,
    pub(super) to: Option<NodeId>,
    pub(super) deadline_ms: u32,
}
request!(HandOver, "core.hand-over", HandedOver);

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum HandedOver {
    /// This node leads now.
    To(NodeId),
    /// Ask there, or again later: nothing has happened.
    NotLeader {
        leader: Option<NodeId>,
    },
    Failed(HandOverError),
}

/// A command for the leader to propose.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Propose {
    pub(super) cluster: ClusterId,
    pub(super) proposal: Proposal,
    pub(super) deadline_ms: u32,
}

/// What is proposed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Proposal {
    /// An entry of its own.
    Core(Command),
    /// Goes into an entry together with others.
    Module(ModuleCommand),
}
request!(Propose, "core.propose", Proposed);

/// Commands of modules for the leader to propose, each as if it had been handed on alone.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ProposeMany {
    pub(super) cluster: ClusterId,
    pub(super) commands: Vec<HandedOn>,
}

/// A command of a module that another node's leader is to propose.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HandedOn {
    pub(super) command: ModuleCommand,
    pub(super) deadline_ms: u32,
}

impl Message for ProposeMany {
    const KIND: &'static str = "core.propose-many";
    /// An entry's worth of commands, and twice that for what stands around them.
    const BYTES_MAX: usize = 3 * BATCH_BYTES_MAX;
}

impl StreamRequest for ProposeMany {
    /// What became of some of the commands, by their places in the request.
    type Item = Vec<(u16, Proposed)>;
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Proposed {
    Applied {
        index: u64,
        response: Response,
    },
    /// Certainly not applied.
    NotLeader {
        leader: Option<NodeId>,
    },
    /// Certainly not applied: too much waits already.
    Overloaded(Overload),
    /// Accepted, but not applied in time: it may be yet.
    Unknown,
    /// Certainly not applied, here or anywhere.
    Refused(Rejection),
}

impl Proposed {
    /// What it takes to be sent, in bytes, roughly.
    pub(super) fn weight(&self) -> usize {
        const NUMBERS: usize = 32;
        match self {
            Self::Applied { response: Response::Module(reply), .. } => NUMBERS + reply.len(),
            // A rejection names things.
            Self::Applied { .. } | Self::Refused(_) => 16 * NUMBERS,
            Self::NotLeader { .. } | Self::Overloaded(_) | Self::Unknown => NUMBERS,
        }
    }
}

/// Up to where must a read have applied the log to be linearizable?
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ReadIndex {
    pub(super) cluster: ClusterId,
}
request!(ReadIndex, "core.read-index", Result<u64, Option<NodeId>>);

/// Who votes? A node that left is not told by the log, which no longer reaches it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WhoVotes {
    pub(super) cluster: ClusterId,
}
request!(WhoVotes, "core.who-votes", BTreeSet<NodeId>);

/// A leader asks whether its successor reaches the nodes that it does not reach itself.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WhomDoYouReach {
    pub(super) cluster: ClusterId,
    pub(super) nodes: BTreeSet<NodeId>,
}
request!(WhomDoYouReach, "core.whom-do-you-reach", BTreeSet<NodeId>);

/// A node asks to be taken in, or back in.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Join {
    pub(crate) cluster: ClusterId,
    pub(crate) node: NodeInfo,
}
request!(Join, "core.join", JoinReply);

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum JoinReply {
    /// The view has it; the log will follow.
    Admitted,
    /// Ask there, or again later.
    NotLeader { leader: Option<NodeInfo> },
    /// The view has the node as down in this incarnation: come back with a higher one.
    Outdated { known: Incarnation },
    /// Not with this description.
    Refused { reason: String },
    /// The view has a later process of the node, whose data directory is an old copy.
    OldState { reason: String },
}

impl From<Rejection> for JoinReply {
    /// What a node is told that the log has not let in.
    fn from(why: Rejection) -> Self {
        match why {
            Rejection::StaleIncarnation { current, .. } => Self::Outdated { known: current },
            Rejection::OldState { .. } => Self::OldState { reason: why.to_string() },
            _ => Self::Refused { reason: why.to_string() },
        }
    }
}

#[cfg(feature = "simulation")]
pub(super) const DECODERS: [Decoder; 12] = [
    Decoder::request::<Append>(),
    Decoder::request::<AskVote>(),
    Decoder::request::<SnapshotChunk>(),
    Decoder::request::<AskPreVote>(),
    Decoder::request::<TakeOver>(),
    Decoder::request::<HandOver>(),
    Decoder::request::<Propose>(),
    Decoder::stream_request::<ProposeMany>(),
    Decoder::request::<ReadIndex>(),
    Decoder::request::<WhoVotes>(),
    Decoder::request::<WhomDoYouReach>(),
    Decoder::request::<Join>(),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_the_log_does_not_let_in_is_told_what_it_can_do_about_it() {
        let node = NodeId(1);
        let (stale, current) = (Incarnation(1), Incarnation(2));
        let later = Rejection::StaleIncarnation { node, stale, current };
        assert!(matches!(later.into(), JoinReply::Outdated { known: Incarnation(2) }));
        let copy = Rejection::OldState { node, stale: 3, current: 3 };
        let told = matches!(copy.into(), JoinReply::OldState { reason } if reason.contains("copy"));
        assert!(told);
        assert!(matches!(Rejection::LastMember { node }.into(), JoinReply::Refused { .. }));
    }
}
