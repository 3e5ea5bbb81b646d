//! What several sources said last, and when to ask each again, as a plain value.
//!
//! Like an address book that is kept from several people's word: who does not pick up the phone is
//! called again after a while, longer each time, and until then what was last heard of them stays
//! written down.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{DiscoveryError, Found, LOOK_AGAIN_MAX, LOOK_AGAIN_MIN};

/// How long a source that failed is left alone at first, and at most.
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
struct Source {
    /// Its last good answer.
    known: Vec<String>,
    /// How often it has failed since then.
    failures: u32,
    /// Why it failed last, if it did.
    failed: Option<DiscoveryError>,
}

/// What to do after an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Next {
    /// After how long to ask the source again; `None`: only when it says that it has changed.
    pub(super) again_in: Option<Duration>,
    /// Whether people have not been told of this outcome yet.
    pub(super) is_news: bool,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Answers {
    /// Addresses that the node was configured with; they come first.
    fixed: Vec<String>,
    sources: Vec<Source>,
}

impl Answers {
    /// Nothing is known yet of this many sources.
    pub(super) fn new(fixed: Vec<String>, sources: usize) -> Self {
        Self { fixed, sources: (0..sources).map(|_| Source::default()).collect() }
    }

    /// Takes in what a source says, by its place.
    ///
    /// # Panics
    /// When there is no such source.
    pub(super) fn heard(&mut self, source: usize, answer: Result<Found, DiscoveryError>) -> Next {
        let source = &mut self.sources[source];
        match answer {
            Ok(found) => {
                let is_news = source.failed.take().is_some() || source.known != found.addresses;
                (source.known, source.failures) = (found.addresses, 0);
                let again_in = found.again_in.map(|t| t.clamp(LOOK_AGAIN_MIN, LOOK_AGAIN_MAX));
                Next { again_in, is_news }
            }
            Err(error) => {
                let is_news = source.failed.as_ref() != Some(&error);
                let pause = RETRY_FIRST.saturating_mul(1 << source.failures.min(10)).min(RETRY_MAX);
                source.failures = source.failures.saturating_add(1);
                source.failed = Some(error);
                Next { again_in: Some(pause), is_news }
            }
        }
    }

    /// All addresses that are known, each once: the configured ones, then each source's in its
    /// order.
    pub(super) fn addresses(&self) -> Vec<String> {
        let all = self.fixed.iter().chain(self.sources.iter().flat_map(|source| &source.known));
        let mut seen = BTreeSet::new();
        all.filter(|address| seen.insert(address.as_str())).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(reason: &str) -> Result<Found, DiscoveryError> {
        Err(DiscoveryError::new("test", reason, "mend it"))
    }

    fn again_in(next: &Next) -> u128 {
        next.again_in.expect("it is asked again").as_millis()
    }

    #[test]
    fn addresses_are_the_union_in_order_each_once() {
        let mut answers = Answers::new(vec!["x:1".into(), "b:1".into(), "x:1".into()], 2);
        assert_eq!(answers.addresses(), ["x:1", "b:1"]);
        answers.heard(1, Ok(Found::new(["c:1", "a:1"])));
        answers.heard(0, Ok(Found::new(["a:1", "b:1"])));
        assert_eq!(answers.addresses(), ["x:1", "b:1", "a:1", "c:1"]);
        answers.heard(0, Ok(Found::new(Vec::<String>::new())));
        assert_eq!(answers.addresses(), ["x:1", "b:1", "c:1", "a:1"]);
    }

    #[test]
    fn a_source_that_fails_keeps_its_last_good_answer() {
        let mut answers = Answers::new(vec![], 2);
        answers.heard(0, Ok(Found::new(["a:1"])));
        answers.heard(1, Ok(Found::new(["b:1"])));
        for _ in 0..100 {
            answers.heard(0, broken("gone"));
            assert_eq!(answers.addresses(), ["a:1", "b:1"]);
        }
        answers.heard(0, Ok(Found::new(["c:1"])));
        assert_eq!(answers.addresses(), ["c:1", "b:1"]);
    }

    #[test]
    fn pauses_after_failures_double_up_to_ten_seconds_and_begin_anew_after_a_success() {
        let mut answers = Answers::new(vec![], 2);
        let mut fail = |source| again_in(&answers.heard(source, broken("gone")));
        let pauses: Vec<u128> = (0..8).map(|_| fail(0)).collect();
        assert_eq!(pauses, [200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        assert_eq!(fail(1), 200, "each source has pauses of its own");
        (0..100).for_each(|_| assert_eq!(fail(0), 10_000));
        answers.heard(0, Ok(Found::new(["a:1"])));
        assert_eq!(again_in(&answers.heard(0, broken("gone"))), 200);
    }

    #[test]
    fn a_source_is_asked_again_when_it_says_but_not_too_soon_nor_too_late() {
        let mut answers = Answers::new(vec![], 1);
        for (said, asked) in [(0, 1000), (999, 1000), (5000, 5000), (60_001, 60_000)] {
            let found = Found::new(["a:1"]).again_in(Duration::from_millis(said));
            assert_eq!(again_in(&answers.heard(0, Ok(found))), asked, "{said}");
        }
        assert_eq!(answers.heard(0, Ok(Found::new(["a:1"]))).again_in, None);
    }

    #[test]
    fn people_are_told_once_of_each_outcome() {
        let mut answers = Answers::new(vec![], 1);
        let found = || Ok(Found::new(["a:1"]));
        let outcomes = [
            (found(), true),
            (found(), false),
            (broken("gone"), true),
            (broken("gone"), false),
            (broken("empty"), true),
            (found(), true),
            (found(), false),
        ];
        for (at, (outcome, is_news)) in outcomes.into_iter().enumerate() {
            assert_eq!(answers.heard(0, outcome).is_news, is_news, "outcome {at}");
        }
    }
}
