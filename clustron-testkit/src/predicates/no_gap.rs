use std::collections::BTreeSet;

use clustron_core::Timestamp;

use super::Violation;
use crate::Ledger;

/// Every instant in `expected` has a line of `job`. Lines for other instants and jobs do not
/// matter, so `expected` may leave out the ticks at the edges of a test.
///
/// # Errors
///
/// The missing instants are in the summary; the lines are the job's nearest runs before and after
/// the first gap.
pub fn no_gap(ledger: &Ledger, job: &str, expected: &[Timestamp]) -> Result<(), Violation> {
    let ran: BTreeSet<Timestamp> =
        ledger.entries().iter().filter(|e| e.job == job).map(|e| e.scheduled).collect();
    let missing: BTreeSet<Timestamp> =
        expected.iter().copied().filter(|instant| !ran.contains(instant)).collect();
    let Some(first) = missing.first() else {
        return Ok(());
    };
    let neighbours = [ran.range(..first).next_back(), ran.range(first..).next()];
    let near = |scheduled| neighbours.contains(&Some(scheduled));
    Err(Violation {
        predicate: "no_gap",
        summary: format!(
            "{job} did not run for {} of {} expected instants: {}",
            missing.len(),
            expected.len(),
            shown(&missing)
        ),
        lines: ledger
            .numbered()
            .filter(|(_, entry)| entry.job == job && near(&entry.scheduled))
            .map(|(number, entry)| (number, entry.clone()))
            .collect(),
    })
}

fn shown(missing: &BTreeSet<Timestamp>) -> String {
    const SHOWN: usize = 20;
    let mut list: Vec<String> = missing.iter().take(SHOWN).map(Timestamp::to_string).collect();
    if missing.len() > SHOWN {
        list.push(format!("and {} more", missing.len() - SHOWN));
    }
    list.join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, ledger, numbers};
    use super::*;

    #[test]
    fn a_full_ledger_holds_in_any_order() {
        let ledger = ledger(&[("a", 3, 3), ("a", 1, 1), ("a", 2, 2), ("a", 9, 9)]);
        assert_eq!(no_gap(&ledger, "a", &[at(1), at(2), at(3)]), Ok(()));
    }

    #[test]
    fn a_missing_instant_is_caught_with_its_neighbours() {
        let ledger = ledger(&[("a", 1, 1), ("a", 2, 2), ("b", 3, 3), ("a", 5, 5), ("a", 6, 6)]);
        let expected = [1, 2, 3, 4, 5].map(at);
        let violation = no_gap(&ledger, "a", &expected).unwrap_err();
        assert_eq!(numbers(&violation), [2, 4]);
        let summary = "a did not run for 2 of 5 expected instants: \
                       1970-01-01T00:00:03.000Z, 1970-01-01T00:00:04.000Z";
        assert_eq!(violation.summary, summary);
    }

    #[test]
    fn a_job_that_never_ran_is_caught() {
        let violation = no_gap(&ledger(&[]), "a", &[at(1)]).unwrap_err();
        assert!(violation.lines.is_empty(), "{violation}");
    }
}
