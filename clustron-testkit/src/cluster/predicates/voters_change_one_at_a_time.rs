use std::collections::{BTreeMap, BTreeSet};

use clustron_core::simulation::AgreedVoters;
use clustron_core::{ClusterId, ClusterStatus, Config, NodeId, NodeState};

use super::{Moment, Predicate};

/// The fewest voters to which the seats of the dead are given up, whatever is configured.
const SHRINKS_TO: usize = 3;

/// The most seats of the dead that are given up in one change.
const GIVEN_UP_AT_ONCE: usize = 2;

/// Any two sets of voters that were agreed one after the other differ by one change:
///
/// * one more voter, or two where their number was odd;
/// * or one voter in the place of another;
/// * or, with nobody new, the seats are gone of those who left or may not vote any more, and of at
///   most two others. Then at least three voters stay, and no fewer than
///   [`voters_min`](Config::voters_min).
///
/// The new ones take over only through an entry that both sets had to agree to, and all nodes have
/// the same voters at the same place of the log.
#[derive(Debug)]
pub struct VotersChangeOneAtATime {
    voters_min: usize,
    /// By cluster and log index.
    known: BTreeMap<(ClusterId, u64), Known>,
}

/// The groups at one place of the log, and who had them there first.
#[derive(Debug)]
struct Known {
    groups: Vec<BTreeSet<NodeId>>,
    whose: String,
}

impl VotersChangeOneAtATime {
    /// Of a cluster whose nodes have these settings.
    pub fn new(config: &Config) -> Self {
        Self { voters_min: config.voters_min, known: BTreeMap::new() }
    }

    /// Whether the group may follow the one before.
    fn check_step(
        &self,
        before: &[BTreeSet<NodeId>],
        now: &[BTreeSet<NodeId>],
        status: &ClusterStatus,
    ) -> Result<(), String> {
        match (before, now) {
            _ if before == now => Ok(()),
            ([from], [still, to]) if from == still => self.check_change(from, to, status),
            ([_, to], [now]) if to == now => Ok(()),
            _ => Err("not by an entry that both had to agree to".to_owned()),
        }
    }

    fn check_change(
        &self,
        from: &BTreeSet<NodeId>,
        to: &BTreeSet<NodeId>,
        status: &ClusterStatus,
    ) -> Result<(), String> {
        let (new, gone) = (to.difference(from).count(), from.difference(to).count());
        match (new, gone) {
            (0, _) => {
                let given_up = from.difference(to).filter(|id| !has_resigned(**id, status)).count();
                if given_up > GIVEN_UP_AT_ONCE {
                    return Err(format!("{given_up} seats were given up at once"));
                }
                let least = self.voters_min.max(SHRINKS_TO);
                if given_up > 0 && to.len() < least {
                    return Err(format!("there must stay {least}"));
                }
                Ok(())
            }
            (1, 0 | 1) => Ok(()),
            (2, 0) if from.len() % 2 == 1 => Ok(()),
            _ => Err(format!("{new} are new and {gone} are gone")),
        }
    }
}

/// Whether a node has left, or lives and may not vote, or the view knows nothing of it any more.
fn has_resigned(id: NodeId, status: &ClusterStatus) -> bool {
    status.view.node(id).is_none_or(|record| match record.state {
        NodeState::Left => true,
        NodeState::Alive => !record.info.votes(),
        _ => false,
    })
}

