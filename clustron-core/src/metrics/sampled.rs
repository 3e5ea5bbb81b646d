//! What is looked at when somebody asks, and costs nothing until then.

use std::fmt;
use std::sync::{Arc, Weak};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::PREFIX;
use crate::control::Control;

/// See the module's documentation. Shows nothing of a node that is gone.
pub(crate) struct Sampled {
    control: Weak<Control>,
}

impl Sampled {
    pub(crate) fn register(control: &Arc<Control>, registry: &mut Registry) {
        let sampled = Self { control: Arc::downgrade(control) };
        registry.sub_registry_with_prefix(PREFIX).register_collector(Box::new(sampled));
    }
}

impl Collector for Sampled {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let Some(control) = self.control.upgrade() else { return Ok(()) };
        let (entries, bytes) = control.log_size();
        let whole = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let place = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        for (name, help, value) in [
            (
                "applied_index",
                "How far this node has applied the control log; what it has applied in all",
                place(control.applied_index()),
            ),
            (
                "epoch",
                "The epoch of the latest leader that this node has applied",
                place(control.agreed_now().epoch().0),
            ),
            (
                "view_nodes",
                "Nodes that are alive in the view",
                whole(control.agreed_now().view.alive().count()),
            ),
            (
                "log_entries",
                "Entries of the control log that are kept, those after the snapshot and a few more",
                whole(entries),
            ),
            ("log_bytes", "Roughly how many bytes they have", whole(bytes)),
        ] {
            let gauge = ConstGauge::new(value);
            let metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(metric)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Sampled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sampled").finish_non_exhaustive()
    }
}
