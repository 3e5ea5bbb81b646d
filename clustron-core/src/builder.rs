//! Configuring and starting a node.

mod installer;
mod pipeline;
mod security;
mod storage;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

#[cfg(feature = "simulation")]
use crate::data_dir::DiskBug;
#[cfg(feature = "simulation")]
use crate::simulation::NodeBug;
#[cfg(feature = "simulation")]
use clustron_wal::SimDisk;
use tokio_util::sync::CancellationToken;

use crate::chance::Chance;
use crate::cluster::{Cluster, Inner};
use crate::collect::{self, Collector};
use crate::config::Config;
use crate::control::{Control, ControlParts, Modules};
use crate::data_dir::{DataDir, Identity};
use crate::defect::Defect;
use crate::detection::{Detection, MakeDetector};
use crate::discovery::{Addresses, Discovery, Search};
use crate::error::StartError;
use crate::event_bus::{self, EventBus};
use crate::follow::{self, Observer};
use crate::formation::{Formation, Formed};
use crate::health::{Check, HealthBoard};
use crate::identity::{ClusterName, Incarnation, NodeId, NodeInfo, NodeName, Role};
use crate::late::LateCluster;
use crate::membership::{FailureDetector, Listed, MembershipConfig, configured_detector};
use crate::messaging::{Handlers, Messenger, MessengerConfig, SILENCE_MAX};
use crate::metrics::{CoreMetrics, Exposed, Register};
use crate::monitor;
use crate::pipeline::Registry;
use crate::roles;
use crate::security::{KeySource, Secured, TlsConfig};
use crate::status::StatusBoard;
use crate::tasks::Tasks;
use crate::time::{Clock, SystemClock};
use crate::transport::{Listener, TcpTransport, Transport};

use installer::Service;
pub use installer::{Installer, Module};

/// Makes the event bus of a node with this id.
type MakeEventBus = dyn Fn(NodeId) -> Arc<dyn EventBus> + Send + Sync;

/// Configures a node; [`start`](ClusterBuilder::start) starts it.
pub struct ClusterBuilder {
    name: String,
    config: Config,
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    judge: Box<MakeDetector>,
    sources: Vec<Arc<dyn Discovery>>,
    event_bus: Option<Box<MakeEventBus>>,
    chance: Arc<Chance>,
    #[cfg(feature = "simulation")]
    sim_disk: Option<SimDisk>,
    #[cfg(feature = "simulation")]
    disk_bug: Option<DiskBug>,
    defect: Defect,
    modules: BTreeSet<String>,
    replicated: Modules,
    /// Never locked: it lets the builder, and so the future of `start`, go to another thread.
    services: Mutex<Vec<(&'static str, Service)>>,
    metrics: Vec<Arc<Register>>,
    pub(crate) checks: Vec<(&'static str, Arc<Check>)>,
    pub(crate) late: LateCluster,
    twice: Option<&'static str>,
    /// Which kinds of security were asked for one by one.
    tls: Option<TlsConfig>,
    cluster_key: Option<KeySource>,
    layers: Registry,
}

impl fmt::Debug for ClusterBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterBuilder")
            .field("name", &self.name)
            .field("config", &self.config)
            .field("modules", &self.modules)
            .finish_non_exhaustive()
    }
}

impl ClusterBuilder {
    pub(crate) fn new(name: String) -> Self {
        Self {
            name,
            config: Config::default(),
            transport: Arc::new(TcpTransport),
            clock: Arc::new(SystemClock),
            judge: Box::new(configured_detector),
            sources: vec![],
            event_bus: None,
            chance: Arc::new(Chance::from_os()),
            #[cfg(feature = "simulation")]
            sim_disk: None,
            #[cfg(feature = "simulation")]
            disk_bug: None,
            defect: Defect::default(),
            modules: BTreeSet::new(),
            replicated: BTreeMap::new(),
            services: Mutex::default(),
            metrics: vec![],
            checks: vec![],
            late: LateCluster::default(),
            twice: None,
            tls: None,
            cluster_key: None,
            layers: Registry::default(),
        }
    }

