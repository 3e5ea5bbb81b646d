//! One rule of a schedule: a cron expression in a zone, an interval, or a single instant.

use std::time::Duration;

use clustron_core::Timestamp;

use super::INTERVAL_MS_MAX;
use super::clock_change::{self, DstGap, DstOverlap};
use super::error::ScheduleError;
use super::zone::Zone;
use crate::cron::CronExpr;

/// A rule that names instants.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rule {
    /// The instants at which the clocks of a zone show what a cron expression names.
    Cron {
        /// The expression.
        expr: CronExpr,
        /// The zone.
        zone: Zone,
        /// What becomes of moments that the clocks leave out.
        gap: DstGap,
        /// What becomes of moments that the clocks show twice.
        overlap: DstOverlap,
    },
    /// Every `interval_ms`, aligned to the Unix epoch, so that neither a failover nor a restart
    /// moves the phase: the instants are `phase_ms + k * interval_ms` for every whole `k`.
    Every {
        /// The distance between two instants, in milliseconds: 1 ms to 366 days.
        interval_ms: u64,
        /// How long after the aligned instant the job is due, in milliseconds, less than
        /// `interval_ms`. Spreads jobs of one interval.
        phase_ms: u64,
    },
    /// One instant.
    Once {
        /// The instant.
        at: Timestamp,
    },
}

impl Rule {
    pub(super) fn every(interval: Duration, phase: Duration) -> Result<Self, ScheduleError> {
        let refused = || ScheduleError::Interval { interval, phase };
        let interval_ms = whole_ms(interval).ok_or_else(refused)?;
        let phase_ms = whole_ms(phase).ok_or_else(refused)?;
        let fits = (1..=INTERVAL_MS_MAX).contains(&interval_ms) && phase_ms < interval_ms;
        if fits { Ok(Self::Every { interval_ms, phase_ms }) } else { Err(refused()) }
    }

    pub(super) fn cron(text: &str) -> Result<Self, ScheduleError> {
        Ok(Self::Cron {
            expr: CronExpr::parse(text)?,
            zone: Zone::utc(),
            gap: DstGap::default(),
            overlap: DstOverlap::default(),
        })
    }

    /// The first instant strictly after `t`.
    pub(super) fn next_after(&self, t: Timestamp) -> Option<Timestamp> {
        let next = match self {
            Self::Cron { expr, zone, gap, overlap } => {
                // Rounded down: a second that has already begun is not after `t`.
                let after = t.unix_ms().div_euclid(1_000);
                let next = clock_change::next(&expr.calendar(), zone, *gap, *overlap, after);
                next.map(|second| Timestamp::from_unix_ms(second * 1_000))
            }
            Self::Every { interval_ms, phase_ms } => {
                at_step(steps_until(t, *interval_ms, *phase_ms)? + 1, *interval_ms, *phase_ms)
            }
            Self::Once { at } => Some(*at),
        };
        // A tick that is not after the cursor would be fired twice: better none than that.
        next.filter(|next| *next > t)
    }

    /// The zone whose calendar it goes by.
    pub(super) fn zone(&self) -> Option<&Zone> {
        match self {
            Self::Cron { zone, .. } => Some(zone),
            Self::Every { .. } | Self::Once { .. } => None,
        }
    }
}

/// A duration in milliseconds, if it is a whole number of them.
pub(super) fn whole_ms(duration: Duration) -> Option<u64> {
    let ms = u64::try_from(duration.as_millis()).ok()?;
    (Duration::from_millis(ms) == duration).then_some(ms)
}

/// How many whole intervals after the phase `t` lies; `None` if the interval is unusable.
pub(super) fn steps_until(t: Timestamp, interval_ms: u64, phase_ms: u64) -> Option<i128> {
    (interval_ms > 0)
        .then(|| (i128::from(t.unix_ms()) - i128::from(phase_ms)).div_euclid(interval_ms.into()))
}

/// The instant after so many intervals.
pub(super) fn at_step(steps: i128, interval_ms: u64, phase_ms: u64) -> Option<Timestamp> {
    let ms = steps.checked_mul(interval_ms.into())?.checked_add(phase_ms.into())?;
    i64::try_from(ms).ok().map(Timestamp::from_unix_ms)
}
