//! Every task of a node is spawned here, so that shutdown can wait for all of them and no panic
//! goes unseen.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The owner of a node's tasks. Clones are the same owner.
#[derive(Debug, Clone)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    /// Ends these tasks.
    cancel: CancellationToken,
    /// Ends the whole node.
    node: CancellationToken,
    panic: Arc<Mutex<Option<String>>>,
}

impl Default for Tasks {
    fn default() -> Self {
        let (tracker, node) = (TaskTracker::new(), CancellationToken::new());
        Self { tracker, cancel: node.clone(), node, panic: Arc::default() }
    }
}

impl Tasks {
    /// Spawns a task that ends by itself or when [`Tasks::cancel`] is called; whatever it does not
    /// finish then is dropped. A panic is logged, kept, and ends the node.
    pub(crate) fn spawn(
        &self,
        name: &'static str,
        future: impl Future<Output = ()> + Send + 'static,
    ) {
        let this = self.clone();
        self.tracker.spawn(async move {
            let until_cancelled = async {
                tokio::select! {
                    biased;
                    () = this.cancel.cancelled() => {}
                    () = future => {}
                }
            };
            if let Err(panic) = AssertUnwindSafe(until_cancelled).catch_unwind().await {
                let text = panic_text(panic.as_ref());
                tracing::error!(task = name, panic = %text, "a task of this node panicked");
                this.fail(&format!("task {name}: {text}"));
            }
        });
    }

    /// The owner of further tasks of the same node, which can be ended by themselves. A panic in
    /// one of either ends the node: half a node would only look alive.
    pub(crate) fn beside(&self) -> Self {
        Self {
            tracker: TaskTracker::new(),
            cancel: self.node.child_token(),
            node: self.node.clone(),
            panic: self.panic.clone(),
        }
    }

    /// Ends all tasks of this owner.
    pub(crate) fn cancel(&self) {
        self.cancel.cancel();
    }

    /// Ends the node because something that it cannot do without has failed.
    pub(crate) fn fail(&self, why: &str) {
        // What ends while the node does is no failure.
        if !self.node.is_cancelled() {
            self.panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why.to_owned());
            self.node.cancel();
        }
    }

    /// Resolves when the node ends.
    pub(crate) async fn node_ended(&self) {
        self.node.cancelled().await;
    }

    /// Whether the node has ended or is ending.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// Waits until every task has ended. Call [`Tasks::cancel`] first.
    pub(crate) async fn join(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// The first panic of any task, or what else failed the node.
    pub(crate) fn panicked(&self) -> Option<String> {
        self.panic.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// When a deadline passes. One that no clock reaches, such as [`Duration::MAX`], is far away.
pub(crate) fn until(deadline: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);
    Instant::now() + deadline.min(FAR)
}

/// What a panic said, where it said it with text.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without text".to_owned())
}
