//! One field of a cron expression: from its text to the numbers that it names.

use std::ops::Range;

use super::calendar::{YEAR_MAX, YEAR_MIN};
use super::numbers::Numbers;
use crate::nearest::nearest;
use crate::schedule::spread;

/// What one field may hold.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) allowed: &'static str,
    min: u32,
    max: u32,
    /// The names for `min`, `min + 1`, … in full; the first three letters do as well.
    names: &'static [&'static str],
    /// Whether 7 means 0 and ranges wrap.
    is_week: bool,
    /// Whether `?` means `*`.
    is_day: bool,
    /// The end of a `~` that gives none. No month lacks the 28th.
    spread_max: u32,
}

const PLAIN: Field = Field {
    name: "",
    allowed: "",
    min: 0,
    max: 59,
    names: &[],
    is_week: false,
    is_day: false,
    spread_max: 59,
};
pub(super) const SECOND: Field = Field { name: "second", allowed: "0-59", ..PLAIN };
pub(super) const MINUTE: Field = Field { name: "minute", allowed: "0-59", ..PLAIN };
pub(super) const HOUR: Field =
    Field { name: "hour", allowed: "0-23", max: 23, spread_max: 23, ..PLAIN };
pub(super) const MONTH_DAY: Field = Field {
    name: "day of month",
    allowed: "1-31",
    min: 1,
    max: 31,
    is_day: true,
    spread_max: 28,
    ..PLAIN
};
pub(super) const MONTH: Field = Field {
    name: "month",
    allowed: "1-12 or JAN-DEC",
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
    spread_max: 12,
    ..PLAIN
};
pub(super) const WEEK_DAY: Field = Field {
    name: "day of week",
    allowed: "0-7 (0 and 7 are Sunday) or SUN-SAT",
    max: 7,
    names: &["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"],
    is_week: true,
    is_day: true,
    spread_max: 6,
    ..PLAIN
};
pub(super) const YEAR: Field = Field {
    name: "year",
    allowed: "1970-2100",
    min: YEAR_MIN,
    max: YEAR_MAX,
    spread_max: YEAR_MAX,
    ..PLAIN
};

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// The part of the expression that is wrong, in bytes.
    pub(super) at: Range<usize>,
    pub(super) problem: &'static str,
    /// A name that may have been meant.
    pub(super) nearest: Option<String>,
}

/// A part of an expression, and where it begins in it, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) text: &'a str,
    at: usize,
}

impl<'a> Part<'a> {
    /// All of a text.
    pub(super) const fn of(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The parts between the marks.
    pub(super) fn all_between(self, mark: char) -> impl Iterator<Item = Part<'a>> {
        self.text.split(mark).scan(self.at, move |at, text| {
            let part = Part { text, at: *at };
            *at += text.len() + mark.len_utf8();
            Some(part)
        })
    }

    /// What stands before and after the first mark.
    fn split(self, mark: char) -> Option<(Part<'a>, Part<'a>)> {
        let (before, after) = self.text.split_once(mark)?;
        let at = self.at + before.len() + mark.len_utf8();
        Some((Part { text: before, at: self.at }, Part { text: after, at }))
    }

    fn problem(self, problem: &'static str) -> Problem {
        Problem { at: self.at..self.at + self.text.len(), problem, nearest: None }
    }
}

impl Field {
    /// The numbers that the text names, for a job of this name.
    pub(super) fn read(&self, text: Part<'_>, job: &str) -> Result<Numbers, Problem> {
        let mut named = Numbers::default();
        for (index, item) in text.all_between(',').enumerate() {
            match self.spread(item, index, job)? {
                Some(plain) => self.add(Part { text: &plain, at: item.at }, &mut named)?,
                None => self.add(item, &mut named)?,
            }
        }
        Ok(named)
    }

    /// The text with numbers instead of each `~`. The text must have been read before.
    pub(super) fn spread_out(&self, text: Part<'_>, job: &str) -> String {
        let plain = text.all_between(',').enumerate().map(|(index, item)| {
            let spread = self.spread(item, index, job).ok().flatten();
            spread.unwrap_or_else(|| item.text.to_owned())
        });
        plain.collect::<Vec<_>>().join(",")
    }

