//! Getting a command into the log from any node: proposed here if this node leads, else handed to
//! the leader. A command is tried again only where it certainly was not taken.
//!
//! Commands of the core are entries of their own; those of modules go through the leader's queue
//! ([`proposer`](super::proposer)) into common ones, and to it in common requests
//! ([`courier`](super::courier)).

use std::time::Duration;

use bytes::Bytes;
use openraft::error::{ClientWriteError, RaftError};
use tokio::time::Instant;

use super::Control;
use super::command::{Command, ModuleCommand, Rejection, Response};
use super::proposer::{Backlog, Overload, REQUESTS_MAX};
use super::rpc::{Proposal, Propose, Proposed};
use crate::identity::NodeId;
use crate::messaging::{Lane, MessageError, Outcome};
use crate::roles;

/// How long to wait before asking again who leads.
pub(super) const RETRY_AFTER: Duration = Duration::from_millis(10);

/// The longest pause before an overloaded leader is asked again. The first is [`RETRY_AFTER`], each
/// is twice as long as the one before.
const OVERLOAD_PAUSE_MAX: Duration = Duration::from_millis(320);

/// How much earlier than its caller a leader gives up a command that was handed to it, at most; no
/// more than an eighth of what is left.
const REPLY_MARGIN_MAX: Duration = Duration::from_millis(100);

/// Why a command was not, or is not known to be, applied.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ProposeError {
    /// No leader took the command before the deadline. Not applied; try again.
    #[error("no leader took the command within {0:?}")]
    NoLeader(Duration),
    /// A leader did not take the command because too much waits already: there was no room in its
    /// queue before the deadline, or it has yet to apply too much of its log. Not applied; try
    /// again after a pause, with fewer callers at once.
    #[error(
        "the control log is overloaded: {waiting} {of} (limit {limit}); try again after a pause"
    )]
    Overloaded {
        /// What waits.
        of: Backlog,
        /// How much of it.
        waiting: usize,
        /// How much may.
        limit: usize,
    },
    /// For a read: this node had not applied the log up to the wanted index before the deadline. It
    /// may be cut off, or the index may be of another cluster. Nothing to be applied; read at a
    /// node that is in touch, or wait longer.
    #[error("this node has applied the log up to {applied} and not yet up to {wanted}")]
    Behind {
        /// The index that was asked for.
        wanted: u64,
        /// How far it has come.
        applied: u64,
    },
    /// The command was refused where it is applied, or by a leader that does not run the module.
    /// Not applied.
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
            | Self::Overloaded { .. }
            | Self::Behind { .. }
            | Self::Rejected(_)
            | Self::TooLarge { .. }
            | Self::NoLog { .. }
            | Self::NotRunning => Outcome::NotApplied,
            Self::Unconfirmed(_) | Self::Codec(_) => Outcome::Unknown,
        }
    }
}

impl Control {
    /// Proposes a module's command. Gives its log index and the module's answer.
    pub(crate) async fn propose_module(
        &self,
        command: ModuleCommand,
        deadline: Duration,
    ) -> Result<(u64, Bytes), ProposeError> {
        self.check_log()?;
        match self.bring(&Proposal::Module(command), deadline).await? {
            (index, Response::Module(reply)) => Ok((index, reply)),
            (_, Response::Rejected(rejection)) => Err(ProposeError::Rejected(rejection)),
            (_, Response::Done | Response::Batch(_)) => {
                Err(ProposeError::Codec("no module answered".to_owned()))
            }
        }
    }

    /// Proposes a command of the core and waits until it is applied. Gives its log index and the
    /// answer.
    pub(crate) async fn propose(
        &self,
        command: Command,
        deadline: Duration,
    ) -> Result<(u64, Response), ProposeError> {
        self.bring(&Proposal::Core(command), deadline).await
    }

