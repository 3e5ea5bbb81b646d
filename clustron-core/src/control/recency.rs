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

use super::awake::Awake;
use super::freshness::Freshness;
use super::network::Answers;
use crate::identity::{Epoch, NodeId};
use crate::time::Clock;

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
    awake: Awake,
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
        clock: Arc<dyn Clock>,
        seed: u64,
        answers: Answers,
        applied: watch::Receiver<u64>,
        leading: watch::Receiver<Option<Epoch>>,
    ) -> Arc<Self> {
        let (awake, freshness) = (Awake::new(clock), Mutex::default());
        // Room above it for more milliseconds than there will be.
        let origin = seed >> 1;
        Arc::new(Self { me, awake, origin, answers, applied, leading, freshness })
    }

    /// What to say of this node's copy as the leader. `None` where it is not in office, or nobody
    /// has followed it yet.
    pub(super) fn as_leader(&self) -> Option<Current> {
        (*self.leading.borrow())?;
        let silence = self.answers.quorum_silence(self.me);
        let (now, as_of) = self.awake.now_and(silence);
        let (as_of, applied) = (as_of?, *self.applied.borrow());
        self.learn(applied, as_of);
        let silence = now.saturating_sub(as_of);
        let silence_ms = u64::try_from(silence.as_millis()).ok()?.saturating_add(1);
        Some(Current { applied, silence_ms })
    }

    /// The leader has said this after this node's stamp.
    pub(super) fn heard(&self, current: Current, echo: u64) {
        let Some(stamped_ms) = echo.checked_sub(self.origin) else { return };
        let stamped = Duration::from_millis(stamped_ms);
        if stamped > self.awake.now() {
            // Of another process.
            return;
        }
        if let Some(as_of) = stamped.checked_sub(Duration::from_millis(current.silence_ms)) {
            self.learn(current.applied, as_of);
        }
    }

    /// A stamp for what is said now.
    pub(super) fn stamp(&self) -> u64 {
        let now_ms = u64::try_from(self.awake.now().as_millis()).unwrap_or(u64::MAX >> 1);
        self.origin.saturating_add(now_ms)
    }

    /// How long ago this node's copy was certainly current. `None` while that is not known of any
    /// instant.
    pub(super) fn age(&self) -> Option<Duration> {
        let _ = self.as_leader();
        let applied = *self.applied.borrow();
        let mut freshness = self.freshness.lock().unwrap_or_else(PoisonError::into_inner);
        let as_of = freshness.as_of(applied)?;
        Some(self.awake.now().saturating_sub(as_of))
    }

    fn learn(&self, applied: u64, as_of: Duration) {
        let mut freshness = self.freshness.lock().unwrap_or_else(PoisonError::into_inner);
        freshness.learn(applied, as_of);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;
    use std::collections::BTreeSet;
    use std::sync::atomic::{AtomicU64, Ordering};
    use tokio::time::Instant;

    /// A machine that has slept for so many seconds.
    struct Sleeper(Arc<AtomicU64>);

    impl Clock for Sleeper {
        fn now(&self) -> Timestamp {
            Timestamp::default()
        }

        fn suspended(&self) -> Duration {
            Duration::from_secs(self.0.load(Ordering::Relaxed))
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    type Moved = (watch::Sender<u64>, watch::Sender<Option<Epoch>>, Answers);

    /// A node of three that votes, and what moves it.
    fn one_of_three() -> (Arc<Recency>, Moved) {
        let (recency, moved, _) = one_that_sleeps();
        (recency, moved)
    }

    /// The same, and how many seconds its machine has slept.
    fn one_that_sleeps() -> (Arc<Recency>, Moved, Arc<AtomicU64>) {
        let (applied, leading) = (watch::Sender::new(0), watch::Sender::new(None));
        let answers = Answers::default();
        answers.set_groups(vec![BTreeSet::from([1, 2, 3].map(NodeId))]);
        let seed = u64::MAX - 3;
        let watched = (applied.subscribe(), leading.subscribe());
        let slept = Arc::new(AtomicU64::new(1_000));
        let clock = Arc::new(Sleeper(slept.clone()));
        let recency = Recency::new(NodeId(1), clock, seed, answers.clone(), watched.0, watched.1);
        (recency, (applied, leading, answers), slept)
    }

    #[tokio::test(start_paused = true)]
    async fn a_follower_is_as_current_as_what_it_heard_after_its_own_stamp() {
        let (recency, (applied, _leading, _answers)) = one_of_three();
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
        let (recency, (applied, _leading, _answers)) = one_of_three();
        applied.send_replace(7);
        tokio::time::advance(10 * SECOND).await;
        for foreign in [0, recency.origin - 1, recency.stamp() + 1, u64::MAX] {
            recency.heard(Current { applied: 7, silence_ms: 0 }, foreign);
            assert_eq!(recency.age(), None, "{foreign}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_is_current_as_of_its_last_majority_also_when_it_has_lost_it() {
        let (recency, (applied, leading, answers)) = one_of_three();
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

    #[tokio::test(start_paused = true)]
    async fn a_copy_ages_while_the_machine_sleeps() {
        let (recency, (applied, _leading, _answers), slept) = one_that_sleeps();
        applied.send_replace(7);
        tokio::time::advance(10 * SECOND).await;
        recency.heard(Current { applied: 7, silence_ms: 0 }, recency.stamp());
        assert_eq!(recency.age(), Some(Duration::ZERO));
        let before = recency.stamp();
        slept.fetch_add(3_600, Ordering::Relaxed);
        tokio::time::advance(SECOND).await;
        assert_eq!(recency.age(), Some(3_601 * SECOND));
        // What was on its way during the night says nothing newer.
        recency.heard(Current { applied: 7, silence_ms: 0 }, before);
        assert_eq!(recency.age(), Some(3_601 * SECOND));
        recency.heard(Current { applied: 7, silence_ms: 0 }, recency.stamp());
        assert_eq!(recency.age(), Some(Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_that_slept_does_not_take_old_answers_for_new() {
        let (recency, (applied, leading, answers), slept) = one_that_sleeps();
        applied.send_replace(3);
        leading.send_replace(Some(Epoch(3)));
        tokio::time::advance(10 * SECOND).await;
        answers.note(NodeId(2), Instant::now());
        assert_eq!(recency.age(), Some(Duration::ZERO));
        slept.fetch_add(3_600, Ordering::Relaxed);
        tokio::time::advance(SECOND).await;
        assert_eq!(recency.age(), Some(3_601 * SECOND));
        let current = recency.as_leader().unwrap();
        assert_eq!(current, Current { applied: 3, silence_ms: 3_601_001 });
    }
}
