//! As of when this node's copy of the log is current, as far as it can tell.
//!
//! A leader in office has applied all that was ever acknowledged, and it knows when a majority last
//! followed it: until then nobody else can have acknowledged anything. It tells both with whatever
//! it appends ([`Current`]), and who has applied as much is as current.
//!
//! No two clocks are compared for that. A message may have been on its way for long, or have lain
//! in the buffers of a process that was stopped, so its receiver must not take it for fresh. It
//! stamps its answers with its own clock instead, and the leader sends the latest stamp back, like
//! a postmark: what comes with a stamp was said after it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;

use super::freshness::Freshness;
use super::network::Answers;
use crate::identity::{Epoch, NodeId};

/// What a leader in office says of its own copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Current {
    /// Everything acknowledged stood in the log up to here,
    pub(super) applied: u64,
    /// so long before this was said, and rounded up.
    pub(super) silence_ms: u64,
}

/// See the module's documentation.
pub(super) struct Recency {
    me: NodeId,
    started: Instant,
    /// Where this process's stamps begin: those of an earlier process of the same node mean nothing
    /// to it.
    origin: u64,
    answers: Answers,
    applied: watch::Receiver<u64>,
    leading: watch::Receiver<Option<Epoch>>,
    freshness: Mutex<Freshness>,
}

impl Recency {
    /// `seed` is any number, another one for each start of a node.
    pub(super) fn new(
        me: NodeId,
        seed: u64,
        answers: Answers,
        applied: watch::Receiver<u64>,
        leading: watch::Receiver<Option<Epoch>>,
    ) -> Arc<Self> {
        let (started, freshness) = (Instant::now(), Mutex::default());
        // Room above it for more milliseconds than there will be.
        let origin = seed >> 1;
        Arc::new(Self { me, started, origin, answers, applied, leading, freshness })
    }

    /// What to say of this node's copy as the leader. `None` where it is not in office, or nobody
    /// has followed it yet.
    pub(super) fn as_leader(&self) -> Option<Current> {
        (*self.leading.borrow())?;
        let silence = self.answers.quorum_silence(self.me);
        let as_of = self.started.elapsed().checked_sub(silence)?;
        let applied = *self.applied.borrow();
        self.learn(applied, as_of);
        let silence_ms = u64::try_from(silence.as_millis()).ok()?.saturating_add(1);
        Some(Current { applied, silence_ms })
    }

    /// The leader has said this after this node's stamp.
    pub(super) fn heard(&self, current: Current, echo: u64) {
        let Some(stamped_ms) = echo.checked_sub(self.origin) else { return };
        let stamped = Duration::from_millis(stamped_ms);
        if stamped > self.started.elapsed() {
            // Of another process.
            return;
        }
        if let Some(as_of) = stamped.checked_sub(Duration::from_millis(current.silence_ms)) {
            self.learn(current.applied, as_of);
        }
    }

    /// A stamp for what is said now.
    pub(super) fn stamp(&self) -> u64 {
        let now_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX >> 1);
        self.origin.saturating_add(now_ms)
    }

    /// How long ago this node's copy was certainly current. `None` while that is not known of any
    /// instant.
    pub(super) fn age(&self) -> Option<Duration> {
        let _ = self.as_leader();
        let applied = *self.applied.borrow();
        let mut freshness = self.freshness.lock().unwrap_or_else(PoisonError::into_inner);
        let as_of = freshness.as_of(applied)?;
        Some(self.started.elapsed().saturating_sub(as_of))
    }

    fn learn(&self, applied: u64, as_of: Duration) {
        let mut freshness = self.freshness.lock().unwrap_or_else(PoisonError::into_inner);
        freshness.learn(applied, as_of);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const SECOND: Duration = Duration::from_secs(1);

    /// A node of three that votes, and what moves it.
    fn one_of_three() -> (Arc<Recency>, watch::Sender<u64>, watch::Sender<Option<Epoch>>, Answers) {
        let (applied, leading) = (watch::Sender::new(0), watch::Sender::new(None));
        let answers = Answers::default();
        answers.set_groups(vec![BTreeSet::from([1, 2, 3].map(NodeId))]);
        let seed = u64::MAX - 3;
        let watched = (applied.subscribe(), leading.subscribe());
        let recency = Recency::new(NodeId(1), seed, answers.clone(), watched.0, watched.1);
        (recency, applied, leading, answers)
    }

    #[tokio::test(start_paused = true)]
    async fn a_follower_is_as_current_as_what_it_heard_after_its_own_stamp() {
        let (recency, applied, _leading, _answers) = one_of_three();
        assert_eq!(recency.age(), None);
        tokio::time::advance(10 * SECOND).await;
        let stamp = recency.stamp();
        // However long the leader's word takes, it is not taken for newer than the stamp.
        tokio::time::advance(5 * SECOND).await;
        recency.heard(Current { applied: 7, silence_ms: 1_000 }, stamp);
        assert_eq!(recency.age(), None, "not applied yet");
        applied.send_replace(7);
        assert_eq!(recency.age(), Some(6 * SECOND));
        tokio::time::advance(SECOND).await;
        assert_eq!(recency.age(), Some(7 * SECOND), "without news it grows");
    }

    #[tokio::test(start_paused = true)]
    async fn stamps_of_another_process_mean_nothing() {
        let (recency, applied, _leading, _answers) = one_of_three();
        applied.send_replace(7);
        tokio::time::advance(10 * SECOND).await;
        for foreign in [0, recency.origin - 1, recency.stamp() + 1, u64::MAX] {
            recency.heard(Current { applied: 7, silence_ms: 0 }, foreign);
            assert_eq!(recency.age(), None, "{foreign}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_is_current_as_of_its_last_majority_also_when_it_has_lost_it() {
        let (recency, applied, leading, answers) = one_of_three();
        tokio::time::advance(10 * SECOND).await;
        applied.send_replace(3);
        answers.note(NodeId(2), Instant::now());
        assert_eq!(recency.as_leader(), None, "not in office");
        leading.send_replace(Some(Epoch(3)));
        tokio::time::advance(SECOND).await;
        assert_eq!(recency.as_leader(), Some(Current { applied: 3, silence_ms: 1_001 }));
        assert_eq!(recency.age(), Some(SECOND));
        leading.send_replace(None);
        tokio::time::advance(SECOND).await;
        assert_eq!(recency.as_leader(), None);
        assert_eq!(recency.age(), Some(2 * SECOND));
    }
}
