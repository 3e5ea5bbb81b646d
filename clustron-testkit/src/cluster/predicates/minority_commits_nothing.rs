use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use clustron_core::NodeId;

use super::{Moment, Predicate};

/// How long after a cut, or the end of a node, what was on its way may still arrive and be applied.
const UNDER_WAY: Duration = Duration::from_secs(2);

/// Where nothing connects a group of nodes to the others, and no node of it knows of voters of
/// which the group has a majority, it applies nothing that one of them had not applied already.
#[derive(Debug, Default)]
pub struct MinorityCommitsNothing {
    /// By host: its life, what it had applied, and who votes as far as it knows.
    known: BTreeMap<String, (u32, u64, BTreeSet<NodeId>)>,
}

impl Predicate for MinorityCommitsNothing {
    fn name(&self) -> &'static str {
        "minority_commits_nothing"
    }

    fn check(&mut self, moment: &Moment<'_>) -> Result<(), String> {
        let island = moment.health.island(moment.host);
        let cut_off_for = moment.at.saturating_sub(moment.health.calm_since());
        let here = || self.known.iter().filter(|(host, _)| island.contains(*host));
        let lacks_majority = |voters| !moment.health.has_majority(&island, voters);
        let is_minority = here().all(|(_, (_, _, voters))| lacks_majority(voters))
            && lacks_majority(&moment.status.voters);
        let highest = here().map(|(_, (_, applied, _))| *applied).max().unwrap_or(0);
        let applied = moment.applied_index;
        if is_minority && cut_off_for > UNDER_WAY && applied > highest {
            return Err(format!(
                "applied {applied} after {highest}, {cut_off_for:?} after {island:?} were cut off"
            ));
        }
        let now = (moment.life, applied, moment.status.voters.clone());
        self.known.insert(moment.host.to_owned(), now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{moment, status};
    use super::*;
    use crate::cluster::Health;

    #[test]
    fn progress_of_a_minority_is_caught_and_that_of_a_majority_is_not() {
        let hosts = ["a", "b", "c"].map(str::to_owned);
        let mut health = Health::default();
        health.running = hosts.iter().cloned().zip((1..).map(NodeId)).collect();
        let open = |a: &str, b: &str| (a == "c") == (b == "c");
        health.look(Duration::from_secs(10), &hosts, open, open);
        let mut predicate = MinorityCommitsNothing::default();
        let mut seen = |host, applied_index, seconds| {
            let mut status = status(1);
            status.voters = (1..4).map(NodeId).collect();
            predicate.check(&Moment {
                at: Duration::from_secs(seconds),
                host,
                applied_index,
                ..moment(&status, &health)
            })
        };
        assert_eq!(seen("c", 5, 11), Ok(()));
        assert_eq!(seen("c", 6, 12), Ok(()), "it was on its way");
        assert_eq!(seen("a", 9, 20), Ok(()));
        assert_eq!(seen("b", 9, 20), Ok(()));
        assert!(seen("c", 7, 20).unwrap_err().contains("applied 7 after 6"));
    }

    #[test]
    fn what_a_node_sent_before_it_ended_may_still_be_applied() {
        let hosts = ["a", "b"].map(str::to_owned);
        let mut health = Health::default();
        health.running = hosts.iter().cloned().zip((1..).map(NodeId)).collect();
        health.look(Duration::ZERO, &hosts, |_, _| true, |_, _| true);
        health.running.remove("b");
        health.goes(Duration::from_secs(20), "b", NodeId(2));
        let mut predicate = MinorityCommitsNothing::default();
        let mut seen = |applied_index, ms| {
            let mut status = status(1);
            status.voters = (1..3).map(NodeId).collect();
            predicate.check(&Moment {
                at: Duration::from_millis(ms),
                applied_index,
                ..moment(&status, &health)
            })
        };
        assert_eq!(seen(5, 20_001), Ok(()));
        assert_eq!(seen(6, 20_008), Ok(()));
        assert!(seen(7, 22_001).is_err());
    }
}
