use std::collections::BTreeMap;

use super::{Moment, Predicate};

/// Committed entries never change: nodes that have applied the same command last hold the same
/// state. Needs a watched state, see
/// [`SimBuilder::watch_state`](crate::cluster::SimBuilder::watch_state).
#[derive(Debug, Default)]
pub struct SameIndexSameState {
    /// By log index: the digest, and who had it first.
    known: BTreeMap<u64, (u64, String)>,
}

impl Predicate for SameIndexSameState {
    fn name(&self) -> &'static str {
        "same_index_same_state"
    }

    fn check(&mut self, moment: &Moment<'_>) -> Result<(), String> {
        let Some((index, digest)) = moment.state else { return Ok(()) };
        let me = || (digest, format!("{}#{}", moment.host, moment.life));
        let (known, whose) = self.known.entry(index).or_insert_with(me);
        if *known != digest {
            return Err(format!(
                "at index {index} the state has digest {digest:016x}, at {whose} it had {known:016x}"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{moment, status};
    use super::*;
    use crate::cluster::Health;

    #[test]
    fn two_states_at_one_index_are_caught() {
        let mut predicate = SameIndexSameState::default();
        let mut seen = |host, state| {
            predicate.check(&Moment { host, state, ..moment(&status(1), &Health::default()) })
        };
        assert_eq!(seen("a", Some((5, 77))), Ok(()));
        assert_eq!(seen("b", Some((5, 77))), Ok(()));
        assert_eq!(seen("b", Some((6, 78))), Ok(()));
        assert_eq!(seen("c", None), Ok(()));
        assert!(seen("a", Some((6, 79))).unwrap_err().contains("at b#1"));
    }
}
