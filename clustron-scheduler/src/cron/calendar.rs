//! Which seconds of the civil calendar a cron expression names, in a time without zones.
//!
//! A civil second is counted from 1970-01-01T00:00:00 on a clock that is never set: what it is in
//! a zone is for others to say. Every question is answered by looking along at most 131 years,
//! twelve months and 31 days, so none takes long, also for days that do not exist.

use chrono::{Datelike, NaiveDate};

use super::numbers::Numbers;

/// The first year that an expression can name.
pub(crate) const YEAR_MIN: u32 = 1970;
/// The last year that an expression can name.
pub(crate) const YEAR_MAX: u32 = 2100;

/// How many seconds a civil day has.
pub(crate) const DAY_S: i64 = 86_400;
/// The first civil second after the last year that an expression can name.
pub(crate) const CALENDAR_END_S: i64 = 4_133_980_800;

/// The sets of a cron expression's fields. None of them is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Calendar {
    pub(super) seconds: Numbers,
    pub(super) minutes: Numbers,
    pub(super) hours: Numbers,
    /// The days of a month that begins on a Sunday, a Monday and so on; bit 1 is the first.
    days: [u32; 7],
    months: Numbers,
    /// Counted from [`YEAR_MIN`].
    years: Numbers,
}

/// The two day fields, and whether a day needs only one of them.
pub(super) struct Days {
    pub(super) of_month: Numbers,
    pub(super) of_week: Numbers,
    pub(super) either: bool,
}

impl Days {
    fn of_month_that_begins_on(&self, weekday: u32) -> u32 {
        let named = |day: u32| {
            let of_month = self.of_month.contains(day);
            let of_week = self.of_week.contains((weekday + day - 1) % 7);
            if self.either { of_month || of_week } else { of_month && of_week }
        };
        (1..=31).filter(|day| named(*day)).fold(0, |days, day| days | 1 << day)
    }
}

impl Calendar {
    pub(super) fn new(
        seconds: Numbers,
        minutes: Numbers,
        hours: Numbers,
        days: &Days,
        months: Numbers,
        years: Numbers,
    ) -> Self {
        let days = std::array::from_fn(|weekday| days.of_month_that_begins_on(weekday as u32));
        Self { seconds, minutes, hours, days, months, years }
    }

    /// The first named second after `after`.
    pub(crate) fn next(&self, after: i64) -> Option<i64> {
        let start = after.saturating_add(1).max(0);
        let day = start.div_euclid(DAY_S);
        if self.names_day(day)
            && let Some(time) = self.time_from(start.rem_euclid(DAY_S) as u32)
        {
            return Some(day * DAY_S + i64::from(time));
        }
        let day = self.day_from(day + 1)?;
        Some(day * DAY_S + i64::from(self.time_from(0)?))
    }

    /// Whether a second is named.
    pub(crate) fn names(&self, civil: i64) -> bool {
        let time = civil.rem_euclid(DAY_S) as u32;
        self.seconds.contains(time % 60)
            && self.minutes.contains(time / 60 % 60)
            && self.hours.contains(time / 3_600)
            && self.names_day(civil.div_euclid(DAY_S))
    }

    /// Whether every hour of the day is named.
    pub(crate) fn names_every_hour(&self) -> bool {
        self.hours.len() == 24
    }

    /// The end of a stretch of seconds around a named one that are all named: a whole day, hour or
    /// minute if the fields below it name everything.
    pub(crate) fn named_until(&self, civil: i64) -> i64 {
        let unit = match (self.seconds.len(), self.minutes.len(), self.hours.len()) {
            (60, 60, 24) => DAY_S,
            (60, 60, _) => 3_600,
            (60, _, _) => 60,
            _ => 1,
        };
        (civil.div_euclid(unit) + 1) * unit
    }

    /// How many seconds of each named day are named before second `time` of the day.
    pub(crate) fn times_before(&self, time: u32) -> u32 {
        let (hour, minute, second) = (time / 3_600, time / 60 % 60, time % 60);
        let each_minute = self.seconds.len();
        let each_hour = self.minutes.len() * each_minute;
        let mut times = self.hours.rank(hour) * each_hour;
        if self.hours.contains(hour) {
            times += self.minutes.rank(minute) * each_minute;
            if self.minutes.contains(minute) {
                times += self.seconds.rank(second);
            }
        }
        times
    }

    /// The second of a named day that has `rank` named ones before it.
    pub(crate) fn nth_time(&self, rank: u32) -> Option<u32> {
        let each_minute = self.seconds.len();
        let minute = rank / each_minute;
        let hour = self.hours.nth(minute / self.minutes.len())?;
        let second = self.seconds.nth(rank % each_minute)?;
        let minute = self.minutes.nth(minute % self.minutes.len())?;
        Some(hour * 3_600 + minute * 60 + second)
    }

    /// The first named second of a day that is not before second `time` of it.
    fn time_from(&self, time: u32) -> Option<u32> {
        let (hour, minute, second) = (time / 3_600, time / 60 % 60, time % 60);
        let (first_minute, first_second) =
            (self.minutes.first_from(0)?, self.seconds.first_from(0)?);
        if self.hours.contains(hour) {
            if self.minutes.contains(minute)
                && let Some(second) = self.seconds.first_from(second)
            {
                return Some(hour * 3_600 + minute * 60 + second);
            }
            if let Some(minute) = self.minutes.first_from(minute + 1) {
                return Some(hour * 3_600 + minute * 60 + first_second);
            }
        }
        let hour = self.hours.first_from(hour + 1)?;
        Some(hour * 3_600 + first_minute * 60 + first_second)
    }

    /// Whether the day that begins `day` days after 1970-01-01 is named.
    fn names_day(&self, day: i64) -> bool {
        let Some((date, year)) = date(day) else { return false };
        let first = (date.weekday().num_days_from_sunday() + 35 - date.day0()) % 7;
        self.years.contains(year)
            && self.months.contains(date.month())
            && self.days[first as usize] >> date.day() & 1 == 1
    }

    /// The first named day that is not before `day`.
    fn day_from(&self, day: i64) -> Option<i64> {
        let (date, begun) = date(day)?;
        let mut year = self.years.first_from(begun)?;
        let (mut month, mut from) = if year == begun { (date.month(), date.day()) } else { (1, 1) };
        loop {
            let Some(named) = self.months.first_from(month) else {
                year = self.years.first_from(year + 1)?;
                (month, from) = (1, 1);
                continue;
            };
            if named > month {
                from = 1;
            }
            let first = NaiveDate::from_ymd_opt((YEAR_MIN + year) as i32, named, 1)?;
            let exist = u32::MAX >> (31 - first.num_days_in_month());
            let begins_on = first.weekday().num_days_from_sunday();
            let left = self.days[begins_on as usize] & exist & (u32::MAX << from);
            if left != 0 {
                return Some(
                    i64::from(first.to_epoch_days()) - 1 + i64::from(left.trailing_zeros()),
                );
            }
            (month, from) = (named + 1, 1);
        }
    }
}

/// The date of a day since 1970-01-01, and its year since [`YEAR_MIN`]; `None` outside of the
/// calendar.
fn date(day: i64) -> Option<(NaiveDate, u32)> {
    let date = NaiveDate::from_epoch_days(i32::try_from(day).ok()?)?;
    let year = u32::try_from(date.year()).ok()?.checked_sub(YEAR_MIN)?;
    (year <= YEAR_MAX - YEAR_MIN).then_some((date, year))
}
