//! What all targets do: the first byte of an input chooses one of the target's decoders, which gets
//! the rest. It must not panic, and not allocate more than it may.

use std::alloc::System;

use clustron_core::simulation::Decoder;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Gives an input to one of these decoders.
///
/// # Panics
/// When the decoder does, or has allocated too much.
pub fn feed(decoders: &[Decoder], data: &[u8]) {
    let Some((choice, input)) = data.split_first() else { return };
    let decoder = decoders[usize::from(*choice) % decoders.len()];
    let region = Region::new(ALLOCATOR);
    decoder.check(input, || region.change().bytes_allocated);
}
