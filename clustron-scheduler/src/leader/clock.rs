//! Asks the voters for their clocks, and tells when this node's is not believed.

use std::time::Duration;

use clustron_core::Timestamp;
use futures::StreamExt;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Leader, Lost};
use crate::clock_guard::{ANSWER_MAX, AskClock, Found, Question};

/// What came of a question to the voters.
pub(super) struct Clocks {
    question: Question,
    ahead_ms: Vec<i64>,
    voters: usize,
}

impl Leader {
    /// The time to go by.
    pub(super) fn now(&mut self) -> Timestamp {
        let own = self.clock.now();
        self.guard.now(own, self.began.elapsed())
    }

    /// Waits until the voters have been asked once.
    pub(super) async fn check_clock(&mut self) -> Result<(), Lost> {
        while !self.guard.is_checked() {
            self.now();
            match self.ask_clocks() {
                // Nobody answers if the node shuts down.
                Some(asking) => self.learn_clocks(&asking.await.map_err(|_| Lost)?),
                None => tokio::time::sleep_until(self.began + self.guard.ask_at()).await,
            }
            if self.leadership.is_cancelled() {
                return Err(Lost);
            }
        }
        Ok(())
    }

    /// Asks the voters for their clocks, if it is time to. That goes on by itself, so that what
    /// else the leader is busy with does not count as the way of an answer.
    pub(super) fn ask_clocks(&self) -> Option<oneshot::Receiver<Clocks>> {
        let question = self.guard.question(self.began.elapsed())?;
        let voters = self.cluster.status().voters;
        let (cluster, clock, me) =
            (self.cluster.clone(), self.clock.clone(), self.cluster.node().id);
        let count = voters.len();
        let others = voters.into_iter().filter(move |voter| *voter != me);
        let asks = others.map(move |voter| {
            let (cluster, clock) = (cluster.clone(), clock.clone());
            async move {
                let sent = Instant::now();
                let theirs = cluster.request(voter, &AskClock, ANSWER_MAX).await.ok()?;
                let took = sent.elapsed();
                // They looked some time between the question and the answer.
                let half_ms = i64::try_from(took.as_millis() / 2).ok()?;
                let then_ms = clock.now().unix_ms().saturating_sub(half_ms);
                // The limit of the request is only noticed by a machine that is not too busy.
                (took <= ANSWER_MAX).then(|| theirs.unix_ms().saturating_sub(then_ms))
            }
        });
        let answers = futures::stream::iter(asks).buffer_unordered(count.max(1));
        let (answer, answered) = oneshot::channel();
        self.cluster.spawn("scheduler: ask for clocks", async move {
            let ahead_ms = answers.filter_map(std::future::ready).collect().await;
            // The leader may have ended.
            let _ = answer.send(Clocks { question, ahead_ms, voters: count });
        });
        Some(answered)
    }

    pub(super) fn learn_clocks(&mut self, clocks: &Clocks) {
        self.now();
        let (passed, voters) = (self.began.elapsed(), clocks.voters);
        match self.guard.learn(clocks.question, &clocks.ahead_ms, voters, passed) {
            Some(Found::Apart(ahead_ms)) => {
                let was = self.metrics.clock_apart_ms.set(ahead_ms);
                if was.abs_diff(ahead_ms) > Duration::from_secs(1).as_millis() as u64 {
                    tracing::error!(
                        ahead_ms,
                        voters,
                        "this node's clock is far from the median of the voters' clocks; jobs go by \
                         the median: set this clock right"
                    );
                }
            }
            Some(Found::Good) if self.metrics.clock_apart_ms.set(0) != 0 => {
                tracing::info!("this node's clock agrees with the voters' again");
            }
            Some(Found::Good) | None => {}
        }
    }
}
