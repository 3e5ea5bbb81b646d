use std::collections::BTreeMap;

use super::Violation;
use crate::{Entry, Ledger};

/// For each job no line has a lower token than a line before it: late work of a node that lost its
/// claim was refused.
///
/// # Errors
///
/// For each line that falls below the highest token before it: the line with that token, then the
/// falling line.
pub fn tokens_never_fall(ledger: &Ledger) -> Result<(), Violation> {
    let mut highest: BTreeMap<&str, (usize, &Entry)> = BTreeMap::new();
    let mut falls: Vec<[(usize, &Entry); 2]> = Vec::new();
    for line in ledger.numbered() {
        let top = highest.entry(&line.1.job).or_insert(line);
        if line.1.token < top.1.token {
            falls.push([*top, line]);
        } else {
            *top = line;
        }
    }
    let Some([(_, high), (_, low)]) = falls.first() else {
        return Ok(());
    };
    Err(Violation {
        predicate: "tokens_never_fall",
        summary: format!(
            "{} lines fall, the first is {} from token {} to {}",
            falls.len(),
            low.job,
            high.token,
            low.token
        ),
        lines: falls.iter().flatten().map(|(number, e)| (*number, (*e).clone())).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ledger, numbers};
    use super::*;

    #[test]
    fn equal_and_rising_tokens_hold_for_each_job_alone() {
        let ledger = ledger(&[("a", 1, 5), ("b", 1, 2), ("a", 1, 5), ("b", 2, 3), ("a", 2, 9)]);
        assert_eq!(tokens_never_fall(&ledger), Ok(()));
    }

    #[test]
    fn a_late_line_is_caught_together_with_the_line_that_overtook_it() {
        let ledger = ledger(&[("a", 1, 5), ("a", 2, 9), ("a", 1, 6), ("a", 1, 7), ("a", 3, 10)]);
        let violation = tokens_never_fall(&ledger).unwrap_err();
        assert_eq!(numbers(&violation), [2, 3, 2, 4]);
        let summary = "2 lines fall, the first is a from token 9 to 6";
        assert_eq!(violation.summary, summary);
    }
}
