//! Getting a command into the log from any node: proposed here if this node leads, else handed to
//! the leader. A command is tried again only where it certainly was not taken.

use std::time::Duration;

use bytes::Bytes;
use openraft::ServerState;
use openraft::error::{ClientWriteError, RaftError};
use tokio::time::Instant;

use super::Control;
use super::command::{Command, Rejection, Response};
use super::rpc::{Propose, Proposed, ReadIndex};
use crate::identity::NodeId;
use crate::messaging::{Lane, MessageError, Outcome};
use crate::roles;

/// How long to wait before asking again who leads.
pub(super) const RETRY_AFTER: Duration = Duration::from_millis(10);

/// Why a command was not, or is not known to be, applied.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ProposeError {
    /// No leader took the command before the deadline. Not applied; try again.
    #[error("no leader took the command within {0:?}")]
    NoLeader(Duration),
    /// The command was committed and refused where it is applied. Not applied.
    #[error("the command was refused: {0}")]
    Rejected(Rejection),
    /// A leader took the command and then was not heard of in time. Unknown: it may yet be applied.
    #[error("the command was handed in, but not confirmed: {0}")]
    Unconfirmed(String),
    /// The command is larger than the control log takes. Not applied; keep bulk out of the log.
    #[error("the command has {bytes} bytes, the control log takes {max}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The node's roles do not let it follow the control log, so it has no replicated state and may
    /// not propose. Not applied; use a node with the role client or member.
    #[error(
        "a node with the role {roles} does not follow the control log: only members and clients \
         propose and read replicated state"
    )]
    NoLog {
        /// What the node is.
        roles: String,
    },
    /// The command cannot be encoded (not applied) or its reply not decoded (applied).
    #[error("{0}")]
    Codec(String),
    /// The node has not started yet, has stopped or is stopping. Not applied.
    #[error("the node is not running")]
    NotRunning,
}

impl ProposeError {
    /// Whether the command certainly had no effect.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::NoLeader(_)
            | Self::Rejected(_)
            | Self::TooLarge { .. }
            | Self::NoLog { .. }
            | Self::NotRunning => Outcome::NotApplied,
            Self::Unconfirmed(_) | Self::Codec(_) => Outcome::Unknown,
        }
    }
}

impl Control {
    /// Proposes a module's command and gives the module's answer.
    pub(crate) async fn propose_module(
        &self,
        command: Command,
        deadline: Duration,
    ) -> Result<Bytes, ProposeError> {
        self.check_log()?;
        match self.propose(command, deadline).await?.1 {
            Response::Module(reply) => Ok(reply),
            Response::Rejected(rejection) => Err(ProposeError::Rejected(rejection)),
            Response::Done => Err(ProposeError::Codec("no module answered".to_owned())),
        }
    }

