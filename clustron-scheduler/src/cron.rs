//! Cron expressions in the sense of POSIX and Vixie cron: from their text to a [`Calendar`].
//!
//! An expression names instants of a civil clock, one that hangs on a wall; which instants those
//! are in a zone is for [`crate::schedule`] to say.

mod calendar;
mod field;
mod numbers;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use clustron_core::Timestamp;
use serde::{Deserialize, Serialize};

use calendar::Days;
pub(crate) use calendar::{CALENDAR_END_S, Calendar, DAY_S, YEAR_MAX, YEAR_MIN};
use field::{Field, HOUR, MINUTE, MONTH, MONTH_DAY, Part, SECOND, WEEK_DAY, YEAR};
use numbers::Numbers;

use crate::nearest::nearest;
use crate::schedule::ScheduleError;

/// The longest expression, in bytes.
pub const CRON_BYTES_MAX: usize = 256;

/// A cron expression. Two are equal if their text is.
///
/// - 5 fields: minute, hour, day of month, month, day of week; due at second 0.
///   6 fields: seconds first. 7 fields: year (1970 to 2100) last.
/// - Each field is `*` or a comma list of values, ranges `a-b`, and either with a step: `*/n`,
///   `a-b/n`, and `a/n` for "from a to the end". `?` may stand for `*` in the two day fields.
/// - Months and days of the week have names of three letters or in full, in any case. In the day
///   of the week 0 and 7 are Sunday and ranges may wrap: `FRI-MON`, `6-0`.
/// - When both day fields are restricted (neither starts with `*` or `?`), a day matches if
///   **either** does; otherwise both must.
/// - `a~b` is one number from a to b that follows from the name of the job, always the same; `~`
///   is one of all, in the day of the month of 1 to 28, which every month has. `a~b/n` and `~/n`
///   are every n from such a beginning. So jobs are spread that would else start together; see
///   [`CronExpr::spread_for`]. The notation is OpenBSD's.
/// - `@yearly` = `@annually`, `@monthly`, `@weekly` (Sunday), `@daily` = `@midnight`, `@hourly`.
///
/// ```
/// use clustron_scheduler::CronExpr;
///
/// let error = "0 25 * * *".parse::<CronExpr>().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "cron expression \"0 25 * * *\", hour at column 3: \"25\" is out of range; allowed: 0-23",
/// );
/// assert_eq!(error.marked().as_deref(), Some("0 25 * * *\n  ^^"));
/// ```
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CronExpr {
    /// All that is kept, since there may be a million of them.
    text: Box<str>,
}

/// How many calendars a thread remembers: those of the jobs that are due often.
const CALENDARS_MAX: usize = 4_096;

thread_local! {
    static CALENDARS: RefCell<BTreeMap<Box<str>, Arc<Calendar>>> = RefCell::default();
}

impl CronExpr {
    /// Reads an expression.
    ///
    /// # Errors
    /// Names the field, the place, the value and what is allowed.
    pub fn parse(text: &str) -> Result<Self, ScheduleError> {
        // The macros name no number, so the job's name does not matter here.
        let (text, _) = Self::read(text)?;
        Ok(Self { text: text.into() })
    }