    /// Brings a proposal to whoever leads, until it is taken.
    async fn bring(
        &self,
        proposal: &Proposal,
        deadline: Duration,
    ) -> Result<(u64, Response), ProposeError> {
        let until = crate::tasks::until(deadline);
        let mut hint = None;
        let mut overload: Option<Overload> = None;
        let mut pause = RETRY_AFTER;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(overload.map_or(ProposeError::NoLeader(deadline), ProposeError::from));
            }
            if self.tasks.is_cancelled() {
                return Err(ProposeError::NotRunning);
            }
            let leader = hint.take().or_else(|| self.raft_leader());
            let here = leader == Some(self.local.id);
            let proposed = match (leader, proposal) {
                (Some(_), Proposal::Core(command)) if here => {
                    self.propose_here(command.clone(), left).await?
                }
                (Some(_), Proposal::Module(command)) if here => {
                    self.check_module(&command.module).map_err(ProposeError::Rejected)?;
                    match self.propose_module_here(command.clone(), left).await? {
                        // It knows best how long it takes.
                        Proposed::Overloaded(overload) => return Err(overload.into()),
                        proposed => proposed,
                    }
                }
                (_, Proposal::Module(command)) => self.hand_on(command.clone(), until).await?,
                (Some(leader), proposal) => self.propose_there(leader, proposal, left).await?,
                (None, _) => Proposed::NotLeader { leader: None },
            };
            match proposed {
                Proposed::Applied { index, response } => return Ok((index, response)),
                Proposed::Unknown => {
                    let reason = format!("the leader did not confirm it within {deadline:?}");
                    return Err(ProposeError::Unconfirmed(reason));
                }
                Proposed::Refused(rejection) => return Err(ProposeError::Rejected(rejection)),
                Proposed::NotLeader { leader: other } => {
                    (overload, pause) = (None, RETRY_AFTER);
                    hint = other.filter(|other| Some(*other) != leader);
                    // A command of a module is handed to whoever leads as far as the log says,
                    // which may have yet to learn of another.
                    let by_log = matches!(proposal, Proposal::Module(_));
                    if hint.is_none_or(|hint| by_log && hint != self.local.id) {
                        tokio::time::sleep_until(until.min(Instant::now() + RETRY_AFTER)).await;
                    }
                }
                Proposed::Overloaded(reason) => {
                    overload = Some(reason);
                    tokio::time::sleep_until(until.min(Instant::now() + pause)).await;
                    pause = (2 * pause).min(OVERLOAD_PAUSE_MAX);
                }
            }
        }
    }

    pub(super) fn check_log(&self) -> Result<(), ProposeError> {
        match self.following {
            Some(_) => Err(ProposeError::NoLog { roles: roles::listed(&self.local.node().roles) }),
            None => Ok(()),
        }
    }

    /// A leader proposes nothing for a module that does not run here. So a module whose name no
    /// snapshot has seen has never been told anything, and a service can be given a new one.
    pub(super) fn check_module(&self, module: &str) -> Result<(), Rejection> {
        match self.modules.contains_key(module) {
            true => Ok(()),
            false => Err(Rejection::UnknownModule { module: module.to_owned() }),
        }
    }

    /// Proposes a command of the core as the leader, without handing on.
    pub(super) async fn propose_here(
        &self,
        command: Command,
        deadline: Duration,
    ) -> Result<Proposed, ProposeError> {
        // Closed while this node hands over; whoever waited then finds who leads.
        let until = crate::tasks::until(deadline);
        let Ok(_inside) = tokio::time::timeout_at(until, self.door.read()).await else {
            return Ok(Proposed::NotLeader { leader: None });
        };
        if let Some(elsewhere) = self.not_leading() {
            return Ok(elsewhere);
        }
        match tokio::time::timeout_at(until, self.raft.client_write(command)).await {
            Ok(Ok(written)) => {
                let index = self.index_of(written.log_id.index);
                Ok(Proposed::Applied { index, response: written.data })
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

    pub(super) async fn propose_there(
        &self,
        leader: NodeId,
        proposal: &Proposal,
        deadline: Duration,
    ) -> Result<Proposed, ProposeError> {
        let cluster = self.local.cluster_id().ok_or(ProposeError::NotRunning)?;
        let deadline_ms = deadline_there(deadline);
        let request = Propose { cluster, proposal: proposal.clone(), deadline_ms };
        match self.messenger.request(leader, Lane::Control, &request, deadline).await {
            Ok(proposed) => Ok(proposed),
            Err(MessageError::TooLarge { bytes, max }) => {
                Err(ProposeError::TooLarge { bytes, max })
            }
            Err(error) => {
                not_taken(&error).ok_or_else(|| ProposeError::Unconfirmed(error.to_string()))
            }
        }
    }
}

/// What it means that a request with commands could not be made or was turned away. `None` where
/// the commands may have been taken for all that.
pub(super) fn not_taken(error: &MessageError) -> Option<Proposed> {
    match error {
        MessageError::Busy { .. } => Some(Proposed::Overloaded(Overload {
            of: Backlog::Requests,
            waiting: REQUESTS_MAX,
            limit: REQUESTS_MAX,
        })),
        error if error.outcome() == Outcome::NotApplied => {
            Some(Proposed::NotLeader { leader: None })
        }
        _ => None,
    }
}

/// How long a leader may take over a command for whose answer its caller waits for so long, in
/// milliseconds. A leader that does not take it shall be able to say so in time.
pub(super) fn deadline_there(deadline: Duration) -> u32 {
    let there = deadline - (deadline / 8).min(REPLY_MARGIN_MAX);
    u32::try_from(there.as_millis()).unwrap_or(u32::MAX)
}
