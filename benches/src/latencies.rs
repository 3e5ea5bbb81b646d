//! How long many calls took, in little memory.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Values of so many bits are kept as they are, larger ones lose their lowest bits.
const EXACT_BITS: u32 = 8;

/// Counts of latencies. What it says of one is at most 1 % below what was recorded.
///
/// A histogram of the kind that is fine where values are small and coarse where they are large, as
/// a slide rule is: microseconds with eight leading bits. It adds up with those of other processes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latencies(BTreeMap<u64, u64>);

impl Latencies {
    /// Counts one.
    pub fn record(&mut self, latency: Duration) {
        let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        let lost_bits = (u64::BITS - us.leading_zeros()).saturating_sub(EXACT_BITS);
        *self.0.entry(us >> lost_bits << lost_bits).or_default() += 1;
    }

    /// Adds all of another.
    pub fn add(&mut self, other: &Self) {
        for (us, count) in &other.0 {
            *self.0.entry(*us).or_default() += count;
        }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.values().sum()
    }

    /// The latency that this share of all, from 0 to 1, does not exceed, in milliseconds; not a
    /// number if there is none.
    pub fn quantile_ms(&self, share: f64) -> f64 {
        let wanted = (self.count() as f64 * share).ceil();
        let mut below = 0;
        for (us, count) in &self.0 {
            below += count;
            if below as f64 >= wanted {
                return *us as f64 / 1000.0;
            }
        }
        f64::NAN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(us: impl IntoIterator<Item = u64>) -> Latencies {
        let mut latencies = Latencies::default();
        us.into_iter().for_each(|us| latencies.record(Duration::from_micros(us)));
        latencies
    }

    #[test]
    fn quantiles_are_at_most_a_hundredth_too_low() {
        let latencies = of((1..=1000).map(|n| n * 1000));
        for (share, exact) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1000.0), (0.001, 1.0)] {
            let told = latencies.quantile_ms(share);
            assert!(told <= exact && told >= exact * 0.99, "{share}: {told}");
        }
        assert!(of([]).quantile_ms(0.5).is_nan());
        assert_eq!((of([200]).quantile_ms(0.5), of([u64::MAX]).count()), (0.2, 1));
    }

    #[test]
    fn two_that_are_added_are_as_one() {
        let (mut all, low, high) = (of(0..900), of(0..400), of(400..900));
        let mut sum = low;
        sum.add(&high);
        assert_eq!(sum, all);
        all.record(Duration::ZERO);
        assert_ne!(sum, all);
    }
}