    /// Its text with single blanks, and what it names.
    fn read(text: &str) -> Result<(String, Calendar), ScheduleError> {
        let text = text.trim();
        if text.len() > CRON_BYTES_MAX {
            return Err(ScheduleError::TooLong { bytes: text.len(), max: CRON_BYTES_MAX });
        }
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let fields = Fields::of(&text)?;
        let read = |field: &Field, part: Part<'_>| {
            field.read(part, "").map_err(|problem| ScheduleError::Field {
                at: problem.at,
                expr: text.clone(),
                field: field.name,
                problem: problem.problem,
                allowed: field.allowed,
                nearest: problem.nearest,
            })
        };
        let [second, minute, hour, month_day, month, week_day, year] = fields.parts;
        let calendar = Calendar::new(
            read(&SECOND, second)?,
            read(&MINUTE, minute)?,
            read(&HOUR, hour)?,
            &Days {
                of_month: read(&MONTH_DAY, month_day)?,
                of_week: read(&WEEK_DAY, week_day)?,
                either: is_restricted(month_day) && is_restricted(week_day),
            },
            read(&MONTH, month)?,
            read(&YEAR, year)?,
        );
        Ok((text, calendar))
    }

    /// The expression in which each `~` is replaced by the number that a job of this name has, so
    /// that it shows what is due. Without `~` it stays as it is. An expression with `~` that was
    /// not treated so stands for a job without a name.
    #[must_use]
    pub fn spread_for(&self, job: &str) -> Self {
        let Ok(fields) = Fields::of(&self.text) else { return self.clone() };
        if !self.is_spread() {
            return self.clone();
        }
        let parts = fields.written().map(|(field, part)| field.spread_out(part, job));
        let text = parts.collect::<Vec<_>>().join(" ");
        // A list of many short `~` may grow too long with numbers in their place.
        Self::parse(&text).unwrap_or_else(|_too_long| self.clone())
    }

    /// Whether a `~` is in it.
    pub fn is_spread(&self) -> bool {
        self.text.contains('~')
    }

    /// The expression as it was given, with single blanks.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first instant strictly after `t` in UTC; `None` if there is none until the end of 2100.
    /// [`crate::Schedule`] has zones.
    pub fn next_after(&self, t: Timestamp) -> Option<Timestamp> {
        // Rounded down: a second that has already begun is not after `t`.
        let next = self.calendar().next(t.unix_ms().div_euclid(1_000))?;
        Some(Timestamp::from_unix_ms(next * 1_000))
    }

    /// The civil seconds that it names.
    pub(crate) fn calendar(&self) -> Arc<Calendar> {
        CALENDARS.with_borrow_mut(|known| {
            if let Some(calendar) = known.get(&self.text) {
                return calendar.clone();
            }
            let Ok((_, calendar)) = Self::read(&self.text) else {
                unreachable!("{:?} was read before", self.text)
            };
            if known.len() >= CALENDARS_MAX {
                known.clear();
            }
            let calendar = Arc::new(calendar);
            known.insert(self.text.clone(), calendar.clone());
            calendar
        })
    }

    /// The civil seconds that lie in what it names: if it gives no seconds, whole minutes.
    pub(crate) fn covered(&self) -> Calendar {
        let mut calendar = Calendar::clone(&self.calendar());
        if Fields::of(&self.text).is_ok_and(|fields| fields.count == 5) {
            calendar.seconds = Numbers::all(0, 59);
        }
        calendar
    }
}

impl PartialEq for CronExpr {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for CronExpr {}

impl fmt::Debug for CronExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CronExpr({:?})", self.text)
    }
}

impl fmt::Display for CronExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for CronExpr {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for CronExpr {
    type Error = ScheduleError;

    fn try_from(text: String) -> Result<Self, ScheduleError> {
        Self::parse(&text)
    }
}

impl From<CronExpr> for String {
    fn from(expr: CronExpr) -> Self {
        expr.text.into()
    }
}

/// An expression's seven fields, those that it leaves out among them.
struct Fields<'a> {
    parts: [Part<'a>; 7],
    /// How many were written.
    count: usize,
}

impl<'a> Fields<'a> {
    /// The fields of a text with single blanks.
    fn of(text: &'a str) -> Result<Self, ScheduleError> {
        const NOUGHT: Part<'static> = Part::of("0");
        const STAR: Part<'static> = Part::of("*");
        let text = expand_macro(text)?;
        if text.is_empty() {
            return Err(ScheduleError::Empty);
        }
        let fields: Vec<Part<'a>> = Part::of(text).all_between(' ').collect();
        let parts = match *fields.as_slice() {
            [minute, hour, month_day, month, week_day] => {
                [NOUGHT, minute, hour, month_day, month, week_day, STAR]
            }
            [second, minute, hour, month_day, month, week_day] => {
                [second, minute, hour, month_day, month, week_day, STAR]
            }
            [second, minute, hour, month_day, month, week_day, year] => {
                [second, minute, hour, month_day, month, week_day, year]
            }
            ref fields => {
                let count = fields.len();
                return Err(ScheduleError::FieldCount { text: text.to_owned(), count });
            }
        };
        Ok(Self { parts, count: fields.len() })
    }

    /// The fields that were written, in order.
    fn written(&self) -> impl Iterator<Item = (&'static Field, Part<'a>)> {
        const ALL: [&Field; 7] = [&SECOND, &MINUTE, &HOUR, &MONTH_DAY, &MONTH, &WEEK_DAY, &YEAR];
        ALL.into_iter().zip(self.parts).skip(usize::from(self.count == 5)).take(self.count)
    }
}

fn expand_macro(text: &str) -> Result<&str, ScheduleError> {
    const MACROS: [(&str, &str); 7] = [
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        ("@monthly", "0 0 1 * *"),
        ("@weekly", "0 0 * * 0"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@hourly", "0 * * * *"),
    ];
    if !text.starts_with('@') {
        return Ok(text);
    }
    let found = MACROS.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    found.map(|(_, fields)| *fields).ok_or_else(|| {
        let meant = nearest(text, MACROS.map(|(name, _)| name));
        ScheduleError::UnknownMacro { text: text.to_owned(), nearest: meant.map(str::to_owned) }
    })
}

/// Vixie's rule looks at the first character only: `*/2` does not restrict.
fn is_restricted(field: Part<'_>) -> bool {
    !field.text.starts_with(['*', '?'])
}

#[cfg(test)]
mod tests;
