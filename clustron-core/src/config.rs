//! What can be set, what it means and what is allowed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use crate::discovery::SEEDS_MAX;
use crate::election;
use crate::identity::{InvalidMetadata, InvalidName, NodeName, Role, check_metadata};
use crate::membership::{InvalidMembershipConfig, MembershipConfig};
use crate::roles;
use crate::voters::Goal;

/// The shortest and longest time between two collections of metrics.
const METRICS_INTERVAL_MIN: Duration = Duration::from_millis(100);
const METRICS_INTERVAL_MAX: Duration = Duration::from_secs(3600);

/// A value that cannot be used. Found at start, before anything has happened.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A name has other characters or another length than names may have.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// A number or duration is out of its range, or contradicts another.
    #[error("{key} is {value}: {allowed}")]
    Value {
        /// The setting.
        key: &'static str,
        /// What it was set to.
        value: String,
        /// What it may be.
        allowed: String,
    },
    /// The roles or tags cannot be used.
    #[error(transparent)]
    Metadata(#[from] InvalidMetadata),
    /// A setting of the failure detector cannot be used.
    #[error(transparent)]
    Membership(#[from] InvalidMembershipConfig),
}

impl ConfigError {
    fn value(key: &'static str, value: impl ToString, allowed: impl Into<String>) -> Self {
        Self::Value { key, value: value.to_string(), allowed: allowed.into() }
    }
}

/// The control plane's times. They depend on each other in the order in which they stand here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How often the leader tells the others that it is there. Also how long one replication
    /// message may take, so it must be well above the network's round trip.
    pub heartbeat_interval: Duration,
    /// How long voters keep faith with a leader they have heard, whatever anybody says; at least
    /// twice `heartbeat_interval`. When the leader's process is seen to be gone, the next one leads
    /// after about this long.
    pub leader_lease: Duration,
    /// How long a leader must have been silent for the voters to replace it without other evidence,
    /// and how long without a majority's answer it goes on leading; at least twice `leader_lease`.
    /// Longer survives longer stalls of a busy machine, shorter replaces a hung leader sooner.
    pub leader_silence: Duration,
    /// How long a node must have been, without a break, Suspect or Down before the leader takes it
    /// out of the view, and how long modules therefore keep what they placed there. Flapping that
    /// is shorter changes nothing, also where something on the way refuses connections for a
    /// moment. It runs from the first doubt, so a host that falls silent pays nothing for it as
    /// long as it is at most `membership.suspicion_timeout`; a process that crashed, whose address
    /// refuses, goes after this time. Another leader, an orderly leave and a new node at the same
    /// address do not wait for it. At most 60 s; zero takes a node out with the first verdict.
    pub view_stable_after: Duration,
    /// How long a node must have been alive before it votes.
    pub voter_stable_after: Duration,
    /// How long opening a connection with its handshake may take.
    pub connect_timeout: Duration,
    /// How long the core's own requests wait for a reply.
    pub request_deadline: Duration,
    /// How long a group that is being founded or joined may take before the node starts over under
    /// a new identity.
    pub formation_timeout: Duration,
}

impl Timing {
    /// For processes on one machine.
    pub fn local() -> Self {
        Self {
            heartbeat_interval: Duration::from_millis(100),
            leader_lease: Duration::from_millis(300),
            leader_silence: Duration::from_millis(1000),
            view_stable_after: Duration::from_secs(2),
            voter_stable_after: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(1),
            request_deadline: Duration::from_secs(2),
            formation_timeout: Duration::from_secs(10),
        }
    }

    /// For machines in one data centre. The default.
    pub fn lan() -> Self {
        Self::local()
    }

    /// For sites far apart: round trips up to 300 ms.
    pub fn wan() -> Self {
        Self {
            heartbeat_interval: Duration::from_millis(600),
            leader_lease: Duration::from_millis(2000),
            leader_silence: Duration::from_millis(6000),
            view_stable_after: Duration::from_secs(5),
            voter_stable_after: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(3),
            request_deadline: Duration::from_secs(5),
            formation_timeout: Duration::from_secs(30),
        }
    }

    pub(crate) fn election(&self) -> election::Timing {
        election::Timing {
            lease: self.leader_lease,
            silence: self.leader_silence,
            stagger: self.heartbeat_interval / 2,
            round: self.leader_lease * 2 / 3,
        }
    }

