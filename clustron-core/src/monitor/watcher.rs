//! Asks the nodes how they are, many at a time, and shows what they say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use super::ClusterHealth;
use super::overview::{Heard, overview};
use super::report::{AskHealth, Report, Reporter};
use crate::identity::NodeId;
use crate::messaging::{Lane, Messenger};
use crate::status::{ClusterStatus, StatusBoard};

/// The longest time between two questions to a node, however seldom metrics are collected.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Nodes that are asked at the same time.
const ASKED_AT_ONCE: usize = 64;

/// The most characters of an error that are kept.
const ERROR_CHARS_MAX: usize = 256;

/// After so many rounds without a word a report is of no use.
const ROUNDS_UNTIL_SILENT: u32 = 3;

#[derive(Default)]
struct Kept {
    /// The latest report, how long it took, and when it came.
    report: Option<(Report, Duration, Instant)>,
    error: Option<String>,
}

/// Keeps the latest report of every node that is alive in the view.
pub(crate) struct Watcher {
    own: Arc<Reporter>,
    status: watch::Receiver<ClusterStatus>,
    interval: Duration,
    nodes: Mutex<BTreeMap<NodeId, Kept>>,
    shown: watch::Sender<Arc<ClusterHealth>>,
}

impl Watcher {
    /// One that asks at least as often as metrics are collected.
    pub(super) fn new(own: Arc<Reporter>, status: &StatusBoard, collected: Duration) -> Arc<Self> {
        let (status, interval) = (status.watch(), collected.min(ASK_EVERY));
        let (nodes, shown) = (Mutex::default(), watch::Sender::default());
        Arc::new(Self { own, status, interval, nodes, shown })
    }

    /// Asks at every interval until the node ends. A round that takes longer delays the next.
    pub(crate) async fn run(self: Arc<Self>, messenger: Messenger) {
        let mut status = self.status.clone();
        if status.wait_for(|status| status.cluster.is_some()).await.is_err() {
            return;
        }
        let mut rounds = tokio::time::interval(self.interval);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = rounds.tick() => self.ask_all(&messenger).await,
                changed = status.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
            }
            status.mark_unchanged();
            self.shown.send_replace(self.overview());
        }
    }

    /// What is known now.
    pub(super) fn overview(&self) -> Arc<ClusterHealth> {
        let (status, now) = (self.status.borrow().clone(), Instant::now());
        let control = &self.own.control;
        let suspected: BTreeSet<NodeId> = control.outlook.suspicions_now().into_keys().collect();
        let nodes = self.lock();
        let heard = nodes.iter().map(|(id, kept)| {
            let age = |at: &Instant| now.saturating_duration_since(*at);
            let report = kept.report.as_ref();
            let report = report.map(|(report, took, at)| (report.clone(), *took, age(at)));
            (*id, Heard { report, error: kept.error.clone() })
        });
        let heard = heard.collect();
        let silent_after = ROUNDS_UNTIL_SILENT * self.interval + control.timing.request_deadline;
        Arc::new(overview(&status, &suspected, &heard, silent_after))
    }

    pub(super) fn watch(&self) -> watch::Receiver<Arc<ClusterHealth>> {
        self.shown.subscribe()
    }

    async fn ask_all(&self, messenger: &Messenger) {
        let (control, agreed) = (&self.own.control, self.own.control.agreed_now());
        self.lock().retain(|id, _| agreed.view.is_alive(*id));
        let deadline = control.timing.request_deadline;
        let nodes: Vec<NodeId> = agreed.view.alive().map(|node| node.id).collect();
        let asks = nodes.into_iter().map(|id| async move {
            let asked_at = Instant::now();
            if id == control.local.id {
                return self.keep(id, Ok((self.own.report(), Duration::ZERO)));
            }
            let asked = messenger.request(id, Lane::Modules, &AskHealth, deadline).await;
            let answer = asked.map(|report| (report.bounded(), asked_at.elapsed()));
            self.keep(id, answer.map_err(|error| error.to_string()));
        });
        futures::stream::iter(asks).buffer_unordered(ASKED_AT_ONCE).collect::<()>().await;
    }

    fn keep(&self, id: NodeId, answer: Result<(Report, Duration), String>) {
        let mut nodes = self.lock();
        let kept = nodes.entry(id).or_default();
        match answer {
            Ok((report, took)) => {
                (kept.report, kept.error) = (Some((report, took, Instant::now())), None);
            }
            // What a peer says is cut before it is kept.
            Err(error) => kept.error = Some(error.chars().take(ERROR_CHARS_MAX).collect()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeId, Kept>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
