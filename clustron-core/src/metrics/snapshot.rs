//! What a node shows, as values instead of text.
//!
//! It is read from the text that the node writes anyway: so whatever a module or an application has
//! registered is in it, too, and neither can say anything else than the other.

use std::collections::BTreeMap;

use crate::collect::Sample;

/// All metrics of a node at one moment, by the names of their families: `clustron_core_epochs_led`
/// without the `_total` of its sample.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MetricsSnapshot {
    families: BTreeMap<String, MetricFamily>,
}

/// The metrics of one name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MetricFamily {
    /// What they are, in OpenMetrics' words: `counter`, `gauge`, `histogram`.
    pub kind: String,
    /// What they mean.
    pub help: String,
    /// One for each set of labels, in the order of the labels.
    pub metrics: Vec<Metric>,
}

/// One metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// What tells it from the others of its family.
    pub labels: BTreeMap<String, String>,
    /// How it stands.
    pub value: MetricValue,
}

/// How a metric stands.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum MetricValue {
    /// Only rises, from when the node started.
    Counter(f64),
    /// Rises and falls; also whatever is neither counter nor histogram.
    Gauge(f64),
    /// How values are distributed.
    Histogram {
        /// All values together.
        sum: f64,
        /// How many there were.
        count: u64,
        /// How many of them were at most so large, by rising bounds; the last bound is infinite.
        buckets: Vec<(f64, u64)>,
    },
}

impl MetricsSnapshot {
    /// The families, by their names.
    pub fn families(&self) -> &BTreeMap<String, MetricFamily> {
        &self.families
    }

    /// The metric of this name with exactly these labels.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Option<&MetricValue> {
        let wanted: BTreeMap<_, _> =
            labels.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        let family = self.families.get(name)?;
        family.metrics.iter().find(|metric| metric.labels == wanted).map(|metric| &metric.value)
    }

    /// The counter or gauge of this name, all of its labels added up; of histograms how many
    /// values there were. `None` where there is no such name.
    pub fn total(&self, name: &str) -> Option<f64> {
        let metrics = &self.families.get(name)?.metrics;
        Some(metrics.iter().map(|metric| metric.value.total()).sum())
    }

    /// Reads OpenMetrics text. What does not look like a sample is left out.
    pub(crate) fn parse(text: &str) -> Self {
        let mut drafts = BTreeMap::<String, Draft>::new();
        let mut current = String::new();
        for line in text.lines() {
            let mut words = line.splitn(4, ' ');
            match (words.next(), words.next(), words.next()) {
                (Some("#"), Some("HELP"), Some(name)) => {
                    name.clone_into(&mut current);
                    words.next().unwrap_or("").clone_into(&mut draft(&mut drafts, name).help);
                }
                (Some("#"), Some("TYPE"), Some(name)) => {
                    name.clone_into(&mut current);
                    words.next().unwrap_or("").clone_into(&mut draft(&mut drafts, name).kind);
                }
                _ => {
                    let Some(sample) = Sample::parse(line) else { continue };
                    match sample.part_of(&current) {
                        Some(part) => draft(&mut drafts, &current).take(part, &sample),
                        None => draft(&mut drafts, sample.name).take("", &sample),
                    }
                }
            }
        }
        let families = drafts.into_iter().filter(|(_, draft)| !draft.points.is_empty());
        Self { families: families.map(|(name, draft)| (name, draft.finish())).collect() }
    }
}

impl MetricValue {
    fn total(&self) -> f64 {
        match self {
            Self::Counter(value) | Self::Gauge(value) => *value,
            Self::Histogram { count, .. } => *count as f64,
        }
    }
}

/// The samples of one set of labels so far.
#[derive(Default)]
struct Points {
    value: f64,
    sum: f64,
    count: u64,
    buckets: Vec<(f64, u64)>,
}

#[derive(Default)]
struct Draft {
    kind: String,
    help: String,
    points: BTreeMap<BTreeMap<String, String>, Points>,
}

fn draft<'a>(drafts: &'a mut BTreeMap<String, Draft>, name: &str) -> &'a mut Draft {
    drafts.entry(name.to_owned()).or_default()
}

impl Draft {
    fn take(&mut self, part: &str, sample: &Sample<'_>) {
        let number = sample.value.trim().split(' ').next().unwrap_or("");
        let Ok(value) = number.parse::<f64>() else { return };
        let mut labels: BTreeMap<String, String> =
            sample.labels.iter().map(|(k, v)| ((*k).to_owned(), unescaped(v))).collect();
        let bound = if part == "_bucket" { labels.remove("le") } else { None };
        let points = self.points.entry(labels).or_default();
        match (part, bound.map(|bound| bound.parse::<f64>())) {
            ("_bucket", Some(Ok(bound))) => points.buckets.push((bound, value as u64)),
            ("_sum", _) => points.sum = value,
            ("_count", _) => points.count = value as u64,
            _ => points.value = value,
        }
    }

    fn finish(self) -> MetricFamily {
        let value = |points: Points| match self.kind.as_str() {
            "counter" => MetricValue::Counter(points.value),
            "histogram" => {
                let Points { sum, count, buckets, .. } = points;
                MetricValue::Histogram { sum, count, buckets }
            }
            _ => MetricValue::Gauge(points.value),
        };
        let points = self.points.into_iter();
        let metrics = points.map(|(labels, points)| Metric { labels, value: value(points) });
        let metrics = metrics.collect();
        MetricFamily { kind: self.kind, help: self.help, metrics }
    }
}

fn unescaped(text: &str) -> String {
    let (mut out, mut chars) = (String::new(), text.chars());
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some(other) => out.push(other),
                None => {}
            },
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::encoding::text::encode;
    use prometheus_client::metrics::family::Family;
    use prometheus_client::metrics::histogram::Histogram;
    use prometheus_client::metrics::{counter::Counter, gauge::Gauge};
    use prometheus_client::registry::Registry;

    #[test]
    fn what_was_registered_is_read_back_as_it_is() {
        let mut registry = Registry::default();
        let sent = Family::<Vec<(String, String)>, Counter>::default();
        let label = |value: &str| vec![("to".to_owned(), value.to_owned())];
        sent.get_or_create(&label("a \"b\"\n\\n")).inc_by(3);
        sent.get_or_create(&label("c")).inc_by(4);
        registry.register("sent", "Sent", sent);
        let level = Gauge::<i64>::default();
        level.set(-7);
        registry.register("level", "Level", level);
        let times = Histogram::new([1.0, 2.0]);
        [0.5, 1.5, 9.0].into_iter().for_each(|time| times.observe(time));
        registry.register("times", "Times", times);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();

        let snapshot = MetricsSnapshot::parse(&text);
        assert_eq!(snapshot.families().keys().collect::<Vec<_>>(), ["level", "sent", "times"]);
        let odd = snapshot.metric("sent", &[("to", "a \"b\"\n\\n")]);
        assert_eq!(odd, Some(&MetricValue::Counter(3.0)), "{text}");
        assert_eq!(snapshot.total("sent"), Some(7.0));
        assert_eq!(snapshot.metric("level", &[]), Some(&MetricValue::Gauge(-7.0)));
        let buckets = vec![(1.0, 1), (2.0, 2), (f64::INFINITY, 3)];
        let wanted = MetricValue::Histogram { sum: 11.0, count: 3, buckets };
        assert_eq!(snapshot.metric("times", &[]), Some(&wanted));
        assert_eq!(snapshot.total("times"), Some(3.0));
        assert_eq!(snapshot.total("other"), None);
        assert_eq!(snapshot.families()["sent"].help, "Sent.");
    }
}
