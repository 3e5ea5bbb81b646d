//! The control plane: one Raft group whose log holds what the cluster agrees on.
//!
//! openraft is the consensus, and nothing outside this module names it. Around it stand our own
//! parts: when to stand for election ([`campaign`]), what a leader does ([`reign`]), how commands
//! come in ([`propose`], [`queue`], [`courier`], [`proposer`]), what applying them means
//! ([`machine`], [`state`]) and how the result is read ([`read`]). What is left of a cluster that
//! lost its majority: [`loss`], [`survivor`].

mod awake;
mod batch;
mod campaign;
mod command;
mod compaction;
mod content;
mod courier;
#[cfg(feature = "simulation")]
mod decoders;
mod describe;
mod disk_watch;
mod freshness;
mod group;
mod hand_over;
mod handlers;
mod log_disk;
mod log_store;
mod loss;
mod machine;
mod network;
mod permit;
mod propose;
mod proposer;
mod queue;
mod reach;
mod read;
mod receiving;
mod recency;
mod reign;
mod replicated;
mod rounds;
mod rpc;
mod settings;
mod snapshot;
mod snapshot_file;
mod state;
mod survivor;
mod types;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::{RwLock, Semaphore, watch};
use tokio::time::Instant;

use campaign::Campaign;
#[cfg(feature = "simulation")]
pub(crate) use command::Removed;
pub use command::{COMMAND_BYTES_MAX, Rejection};
pub(crate) use command::{Command, Response};
#[cfg(feature = "simulation")]
pub(crate) use decoders::{FILE_DECODERS, MESSAGE_DECODERS};
use log_store::Log;
pub(crate) use loss::LOSSES_MAX;
pub(crate) use machine::Modules;
use machine::{Machine, Shown};
use network::{Answers, Peers};
use permit::Permit;
pub use propose::ProposeError;
pub use proposer::Backlog;
use proposer::HandedOn;
use queue::Queue;
use read::ReadRounds;
pub use read::{Consistency, Read};
use receiving::Receiving;
use recency::Recency;
pub(crate) use replicated::AnyReplicated;
pub use replicated::{Applied, Committed, Replicated, ReplicatedState};
pub(crate) use rpc::{Join, JoinReply};
use snapshot_file::SnapshotFile;
pub(crate) use state::Agreed;
pub(crate) use survivor::Survivor;
#[cfg(test)]
pub(crate) use survivor::fixture;
use types::{Metrics, Raft};

use crate::chance::Chance;
use crate::config::Timing;
use crate::data_dir::DataDir;
use crate::election::Input;
use crate::error::StartError;
use crate::follow::{Following, Told};
use crate::identity::{ClusterId, Epoch, NodeId, NodeInfo};
use crate::local::Local;
use crate::messaging::{Lane, Messenger, Process};
use crate::metrics::CoreMetrics;
use crate::outlook::Outlook;
use crate::tasks::Tasks;
use crate::time::Clock;
use crate::voter_groups::Groups;
use crate::voters::{self, Goal};

/// Requests of other nodes' cores that may wait here at the same time, besides the commands of
/// modules, which must not crowd them out; more are sent back.
const CORE_REQUESTS: usize = 1024;

/// A node's part in the control plane.
pub(crate) struct Control {
    pub(crate) local: Arc<Local>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) timing: Timing,
    chance: Arc<Chance>,
    messenger: Messenger,
    raft: Raft,
    log: Log,
    campaign: Arc<Campaign>,
    answers: Answers,
    /// Stands in the place of the log where the node's roles do not let it follow the log.
    following: Option<Arc<Following>>,
    agreed: watch::Receiver<Arc<Agreed>>,
    /// How far this node has applied the log, by Raft's own count: see [`loss`].
    log_applied: watch::Receiver<u64>,
    applied_groups: watch::Receiver<Groups>,
    /// The epoch in which this node leads, from its own activation until it may no longer.
    leading: watch::Sender<Option<Epoch>>,
    pub(crate) outlook: Outlook,
    /// As leader: the nodes that do not answer this one, though nobody doubts them.
    missed: watch::Sender<BTreeSet<NodeId>>,
    receiving: Receiving,
    modules: Arc<Modules>,
    /// Limits what others may have waiting here.
    core_requests: Semaphore,
    handed_on: HandedOn,
    /// Commands that this node proposes are inside, and keep it open, until they are answered.
    /// Handing over closes it.
    door: Arc<RwLock<()>>,
    /// Commands that wait to be put into an entry, where this node leads.
    proposer: Queue,
    /// Commands that wait to be handed on to whoever leads.
    courier: Queue,
    reads: ReadRounds,
    recency: Arc<Recency>,
    /// How many callers have this leader hand over.
    handing_over: AtomicUsize,
    /// As leader: a majority has not answered for a while. Told with every heartbeat.
    out_of_touch: Arc<AtomicBool>,
    /// As follower: since when the leader of that vote has said so.
    leader_out_since: std::sync::Mutex<Option<(types::Vote, Instant)>>,
    goal: Goal,
    pub(crate) metrics: Arc<CoreMetrics>,
    pub(crate) tasks: Tasks,
}

