//! Brings the commands of modules into the log, many to an entry.
//!
//! Raft takes an entry at a time and waits for it to be stored before it looks at the next. So it
//! is not commands that are appended here but batches: all callers of this leader, its own and
//! those whose commands other nodes have handed on ([`courier`](super::courier)), stand in one
//! [`queue`](super::queue), and one task makes an entry of whatever waits there as soon as there is
//! room for one more under way. No timer: a command that comes alone goes alone and at once.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use openraft::ServerState;
use openraft::raft::ClientWriteResult;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, SemaphorePermit, oneshot, watch};
use tokio::time::Instant;

use super::command::{Command, ModuleCommand, Response};
use super::propose::ProposeError;
use super::queue::{QUEUE_BYTES, QUEUE_COMMANDS, Unanswered};
use super::rpc::Proposed;
use super::types::{LogId, TypeConfig};
use super::{Agreed, Control};

/// Entries that may be under way at the same time. Measured on a quiet machine with 256 callers at
/// three nodes: from two to four, callers at the leader had a fifth more in memory and an eighth
/// more on disk, in entries of half the size. Few is good besides: of what is under way when a
/// majority is lost nobody knows whether it will be applied, and what is in the queue certainly is
/// not.
const ENTRIES_IN_FLIGHT: usize = 4;

/// Commands that other nodes have handed on and that wait here for their answers, and their bytes.
const HANDED_ON: usize = QUEUE_COMMANDS;
const HANDED_ON_BYTES: usize = 4 * QUEUE_BYTES;

/// Requests with commands of other nodes that a leader answers at the same time, of each of the
/// two kinds.
pub(super) const REQUESTS_MAX: usize = 512;

/// How many entries a leader may have in its log that it has not applied. What is under way through
/// its queue is far less; one with more than this has taken over a long log and still applies it,
/// up to 1,024 commands to an entry, before anything new.
pub(super) const BEHIND_MAX: u64 = 256;

/// What there is too much of at an overloaded leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Backlog {
    /// Commands that wait to be put into the log.
    Commands,
    /// Their bytes.
    CommandBytes,
    /// Entries of the log that the leader has yet to apply.
    Entries,
    /// Requests with commands of other nodes that the leader has yet to answer.
    Requests,
}

impl std::fmt::Display for Backlog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Commands => "commands wait for the log",
            Self::CommandBytes => "bytes of commands wait for the log",
            Self::Entries => "entries of the log wait to be applied",
            Self::Requests => "requests with commands wait for their answers",
        })
    }
}

/// A leader does not take a command, because too much waits already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Overload {
    pub(super) of: Backlog,
    pub(super) waiting: usize,
    pub(super) limit: usize,
}

impl From<Overload> for ProposeError {
    fn from(Overload { of, waiting, limit }: Overload) -> Self {
        Self::Overloaded { of, waiting, limit }
    }
}

/// What other nodes have handed on to this leader and waits for its answer here. Unlike the
/// node's own callers, those of others are not asked to wait: their bytes are here already.
pub(super) struct HandedOn {
    commands: Semaphore,
    bytes: Semaphore,
}

impl HandedOn {
    pub(super) fn new() -> Self {
        Self { commands: Semaphore::new(HANDED_ON), bytes: Semaphore::new(HANDED_ON_BYTES) }
    }

    /// Room for one more, held by what is given.
    pub(super) fn admit(
        &self,
        bytes: usize,
    ) -> Result<(SemaphorePermit<'_>, SemaphorePermit<'_>), Overload> {
        let full = |of, limit: usize, free: &Semaphore| Overload {
            of,
            waiting: limit - free.available_permits(),
            limit,
        };
        let place = self.commands.try_acquire();
        let place = place.map_err(|_| full(Backlog::Commands, HANDED_ON, &self.commands))?;
        let share = u32::try_from(bytes.min(HANDED_ON_BYTES)).unwrap_or(u32::MAX);
        let share = self.bytes.try_acquire_many(share);
        let share = share.map_err(|_| full(Backlog::CommandBytes, HANDED_ON_BYTES, &self.bytes))?;
        Ok((place, share))
    }
}

/// Whether a leader that has applied its log so far is behind its end.
fn behind(last: u64, applied: u64) -> Option<Overload> {
    let entries = last.saturating_sub(applied);
    (entries > BEHIND_MAX).then_some(Overload {
        of: Backlog::Entries,
        waiting: usize::try_from(entries).unwrap_or(usize::MAX),
        limit: BEHIND_MAX as usize,
    })
}

impl Control {
    /// Proposes a module's command as the leader, without handing on.
    pub(super) async fn propose_module_here(
        &self,
        command: ModuleCommand,
        deadline: Duration,
    ) -> Result<Proposed, ProposeError> {
        if let Some(elsewhere) = self.not_leading() {
            return Ok(elsewhere);
        }
        if let Some(overload) = self.behind() {
            self.metrics.overloads.inc();
            return Ok(Proposed::Overloaded(overload));
        }
        let came_at = Instant::now();
        match self.proposer.answer_to(command, crate::tasks::until(deadline)).await {
            Ok(proposed) => {
                if matches!(proposed, Proposed::Applied { .. }) {
                    self.metrics.commit_seconds.observe(came_at.elapsed());
                }
                Ok(proposed)
            }
            // Without a majority nothing gets on: that is no load.
            Err(Unanswered::TooLate(_)) if self.leading.borrow().is_none() => {
                Ok(Proposed::NotLeader { leader: None })
            }
            Err(Unanswered::TooLate(overload)) => {
                self.metrics.overloads.inc();
                Ok(Proposed::Overloaded(overload))
            }
            Err(Unanswered::Closed) => Err(ProposeError::NotRunning),
            Err(Unanswered::Failed(error)) => Err(error),
        }
    }

