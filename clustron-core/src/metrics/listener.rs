//! Pushes a node's metrics to whoever listens.
//!
//! A listener is somebody else's code: it may block, and it may panic. So it runs on a thread for
//! blocking work, one call at a time, and the node never waits for it but at its own orderly end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::{Exposed, MetricsSnapshot};
use crate::cluster::ClusterHandle;
use crate::tasks::panic_text;

/// The shortest time between two calls of a listener.
const INTERVAL_MIN: Duration = Duration::from_millis(10);

/// Takes a node's metrics whenever they are pushed.
pub trait MetricsListener: Send + 'static {
    /// Takes how the node stands. May block: what falls due meanwhile is left out and counted as
    /// `clustron_core_listener_skips`. A panic is logged and ends this listener, and nothing else.
    /// `last` when the node shuts down in order; the shutdown waits for it within its deadline.
    fn on_metrics(&mut self, snapshot: &MetricsSnapshot, last: bool);
}

/// What a call gives back: the listener, or the text of its panic.
type Called = Result<Box<dyn MetricsListener>, String>;

/// See the module's documentation.
pub(crate) struct Push {
    pub(crate) exposed: Arc<Exposed>,
    pub(crate) closing: CancellationToken,
    pub(crate) skips: Counter,
}

impl Push {
    /// Calls the listener at every interval until it panics or the node closes.
    pub(crate) async fn run(self, interval: Duration, listener: Box<dyn MetricsListener>) {
        let mut ticks = tokio::time::interval(interval.max(INTERVAL_MIN));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let (mut idle, mut running) = (Some(listener), None::<JoinHandle<Called>>);
        loop {
            tokio::select! {
                biased;
                () = self.closing.cancelled() => break,
                called = ended(&mut running) => {
                    running = None;
                    let Some(listener) = survivor(called) else { return };
                    idle = Some(listener);
                }
                _ = ticks.tick() => match idle.take() {
                    Some(listener) => running = Some(self.call(listener, false)),
                    None => drop(self.skips.inc()),
                }
            }
        }
        if running.is_some() {
            idle = survivor(ended(&mut running).await);
        }
        if let Some(listener) = idle {
            let _ = survivor(self.call(listener, true).await.ok());
        }
    }

    fn call(&self, mut listener: Box<dyn MetricsListener>, last: bool) -> JoinHandle<Called> {
        let exposed = self.exposed.clone();
        tokio::task::spawn_blocking(move || {
            let call = AssertUnwindSafe(|| listener.on_metrics(&exposed.snapshot(), last));
            let called = catch_unwind(call);
            called.map(|()| listener).map_err(|panic| panic_text(panic.as_ref()))
        })
    }
}

/// What a running call has come to; never where none runs. `None` when the runtime ends.
async fn ended(running: &mut Option<JoinHandle<Called>>) -> Option<Called> {
    match running {
        Some(running) => running.await.ok(),
        None => std::future::pending().await,
    }
}

fn survivor(called: Option<Called>) -> Option<Box<dyn MetricsListener>> {
    match called? {
        Ok(listener) => Some(listener),
        Err(panic) => {
            tracing::error!(panic, "a metrics listener panicked, and is not called any more");
            None
        }
    }
}

impl ClusterHandle {
    /// The metrics of this node as values: its core's, its modules' and the application's.
    pub fn metrics(&self) -> MetricsSnapshot {
        self.inner.exposed.snapshot()
    }

    /// Calls a listener with this node's metrics at once, at every interval (at least 10 ms), and
    /// once more when the node shuts down in order.
    pub fn add_metrics_listener(&self, interval: Duration, listener: impl MetricsListener) {
        let push = Push {
            exposed: self.inner.exposed.clone(),
            closing: self.inner.closing.clone(),
            skips: self.inner.metrics.listener_skips.clone(),
        };
        self.inner.services.spawn("metrics listener", push.run(interval, Box::new(listener)));
    }
}