/// What [`Control::start`] needs.
pub(crate) struct ControlParts {
    pub(crate) local: Arc<Local>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) chance: Arc<Chance>,
    pub(crate) timing: Timing,
    pub(crate) goal: Goal,
    pub(crate) snapshot_entries: u64,
    pub(crate) messenger: Messenger,
    pub(crate) modules: Arc<Modules>,
    pub(crate) storage: Storage,
    pub(crate) outlook: Outlook,
    pub(crate) metrics: Arc<CoreMetrics>,
    pub(crate) tasks: Tasks,
}

/// Where the control plane keeps what it must not forget.
#[derive(Default)]
pub(crate) struct Storage {
    log: Log,
    snapshots: Option<SnapshotFile>,
}

impl Storage {
    /// What a data directory holds.
    pub(crate) async fn open(data: &Arc<DataDir>, local: &Arc<Local>) -> Result<Self, StartError> {
        let snapshots = SnapshotFile::new(data.clone());
        let log = Log::open(data, local).await?.behind(snapshots.saved());
        Ok(Self { log, snapshots: Some(snapshots) })
    }

    /// Whether the cluster is known to have become real.
    pub(crate) fn knows_bootstrap(&self) -> bool {
        self.log.knows_bootstrap()
    }
}

impl Control {
    /// Starts a control plane from what is stored; an empty one waits to be formed or joined.
    pub(crate) async fn start(parts: ControlParts) -> Result<Arc<Self>, StartError> {
        let ControlParts { local, clock, chance, timing, goal, snapshot_entries, .. } = parts;
        let ControlParts { messenger, modules, storage, outlook, metrics, tasks, .. } = parts;
        let failed = |e: &dyn std::fmt::Display| StartError::ControlPlane(e.to_string());
        let (answers, out_of_touch) = (Answers::default(), Arc::<AtomicBool>::default());
        let (Storage { log, snapshots }, permit) = (storage, Permit::default());
        let shown = Shown { metrics: metrics.clone(), ..Shown::default() };
        if let Some(watch) = log.disk_watch() {
            watch.report_to(metrics.log_write_seconds.clone());
        }
        let (agreed, log_applied) = (shown.agreed.subscribe(), shown.applied.subscribe());
        let applied_groups = shown.voters.subscribe();
        let leading = watch::Sender::new(None);
        let watched = (log_applied.clone(), leading.subscribe());
        let (seed, known) = (chance.seed(), answers.clone());
        let recency = Recency::new(local.id, clock.clone(), seed, known, watched.0, watched.1);
        // Raft stays idle then: nobody calls it and nobody hears of it.
        let following = (!local.node().follows_log())
            .then(|| Arc::new(Following::new(shown.agreed.clone(), shown.applied.clone())));
        let receiving = Receiving::new(snapshots.as_ref().map(|file| file.data().clone()));
        let (votes, all) = (local.may_vote, modules.clone());
        let mut machine = Machine::new(all, votes, tasks.clone(), shown);
        if let Some(file) = snapshots {
            // On the heap, or the start of every node would carry it along.
            machine = Box::pin(machine.open(file.clone())).await?;
            if let Some(end) = machine.snapshot_end() {
                let went_on = log.go_on_behind(end).await;
                went_on.map_err(|error| file.data().failed(error))?;
            }
            let reaches = machine.snapshot_end().map(|end| end.index);
            if log.purged() > reaches {
                let purged = log.purged();
                let what = format!("it reaches to {reaches:?}, the log begins after {purged:?}");
                return Err(file.damaged(&what).into());
            }
        }
        let named = log.latest(&agreed.borrow().view);
        // Where the others were when this node last knew, of which nothing may be agreed yet: a
        // node that has moved cannot be found by who was made a voter when it lived elsewhere.
        named.values().for_each(|node| messenger.learn_address(node));
        local.learn_logged(named.into_iter().map(|(id, node)| (id, Process::of(&node))).collect());
        let network = Peers {
            local: local.clone(),
            messenger: messenger.clone(),
            answers: answers.clone(),
            out_of_touch: out_of_touch.clone(),
            permit: permit.clone(),
            recency: recency.clone(),
            metrics: metrics.clone(),
            tasks: tasks.clone(),
        };
        let config =
            Arc::new(settings::raft_config(local.cluster.as_str(), &timing, snapshot_entries)?);
        let raft = Box::pin(Raft::new(local.id, config, network, log.clone(), machine));
        let raft = raft.await.map_err(|e| failed(&e))?;
        for (_, node) in raft.metrics().borrow().membership_config.nodes() {
            if let Some(info) = &node.info {
                messenger.learn_address(info);
            }
        }
        let campaign = Campaign::new(
            timing.election(),
            local.clone(),
            messenger.clone(),
            (raft.clone(), log.clone(), permit),
            metrics.clone(),
            tasks.clone(),
        );
        let control = Arc::new(Self {
            local,
            clock,
            timing,
            chance,
            messenger,
            raft,
            log: log.clone(),
            campaign,
            answers,
            following,
            agreed,
            log_applied,
            applied_groups,
            leading,
            outlook,
            missed: watch::Sender::default(),
            receiving,
            modules,
            core_requests: Semaphore::new(CORE_REQUESTS),
            handed_on: HandedOn::new(),
            door: Arc::default(),
            proposer: Queue::new(metrics.clone()),
            courier: Queue::new(metrics.clone()),
            reads: ReadRounds::default(),
            recency,
            handing_over: AtomicUsize::new(0),
            out_of_touch,
            leader_out_since: std::sync::Mutex::default(),
            goal,
            metrics,
            tasks,
        });
        control.register_handlers();
        control.tasks.spawn("leader duties", control.clone().serve_when_elected());
        control.tasks.spawn("voter list", control.clone().follow_voters());
        control.tasks.spawn("processes of nodes", control.clone().follow_processes());
        control.tasks.spawn("compaction", control.clone().keep_log_short(log));
        control.tasks.spawn("proposer", control.clone().keep_proposing());
        control.tasks.spawn("courier", control.clone().keep_handing_on());
        control.tasks.spawn("read rounds", control.clone().keep_reading());
        Ok(control)
    }

