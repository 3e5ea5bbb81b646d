//! Configuring a simulated cluster.

use std::fmt;
use std::sync::Mutex;

use clustron_core::simulation::NodeBug;
use clustron_core::{ClusterBuilder, Config, Replicated, ReplicatedState};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::failure::Failure;
use super::host_disk::HostDisk;
use super::nemesis::Nemesis;
use super::network::{Quality, SimNetwork};
use super::predicates::{self, Predicate};
use super::record::Record;
use super::sim_cluster::{Inner, SimCluster, Slot, WatchState};
use super::watched::Watched;

/// Configures a [`SimCluster`]; [`start`](SimBuilder::start) starts it.
pub struct SimBuilder<H> {
    seed: u64,
    hosts: Vec<String>,
    config: Config,
    quality: Quality,
    nemesis: Nemesis,
    on_disk: bool,
    bug: Option<NodeBug>,
    predicates: Vec<Box<dyn Predicate>>,
    watch_state: Option<WatchState<H>>,
}

impl<H: Clone + Send + Sync + 'static> SimCluster<H> {
    /// Begins to configure a cluster of three nodes whose every chance follows from `seed`. `H` is
    /// what is installed on each node.
    pub fn builder(seed: u64) -> SimBuilder<H> {
        let builder = SimBuilder {
            seed,
            hosts: vec![],
            config: Config::local(),
            quality: Quality::default(),
            nemesis: Nemesis::default(),
            on_disk: false,
            bug: None,
            predicates: vec![],
            watch_state: None,
        };
        builder.nodes(3)
    }
}

impl<H: Clone + Send + Sync + 'static> SimBuilder<H> {
    /// How many nodes there are, at most 26. They are called `a`, `b` and so on.
    ///
    /// # Panics
    /// When there are none or too many.
    #[must_use]
    pub fn nodes(mut self, nodes: usize) -> Self {
        assert!((1..=26).contains(&nodes), "{nodes} nodes cannot be simulated: use 1 to 26");
        self.hosts = ('a'..='z').take(nodes).map(String::from).collect();
        self
    }

    /// The settings of all nodes, but for their names and addresses.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// How good the links are as long as no fault makes them worse.
    #[must_use]
    pub fn network(mut self, quality: Quality) -> Self {
        self.quality = quality;
        self
    }

    /// Which faults [`SimCluster::under_chaos`] has in store.
    #[must_use]
    pub fn nemesis(mut self, nemesis: Nemesis) -> Self {
        self.nemesis = nemesis;
        self
    }

    /// Gives every host a simulated disk, on which its nodes keep what they know: a node that is
    /// started again is the same one, unless its disk was lost.
    #[must_use]
    pub fn on_disk(mut self) -> Self {
        self.on_disk = true;
        self
    }

    /// Switches a deliberate defect on in all nodes. That of a disk shows only with
    /// [disks](Self::on_disk).
    #[must_use]
    pub fn bug(mut self, bug: Option<NodeBug>) -> Self {
        self.bug = bug;
        self
    }

    /// Adds a safety property to the [standard](predicates::standard) ones.
    #[must_use]
    pub fn predicate(mut self, predicate: impl Predicate) -> Self {
        self.predicates.push(Box::new(predicate));
        self
    }

    /// Has the predicates look at a replicated state: its copies must be equal wherever they have
    /// applied the same command last.
    #[must_use]
    pub fn watch_state<S: ReplicatedState>(
        mut self,
        state: impl Fn(&H) -> Replicated<S> + Send + Sync + 'static,
    ) -> Self {
        self.watch_state = Some(Box::new(move |app| Watched::new(&state(app))));
        self
    }

    /// Starts all nodes at once and waits until they are one cluster. `install` is called for each
    /// start of each node, with a builder that has all but the modules; what it gives is the node's
    /// [`app`](super::Node::app).
    ///
    /// # Errors
    /// When the nodes do not become a cluster, or break a promise while they do.
    pub async fn start(
        self,
        install: impl FnMut(&mut ClusterBuilder) -> H + Send + 'static,
    ) -> Result<SimCluster<H>, Failure> {
        let network = SimNetwork::new(self.seed);
        network.set_quality(self.quality);
        let mut predicates = predicates::standard(&self.config);
        predicates.extend(self.predicates);
        let record = Record::new(self.seed, predicates);
        // Not the same numbers as the nodes, the clients and the nemesis.
        let mut seeds = StdRng::seed_from_u64(self.seed ^ 0x0064_6973_6b73);
        let slots = self.hosts.into_iter().map(|host| {
            let disk = self.on_disk.then(|| HostDisk::new(seeds.random()));
            (host, Slot::new(record.began(), disk))
        });
        let slots = slots.collect();
        SimCluster::launch(Inner {
            seed: self.seed,
            config: self.config,
            network,
            record,
            nemesis: self.nemesis,
            bug: self.bug,
            install: Mutex::new(Box::new(install)),
            watch_state: self.watch_state,
            slots: Mutex::new(slots),
            choices: Mutex::new(StdRng::seed_from_u64(self.seed)),
        })
        .await
    }
}

impl<H> fmt::Debug for SimBuilder<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimBuilder")
            .field("seed", &self.seed)
            .field("hosts", &self.hosts)
            .field("nemesis", &self.nemesis)
            .finish_non_exhaustive()
    }
}
