//! Cron expressions in the sense of POSIX and Vixie cron, evaluated in UTC.
//!
//! Each field is read here into the set of numbers it names, and written out for the `cron` crate
//! as plain lists. The crate iterates the calendar; what it understands differently from other
//! crons (1 is Sunday, day of month and day of week are both required, no 5-field lines) never
//! reaches it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use clustron_core::Timestamp;
use serde::{Deserialize, Serialize};

use crate::schedule::ScheduleError;

/// The longest expression, in bytes.
pub const CRON_BYTES_MAX: usize = 256;

/// The first second after the last year that an expression can name, 2100.
const CALENDAR_END_S: i64 = 4_133_980_800;

/// A cron expression in UTC. Two are equal if their text is.
///
/// - 5 fields: minute, hour, day of month, month, day of week; due at second 0.
///   6 fields: seconds first. 7 fields: year (1970 to 2100) last.
/// - Each field is `*` or a comma list of values, ranges `a-b`, and either with a step: `*/n`,
///   `a-b/n`, and `a/n` for "from a to the end". `?` may stand for `*` in the two day fields.
/// - Months and days of the week have names of three letters or in full, in any case. In the day
///   of the week 0 and 7 are Sunday and ranges may wrap: `FRI-MON`, `6-0`.
/// - When both day fields are restricted (neither starts with `*` or `?`), a day matches if
///   **either** does; otherwise both must.
/// - `@yearly` = `@annually`, `@monthly`, `@weekly` (Sunday), `@daily` = `@midnight`, `@hourly`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CronExpr {
    text: String,
    /// One, or two of which the earlier instant counts: see the rule of the two day fields.
    calendars: Arc<[cron::Schedule]>,
}

impl CronExpr {
    /// Reads an expression.
    ///
    /// # Errors
    /// Names the field, the value and what is allowed.
    pub fn parse(text: &str) -> Result<Self, ScheduleError> {
        let text = text.trim();
        if text.len() > CRON_BYTES_MAX {
            return Err(ScheduleError::TooLong { bytes: text.len(), max: CRON_BYTES_MAX });
        }
        let fields: Vec<&str> = expand_macro(text)?.split_whitespace().collect();
        let (second, five, year) = match fields.as_slice() {
            [] => return Err(ScheduleError::Empty),
            five @ [_, _, _, _, _] => ("0", five, "*"),
            [second, five @ ..] if five.len() == 5 => (*second, five, "*"),
            [second, five @ .., year] if five.len() == 5 => (*second, five, *year),
            _ => {
                let count = fields.len();
                return Err(ScheduleError::FieldCount { text: text.to_owned(), count });
            }
        };
        let second = SECOND.list(second)?;
        let minute = MINUTE.list(five[0])?;
        let hour = HOUR.list(five[1])?;
        let month_day = MONTH_DAY.list(five[2])?;
        let month = MONTH.list(five[3])?;
        let week_day = WEEK_DAY.list(five[4])?;
        let year = YEAR.list(year)?;

        let calendar = |month_day: &str, week_day: &str| {
            let line = format!("{second} {minute} {hour} {month_day} {month} {week_day} {year}");
            cron::Schedule::from_str(&line).map_err(|error| ScheduleError::Refused {
                text: text.to_owned(),
                reason: error.to_string(),
            })
        };
        let calendars = if is_restricted(five[2]) && is_restricted(five[4]) {
            vec![calendar(&month_day, "*")?, calendar("*", &week_day)?]
        } else {
            vec![calendar(&month_day, &week_day)?]
        };
        Ok(Self { text: text.to_owned(), calendars: calendars.into() })
    }

    /// The expression as it was given, without blanks around it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first instant strictly after `t`; `None` if there is none until the end of 2100.
    pub fn next_after(&self, t: Timestamp) -> Option<Timestamp> {
        // Rounded down: a matching second that has already begun is not after `t`. Expressions name
        // no year before 1970, and the crate reads a negative year as a huge one.
        let second = t.unix_ms().div_euclid(1_000).max(-1);
        if second >= CALENDAR_END_S {
            return None;
        }
        let after: DateTime<Utc> = DateTime::from_timestamp(second, 0)?;
        let earliest =
            self.calendars.iter().filter_map(|calendar| calendar.after(&after).next()).min()?;
        Some(Timestamp::from_unix_ms(earliest.timestamp_millis())).filter(|next| *next > t)
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
        expr.text
    }
}

fn expand_macro(text: &str) -> Result<&str, ScheduleError> {
    if !text.starts_with('@') {
        return Ok(text);
    }
    match text.to_ascii_lowercase().as_str() {
        "@yearly" | "@annually" => Ok("0 0 1 1 *"),
        "@monthly" => Ok("0 0 1 * *"),
        "@weekly" => Ok("0 0 * * 0"),
        "@daily" | "@midnight" => Ok("0 0 * * *"),
        "@hourly" => Ok("0 * * * *"),
        _ => Err(ScheduleError::UnknownMacro { text: text.to_owned() }),
    }
}