    /// Founds a cluster of these nodes. The one that is called becomes the first leader
    /// if nothing fails.
    pub(crate) async fn found(&self, nodes: Vec<NodeInfo>) -> Result<(), StartError> {
        let cluster = ClusterId::mint(&self.chance);
        if self.local.adopt_cluster(cluster) != cluster {
            // Another group has called at this very moment.
            return Ok(());
        }
        // The others join what these found.
        let nodes = voters::first_voters(nodes, self.goal.voters_max).into_iter();
        let nodes: BTreeMap<_, _> = nodes.map(|node| (node.id, node.into())).collect();
        let founded = self.raft.initialize(nodes).await;
        founded.map_err(|e| StartError::ControlPlane(e.to_string()))
    }

    /// Asks a node to take this one into its cluster, or back in.
    pub(crate) async fn ask_to_join(
        &self,
        via: NodeId,
        cluster: ClusterId,
        deadline: Duration,
    ) -> Result<JoinReply, crate::messaging::MessageError> {
        let request = Join { cluster, node: self.local.node() };
        self.messenger.request(via, Lane::Control, &request, deadline).await
    }

    pub(crate) fn agreed(&self) -> watch::Receiver<Arc<Agreed>> {
        self.agreed.clone()
    }

    /// What is agreed now. A copy, and not a look behind the lock: whoever looked twice at once
    /// would wait for itself when a writer came in between.
    pub(crate) fn agreed_now(&self) -> Arc<Agreed> {
        self.agreed.borrow().clone()
    }

