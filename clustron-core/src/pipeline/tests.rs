//! Tests of layers and whole stacks, by what they are about.

mod configuration;
mod garbage;
mod golden;
mod passing;
mod simulation;

use crate::pipeline::{LayerConfig, Registry, Stack};

/// Two ends of conversation 1, both connected.
fn ends(layers: &[LayerConfig], message_bytes_max: usize) -> [Stack; 2] {
    let plan = Registry::default().plan(layers, message_bytes_max).unwrap();
    [true, false].map(|opener| {
        let mut stack = plan.stack(1, opener).unwrap();
        stack.connected(std::time::Duration::ZERO);
        stack
    })
}
