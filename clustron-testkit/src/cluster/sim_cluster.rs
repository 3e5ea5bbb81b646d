//! Real nodes on a simulated network, and everything that can be done to them.

mod disks;
mod lives;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clustron_core::simulation::NodeBug;
use clustron_core::{Activation, Cluster, ClusterBuilder, ClusterStatus, Config};
use rand::Rng;
use rand::rngs::StdRng;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::clock::SimClock;
use super::failure::Failure;
use super::host_disk::HostDisk;
use super::nemesis::Nemesis;
use super::network::{SimNetwork, SimTransport};
use super::node::Node;
use super::record::Record;
use super::watched::Watched;

/// How long the nodes may take to become a cluster, and to become whole after the last fault.
pub const CONVERGE_WITHIN: Duration = Duration::from_secs(60);

/// The longest that work under chaos may take.
pub const WORK_MAX: Duration = Duration::from_secs(3600);

/// How often a cluster that has to come about is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

pub(super) type Install<H> = Box<dyn FnMut(&mut ClusterBuilder) -> H + Send>;
pub(super) type WatchState<H> = Box<dyn Fn(&H) -> Watched + Send + Sync>;

/// A cluster of real nodes in virtual time. See the [module's documentation](super). Clones are the
/// same cluster, so that clients can run as tasks of their own.
pub struct SimCluster<H> {
    inner: Arc<Inner<H>>,
}

impl<H> Clone for SimCluster<H> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

pub(super) struct Inner<H> {
    pub(super) seed: u64,
    pub(super) config: Config,
    pub(super) network: SimNetwork,
    pub(super) record: Record,
    pub(super) nemesis: Nemesis,
    pub(super) bug: Option<NodeBug>,
    pub(super) install: Mutex<Install<H>>,
    pub(super) watch_state: Option<WatchState<H>>,
    pub(super) slots: Mutex<BTreeMap<String, Slot<H>>>,
    /// For [`SimCluster::pick`].
    pub(super) choices: Mutex<StdRng>,
}

/// A host, and the node on it if there is one.
pub(super) struct Slot<H> {
    pub(super) clock: SimClock,
    pub(super) life: u32,
    /// None: its nodes keep everything in memory.
    disk: Option<HostDisk>,
    /// How often all that its nodes knew was lost with a disk.
    disks_lost: usize,
    /// Its node ended because of its disk, and nobody has started another yet.
    fell: bool,
    process: Option<SimTransport>,
    /// Ends with the node: what starts it, then what observes it.
    task: Option<JoinHandle<()>>,
    running: Option<(Cluster, Node<H>)>,
}

impl<H> Slot<H> {
    pub(super) fn new(beginning: Instant, disk: Option<HostDisk>) -> Self {
        let clock = SimClock::new(beginning);
        Self {
            clock,
            life: 0,
            disk,
            disks_lost: 0,
            fell: false,
            process: None,
            task: None,
            running: None,
        }
    }

    /// Whether its disk is an old copy.
    fn has_old_disk(&self) -> bool {
        self.disk.as_ref().is_some_and(HostDisk::is_old)
    }
}

