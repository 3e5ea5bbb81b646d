//! Drives [`Election`]: feeds it what this node hears, asks around for it, and lets Raft stand.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::log_store::Log;
use super::rpc::AskPreVote;
use super::types::Raft;
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
    metrics: Arc<CoreMetrics>,
    tasks: Tasks,
}

impl Campaign {
    pub(super) fn new(
        timing: Timing,
        local: Arc<Local>,
        messenger: Messenger,
        (raft, log): (Raft, Log),
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
            metrics,
            tasks: tasks.clone(),
        });
        tasks.spawn("election timer", campaign.clone().keep_time());
        campaign
    }

    /// Tells the machine something, and does what it wants.
    pub(crate) fn tell(self: &Arc<Self>, input: Input) {
        let effects = self.lock().handle(self.started.elapsed(), input);
        for effect in effects {
            match effect {
                Effect::AskAround { round, voters } => self.ask_around(round, voters),
                Effect::Stand => self.stand(),
            }
        }
        self.changed.notify_one();
    }

    /// Answers another voter's pre-vote.
    pub(super) fn would_vote(&self, candidate: LogEnd) -> PreVote {
        let mine = self.log.end();
        self.lock().would_vote(self.started.elapsed(), candidate, mine)
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
        let log_end = self.log.end();
        for voter in voters {
            let this = self.clone();
            self.tasks.spawn("pre-vote", async move {
                let request = AskPreVote { cluster, log_end };
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
