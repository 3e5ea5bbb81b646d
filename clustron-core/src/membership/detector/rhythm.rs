//! How regularly a peer's heartbeats come, and how odd its silence is.
//!
//! Whoever lives beside a church knows how far its bell may be late. The measure of that is phi,
//! the suspicion level of the accrual failure detector (Hayashibara, Défago, Yared, Katayama, "The
//! φ Accrual Failure Detector", 2004): if a heartbeat that is still to come would be this late only
//! once in a hundred million times, phi is 8. It is taken from the mean and the variance of the
//! last intervals, as if they were normally distributed.

use std::collections::VecDeque;
use std::f64::consts::{LN_10, TAU};
use std::time::Duration;

/// How many of the last intervals count.
const INTERVALS_MAX: usize = 64;

/// The standard deviation is taken to be at least this, however regular the heartbeats: a network
/// or a scheduler may always be late by a little.
const DEVIATION_MIN: Duration = Duration::from_millis(50);

/// The rhythm of one peer's heartbeats.
#[derive(Debug)]
pub(super) struct Rhythm {
    /// In microseconds. Whole numbers, so that the sums stay exact however long they are kept up.
    intervals: VecDeque<u64>,
    sum: u64,
    sum_of_squares: u128,
    deviation_min: Duration,
    interval_max: Duration,
    /// When the last one came, or when we began to listen.
    last: Duration,
    /// Whether the interval up to the next one means nothing, because it did not begin with one or
    /// because we were away in between.
    broken: bool,
    /// Whether any came since we began to listen.
    heard: bool,
}

impl Rhythm {
    /// Begins to listen to a peer that should send a heartbeat every `interval`. Until its own
    /// rhythm is known it is taken to be rather irregular.
    pub(super) fn new(now: Duration, interval: Duration) -> Self {
        let mut rhythm = Self {
            intervals: VecDeque::with_capacity(INTERVALS_MAX),
            sum: 0,
            sum_of_squares: 0,
            deviation_min: DEVIATION_MIN.max(interval / 8),
            // One long gap is no rhythm: more than this teaches nothing.
            interval_max: interval * 10,
            last: now,
            broken: true,
            heard: false,
        };
        rhythm.learn(interval * 3 / 4);
        rhythm.learn(interval * 5 / 4);
        rhythm
    }

    /// A heartbeat came.
    pub(super) fn beat(&mut self, now: Duration) {
        if !self.broken {
            self.learn(now.saturating_sub(self.last).min(self.interval_max));
        }
        self.last = now;
        self.broken = false;
        self.heard = true;
    }

    /// Begins to listen anew, with what was learnt about the rhythm.
    pub(super) fn restart(&mut self, now: Duration) {
        self.last = now;
        self.broken = true;
        self.heard = false;
    }

    /// Grants the time that we missed ourselves. What comes next may have lain unread.
    pub(super) fn extend(&mut self, missed: Duration) {
        self.last += missed;
        self.broken = true;
    }

    /// Whether any heartbeat came since we began to listen.
    pub(super) fn is_heard(&self) -> bool {
        self.heard
    }

    /// When the last one came, or when we began to listen.
    pub(super) fn last(&self) -> Duration {
        self.last
    }

    /// How late the next heartbeat may be after the last so that phi stays below what belongs to
    /// `deviations` (see [`deviations_for`]).
    pub(super) fn allowed(&self, deviations: f64) -> Duration {
        let (mean, deviation) = self.mean_and_deviation();
        Duration::from_secs_f64(mean + deviation * deviations)
    }

    /// How odd it is that none came until `now`.
    pub(super) fn phi(&self, now: Duration) -> f64 {
        let (mean, deviation) = self.mean_and_deviation();
        let silent = now.saturating_sub(self.last).as_secs_f64();
        phi((silent - mean) / deviation)
    }

    fn learn(&mut self, interval: Duration) {
        if self.intervals.len() == INTERVALS_MAX
            && let Some(oldest) = self.intervals.pop_front()
        {
            self.sum -= oldest;
            self.sum_of_squares -= u128::from(oldest) * u128::from(oldest);
        }
        let micros = u64::try_from(interval.as_micros()).unwrap_or(u64::MAX >> 8);
        self.intervals.push_back(micros);
        self.sum += micros;
        self.sum_of_squares += u128::from(micros) * u128::from(micros);
    }

    /// In seconds.
    fn mean_and_deviation(&self) -> (f64, f64) {
        let count = self.intervals.len() as f64;
        let mean = self.sum as f64 / count;
        let variance = (self.sum_of_squares as f64 / count - mean * mean).max(0.0);
        (mean / 1e6, (variance.sqrt() / 1e6).max(self.deviation_min.as_secs_f64()))
    }
}

