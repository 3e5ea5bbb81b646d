use std::collections::BTreeMap;

use super::{Moment, Predicate};

/// As long as a node lives, its epoch, the version of its view and the index up to which it has
/// applied the log never fall.
#[derive(Debug, Default)]
pub struct EpochAndViewNeverFall {
    highest: BTreeMap<(String, u32), [u64; 3]>,
}

impl Predicate for EpochAndViewNeverFall {
    fn name(&self) -> &'static str {
        "epoch_and_view_never_fall"
    }

    fn check(&mut self, moment: &Moment<'_>) -> Result<(), String> {
        let epoch = moment.history.last().map_or(0, |latest| latest.epoch.0);
        let now = [epoch, moment.status.view.version(), moment.applied_index];
        let highest = self.highest.entry((moment.host.to_owned(), moment.life)).or_default();
        for (what, (now, highest)) in ["the epoch", "the view's version", "the applied index"]
            .iter()
            .zip(now.iter().zip(highest))
        {
            if now < highest {
                return Err(format!("{what} fell from {highest} to {now}"));
            }
            *highest = *now;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{activation, moment, status};
    use super::*;
    use crate::cluster::Health;

    #[test]
    fn a_falling_number_is_caught_within_one_life_only() {
        let mut predicate = EpochAndViewNeverFall::default();
        let mut seen = |life, epoch, applied_index| {
            predicate.check(&Moment {
                life,
                applied_index,
                history: &[activation(epoch, 1)],
                ..moment(&status(1), &Health::default())
            })
        };
        assert_eq!(seen(1, 3, 10), Ok(()));
        assert_eq!(seen(1, 9, 10), Ok(()));
        assert_eq!(seen(1, 9, 9), Err("the applied index fell from 10 to 9".to_owned()));
        assert_eq!(seen(1, 8, 10), Err("the epoch fell from 9 to 8".to_owned()));
        assert_eq!(seen(2, 1, 1), Ok(()), "another life begins anew");
    }
}