    /// What to answer whoever wants something proposed here, if this node does not lead. While it
    /// hands over, commands wait at the door.
    pub(super) fn not_leading(&self) -> Option<Proposed> {
        if self.raft.server_metrics().borrow().state == ServerState::Leader {
            return None;
        }
        let leader = self.raft_leader().filter(|leader| *leader != self.local.id);
        Some(Proposed::NotLeader { leader })
    }

    /// Whether this leader has applied far less of its log than it should have.
    fn behind(&self) -> Option<Overload> {
        let metrics = self.raft.data_metrics();
        let metrics = metrics.borrow();
        let index = |id: Option<LogId>| id.map_or(0, |id| id.index);
        behind(index(metrics.last_log), index(metrics.last_applied))
    }

    /// Makes entries of what waits, until the node ends.
    pub(super) async fn keep_proposing(self: Arc<Self>) {
        let _closing = self.proposer.closing();
        let mut state = self.raft.server_metrics();
        let mut vote = state.borrow().vote;
        let mut in_flight = FuturesUnordered::new();
        let mut latest = Instant::now();
        // Entries of earlier terms, whose fate others decide. They end with their callers'
        // deadlines at the latest, and are a few for each time that this node led.
        let mut left_over = FuturesUnordered::new();
        // Keeps the door open while entries of this term are under way.
        let mut inside = None;
        loop {
            let now = state.borrow_and_update().vote;
            if std::mem::replace(&mut vote, now) != now {
                let entries = std::mem::take(&mut in_flight).collect::<()>();
                left_over.push(tokio::time::timeout_at(latest, entries));
            }
            if in_flight.is_empty() {
                drop(inside.take());
            }
            if self.not_leading().is_some() {
                self.send_all_elsewhere();
            }
            let mut closed = false;
            while in_flight.len() < ENTRIES_IN_FLIGHT && !self.proposer.is_empty() {
                let Ok(entered) = self.door.clone().try_read_owned() else {
                    closed = true;
                    break;
                };
                let Some((taken, until)) = self.proposer.next_batch() else { break };
                drop(inside.replace(entered));
                latest = latest.max(until);
                let (commands, answers): (Vec<_>, Vec<_>) =
                    taken.into_iter().map(|queued| (queued.command, queued.answer)).unzip();
                self.metrics.batches_proposed.inc();
                self.metrics.commands_proposed.inc_by(commands.len() as u64);
                // Handed to Raft here, one after the other, so that entries stand in the log as
                // their commands stood in the queue. Only its end fails this, and drops the
                // answers.
                if let Ok(written) = self.raft.client_write_ff(Command::Batch(commands)).await {
                    in_flight.push(deliver(written, answers, self.agreed()));
                }
            }
            tokio::select! {
                biased;
                Some(()) = in_flight.next() => {}
                Some(_) = left_over.next() => {}
                () = self.proposer.arrived() => {}
                _opened = self.door.read(), if closed => {}
                changed = state.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Sends those who wait here to whoever leads now.
    fn send_all_elsewhere(&self) {
        for queued in self.proposer.take_all() {
            // It may lead again by now. They find out when they ask again.
            let leader = self.raft_leader().filter(|leader| *leader != self.local.id);
            let _ = queued.answer.send(Ok(Proposed::NotLeader { leader }));
        }
    }
}

/// Waits for an entry, and tells each caller what became of its command.
async fn deliver<E>(
    written: impl Future<Output = Result<ClientWriteResult<TypeConfig>, E>>,
    answers: Vec<oneshot::Sender<Result<Proposed, Unanswered>>>,
    agreed: watch::Receiver<Arc<Agreed>>,
) {
    // That Raft refused it does not say that it will not be applied: see `propose_here`. Whoever is
    // not told anything takes it for unknown.
    let Ok(Ok(written)) = written.await else { return };
    let (at, Response::Batch(replies)) = (written.log_id.index, written.data) else { return };
    let index = agreed.borrow().index_of(at);
    for (answer, reply) in answers.into_iter().zip(replies) {
        let response = reply.map_or_else(Response::Rejected, Response::Module);
        // Nobody may be waiting for it any more.
        let _ = answer.send(Ok(Proposed::Applied { index, response }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_is_behind_when_it_has_a_long_log_to_apply() {
        assert_eq!(behind(BEHIND_MAX, 0), None);
        assert_eq!(behind(7, 9), None, "the two are not told at the same instant");
        let overload = behind(BEHIND_MAX + 11, 10).unwrap();
        let error = ProposeError::from(overload).to_string();
        assert_eq!(
            error,
            "the control log is overloaded: 257 entries of the log wait to be applied (limit 256); \
             try again after a pause"
        );
    }

    #[test]
    fn what_is_handed_on_is_bounded_in_number_and_in_bytes() {
        let handed_on = HandedOn::new();
        let large: Vec<_> = (0..4).map(|_| handed_on.admit(HANDED_ON_BYTES / 4).unwrap()).collect();
        let overload = handed_on.admit(1).unwrap_err();
        assert_eq!((overload.of, overload.waiting), (Backlog::CommandBytes, HANDED_ON_BYTES));
        drop(large);
        let small: Vec<_> = (0..HANDED_ON).map(|_| handed_on.admit(1).unwrap()).collect();
        let overload = handed_on.admit(1).unwrap_err();
        assert_eq!((overload.of, overload.waiting), (Backlog::Commands, small.len()));
    }
}
