//! What the scheduler decodes, and what its replicated state does with it.
#![no_main]

#[path = "../../clustron-scheduler/tests/hostile/decoders.rs"]
mod decoders;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| clustron_fuzz::feed(&decoders::DECODERS, data));
