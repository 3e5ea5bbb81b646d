//! What can be set, what it means and what is allowed.

mod timing;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use crate::discovery::SEEDS_MAX;
use crate::identity::{InvalidMetadata, InvalidName, NodeName, Role, check_metadata};
use crate::membership::{InvalidMembershipConfig, MembershipConfig};
use crate::pipeline::{PipelineConfig, PipelineError};
use crate::roles;
use crate::security::Security;
use crate::voters::Goal;

pub use timing::Timing;

/// The shortest and longest time between two collections of metrics.
const METRICS_INTERVAL_MIN: Duration = Duration::from_millis(100);
const METRICS_INTERVAL_MAX: Duration = Duration::from_secs(3600);

/// The least and greatest age of a copy up to which a node may count as ready.
const READY_STALENESS_MIN: Duration = Duration::from_secs(1);
const READY_STALENESS_MAX: Duration = Duration::from_secs(3600);

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
    /// The layers of a lane cannot be used.
    #[error("{key}: {problem}")]
    Pipeline {
        /// The setting: `pipeline.data` or `pipeline.bulk`.
        key: &'static str,
        /// What is wrong.
        problem: Box<PipelineError>,
    },
}

impl ConfigError {
    fn value(key: &'static str, value: impl ToString, allowed: impl Into<String>) -> Self {
        Self::Value { key, value: value.to_string(), allowed: allowed.into() }
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
    /// How connections are secured; all nodes of a cluster need the same.
    pub security: Security,
    /// The most connections that the node takes from others, 16 to 65,536, and never more than the
    /// process may have files open. Each peer that has something to say holds one to four. Those
    /// that only ask whether the node lives are not counted.
    pub connections_max: usize,
    /// The most connections that the node takes from one peer, 4 to 1,024. A peer needs up to four,
    /// for the core, modules, the application and streams; the others are room for those of before
    /// that have not been found broken yet. One more takes the place of its oldest.
    pub connections_per_peer_max: usize,
    /// After how long without use a connection other than the core's is closed, 1 s to 1 day. It is
    /// opened again when it is needed, and is never closed while somebody waits for a reply. The
    /// core's own connections stay. Shorter saves files and memory where many nodes talk rarely;
    /// longer saves handshakes.
    pub data_idle_timeout: Duration,
    /// How often a node with the role `MetricsCollector` asks the others for their metrics, 100 ms
    /// to 1 h. Choose it no longer than the interval at which the collector itself is scraped.
    pub metrics_interval: Duration,
    /// How old a node's copy of the replicated state may be for it to be
    /// [ready](crate::Health::is_ready), 1 s to 1 h. While a leader is heard the age is about one
    /// heartbeat interval; choose it by how old an answer of the node may be.
    pub ready_staleness_max: Duration,
    /// Layers between messages and the wire: compression, credits, sending again. None by default;
    /// the same on all nodes. Checked when the node starts, with the
    /// [layers](crate::ClusterBuilder::layers) that it knows.
    pub pipeline: PipelineConfig,
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
            security: Security::None,
            connections_max: 8_192,
            connections_per_peer_max: 8,
            data_idle_timeout: Duration::from_secs(300),
            metrics_interval: Duration::from_secs(10),
            ready_staleness_max: Duration::from_secs(10),
            pipeline: PipelineConfig::default(),
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
    /// roles and tags, and of the seeds, only the first. The files of [`security`](Self::security)
    /// are looked at when the node starts.
    pub fn problems(&self) -> Vec<ConfigError> {
        self.problems_with(false)
    }

    /// The same for a node that has a [`Discovery`](crate::Discovery) beside these settings, or has
    /// none: with one, a node that is no member needs no seeds, and a member needs `expect`.
    /// [`ClusterBuilder::start`](crate::ClusterBuilder::start) checks so by itself.
    pub fn problems_with(&self, discovery: bool) -> Vec<ConfigError> {
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
        self.connection_problems(&mut found);
        if !(METRICS_INTERVAL_MIN..=METRICS_INTERVAL_MAX).contains(&self.metrics_interval) {
            let value = format!("{:?}", self.metrics_interval);
            let allowed = "must be from 100 ms to 1 h";
            found.push(ConfigError::value("metrics_interval", value, allowed));
        }
        if !(READY_STALENESS_MIN..=READY_STALENESS_MAX).contains(&self.ready_staleness_max) {
            let value = format!("{:?}", self.ready_staleness_max);
            found.push(ConfigError::value("ready_staleness_max", value, "must be from 1 s to 1 h"));
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
                               started together would each found a cluster of their own";
                found.push(ConfigError::value("expect", 1, allowed));
            }
            Some(_) | None => {}
        }
        self.timing.problems(&mut found);
        found.extend(self.membership.problems().into_iter().map(ConfigError::from));
        found
    }

    fn connection_problems(&self, found: &mut Vec<ConfigError>) {
        if !(16..=65_536).contains(&self.connections_max) {
            let allowed = "must be from 16 to 65536";
            found.push(ConfigError::value("connections_max", self.connections_max, allowed));
        }
        if !(4..=1_024).contains(&self.connections_per_peer_max) {
            let most = self.connections_per_peer_max;
            let allowed = "must be from 4 to 1024";
            found.push(ConfigError::value("connections_per_peer_max", most, allowed));
        }
        let day = Duration::from_secs(24 * 3600);
        if !(Duration::from_secs(1)..=day).contains(&self.data_idle_timeout) {
            let value = format!("{:?}", self.data_idle_timeout);
            let allowed = "must be from 1 s to 1 day";
            found.push(ConfigError::value("data_idle_timeout", value, allowed));
        }
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
mod tests;