/// The suspicion level that a lateness of `y` standard deviations means: minus the decimal
/// logarithm of the probability that a normally distributed value is that far above its mean or
/// farther.
pub(super) fn phi(y: f64) -> f64 {
    if y < 0.0 {
        return -(1.0 - 10_f64.powf(-phi(-y))).log10();
    }
    // The tail is density / (y + 1 / (y + 2 / (y + 3 / ...))) (Laplace's continued fraction). The
    // logarithm is taken of the factors, because the tail itself runs out of numbers at 38
    // deviations. Near the middle, where the fraction converges slowly, the density is summed up.
    let ln_density = -0.5 * y * y - 0.5 * TAU.ln();
    let ln_tail = if y < 2.0 {
        let (mut term, mut sum, mut n) = (y, y, 3.0);
        while term > 1e-17 * sum {
            term *= y * y / n;
            sum += term;
            n += 2.0;
        }
        (0.5 - ln_density.exp() * sum).ln()
    } else {
        let fraction = (1..=60).rev().fold(y, |below, n| y + f64::from(n) / below);
        ln_density - fraction.ln()
    };
    -ln_tail / LN_10
}

/// How many standard deviations late a heartbeat is when phi reaches `threshold`.
pub(super) fn deviations_for(threshold: f64) -> f64 {
    let (mut low, mut high) = (-10.0, 40.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if phi(middle) < threshold { low = middle } else { high = middle }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn phi_is_the_tail_of_the_normal_distribution() {
        // From tables: -log10 of the upper tail probability.
        for (y, expected) in [
            (-6.0, 4.285e-10),
            (-1.0, 0.075_028),
            (0.0, std::f64::consts::LOG10_2),
            (1.0, 0.799_550),
            (1.999_999, 1.642_984),
            (2.0, 1.643_016),
            (3.0, 2.869_691),
            (6.0, 9.005_864),
            (38.0, 315.539_798),
            (40.0, 349.437_014),
        ] {
            let phi = phi(y);
            let off = (phi - expected).abs() / expected;
            assert!(off < 1e-4, "phi({y}) = {phi}, not {expected}");
        }
        let rises = (-100..400).map(|y| phi(f64::from(y) / 10.0));
        assert!(rises.is_sorted());
    }

    #[test]
    fn the_way_back_from_phi_fits() {
        for threshold in [0.5, 1.0, 3.0, 8.0, 16.0] {
            assert!((phi(deviations_for(threshold)) - threshold).abs() < 1e-6);
        }
    }

    #[test]
    fn a_regular_peer_is_missed_sooner_than_an_irregular_one() {
        let deviations = deviations_for(8.0);
        let allowed = |jitter: u64| {
            let mut rhythm = Rhythm::new(ms(0), ms(500));
            let mut at = ms(0);
            for beat in 0..200 {
                at += ms(500) + ms(jitter * (beat % 2)) - ms(jitter * (1 - beat % 2));
                rhythm.beat(at);
            }
            let allowed = rhythm.allowed(deviations);
            assert!((rhythm.phi(at + allowed) - 8.0).abs() < 0.01);
            assert!(rhythm.phi(at + ms(100)) < 0.01);
            allowed.as_millis()
        };
        // 500 + 5.612 * 62.5, and 500 + 5.612 * 150
        assert_eq!(allowed(0), 850);
        assert_eq!(allowed(40), 850, "the least deviation is an eighth of the interval");
        assert_eq!(allowed(150), 1341);
    }

    #[test]
    fn a_peer_that_is_newly_listened_to_has_longer() {
        let rhythm = Rhythm::new(ms(0), ms(500));
        assert!(!rhythm.is_heard());
        // 500 + 5.612 * 125
        assert_eq!(rhythm.allowed(deviations_for(8.0)).as_millis(), 1201);
    }

    #[test]
    fn a_gap_in_which_we_were_away_teaches_nothing() {
        let deviations = deviations_for(8.0);
        let mut rhythm = Rhythm::new(ms(0), ms(500));
        for beat in 1..=64 {
            rhythm.beat(ms(500 * beat));
        }
        let before = rhythm.allowed(deviations);
        rhythm.extend(ms(9000));
        rhythm.beat(ms(50_000));
        assert_eq!(rhythm.allowed(deviations), before);
        rhythm.restart(ms(60_000));
        assert_eq!((rhythm.last(), rhythm.is_heard()), (ms(60_000), false));
        rhythm.beat(ms(61_000));
        assert_eq!(rhythm.allowed(deviations), before);
        rhythm.beat(ms(90_000));
        assert!(rhythm.allowed(deviations) < ms(5000), "a long gap counts as ten intervals");
    }

    #[test]
    fn old_intervals_are_forgotten() {
        let deviations = deviations_for(8.0);
        let mut rhythm = Rhythm::new(ms(0), ms(500));
        let mut at = ms(0);
        for interval in [1000, 500] {
            for _ in 0..65 {
                at += ms(interval);
                rhythm.beat(at);
            }
        }
        assert_eq!(rhythm.allowed(deviations).as_millis(), 850);
    }
}