impl Predicate for VotersChangeOneAtATime {
    fn name(&self) -> &'static str {
        "voters_change_one_at_a_time"
    }

    fn check(&mut self, moment: &Moment<'_>) -> Result<(), String> {
        let Some(cluster) = moment.status.cluster else { return Ok(()) };
        let mut before: Option<&AgreedVoters> = None;
        for now in moment.voters {
            let key = (cluster, now.index);
            if let Some(Known { groups, whose }) = self.known.get(&key) {
                if *groups != now.groups {
                    return Err(format!("{now:?}, and {whose} had {groups:?} there"));
                }
            } else {
                if let Some(before) = before {
                    let step = self.check_step(&before.groups, &now.groups, moment.status);
                    step.map_err(|why| format!("{before:?}, then {now:?}: {why}"))?;
                }
                let whose = format!("{}#{}", moment.host, moment.life);
                self.known.insert(key, Known { groups: now.groups.clone(), whose });
            }
            before = Some(now);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{cluster_id, moment, status};
    use super::*;
    use crate::cluster::Health;

    fn ids(ids: &[u64]) -> BTreeSet<NodeId> {
        ids.iter().map(|id| NodeId(*id)).collect()
    }

    /// What a predicate says of groups that were agreed one after the other. Node 1 is down.
    fn seen_by(predicate: &mut VotersChangeOneAtATime, groups: &[&[&[u64]]]) -> Result<(), String> {
        let mut status = status(9);
        status.cluster = Some(cluster_id(1));
        status.view = super::super::testing::view_of_one("a", "Down", "no answer");
        let voters: Vec<AgreedVoters> = groups
            .iter()
            .zip((0..).step_by(10))
            .map(|(groups, index)| {
                let groups = groups.iter().map(|group| ids(group)).collect();
                AgreedVoters { index, groups }
            })
            .collect();
        predicate.check(&Moment { voters: &voters, ..moment(&status, &Health::default()) })
    }

    fn seen(groups: &[&[&[u64]]]) -> Result<(), String> {
        seen_by(&mut VotersChangeOneAtATime::new(&Config::local()), groups)
    }

    /// The same of one change.
    fn changed(from: &[u64], to: &[u64]) -> Result<(), String> {
        seen(&[&[from], &[from, to], &[to]])
    }

    #[test]
    fn one_change_after_the_other_is_allowed() {
        for (from, to) in [
            (&[1, 2, 3][..], &[1, 2, 3, 4, 5][..]),
            (&[1, 2], &[1, 2, 3]),
            (&[1, 2, 3], &[2, 3, 4]),
            (&[1, 2, 3, 4], &[2, 3, 4]),
            // Of these the view knows nothing: they left long ago.
            (&[2, 3, 4, 5, 6], &[2, 3]),
        ] {
            assert_eq!(changed(from, to), Ok(()), "{from:?} {to:?}");
        }
        let long: &[u64] = &[1, 2, 3];
        assert_eq!(seen(&[&[long], &[long], &[long]]), Ok(()), "only learners changed");
    }

    #[test]
    fn two_changes_at_once_are_caught() {
        for (from, to, why) in [
            (&[1, 2, 3, 4, 5][..], &[3, 4, 5, 6, 7][..], "2 are new and 2 are gone"),
            (&[1, 2, 3], &[2, 3, 4, 5], "2 are new and 1 are gone"),
            (&[1, 2], &[1, 2, 3, 4], "2 are new and 0 are gone"),
            (&[1, 2, 3], &[2, 3], "there must stay 3"),
        ] {
            let error = changed(from, to).unwrap_err();
            assert!(error.ends_with(why), "{from:?} {to:?}: {error}");
        }
    }

    #[test]
    fn fewer_than_the_minimum_are_caught() {
        let config = Config { voters_min: 5, ..Config::local() };
        let mut predicate = VotersChangeOneAtATime::new(&config);
        let (seven, three): (&[u64], &[u64]) = (&[1, 2, 3, 4, 5, 6, 7], &[2, 3, 4]);
        let error = seen_by(&mut predicate, &[&[seven], &[seven, three]]).unwrap_err();
        assert!(error.ends_with("there must stay 5"), "{error}");
    }

    #[test]
    fn voters_that_take_over_alone_and_different_voters_at_one_place_are_caught() {
        let error = seen(&[&[&[1, 2, 3]], &[&[2, 3, 4]]]).unwrap_err();
        assert!(error.ends_with("not by an entry that both had to agree to"), "{error}");
        let mut predicate = VotersChangeOneAtATime::new(&Config::local());
        assert_eq!(seen_by(&mut predicate, &[&[&[1, 2, 3]]]), Ok(()));
        let error = seen_by(&mut predicate, &[&[&[1, 2, 4]]]).unwrap_err();
        assert!(error.contains("and a#1 had"), "{error}");
    }
}
