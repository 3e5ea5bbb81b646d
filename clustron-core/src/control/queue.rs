//! Where commands of modules wait: at a leader to be put into an entry, elsewhere to be handed on.
//!
//! A caller waits for room first, so that what waits is bounded. While its command is in the queue
//! it may walk away, and then knows that it was not applied. From when it is taken out, only the
//! answer tells.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::futures::Notified;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;

use super::batch::{Batch, Ticket, Waiting};
use super::command::ModuleCommand;
use super::propose::ProposeError;
use super::proposer::{Backlog, Overload};
use super::rpc::Proposed;
use crate::metrics::CoreMetrics;

/// Commands that may wait in a queue; more callers wait for room.
pub(super) const QUEUE_COMMANDS: usize = 4096;

/// Bytes of commands that may wait in a queue: eight of the largest.
pub(super) const QUEUE_BYTES: usize = 8 << 20;

/// A command in the queue.
pub(super) struct Queued {
    pub(super) command: ModuleCommand,
    /// When its caller gives up.
    pub(super) until: Instant,
    /// Dropped without a word, it means that nobody knows any more.
    pub(super) answer: oneshot::Sender<Result<Proposed, Unanswered>>,
    /// Its share of what may wait.
    _room: Room,
}

type Room = (OwnedSemaphorePermit, OwnedSemaphorePermit);

/// Why there is no answer to a command.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// It got no place in the queue in time, or stood there for too long: certainly not applied.
    TooLate(Overload),
    /// The node ends: certainly not applied.
    Closed,
    /// It was taken out of the queue, and then this happened.
    Failed(ProposeError),
}

/// The queue. See the module's documentation.
pub(super) struct Queue {
    started: Instant,
    waiting: Mutex<Waiting<Queued>>,
    /// Closed when nobody will look at the queue any more.
    commands_free: Arc<Semaphore>,
    bytes_free: Arc<Semaphore>,
    arrived: Notify,
    metrics: Arc<CoreMetrics>,
}

/// A caller's place in the queue, given up when the caller does not wait any more.
struct Place<'a> {
    queue: &'a Queue,
    ticket: Ticket,
}

impl Place<'_> {
    /// Whether the command had not been taken out yet. It will not be then.
    fn give_up(&self) -> bool {
        let withdrawn = self.queue.lock().withdraw(self.ticket);
        if withdrawn.is_some() {
            self.queue.metrics.proposals_waiting.dec();
        }
        withdrawn.is_some()
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.give_up();
    }
}

/// Nobody looks at the queue any more when this is dropped.
pub(super) struct Closing<'a>(&'a Queue);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.commands_free.close();
        self.0.bytes_free.close();
        for queued in self.0.take_all() {
            let _ = queued.answer.send(Err(Unanswered::Closed));
        }
    }
}

impl Queue {
    pub(super) fn new(metrics: Arc<CoreMetrics>) -> Self {
        Self {
            started: Instant::now(),
            waiting: Mutex::default(),
            commands_free: Arc::new(Semaphore::new(QUEUE_COMMANDS)),
            bytes_free: Arc::new(Semaphore::new(QUEUE_BYTES)),
            arrived: Notify::new(),
            metrics,
        }
    }

    /// Waits for room, then until the command is taken out, and at last for its answer.
    pub(super) async fn answer_to(
        &self,
        command: ModuleCommand,
        until: Instant,
    ) -> Result<Proposed, Unanswered> {
        let bytes = command.weight();
        let full = self.load();
        let room = match tokio::time::timeout_at(until, self.room(bytes)).await {
            Ok(room) => room.ok_or(Unanswered::Closed)?,
            Err(_elapsed) => return Err(Unanswered::TooLate(full)),
        };
        let (answer, answered) = oneshot::channel();
        let queued = Queued { command, until, answer, _room: room };
        let ticket = {
            let mut waiting = self.lock();
            if self.commands_free.is_closed() {
                return Err(Unanswered::Closed);
            }
            // Before anybody can take it out, so that there are never fewer than none.
            self.metrics.proposals_waiting.inc();
            waiting.push(queued, bytes, until.saturating_duration_since(self.started))
        };
        let place = Place { queue: self, ticket };
        self.arrived.notify_one();
        match tokio::time::timeout_at(until, answered).await {
            Ok(Ok(answer)) => answer,
            Err(_elapsed) if place.give_up() => Err(Unanswered::TooLate(self.load())),
            Ok(Err(_)) | Err(_) => Ok(Proposed::Unknown),
        }
    }

