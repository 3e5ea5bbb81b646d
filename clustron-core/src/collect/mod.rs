//! Metrics of the whole cluster at one node.
//!
//! Every node answers `core.metrics` with its own metrics as text. A node with the role
//! `MetricsCollector` asks all others in turn ([`collector`]) and keeps the latest answers, so that
//! one scrape shows the cluster ([`exposition`]).

mod collector;
mod exposition;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(crate) use collector::Collector;
pub(crate) use exposition::Sample;

use crate::identity::{NodeId, NodeInfo, NodeName};
use crate::messaging::{Message, Messenger, Request};
use crate::metrics::Exposed;
use crate::roles;
#[cfg(feature = "simulation")]
use crate::simulation::Decoder;

/// The most bytes of text that one node's metrics may have to be collected.
pub const METRICS_BYTES_MAX: usize = 1 << 20;

/// This node does not collect metrics.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{node} with the role {roles} collects no metrics: ask one with the role metrics-collector"
)]
pub struct NotCollector {
    /// The node.
    pub node: String,
    /// What it is.
    pub roles: String,
}

impl NotCollector {
    pub(crate) fn new(node: &NodeInfo) -> Self {
        Self { node: node.to_string(), roles: roles::listed(&node.roles) }
    }
}

/// The metrics of all nodes that are alive in the view, as they were last collected.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CollectedMetrics {
    /// By node; the collecting one too.
    pub nodes: BTreeMap<NodeId, NodeMetrics>,
}

/// What was collected of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeMetrics {
    /// Its name.
    pub name: NodeName,
    /// The latest text; `None` if none ever came.
    pub latest: Option<MetricsText>,
    /// Why the latest attempt brought none; `None` if it did.
    pub error: Option<String>,
}

/// The metrics of one node at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsText {
    /// In the OpenMetrics text format, as the node wrote it.
    pub text: Arc<str>,
    /// How long ago it came.
    pub age: Duration,
}

impl CollectedMetrics {
    /// All in one OpenMetrics text. Every sample has a label `node` with its node's name, and with
    /// `name:id` where several nodes have one name; a label of that name which a sample had before
    /// is called `exported_node`. What is no sample is left out. Two families are added:
    /// `clustron_collected_up`, 1 where the latest attempt succeeded, and
    /// `clustron_collected_age_seconds`. A node that does not answer keeps its last samples until
    /// it is out of the view, so look at these two.
    pub fn exposition(&self) -> String {
        let mut named = BTreeMap::<&str, usize>::new();
        for node in self.nodes.values() {
            *named.entry(node.name.as_str()).or_default() += 1;
        }
        let label = |id: &NodeId, node: &NodeMetrics| match named.get(node.name.as_str()) {
            Some(1) => node.name.to_string(),
            Some(_) | None => format!("{}:{id}", node.name),
        };
        let mut texts: Vec<(String, String)> = vec![];
        for (id, node) in &self.nodes {
            let up = u8::from(node.error.is_none() && node.latest.is_some());
            let mut own = format!(
                "# HELP clustron_collected_up Whether the node answered the collector's latest \
                 request.\n# TYPE clustron_collected_up gauge\nclustron_collected_up {up}\n"
            );
            if let Some(latest) = &node.latest {
                let age = latest.age.as_secs_f64();
                own += &format!(
                    "# HELP clustron_collected_age_seconds How old the node's samples are.\n\
                     # TYPE clustron_collected_age_seconds gauge\n\
                     # UNIT clustron_collected_age_seconds seconds\n\
                     clustron_collected_age_seconds {age:.3}\n"
                );
            }
            texts.push((label(id, node), own));
        }
        let own = texts.iter().map(|(label, text)| (label.clone(), text.as_str()));
        let theirs = self.nodes.iter().filter_map(|(id, node)| {
            node.latest.as_ref().map(|latest| (label(id, node), latest.text.as_ref()))
        });
        exposition::merge(own.chain(theirs))
    }
}

/// What do your metrics say?
#[derive(Debug, Serialize, Deserialize)]
struct AskMetrics;

impl Message for AskMetrics {
    const KIND: &'static str = "core.metrics";
}

impl Request for AskMetrics {
    type Reply = MetricsReply;
}

#[cfg(feature = "simulation")]
pub(crate) const DECODERS: [Decoder; 1] = [Decoder::request::<AskMetrics>()];

#[derive(Debug, Serialize, Deserialize)]
enum MetricsReply {
    Text(String),
    /// The text is longer than is collected.
    TooLarge {
        bytes: u64,
    },
}

/// Answers whoever collects from now on.
pub(crate) fn serve(messenger: &Messenger, exposed: Arc<Exposed>) {
    messenger.on_request(move |_from, AskMetrics| {
        let text = exposed.text();
        std::future::ready(match text.len() > METRICS_BYTES_MAX {
            true => MetricsReply::TooLarge { bytes: text.len() as u64 },
            false => MetricsReply::Text(text),
        })
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;

    fn node(name: &str, latest: Option<&str>, error: Option<&str>) -> NodeMetrics {
        let text = |text: &str| MetricsText { text: text.into(), age: Duration::from_millis(1500) };
        NodeMetrics {
            name: NodeName::new(name).unwrap(),
            latest: latest.map(text),
            error: error.map(str::to_owned),
        }
    }

    #[test]
    fn the_exposition_tells_nodes_apart_and_who_does_not_answer() {
        let nodes = BTreeMap::from([
            (NodeId(1), node("a", Some("x 1\n"), None)),
            (NodeId(2), node("b", Some("x 2\n"), Some("no answer"))),
            (NodeId(3), node("b", None, Some("no answer"))),
        ]);
        let text = CollectedMetrics { nodes }.exposition();
        for line in [
            "clustron_collected_up{node=\"a\"} 1",
            "clustron_collected_up{node=\"b:0000000000000002\"} 0",
            "clustron_collected_up{node=\"b:0000000000000003\"} 0",
            "clustron_collected_age_seconds{node=\"a\"} 1.500",
            "x{node=\"a\"} 1",
            "x{node=\"b:0000000000000002\"} 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn the_bytes_of_metrics_messages_are_frozen() {
        let mut table = golden::file("metrics.txt");
        table.add("ask", &AskMetrics);
        table.add("text", &MetricsReply::Text("# EOF".to_owned()));
        table.add("too large", &MetricsReply::TooLarge { bytes: 300 });
        table.check();
    }
}
