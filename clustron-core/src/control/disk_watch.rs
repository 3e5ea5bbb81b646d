//! How long the disk takes, and how long it has owed an end.
//!
//! A disk that fails says so and ends the node. One that hangs says nothing; so whoever calls it
//! leaves the time here, like somebody who goes down into a mine.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Control;
use crate::metrics::Times;

#[derive(Debug, Default)]
struct Calls {
    next: u64,
    /// The calls that have not ended, oldest first.
    open: BTreeMap<u64, Instant>,
    /// Where it is told how long those took that have ended.
    report: Option<Times>,
}

/// The calls of one log to its disk. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct DiskWatch {
    calls: Arc<Mutex<Calls>>,
}

/// A call that has not ended.
pub(super) struct Open {
    watch: DiskWatch,
    number: u64,
}

impl DiskWatch {
    /// A call begins, and ends when what this gives is dropped.
    pub(super) fn begin(&self) -> Open {
        let mut calls = self.lock();
        let number = calls.next;
        calls.next += 1;
        calls.open.insert(number, Instant::now());
        Open { watch: self.clone(), number }
    }

    /// How long the oldest call has not ended.
    pub(super) fn waits(&self) -> Option<Duration> {
        self.lock().open.first_key_value().map(|(_, since)| since.elapsed())
    }

    /// Tells how long each call took from now on.
    pub(super) fn report_to(&self, times: Times) {
        self.lock().report = Some(times);
    }

    fn lock(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut calls = self.watch.lock();
        let since = calls.open.remove(&self.number);
        if let (Some(since), Some(times)) = (since, &calls.report) {
            times.observe(since.elapsed());
        }
    }
}

impl Control {
    /// How long the log's disk has not ended a call. `None` where it owes none, or there is no
    /// disk.
    pub(crate) fn disk_waits(&self) -> Option<Duration> {
        self.log.disk_watch().and_then(DiskWatch::waits)
    }

    /// How many entries the log has, and roughly how many bytes.
    pub(crate) fn log_size(&self) -> (usize, usize) {
        (self.log.entries(), self.log.bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_oldest_call_that_has_not_ended_counts() {
        let (watch, second) = (DiskWatch::default(), Duration::from_secs(1));
        assert_eq!(watch.waits(), None);
        let first = watch.begin();
        tokio::time::advance(second).await;
        let other = watch.begin();
        tokio::time::advance(second).await;
        assert_eq!(watch.waits(), Some(2 * second));
        drop(first);
        assert_eq!(watch.waits(), Some(second));
        drop(other);
        assert_eq!(watch.waits(), None);
    }
}