    fn problems(&self, found: &mut Vec<ConfigError>) {
        let ms = Duration::from_millis(1);
        let floors = [
            ("heartbeat_interval", self.heartbeat_interval, 10 * ms, "at least 10 ms"),
            (
                "leader_lease",
                self.leader_lease,
                self.heartbeat_interval.saturating_mul(2),
                "at least twice heartbeat_interval",
            ),
            (
                "leader_silence",
                self.leader_silence,
                self.leader_lease.saturating_mul(2),
                "at least twice leader_lease",
            ),
            ("connect_timeout", self.connect_timeout, 10 * ms, "at least 10 ms"),
            (
                "request_deadline",
                self.request_deadline,
                self.leader_lease.saturating_mul(2),
                "at least twice leader_lease",
            ),
            (
                "formation_timeout",
                self.formation_timeout,
                self.leader_silence.saturating_mul(2),
                "at least twice leader_silence",
            ),
        ];
        for (key, value, floor, rule) in floors {
            if value < floor {
                let allowed = format!("must be {rule}, that is {floor:?}");
                found.push(ConfigError::value(key, format!("{value:?}"), allowed));
            }
        }
        let most = Duration::from_secs(60);
        for (key, value) in
            [("leader_lease", self.leader_lease), ("view_stable_after", self.view_stable_after)]
        {
            if value > most {
                found.push(ConfigError::value(key, format!("{value:?}"), "must be at most 60 s"));
            }
        }
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self::lan()
    }
}

/// Everything that can be set for a node. [`Cluster::builder`](crate::Cluster::builder) sets the
/// common fields; the rest may be changed here and passed to
/// [`ClusterBuilder::config`](crate::ClusterBuilder::config).
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// What people call the node. `None`: `node-` and the first digits of its id.
    pub name: Option<String>,
    /// Where to listen, `host:port`; port 0 takes a free one.
    pub listen: String,
    /// Where the others reach this node, if that is not where it listens: behind address
    /// translation, or when it listens on all interfaces.
    pub advertise: Option<String>,
    /// Addresses where other nodes may be found. May hold this node's own; must not hold them all,
    /// since seeds tell of each other. At most 1,024; for addresses that change see
    /// [`ClusterBuilder::discovery`](crate::ClusterBuilder::discovery).
    pub seeds: Vec<String>,
    /// How many members must see each other to found a new cluster. Best all of them, as by
    /// default. With fewer, two clusters can come about where the network is parted while the first
    /// is being founded: at least more than half of those that may be started meanwhile, restarts
    /// counted. `None`: as many as there are seeds, this node counted in if it is a member; 1
    /// without seeds. With a [`Discovery`](crate::Discovery) a member must set it: nobody could
    /// tell whether all have been found. A node that is no member founds nothing and only says how
    /// many it waits for.
    pub expect: Option<usize>,
    /// What the node does; at least one role. Two members can lose neither. Where there is no
    /// third, give a small node elsewhere, on neither's machine, the role
    /// [`Witness`](crate::Role::Witness): then the cluster goes on with either member. Witnesses
    /// vote only while they are the minority of the voters, and make room for members; beside three
    /// members or more there is little use in one.
    pub roles: BTreeSet<Role>,
    /// Labels for placement, at most 32.
    pub tags: BTreeMap<String, String>,
    /// After how many entries of the control log a snapshot takes their place, 100 to 1,000,000.
    /// Fewer make a restart faster and cost more snapshots; with a large state choose more. A log
    /// of more than 64 MiB is cut in any case.
    pub snapshot_entries: u64,
    /// Where the node keeps its identity and its part of the control log, so that both survive the
    /// process. A directory of its own on a local disk; made if it is not there. With one, whatever
    /// a majority has acknowledged is there again when all nodes have been killed at once, and a
    /// node comes back as the same one. `None`: all is kept in memory, the node is new at every
    /// start, and what is agreed is lost when no majority is left running. Members have one each or
    /// none has one.
    pub data_dir: Option<PathBuf>,
    /// The most members that vote: 1, 3, 5 or 7. More survive more failures and cost latency.
    pub voters_max: usize,
    /// How few may vote after a change that the leader makes by itself: 1, 3, 5 or 7, and at most
    /// `voters_max`. Where two or more of five or seven voters are down and there is nobody to take
    /// their places, the leader gives up their seats two at a time, so that one more may fail; but
    /// never below this, nor below three. Higher keeps the seats of the dead for them. Voters that
    /// you have leave, or give up their role, go all the same.
    pub voters_min: usize,
    /// The largest message, in bytes, 2 MiB to 16 MiB; the same on all nodes. A command of the
    /// control log may have 1 MiB and must fit.
    pub frame_bytes_max: usize,
    /// How often a node with the role `MetricsCollector` asks the others for their metrics, 100 ms
    /// to 1 h. Choose it no longer than the interval at which the collector itself is scraped.
    pub metrics_interval: Duration,
    /// The control plane's times.
    pub timing: Timing,
    /// The failure detector.
    pub membership: MembershipConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: None,
            listen: "127.0.0.1:0".to_owned(),
            advertise: None,
            seeds: vec![],
            expect: None,
            roles: BTreeSet::from([Role::Member]),
            tags: BTreeMap::new(),
            snapshot_entries: 5_000,
            data_dir: None,
            voters_max: 5,
            voters_min: 1,
            frame_bytes_max: 8 << 20,
            metrics_interval: Duration::from_secs(10),
            timing: Timing::lan(),
            membership: MembershipConfig::lan(),
        }
    }
}

