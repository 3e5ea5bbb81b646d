//! Many callers, each of which makes one call after the other: a closed loop.

use std::time::Duration;

use clustron_benches::Latencies;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// For how long callers call.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Span {
    /// At first nothing is counted.
    pub(crate) warm_up: Duration,
    /// What is answered in this time after it is.
    pub(crate) length: Duration,
}

/// What the callers got answered.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Answered {
    /// How long each counted call took.
    pub(crate) latencies: Latencies,
    /// The highest place in the log of any of them.
    pub(crate) index_max: u64,
}

impl Answered {
    /// Adds what other callers got answered.
    pub(crate) fn add(&mut self, other: &Self) {
        self.latencies.add(&other.latencies);
        self.index_max = self.index_max.max(other.index_max);
    }
}

/// Has all callers call. A call gives its place in the log, or zero if it does not say.
///
/// # Errors
/// That of the first call that fails; none of the others is made any more.
pub(crate) async fn call_on<C, F>(callers: Vec<C>, span: Span) -> anyhow::Result<Answered>
where
    C: FnMut() -> F + Send + 'static,
    F: Future<Output = anyhow::Result<u64>> + Send,
{
    let from = Instant::now() + span.warm_up;
    let until = from + span.length;
    let mut calling = JoinSet::new();
    for mut call in callers {
        calling.spawn(async move {
            let mut mine = Answered::default();
            loop {
                let called = Instant::now();
                if called >= until {
                    return anyhow::Ok(mine);
                }
                let index = call().await?;
                let answered = Instant::now();
                if (from..until).contains(&answered) {
                    mine.latencies.record(answered - called);
                }
                mine.index_max = mine.index_max.max(index);
            }
        });
    }
    let mut all = Answered::default();
    while let Some(ended) = calling.join_next().await {
        all.add(&ended??);
    }
    Ok(all)
}

/// How many of all callers are at each of so many nodes: as equal as can be.
pub(crate) fn shares(callers: u32, nodes: u32) -> impl Iterator<Item = u32> {
    (0..nodes).map(move |at| callers / nodes + u32::from(at < callers % nodes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Span =
        Span { warm_up: Duration::from_millis(100), length: Duration::from_millis(1000) };

    #[tokio::test(start_paused = true)]
    async fn calls_are_counted_from_the_end_of_the_warm_up_and_only_while_it_lasts() {
        let pace = Duration::from_millis(10);
        let caller = |first: u64| {
            let mut index = first;
            move || {
                index += 1;
                let at = Instant::now() + pace;
                async move {
                    tokio::time::sleep_until(at).await;
                    Ok(index)
                }
            }
        };
        let answered = call_on(vec![caller(0), caller(1000)], SPAN).await.unwrap();
        // The clock of tokio counts milliseconds, so that some calls take eleven.
        let count = answered.latencies.count();
        assert!((182..=200).contains(&count), "{count}");
        assert!(answered.index_max > 1000 + 95, "{}", answered.index_max);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_fails_ends_them_all() {
        let caller = || async { anyhow::bail!("no majority") };
        let error = call_on(vec![caller], SPAN).await.unwrap_err();
        assert_eq!(error.to_string(), "no majority");
    }

    #[test]
    fn shares_differ_by_one_at_most() {
        assert_eq!(shares(256, 3).collect::<Vec<_>>(), [86, 85, 85]);
        assert_eq!(shares(2, 3).collect::<Vec<_>>(), [1, 1, 0]);
    }
}