    /// Replaces all settings.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// What people call the node.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.config.name = Some(name.into());
        self
    }

    /// Where to listen, `host:port`.
    #[must_use]
    pub fn listen(mut self, addr: impl Into<String>) -> Self {
        self.config.listen = addr.into();
        self
    }

    /// Where the others reach this node, if that is not where it listens.
    #[must_use]
    pub fn advertise(mut self, addr: impl Into<String>) -> Self {
        self.config.advertise = Some(addr.into());
        self
    }

    /// Where other nodes may be found; may include this node's own address.
    #[must_use]
    pub fn seeds<S: Into<String>>(mut self, seeds: impl IntoIterator<Item = S>) -> Self {
        self.config.seeds = seeds.into_iter().map(Into::into).collect();
        self
    }

    /// Looks for other nodes with this source too, beside the [seeds](Self::seeds) and the sources
    /// that were given before. The addresses may change while the node runs. A member then says
    /// with [`expect`](Self::expect) how many members found the cluster. See [`Discovery`].
    #[must_use]
    pub fn discovery(mut self, source: impl Discovery) -> Self {
        self.sources.push(Arc::new(source));
        self
    }

    /// How many members must see each other to found a cluster.
    #[must_use]
    pub fn expect(mut self, members: usize) -> Self {
        self.config.expect = Some(members);
        self
    }

    /// Where the node keeps its identity and its part of the control log; see
    /// [`Config::data_dir`].
    #[must_use]
    pub fn data_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.config.data_dir = Some(dir.into());
        self
    }

    /// A simulated disk in the place of a data directory. Calls to it are made in place, each after
    /// the disk's [latency](SimDisk::latency), so that a run repeats exactly.
    #[cfg(feature = "simulation")]
    #[must_use]
    pub fn sim_disk(mut self, disk: SimDisk) -> Self {
        self.sim_disk = Some(disk);
        self
    }

    /// A deliberate defect of the node. That of a disk shows only on a [simulated
    /// one](Self::sim_disk).
    #[cfg(feature = "simulation")]
    #[must_use]
    pub fn bug(mut self, bug: Option<NodeBug>) -> Self {
        (self.disk_bug, self.defect.bug) = match bug {
            None => (None, None),
            Some(NodeBug::Disk(bug)) => (Some(bug), None),
            Some(NodeBug::Cluster(bug)) => (None, Some(bug)),
        };
        self
    }

    /// What the node does, instead of being a member.
    #[must_use]
    pub fn roles(mut self, roles: impl IntoIterator<Item = Role>) -> Self {
        self.config.roles = roles.into_iter().collect();
        self
    }

    /// Adds a label for placement.
    #[must_use]
    pub fn tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.config.tags.insert(key.into(), value.into());
        self
    }

    /// How bytes travel, instead of TCP. Security comes around it.
    #[must_use]
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Arc::new(transport);
        self
    }

    /// Where wall-clock time comes from, instead of the operating system.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Makes everything that the node leaves to chance follow from a number: its identity, the id
    /// of a cluster that it founds, whom it probes when. For tests, which want the same run again;
    /// the nodes of a cluster, and each start of one, need different seeds, or they get the same
    /// identity. By default the operating system is the source.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.chance = Arc::new(Chance::seeded(seed));
        self
    }

    /// A failure detector of your own, instead of the one that
    /// [`MembershipConfig::detector`](crate::MembershipConfig::detector) names: `make` gets the
    /// node's id, its settings and a seed for all that is left to chance. `clustron-testkit` has
    /// the conformance suite that it should pass.
    #[must_use]
    pub fn failure_detector<F>(mut self, make: F) -> Self
    where
        F: Fn(NodeId, &MembershipConfig, u64) -> Box<dyn FailureDetector> + Send + Sync + 'static,
    {
        self.judge = Box::new(make);
        self
    }

    /// What carries events, instead of the cluster's own bus: `make` gets the node's id, again if
    /// the node has to start over. `clustron-testkit` has the conformance suite that it should
    /// pass.
    #[must_use]
    pub fn event_bus<F>(mut self, make: F) -> Self
    where
        F: Fn(NodeId) -> Arc<dyn EventBus> + Send + Sync + 'static,
    {
        self.event_bus = Some(Box::new(make));
        self
    }

    /// Adds a module and gives its handle.
    pub fn install<M: Module>(&mut self, module: M) -> M::Handle {
        if !self.modules.insert(M::NAME.to_owned()) {
            self.twice.get_or_insert(M::NAME);
        }
        module.install(&mut Installer { name: M::NAME, builder: self })
    }

    /// Starts the node and waits until it is part of a cluster, however long the other founders
    /// take; the log says what it waits for. Dropping the future ends the node.
    ///
    /// # Errors
    /// See [`StartError`]. Nothing is left running.
    pub async fn start(mut self) -> Result<Cluster, StartError> {
        let name = ClusterName::new(self.name.clone()).map_err(crate::ConfigError::from)?;
        self.config.check_with(!self.sources.is_empty())?;
        self.plans()?;
        if let Some(module) = self.twice {
            return Err(StartError::ModuleTwice(module));
        }
        if let Some(module) = self.replicated.keys().next()
            && !roles::follows_log(&self.config.roles)
        {
            let roles = roles::listed(&self.config.roles);
            return Err(StartError::NoLog { module: (*module).to_owned(), roles });
        }
        let services = std::mem::take(&mut self.services);
        let services = services.into_inner().unwrap_or_else(PoisonError::into_inner);
        let secured = self.security()?.secure(self.transport.clone())?;
        let mut listen = self.config.listen.clone();
        let data = self.open_data_dir(&name).await?;
        loop {
            let listening = secured.transport.listen(&listen).await;
            let listener =
                listening.map_err(|error| StartError::Listen { addr: listen.clone(), error })?;
            // A second attempt must be found where the first was.
            listen = listener.local_addr();
            let (cluster, formation, refuted) =
                self.launch(&name, listener, &data, &secured).await?;
            let inner = cluster.inner();
            match formation.run().await {
                Ok(Formed::Yes) => {
                    let closing = inner.closing.clone();
                    inner.services.spawn("stay in", async move {
                        tokio::select! {
                            biased;
                            () = closing.cancelled() => {}
                            () = formation.stay_in(refuted) => {}
                        }
                    });
                    self.late.set(&inner);
                    for (name, service) in services {
                        inner.services.spawn(name, service(cluster.module_handle()));
                    }
                    return Ok(cluster);
                }
                Ok(Formed::Abandoned) => {
                    cluster.end().await;
                    self.renounce(&data).await?;
                }
                Err(error) => {
                    cluster.end().await;
                    if let (StartError::OldState(_), Some(data)) = (&error, &data) {
                        data.take_back_start().map_err(|error| data.failed(error))?;
                    }
                    return Err(error);
                }
            }
        }
    }

    /// Starts all parts of a node under a fresh identity.
    async fn launch(
        &self,
        cluster: &ClusterName,
        listener: Box<dyn Listener>,
        data: &Option<Arc<DataDir>>,
        secured: &Secured,
    ) -> Result<(Cluster, Arc<Formation>, tokio::sync::watch::Receiver<Incarnation>), StartError>
    {
        let config = &self.config;
        let (local, storage) = self.open_storage(cluster, &listener.local_addr(), data).await?;
        tracing::info!(node = %local.node(), cluster = %cluster, "starting");
        let (tasks, metrics) = (Tasks::default(), Arc::<CoreMetrics>::default());
        let limits = MessengerConfig {
            connect_timeout: config.timing.connect_timeout,
            frame_bytes_max: config.frame_bytes_max,
            connections_max: config.connections_max,
            connections_per_peer_max: config.connections_per_peer_max,
            data_idle_timeout: config.data_idle_timeout,
            silence_max: SILENCE_MAX,
            plans: self.plans()?,
        };
        let (messenger, news) = Messenger::new(
            &limits,
            local.clone(),
            secured.transport.clone(),
            Handlers::default(),
            self.chance.clone(),
            metrics.clone(),
            tasks.clone(),
        );
        let (detection, outlook) = Detection::new();
        let refuted = detection.refuted();
        let control = Control::start(ControlParts {
            local: local.clone(),
            clock: self.clock.clone(),
            chance: self.chance.clone(),
            timing: config.timing,
            goal: config.goal(),
            snapshot_entries: config.snapshot_entries,
            messenger: messenger.clone(),
            modules: Arc::new(self.replicated.clone()),
            storage,
            outlook: outlook.clone(),
            metrics: metrics.clone(),
            tasks: tasks.clone(),
        })
        .await?;
        let status = StatusBoard::new(local.node());
        let exposed = Arc::new(Exposed::new(&metrics, &control));
        self.metrics.iter().for_each(|register| exposed.add(|registry| register(registry)));
        let collector = roles::collects_metrics(&config.roles).then(Arc::<Collector>::default);
        let event_bus = match &self.event_bus {
            Some(make) => make(local.id),
            None => event_bus::start(&control, &messenger, config.frame_bytes_max),
        };
        let closing = CancellationToken::new();
        let health = HealthBoard::new(&control, &closing, config, &self.checks);
        let watcher = monitor::start(&control, &health, &messenger, &status, config);
        let inner = Arc::new(Inner {
            local: local.clone(),
            control: control.clone(),
            messenger: messenger.clone(),
            event_bus,
            chance: self.chance.clone(),
            status: status.clone(),
            health: health.clone(),
            outlook: outlook.clone(),
            metrics: metrics.clone(),
            exposed: exposed.clone(),
            collector: collector.clone(),
            watcher,
            clock: self.clock.clone(),
            tasks: tasks.clone(),
            services: tasks.beside(),
            closing,
        });
        // From here on dropping `cluster` ends what has been started.
        let cluster = Cluster::new(inner.clone());
        // Outlives the node's tasks by what it takes to end Raft, which runs tasks of its own.
        tokio::spawn(async move {
            inner.tasks.node_ended().await;
            inner.abort();
            inner.health.look();
            inner.control.stop().await;
        });
        let membership = config.membership.clone();
        let (seed, judge) = (self.chance.seed(), self.judge.as_ref());
        detection.run(membership, judge, seed, messenger.clone(), news, control.clone());
        tasks.spawn("certificates and keys", secured.clone().keep_fresh(metrics.clone()));
        tasks.spawn("status", status.clone().keep(control.clone(), outlook, health));
        collect::serve(&messenger, exposed.clone());
        if let Some(collector) = collector {
            let (control, messenger) = (control.clone(), messenger.clone());
            let run = collector.run(control, messenger, exposed, config.metrics_interval);
            tasks.spawn("metrics collector", run);
        }
        let addresses = self.search(&tasks);
        match control.following() {
            Some(following) => {
                let (messenger, addresses) = (messenger.clone(), addresses.clone());
                let observer = Observer::new(control.clone(), following, messenger, addresses);
                tasks.spawn("observer", observer.run());
            }
            None => follow::serve(&messenger, control.clone(), status.watch()),
        }
        let formation = Formation::new(control, messenger.clone(), addresses, config.expected());
        messenger.listen(listener);
        Ok((cluster, formation, refuted))
    }

    /// Where others may be found, which other sources than the seeds may change.
    fn search(&self, tasks: &Tasks) -> Addresses {
        let seeds = self.config.seeds.clone();
        if self.sources.is_empty() {
            return Addresses::fixed(seeds);
        }
        let (search, addresses) = Search::new(seeds, self.sources.clone());
        tasks.spawn("discovery", search.run());
        addresses
    }

    fn describe(
        &self,
        listening_at: &str,
        identity: Option<Identity>,
    ) -> Result<NodeInfo, StartError> {
        let addr = self.config.advertise.clone().unwrap_or_else(|| listening_at.to_owned());
        if addr.starts_with("0.0.0.0:") || addr.starts_with("[::]:") {
            return Err(StartError::Advertise { addr });
        }
        let (id, incarnation, starts) = match identity {
            Some(identity) => (identity.node, identity.incarnation, identity.starts),
            None => (NodeId::mint(&self.chance), Incarnation(1), 1),
        };
        let name = self.config.name.clone();
        let name = name.unwrap_or_else(|| format!("node-{}", &id.to_string()[..4]));
        Ok(NodeInfo {
            id,
            name: NodeName::new(name).map_err(crate::ConfigError::from)?,
            incarnation,
            addr,
            roles: self.config.roles.clone(),
            tags: self.config.tags.clone(),
            revision: Listed::first_revision(incarnation),
            starts,
            process: self.chance.seed(),
        })
    }
}

#[cfg(test)]
mod tests;
