//! Hostile bytes for everything that the core decodes: nothing panics, and nothing takes more
//! memory than it may.
//!
//! The fuzz targets in `fuzz` do the same for as long as one likes; this is their
//! short form, the same every time. All is one test, since the allocator counts for the process.

use std::alloc::System;
use std::panic::{AssertUnwindSafe, catch_unwind};

use clustron_core::simulation::{Area, Decoder, decoders};
use clustron_testkit::hostile;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How much noise each decoder gets besides the claims.
const NOISE: u64 = 1500;

#[test]
fn no_hostile_input_panics_or_takes_more_memory_than_it_may() {
    for decoder in Area::ALL.into_iter().flat_map(decoders) {
        hostile::inputs(NOISE).for_each(|input| check(&decoder, &input));
    }
}

/// Says which input it was.
fn check(decoder: &Decoder, input: &[u8]) {
    let region = Region::new(ALLOCATOR);
    let checked = || decoder.check(input, || region.change().bytes_allocated);
    let name = decoder.name;
    assert!(catch_unwind(AssertUnwindSafe(checked)).is_ok(), "{name}: its input was {input:02x?}");
}
