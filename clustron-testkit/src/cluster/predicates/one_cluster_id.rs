use std::collections::BTreeSet;

use clustron_core::{ClusterId, NodeId};

use super::{Moment, Predicate};

/// However many nodes start at once, and whoever is started again: they are one cluster. A second
/// one is founded only where a majority of the voters of the first is lost for good.
#[derive(Debug, Default)]
pub struct OneClusterId {
    /// The cluster, who showed it first, and who voted in it when it was last seen.
    known: Option<(ClusterId, String, BTreeSet<NodeId>)>,
}

impl Predicate for OneClusterId {
    fn name(&self) -> &'static str {
        "one_cluster_id"
    }

    fn check(&mut self, moment: &Moment<'_>) -> Result<(), String> {
        let Some(now) = moment.status.cluster else { return Ok(()) };
        let voters = moment.status.voters.clone();
        match &mut self.known {
            Some((cluster, _, known)) if *cluster == now => *known = voters,
            Some((cluster, whose, known)) if !moment.health.has_lost_majority(known) => {
                return Err(format!("is in cluster {now}, and {whose} was in {cluster}"));
            }
            known => *known = Some((now, format!("{}#{}", moment.host, moment.life), voters)),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{cluster_id, moment, status};
    use super::*;
    use crate::cluster::Health;

    fn seen(predicate: &mut OneClusterId, cluster: u8, health: &Health) -> Result<(), String> {
        let mut status = status(1);
        status.cluster = Some(cluster_id(cluster));
        status.voters = (1..4).map(NodeId).collect();
        predicate.check(&moment(&status, health))
    }

    #[test]
    fn a_second_cluster_is_caught_unless_the_first_is_lost() {
        let (mut predicate, mut health) = (OneClusterId::default(), Health::default());
        assert_eq!(seen(&mut predicate, 1, &health), Ok(()));
        assert_eq!(seen(&mut predicate, 1, &health), Ok(()));
        health.killed = [NodeId(1)].into();
        let error = seen(&mut predicate, 2, &health).unwrap_err();
        assert!(error.contains("and a#1 was in"), "{error}");
        health.killed = [NodeId(1), NodeId(2)].into();
        assert_eq!(seen(&mut predicate, 2, &health), Ok(()), "nobody can bring the first back");
    }
}
