//! Looks at a node and shows its health.
//!
//! The task that keeps the status looks here each time that it comes round. Whoever asks has the
//! node looked at once more, so that an answer is never older than the question; and where that
//! task has not come round for long, nothing of the node does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::chart::Chart;
use super::checks::{Check, Checks};
use super::judgement::{Facts, judge};
use super::{Health, Question};
use crate::config::Config;
use crate::control::Control;
use crate::time::Timestamp;

/// A node whose tasks have not come round for so long is stuck. They do ten times a second.
const STUCK_AFTER: Duration = Duration::from_secs(10);

/// How long the disk may owe the end of a write.
const DISK_WAITS_MAX: Duration = Duration::from_secs(5);

/// An election ends within the leader's silence and a few rounds; what takes so many times that is
/// none.
const SILENCES_WITHOUT_LEADER: u32 = 2;

/// See the module's documentation.
pub(crate) struct HealthBoard {
    control: Arc<Control>,
    closing: CancellationToken,
    staleness_max: Duration,
    checks: Arc<Checks>,
    started: AtomicBool,
    watched: AtomicBool,
    looked: Mutex<Looked>,
    shown: watch::Sender<Health>,
}

struct Looked {
    /// When the node's own task last came round.
    beat: Instant,
    /// Since when no leader has been heard.
    leaderless: Option<Instant>,
    chart: Chart,
}

impl HealthBoard {
    pub(crate) fn new(
        control: &Arc<Control>,
        closing: &CancellationToken,
        config: &Config,
        checks: &[(&'static str, Arc<Check>)],
    ) -> Arc<Self> {
        // Nobody sees this one: whoever watches has the node looked at first.
        let starting = Health::starting(Timestamp::default());
        let looked = Looked { beat: Instant::now(), leaderless: None, chart: Chart::default() };
        let board = Self {
            control: control.clone(),
            closing: closing.clone(),
            staleness_max: config.ready_staleness_max,
            checks: Arc::default(),
            started: AtomicBool::new(false),
            watched: AtomicBool::new(false),
            looked: Mutex::new(looked),
            shown: watch::Sender::new(starting),
        };
        checks.iter().for_each(|(name, check)| board.add(name, check.clone()));
        Arc::new(board)
    }

    /// Adds a condition for the node to be ready.
    pub(crate) fn add(&self, name: &str, check: Arc<Check>) {
        self.checks.add(name, check, &self.control.tasks);
    }

    /// Drops the conditions, which may hold on to whatever owns this board.
    pub(crate) fn clear(&self) {
        self.checks.clear();
    }

    /// The node's own task has come round.
    pub(crate) fn beat(&self) {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        looked.beat = Instant::now();
        let started = self.facts(&mut looked).started;
        drop(looked);
        // Until then there is nothing to tell, and a clock that is not ours is left alone.
        if started || self.watched.load(Ordering::Relaxed) {
            self.look();
        }
    }

    /// How the node is now. Shows it, too.
    pub(crate) fn look(&self) -> Health {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = judge(&self.facts(&mut looked));
        found.extend(self.checks.findings());
        let health = looked.chart.take_at(|| self.control.clock.now(), found);
        let mut before = None;
        self.shown.send_if_modified(|shown| {
            let changed = *shown != health;
            before = changed.then(|| std::mem::replace(shown, health.clone()));
            changed
        });
        // Whoever takes the log may ask for the health in turn.
        drop(looked);
        if let Some(before) = before {
            tell(&before, &health);
        }
        health
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Health> {
        self.watched.store(true, Ordering::Relaxed);
        self.look();
        self.shown.subscribe()
    }

    fn facts(&self, looked: &mut Looked) -> Facts {
        let (control, now) = (&self.control, Instant::now());
        let agreed = control.agreed_now();
        let in_view = agreed.cluster.is_some() && agreed.view.is_alive(control.local.id);
        let follows_log = control.following().is_none();
        let hears_leader = control.believed_leader().is_some();
        let staleness = follows_log.then(|| control.staleness());
        let current = staleness.map_or(hears_leader, |staleness| staleness.is_some());
        if in_view && current {
            self.started.store(true, Ordering::Relaxed);
        }
        looked.leaderless = match hears_leader {
            true => None,
            false => looked.leaderless.or(Some(now)),
        };
        let tasks = &control.tasks;
        Facts {
            ended: tasks.is_cancelled().then(|| tasks.panicked().map_or(Ok(()), Err)),
            stuck: now.saturating_duration_since(looked.beat),
            stuck_after: STUCK_AFTER,
            closing: self.closing.is_cancelled(),
            started: self.started.load(Ordering::Relaxed),
            in_view,
            leaderless: looked.leaderless.map(|since| now.saturating_duration_since(since)),
            leaderless_max: SILENCES_WITHOUT_LEADER * control.timing.leader_silence,
            staleness,
            staleness_max: self.staleness_max,
            disk_waits: control.disk_waits().unwrap_or_default(),
            disk_waits_max: DISK_WAITS_MAX,
        }
    }
}

/// Readiness comes and goes, and whoever looks later wants to know when.
fn tell(before: &Health, now: &Health) {
    if now.reason("closing").is_some() && now.reason("node-failed").is_none() {
        // It was asked to end, and does: nothing for anybody to look into.
        if before.reason("closing").is_none() {
            tracing::info!("this node is shutting down");
        }
        return;
    }
    match (before.is_ready(), now.is_ready()) {
        (true, false) => tracing::warn!(health = %now, "this node is not ready any more"),
        (false, true) => tracing::info!("this node is ready"),
        (true, true) | (false, false) => {}
    }
    if before.answers(Question::Live) && !now.answers(Question::Live) {
        tracing::error!(health = %now, "this node is not live any more");
    }
}
