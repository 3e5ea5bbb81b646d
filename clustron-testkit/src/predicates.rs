//! The promises that a ledger can break, one file each.
//!
//! A predicate reads a whole [`Ledger`] and either holds or gives a [`Violation`] that lists the
//! offending lines.

mod no_double;
mod no_gap;
mod tokens_never_fall;

pub use no_double::no_double;
pub use no_gap::no_gap;
pub use tokens_never_fall::tokens_never_fall;

use std::fmt;

use crate::Entry;
#[cfg(doc)]
use crate::Ledger;

/// How many of the offending lines the message shows; all are in [`Violation::lines`].
const LINES_SHOWN: usize = 40;

/// A promise was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The name of the predicate.
    pub predicate: &'static str,
    /// What is wrong, in a few words, with the first case.
    pub summary: String,
    /// The offending lines with their numbers, in the order in which they tell the story.
    pub lines: Vec<(usize, Entry)>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.predicate, self.summary)?;
        for (number, entry) in self.lines.iter().take(LINES_SHOWN) {
            write!(f, "\n    line {number}: {entry}")?;
        }
        match self.lines.len().saturating_sub(LINES_SHOWN) {
            0 => Ok(()),
            more => write!(f, "\n    and {more} more"),
        }
    }
}

impl std::error::Error for Violation {}

#[cfg(test)]
mod testing {
    use clustron_core::{Epoch, FencingToken, Timestamp};

    use crate::{Entry, Ledger};

    /// A ledger of `(job, scheduled in seconds, token)`.
    pub(super) fn ledger(runs: &[(&str, i64, u64)]) -> Ledger {
        let mut text = String::new();
        for (job, seconds, token) in runs {
            let scheduled = at(*seconds);
            let entry = Entry {
                job: (*job).to_owned(),
                scheduled,
                token: FencingToken(*token),
                node: "a".to_owned(),
                epoch: Epoch(1),
                attempt: 1,
                at: scheduled,
            };
            text += &(serde_json::to_string(&entry).unwrap() + "\n");
        }
        Ledger::parse(&text).unwrap()
    }

    pub(super) fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_ms(seconds * 1000)
    }

    /// The line numbers of a violation.
    pub(super) fn numbers(violation: &super::Violation) -> Vec<usize> {
        violation.lines.iter().map(|(number, _)| *number).collect()
    }

    #[test]
    fn a_violation_shows_its_first_lines_and_counts_the_rest() {
        let runs = vec![("bill", 1, 1); 45];
        let text = crate::predicates::no_double(&ledger(&runs)).unwrap_err().to_string();
        assert!(text.starts_with("no_double: "), "{text}");
        assert!(text.contains("\n    line 40: bill for 1970-01-01T00:00:01.000Z"), "{text}");
        assert!(text.ends_with("\n    and 5 more"), "{text}");
    }
}
