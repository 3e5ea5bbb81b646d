//! What an application asks of the jobs while the cluster runs: the leader does it.

use std::sync::{Arc, Mutex, PoisonError};

use clustron_core::{Message, Outcome, ProposeError, Request, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::firing::{WHY_BYTES_MAX, bounded};
use crate::job::{JobName, JobSpec};
use crate::message::Rejection;
use crate::tick::TickId;

/// The most ticks that one backfill may add.
pub const BACKFILL_MAX: usize = 1_000;

/// How many questions may wait for the leader; more are asked to come again.
const WAITING_MAX: usize = 1_024;

/// What must be there for a job to be put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Expected {
    /// A job of this name or none: it is created or replaced.
    Any,
    /// None: it is created.
    Nothing,
    /// The job at this generation: it is replaced, unless somebody did so before.
    Generation(u64),
}

/// A request to the leader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Ask {
    /// Create or replace a job.
    Put {
        /// The job.
        spec: JobSpec,
        /// What must be there.
        expected: Expected,
    },
    /// Delete a job.
    Delete {
        /// Which.
        job: JobName,
    },
    /// Stop taking its ticks.
    Pause {
        /// Which.
        job: JobName,
        /// Why, for people.
        note: String,
    },
    /// Take its ticks again.
    Resume {
        /// Which.
        job: JobName,
    },
    /// Run it once, now.
    Trigger {
        /// Which.
        job: JobName,
    },
    /// Run it for each instant that its schedule names within a time.
    Backfill {
        /// Which.
        job: JobName,
        /// From when on.
        from: Timestamp,
        /// Until when, this instant included.
        to: Timestamp,
    },
}

impl Ask {
    /// Whoever asks may be of another version, and a message may be larger than the log takes.
    fn bound(&mut self) -> Result<(), Refused> {
        match self {
            Self::Put { spec, .. } => spec.check().map_err(|error| {
                Refused::Rejected(Rejection::InvalidSpec { reason: error.to_string() })
            }),
            Self::Pause { note, .. } => {
                *note = bounded(std::mem::take(note), WHY_BYTES_MAX);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn job(&self) -> &JobName {
        match self {
            Self::Put { spec, .. } => &spec.name,
            Self::Delete { job }
            | Self::Pause { job, .. }
            | Self::Resume { job }
            | Self::Trigger { job }
            | Self::Backfill { job, .. } => job,
        }
    }
}

/// What the leader answers to an [`Ask`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Answer {
    /// It is as asked for.
    Done {
        /// The job's generation; 0 if it is gone.
        generation: u64,
        /// False if it was so before.
        changed: bool,
    },
    /// These ticks were added.
    Asked {
        /// In their order.
        ticks: Vec<TickId>,
    },
    /// This node does not lead, or has too much to do. Nothing was done.
    NotNow,
    /// Nothing was done, and the same question gets the same answer.
    Refused(Refused),
    /// The log did not confirm it.
    Unknown,
}

/// Why a change of a job was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The job is not there.
    #[error("there is no such job")]
    UnknownJob,
    /// The job is another than was expected.
    #[error("the job is at generation {current:?}, which is not what was expected")]
    NotAsExpected {
        /// Its generation; `None` if it is not there.
        current: Option<u64>,
    },
    /// The job is defined in the code of the members, where it has to be changed.
    #[error("the job is defined in code: change it there")]
    InCode,
    /// The schedule names no instant within the time.
    #[error("the schedule names no instant within this time")]
    NoTicks,
    /// The schedule names more instants within the time than one backfill may add.
    #[error("the schedule names more than {max} instants within this time: ask for less at once")]
    TooManyTicks {
        /// The most.
        max: usize,
    },
    /// The state refused it.
    #[error("{0}")]
    Rejected(Rejection),
    /// The leader cannot say which ticks of the job are due, and a change might lose some. It can
    /// be deleted.
    #[error("which ticks are due is not known: {0}; the job can be deleted")]
    NotKnown(String),
}

/// Why a job was not, or is not known to be, changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// Nothing was changed, and the same question gets the same answer.
    #[error("{job}: {why}")]
    Refused {
        /// The job.
        job: JobName,
        /// Why.
        why: Refused,
    },
    /// No leader took it in time. Nothing was changed; try again.
    #[error("{job}: no leader took it in time: {reason}")]
    NotApplied {
        /// The job.
        job: JobName,
        /// What happened last.
        reason: String,
    },
    /// A leader took it and did not confirm it in time. It may yet be done.
    #[error("{job}: a leader took it and did not confirm it in time: {reason}")]
    Unknown {
        /// The job.
        job: JobName,
        /// What happened last.
        reason: String,
    },
}

impl ChangeError {
    /// Whether it certainly had no effect.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Refused { .. } | Self::NotApplied { .. } => Outcome::NotApplied,
            Self::Unknown { .. } => Outcome::Unknown,
        }
    }
}

impl Refused {
    /// The log does not take it.
    pub(crate) fn too_large(error: &ProposeError) -> Self {
        Self::Rejected(Rejection::InvalidSpec { reason: error.to_string() })
    }
}

impl Message for Ask {
    const KIND: &'static str = "scheduler.ask";
}

impl Request for Ask {
    type Reply = Answer;
}

/// A question, and where its answer goes.
pub(crate) type Asked = (Ask, oneshot::Sender<Answer>);

/// Where the leader on this node takes questions; nowhere while the node does not lead.
#[derive(Clone, Default)]
pub(crate) struct Desk {
    leader: Arc<Mutex<Option<mpsc::Sender<Asked>>>>,
}

impl Desk {
    /// Takes questions from now on.
    pub(crate) fn open(&self) -> mpsc::Receiver<Asked> {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        *self.leader.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        receiver
    }

    /// Has a question answered.
    pub(crate) async fn ask(self, mut ask: Ask) -> Answer {
        if let Err(why) = ask.bound() {
            return Answer::Refused(why);
        }
        let (sender, answer) = oneshot::channel();
        {
            let leader = self.leader.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(leader) = &*leader else { return Answer::NotNow };
            if leader.try_send((ask, sender)).is_err() {
                return Answer::NotNow;
            }
        }
        // The leader ended with the question on its desk.
        answer.await.unwrap_or(Answer::Unknown)
    }
}
