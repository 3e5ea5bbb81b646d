//! Wall-clock time as data.
//!
//! Protocol machines measure intervals as a [`std::time::Duration`] since their node's start, which
//! never jumps. Wall-clock instants come from an injected [`Clock`] and travel as [`Timestamp`].

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A UTC instant in whole milliseconds since 1970-01-01T00:00:00Z. Shown as RFC 3339.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The instant `ms` milliseconds after the Unix epoch; negative is before it.
    pub const fn from_unix_ms(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn unix_ms(self) -> i64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub fn saturating_since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// This instant and `duration` more, in whole milliseconds.
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Timestamp {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This instant less `duration`, in whole milliseconds.
    #[must_use]
    pub fn saturating_sub(self, duration: Duration) -> Timestamp {
        Self(self.0.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Self(i64::try_from(after.as_millis()).unwrap_or(i64::MAX)),
            Err(before) => Self(-i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX)),
        }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match chrono::DateTime::from_timestamp_millis(self.0) {
            Some(time) => time.format("%Y-%m-%dT%H:%M:%S%.3fZ").fmt(f),
            None => write!(f, "{} ms from the Unix epoch", self.0),
        }
    }
}

/// A text is not an RFC 3339 instant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an instant: {reason}; write it like 2026-11-18T11:06:40.123Z")]
pub struct InvalidTimestamp {
    /// The text as it was given.
    pub text: String,
    /// What the parser said.
    pub reason: String,
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    /// Reads RFC 3339 with any offset; what is finer than a millisecond is cut off.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match chrono::DateTime::parse_from_rfc3339(text) {
            Ok(time) => Ok(Self(time.timestamp_millis())),
            Err(error) => {
                Err(InvalidTimestamp { text: text.to_owned(), reason: error.to_string() })
            }
        }
    }
}

/// Where wall-clock time comes from. Tests and simulations put their own in.
pub trait Clock: Send + Sync + 'static {
    /// The present UTC instant as this node believes it.
    fn now(&self) -> Timestamp;

    /// How long the machine has been suspended since any fixed instant, for how old a copy is: the
    /// clock that timers run by stands still meanwhile. It never falls. A machine that is never
    /// suspended, as most simulated ones, gives zero.
    fn suspended(&self) -> Duration {
        Duration::ZERO
    }
}

/// The operating system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        SystemTime::now().into()
    }

    /// On Linux what `CLOCK_BOOTTIME` is ahead of `CLOCK_MONOTONIC`; zero elsewhere.
    #[cfg(target_os = "linux")]
    fn suspended(&self) -> Duration {
        use rustix::time::{ClockId, clock_gettime};
        // In this order, so that what lies between the two readings is not taken for sleep.
        let booted = clock_gettime(ClockId::Boottime);
        let awake = clock_gettime(ClockId::Monotonic);
        let since_boot = |time: rustix::time::Timespec| {
            let (s, ns) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
            Duration::new(s.unwrap_or(0), ns.unwrap_or(0))
        };
        since_boot(booted).saturating_sub(since_boot(awake))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_read_as_rfc_3339() {
        assert_eq!(Timestamp::from_unix_ms(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp::from_unix_ms(-1).to_string(), "1969-12-31T23:59:59.999Z");
        assert_eq!(
            Timestamp::from_unix_ms(1_795_000_000_123).to_string(),
            "2026-11-18T11:06:40.123Z"
        );
    }

    #[test]
    fn what_is_shown_is_read_back() {
        for ms in [0, -1, 1, 999, 1_795_000_000_123, -62_135_596_800_000] {
            let shown = Timestamp::from_unix_ms(ms);
            assert_eq!(shown.to_string().parse(), Ok(shown));
        }
    }

    #[test]
    fn offsets_are_applied_and_finer_fractions_cut_off() {
        let utc = Timestamp::from_unix_ms(1_795_000_000_123);
        assert_eq!("2026-11-18T12:06:40.123999+01:00".parse(), Ok(utc));
    }

    #[test]
    fn an_invalid_instant_is_refused_with_its_text() {
        for bad in ["", "now", "2026-11-18", "2026-11-18T11:06:40", "2026-13-01T00:00:00Z"] {
            let error = bad.parse::<Timestamp>().unwrap_err();
            assert_eq!(error.text, bad);
            assert!(error.to_string().contains("write it like"), "{error}");
        }
    }
}
