//! Who runs the next attempt: the least loaded node that may, ties in rotation.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use clustron_core::{FencingToken, NodeId, NodeInfo};

use crate::job::JobName;
use crate::job_state::Job;

/// How many attempts one node runs at once unless configured otherwise.
pub const RUNNING_MAX_DEFAULT: NonZeroU32 = match NonZeroU32::new(1_024) {
    Some(max) => max,
    None => NonZeroU32::MIN,
};

/// The nodes that run jobs, as the leader sees them now, and how much each has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Workers {
    alive: BTreeMap<NodeId, u32>,
    /// The log index that let each node's present process in.
    processes: BTreeMap<NodeId, u64>,
    running_max: u32,
    /// Who gets no attempts of a job, and whether for as long as it is there.
    excluded: BTreeMap<(JobName, NodeId), bool>,
    /// What each node says of itself, for placement.
    infos: BTreeMap<NodeId, NodeInfo>,
    /// What was chosen since the last look at the committed loads, of jobs with a limit per node.
    booked: BTreeMap<(JobName, NodeId), usize>,
    last: Option<NodeId>,
}

impl Default for Workers {
    fn default() -> Self {
        Self::new(RUNNING_MAX_DEFAULT)
    }
}

impl Workers {
    /// No nodes yet; each will run at most `running_max` attempts at once.
    pub(crate) fn new(running_max: NonZeroU32) -> Self {
        Self {
            alive: BTreeMap::new(),
            processes: BTreeMap::new(),
            running_max: running_max.get(),
            excluded: BTreeMap::new(),
            infos: BTreeMap::new(),
            booked: BTreeMap::new(),
            last: None,
        }
    }

    /// Adds a node. One that is there already stays as it is.
    pub(crate) fn join(&mut self, node: NodeId) {
        self.alive.entry(node).or_default();
    }

    /// Adds a node whose process was let in at this log index. What an earlier one was excluded
    /// from is forgotten.
    pub(crate) fn join_since(&mut self, node: NodeId, process_since: u64) {
        if self.processes.insert(node, process_since).is_some_and(|before| before < process_since) {
            self.excluded.retain(|(_, excluded), _| *excluded != node);
        }
        self.join(node);
    }

    /// Takes in what a node that is there says of itself.
    pub(crate) fn describe(&mut self, info: &NodeInfo) {
        let known = self.infos.get(&info.id);
        if self.alive.contains_key(&info.id) && known.is_none_or(|known| known != info) {
            self.infos.insert(info.id, info.clone());
        }
    }

    /// Whether the process to which the node's attempt was granted has ended, and another one of
    /// the node runs.
    pub(crate) fn has_restarted(&self, node: NodeId, granted: FencingToken) -> bool {
        self.processes.get(&node).is_some_and(|since| granted.log_index() < *since)
    }

    /// Removes a node, and forgets what it was excluded from.
    pub(crate) fn leave(&mut self, node: NodeId) {
        self.alive.remove(&node);
        self.processes.remove(&node);
        self.infos.remove(&node);
        self.excluded.retain(|(_, excluded), _| *excluded != node);
    }

    /// Keeps a node from further attempts of one job: for as long as it is there, because it has no
    /// handler for it, or until it is readmitted. What it runs already it keeps. No effect on a
    /// node that is not there.
    pub(crate) fn exclude(&mut self, job: &JobName, node: NodeId, for_good: bool) {
        if self.alive.contains_key(&node) {
            *self.excluded.entry((job.clone(), node)).or_default() |= for_good;
        }
    }

    /// Lets a node have attempts of the job again, unless it was excluded for good.
    pub(crate) fn readmit(&mut self, job: &JobName, node: NodeId) {
        let key = (job.clone(), node);
        if self.excluded.get(&key) == Some(&false) {
            self.excluded.remove(&key);
        }
    }

    /// Takes the committed loads, which drops choices whose command never committed.
    pub(crate) fn refresh(&mut self, running: &BTreeMap<NodeId, u32>) {
        self.booked.clear();
        for (node, count) in &mut self.alive {
            *count = running.get(node).copied().unwrap_or(0);
        }
    }

    /// Chooses a node for one attempt at a job and counts it there: one that the job's placement
    /// and its limit per node allow, if it can be not the one to avoid. `None` if there is none.
    pub(crate) fn pick_for(&mut self, job: &Job, avoid: Option<NodeId>) -> Option<NodeId> {
        let (spec, infos, booked) = (job.spec(), &self.infos, &self.booked);
        let (placed, most) = (spec.placed(), spec.most_per_worker());
        if placed.is_none() && most.is_none() && avoid.is_none() {
            return self.pick(&spec.name);
        }
        let may = |node: NodeId| {
            let placed =
                placed.is_none_or(|placed| infos.get(&node).is_some_and(|i| placed.allows(i)));
            let here = || {
                let booked = booked.get(&(spec.name.clone(), node)).copied().unwrap_or(0);
                booked + job.running_on(node)
            };
            placed && most.is_none_or(|most| here() < most)
        };
        let allowed: BTreeSet<NodeId> =
            self.alive.keys().copied().filter(|node| may(*node)).collect();
        let elsewhere = |node: NodeId| allowed.contains(&node) && avoid != Some(node);
        let picked = match self.pick_of(&spec.name, elsewhere) {
            None => self.pick_of(&spec.name, |node| allowed.contains(&node)),
            picked => picked,
        }?;
        if most.is_some() {
            *self.booked.entry((spec.name.clone(), picked)).or_default() += 1;
        }
        Some(picked)
    }