    pub(crate) fn leading(&self) -> watch::Receiver<Option<Epoch>> {
        self.leading.subscribe()
    }

    /// Changes whenever the log or a snapshot gets on here.
    pub(crate) fn progress(&self) -> (u64, u64) {
        (self.applied_index(), self.receiving.pieces())
    }

    /// Whether the cluster may be real: this node's log has the entry that makes it so, agreed or
    /// not.
    pub(crate) fn may_be_real(&self) -> bool {
        self.campaign.knows_bootstrap()
    }

    /// How this node learns what is agreed, if not by the log.
    pub(crate) fn following(&self) -> Option<Arc<Following>> {
        self.following.clone()
    }

    /// Tells the control plane that a peer's process is known to be gone.
    pub(crate) fn peer_gone(&self, peer: NodeId) {
        self.campaign.tell(Input::LeaderGone(peer));
    }

    /// Who leads, as far as this node may believe: its activation is applied here, and it has been
    /// heard lately.
    pub(crate) fn believed_leader(&self) -> Option<crate::view::Activation> {
        if let Some(following) = &self.following {
            return following.leader();
        }
        let agreed = self.agreed_now();
        let latest = agreed.activations.back()?;
        let in_office = match latest.node == self.local.id {
            true => self.leading.borrow().is_some(),
            false => self.hears_leader(),
        };
        let believed = in_office
            && self.raft_leader() == Some(latest.node)
            && agreed.view.is_alive(latest.node);
        believed.then(|| latest.clone())
    }

    /// Waits for the next change of Raft's own leadership or group, or of what stands in its place.
    pub(crate) fn raft_changes(&self) -> RaftChanges {
        let told = self.following.as_ref().map(|following| following.changes());
        let (raft, applied) = (self.raft.server_metrics(), self.applied_groups.clone());
        RaftChanges { raft, applied, told }
    }

    /// Ends Raft. The tasks end with their owner.
    pub(crate) async fn stop(&self) {
        if let Err(error) = self.raft.shutdown().await {
            tracing::warn!(%error, "the control plane did not end in order");
        }
    }

    /// Whom to hand a command to.
    fn raft_leader(&self) -> Option<NodeId> {
        match &self.following {
            Some(following) => following.leader().map(|leader| leader.node),
            None => self.raft.metrics().borrow().current_leader,
        }
    }

    /// Whether a leader has been heard lately that hears a majority itself.
    fn hears_leader(&self) -> bool {
        self.campaign.hears_leader() && self.leader_in_touch()
    }

    fn leader_in_touch(&self) -> bool {
        self.leader_out_since.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    fn is_handing_over(&self) -> bool {
        self.handing_over.load(Ordering::Relaxed) > 0
    }

    /// How long ago a majority of the voters last answered this leader.
    fn quorum_silence(&self, metrics: &Metrics) -> Duration {
        let configs = metrics.membership_config.membership().get_joint_config();
        network::silence(self.local.id, configs, |id| self.answers.of(id))
    }

    /// Has the handshake know which process each node has.
    async fn follow_processes(self: Arc<Self>) {
        let mut agreed = self.agreed();
        loop {
            self.local.learn_processes(&agreed.borrow_and_update().clone().view);
            if agreed.changed().await.is_err() {
                return;
            }
        }
    }
}

/// See [`Control::raft_changes`].
pub(crate) struct RaftChanges {
    raft: watch::Receiver<openraft::metrics::RaftServerMetrics<NodeId, types::RaftNode>>,
    applied: watch::Receiver<Groups>,
    told: Option<watch::Receiver<Option<Told>>>,
}

impl RaftChanges {
    pub(crate) async fn next(&mut self) {
        // After the end there is nothing more to see.
        let ended = match &mut self.told {
            Some(told) => told.changed().await.is_err(),
            None => tokio::select! {
                biased;
                changed = self.raft.changed() => changed.is_err(),
                changed = self.applied.changed() => changed.is_err(),
            },
        };
        if ended {
            std::future::pending::<()>().await;
        }
    }
}
