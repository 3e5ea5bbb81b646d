//! Which layers messages pass through.

use super::ClusterBuilder;
use crate::config::ConfigError;
use crate::pipeline::{PipelineConfig, Plans, Registry};

impl ClusterBuilder {
    /// Lets messages pass through layers: see [`pipeline`](crate::pipeline).
    #[must_use]
    pub fn pipeline(mut self, pipeline: PipelineConfig) -> Self {
        self.config.pipeline = pipeline;
        self
    }

    /// The layers that there are, with those of your own. By default the built-in ones. A layer
    /// that nobody names in [`Config::pipeline`](crate::Config::pipeline) does nothing.
    #[must_use]
    pub fn layers(mut self, layers: Registry) -> Self {
        self.layers = layers;
        self
    }

    pub(super) fn plans(&self) -> Result<Plans, ConfigError> {
        let plans = self.config.pipeline.plans(&self.layers, self.config.frame_bytes_max);
        plans.map_err(|(key, problem)| ConfigError::Pipeline { key, problem })
    }
}
