//! Random numbers from one seed, in streams that do not touch each other: a run with a fault more
//! draws the same delays as the run without it, so that two runs can be compared.

use std::ops::Range;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::time::nanos;

/// What a stream decides.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stream {
    /// The seeds of the nodes.
    Nodes = 1,
    Clocks = 2,
    Delays = 3,
    Losses = 4,
    Duplicates = 5,
    Corruption = 6,
    /// Dials and connections that end.
    Connections = 7,
    /// When a process runs that does not run all the time.
    Processes = 8,
    Nemesis = 9,
}

pub(super) fn stream(seed: u64, of: Stream) -> StdRng {
    StdRng::seed_from_u64(mix(seed ^ mix(of as u64)))
}

/// The seed of one life of one node: another one after every restart.
pub(super) fn node_seed(seed: u64, node: usize, life: u32) -> u64 {
    mix(mix(seed ^ mix(Stream::Nodes as u64)) ^ mix((node as u64) << 32 | u64::from(life)))
}

/// Uniform, in whole nanoseconds. An empty range gives its start.
pub(super) fn draw_time(rng: &mut StdRng, from: &Range<Duration>) -> Duration {
    let (low, high) = (nanos(from.start), nanos(from.end));
    if low >= high { from.start } else { Duration::from_nanos(rng.random_range(low..high)) }
}

/// The step of SplitMix64 (Steele, Lea, Flood 2014): neighbouring seeds give distant ones.
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_seeds_nodes_and_lives_all_differ() {
        let first = |seed, of| stream(seed, of).random::<u64>();
        assert_eq!(first(1, Stream::Delays), first(1, Stream::Delays));
        assert_ne!(first(1, Stream::Delays), first(1, Stream::Losses));
        assert_ne!(first(1, Stream::Delays), first(2, Stream::Delays));
        assert_ne!(node_seed(1, 0, 1), node_seed(1, 0, 2));
        assert_ne!(node_seed(1, 0, 1), node_seed(1, 1, 1));
    }
}
