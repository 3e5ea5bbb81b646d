//! What the metrics are made of: bytes by lane, and times.

use std::ops::Deref;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

use crate::messaging::Lane;

/// Times are told apart from 100 microseconds up to 6.5 seconds, by powers of two.
const FIRST_BUCKET: f64 = 0.0001;
const BUCKETS: u16 = 17;

/// The kinds of requests that are told apart; the rest count as `other`.
const KINDS_MAX: usize = 64;

const OTHER: &str = "other";

/// How long something takes.
#[derive(Debug, Clone)]
pub(crate) struct Times(Histogram);

impl Default for Times {
    fn default() -> Self {
        Self(times())
    }
}

impl Times {
    pub(crate) fn observe(&self, took: Duration) {
        self.0.observe(took.as_secs_f64());
    }
}

impl Deref for Times {
    type Target = Histogram;

    fn deref(&self) -> &Histogram {
        &self.0
    }
}

fn times() -> Histogram {
    Histogram::new(exponential_buckets(FIRST_BUCKET, 2.0, BUCKETS))
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct LaneLabel {
    lane: &'static str,
}

/// One counter for each lane that carries anything.
#[derive(Debug)]
pub(crate) struct ByLane {
    pub(super) family: Family<LaneLabel, Counter>,
    control: Counter,
    modules: Counter,
    data: Counter,
    bulk: Counter,
}

impl Default for ByLane {
    fn default() -> Self {
        let family = Family::<LaneLabel, Counter>::default();
        // Taken out once, so that counting looks nothing up.
        let of = |lane| family.get_or_create(&LaneLabel { lane }).clone();
        let (control, modules) = (of("control"), of("modules"));
        let (data, bulk) = (of("data"), of("bulk"));
        Self { family, control, modules, data, bulk }
    }
}

impl ByLane {
    /// The counter of a lane. One that carries nothing counts with the control lane.
    pub(crate) fn of(&self, lane: Lane) -> &Counter {
        match lane {
            Lane::Control | Lane::Look => &self.control,
            Lane::Modules => &self.modules,
            Lane::Data => &self.data,
            Lane::Bulk => &self.bulk,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct LayerLabel {
    lane: &'static str,
    layer: String,
    count: &'static str,
}

/// What the layers of the pipeline count. Lanes and layers are those that are configured here, so
/// no peer can make some up.
#[derive(Debug, Default)]
pub(crate) struct ByLayer {
    pub(super) family: Family<LayerLabel, Counter>,
}

impl ByLayer {
    /// One counter of a layer. It looks it up, so it is taken once for a conversation.
    pub(crate) fn of(&self, lane: Lane, layer: &str, count: &'static str) -> Counter {
        let lane = match lane {
            Lane::Control | Lane::Look => "control",
            Lane::Modules => "modules",
            Lane::Data => "data",
            Lane::Bulk => "bulk",
        };
        let layer = layer.to_owned();
        self.family.get_or_create(&LayerLabel { lane, layer, count }).clone()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct KindLabel {
    kind: &'static str,
}

/// How long requests of each kind take.
#[derive(Debug)]
pub(crate) struct ByKind {
    pub(super) family: Family<KindLabel, Histogram, fn() -> Histogram>,
    /// Taken out once, so that a known kind is looked up here and waits for nobody.
    known: RwLock<Vec<(&'static str, Histogram)>>,
}

impl Default for ByKind {
    fn default() -> Self {
        Self { family: Family::new_with_constructor(times), known: RwLock::default() }
    }
}

impl ByKind {
    pub(crate) fn observe(&self, kind: &'static str, took: Duration) {
        self.of(kind).observe(took.as_secs_f64());
    }

    fn of(&self, kind: &'static str) -> Histogram {
        let find = |known: &[(&'static str, Histogram)]| {
            known.iter().find(|(other, _)| *other == kind).map(|(_, histogram)| histogram.clone())
        };
        let found = find(&self.known.read().unwrap_or_else(PoisonError::into_inner));
        if let Some(histogram) = found {
            return histogram;
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(histogram) = find(&known) {
            return histogram;
        }
        // The last place is that of all others.
        let kind = if known.len() + 1 < KINDS_MAX { kind } else { OTHER };
        let histogram = self.family.get_or_create(&KindLabel { kind }).clone();
        if kind != OTHER {
            known.push((kind, histogram.clone()));
        }
        histogram
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    #[test]
    fn kinds_beyond_the_limit_count_together() {
        let times = ByKind::default();
        let mut registry = Registry::default();
        registry.register("x", "X", times.family.clone());
        for number in 0..2 * KINDS_MAX {
            times.observe(format!("kind.{number}").leak(), Duration::from_millis(1));
        }
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        assert_eq!(text.matches("x_count{").count(), KINDS_MAX);
        let others = 2 * KINDS_MAX - (KINDS_MAX - 1);
        assert!(text.contains(&format!("x_count{{kind=\"other\"}} {others}")), "{text}");
    }
}
