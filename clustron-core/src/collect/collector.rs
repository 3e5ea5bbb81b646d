//! Asks the nodes for their metrics, a few at a time, and keeps what they say.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use tokio::time::{Instant, MissedTickBehavior};

use super::{
    AskMetrics, CollectedMetrics, METRICS_BYTES_MAX, MetricsReply, MetricsText, NodeMetrics,
};
use crate::control::Control;
use crate::identity::{NodeId, NodeName};
use crate::messaging::{Lane, Messenger};
use crate::metrics::Exposed;

/// The most characters of an error that are kept.
const ERROR_CHARS_MAX: usize = 256;

/// Nodes that are asked at the same time.
const ASKED_AT_ONCE: usize = 16;

/// The most bytes of text that are kept of all nodes together.
const TEXTS_BYTES_MAX: usize = 256 << 20;

struct Kept {
    name: NodeName,
    latest: Option<(Arc<str>, Instant)>,
    error: Option<String>,
}

/// Keeps the latest metrics of every node that is alive in the view.
pub(crate) struct Collector {
    nodes: Mutex<BTreeMap<NodeId, Kept>>,
    bytes_max: usize,
}

impl Default for Collector {
    fn default() -> Self {
        Self { nodes: Mutex::default(), bytes_max: TEXTS_BYTES_MAX }
    }
}

impl Collector {
    /// Collects at every interval until the node ends. A round that takes longer delays the next.
    pub(crate) async fn run(
        self: Arc<Self>,
        control: Arc<Control>,
        messenger: Messenger,
        own: Arc<Exposed>,
        interval: Duration,
    ) {
        let mut agreed = control.agreed();
        // Before there is a view there is nobody to ask.
        if agreed.wait_for(|agreed| agreed.cluster.is_some()).await.is_err() {
            return;
        }
        let mut rounds = tokio::time::interval(interval);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            rounds.tick().await;
            self.collect(&control, &messenger, &own).await;
        }
    }

    async fn collect(&self, control: &Control, messenger: &Messenger, own: &Exposed) {
        let agreed = control.agreed_now();
        self.lock().retain(|id, _| agreed.view.is_alive(*id));
        let deadline = control.timing.request_deadline;
        let nodes: Vec<(NodeId, NodeName)> =
            agreed.view.alive().map(|node| (node.id, node.name.clone())).collect();
        let asks = nodes.into_iter().map(|(id, name)| async move {
            let answer = match id == control.local.id {
                true => check_size(own.text()),
                false => {
                    let asked = messenger.request(id, Lane::Modules, &AskMetrics, deadline).await;
                    match asked {
                        Ok(MetricsReply::Text(text)) => check_size(text),
                        Ok(MetricsReply::TooLarge { bytes }) => Err(too_large(bytes)),
                        Err(error) => Err(error.to_string()),
                    }
                }
            };
            self.keep(id, &name, answer);
        });
        futures::stream::iter(asks).buffer_unordered(ASKED_AT_ONCE).collect::<()>().await;
    }

    fn keep(&self, id: NodeId, name: &NodeName, answer: Result<String, String>) {
        let mut nodes = self.lock();
        let of = |kept: &Kept| kept.latest.as_ref().map_or(0, |(text, _)| text.len());
        let others: usize =
            nodes.iter().filter(|(other, _)| **other != id).map(|(_, k)| of(k)).sum();
        let kept = nodes.entry(id).or_insert_with(|| Kept {
            name: name.clone(),
            latest: None,
            error: None,
        });
        match answer {
            Ok(text) if others + text.len() <= self.bytes_max => {
                (kept.latest, kept.error) = (Some((text.into(), Instant::now())), None);
            }
            Ok(text) => {
                let (bytes, max) = (others + text.len(), self.bytes_max);
                let error = format!("all nodes' metrics have {bytes} bytes, {max} are kept");
                (kept.latest, kept.error) = (None, Some(error));
            }
            // What a peer says is cut before it is kept.
            Err(error) => kept.error = Some(error.chars().take(ERROR_CHARS_MAX).collect()),
        }
    }

    /// What was collected, as of now.
    pub(crate) fn collected(&self) -> CollectedMetrics {
        let now = Instant::now();
        let nodes = self.lock();
        let nodes = nodes.iter().map(|(id, kept)| {
            let latest = kept.latest.as_ref().map(|(text, at)| MetricsText {
                text: text.clone(),
                age: now.saturating_duration_since(*at),
            });
            (*id, NodeMetrics { name: kept.name.clone(), latest, error: kept.error.clone() })
        });
        CollectedMetrics { nodes: nodes.collect() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeId, Kept>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn check_size(text: String) -> Result<String, String> {
    match text.len() > METRICS_BYTES_MAX {
        true => Err(too_large(text.len() as u64)),
        false => Ok(text),
    }
}

fn too_large(bytes: u64) -> String {
    format!("its metrics have {bytes} bytes, at most {METRICS_BYTES_MAX} are collected")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_and_an_error_keeps_the_last_text() {
        let collector = Collector { bytes_max: 10, ..Collector::default() };
        let name = NodeName::new("n").unwrap();
        let keep = |id: u64, answer: Result<&str, &str>| {
            let answer = answer.map(str::to_owned).map_err(str::to_owned);
            collector.keep(NodeId(id), &name, answer);
            let collected = collector.collected();
            let node = collected.nodes[&NodeId(id)].clone();
            (node.latest.map(|latest| latest.text.to_string()), node.error)
        };
        assert_eq!(keep(1, Ok("123456")), (Some("123456".to_owned()), None));
        let (text, error) = keep(2, Ok("12345"));
        assert!(text.is_none() && error.as_ref().unwrap().contains("11 bytes, 10"), "{error:?}");
        // Its own text before does not count.
        assert_eq!(keep(1, Ok("1234567890")), (Some("1234567890".to_owned()), None));
        let silent = (Some("1234567890".to_owned()), Some("no answer".to_owned()));
        assert_eq!(keep(1, Err("no answer")), silent);
        assert!(check_size("x".repeat(METRICS_BYTES_MAX)).is_ok());
        assert!(check_size("x".repeat(METRICS_BYTES_MAX + 1)).is_err());
    }
}
