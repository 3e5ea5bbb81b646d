//! What was measured several times.

use std::time::Duration;

/// Measured values in rising order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Figures(Vec<f64>);

impl Figures {
    /// Durations, in milliseconds.
    pub fn ms(durations: impl IntoIterator<Item = Duration>) -> Self {
        durations.into_iter().map(|duration| duration.as_secs_f64() * 1000.0).collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The middle value, or the mean of the middle two; not a number if there is none.
    pub fn median(&self) -> f64 {
        let (len, half) = (self.0.len(), self.0.len() / 2);
        match len {
            0 => f64::NAN,
            _ if len % 2 == 1 => self.0[half],
            _ => f64::midpoint(self.0[half - 1], self.0[half]),
        }
    }

    /// The value that this share of all, from 0 to 1, does not exceed; not a number if there is
    /// none.
    pub fn quantile(&self, share: f64) -> f64 {
        let last = self.0.len().saturating_sub(1) as f64;
        self.0.get((last * share).ceil() as usize).copied().unwrap_or(f64::NAN)
    }

    /// The least value; not a number if there is none.
    pub fn min(&self) -> f64 {
        self.0.first().copied().unwrap_or(f64::NAN)
    }

    /// The greatest value; not a number if there is none.
    pub fn max(&self) -> f64 {
        self.0.last().copied().unwrap_or(f64::NAN)
    }

    /// Median, least and greatest for a table.
    pub fn cells(&self, decimals: usize) -> [String; 3] {
        [self.median(), self.min(), self.max()].map(|value| format!("{value:.decimals$}"))
    }
}

impl FromIterator<f64> for Figures {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        Self(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let of = |values: &[f64]| Figures::from_iter(values.iter().copied());
        assert_eq!(of(&[3.0, 1.0, 2.0]).median(), 2.0);
        assert_eq!(of(&[4.0, 1.0, 2.0, 3.0]).median(), 2.5);
        assert!(of(&[]).is_empty() && of(&[]).median().is_nan() && of(&[]).min().is_nan());
        let hundred: Figures = (1..=101).map(f64::from).collect();
        assert_eq!(
            [0.0, 0.5, 0.99, 1.0].map(|share| hundred.quantile(share)),
            [1.0, 51.0, 100.0, 101.0]
        );
        let two = Figures::ms([Duration::from_millis(9), Duration::from_micros(1500)]);
        assert_eq!((two.len(), two.min(), two.max()), (2, 1.5, 9.0));
        assert_eq!(two.cells(1), ["5.2", "1.5", "9.0"]);
    }
}
