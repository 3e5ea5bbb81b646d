//! Callers that propose all the time, and what must hold for what they were told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clustron_core::{Outcome, Replicated};
use tokio::task::JoinHandle;

use crate::world::{Member, Tally, within};

/// How long a caller tries to get one number in.
const DEADLINE: Duration = Duration::from_secs(5);

/// Callers tell each other's numbers apart by this, and runs on one cluster by the time.
static RUNS: AtomicU64 = AtomicU64::new(1);

/// One caller on each of some nodes. Each proposes one number after the other, again where it
/// certainly was not applied.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    callers: Vec<JoinHandle<Calls>>,
}

/// What one caller was told.
#[derive(Default)]
struct Calls {
    /// Each acknowledged number, and when.
    acknowledged: Vec<(u64, Instant)>,
    failed: Vec<String>,
}

impl Load {
    /// Starts a caller on each of these nodes.
    pub(crate) fn start(nodes: &[&Member]) -> Self {
        let tallies: Vec<_> = nodes.iter().map(|node| node.tally.clone()).collect();
        let (stop, acknowledged) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let callers = tallies.into_iter().map(|tally| {
            let first = RUNS.fetch_add(1, Ordering::Relaxed) << 32;
            tokio::spawn(call(tally, first, stop.clone(), acknowledged.clone()))
        });
        Self { callers: callers.collect(), stop, acknowledged }
    }

    /// Waits until so many more numbers were acknowledged than at the call.
    pub(crate) async fn until_acknowledged(&self, more: u64) {
        let wanted = self.acknowledged.load(Ordering::Relaxed) + more;
        within("the load goes on", async {
            while self.acknowledged.load(Ordering::Relaxed) < wanted {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Ends the callers. No call may have failed, and everything acknowledged must be there, once.
    /// Gives the longest time between two acknowledgements of one caller.
    pub(crate) async fn finish(self, node: &Member) -> Duration {
        self.stop.store(true, Ordering::Relaxed);
        let numbers = async {
            let mut all = vec![];
            for caller in self.callers {
                all.push(caller.await.expect("no caller panics"));
            }
            all
        };
        let calls = within("the end of the load", numbers).await;
        let there = node.numbers_now().await;
        let mut longest = Duration::ZERO;
        for Calls { acknowledged, failed } in calls {
            assert!(failed.is_empty(), "calls failed: {failed:?}");
            for (number, _) in &acknowledged {
                let times = there.iter().filter(|it| *it == number).count();
                assert_eq!(times, 1, "{number} was acknowledged once");
            }
            let gaps = acknowledged.windows(2).map(|pair| pair[1].1 - pair[0].1);
            longest = longest.max(gaps.max().unwrap_or_default());
        }
        longest
    }
}

async fn call(
    tally: Replicated<Tally>,
    first: u64,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
) -> Calls {
    let mut calls = Calls::default();
    let mut pace = tokio::time::interval(Duration::from_millis(2));
    for number in first.. {
        pace.tick().await;
        let until = Instant::now() + DEADLINE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match tally.propose(&number, left).await {
                Ok(_) => {
                    calls.acknowledged.push((number, Instant::now()));
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                    break;
                }
                Err(error) if error.outcome() == Outcome::NotApplied && !left.is_zero() => {}
                Err(error) => {
                    calls.failed.push(format!("{number}: {error}"));
                    break;
                }
            }
        }
        if stop.load(Ordering::Relaxed) || !calls.failed.is_empty() {
            break;
        }
    }
    calls
}
