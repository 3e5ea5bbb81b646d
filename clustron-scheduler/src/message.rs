//! What enters the replicated log, what applying it answers, and what leader and workers say.

use bytes::Bytes;
use clustron_core::{Epoch, FencingToken, NodeId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::firing::{MissReason, SkipReason};
use crate::job::{JobName, JobSpec, OPEN_TICKS_MAX};
use crate::tick::TickId;

/// One change of the [`crate::SchedulerState`]. Its place in the control log is the token of
/// what it grants.
///
/// Every command may be lost, repeated, or arrive after newer ones: the compare-and-set in each
/// of them makes the second application change nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Command {
    /// Adds a job, or changes one.
    Define {
        /// The job.
        spec: JobSpec,
        /// The leader's clock: ticks strictly after it are due.
        at: Timestamp,
        /// The job as the leader saw it; `None` if there was none. By its schedule no tick lies
        /// between the cursor and `at`: dropping one would lose it. That is for the leader to see
        /// to, and never asked where commands are applied, where nodes may have different tables
        /// of time zones.
        seen: Option<Seen>,
    },
    /// Takes one due tick.
    Claim {
        /// The job.
        job: JobName,
        /// Its generation.
        generation: u64,
        /// The job's cursor that the leader computed this from. No tick lies between it and
        /// `scheduled`, so that a lost or reordered claim can never skip one.
        after: Timestamp,
        /// When the tick is due.
        scheduled: Timestamp,
        /// The leader's clock.
        at: Timestamp,
        /// Who shall run it if it may start at once.
        worker: Option<NodeId>,
    },
    /// Gives a waiting tick its first attempt, or a running one its next.
    Assign {
        /// The job.
        job: JobName,
        /// Which tick.
        tick: TickId,
        /// The token of the tick's attempt so far, which this one replaces; `None` if it had none.
        after: Option<FencingToken>,
        /// Who shall run it.
        worker: NodeId,
        /// The leader's clock.
        at: Timestamp,
        /// Why, for people. At most 256 bytes are kept.
        why: String,
    },
    /// Takes a range of due ticks that will not run.
    Miss {
        /// The job.
        job: JobName,
        /// Its generation.
        generation: u64,
        /// The job's cursor that the leader computed this from.
        after: Timestamp,
        /// The first missed instant: the next one after `after`.
        from: Timestamp,
        /// The last missed instant.
        to: Timestamp,
        /// How many ticks that are, at least 1.
        count: u64,
        /// Why.
        reason: MissReason,
        /// The leader's clock.
        at: Timestamp,
    },
    /// Reports how an attempt ended.
    Finish {
        /// The job.
        job: JobName,
        /// Which tick.
        tick: TickId,
        /// The attempt's token. It alone decides whether the result counts.
        token: FencingToken,
        /// Who ran it.
        worker: NodeId,
        /// How it ended.
        result: RunResult,
        /// When it began, by the worker's clock.
        started: Timestamp,
        /// When it ended, by the worker's clock.
        finished: Timestamp,
        /// What the next attempt at any tick of the job is given, at most 4 KiB; `None` to leave it
        /// as it is.
        kept: Option<Bytes>,
    },
    /// Stops taking ticks: those after `at` are missed, until the job is resumed.
    Pause {
        /// The job.
        job: JobName,
        /// The leader's clock.
        at: Timestamp,
        /// The job as the leader saw it: all ticks until `at` are taken.
        seen: Seen,
        /// Why, for people. At most 256 bytes are kept.
        note: String,
    },
    /// Takes ticks again: those after `at`.
    Resume {
        /// The job.
        job: JobName,
        /// The leader's clock.
        at: Timestamp,
        /// The job as the leader saw it: all ticks until `at` are recorded as missed.
        seen: Seen,
    },
    /// Adds a tick that the schedule does not ask for.
    Ask {
        /// The job.
        job: JobName,
        /// The instant that it stands for.
        scheduled: Timestamp,
        /// The leader's clock.
        at: Timestamp,
        /// Who shall run it if it may start at once.
        worker: Option<NodeId>,
    },
    /// Removes a job with all that is known of it. What runs is told to stop.
    Delete {
        /// The job.
        job: JobName,
        /// The job as the leader saw it.
        seen: Seen,
        /// Not if a tick waits or runs, since it was asked for meanwhile.
        if_idle: bool,
    },
}

impl Command {
    /// The job that it changes.
    pub fn job(&self) -> &JobName {
        match self {
            Self::Define { spec, .. } => &spec.name,
            Self::Claim { job, .. }
            | Self::Assign { job, .. }
            | Self::Miss { job, .. }
            | Self::Finish { job, .. }
            | Self::Pause { job, .. }
            | Self::Resume { job, .. }
            | Self::Ask { job, .. }
            | Self::Delete { job, .. } => job,
        }
    }
}

/// How far a job was when a leader computed something from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Its generation.
    pub generation: u64,
    /// Its cursor.
    pub cursor: Timestamp,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum RunResult {
    /// Well.
    Ran,
    /// With an error or a panic.
    Failed {
        /// What the job said. At most 1 KiB is kept.
        error: String,
    },
    /// It was told to stop, for a later tick's sake, and did.
    Cancelled,
}

