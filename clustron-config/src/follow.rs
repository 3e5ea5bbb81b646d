//! Following the files of a running node.
//!
//! Like a clerk who looks at the notice board once a second: who is still writing is left to
//! finish, what concerns him he does at once, and what he cannot do by himself he says once and no
//! more.

use std::collections::BTreeMap;
use std::time::Duration;

use clustron_core::{ClusterHandle, DescribeError, Metadata};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::change::Change;
use crate::loader::Content;
use crate::looks::Looks;
use crate::problem::Problem;
use crate::settings::Settings;

/// How long a change of roles or tags may take to be agreed.
const APPLY_DEADLINE: Duration = Duration::from_secs(10);

/// How often a change is made again that another change of the same node has overtaken.
const ATTEMPTS: usize = 5;

/// What has become of the files since the node started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReloadStatus {
    /// How often the files had changed and were acted on, whatever came of it.
    pub reloads: u64,
    /// What is wrong with the files as they are now. While there is anything, nothing of them is
    /// taken.
    pub problems: Vec<Problem>,
    /// What the node was to take and did not, by key, and why: `roles` or `tags`. It is tried again
    /// when the files change again.
    pub refused: BTreeMap<String, String>,
    /// What the files hold and the node does not take while it runs, by key with the new value.
    pub needs_restart: BTreeMap<String, String>,
}

/// Follows the files of a running node, until it is dropped or the node ends. See
/// [`Settings::follow`].
#[derive(Debug)]
pub struct Follower {
    status: watch::Receiver<ReloadStatus>,
}

impl Follower {
    pub(crate) fn start(settings: Settings, node: &ClusterHandle) -> Self {
        let (sender, status) = watch::channel(ReloadStatus::default());
        let task = Task { in_force: settings, node: node.clone(), status: sender };
        node.spawn("settings", task.run());
        Self { status }
    }

    /// How it stands.
    pub fn status(&self) -> ReloadStatus {
        self.status.borrow().clone()
    }

    /// Waits until the status is as asked for, and gives it; `None` when the node ends before.
    pub async fn wait_for(
        &mut self,
        condition: impl FnMut(&ReloadStatus) -> bool,
    ) -> Option<ReloadStatus> {
        self.status.wait_for(condition).await.ok().map(|status| status.clone())
    }
}

struct Task {
    /// What the node runs with: as it was started, and what has been applied since.
    in_force: Settings,
    node: ClusterHandle,
    status: watch::Sender<ReloadStatus>,
}

impl Task {
    async fn run(mut self) {
        let mut ticks = interval(self.in_force.loader.interval());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let node = self.node.clone();
        let (mut looks, mut first) = (Looks::new(), true);
        loop {
            tokio::select! {
                biased;
                () = node.closing() => return,
                () = self.status.closed() => return,
                _ = ticks.tick() => {}
            }
            let loader = self.in_force.loader.clone();
            let Ok(contents) = tokio::task::spawn_blocking(move || loader.read()).await else {
                return;
            };
            if looks.settle(&contents) {
                self.act_on(&contents, std::mem::take(&mut first)).await;
            }
        }
    }

    async fn act_on(&mut self, contents: &[Content], first: bool) {
        let mut next = self.status.borrow().clone();
        match self.in_force.loader.interpret(contents) {
            Err(error) => {
                let problems = error.problems();
                for problem in problems {
                    tracing::error!("the settings stay as they are: {problem}");
                }
                next.problems = problems.to_vec();
            }
            Ok(wanted) => {
                let change = Change::between(&self.in_force, &wanted);
                if first && change == Change::default() {
                    // As they were loaded.
                    return;
                }
                for (key, value) in &change.restart {
                    if next.needs_restart.get(key) != Some(value) {
                        tracing::warn!("{key} is now {value} in the files: it takes a restart");
                    }
                }
                next.problems.clear();
                next.needs_restart = change.restart.clone();
                next.refused = self.apply(&change, &wanted).await;
            }
        }
        next.reloads += 1;
        self.status.send_replace(next);
    }

    /// Gives what was refused, and why.
    async fn apply(&mut self, change: &Change, wanted: &Settings) -> BTreeMap<String, String> {
        let mut refused = BTreeMap::new();
        if change.has_tags() {
            match self.describe(|node| change.apply_tags(node)).await {
                Ok(()) => self.in_force.values.config.tags = wanted.values.config.tags.clone(),
                Err(error) => drop(refused.insert("tags".to_owned(), error.to_string())),
            }
        }
        if change.has_roles() {
            match self.describe(|node| change.apply_roles(node)).await {
                Ok(()) => self.in_force.values.config.roles = wanted.values.config.roles.clone(),
                Err(error) => drop(refused.insert("roles".to_owned(), error.to_string())),
            }
        }
        for (key, reason) in &refused {
            tracing::error!("{key} stay as they are: {reason}");
        }
        refused
    }

    async fn describe(&self, change: impl Fn(&mut Metadata) + Sync) -> Result<(), DescribeError> {
        for _ in 1..ATTEMPTS {
            match self.describe_once(&change).await {
                Err(DescribeError::Overtaken { .. }) => {}
                done => return done,
            }
        }
        self.describe_once(&change).await
    }

    async fn describe_once(
        &self,
        change: &(impl Fn(&mut Metadata) + Sync),
    ) -> Result<(), DescribeError> {
        match self.node.describe(|node| change(node), APPLY_DEADLINE).await {
            // The node describes itself so from now on, and a leader that hears it commits it.
            Err(error @ DescribeError::Unconfirmed { .. }) => {
                tracing::warn!("{error}");
                Ok(())
            }
            done => done.map(drop),
        }
    }
}
