//! Everything that is seen of a run: its trace, and whether it keeps the promises.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clustron_core::simulation::AgreedVoters;
use clustron_core::{Activation, ClusterEvent, ClusterStatus, NodeId};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::failure::Failure;
use super::health::Health;
use super::predicates::{Moment, Predicate};

/// See the module's documentation. Clones are the same record.
#[derive(Clone)]
pub(super) struct Record {
    seed: u64,
    began: Instant,
    inner: Arc<Mutex<Inner>>,
    /// Cancelled at the first failure.
    failed: CancellationToken,
}

struct Inner {
    lines: Vec<String>,
    /// What the trace calls a node: its name, and which of its lives it is.
    names: BTreeMap<NodeId, String>,
    health: Health,
    predicates: Vec<Box<dyn Predicate>>,
    failure: Option<Failure>,
}

/// What one node shows at one moment.
pub(super) struct Seen<'a> {
    pub(super) host: &'a str,
    pub(super) life: u32,
    pub(super) status: &'a ClusterStatus,
    pub(super) applied_index: u64,
    pub(super) history: &'a [Activation],
    pub(super) voters: &'a [AgreedVoters],
    pub(super) state: Option<(u64, u64)>,
}

impl Record {
    pub(super) fn new(seed: u64, predicates: Vec<Box<dyn Predicate>>) -> Self {
        let inner = Inner {
            lines: vec![],
            names: BTreeMap::new(),
            health: Health::default(),
            predicates,
            failure: None,
        };
        let inner = Arc::new(Mutex::new(inner));
        Self { seed, began: Instant::now(), inner, failed: CancellationToken::new() }
    }

    pub(super) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    pub(super) fn began(&self) -> Instant {
        self.began
    }

    /// Writes a line.
    pub(super) fn note(&self, who: &str, what: &str) {
        let line = line(self.now(), who, what);
        self.lock().lines.push(line);
    }

    pub(super) fn trace(&self) -> String {
        let inner = self.lock();
        let mut text = String::new();
        for line in &inner.lines {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// Names an identity in the trace. Gives whether it had a name already.
    pub(super) fn introduce(&self, id: NodeId, host: &str, life: u32) -> bool {
        self.lock().names.insert(id, name(host, life)).is_some()
    }

    pub(super) fn change_health(&self, change: impl FnOnce(&mut Health)) {
        change(&mut self.lock().health);
    }

    pub(super) fn event(&self, host: &str, life: u32, event: &ClusterEvent) {
        let now = self.now();
        let mut inner = self.lock();
        let what = inner.describe(event);
        inner.lines.push(line(now, &name(host, life), &what));
    }

    /// Takes in what a node shows, and checks it.
    pub(super) fn see(&self, seen: &Seen<'_>) {
        let now = self.now();
        let mut inner = self.lock();
        let what = inner.summary(seen);
        inner.lines.push(line(now, &name(seen.host, seen.life), &what));
        let Inner { health, predicates, .. } = &mut *inner;
        let moment = Moment {
            at: now,
            host: seen.host,
            life: seen.life,
            status: seen.status,
            applied_index: seen.applied_index,
            history: seen.history,
            voters: seen.voters,
            state: seen.state,
            health,
        };
        let broken = predicates.iter_mut().find_map(|predicate| {
            let detail = predicate.check(&moment).err()?;
            Some((predicate.name().to_owned(), format!("{}: {detail}", name(seen.host, seen.life))))
        });
        drop(inner);
        if let Some((predicate, detail)) = broken {
            self.fail(&predicate, &detail);
        }
    }

    /// Ends the run with a failure; the first one counts.
    pub(super) fn fail(&self, predicate: &str, detail: &str) {
        self.note("!", &format!("{predicate}: {detail}"));
        let (at, mut inner) = (self.now(), self.lock());
        if inner.failure.is_none() {
            inner.failure = Some(Failure {
                seed: self.seed,
                at,
                predicate: predicate.to_owned(),
                detail: detail.to_owned(),
                trace: inner.lines.clone(),
            });
        }
        drop(inner);
        self.failed.cancel();
    }

    /// The first failure, if there was one.
    pub(super) fn check(&self) -> Result<(), Failure> {
        self.lock().failure.clone().map_or(Ok(()), Err)
    }

    /// Resolves at the first failure.
    pub(super) async fn failed(&self) {
        self.failed.cancelled().await;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn name_of(&self, id: NodeId) -> String {
        self.names.get(&id).cloned().unwrap_or_else(|| id.to_string())
    }

    fn names_of(&self, ids: impl IntoIterator<Item = NodeId>) -> String {
        let mut names: Vec<String> = ids.into_iter().map(|id| self.name_of(id)).collect();
        names.sort();
        names.join(" ")
    }

    fn describe(&self, event: &ClusterEvent) -> String {
        match event {
            ClusterEvent::NodeJoined(node) => format!("joined: {}", self.name_of(node.id)),
            ClusterEvent::NodeDown { node, reason } => {
                format!("down: {} ({reason})", self.name_of(node.id))
            }
            ClusterEvent::NodeLeft(node) => format!("left: {}", self.name_of(node.id)),
            ClusterEvent::NodeSuspected { node, reason } => {
                format!("suspected: {} ({reason})", self.name_of(*node))
            }
            ClusterEvent::NodeTrusted(node) => format!("trusted: {}", self.name_of(*node)),
            ClusterEvent::LeaderElected(leader) => {
                format!("leader: {} in epoch {}", self.name_of(leader.node), leader.epoch)
            }
            ClusterEvent::LeaderLost(epoch) => format!("no leader after epoch {epoch}"),
            ClusterEvent::VotersChanged(voters) => {
                format!("voters: {}", self.names_of(voters.iter().copied()))
            }
            other => format!("{other:?}"),
        }
    }

    fn summary(&self, seen: &Seen<'_>) -> String {
        let status = seen.status;
        let alive = self.names_of(status.view.alive().map(|node| node.id));
        let mut text = format!("view {} of {alive};", status.view.version());
        let _ = match &status.leader {
            Some(leader) => {
                write!(text, " led by {} in {}", self.name_of(leader.node), leader.epoch)
            }
            None => write!(text, " led by nobody"),
        };
        if let Some(epoch) = status.leading {
            let _ = write!(text, ", leads in {epoch}");
        }
        let _ = write!(text, ", applied {}", seen.applied_index);
        if !status.suspected.is_empty() {
            let _ = write!(text, ", suspects {}", self.names_of(status.suspected.keys().copied()));
        }
        if let Some((index, digest)) = seen.state {
            let _ = write!(text, ", state {digest:016x} at {index}");
        }
        text
    }
}

fn name(host: &str, life: u32) -> String {
    format!("{host}#{life}")
}

fn line(at: Duration, who: &str, what: &str) -> String {
    format!("{:>6}.{:03} {who:<4} {what}", at.as_secs(), at.subsec_millis())
}
