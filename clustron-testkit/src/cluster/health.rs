//! What the faults leave of the cluster: who runs, and who can talk to whom.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use clustron_core::NodeId;

/// What is known from outside about the simulated hosts. A test's own predicate reads it to tell
/// what a node must do from what it may do.
#[derive(Debug, Clone, Default)]
pub struct Health {
    /// The hosts with a running node, and its identity.
    pub(super) running: BTreeMap<String, NodeId>,
    /// Nodes that have been killed, by their identities.
    pub(super) killed: BTreeSet<NodeId>,
    /// Who was killed last on each host.
    left_behind: BTreeMap<String, NodeId>,
    /// The groups of hosts among which anything can flow at all, in any direction.
    islands: Vec<BTreeSet<String>>,
    islands_since: Duration,
    /// When a node last ended.
    ended_at: Duration,
    /// When each host was last hindered, by the hosts that have been.
    hindered_at: BTreeMap<String, Duration>,
    hindered: BTreeSet<String>,
}

impl Health {
    /// The hosts that a host may hear from or be heard by, over others too, itself among them.
    pub fn island(&self, host: &str) -> BTreeSet<String> {
        let island = self.islands.iter().find(|island| island.contains(host));
        island.cloned().unwrap_or_default()
    }

    /// Since when the islands are as they are, and no node has ended.
    pub fn calm_since(&self) -> Duration {
        self.islands_since.max(self.ended_at)
    }

    /// Whether, at that time or within `grace` before it, the node of a host did not run, or could
    /// not talk to a majority of all hosts both ways and well.
    pub fn was_hindered(&self, host: &str, at: Duration, grace: Duration) -> bool {
        self.hindered.contains(host)
            || self.hindered_at.get(host).is_some_and(|when| at.saturating_sub(*when) < grace)
    }

    /// Whether those of `voters` that live on the island, or may, are a majority of them.
    pub fn has_majority(&self, island: &BTreeSet<String>, voters: &BTreeSet<NodeId>) -> bool {
        let elsewhere = |id: &NodeId| {
            let host = self.running.iter().find(|(_, node)| *node == id).map(|(host, _)| host);
            host.is_some_and(|host| !island.contains(host)) || self.killed.contains(id)
        };
        let here = voters.iter().filter(|id| !elsewhere(id)).count();
        voters.is_empty() || 2 * here > voters.len()
    }

    /// Whether those of `voters` that may ever run again are no majority of them.
    pub(super) fn has_lost_majority(&self, voters: &BTreeSet<NodeId>) -> bool {
        let lost = voters.intersection(&self.killed).count();
        !voters.is_empty() && 2 * lost >= voters.len()
    }

    /// The node of a host was killed.
    pub(super) fn goes(&mut self, at: Duration, host: &str, id: NodeId) {
        self.ended_at = at;
        self.killed.insert(id);
        self.left_behind.insert(host.to_owned(), id);
    }

    /// Who was killed last on a host may be there again: it has kept what it knows.
    pub(super) fn comes_back(&mut self, host: &str) {
        if let Some(id) = self.left_behind.get(host) {
            self.killed.remove(id);
        }
    }

    /// Takes in how things are now. `flows` says whether bytes flow from one host to another, and
    /// `well` whether they do so without delay and loss.
    pub(super) fn look(
        &mut self,
        at: Duration,
        hosts: &[String],
        flows: impl Fn(&str, &str) -> bool,
        well: impl Fn(&str, &str) -> bool,
    ) {
        let both = |a: &str, b: &str| a == b || (well(a, b) && well(b, a));
        let runs = |host: &String| self.running.contains_key(host);
        let fine = |host: &String| {
            let reached = hosts.iter().filter(|other| runs(other) && both(host, other)).count();
            runs(host) && 2 * reached > hosts.len()
        };
        let hindered: BTreeSet<String> = hosts.iter().filter(|host| !fine(host)).cloned().collect();
        for host in self.hindered.union(&hindered) {
            self.hindered_at.insert(host.clone(), at);
        }
        self.hindered = hindered;
        let islands = islands(hosts, |a, b| flows(a, b) || flows(b, a));
        if islands != self.islands {
            (self.islands, self.islands_since) = (islands, at);
        }
    }
}

fn islands(hosts: &[String], joined: impl Fn(&str, &str) -> bool) -> Vec<BTreeSet<String>> {
    let mut islands: Vec<BTreeSet<String>> = vec![];
    for host in hosts {
        let (near, far): (Vec<_>, Vec<_>) =
            islands.into_iter().partition(|island| island.iter().any(|other| joined(host, other)));
        islands = far;
        islands.push(near.into_iter().flatten().chain([host.clone()]).collect());
    }
    islands.sort();
    islands
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts() -> Vec<String> {
        ["a", "b", "c", "d", "e"].map(str::to_owned).to_vec()
    }

    fn all_run() -> Health {
        let running = hosts().into_iter().zip(1..).map(|(host, id)| (host, NodeId(id)));
        Health { running: running.collect(), ..Health::default() }
    }

    fn set(names: &str) -> BTreeSet<String> {
        names.chars().map(String::from).collect()
    }

    #[test]
    fn a_bridge_leaves_one_island_and_hinders_nobody_in_the_middle() {
        // a and b see c, d and e see c, and nobody else sees anybody.
        let sides = |a: &str, b: &str| ("ab".contains(a), "de".contains(b));
        let open = |a: &str, b: &str| sides(a, b) != (true, true) && sides(b, a) != (true, true);
        let mut health = all_run();
        health.look(Duration::ZERO, &hosts(), open, open);
        assert_eq!(health.island("a"), set("abcde"));
        assert!(hosts().iter().all(|h| !health.was_hindered(h, Duration::ZERO, Duration::ZERO)));
    }

    #[test]
    fn whoever_is_alone_is_hindered_and_has_no_majority() {
        let open = |a: &str, b: &str| a != "e" && b != "e";
        let mut health = all_run();
        let second = Duration::from_secs(1);
        health.look(second, &hosts(), open, open);
        assert_eq!((health.island("e"), health.island("a")), (set("e"), set("abcd")));
        let voters: BTreeSet<NodeId> = (1..6).map(NodeId).collect();
        assert!(health.has_majority(&set("abcd"), &voters));
        assert!(!health.has_majority(&set("e"), &voters));
        assert!(health.was_hindered("e", second, Duration::ZERO));
        assert!(!health.was_hindered("a", second, second));
        // The end of a fault is still near for a while.
        health.look(2 * second, &hosts(), |_, _| true, |_, _| true);
        assert!(health.was_hindered("e", 3 * second, 2 * second));
        assert!(!health.was_hindered("e", 4 * second, 2 * second));
    }
}
