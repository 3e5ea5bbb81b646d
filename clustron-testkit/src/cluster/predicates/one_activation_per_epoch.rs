use std::collections::BTreeMap;

use clustron_core::Activation;

use super::{Moment, Predicate};

/// There is at most one leader activation per epoch, whoever reports it, and a node's epochs rise.
#[derive(Debug, Default)]
pub struct OneActivationPerEpoch {
    known: BTreeMap<u64, Activation>,
}

impl Predicate for OneActivationPerEpoch {
    fn name(&self) -> &'static str {
        "one_activation_per_epoch"
    }

    fn check(&mut self, moment: &Moment<'_>) -> Result<(), String> {
        for pair in moment.history.windows(2) {
            if pair[0].epoch >= pair[1].epoch {
                return Err(format!("epoch {} came before {}", pair[0].epoch, pair[1].epoch));
            }
        }
        for activation in moment.history.iter().chain(&moment.status.leader) {
            let epoch = activation.epoch.0;
            let known = self.known.entry(epoch).or_insert_with(|| activation.clone());
            if known != activation {
                return Err(format!("epoch {epoch} began as {known:?} and as {activation:?}"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{activation, moment, status};
    use super::*;
    use crate::cluster::Health;

    fn seen(predicate: &mut OneActivationPerEpoch, history: &[Activation]) -> Result<(), String> {
        predicate.check(&Moment { history, ..moment(&status(1), &Health::default()) })
    }

    #[test]
    fn two_leaders_of_one_epoch_are_caught_and_so_is_a_falling_epoch() {
        let mut predicate = OneActivationPerEpoch::default();
        assert_eq!(seen(&mut predicate, &[activation(3, 1), activation(9, 2)]), Ok(()));
        assert_eq!(seen(&mut predicate, &[activation(9, 2)]), Ok(()));
        assert!(seen(&mut predicate, &[activation(9, 1)]).is_err());
        let mut predicate = OneActivationPerEpoch::default();
        assert!(seen(&mut predicate, &[activation(9, 2), activation(3, 1)]).is_err());
    }
}
