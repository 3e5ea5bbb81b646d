//! Why a message or request did not succeed, and what that says about the far side.

use std::time::Duration;

use super::envelope::NotReplied;
use crate::identity::NodeId;

/// What is known of an operation that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It certainly had no effect: trying again is safe.
    NotApplied,
    /// It may have had its effect, or may yet have it. Never take it for "not done".
    Unknown,
}

/// Why a `send` or `request` failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// No address is known for the node: it is not in the view, or has been removed from it. Not
    /// applied.
    #[error("node {node} is not known here: it is not in the view")]
    UnknownNode {
        /// The addressee.
        node: NodeId,
    },
    /// No connection could be opened, or its conversation through layers ended before the request
    /// left. Not applied; try again later or elsewhere.
    #[error("node {node} cannot be reached at {addr}: {reason}")]
    Unreachable {
        /// The addressee.
        node: NodeId,
        /// Where it was sought.
        addr: String,
        /// What happened.
        reason: String,
        /// The address answered that nobody (or somebody else) lives there, so the process is gone.
        gone: bool,
    },
    /// The message is larger than a frame may be. Not applied; send less.
    #[error("the message has {bytes} bytes, a frame may have {max}: send less at once")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit, `Config::frame_bytes_max`.
        max: usize,
    },
    /// The message's type has a shape that the codec does not carry. Not applied; a bug.
    #[error("the message cannot be encoded: {0}")]
    Encode(String),
    /// The addressee has no handler for this kind. Not applied.
    #[error("node {node} has no handler for {kind:?}")]
    NoHandler {
        /// The addressee.
        node: NodeId,
        /// The message's kind.
        kind: &'static str,
    },
    /// The addressee could not decode the request. Not applied; the two sides differ in version.
    #[error("node {node} could not decode the request {kind:?}: {reason}")]
    Undecodable {
        /// The addressee.
        node: NodeId,
        /// The request's kind.
        kind: &'static str,
        /// What its decoder said.
        reason: String,
    },
    /// The addressee takes no more of this kind at the moment. Not applied; try again a little
    /// later, or elsewhere: see [`Retry`](crate::Retry).
    #[error("node {node} takes no more {kind:?} at the moment: try again later, or send less")]
    Busy {
        /// The addressee.
        node: NodeId,
        /// The message's kind.
        kind: &'static str,
    },
    /// The handler of a stream ended it with an error. Unknown what else it did; the items before
    /// it are good.
    #[error("the handler of {kind:?} at node {node} ended its stream with an error: {reason}")]
    StreamFailed {
        /// The addressee.
        node: NodeId,
        /// The request's kind.
        kind: &'static str,
        /// What the handler said.
        reason: String,
    },
    /// The next item of a stream did not come in time, and the stream was given up. Unknown what
    /// its handler did; the items before it are good.
    #[error("node {node} sent no item of {kind:?} for {idle:?}")]
    StreamIdle {
        /// The addressee.
        node: NodeId,
        /// The request's kind.
        kind: &'static str,
        /// How long was waited.
        idle: Duration,
    },
    /// The handler panicked. Unknown how far it came.
    #[error("the handler of {kind:?} at node {node} panicked")]
    HandlerPanicked {
        /// The addressee.
        node: NodeId,
        /// The request's kind.
        kind: &'static str,
    },
    /// The connection broke before the reply came. Unknown whether it was processed.
    #[error("the connection to node {node} broke before its reply")]
    Disconnected {
        /// The addressee.
        node: NodeId,
    },
    /// No reply came in time. Unknown whether it was processed.
    #[error("node {node} did not reply to {kind:?} within {deadline:?}")]
    Timeout {
        /// The addressee.
        node: NodeId,
        /// The request's kind.
        kind: &'static str,
        /// How long was waited.
        deadline: Duration,
    },
    /// There is a reply, but it is larger than a frame, or not of the type that the request
    /// promises. Processed at the far side.
    #[error("the reply of node {node} to {kind:?} cannot be used: {reason}")]
    BadReply {
        /// The addressee.
        node: NodeId,
        /// The request's kind.
        kind: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl MessageError {
    /// Whether the message certainly had no effect.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::UnknownNode { .. }
            | Self::Unreachable { .. }
            | Self::TooLarge { .. }
            | Self::Encode(_)
            | Self::NoHandler { .. }
            | Self::Undecodable { .. }
            | Self::Busy { .. } => Outcome::NotApplied,
            Self::HandlerPanicked { .. }
            | Self::StreamFailed { .. }
            | Self::StreamIdle { .. }
            | Self::Disconnected { .. }
            | Self::Timeout { .. }
            | Self::BadReply { .. } => Outcome::Unknown,
        }
    }

    /// Whether the message had no effect, and the same one may succeed a little later.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::UnknownNode { .. }
            | Self::Unreachable { .. }
            | Self::NoHandler { .. }
            | Self::Busy { .. } => true,
            Self::TooLarge { .. }
            | Self::Encode(_)
            | Self::Undecodable { .. }
            | Self::HandlerPanicked { .. }
            | Self::StreamFailed { .. }
            | Self::StreamIdle { .. }
            | Self::Disconnected { .. }
            | Self::Timeout { .. }
            | Self::BadReply { .. } => false,
        }
    }

    /// Whether nobody of that identity is to be found any more, and not only no answer.
    pub(crate) fn says_gone(&self) -> bool {
        matches!(self, Self::Unreachable { gone: true, .. } | Self::UnknownNode { .. })
    }
}

/// What a refusal means for whoever has asked.
pub(super) fn not_replied(node: NodeId, kind: &'static str, why: NotReplied) -> MessageError {
    match why {
        NotReplied::NoHandler => MessageError::NoHandler { node, kind },
        NotReplied::Undecodable { reason } => MessageError::Undecodable { node, kind, reason },
        NotReplied::Panicked => MessageError::HandlerPanicked { node, kind },
        NotReplied::ReplyLost { reason } => MessageError::BadReply { node, kind, reason },
        NotReplied::Busy => MessageError::Busy { node, kind },
    }
}
