//! Nobody goes back to an older view.

use std::collections::BTreeMap;

use crate::sim::{Moment, NodeIndex, Predicate, Violation};
use crate::swim::Member;

/// The version of a node's view never falls within one life.
#[derive(Debug, Default)]
pub struct ViewsRise {
    highest: BTreeMap<NodeIndex, (clustron_core::NodeId, u64)>,
}

impl Predicate<Member> for ViewsRise {
    fn name(&self) -> &str {
        "views rise"
    }

    fn check(&mut self, moment: &Moment<'_, Member>) -> Result<(), Violation> {
        let Some((index, member)) = moment.touched() else { return Ok(()) };
        let now = (member.id(), member.version());
        let before = self.highest.insert(index, now);
        // Zero is a new life.
        match before {
            Some(before) if before.0 == now.0 && now.1 < before.1 && now.1 > 0 => {
                Err(format!("{index} went from view {} to {}", before.1, now.1).into())
            }
            _ => Ok(()),
        }
    }
}
