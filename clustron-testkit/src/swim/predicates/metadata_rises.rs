//! Nobody goes back to older roles and tags.

use std::collections::BTreeMap;

use clustron_core::NodeId;

use crate::sim::{Moment, NodeIndex, Predicate, Violation};
use crate::swim::Member;

/// The revision that one observer has of a node's metadata never falls.
#[derive(Debug, Default)]
pub struct MetadataRises {
    highest: BTreeMap<(NodeIndex, NodeId, NodeId), u64>,
}

impl Predicate<Member> for MetadataRises {
    fn name(&self) -> &str {
        "metadata rises"
    }

    fn check(&mut self, moment: &Moment<'_, Member>) -> Result<(), Violation> {
        let Some((index, member)) = moment.touched() else { return Ok(()) };
        for (node, revision) in member.described() {
            let highest = self.highest.entry((index, member.id(), node)).or_insert(revision);
            if revision < *highest {
                return Err(format!(
                    "{index} went from revision {highest} of {node}'s metadata to {revision}"
                )
                .into());
            }
            *highest = revision;
        }
        Ok(())
    }
}
