//! Nobody speaks with a lower incarnation than before, not even after a restart.

use std::collections::BTreeMap;

use clustron_core::{Incarnation, NodeId};

use crate::sim::{Moment, Predicate, Violation};
use crate::swim::Member;

/// A node's own incarnation never falls, and every life under one identity begins with a higher
/// one.
#[derive(Debug, Default)]
pub struct IncarnationsRise {
    highest: BTreeMap<NodeId, Incarnation>,
}

impl Predicate<Member> for IncarnationsRise {
    fn name(&self) -> &str {
        "incarnations rise"
    }

    fn check(&mut self, moment: &Moment<'_, Member>) -> Result<(), Violation> {
        let Some((index, member)) = moment.touched() else { return Ok(()) };
        let now = member.machine().incarnation();
        let highest = self.highest.entry(member.id()).or_insert(now);
        if now < *highest {
            return Err(format!("{index} went from incarnation {highest} to {now}").into());
        }
        *highest = now;
        Ok(())
    }
}
