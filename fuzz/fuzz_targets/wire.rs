//! See [`Area::Wire`].
#![no_main]

use std::sync::LazyLock;

use clustron_core::simulation::{Area, Decoder, decoders};
use libfuzzer_sys::fuzz_target;

static DECODERS: LazyLock<Vec<Decoder>> = LazyLock::new(|| decoders(Area::Wire));

fuzz_target!(|data: &[u8]| clustron_fuzz::feed(&DECODERS, data));