    /// A place in the queue and a share of its bytes. `None` when the queue is closed.
    async fn room(&self, bytes: usize) -> Option<Room> {
        let bytes = u32::try_from(bytes.min(QUEUE_BYTES)).unwrap_or(u32::MAX);
        let place = self.commands_free.clone().acquire_owned().await.ok()?;
        let share = self.bytes_free.clone().acquire_many_owned(bytes).await.ok()?;
        Some((place, share))
    }

    /// What fills the queue most.
    fn load(&self) -> Overload {
        let commands = QUEUE_COMMANDS - self.commands_free.available_permits();
        let bytes = QUEUE_BYTES - self.bytes_free.available_permits();
        if commands * (QUEUE_BYTES / QUEUE_COMMANDS) >= bytes {
            Overload { of: Backlog::Commands, waiting: commands, limit: QUEUE_COMMANDS }
        } else {
            Overload { of: Backlog::CommandBytes, waiting: bytes, limit: QUEUE_BYTES }
        }
    }

    /// Takes out what goes together next, oldest first, and sends away those that have waited for
    /// too long. Gives also when the last of them gives up. `None` when nothing waits.
    pub(super) fn next_batch(&self) -> Option<(Vec<Queued>, Instant)> {
        let Batch { taken, until, expired } = self.lock().next_batch(self.started.elapsed());
        let gone = taken.len() + expired.len();
        self.metrics.proposals_waiting.dec_by(i64::try_from(gone).unwrap_or(i64::MAX));
        for queued in expired {
            let _ = queued.answer.send(Err(Unanswered::TooLate(self.load())));
        }
        (!taken.is_empty()).then(|| (taken, self.started + until))
    }

    /// Takes out everything, oldest first.
    pub(super) fn take_all(&self) -> Vec<Queued> {
        let all = self.lock().take_all();
        self.metrics.proposals_waiting.dec_by(i64::try_from(all.len()).unwrap_or(i64::MAX));
        all
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Waits until a command has come since the last time. For one task.
    pub(super) fn arrived(&self) -> Notified<'_> {
        self.arrived.notified()
    }

    /// Held by the task that looks at the queue.
    pub(super) fn closing(&self) -> Closing<'_> {
        Closing(self)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<Queued>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn command(bytes: usize) -> ModuleCommand {
        ModuleCommand { module: String::new(), epoch: None, body: vec![0; bytes].into() }
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_no_room_waits_for_it_and_is_told_what_was_full() {
        let queue = Queue::new(Arc::default());
        let soon = Instant::now() + Duration::from_secs(1);
        let later = soon + Duration::from_secs(1);
        // Nobody takes anything out, so that the first ones fill the queue.
        let eight = (0..8).map(|_| queue.answer_to(command(QUEUE_BYTES / 8 - 16), later));
        let eight = futures::future::join_all(eight);
        let ninth = queue.answer_to(command(1), soon);
        let (eight, ninth) = futures::future::join(eight, ninth).await;
        let Err(Unanswered::TooLate(overload)) = ninth else { panic!("there was no room") };
        let full = Overload { of: Backlog::CommandBytes, waiting: QUEUE_BYTES, limit: QUEUE_BYTES };
        assert_eq!(overload, full);
        assert!(eight.iter().all(|one| matches!(one, Err(Unanswered::TooLate(_)))));
        let left = (queue.take_all().len(), queue.bytes_free.available_permits());
        assert_eq!(left, (0, QUEUE_BYTES));
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_waits_when_the_queue_closes_was_not_touched() {
        let queue = Queue::new(Arc::default());
        let until = Instant::now() + Duration::from_secs(1);
        let waiting = queue.answer_to(command(1), until);
        let closing = async { drop(queue.closing()) };
        let (waited, ()) = futures::future::join(waiting, closing).await;
        assert!(matches!(waited, Err(Unanswered::Closed)));
        assert!(matches!(queue.answer_to(command(1), until).await, Err(Unanswered::Closed)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_whose_command_was_taken_knows_nothing_until_it_is_answered() {
        let queue = Queue::new(Arc::default());
        let until = Instant::now() + Duration::from_secs(1);
        let mut taken = vec![];
        let take = async { taken.extend(queue.next_batch()) };
        let (waited, ()) = futures::future::join(queue.answer_to(command(1), until), take).await;
        assert!(matches!(waited, Ok(Proposed::Unknown)));
        assert_eq!(taken.len(), 1);
    }
}
