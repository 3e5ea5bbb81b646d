//! Every verdict can be explained.

use clustron_core::membership::PeerState;

use crate::sim::{Moment, Predicate, Violation};
use crate::swim::Member;

/// A verdict other than Alive carries evidence.
#[derive(Debug, Default)]
pub struct VerdictsHaveEvidence;

impl Predicate<Member> for VerdictsHaveEvidence {
    fn name(&self) -> &str {
        "verdicts have evidence"
    }

    fn check(&mut self, moment: &Moment<'_, Member>) -> Result<(), Violation> {
        let Some((index, member)) = moment.touched() else { return Ok(()) };
        let unexplained = member
            .verdicts()
            .iter()
            .find(|verdict| verdict.state != PeerState::Alive && verdict.evidence.is_empty());
        match unexplained {
            Some(v) => Err(format!("{index} cannot say why {} is {}", v.node, v.state).into()),
            None => Ok(()),
        }
    }
}