    /// `low~high` is one number of the range, `low~high/step` begins in its first step. Which one
    /// follows from the names of job and field.
    fn spread(&self, item: Part<'_>, index: usize, job: &str) -> Result<Option<String>, Problem> {
        let (base, step) = match item.split('/') {
            Some((base, step)) => (base, Some(step)),
            None => (item, None),
        };
        let Some((low, high)) = base.split('~') else { return Ok(None) };
        let end = if step.is_some() && !self.is_week { self.max } else { self.spread_max };
        let bound = |part: Part<'_>, default| {
            if part.text.is_empty() { Ok(default) } else { self.value(part) }
        };
        let (low, high) = (bound(low, self.min)?, bound(high, end)?);
        if low > high {
            return Err(base.problem("is a range that ends before it starts"));
        }
        let width = high - low + 1;
        let pick =
            |below: u32| low + spread::below(u64::from(below), &[job, self.name], index as u64);
        Ok(Some(match step {
            None => pick(width).to_string(),
            Some(step) => {
                let step = self.step(step)?;
                format!("{}-{high}/{step}", pick(step.min(width)))
            }
        }))
    }

    fn add(&self, item: Part<'_>, named: &mut Numbers) -> Result<(), Problem> {
        let (base, step) = match item.split('/') {
            Some((base, step)) => (base, Some(self.step(step)?)),
            None => (item, None),
        };
        let last = if self.is_week { 6 } else { self.max };
        let (first, last) = match base.split('-') {
            _ if base.text == "*" || (base.text == "?" && self.is_day) => (self.min, last),
            Some((first, last)) => self.range(base, self.value(first)?, self.value(last)?)?,
            None => {
                let value = self.value(base)?;
                let value = if self.is_week { value % 7 } else { value };
                (value, if step.is_some() { last } else { value })
            }
        };
        for number in (first..=last).step_by(step.unwrap_or(1) as usize) {
            named.insert(self.place(number));
        }
        Ok(())
    }

    /// Where a number stands in the set: days of the week wrap, years count from the first.
    fn place(&self, number: u32) -> u32 {
        match number {
            _ if self.is_week => number % 7,
            _ if self.min == YEAR_MIN => number - YEAR_MIN,
            _ => number,
        }
    }

    /// A range as numbers that rise: `FRI-MON` becomes 5 to 8, each taken modulo 7 later.
    fn range(&self, text: Part<'_>, first: u32, last: u32) -> Result<(u32, u32), Problem> {
        if first <= last {
            Ok((first, last))
        } else if self.is_week {
            let first = first % 7;
            Ok((first, if last < first { last + 7 } else { last }))
        } else {
            Err(text.problem("is a range that ends before it starts"))
        }
    }

    fn value(&self, part: Part<'_>) -> Result<u32, Problem> {
        if part.text.is_empty() {
            return Err(part.problem("is an empty value"));
        }
        if part.text.bytes().all(|b| b.is_ascii_digit()) {
            let number = part.text.parse().ok();
            return number
                .filter(|n| (self.min..=self.max).contains(n))
                .ok_or_else(|| part.problem("is out of range"));
        }
        let name = part.text.to_ascii_lowercase();
        self.names
            .iter()
            .position(|full| *full == name || (name.len() == 3 && full.starts_with(&name)))
            .and_then(|position| u32::try_from(position).ok())
            .map(|position| position + self.min)
            .ok_or_else(|| {
                let short = self.names.iter().filter_map(|name| name.get(..3));
                let meant = nearest(&name, short.chain(self.names.iter().copied()));
                let nearest = meant.map(str::to_ascii_uppercase);
                Problem { nearest, ..part.problem("is not a number or name of this field") }
            })
    }

    fn step(&self, part: Part<'_>) -> Result<u32, Problem> {
        let digits = !part.text.is_empty() && part.text.bytes().all(|b| b.is_ascii_digit());
        match part.text.parse() {
            Ok(0) => Err(part.problem("is a step of zero")),
            // A step beyond the field fires once per round, which is never what was meant.
            Ok(step) if digits && step <= self.max => Ok(step),
            _ => Err(part.problem("is not a step of this field")),
        }
    }
}