impl<H: Clone + Send + Sync + 'static> SimCluster<H> {
    pub(super) async fn launch(inner: Inner<H>) -> Result<Self, Failure> {
        let cluster = Self { inner: Arc::new(inner) };
        for host in cluster.hosts() {
            cluster.restart(&host);
        }
        cluster.converge().await?;
        Ok(cluster)
    }

    /// The seed from which everything follows.
    pub fn seed(&self) -> u64 {
        self.inner.seed
    }

    /// Virtual time since the beginning.
    pub fn now(&self) -> Duration {
        self.inner.record.now()
    }

    /// The names of all hosts, whether their nodes run or not.
    pub fn hosts(&self) -> Vec<String> {
        self.slots().keys().cloned().collect()
    }

    /// The node of a host, if it runs and is part of the cluster.
    pub fn node(&self, host: &str) -> Option<Node<H>> {
        self.slots().get(host)?.running.as_ref().map(|(_, node)| node.clone())
    }

    /// All nodes that run and are part of the cluster, by name.
    pub fn nodes(&self) -> Vec<Node<H>> {
        let slots = self.slots();
        slots.values().filter_map(|slot| slot.running.as_ref()).map(|(_, n)| n.clone()).collect()
    }

    /// Any running node, as a client's load balancer would choose it.
    pub fn pick(&self) -> Option<Node<H>> {
        let mut nodes = self.nodes();
        let mut choices = self.inner.choices.lock().unwrap_or_else(PoisonError::into_inner);
        let at = choices.random_range(0..nodes.len().max(1));
        (at < nodes.len()).then(|| nodes.swap_remove(at))
    }

    /// The host of the node that leads with the highest epoch, as it believes itself.
    pub fn leader(&self) -> Option<String> {
        let leading = self.nodes().into_iter();
        let leading = leading.filter_map(|node| Some((node.status().leading?, node.name)));
        leading.max().map(|(_, host)| host)
    }

    /// The network, for faults of one's own. Prefer the methods here: they tell the predicates what
    /// a fault allows.
    pub fn network(&self) -> &SimNetwork {
        &self.inner.network
    }

    /// The wall clock of a host. It outlives the host's nodes.
    ///
    /// # Panics
    /// When there is no such host.
    pub fn clock(&self, host: &str) -> SimClock {
        self.slot(host, |slot| slot.clock.clone())
    }

    /// Everything that has been seen, a line each: virtual time in seconds, the node with the
    /// number of its life, and what happened.
    pub fn trace(&self) -> String {
        self.inner.record.trace()
    }

    /// Writes a line of the test's own into the trace.
    pub fn note(&self, what: &str) {
        self.inner.record.note("-", what);
    }

    /// Fails the run for a reason of the test's own, as a predicate would.
    ///
    /// # Errors
    /// Always: the run's first failure, which is this one if there was none.
    pub fn fail<T>(&self, predicate: &str, detail: &str) -> Result<T, Failure> {
        self.inner.record.fail(predicate, detail);
        match self.check() {
            Err(failure) => Err(failure),
            Ok(()) => unreachable!("a failure was just recorded"),
        }
    }

    /// Whether all predicates have held so far.
    ///
    /// # Errors
    /// The first that did not.
    pub fn check(&self) -> Result<(), Failure> {
        self.inner.record.check()
    }

    /// Cuts both directions between two hosts.
    pub fn cut(&self, a: &str, b: &str) {
        self.note(&format!("cut {a} - {b}"));
        self.inner.network.cut(a, b);
        self.look();
    }

    /// Cuts the direction from one host to another.
    pub fn cut_one_way(&self, from: &str, to: &str) {
        self.note(&format!("cut {from} > {to}"));
        self.inner.network.cut_one_way(from, to);
        self.look();
    }

    /// Cuts every link between the one group and the other.
    pub fn part(&self, one: &[String], other: &[String]) {
        for a in one {
            for b in other {
                self.cut(a, b);
            }
        }
    }

    /// Makes a link bad, both ways, until it is healed.
    pub fn worsen(&self, a: &str, b: &str, quality: super::Quality) {
        self.note(&format!("worsen {a} - {b}: {quality:?}"));
        self.inner.network.set_link_quality(a, b, quality);
        self.look();
    }

    /// Mends all links, and nothing else.
    pub fn mend(&self) {
        self.note("mend");
        self.inner.network.heal_all();
        self.look();
    }

    /// Mends all links, gives every host its power, starts every node that does not run, and lets
    /// all clocks run right. What they show stays as wrong as it is. Disks are well again, but for
    /// what is on them.
    pub fn heal(&self) {
        self.note("heal");
        self.inner.network.heal_all();
        for host in self.hosts() {
            self.clock(&host).drift(0);
            self.heal_disk(&host);
            self.restart(&host);
        }
        self.look();
    }

    /// Whether the cluster survives the loss of a host's node: as far as anybody knows, a majority
    /// of those that vote are other running nodes. With logs in memory what is lost is lost.
    pub fn can_lose(&self, host: &str) -> bool {
        let nodes = self.nodes();
        let others: Vec<_> =
            nodes.iter().filter(|node| node.name != host).map(|node| node.node().id).collect();
        nodes.iter().all(|node| {
            let voters = node.status().voters;
            2 * voters.iter().filter(|id| others.contains(id)).count() > voters.len()
        })
    }

    /// Does work while faults come and go as the builder's [`Nemesis`] draws them from the seed,
    /// and heals the cluster when the work is done. Predicates are checked all the while.
    ///
    /// # Errors
    /// The first failure; also when the work takes longer than [`WORK_MAX`].
    pub async fn under_chaos<T>(&self, work: impl Future<Output = T>) -> Result<T, Failure> {
        let done = tokio::select! {
            biased;
            () = self.inner.record.failed() => None,
            done = work => Some(done),
            () = self.inner.nemesis.torment(self) => None,
            () = tokio::time::sleep(WORK_MAX) => None,
        };
        self.check()?;
        let Some(done) = done else {
            return self.fail("work_ends", &format!("the work took longer than {WORK_MAX:?}"));
        };
        self.heal();
        Ok(done)
    }

    /// Waits until the cluster is whole: every host's node runs, all have the same view with all of
    /// them alive in it and the same leader, who leads, nobody is suspected, and each node answers
    /// a linearizable read. Where a state is watched, all copies of it are equal then.
    ///
    /// # Errors
    /// The first failure; also when that takes longer than [`CONVERGE_WITHIN`].
    pub async fn converge(&self) -> Result<Activation, Failure> {
        let until = Instant::now() + CONVERGE_WITHIN;
        loop {
            tokio::select! {
                biased;
                () = self.inner.record.failed() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            self.check()?;
            self.restart_fallen();
            let lacking = match self.is_whole() {
                Ok(leader) => match self.answers(until).await {
                    // It may have changed meanwhile.
                    Ok(()) if self.is_whole().as_ref() == Ok(&leader) => {
                        self.note(&format!("whole, led by {}", leader.name));
                        self.check()?;
                        return Ok(leader);
                    }
                    Ok(()) => "it changes".to_owned(),
                    Err(lacking) => lacking,
                },
                Err(lacking) => lacking,
            };
            if Instant::now() >= until {
                let detail = format!("not whole after {CONVERGE_WITHIN:?}: {lacking}");
                return self.fail("converges", &detail);
            }
        }
    }

    fn is_whole(&self) -> Result<Activation, String> {
        let (hosts, nodes) = (self.hosts(), self.nodes());
        if nodes.len() < hosts.len() {
            return Err(format!("of {hosts:?} only {} have started", nodes.len()));
        }
        let statuses: Vec<ClusterStatus> = nodes.iter().map(|node| node.status()).collect();
        let Some(leader) = statuses[0].leader.clone() else {
            return Err(format!("{} knows of no leader", nodes[0].name));
        };
        let ids: std::collections::BTreeSet<_> = nodes.iter().map(|node| node.node().id).collect();
        for (node, status) in nodes.iter().zip(&statuses) {
            let name = &node.name;
            if status.leader.as_ref() != Some(&leader) {
                return Err(format!("{name} follows {:?}, not {leader:?}", status.leader));
            }
            if status.view.alive().map(|node| node.id).ne(ids.iter().copied()) {
                let alive: Vec<String> = status.view.alive().map(ToString::to_string).collect();
                return Err(format!("{name} has {alive:?} in its view, not {ids:?}"));
            }
            if status.view != statuses[0].view {
                return Err(format!("{name} has another view than {}", nodes[0].name));
            }
            if let Some((suspect, why)) = status.suspected.first_key_value() {
                return Err(format!("{name} suspects {suspect}: {why}"));
            }
            let leads = (node.node().id == leader.node).then_some(leader.epoch);
            if status.leading != leads {
                return Err(format!("{name} leads in {:?}, not {leads:?}", status.leading));
            }
        }
        Ok(leader)
    }

    /// Whether each node answers a linearizable read, and all have the same state then.
    async fn answers(&self, until: Instant) -> Result<(), String> {
        let mut states = vec![];
        for node in self.nodes() {
            let left = until.saturating_duration_since(Instant::now());
            let read = node.barrier(left.min(Duration::from_secs(5))).await;
            read.map_err(|error| format!("{} does not answer a read: {error}", node.name))?;
            // Not its index: that of a copy that came by a snapshot is the snapshot's.
            states.extend(self.inner.watch_state.as_ref().map(|watch| watch(&node.app).now().1));
        }
        match states.windows(2).all(|pair| pair[0] == pair[1]) {
            true => Ok(()),
            false => Err(format!("the copies of the state differ: {states:x?}")),
        }
    }

    /// Tells the predicates what the faults leave.
    fn look(&self) {
        let (at, hosts) = (self.now(), self.hosts());
        let running: BTreeMap<_, _> =
            self.nodes().into_iter().map(|node| (node.name.clone(), node.node().id)).collect();
        let network = &self.inner.network;
        self.inner.record.change_health(|health| {
            health.running = running;
            let flows = |from: &str, to: &str| network.is_open(from, to);
            let well = |from: &str, to: &str| network.is_good(from, to);
            health.look(at, &hosts, flows, well);
        });
    }

    fn slots(&self) -> MutexGuard<'_, BTreeMap<String, Slot<H>>> {
        self.inner.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot<T>(&self, host: &str, with: impl FnOnce(&mut Slot<H>) -> T) -> T {
        let mut slots = self.slots();
        let hosts: Vec<String> = slots.keys().cloned().collect();
        match slots.get_mut(host) {
            Some(slot) => with(slot),
            None => {
                drop(slots);
                panic!("there is no host {host:?}, only {hosts:?}")
            }
        }
    }
}

impl<H> fmt::Debug for SimCluster<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimCluster").field("seed", &self.inner.seed).finish_non_exhaustive()
    }
}
