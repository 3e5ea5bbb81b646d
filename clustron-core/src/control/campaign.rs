//! Drives [`Election`]: feeds it what this node hears, asks around for it, and lets Raft stand.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::log_store::Log;
use super::permit::Permit;
use super::rpc::AskPreVote;
use super::types::{Raft, Vote};
use crate::election::{Effect, Election, Input, LogEnd, PreVote, Timing};
use crate::identity::NodeId;
use crate::local::Local;
use crate::messaging::{Lane, Messenger};
use crate::metrics::CoreMetrics;
use crate::tasks::Tasks;

/// See the module's documentation.
pub(crate) struct Campaign {
    started: Instant,
    round: Duration,
    election: Mutex<Election>,
    changed: Notify,
    local: Arc<Local>,
    messenger: Messenger,
    raft: Raft,
    log: Log,
    permit: Permit,
    metrics: Arc<CoreMetrics>,
    tasks: Tasks,
}

impl Campaign {
    pub(super) fn new(
        timing: Timing,
        local: Arc<Local>,
        messenger: Messenger,
        (raft, log, permit): (Raft, Log, Permit),
        metrics: Arc<CoreMetrics>,
        tasks: Tasks,
    ) -> Arc<Self> {
        let campaign = Arc::new(Self {
            started: Instant::now(),
            round: timing.round,
            election: Mutex::new(Election::new(local.id, timing, Duration::ZERO)),
            changed: Notify::new(),
            local,
            messenger,
            raft,
            log,
            permit,
            metrics,
            tasks: tasks.clone(),
        });
        tasks.spawn("election timer", campaign.clone().keep_time());
        campaign
    }

    /// Tells the machine something, and does what it wants.
    pub(crate) fn tell(self: &Arc<Self>, input: Input) {
        let mut election = self.lock();
        let effects = election.handle(self.started.elapsed(), input);
        if !election.takes_over() {
            self.permit.set(None);
        }
        drop(election);
        for effect in effects {
            match effect {
                Effect::AskAround { round, voters } => self.ask_around(round, voters),
                Effect::Stand => self.stand(),
            }
        }
        self.changed.notify_one();
    }

    /// Stands with the permit of the leader that has this vote.
    pub(super) fn take_over(self: &Arc<Self>, permit: Vote) {
        self.permit.set(Some(permit));
        self.tell(Input::TakeOver);
    }

    /// Answers another voter's pre-vote.
    pub(super) fn would_vote(&self, candidate: LogEnd, permitted: bool) -> PreVote {
        let mine = self.log.end();
        self.lock().would_vote(self.started.elapsed(), (candidate, permitted), mine)
    }

    /// See [`ClusterHandle::agreed_voters`](crate::ClusterHandle::agreed_voters).
    #[cfg(feature = "simulation")]
    pub(super) fn voters_until(&self, index: u64) -> Vec<crate::simulation::AgreedVoters> {
        self.log.voters_until(index)
    }

    /// Whether this node's log holds, or has held, the entry that makes the cluster real.
    pub(super) fn knows_bootstrap(&self) -> bool {
        self.log.knows_bootstrap()
    }

    /// How far this node's log reaches.
    pub(super) fn log_end(&self) -> LogEnd {
        self.log.end()
    }

    /// Whether there is a leader to believe in.
    pub(super) fn hears_leader(&self) -> bool {
        self.lock().hears_leader(self.started.elapsed())
    }

    async fn keep_time(self: Arc<Self>) {
        loop {
            let next = self.lock().next_timeout();
            let changed = self.changed.notified();
            match next {
                Some(at) => tokio::select! {
                    biased;
                    () = tokio::time::sleep_until(self.started + at) => self.tell(Input::Timeout),
                    () = changed => {}
                },
                None => changed.await,
            }
        }
    }

    fn ask_around(self: &Arc<Self>, round: u64, voters: BTreeSet<NodeId>) {
        let Some(cluster) = self.local.cluster_id() else { return };
        let (log_end, permit) = (self.log.end(), self.permit.now());
        for voter in voters {
            let this = self.clone();
            self.tasks.spawn("pre-vote", async move {
                let request = AskPreVote { cluster, log_end, permit };
                let asked = this.messenger.request(voter, Lane::Control, &request, this.round);
                if let Ok(answer) = asked.await {
                    this.tell(Input::Answer { from: voter, round, answer });
                }
            });
        }
    }

    fn stand(self: &Arc<Self>) {
        let this = self.clone();
        self.metrics.elections_started.inc();
        self.tasks.spawn("stand for election", async move {
            if let Err(error) = this.raft.trigger().elect().await {
                tracing::error!(%error, "cannot stand for election");
            }
        });
    }

    fn lock(&self) -> MutexGuard<'_, Election> {
        self.election.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
