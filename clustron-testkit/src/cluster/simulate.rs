//! A runtime in which time passes only when everybody waits.

use std::future::Future;

/// Runs a story to its end in virtual time, on one thread, and gives its result.
///
/// A day of the story takes as long as what happens in it: whenever all tasks wait for a timer, the
/// clock jumps to it. So nothing in it may wait for the outside world: real sockets are not
/// available, and time stands still while a `spawn_blocking` runs.
///
/// # Which builds repeat a run
///
/// A run depends on nothing but the seed, except that tokio itself wakes the waiters of a
/// `watch` channel, and polls the branches of an unbiased `select!`, in an order of its own choice.
/// Its seed can be set only where tokio is built with `RUSTFLAGS="--cfg tokio_unstable"`: **with it
/// the same seed gives the same trace, byte for byte; without it, only mostly.** Nothing else
/// changes with the flag, and services that embed Clustron need it nowhere.
///
/// # Panics
/// When called from within a runtime, and with the story's own panics.
pub fn simulate<T>(seed: u64, story: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true);
    #[cfg(tokio_unstable)]
    builder.rng_seed(tokio::runtime::RngSeed::from_bytes(&seed.to_le_bytes()));
    #[cfg(not(tokio_unstable))]
    let _ = seed;
    let runtime = builder.build().unwrap_or_else(|error| panic!("no runtime: {error}"));
    runtime.block_on(story)
}

/// Whether [`simulate`] repeats a run to the byte in this build.
pub const REPEATS_EXACTLY: bool = cfg!(tokio_unstable);
