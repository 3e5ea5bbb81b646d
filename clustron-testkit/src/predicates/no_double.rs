use std::collections::BTreeMap;

use clustron_core::Timestamp;

use super::Violation;
use crate::{Entry, Ledger};

/// No tick ran twice: there is at most one line for each job and scheduled instant.
///
/// Execution is at least once, so this holds only while no worker is lost between doing the work
/// and reporting it, or where the ledger itself refuses tokens that it has passed.
///
/// # Errors
///
/// All lines of every tick that has more than one, tick by tick.
pub fn no_double(ledger: &Ledger) -> Result<(), Violation> {
    let mut ticks: BTreeMap<(&str, Timestamp), Vec<(usize, &Entry)>> = BTreeMap::new();
    for (number, entry) in ledger.numbered() {
        ticks.entry((&entry.job, entry.scheduled)).or_default().push((number, entry));
    }
    ticks.retain(|_, lines| lines.len() > 1);
    let Some(((job, scheduled), lines)) = ticks.first_key_value() else {
        return Ok(());
    };
    Err(Violation {
        predicate: "no_double",
        summary: format!(
            "{} ticks ran more than once, the first is {job} for {scheduled} with {} runs",
            ticks.len(),
            lines.len()
        ),
        lines: ticks.values().flatten().map(|(number, e)| (*number, (*e).clone())).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ledger, numbers};
    use super::*;

    #[test]
    fn one_line_for_each_tick_holds() {
        assert_eq!(no_double(&ledger(&[])), Ok(()));
        assert_eq!(no_double(&ledger(&[("a", 1, 1), ("b", 1, 1), ("a", 2, 2)])), Ok(()));
    }

    #[test]
    fn a_tick_that_ran_twice_is_caught() {
        let runs = [("a", 1, 1), ("b", 1, 1), ("a", 2, 2), ("b", 1, 5), ("a", 1, 6)];
        let violation = no_double(&ledger(&runs)).unwrap_err();
        assert_eq!(numbers(&violation), [1, 5, 2, 4]);
        assert!(violation.summary.starts_with("2 ticks ran more than once"), "{violation}");
    }
}
