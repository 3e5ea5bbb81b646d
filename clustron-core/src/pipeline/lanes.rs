//! Which layers there are on which lane.
//!
//! Two lanes have layers: the one of the application's messages and requests, and the one of
//! streams. The core's own lane has none. What the log and the failure detector say is small, is
//! repeated by themselves when it is lost, and must not wait behind anything. The lane of modules
//! and events has none either: while the layers of an application are changed node by node, or do
//! not work, its jobs are still run, and its nodes still say how they are.

use super::error::PipelineError;
use super::{LayerConfig, Plan, Registry};

/// The layers of each lane, the first nearest to the application; none by default. All nodes of a
/// cluster need the same: two that differ refuse each other on that lane, and both say how they
/// differ.
///
/// ```
/// use clustron_core::pipeline::{LayerConfig, PipelineConfig};
///
/// let mut pipeline = PipelineConfig::data(["compress", "reliable"].map(LayerConfig::new));
/// pipeline.bulk = vec![LayerConfig::new("compress").with("above_bytes", 4096)];
/// assert_eq!(pipeline.data.len(), 2);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PipelineConfig {
    /// On the lane of the application's one-way messages, requests and their replies. Events, and
    /// what modules say to each other, have no layers.
    pub data: Vec<LayerConfig>,
    /// On the lane of streams of replies.
    pub bulk: Vec<LayerConfig>,
}

impl PipelineConfig {
    /// These layers for messages and requests, and none for streams.
    pub fn data(layers: impl IntoIterator<Item = LayerConfig>) -> Self {
        Self { data: layers.into_iter().collect(), bulk: vec![] }
    }

    /// These layers for messages, requests and streams.
    pub fn both(layers: impl IntoIterator<Item = LayerConfig>) -> Self {
        let layers: Vec<LayerConfig> = layers.into_iter().collect();
        Self { data: layers.clone(), bulk: layers }
    }

    /// What is wrong, by setting: at most one thing for each lane. `frame_bytes_max` is the largest
    /// message.
    pub fn problems(
        &self,
        registry: &Registry,
        frame_bytes_max: usize,
    ) -> Vec<(&'static str, PipelineError)> {
        let lanes = [("pipeline.data", &self.data), ("pipeline.bulk", &self.bulk)];
        let checked = lanes.map(|(key, layers)| {
            registry.plan(layers, frame_bytes_max).err().map(|problem| (key, problem))
        });
        checked.into_iter().flatten().collect()
    }

    /// The layers as they are to be made.
    pub(crate) fn plans(
        &self,
        registry: &Registry,
        frame_bytes_max: usize,
    ) -> Result<Plans, (&'static str, Box<PipelineError>)> {
        let plan = |key, layers| {
            registry.plan(layers, frame_bytes_max).map_err(|problem| (key, Box::new(problem)))
        };
        Ok(Plans {
            none: Plan::default(),
            data: plan("pipeline.data", &self.data)?,
            bulk: plan("pipeline.bulk", &self.bulk)?,
        })
    }
}

/// What makes the stacks of a node's conversations.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plans {
    /// Of the core, and of looks.
    pub(crate) none: Plan,
    pub(crate) data: Plan,
    pub(crate) bulk: Plan,
}
