//! All that one node shows, in one registry.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use super::sampled::Sampled;
use super::{CoreMetrics, MetricsSnapshot};
use crate::control::Control;

/// All that one node shows: the core's metrics, its modules' and the application's.
pub(crate) struct Exposed {
    registry: Mutex<Registry>,
}

impl Exposed {
    pub(crate) fn new(core: &CoreMetrics, control: &Arc<Control>) -> Self {
        let mut registry = Registry::default();
        core.register(&mut registry);
        Sampled::register(control, &mut registry);
        Self { registry: Mutex::new(registry) }
    }

    pub(crate) fn add(&self, register: impl FnOnce(&mut Registry)) {
        register(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// As values.
    pub(crate) fn snapshot(&self) -> MetricsSnapshot {
        MetricsSnapshot::parse(&self.text())
    }

    /// As OpenMetrics text.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = encode(&mut text, &registry) {
            tracing::error!(%error, "a metric cannot be written");
        }
        text
    }
}

impl fmt::Debug for Exposed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exposed").finish_non_exhaustive()
    }
}
