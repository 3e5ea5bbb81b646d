//! When a schedule names an instant and nothing is due all the same: holidays, nights, freezes.

use chrono::{Datelike, NaiveDate};
use clustron_core::Timestamp;

use super::error::ScheduleError;
use super::zone::Zone;
use crate::cron::{Calendar, CronExpr, DAY_S, YEAR_MAX, YEAR_MIN};

/// A time in which nothing is due.
///
/// Dates and expressions are read on the calendar of the rule that names an instant, that is in its
/// zone, and for intervals and single instants in UTC, unless [`Exclusion::zone`] says in which.
///
/// ```
/// use clustron_scheduler::{Exclusion, Schedule};
///
/// let working_days = Schedule::cron("0 9 * * MON-FRI")?
///     .zone("Europe/Berlin")?
///     .excluding(Exclusion::dates("2026-12-24..2026-12-26,2027-01-01")?)
///     .excluding(Exclusion::cron("* * * 8 *")?);
/// # Ok::<(), clustron_scheduler::ScheduleError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exclusion {
    pub(super) times: Times,
    /// `None`: that of the rule.
    pub(super) zone: Option<Zone>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Times {
    Cron {
        expr: CronExpr,
        covered: Calendar,
    },
    /// From a date to a date, both among them.
    Dates(Vec<(NaiveDate, NaiveDate)>),
    Window {
        from: Timestamp,
        to: Timestamp,
    },
}

impl Exclusion {
    /// All that a cron expression covers: with five fields whole minutes, so that `* * 25 12 *` is
    /// all of 25 December and `* 0-5 * * *` each night; with six or seven fields whole seconds. It
    /// is left out whenever the clocks show it, however often.
    ///
    /// # Errors
    /// As [`CronExpr::parse`].
    pub fn cron(text: &str) -> Result<Self, ScheduleError> {
        let expr = CronExpr::parse(text)?;
        Ok(Self { times: Times::Cron { covered: expr.covered(), expr }, zone: None })
    }

    /// Days, each as a date or as the first and the last of several:
    /// `2026-12-24..2026-12-26,2027-01-01`.
    ///
    /// # Errors
    /// A part of the list is no date, or a last day comes before its first.
    pub fn dates(list: &str) -> Result<Self, ScheduleError> {
        let days = |text: &str| {
            let refused = |problem| ScheduleError::Dates { text: text.to_owned(), problem };
            let (first, last) = text.split_once("..").unwrap_or((text, text));
            let date = |text: &str| {
                let date = NaiveDate::parse_from_str(text.trim(), "%Y-%m-%d")
                    .map_err(|_unreadable| refused("it is no date, or there is no such day"))?;
                let known = (YEAR_MIN as i32..=YEAR_MAX as i32).contains(&date.year());
                if known { Ok(date) } else { Err(refused("the years are 1970 to 2100")) }
            };
            let (first, last) = (date(first)?, date(last)?);
            if first <= last { Ok((first, last)) } else { Err(refused("it ends before it starts")) }
        };
        let dates = list.split(',').map(|part| days(part.trim())).collect::<Result<_, _>>()?;
        Ok(Self { times: Times::Dates(dates), zone: None })
    }

    /// From an instant, to just before another.
    ///
    /// # Errors
    /// If `to` is not after `from`.
    pub fn window(from: Timestamp, to: Timestamp) -> Result<Self, ScheduleError> {
        if from < to {
            Ok(Self { times: Times::Window { from, to }, zone: None })
        } else {
            Err(ScheduleError::EndsBeforeStart { what: "a window", start: from, end: to })
        }
    }

    /// Reads dates and expressions on the calendar of this zone, whichever zone a rule is in.
    ///
    /// # Errors
    /// The zone is unknown; the error says what may have been meant.
    pub fn zone(mut self, name: &str) -> Result<Self, ScheduleError> {
        self.zone = Some(Zone::new(name)?);
        Ok(self)
    }

    /// As [`CronExpr::spread_for`].
    pub(super) fn spread_for(mut self, job: &str) -> Self {
        if let Times::Cron { expr, covered } = &mut self.times {
            *expr = expr.spread_for(job);
            *covered = expr.covered();
        }
        self
    }

    pub(super) fn expr(&self) -> Option<&CronExpr> {
        match &self.times {
            Times::Cron { expr, .. } => Some(expr),
            Times::Dates(_) | Times::Window { .. } => None,
        }
    }

    /// The instants that were given for it.
    pub(super) fn instants(&self) -> impl Iterator<Item = Timestamp> + use<> {
        let window = match &self.times {
            Times::Window { from, to } => Some([*from, *to]),
            Times::Cron { .. } | Times::Dates(_) => None,
        };
        window.into_iter().flatten()
    }

    /// If the instant is left out, one after it before which everything is.
    pub(super) fn ends_after(&self, at: Timestamp, rule: Option<&Zone>) -> Option<Timestamp> {
        let zone = self.zone.as_ref().or(rule);
        let ahead = |second| zone.map_or(0, |zone| zone.offset(second));
        let second = at.unix_ms().div_euclid(1_000);
        let local = second.saturating_add(ahead(second));
        let end = match &self.times {
            Times::Window { from, to } => return (*from <= at && at < *to).then_some(*to),
            Times::Cron { covered, .. } => {
                covered.names(local).then(|| covered.named_until(local))?
            }
            Times::Dates(dates) => {
                let day = local.div_euclid(DAY_S);
                let days = |date: &NaiveDate| i64::from(date.to_epoch_days());
                let within = |(first, last): &&(NaiveDate, NaiveDate)| {
                    (days(first)..=days(last)).contains(&day)
                };
                let (_, last) = dates.iter().find(within)?;
                (days(last) + 1) * DAY_S
            }
        };
        // Whichever way the clocks are set in between, this is not too late; if it is too early,
        // the next look goes on from there.
        let ahead = ahead(second).max(ahead(second + end - local));
        Some(Timestamp::from_unix_ms((end - ahead).max(second + 1) * 1_000))
    }
}
