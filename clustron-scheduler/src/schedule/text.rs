//! A schedule as text: what people see and write, and what nodes send each other.
//!
//! Clauses stand between semicolons, in any order:
//!
//! ```text
//! cron "30 2 * * *" [in ZONE] [gap run_after|skip] [overlap first|last|both]
//! every 10s [phase 3s]
//! at 2026-11-18T11:06:40Z
//! except cron "* 0-5 * * *" [in ZONE]
//! except dates 2026-12-24..2026-12-26,2027-01-01 [in ZONE]
//! except from INSTANT to INSTANT
//! from INSTANT
//! until INSTANT
//! jitter 30s
//! times 5
//! ```
//!
//! Durations are whole numbers with `ms`, `s`, `m`, `h` or `d`, one after another: `1h30m`. A text
//! with none of these words is one cron expression.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use clustron_core::Timestamp;

use super::exclusion::Times;
use super::rule::whole_ms;
use super::{
    DstGap, DstOverlap, Exclusion, Limits, Rule, SCHEDULE_BYTES_MAX, Schedule, ScheduleError, Zone,
};

/// The units of a duration and their milliseconds, the largest first.
const UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// The words that a clause may begin with.
const CLAUSES: [&str; 8] = ["cron", "every", "at", "except", "from", "until", "jitter", "times"];

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        let mut clause = |f: &mut fmt::Formatter<'_>, text: &dyn fmt::Display| {
            write!(f, "{separator}{text}")?;
            separator = "; ";
            Ok(())
        };
        for rule in &self.rules {
            clause(f, rule)?;
        }
        for exclusion in &self.limits().exclusions {
            clause(f, exclusion)?;
        }
        if let Some(start) = self.limits().start {
            clause(f, &format_args!("from {start}"))?;
        }
        if let Some(end) = self.limits().end {
            clause(f, &format_args!("until {end}"))?;
        }
        if self.limits().jitter_ms > 0 {
            clause(f, &format_args!("jitter {}", Ms(self.limits().jitter_ms)))?;
        }
        if let Some(times) = self.limits().times {
            clause(f, &format_args!("times {times}"))?;
        }
        Ok(())
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cron { expr, zone, gap, overlap } => {
                write!(f, "cron \"{expr}\"")?;
                if *zone != Zone::utc() {
                    write!(f, " in {zone}")?;
                }
                f.write_str(match gap {
                    DstGap::RunAfter => "",
                    DstGap::Skip => " gap skip",
                })?;
                f.write_str(match overlap {
                    DstOverlap::First => "",
                    DstOverlap::Last => " overlap last",
                    DstOverlap::Both => " overlap both",
                })
            }
            Self::Every { interval_ms, phase_ms: 0 } => write!(f, "every {}", Ms(*interval_ms)),
            Self::Every { interval_ms, phase_ms } => {
                write!(f, "every {} phase {}", Ms(*interval_ms), Ms(*phase_ms))
            }
            Self::Once { at } => write!(f, "at {at}"),
        }
    }
}

impl fmt::Display for Exclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.times {
            Times::Cron { expr, .. } => write!(f, "except cron \"{expr}\"")?,
            Times::Window { from, to } => write!(f, "except from {from} to {to}")?,
            Times::Dates(dates) => {
                let mut separator = "except dates ";
                for (first, last) in dates {
                    write!(f, "{separator}{first}")?;
                    if first != last {
                        write!(f, "..{last}")?;
                    }
                    separator = ",";
                }
            }
        }
        self.zone.as_ref().map_or(Ok(()), |zone| write!(f, " in {zone}"))
    }
}

/// Milliseconds in the largest unit of which they are a whole number.
struct Ms(u64);

impl fmt::Display for Ms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, ms) =
            UNITS.iter().find(|(_, ms)| self.0.is_multiple_of(*ms)).unwrap_or(&("ms", 1));
        write!(f, "{}{unit}", self.0 / ms)
    }
}

