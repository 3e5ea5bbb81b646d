//! The scheduler's counters on one node. Exported names begin with `clustron_scheduler_`.

mod by_job;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use by_job::ByJob;

pub use by_job::JOBS_SHOWN_MAX;

/// The leader's counters count what this node did as leader, the worker's what it ran. Over all
/// nodes, `runs_ran + runs_failed` is at least the outcomes of these kinds in the history: an
/// attempt may run more than once.
#[derive(Debug)]
pub(crate) struct SchedulerMetrics {
    /// As leader: ticks claimed.
    pub(crate) claims: Counter,
    /// As leader: attempts granted after the first.
    pub(crate) reassignments: Counter,
    /// As leader: orders that could not be delivered.
    pub(crate) orders_undelivered: Counter,
    /// As leader: how far its clock is ahead of the voters' median, where it does not go by it.
    pub(crate) clock_apart_ms: Gauge,
    /// As worker: attempts that ended well.
    pub(crate) runs_ran: Counter,
    /// As worker: attempts that failed.
    pub(crate) runs_failed: Counter,
    /// As worker: attempts that stopped for a later tick's sake.
    pub(crate) runs_cancelled: Counter,
    /// As worker: results that came too late to count.
    pub(crate) runs_superseded: Counter,
    /// As worker: from when a tick was due to when its attempt began.
    pub(crate) lag: Histogram,
    /// The same and more for single jobs.
    pub(crate) by_job: ByJob,
}

impl Default for SchedulerMetrics {
    fn default() -> Self {
        Self {
            claims: Counter::default(),
            reassignments: Counter::default(),
            orders_undelivered: Counter::default(),
            clock_apart_ms: Gauge::default(),
            runs_ran: Counter::default(),
            runs_failed: Counter::default(),
            runs_cancelled: Counter::default(),
            runs_superseded: Counter::default(),
            lag: seconds(),
            by_job: ByJob::default(),
        }
    }
}

/// Times from a millisecond to an hour.
fn seconds() -> Histogram {
    Histogram::new([0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 300.0, 3_600.0])
}

impl SchedulerMetrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("clustron_scheduler");
        let mut counter = |name: &str, help: &str, counter: &Counter| {
            registry.register(name, help, counter.clone());
        };
        counter("claims", "Ticks claimed by this node as leader", &self.claims);
        counter(
            "reassignments",
            "Attempts granted by this node as leader after a tick's first",
            &self.reassignments,
        );
        counter(
            "orders_undelivered",
            "Orders to run an attempt that this node as leader could not deliver",
            &self.orders_undelivered,
        );
        counter("runs_ran", "Attempts that ended well on this node", &self.runs_ran);
        counter("runs_failed", "Attempts that failed on this node", &self.runs_failed);
        counter(
            "runs_cancelled",
            "Attempts on this node that stopped for a later tick's sake",
            &self.runs_cancelled,
        );
        counter(
            "runs_superseded",
            "Results of this node that came after a newer attempt was granted",
            &self.runs_superseded,
        );
        registry.register(
            "clock_apart_ms",
            "How far this node's clock is ahead of the voters' median, where it leads and does not go \
             by its clock for that reason",
            self.clock_apart_ms.clone(),
        );
        registry.register(
            "lag_seconds",
            "From when a tick was due to when its attempt began on this node",
            self.lag.clone(),
        );
        self.by_job.register(registry);
    }
}