    /// Proposes a command and waits until it is applied. Gives its log index and the answer.
    pub(crate) async fn propose(
        &self,
        command: Command,
        deadline: Duration,
    ) -> Result<(u64, Response), ProposeError> {
        let until = Instant::now() + deadline;
        let mut hint = None;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ProposeError::NoLeader(deadline));
            }
            if self.tasks.is_cancelled() {
                return Err(ProposeError::NotRunning);
            }
            let leader = hint.take().or_else(|| self.raft_leader());
            let proposed = match leader {
                None => Proposed::NotLeader { leader: None },
                Some(leader) if leader == self.local.id => {
                    self.propose_here(command.clone(), left).await?
                }
                Some(leader) => self.propose_there(leader, &command, left).await?,
            };
            match proposed {
                Proposed::Applied { index, response } => return Ok((index, response)),
                Proposed::Unknown => {
                    let reason = format!("the leader did not confirm it within {deadline:?}");
                    return Err(ProposeError::Unconfirmed(reason));
                }
                Proposed::NotLeader { leader: other } => {
                    hint = other.filter(|other| Some(*other) != leader);
                    if hint.is_none() {
                        tokio::time::sleep(RETRY_AFTER.min(left)).await;
                    }
                }
            }
        }
    }

    fn check_log(&self) -> Result<(), ProposeError> {
        match self.following {
            Some(_) => Err(ProposeError::NoLog { roles: roles::listed(&self.local.node().roles) }),
            None => Ok(()),
        }
    }

    /// Proposes as the leader, without handing on.
    pub(super) async fn propose_here(
        &self,
        command: Command,
        deadline: Duration,
    ) -> Result<Proposed, ProposeError> {
        // Closed while this node hands over; whoever waited then finds who leads.
        let until = Instant::now() + deadline;
        let Ok(_inside) = tokio::time::timeout_at(until, self.door.read()).await else {
            return Ok(Proposed::NotLeader { leader: None });
        };
        if self.raft.server_metrics().borrow().state != ServerState::Leader {
            let leader = self.raft_leader().filter(|leader| *leader != self.local.id);
            return Ok(Proposed::NotLeader { leader });
        }
        match tokio::time::timeout_at(until, self.raft.client_write(command)).await {
            Ok(Ok(written)) => {
                Ok(Proposed::Applied { index: written.log_id.index, response: written.data })
            }
            // Most likely the entry was never appended. But it may have been, and have been cut off
            // here by a later leader while another node still has it and can yet commit it.
            Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_)))) => {
                Ok(Proposed::Unknown)
            }
            Ok(Err(RaftError::APIError(error @ ClientWriteError::ChangeMembershipError(_)))) => {
                Err(ProposeError::Codec(error.to_string()))
            }
            Ok(Err(RaftError::Fatal(error))) => Err(ProposeError::Unconfirmed(error.to_string())),
            Err(_elapsed) => Ok(Proposed::Unknown),
        }
    }

    async fn propose_there(
        &self,
        leader: NodeId,
        command: &Command,
        deadline: Duration,
    ) -> Result<Proposed, ProposeError> {
        let cluster = self.local.cluster_id().ok_or(ProposeError::NotRunning)?;
        let deadline_ms = u32::try_from(deadline.as_millis()).unwrap_or(u32::MAX);
        let request = Propose { cluster, command: command.clone(), deadline_ms };
        match self.messenger.request(leader, Lane::Control, &request, deadline).await {
            Ok(proposed) => Ok(proposed),
            Err(MessageError::TooLarge { bytes, max }) => {
                Err(ProposeError::TooLarge { bytes, max })
            }
            Err(error) if error.outcome() == Outcome::NotApplied => {
                Ok(Proposed::NotLeader { leader: None })
            }
            Err(error) => Err(ProposeError::Unconfirmed(error.to_string())),
        }
    }

    /// Waits until this node has applied everything that was committed when the call was made.
    pub(crate) async fn barrier(&self, deadline: Duration) -> Result<(), ProposeError> {
        self.check_log()?;
        let until = Instant::now() + deadline;
        let cluster = self.local.cluster_id().ok_or(ProposeError::NotRunning)?;
        let index = loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ProposeError::NoLeader(deadline));
            }
            let index = match self.raft_leader() {
                Some(leader) if leader == self.local.id => {
                    tokio::time::timeout(left, self.read_index_here())
                        .await
                        .ok()
                        .and_then(Result::ok)
                }
                Some(leader) => {
                    let request = ReadIndex { cluster };
                    let asked = self.messenger.request(leader, Lane::Control, &request, left);
                    asked.await.ok().and_then(Result::ok)
                }
                None => None,
            };
            match index {
                Some(index) => break index,
                None => tokio::time::sleep(RETRY_AFTER.min(left)).await,
            }
        };
        let left = until.saturating_duration_since(Instant::now());
        let mut applied = self.applied_index.clone();
        match tokio::time::timeout(left, applied.wait_for(|at| *at >= index)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(ProposeError::NotRunning),
            Err(_elapsed) => Err(ProposeError::NoLeader(deadline)),
        }
    }

    /// The leader's commit index, confirmed by a quorum; otherwise who leads, where known.
    pub(super) async fn read_index_here(&self) -> Result<u64, Option<NodeId>> {
        match self.raft.get_read_log_id().await {
            Ok((read, _applied)) => Ok(read.map_or(0, |id| id.index)),
            Err(_) => Err(self.raft_leader().filter(|leader| *leader != self.local.id)),
        }
    }
}
