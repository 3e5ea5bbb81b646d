//! Nobody goes back to older news about another.

use std::collections::BTreeMap;

use clustron_core::{Incarnation, NodeId};

use crate::sim::{Moment, NodeIndex, Predicate, Violation};
use crate::swim::Member;

/// The incarnation in which one observer judges a node never falls.
#[derive(Debug, Default)]
pub struct PeersRise {
    highest: BTreeMap<(NodeIndex, NodeId, NodeId), Incarnation>,
    versions: BTreeMap<NodeIndex, u64>,
}

impl Predicate<Member> for PeersRise {
    fn name(&self) -> &str {
        "old news does not count"
    }

    fn check(&mut self, moment: &Moment<'_, Member>) -> Result<(), Violation> {
        let Some((index, member)) = moment.touched() else { return Ok(()) };
        let (id, version) = (member.id(), member.version());
        if self.versions.insert(index, version) != Some(version) {
            // Who was out of the view begins anew with what the view knows, and so does a new life.
            let machine = member.machine();
            let forgotten = |node| version == 0 || machine.state(node).is_none();
            let seen = (index, id, NodeId(0))..=(index, id, NodeId(u64::MAX));
            let gone: Vec<_> = self.highest.range(seen).map(|(key, _)| *key).collect();
            for key in gone.into_iter().filter(|(_, _, node)| forgotten(*node)) {
                self.highest.remove(&key);
            }
        }
        for verdict in member.verdicts() {
            let now = verdict.incarnation;
            let key = (index, member.id(), verdict.node);
            let highest = self.highest.entry(key).or_insert(now);
            if now < *highest {
                let (node, state) = (verdict.node, verdict.state);
                return Err(format!(
                    "{index} takes {node} for {state} as of {now}, after {highest}"
                )
                .into());
            }
            *highest = now;
        }
        Ok(())
    }
}
