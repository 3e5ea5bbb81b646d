//! Who was taken for gone comes back only with a higher incarnation.

use std::collections::BTreeMap;

use clustron_core::membership::PeerState;
use clustron_core::{Incarnation, NodeId};

use crate::sim::{Moment, NodeIndex, Predicate, Violation};
use crate::swim::Member;

/// After Suspect, Down or Left a node is Alive to the same observer only in a higher incarnation.
#[derive(Debug, Default)]
pub struct DeadStayDead {
    /// By observer, in which of its lives, and by whom it is about.
    against: BTreeMap<(NodeIndex, NodeId, NodeId), Incarnation>,
}

impl Predicate<Member> for DeadStayDead {
    fn name(&self) -> &str {
        "the dead stay dead"
    }

    fn check(&mut self, moment: &Moment<'_, Member>) -> Result<(), Violation> {
        let Some((index, member)) = moment.touched() else { return Ok(()) };
        for verdict in member.verdicts() {
            let key = (index, member.id(), verdict.node);
            if verdict.state != PeerState::Alive {
                self.against.insert(key, verdict.incarnation);
            } else if let Some(against) = self.against.get(&key)
                && verdict.incarnation <= *against
            {
                return Err(format!(
                    "{index} takes {} for alive again as incarnation {}, and held {against} against it",
                    verdict.node, verdict.incarnation
                )
                .into());
            }
        }
        Ok(())
    }
}
