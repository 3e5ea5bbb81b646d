//! What attempts say of themselves while they run.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use clustron_core::{FencingToken, Message, NodeId, Request, Timestamp};
use serde::{Deserialize, Serialize};

use crate::firing::bounded;
use crate::job::JobName;
use crate::tick::TickId;

/// How many of its lines a running attempt keeps.
pub const LINES_MAX: usize = 16;
/// The longest line that is kept, in bytes; more is cut off.
pub const LINE_BYTES_MAX: usize = 256;

/// An attempt that runs now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Running {
    /// The tick.
    pub tick: TickId,
    /// The attempt's token.
    pub token: FencingToken,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// Who runs it.
    pub worker: NodeId,
    /// Since when, by the worker's clock.
    pub started: Timestamp,
    /// How far it says that it has come, from 0 to 1.
    pub progress: Option<f32>,
    /// The last lines that it wrote, oldest first, each with its instant by the worker's clock.
    pub lines: Vec<(Timestamp, String)>,
}

/// Asks a worker what it runs of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// The job.
    pub job: JobName,
}

impl Message for Look {
    const KIND: &'static str = "scheduler.look";
}

impl Request for Look {
    type Reply = Vec<Running>;
}

/// Shared by an attempt's code and its worker.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notes {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    progress: Option<f32>,
    lines: VecDeque<(Timestamp, String)>,
    kept: Option<Bytes>,
}

impl Notes {
    pub(crate) fn progress(&self, progress: f32) {
        self.lock().progress = Some(progress.clamp(0.0, 1.0));
    }

    pub(crate) fn line(&self, at: Timestamp, line: String) {
        let mut inner = self.lock();
        if inner.lines.len() >= LINES_MAX {
            inner.lines.pop_front();
        }
        inner.lines.push_back((at, bounded(line, LINE_BYTES_MAX)));
    }

    pub(crate) fn keep(&self, value: Bytes) {
        self.lock().kept = Some(value);
    }

    /// What is to be kept for the next attempt.
    pub(crate) fn kept(&self) -> Option<Bytes> {
        self.lock().kept.clone()
    }

    pub(crate) fn told(&self) -> (Option<f32>, Vec<(Timestamp, String)>) {
        let inner = self.lock();
        (inner.progress, inner.lines.iter().cloned().collect())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_each_cut_to_its_bound() {
        let notes = Notes::default();
        for n in 0..LINES_MAX + 3 {
            notes.line(Timestamp::from_unix_ms(n as i64), format!("{n:>300}"));
        }
        notes.progress(7.0);
        let (progress, lines) = notes.told();
        assert_eq!((progress, lines.len()), (Some(1.0), LINES_MAX));
        assert_eq!(lines[0].0, Timestamp::from_unix_ms(3));
        assert!(lines.iter().all(|(_, line)| line.len() == LINE_BYTES_MAX));
    }
}