/// What applying a [`Command`] answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Reply {
    /// The job is defined as asked.
    Defined {
        /// Its generation, the token of its last change.
        generation: u64,
        /// False if it was defined just so before.
        changed: bool,
    },
    /// The tick was taken by this command.
    Claimed {
        /// The claim's token.
        token: FencingToken,
        /// What happens to it now.
        start: Start,
    },
    /// The attempt was granted.
    Assigned {
        /// Its token.
        token: FencingToken,
        /// Its number, from 1.
        attempt: u32,
    },
    /// The range was recorded as missed.
    Missed {
        /// How many ticks.
        count: u64,
    },
    /// The result counts and the tick is closed.
    Finished,
    /// The result counts, and the tick waits for another attempt.
    WillRetry {
        /// How many have failed.
        failures: u32,
    },
    /// The job is paused or resumed as asked.
    Changed,
    /// The tick was added.
    Asked {
        /// Which it is.
        tick: TickId,
        /// What happens to it now.
        start: Start,
    },
    /// The job is gone.
    Deleted,
    /// This attempt had closed the tick before. Nothing changed; the worker may forget it.
    AlreadyFinished,
    /// A newer attempt had replaced this one. The result was recorded as late and has no effect;
    /// the worker may forget it.
    Superseded,
    /// Nothing changed.
    Rejected(Rejection),
}

/// What happens to a tick that was claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Start {
    /// Its first attempt is granted, with the claim's token. The leader sends the [`Run`].
    Running {
        /// To whom.
        worker: NodeId,
    },
    /// It waits for an earlier tick or for a worker.
    Waiting,
    /// It is closed as skipped.
    Skipped {
        /// Why.
        reason: SkipReason,
    },
}

/// Why a command changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// There is no such job. Define it first.
    #[error("there is no job of this name")]
    UnknownJob,
    /// The job was changed since. The leader plans anew; nobody else need act.
    #[error("the job is at generation {current}")]
    StaleGeneration {
        /// The present generation.
        current: u64,
    },
    /// The tick, or one before it, was taken by somebody else. The leader plans anew.
    #[error("the job's cursor is at {cursor}")]
    CursorMoved {
        /// The present cursor.
        cursor: Timestamp,
    },
    /// The tick is not open and not in the kept history: never claimed, long closed, or of a job
    /// that was deleted since. A worker that reports it may forget it.
    #[error("there is no such tick, or it is no longer in the history")]
    UnknownTick,
    /// The tick has another attempt than the leader thought, or is closed. It plans anew.
    #[error("the tick's newest attempt is {newest:?}, closed: {closed}")]
    AttemptChanged {
        /// The newest attempt's token.
        newest: Option<FencingToken>,
        /// Whether the tick has its outcome.
        closed: bool,
    },
    /// An earlier tick of the job must start or end first. Try again when it has.
    #[error("an earlier tick of the job comes first")]
    NotItsTurn,
    /// No attempt at this tick ever had this token. A defect of the sender.
    #[error("this token was never granted for the tick")]
    NeverGranted,
    /// The job has run as often as its schedule says. Nobody need act.
    #[error("the job has run {times} times, which is how often it is to run")]
    TimesUp {
        /// How often it has run and is to run.
        times: u64,
    },
    /// A number of the job is out of range. Correct it.
    #[error("{reason}")]
    InvalidSpec {
        /// Which number, its value and what is allowed.
        reason: String,
    },
    /// The job is paused, so its ticks are missed until it is resumed.
    #[error("the job is paused")]
    Paused,
    /// A tick waits or runs. The leader looks again.
    #[error("a tick of the job waits or runs")]
    NotIdle,
    /// As many ticks as allowed wait or run, or would with those that are asked for. Ask again when
    /// some have ended.
    #[error("{open} ticks of the job wait or run; at most {OPEN_TICKS_MAX} may")]
    TooManyOpen {
        /// How many.
        open: u32,
    },
    /// As many jobs as allowed are defined.
    #[error("{max} jobs are defined, which is the most")]
    TooManyJobs {
        /// The most.
        max: usize,
    },
    /// All jobs together would take more than allowed. Delete some, or keep payloads elsewhere.
    #[error("all jobs together would take {bytes} bytes; {max} are allowed")]
    TooManyBytes {
        /// What they would take.
        bytes: u64,
        /// The most.
        max: u64,
    },
    /// The instants of a claim or the range and count of a miss contradict each other. A defect of
    /// the sender.
    #[error("the range is empty, ends before it starts, or cannot hold that many ticks")]
    BadRange,
}

/// The leader asks a worker to run one attempt. Sent again it is the same attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The job.
    pub job: JobName,
    /// The generation that the tick belongs to.
    pub generation: u64,
    /// The name of the handler that runs it.
    pub handler: JobName,
    /// Which tick.
    pub tick: TickId,
    /// For resources that must refuse late work, and for the [`Command::Finish`].
    pub token: FencingToken,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// The epoch of the leader that granted it.
    pub epoch: Epoch,
    /// How long it may take, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// What the job was defined with.
    pub payload: Bytes,
    /// What an attempt before left for it.
    pub kept: Option<Bytes>,
}

/// What a worker answers to a [`Run`] at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum RunReply {
    /// It starts now.
    Accepted,
    /// This attempt runs already.
    AlreadyRunning,
    /// This attempt has ended already: the result is, or will be, reported; or its process ended
    /// with it, and another attempt has to be granted.
    AlreadyFinished,
    /// No handler is registered under the job's name. Nothing was started: choose another worker.
    NoHandler,
    /// The worker runs as much as it may. Nothing was started: choose another, or ask again.
    Busy,
}
