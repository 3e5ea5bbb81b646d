//! Says what strangers cause often at most once a second, so that nobody can fill the log by
//! knocking.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

const SAY_EVERY: Duration = Duration::from_secs(1);

/// See the module's documentation. Counters count what is not said.
#[derive(Debug, Default)]
pub(super) struct Quiet(Mutex<Option<(Instant, u64)>>);

impl Quiet {
    /// Whether to say it now, and how many of its kind were not said since the last.
    pub(super) fn says(&self) -> Option<u64> {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *said {
            Some((at, unsaid)) if at.elapsed() < SAY_EVERY => {
                *unsaid += 1;
                None
            }
            before => {
                let unsaid = before.map_or(0, |(_, unsaid)| unsaid);
                *before = Some((Instant::now(), 0));
                Some(unsaid)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_line_a_second_says_how_many_it_stands_for() {
        let quiet = Quiet::default();
        assert_eq!([quiet.says(), quiet.says(), quiet.says()], [Some(0), None, None]);
        tokio::time::advance(SAY_EVERY).await;
        assert_eq!([quiet.says(), quiet.says()], [Some(2), None]);
    }
}