    /// Chooses a node for one attempt and counts it there; `None` if nobody is there, or all are
    /// full or excluded.
    pub(crate) fn pick(&mut self, job: &JobName) -> Option<NodeId> {
        self.pick_of(job, |_| true)
    }

    fn pick_of(&mut self, job: &JobName, may: impl Fn(NodeId) -> bool) -> Option<NodeId> {
        let excluded = &self.excluded;
        let (node, running) = self
            .alive
            .iter_mut()
            .filter(|(node, running)| {
                **running < self.running_max
                    && !excluded.contains_key(&(job.clone(), **node))
                    && may(**node)
            })
            // Among equals the next id after the last choice, round the circle.
            .min_by_key(|(node, running)| (**running, Some(**node) <= self.last, **node))?;
        *running += 1;
        self.last = Some(*node);
        Some(*node)
    }

    /// Whether the node is there.
    pub(crate) fn contains(&self, node: NodeId) -> bool {
        self.alive.contains_key(&node)
    }

    /// The nodes that are there, and how many attempts each runs.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (NodeId, u32)> {
        self.alive.iter().map(|(node, running)| (*node, *running))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_granted_before_the_process_came_was_granted_to_one_that_has_ended() {
        let mut workers = Workers::default();
        let token = FencingToken(70_003);
        workers.join_since(NodeId(1), 7);
        assert!(!workers.has_restarted(NodeId(1), token), "granted in entry 7");
        workers.exclude(&job(), NodeId(1), true);
        assert_eq!(workers.pick(&job()), None);
        workers.join_since(NodeId(1), 8);
        assert!(workers.has_restarted(NodeId(1), token));
        assert_eq!(workers.pick(&job()), Some(NodeId(1)), "the new one may have a handler");
        workers.leave(NodeId(1));
        assert!(!workers.has_restarted(NodeId(1), token), "it is gone");
    }

    fn job() -> JobName {
        JobName::new("job").unwrap()
    }

    fn workers(nodes: u64, running_max: u32) -> Workers {
        let mut workers = Workers::new(NonZeroU32::new(running_max).unwrap());
        (1..=nodes).for_each(|node| workers.join(NodeId(node)));
        workers
    }

    #[test]
    fn the_least_loaded_is_chosen_and_ties_go_round() {
        let mut workers = workers(3, 10);
        workers.refresh(&BTreeMap::from([(NodeId(2), 1)]));
        let picks: Vec<u64> = (0..6).filter_map(|_| workers.pick(&job())).map(|n| n.0).collect();
        assert_eq!(picks, [1, 3, 1, 2, 3, 1]);
    }

    #[test]
    fn rotation_survives_a_refresh_that_evens_the_loads() {
        let mut workers = workers(3, 10);
        let picks: Vec<u64> = (0..6)
            .filter_map(|_| {
                workers.refresh(&BTreeMap::new());
                workers.pick(&job())
            })
            .map(|node| node.0)
            .collect();
        assert_eq!(picks, [1, 2, 3, 1, 2, 3]);
    }

    #[test]
    fn full_and_excluded_nodes_are_not_chosen() {
        let mut workers = workers(2, 1);
        workers.exclude(&job(), NodeId(1), false);
        assert_eq!(workers.pick(&job()), Some(NodeId(2)));
        assert_eq!(workers.pick(&job()), None);
        workers.readmit(&job(), NodeId(1));
        assert_eq!(workers.pick(&job()), Some(NodeId(1)));
        assert_eq!(workers.pick(&job()), None);
    }

    #[test]
    fn a_lasting_exclusion_outlives_a_passing_one() {
        let mut workers = workers(1, 9);
        workers.exclude(&job(), NodeId(1), true);
        workers.exclude(&job(), NodeId(1), false);
        workers.readmit(&job(), NodeId(1));
        assert_eq!(workers.pick(&job()), None);
    }

    #[test]
    fn a_node_that_left_is_forgotten_with_its_exclusions() {
        let mut workers = workers(1, 1);
        workers.exclude(&job(), NodeId(1), true);
        workers.leave(NodeId(1));
        workers.exclude(&job(), NodeId(1), true);
        assert_eq!(workers.pick(&job()), None);
        workers.join(NodeId(1));
        assert_eq!(workers.pick(&job()), Some(NodeId(1)));
    }
}
