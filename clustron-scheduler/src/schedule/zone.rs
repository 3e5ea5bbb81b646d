//! A time zone: which civil time its clocks show at an instant, and when they show a civil time.
//!
//! A clock on a wall shows most times once. Where it is put forward it leaves some out, and where
//! it is put back it shows some twice. Instants and civil times are whole seconds here, counted
//! from 1970-01-01T00:00:00 in UTC and on the wall.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, LocalResult, NaiveDateTime, Offset, TimeZone};
use chrono_tz::{GapInfo, TZ_VARIANTS, Tz};

use super::ScheduleError;
use crate::nearest::nearest;

/// The longest name of a zone, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// A time zone of the IANA database. Two are equal if their names are.
///
/// The name travels between nodes, and each looks it up in the tables that it was built with:
/// [`Zone::tables`] says of which release. Only the leader computes ticks, so nodes with different
/// tables never disagree about one; until all have the newer tables, a change of leader may change
/// what is computed for the time still to come.
#[derive(Clone)]
pub struct Zone {
    /// Only its name if the tables of this build do not know it.
    rules: Result<Tz, Arc<str>>,
}

/// When the clocks of a zone show a civil time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    Once(i64),
    Twice(i64, i64),
    /// They were put forward over it, and go on at this instant.
    Never(Option<i64>),
}

impl Zone {
    /// A zone by its name, such as `Europe/Berlin`.
    ///
    /// # Errors
    /// The tables of this build do not know it; the error says what may have been meant.
    pub fn new(name: &str) -> Result<Self, ScheduleError> {
        let zone = Self::named(name)?;
        if zone.is_known() { Ok(zone) } else { Err(unknown(name)) }
    }

    /// UTC.
    pub fn utc() -> Self {
        Self { rules: Ok(Tz::UTC) }
    }

    /// A zone as another node names it, which may have newer tables. What is decoded must not
    /// depend on those of this build: replicas would differ.
    pub(super) fn named(name: &str) -> Result<Self, ScheduleError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_' | b'-' | b'+');
        if !(1..=NAME_BYTES_MAX).contains(&name.len()) || !name.bytes().all(allowed) {
            return Err(unknown(name));
        }
        let known = name.parse().ok().filter(|zone: &Tz| zone.name() == name);
        Ok(Self { rules: known.ok_or_else(|| name.into()) })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        match &self.rules {
            Ok(zone) => zone.name(),
            Err(name) => name,
        }
    }

    /// Whether the tables of this build know it. A schedule in a zone that the leader does not
    /// know has no ticks there, and waits for a leader that does.
    pub fn is_known(&self) -> bool {
        self.rules.is_ok()
    }

    /// The release of the IANA tables that this build has, such as `2025b`. They say when clocks
    /// change until the end of 2099.
    pub fn tables() -> &'static str {
        chrono_tz::IANA_TZDB_VERSION
    }

    /// The instant as RFC 3339 in this zone, to the millisecond, such as
    /// `2026-03-29T03:00:00.000+02:00`.
    ///
    /// ```
    /// use clustron_core::Timestamp;
    /// use clustron_scheduler::Zone;
    ///
    /// let berlin = Zone::new("Europe/Berlin")?;
    /// assert_eq!(berlin.show(Timestamp::from_unix_ms(0)), "1970-01-01T01:00:00.000+01:00");
    /// # Ok::<(), clustron_scheduler::ScheduleError>(())
    /// ```
    pub fn show(&self, at: clustron_core::Timestamp) -> String {
        match (&self.rules, DateTime::from_timestamp_millis(at.unix_ms())) {
            (Ok(rules), Some(time)) if !self.is_utc() => {
                time.with_timezone(rules).format("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string()
            }
            _ => at.to_string(),
        }
    }

    /// How far the clocks are ahead of UTC at an instant, in seconds.
    pub(super) fn offset(&self, instant: i64) -> i64 {
        match &self.rules {
            Ok(rules) if !self.is_utc() => civil(instant).map_or(0, |utc| {
                rules.offset_from_utc_datetime(&utc).fix().local_minus_utc().into()
            }),
            _ => 0,
        }
    }

    /// What the clocks show at an instant.
    pub(super) fn local(&self, instant: i64) -> i64 {
        instant + self.offset(instant)
    }

    /// When the clocks show a civil time.
    pub(super) fn shown(&self, local: i64) -> Shown {
        let rules = self.rules.as_ref().ok().filter(|_| !self.is_utc());
        let (Some(rules), Some(time)) = (rules, civil(local)) else {
            return Shown::Once(local);
        };
        let at = |offset: &chrono_tz::TzOffset| local - i64::from(offset.fix().local_minus_utc());
        match rules.offset_from_local_datetime(&time) {
            LocalResult::Single(offset) => Shown::Once(at(&offset)),
            LocalResult::Ambiguous(one, other) => {
                let (one, other) = (at(&one), at(&other));
                Shown::Twice(one.min(other), one.max(other))
            }
            LocalResult::None => {
                let end = GapInfo::new(&time, rules).and_then(|gap| gap.end);
                Shown::Never(end.map(|end| end.timestamp()))
            }
        }
    }

    /// The instant from which on the clocks are set differently, after `first` and until `last`,
    /// between which they change once.
    pub(super) fn change_between(&self, first: i64, last: i64) -> i64 {
        let before = self.offset(first);
        let (mut old, mut new) = (first, last);
        while new - old > 1 {
            let middle = old + (new - old) / 2;
            if self.offset(middle) == before { old = middle } else { new = middle }
        }
        new
    }

    pub(super) fn is_utc(&self) -> bool {
        self.rules == Ok(Tz::UTC)
    }
}

/// Seconds since 1970-01-01T00:00:00 as a date and a time.
fn civil(seconds: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp(seconds, 0).map(|time| time.naive_utc())
}

fn unknown(name: &str) -> ScheduleError {
    let meant = nearest(name, TZ_VARIANTS.iter().map(|zone| zone.name()));
    ScheduleError::UnknownZone { name: name.to_owned(), nearest: meant.map(str::to_owned) }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.rules == other.rules
    }
}

impl Eq for Zone {}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Zone({:?})", self.name())
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
