use std::collections::BTreeSet;
use std::time::Duration;

use clustron_core::{NodeId, NodeState};

use super::{Moment, Predicate};

/// For how long after a fault its victim may still be put out because of it: longer than suspicion,
/// the leader's last look and the commit take together.
const GRACE: Duration = Duration::from_secs(15);

/// How many others must be well too, so that whoever accuses a node has somebody to ask.
const WITNESSES: usize = 2;

/// A node is committed as down only if, shortly before, it did not run or could not talk to a
/// majority of the hosts both ways and well. So a node that only the leader cannot reach, or that
/// is the middle of a bridge, stays in, as long as two others were well too.
#[derive(Debug, Default)]
pub struct NoHealthyNodeIsRemoved {
    /// Removals that have been looked at, by node and log index.
    known: BTreeSet<(NodeId, u64)>,
}

impl Predicate for NoHealthyNodeIsRemoved {
    fn name(&self) -> &'static str {
        "no_healthy_node_is_removed"
    }

    fn check(&mut self, moment: &Moment<'_>) -> Result<(), String> {
        for record in moment.status.view.nodes().filter(|r| r.state == NodeState::Down) {
            if !self.known.insert((record.info.id, record.since)) {
                continue;
            }
            let running = moment.health.running.iter().find(|(_, id)| **id == record.info.id);
            let Some((host, _)) = running else { continue };
            let well = |host: &String| !moment.health.was_hindered(host, moment.at, GRACE);
            let others = moment.health.running.keys().filter(|other| *other != host);
            if well(host) && others.filter(|other| well(other)).count() >= WITNESSES {
                let (node, reason) = (&record.info, &record.reason);
                return Err(format!("{node} is healthy and was put out: {reason}"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{moment, status, view_of_one};
    use super::*;
    use crate::cluster::Health;

    fn seen(health: &Health) -> Result<(), String> {
        let mut status = status(2);
        status.view = view_of_one("a", "Down", "no answer");
        NoHealthyNodeIsRemoved::default().check(&Moment {
            at: Duration::from_secs(100),
            host: "b",
            applied_index: 9,
            ..moment(&status, health)
        })
    }

    #[test]
    fn a_removal_is_caught_unless_the_node_or_its_witnesses_were_in_trouble() {
        let hosts = ["a", "b", "c"].map(str::to_owned);
        let mut health = Health::default();
        health.running = hosts.iter().cloned().zip((1..).map(NodeId)).collect();
        let open = |_: &str, _: &str| true;
        health.look(Duration::from_secs(1), &hosts, open, open);
        assert!(seen(&health).unwrap_err().contains("is healthy and was put out: no answer"));
        for alone in ["a", "c"] {
            let mut health = health.clone();
            let open = |a: &str, b: &str| a != alone && b != alone;
            health.look(Duration::from_secs(99), &hosts, open, open);
            assert_eq!(seen(&health), Ok(()), "{alone} was alone");
        }
    }
}