impl FromStr for Schedule {
    type Err = ScheduleError;

    /// Reads what is shown, or one cron expression in UTC. Zones must be in the tables of this
    /// build.
    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let schedule = Self::read(text)?;
        for zone in schedule.zones() {
            Zone::new(zone.name())?;
        }
        Ok(schedule)
    }
}

impl TryFrom<String> for Schedule {
    type Error = ScheduleError;

    /// What another node sends, whose tables may know zones that those of this build do not.
    fn try_from(text: String) -> Result<Self, ScheduleError> {
        Self::read(&text)
    }
}

impl From<Schedule> for String {
    fn from(schedule: Schedule) -> Self {
        schedule.to_string()
    }
}

impl Schedule {
    fn read(text: &str) -> Result<Self, ScheduleError> {
        if text.len() > SCHEDULE_BYTES_MAX {
            return Err(ScheduleError::TooMuchText { bytes: text.len() });
        }
        let begins = text.split_whitespace().next().unwrap_or("");
        if !begins.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Self::cron(text);
        }
        let mut draft = Draft::default();
        for clause in text.split(';').map(str::trim) {
            draft.read(&mut Clause { text: clause, rest: clause })?;
        }
        let schedule = Self { rules: draft.rules, limits: None };
        let schedule = schedule.limited(|limits| {
            *limits = Limits {
                exclusions: draft.exclusions,
                start: draft.start,
                end: draft.end,
                jitter_ms: draft.jitter_ms.unwrap_or(0),
                times: draft.times,
            };
        });
        if schedule.rules.is_empty() {
            let clause = Clause { text, rest: "" };
            return Err(clause.error("it names no instant: begin with cron, every or at"));
        }
        schedule.check()?;
        Ok(schedule)
    }
}

#[derive(Default)]
struct Draft {
    rules: Vec<Rule>,
    exclusions: Vec<Exclusion>,
    start: Option<Timestamp>,
    end: Option<Timestamp>,
    jitter_ms: Option<u64>,
    times: Option<u64>,
}

impl Draft {
    fn read(&mut self, clause: &mut Clause<'_>) -> Result<(), ScheduleError> {
        match clause.word() {
            "cron" => {
                let Rule::Cron { expr, mut zone, mut gap, mut overlap } =
                    Rule::cron(clause.quoted()?)?
                else {
                    return Ok(());
                };
                if let Some(named) = clause.zone()? {
                    zone = named;
                }
                if clause.take("gap") {
                    let all = [("run_after", DstGap::RunAfter), ("skip", DstGap::Skip)];
                    gap = clause.one_of(all)?;
                }
                if clause.take("overlap") {
                    overlap = clause.one_of([
                        ("first", DstOverlap::First),
                        ("last", DstOverlap::Last),
                        ("both", DstOverlap::Both),
                    ])?;
                }
                self.rules.push(Rule::Cron { expr, zone, gap, overlap });
            }
            "every" => {
                let interval = clause.duration()?;
                let phase = if clause.take("phase") { clause.duration()? } else { Duration::ZERO };
                self.rules.push(Rule::every(interval, phase)?);
            }
            "at" => self.rules.push(Rule::Once { at: clause.instant()? }),
            "except" => {
                let exclusion = match clause.word() {
                    "cron" => Exclusion::cron(clause.quoted()?)?,
                    "dates" => Exclusion::dates(clause.word())?,
                    "from" => {
                        let from = clause.instant()?;
                        if !clause.take("to") {
                            return Err(clause.error("after from and an instant comes to"));
                        }
                        Exclusion::window(from, clause.instant()?)?
                    }
                    word => return Err(clause.unknown(word, &["cron", "dates", "from"])),
                };
                let zone = match exclusion.times {
                    Times::Window { .. } => None,
                    Times::Cron { .. } | Times::Dates(_) => clause.zone()?,
                };
                self.exclusions.push(Exclusion { zone, ..exclusion });
            }
            "from" => {
                let start = clause.instant()?;
                clause.set(&mut self.start, start)?;
            }
            "until" => {
                let end = clause.instant()?;
                clause.set(&mut self.end, end)?;
            }
            "jitter" => {
                let most = clause.duration()?;
                clause.set(&mut self.jitter_ms, whole_ms(most).unwrap_or(u64::MAX))?;
            }
            "times" => {
                let times = clause.number()?;
                clause.set(&mut self.times, times)?;
            }
            word => return Err(clause.unknown(word, &CLAUSES)),
        }
        match clause.word() {
            "" => Ok(()),
            word => Err(clause.error(format!("{word:?} is one word too many"))),
        }
    }
}