/// Vixie's rule looks at the first character only: `*/2` does not restrict.
fn is_restricted(field: &str) -> bool {
    !field.starts_with(['*', '?'])
}

/// What one field may hold.
struct Field {
    name: &'static str,
    min: u32,
    max: u32,
    /// The names for `min`, `min + 1`, … in full; the first three letters do as well.
    names: &'static [&'static str],
    allowed: &'static str,
    /// Whether 7 means 0 and ranges wrap.
    is_week: bool,
    /// Whether `?` means `*`.
    is_day: bool,
}

const PLAIN: Field =
    Field { name: "", min: 0, max: 59, names: &[], allowed: "", is_week: false, is_day: false };
const SECOND: Field = Field { name: "second", allowed: "0-59", ..PLAIN };
const MINUTE: Field = Field { name: "minute", allowed: "0-59", ..PLAIN };
const HOUR: Field = Field { name: "hour", max: 23, allowed: "0-23", ..PLAIN };
const MONTH_DAY: Field =
    Field { name: "day of month", min: 1, max: 31, allowed: "1-31", is_day: true, ..PLAIN };
const MONTH: Field = Field {
    name: "month",
    min: 1,
    max: 12,
    names: &[
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ],
    allowed: "1-12 or JAN-DEC",
    ..PLAIN
};
const WEEK_DAY: Field = Field {
    name: "day of week",
    max: 7,
    names: &["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"],
    allowed: "0-7 (0 and 7 are Sunday) or SUN-SAT",
    is_week: true,
    is_day: true,
    ..PLAIN
};
const YEAR: Field = Field { name: "year", min: 1970, max: 2100, allowed: "1970-2100", ..PLAIN };

impl Field {
    /// The field as the `cron` crate wants it: `*`, or every number that it names.
    fn list(&self, text: &str) -> Result<String, ScheduleError> {
        let mut named = std::collections::BTreeSet::new();
        for item in text.split(',') {
            self.add(item, &mut named)?;
        }
        // Seven days a week, numbered 1 to 7 there.
        let (all, shift) = if self.is_week { (7, 1) } else { (self.max - self.min + 1, 0) };
        if named.len() == all as usize {
            return Ok("*".to_owned());
        }
        let numbers: Vec<String> = named.iter().map(|n| (n + shift).to_string()).collect();
        Ok(numbers.join(","))
    }

    fn add(
        &self,
        item: &str,
        named: &mut std::collections::BTreeSet<u32>,
    ) -> Result<(), ScheduleError> {
        let (base, step) = match item.split_once('/') {
            Some((base, step)) => (base, Some(self.step(step)?)),
            None => (item, None),
        };
        let last = if self.is_week { 6 } else { self.max };
        let (first, last) = match base.split_once('-') {
            _ if base == "*" || (base == "?" && self.is_day) => (self.min, last),
            Some((first, last)) => self.range(base, self.value(first)?, self.value(last)?)?,
            None => {
                let value = self.value(base)?;
                let value = if self.is_week { value % 7 } else { value };
                (value, if step.is_some() { last } else { value })
            }
        };
        let step = step.unwrap_or(1);
        named.extend(
            (first..=last).step_by(step as usize).map(|n| if self.is_week { n % 7 } else { n }),
        );
        Ok(())
    }

    /// A range as numbers that rise: `FRI-MON` becomes 5 to 8, each taken modulo 7 later.
    fn range(&self, text: &str, first: u32, last: u32) -> Result<(u32, u32), ScheduleError> {
        if first <= last {
            Ok((first, last))
        } else if self.is_week {
            let first = first % 7;
            Ok((first, if last < first { last + 7 } else { last }))
        } else {
            Err(self.error(text, "is a range that ends before it starts"))
        }
    }

    fn value(&self, text: &str) -> Result<u32, ScheduleError> {
        if text.is_empty() {
            return Err(self.error(text, "is an empty value"));
        }
        if text.bytes().all(|b| b.is_ascii_digit()) {
            return text
                .parse()
                .ok()
                .filter(|n| (self.min..=self.max).contains(n))
                .ok_or_else(|| self.error(text, "is out of range"));
        }
        let name = text.to_ascii_lowercase();
        self.names
            .iter()
            .position(|full| *full == name || (name.len() == 3 && full.starts_with(&name)))
            .and_then(|position| u32::try_from(position).ok())
            .map(|position| position + self.min)
            .ok_or_else(|| self.error(text, "is not a number or name of this field"))
    }

    fn step(&self, text: &str) -> Result<u32, ScheduleError> {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match text.parse() {
            Ok(0) => Err(self.error(text, "is a step of zero")),
            // A step beyond the field fires once per round, which is never what was meant.
            Ok(step) if digits && step <= self.max => Ok(step),
            _ => Err(self.error(text, "is not a step of this field")),
        }
    }

    fn error(&self, value: &str, problem: &'static str) -> ScheduleError {
        let (field, allowed) = (self.name, self.allowed);
        ScheduleError::Field { field, value: value.to_owned(), problem, allowed }
    }
}

#[cfg(test)]
mod tests;
