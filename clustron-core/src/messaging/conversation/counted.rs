//! What layers count, on its way into the metrics; and gauges that go down by themselves.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use crate::messaging::handshake::Lane;
use crate::metrics::CoreMetrics;
use crate::pipeline::Stack;

/// See the module's documentation.
pub(super) struct Counted {
    /// With what each has been told of already, in the order of the stack.
    counters: Vec<(Counter, u64)>,
}

impl Counted {
    pub(super) fn new(metrics: &CoreMetrics, lane: Lane, stack: &Stack) -> Self {
        let mut counters = vec![];
        stack.counts(&mut |layer, name, _| {
            counters.push((metrics.layer_counts.of(lane, layer, name), 0));
        });
        Self { counters }
    }

    /// Tells the metrics what is new.
    pub(super) fn tell(&mut self, stack: &Stack) {
        let mut counters = self.counters.iter_mut();
        stack.counts(&mut |_, _, total| {
            if let Some((counter, told)) = counters.next() {
                counter.inc_by(total.saturating_sub(*told));
                *told = total.max(*told);
            }
        });
    }
}

/// Whether something holds now, as one of those that a gauge counts.
pub(super) struct Standing {
    gauge: Gauge,
    holds: bool,
}

impl Standing {
    pub(super) fn new(gauge: &Gauge) -> Self {
        Self { gauge: gauge.clone(), holds: false }
    }

    pub(super) fn set(&mut self, holds: bool) {
        let held = std::mem::replace(&mut self.holds, holds);
        self.gauge.inc_by(i64::from(holds) - i64::from(held));
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.set(false);
    }
}