/// What stands between two semicolons, and how much of it is still to be read.
struct Clause<'a> {
    text: &'a str,
    rest: &'a str,
}

impl<'a> Clause<'a> {
    /// The next word; empty at the end.
    fn word(&mut self) -> &'a str {
        let rest = self.rest.trim_start();
        let (word, rest) = rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len()));
        self.rest = rest;
        word
    }

    /// Whether this is the next word, which is then taken.
    fn take(&mut self, word: &str) -> bool {
        let mut ahead = Self { ..*self };
        let found = ahead.word() == word;
        if found {
            self.rest = ahead.rest;
        }
        found
    }

    fn quoted(&mut self) -> Result<&'a str, ScheduleError> {
        let parts = self.rest.trim_start().strip_prefix('"').and_then(|rest| rest.split_once('"'));
        let (inside, rest) =
            parts.ok_or_else(|| self.error("put the cron expression into double quotes"))?;
        self.rest = rest;
        Ok(inside)
    }

    fn zone(&mut self) -> Result<Option<Zone>, ScheduleError> {
        if self.take("in") { Zone::named(self.word()).map(Some) } else { Ok(None) }
    }

    fn instant(&mut self) -> Result<Timestamp, ScheduleError> {
        self.word().parse().map_err(|error| self.error(error))
    }

    fn number(&mut self) -> Result<u64, ScheduleError> {
        let word = self.word();
        word.parse().map_err(|_| self.error(format!("{word:?} is no whole number")))
    }

    fn duration(&mut self) -> Result<Duration, ScheduleError> {
        let word = self.word();
        read_duration(word).ok_or_else(|| {
            self.error(format!("{word:?} is no duration: write it like 500ms, 10s, 1h30m or 7d"))
        })
    }

    fn one_of<T: Copy, const N: usize>(&mut self, all: [(&str, T); N]) -> Result<T, ScheduleError> {
        let word = self.word();
        let found = all.iter().find(|(name, _)| *name == word);
        found.map(|(_, value)| *value).ok_or_else(|| self.unknown(word, &all.map(|(name, _)| name)))
    }

    /// Sets what may be given once.
    fn set<T>(&self, place: &mut Option<T>, value: T) -> Result<(), ScheduleError> {
        match place.replace(value) {
            None => Ok(()),
            Some(_) => Err(self.error("it is given twice; leave one out")),
        }
    }

    fn unknown(&self, word: &str, known: &[&str]) -> ScheduleError {
        self.error(format!("{word:?} means nothing here: use one of {}", known.join(", ")))
    }

    fn error(&self, problem: impl fmt::Display) -> ScheduleError {
        let clause = self.text.to_owned();
        ScheduleError::Clause { clause, problem: problem.to_string() }
    }
}

/// Numbers with units, one after another.
fn read_duration(text: &str) -> Option<Duration> {
    let (mut ms, mut rest) = (0_u64, text);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at(digits);
        let unit = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let (_, unit_ms) = UNITS.iter().find(|(name, _)| *name == unit)?;
        ms = ms.checked_add(number.parse::<u64>().ok()?.checked_mul(*unit_ms)?)?;
        rest = after;
    }
    (!text.is_empty()).then_some(Duration::from_millis(ms))
}
