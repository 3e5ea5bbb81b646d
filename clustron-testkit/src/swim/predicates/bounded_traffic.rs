//! Nobody floods the network, whatever happens.

use std::collections::BTreeMap;
use std::time::Duration;

use clustron_core::NodeId;

use crate::sim::{Moment, NodeIndex, Predicate, Violation};
use crate::swim::Member;

/// How many messages a node sends in any second at most, and how many more per node whose questions
/// may have waited while it did not run. A storm is thousands.
const PER_SECOND: u64 = 300;
const PER_PEER: u64 = 20;

/// The traffic of every node is bounded in every second.
#[derive(Debug, Default)]
pub struct BoundedTraffic {
    windows: BTreeMap<NodeIndex, (NodeId, Duration, u64)>,
}

impl Predicate<Member> for BoundedTraffic {
    fn name(&self) -> &str {
        "traffic is bounded"
    }

    fn check(&mut self, moment: &Moment<'_, Member>) -> Result<(), Violation> {
        let Some((index, member)) = moment.touched() else { return Ok(()) };
        let fresh = (member.id(), moment.now(), member.sent());
        let (id, since, before) = self.windows.entry(index).or_insert(fresh);
        let sent = member.sent();
        if *id != member.id() || sent < *before || moment.now() >= *since + Duration::from_secs(1) {
            (*id, *since, *before) = fresh;
            return Ok(());
        }
        let most = PER_SECOND + PER_PEER * moment.len() as u64;
        if sent - *before > most {
            return Err(format!("{index} has sent {} messages in a second", sent - *before).into());
        }
        Ok(())
    }
}
