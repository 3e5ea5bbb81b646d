//! Hostile bytes for everything that the scheduler decodes: nothing panics, and nothing takes more
//! memory than it may. A panic while a command is applied would end every member of a cluster.
//!
//! The fuzz target `scheduler` does the same for as long as one likes. All is one test, since the
//! allocator counts for the process.

mod decoders;

use std::alloc::System;
use std::panic::{AssertUnwindSafe, catch_unwind};

use clustron_testkit::hostile;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How much noise each decoder gets besides the claims.
const NOISE: u64 = 1500;

#[test]
fn no_hostile_input_panics_or_takes_more_memory_than_it_may() {
    for decoder in decoders::DECODERS {
        for input in hostile::inputs(NOISE) {
            let region = Region::new(ALLOCATOR);
            let checked = || decoder.check(&input, || region.change().bytes_allocated);
            let passed = catch_unwind(AssertUnwindSafe(checked)).is_ok();
            assert!(passed, "{}: its input was {input:02x?}", decoder.name);
        }
    }
}