impl Config {
    /// For processes on one machine.
    pub fn local() -> Self {
        Self { timing: Timing::local(), membership: MembershipConfig::local(), ..Self::default() }
    }

    /// For machines in one data centre. The default.
    pub fn lan() -> Self {
        Self::default()
    }

    /// For sites far apart.
    pub fn wan() -> Self {
        Self { timing: Timing::wan(), membership: MembershipConfig::wan(), ..Self::default() }
    }

    /// Checks every value.
    ///
    /// # Errors
    /// The first value that cannot be used, with what is allowed.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.check_with(false)
    }

    /// The same for a node that also looks for others elsewhere than at the seeds, or does not.
    pub(crate) fn check_with(&self, discovery: bool) -> Result<(), ConfigError> {
        self.problems_with(discovery).into_iter().next().map_or(Ok(()), Err)
    }

    /// Checks every value, and gives each that cannot be used, with what is allowed. Of the names,
    /// roles and tags, and of the seeds, only the first.
    pub fn problems(&self) -> Vec<ConfigError> {
        self.problems_with(false)
    }

    fn problems_with(&self, discovery: bool) -> Vec<ConfigError> {
        let has_others = discovery || self.others() > 0;
        let mut found = vec![];
        if let Some(name) = &self.name {
            found.extend(NodeName::new(name.clone()).err().map(ConfigError::from));
        }
        for (key, addr) in [("listen", Some(&self.listen)), ("advertise", self.advertise.as_ref())]
        {
            if let Some(addr) = addr {
                found.extend(check_addr(key, addr).err());
            }
        }
        if self.seeds.len() > SEEDS_MAX {
            let value = format!("a list of {}", self.seeds.len());
            let allowed = "must be at most 1024 addresses: seeds tell of the others";
            found.push(ConfigError::value("seeds", value, allowed));
        }
        found.extend(self.seeds.iter().find_map(|seed| check_addr("seeds", seed).err()));
        let metadata = check_metadata(&self.roles, &self.tags);
        let described = metadata.is_ok();
        found.extend(metadata.err().map(ConfigError::from));
        if described && !roles::votes(&self.roles) && !has_others {
            let allowed = "a node that is no member founds no cluster: name at least one other \
                           node, or give a `discovery`";
            found.push(ConfigError::value("seeds", format!("{:?}", self.seeds), allowed));
        }
        if !(100..=1_000_000).contains(&self.snapshot_entries) {
            let allowed = "must be from 100 to 1000000";
            found.push(ConfigError::value("snapshot_entries", self.snapshot_entries, allowed));
        }
        if let Some(dir) = &self.data_dir
            && described
            && !roles::follows_log(&self.roles)
        {
            let allowed = "a node with these roles keeps no part of the control log: leave it out";
            found.push(ConfigError::value("data_dir", dir.display(), allowed));
        }
        if !matches!(self.voters_max, 1 | 3 | 5 | 7) {
            found.push(ConfigError::value("voters_max", self.voters_max, "must be 1, 3, 5 or 7"));
        }
        if !matches!(self.voters_min, 1 | 3 | 5 | 7) || self.voters_min > self.voters_max {
            let most = self.voters_max;
            let allowed = format!("must be 1, 3, 5 or 7, and at most voters_max, that is {most}");
            found.push(ConfigError::value("voters_min", self.voters_min, allowed));
        }
        if !(2 << 20..=16 << 20).contains(&self.frame_bytes_max) {
            let allowed = "must be from 2097152 (2 MiB) to 16777216 (16 MiB)";
            found.push(ConfigError::value("frame_bytes_max", self.frame_bytes_max, allowed));
        }
        if !(METRICS_INTERVAL_MIN..=METRICS_INTERVAL_MAX).contains(&self.metrics_interval) {
            let value = format!("{:?}", self.metrics_interval);
            let allowed = "must be from 100 ms to 1 h";
            found.push(ConfigError::value("metrics_interval", value, allowed));
        }
        match self.expect {
            Some(0) => found.push(ConfigError::value("expect", 0, "must be at least 1")),
            None if discovery && roles::votes(&self.roles) => {
                let allowed = "with a `discovery`, set `expect` to how many members found the \
                               cluster, or nodes that find nobody would each found one";
                found.push(ConfigError::value("expect", "not set", allowed));
            }
            Some(1) if has_others && roles::votes(&self.roles) => {
                let allowed = "with seeds or a `discovery` it must be at least 2, or several nodes \
                               started together \
                               would each found a cluster of their own";
                found.push(ConfigError::value("expect", 1, allowed));
            }
            Some(_) | None => {}
        }
        self.timing.problems(&mut found);
        found.extend(self.membership.problems().into_iter().map(ConfigError::from));
        found
    }

    /// What the group of voters should be.
    pub(crate) fn goal(&self) -> Goal {
        let (voters_max, voters_min) = (self.voters_max, self.voters_min);
        Goal { voters_max, voters_min, stable_after: self.timing.voter_stable_after }
    }

    /// The number of members that found a cluster.
    pub(crate) fn expected(&self) -> usize {
        let itself = usize::from(roles::votes(&self.roles));
        self.expect.unwrap_or((self.others() + itself).max(1))
    }

    /// How many distinct seeds are not this node itself, going by the addresses as written.
    fn others(&self) -> usize {
        let own = [Some(self.listen.as_str()), self.advertise.as_deref()];
        let seeds: BTreeSet<&str> = self.seeds.iter().map(String::as_str).collect();
        seeds.into_iter().filter(|seed| !own.contains(&Some(seed))).count()
    }
}

fn check_addr(key: &'static str, addr: &str) -> Result<(), ConfigError> {
    let valid = addr
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if valid && addr.len() <= 256 {
        Ok(())
    } else {
        Err(ConfigError::value(
            key,
            format!("{addr:?}"),
            "must be host:port, such as 10.0.0.7:7000",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profiles_are_valid() {
        for config in [Config::local(), Config::lan(), Config::wan()] {
            config.check().unwrap();
        }
    }

    #[test]
    fn wrong_values_are_refused_with_the_key_the_value_and_the_remedy() {
        let ok = Config::default;
        let timing = |change: fn(&mut Timing)| {
            let mut timing = Timing::lan();
            change(&mut timing);
            Config { timing, ..ok() }
        };
        for (config, key, value) in [
            (Config { name: Some("a b".into()), ..ok() }, "node name", "\"a b\""),
            (Config { listen: "nowhere".into(), ..ok() }, "listen", "\"nowhere\""),
            (Config { advertise: Some("a:99999".into()), ..ok() }, "advertise", "a:99999"),
            (Config { seeds: vec!["a:1".into(), ":2".into()], ..ok() }, "seeds", "\":2\""),
            (Config { roles: BTreeSet::new(), ..ok() }, "roles", "at least one"),
            (Config { metrics_interval: Duration::ZERO, ..ok() }, "metrics_interval", "100 ms"),
            (Config { roles: [Role::Client].into(), ..ok() }, "seeds", "at least one other node"),
            (
                Config {
                    roles: [Role::Observer].into(),
                    listen: "a:1".into(),
                    seeds: vec!["a:1".into()],
                    ..ok()
                },
                "seeds",
                "[\"a:1\"]",
            ),
            (
                Config {
                    roles: [Role::Observer].into(),
                    seeds: vec!["a:1".into()],
                    data_dir: Some("/d".into()),
                    ..ok()
                },
                "data_dir",
                "/d",
            ),
            (Config { seeds: vec!["a:1".into(); 1025], ..ok() }, "seeds", "a list of 1025"),
            (Config { snapshot_entries: 99, ..ok() }, "snapshot_entries", "99"),
            (Config { voters_max: 4, ..ok() }, "voters_max", "4"),
            (Config { voters_max: 9, ..ok() }, "voters_max", "must be 1, 3, 5 or 7"),
            (Config { voters_min: 2, ..ok() }, "voters_min", "2"),
            (Config { voters_min: 7, ..ok() }, "voters_min", "at most voters_max, that is 5"),
            (Config { frame_bytes_max: 1, ..ok() }, "frame_bytes_max", "2097152"),
            (Config { expect: Some(0), ..ok() }, "expect", "at least 1"),
            (Config { expect: Some(1), seeds: vec!["a:1".into()], ..ok() }, "expect", "at least 2"),
            (timing(|t| t.heartbeat_interval = Duration::ZERO), "heartbeat_interval", "10ms"),
            (timing(|t| t.leader_lease = Duration::from_millis(150)), "leader_lease", "200ms"),
            (timing(|t| t.leader_silence = Duration::from_millis(400)), "leader_silence", "600ms"),
            (timing(|t| t.view_stable_after = Duration::MAX), "view_stable_after", "60 s"),
        ] {
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains(key) && error.contains(value), "{error}");
        }
    }

    #[test]
    fn all_that_cannot_be_used_is_found_at_once() {
        let mut config = Config { listen: "nowhere".into(), voters_max: 4, ..Config::default() };
        config.timing.connect_timeout = Duration::ZERO;
        config.membership.probe_timeout = Duration::ZERO;
        config.membership.observers = 9;
        let found: Vec<String> = config.problems().iter().map(ConfigError::to_string).collect();
        let keys = ["listen", "voters_max", "connect_timeout", "membership.probe_timeout"];
        assert_eq!(found.len(), 5, "{found:?}");
        for (found, key) in found.iter().zip(keys) {
            assert!(found.starts_with(&format!("{key} is ")), "{found}");
        }
        assert_eq!(config.check().unwrap_err().to_string(), found[0]);
    }

    #[test]
    fn durations_without_end_are_refused_and_nothing_overflows() {
        let mut config = Config::default();
        config.timing.heartbeat_interval = Duration::MAX;
        config.timing.leader_lease = Duration::MAX;
        config.timing.leader_silence = Duration::MAX;
        config.membership.probe_interval = Duration::MAX;
        config.membership.suspicion_timeout = Duration::MAX;
        assert!(config.check().is_err());
    }

    #[test]
    fn with_a_discovery_members_say_how_many_found_the_cluster_and_nobody_needs_seeds() {
        let member = |expect| Config { expect, ..Config::default() };
        let refused = |config: Config| config.check_with(true).unwrap_err().to_string();
        let error = refused(member(None));
        assert!(error.contains("expect is not set") && error.contains("set `expect`"), "{error}");
        let error = refused(member(Some(1)));
        assert!(error.contains("expect is 1") && error.contains("at least 2"), "{error}");
        let error = refused(Config { seeds: vec!["a:1".into(), "b:1".into()], ..member(None) });
        assert!(error.contains("set `expect`"), "{error}");
        member(Some(3)).check_with(true).unwrap();
        let observer = Config { roles: [Role::Observer].into(), ..Config::default() };
        observer.check_with(true).unwrap();
        assert!(observer.check().is_err());
    }

    #[test]
    fn as_many_founders_are_expected_as_there_are_seeds_with_this_node() {
        let seeds = |seeds: &[&str]| Config {
            listen: "h:1".into(),
            seeds: seeds.iter().map(|s| (*s).to_owned()).collect(),
            ..Config::default()
        };
        assert_eq!(seeds(&[]).expected(), 1);
        assert_eq!(seeds(&["h:1"]).expected(), 1);
        assert_eq!(seeds(&["h:2", "h:3"]).expected(), 3);
        assert_eq!(seeds(&["h:1", "h:2", "h:3", "h:3"]).expected(), 3);
        let observer = Config { roles: [Role::Observer].into(), ..seeds(&["h:2", "h:3"]) };
        assert_eq!(observer.expected(), 2);
    }
}
