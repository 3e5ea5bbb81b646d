//! When a job is due: a value that people can read, and that every node reads alike.
//!
//! A schedule is like a row of alarm clocks beside a calendar with crossed-out days. Each rule is a
//! clock; whatever any of them rings for is a tick, unless the calendar has it crossed out.
//!
//! Nodes send each other a schedule as its text ([`Schedule`] shows it, and reads it back), never
//! what was computed from it: which tables of time zones a build has is nobody else's matter. Only
//! the leader computes ticks.

mod clock_change;
mod count;
mod error;
mod exclusion;
mod rule;
mod search;
pub(crate) mod spread;
mod text;
mod zone;

use std::time::Duration;

use clustron_core::Timestamp;
use serde::{Deserialize, Serialize};

pub use clock_change::{DstGap, DstOverlap};
pub use error::ScheduleError;
pub use exclusion::Exclusion;
pub use rule::Rule;
pub use search::{EXCLUDED_MAX, NoTick};
pub use zone::Zone;

use crate::job::JobName;

/// The longest interval and the longest phase, in milliseconds: 366 days.
pub const INTERVAL_MS_MAX: u64 = 366 * 24 * 3_600_000;
/// The longest jitter, in milliseconds: one day.
pub const JITTER_MS_MAX: u64 = 24 * 3_600_000;
/// The most rules of a schedule.
pub const RULES_MAX: usize = 16;
/// The most exclusions of a schedule; a list of dates is one.
pub const EXCLUSIONS_MAX: usize = 16;
/// The longest schedule as text, in bytes.
pub const SCHEDULE_BYTES_MAX: usize = 1_024;

/// What RFC 3339 can write: the years 0 to 9999.
const SHOWN_MS: std::ops::Range<i64> = -62_167_219_200_000..253_402_300_800_000;

/// When a job is due. Every instant is UTC and a whole millisecond.
///
/// It has one rule or several: cron expressions, each in a time zone, intervals aligned to the Unix
/// epoch, single instants. An instant that several rules name is one tick. All else is for the
/// whole: what is left out ([`Schedule::excluding`]), start and end, jitter, and how often the job
/// is to run.
///
/// ```
/// use clustron_core::Timestamp;
/// use clustron_scheduler::{DstOverlap, Exclusion, Schedule};
///
/// let report = Schedule::cron("30 2 * * MON-FRI")?
///     .zone("Europe/Berlin")?
///     .or(Schedule::cron("0 12 1 * *")?.zone("Asia/Tokyo")?)
///     .excluding(Exclusion::dates("2026-12-24..2026-12-26")?)
///     .jitter(std::time::Duration::from_secs(30));
/// report.check()?;
///
/// // It shows as text that reads back as the same schedule.
/// let text = report.to_string();
/// assert_eq!(
///     text,
///     "cron \"30 2 * * MON-FRI\" in Europe/Berlin; cron \"0 12 1 * *\" in Asia/Tokyo; \
///      except dates 2026-12-24..2026-12-26; jitter 30s",
/// );
/// assert_eq!(text.parse(), Ok(report.clone()));
///
/// // And people look at its next instants before they trust it.
/// let start: Timestamp = "2026-12-23T00:00:00Z".parse()?;
/// let next: Vec<String> = report.after(start).take(3).map(|t| t.to_string()).collect();
/// assert_eq!(
///     next,
///     ["2026-12-23T01:30:00.000Z", "2026-12-28T01:30:00.000Z", "2026-12-29T01:30:00.000Z"],
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Daylight saving
///
/// An expression that names hours means moments of the day, and each is wanted once: what the
/// clocks leave out when they are put forward is due at the first instant after the gap, together
/// as one tick, and what they show twice when they are put back is due the first time.
/// [`Schedule::dst_gap`] and [`Schedule::dst_overlap`] choose otherwise. An expression whose hour
/// field names every hour is a rhythm and follows the clocks as they go: `*/15 * * * *` in any
/// zone is due every quarter of an hour, also through the hour that comes twice, and the two
/// choices do not matter to it. Intervals know no zones.
///
/// # Which tables
///
/// A zone's name travels, and each node looks it up in the tables of its build ([`Zone::tables`]).
/// Only the leader computes ticks, and what it claimed is in the log: nodes with different tables
/// agree about every tick, past and present. While a cluster is being updated, ticks still to come
/// may be computed by older or newer tables, as the leadership goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Schedule {
    rules: Vec<Rule>,
    /// Nothing if all of it is as by default, as it mostly is: there may be a million schedules.
    limits: Option<Box<Limits>>,
}

/// What a schedule has beside its rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Limits {
    exclusions: Vec<Exclusion>,
    start: Option<Timestamp>,
    end: Option<Timestamp>,
    jitter_ms: u64,
    times: Option<u64>,
}

static UNLIMITED: Limits =
    Limits { exclusions: Vec::new(), start: None, end: None, jitter_ms: 0, times: None };

impl Schedule {
    /// About how many bytes it takes as text.
    pub(crate) fn text_bytes(&self) -> usize {
        const CLAUSE: usize = 64;
        CLAUSE * (self.rules.len() + self.limits().exclusions.len())
    }

    /// A schedule in cron notation, in UTC unless [`Schedule::zone`] says otherwise; see
    /// [`crate::CronExpr`] for what is understood.
    ///
    /// # Errors
    /// Names the field, the place, the value and what is allowed.
    pub fn cron(text: &str) -> Result<Self, ScheduleError> {
        Rule::cron(text).map(Self::of)
    }

    /// A schedule of fixed intervals aligned to the Unix epoch.
    ///
    /// # Errors
    /// If `interval` is not a whole number of milliseconds from 1 ms to 366 days.
    pub fn every(interval: Duration) -> Result<Self, ScheduleError> {
        Self::every_with_phase(interval, Duration::ZERO)
    }

    /// Like [`Schedule::every`], each instant `phase` later.
    ///
    /// # Errors
    /// Also if `phase` is not in whole milliseconds or not shorter than `interval`.
    pub fn every_with_phase(interval: Duration, phase: Duration) -> Result<Self, ScheduleError> {
        Rule::every(interval, phase).map(Self::of)
    }

    /// A schedule that names one instant.
    pub fn at(instant: Timestamp) -> Self {
        Self::of(Rule::Once { at: instant })
    }

    fn of(rule: Rule) -> Self {
        Self { rules: vec![rule], limits: None }
    }

    fn limits(&self) -> &Limits {
        self.limits.as_deref().unwrap_or(&UNLIMITED)
    }

    fn limited(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = self.limits.take().unwrap_or_default();
        change(&mut limits);
        // The same schedule in one way only, since schedules are compared.
        self.limits = (*limits != UNLIMITED).then_some(limits);
        self
    }

    /// Reads the cron expressions that the schedule has so far on the clocks of a zone, such as
    /// `Europe/Berlin`.
    ///
    /// # Errors
    /// The zone is unknown; the error says what may have been meant. Or there is no cron
    /// expression.
    pub fn zone(self, name: &str) -> Result<Self, ScheduleError> {
        let new = Zone::new(name)?;
        self.each_cron("a time zone", |zone, _, _| *zone = new.clone())
    }

    /// Sets for the cron expressions that the schedule has so far what becomes of moments that the
    /// clocks leave out when they are put forward.
    ///
    /// # Errors
    /// There is no cron expression.
    pub fn dst_gap(self, new: DstGap) -> Result<Self, ScheduleError> {
        self.each_cron("a treatment of gaps", |_, gap, _| *gap = new)
    }

    /// Sets for the cron expressions that the schedule has so far what becomes of moments that the
    /// clocks show twice when they are put back.
    ///
    /// # Errors
    /// There is no cron expression.
    pub fn dst_overlap(self, new: DstOverlap) -> Result<Self, ScheduleError> {
        self.each_cron("a treatment of overlaps", |_, _, overlap| *overlap = new)
    }

    fn each_cron(
        mut self,
        what: &'static str,
        set: impl Fn(&mut Zone, &mut DstGap, &mut DstOverlap),
    ) -> Result<Self, ScheduleError> {
        let mut found = false;
        for rule in &mut self.rules {
            if let Rule::Cron { zone, gap, overlap, .. } = rule {
                set(zone, gap, overlap);
                found = true;
            }
        }
        if found { Ok(self) } else { Err(ScheduleError::NoCron { what }) }
    }

    /// Adds the rules of another schedule, and its exclusions. Start, end, jitter and number of
    /// times are for the whole: those of `other` count where this one has none.
    #[must_use]
    pub fn or(mut self, other: Schedule) -> Self {
        self.rules.extend(other.rules);
        let Some(others) = other.limits else { return self };
        self.limited(|limits| {
            limits.exclusions.extend(others.exclusions);
            limits.start = limits.start.or(others.start);
            limits.end = limits.end.or(others.end);
            limits.times = limits.times.or(others.times);
            if limits.jitter_ms == 0 {
                limits.jitter_ms = others.jitter_ms;
            }
        })
    }

    /// Leaves out the ticks of a time.
    #[must_use]
    pub fn excluding(self, exclusion: Exclusion) -> Self {
        self.limited(|limits| limits.exclusions.push(exclusion))
    }

    /// Nothing is due before this instant.
    #[must_use]
    pub fn starting(self, start: Timestamp) -> Self {
        self.limited(|limits| limits.start = Some(start))
    }

    /// Nothing is due after this instant.
    #[must_use]
    pub fn ending(self, end: Timestamp) -> Self {
        self.limited(|limits| limits.end = Some(end))
    }

    /// Starts each tick up to so much later, so that jobs of one instant do not all start at once.
    /// How much follows from the job's name and the tick ([`Schedule::due_at`]). A tick is known by
    /// its instant without it. Milliseconds are cut off below; one day at most.
    #[must_use]
    pub fn jitter(self, most: Duration) -> Self {
        let jitter_ms = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
        self.limited(|limits| limits.jitter_ms = jitter_ms)
    }

    /// Ends the schedule when the job has run so often.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        self.limited(|limits| limits.times = Some(times))
    }

    /// The schedule in which each `~` of a cron expression is replaced by the number that a job of
    /// this name has; see [`crate::CronExpr::spread_for`]. [`crate::JobSpec::new`] does it.
    #[must_use]
    pub fn spread_for(mut self, job: &JobName) -> Self {
        let spread = |expr: &mut crate::CronExpr| *expr = expr.spread_for(job.as_str());
        for rule in &mut self.rules {
            if let Rule::Cron { expr, .. } = rule {
                spread(expr);
            }
        }
        self.limited(|limits| {
            let exclusions = std::mem::take(&mut limits.exclusions);
            limits.exclusions =
                exclusions.into_iter().map(|e| e.spread_for(job.as_str())).collect();
        })
    }

    /// Checks all that the builder takes as it comes. [`crate::JobSpec::check`] does it too, and so
    /// does the replicated state.
    ///
    /// Whether a time zone is known is not asked here, as nodes may have different tables.
    ///
    /// # Errors
    /// Names what is wrong, its value and what is allowed.
    pub fn check(&self) -> Result<(), ScheduleError> {
        match (self.rules.len(), self.limits().exclusions.len()) {
            (count, _) if count > RULES_MAX => return Err(ScheduleError::TooManyRules { count }),
            (_, count) if count > EXCLUSIONS_MAX => {
                return Err(ScheduleError::TooManyExclusions { count });
            }
            _ => {}
        }
        if let (Some(start), Some(end)) = (self.limits().start, self.limits().end)
            && end < start
        {
            return Err(ScheduleError::EndsBeforeStart { what: "the schedule", start, end });
        }
        if self.limits().jitter_ms > JITTER_MS_MAX {
            return Err(ScheduleError::Jitter { ms: self.limits().jitter_ms });
        }
        if self.limits().times == Some(0) {
            return Err(ScheduleError::NoTimes);
        }
        if let Some(at) = self.instants().find(|at| !SHOWN_MS.contains(&at.unix_ms())) {
            return Err(ScheduleError::Instant { at });
        }
        let bytes = self.to_string().len();
        if bytes > SCHEDULE_BYTES_MAX {
            return Err(ScheduleError::TooMuchText { bytes });
        }
        Ok(())
    }

    /// Checks that no `~` is left whose number follows from a job's name.
    pub(crate) fn check_spread(&self) -> Result<(), ScheduleError> {
        let of_rules = self.rules.iter().filter_map(|rule| match rule {
            Rule::Cron { expr, .. } => Some(expr),
            Rule::Every { .. } | Rule::Once { .. } => None,
        });
        let exprs = of_rules.chain(self.limits().exclusions.iter().filter_map(Exclusion::expr));
        match exprs.clone().find(|expr| expr.is_spread()) {
            Some(expr) => Err(ScheduleError::NotSpread { expr: expr.to_string() }),
            None => Ok(()),
        }
    }

    /// Its rules, in the order in which they were given.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// What is left out.
    pub fn exclusions(&self) -> &[Exclusion] {
        &self.limits().exclusions
    }

    /// The first instant at which something may be due.
    pub fn start(&self) -> Option<Timestamp> {
        self.limits().start
    }

    /// The last instant at which something may be due.
    pub fn end(&self) -> Option<Timestamp> {
        self.limits().end
    }

    /// The longest time by which a tick is started later than its instant, in milliseconds.
    pub fn jitter_ms(&self) -> u64 {
        self.limits().jitter_ms
    }

    /// How often the job is to run; `None` for no limit. The schedule does not count, as it has no
    /// state: the job does.
    pub fn times_max(&self) -> Option<u64> {
        self.limits().times
    }

    /// When a tick of a job is to be started: its instant and the jitter that follows from the
    /// job's name and the instant, the same on every node and for ever.
    #[must_use]
    pub fn due_at(&self, job: &JobName, tick: Timestamp) -> Timestamp {
        tick.saturating_add(Duration::from_millis(spread::jitter(
            job,
            tick,
            self.limits().jitter_ms,
        )))
    }

    /// Every instant that was given for it.
    fn instants(&self) -> impl Iterator<Item = Timestamp> + '_ {
        let of_rules = self.rules.iter().filter_map(|rule| match rule {
            Rule::Once { at } => Some(*at),
            Rule::Cron { .. } | Rule::Every { .. } => None,
        });
        let of_exclusions = self.limits().exclusions.iter().flat_map(Exclusion::instants);
        of_rules.chain(of_exclusions).chain(self.limits().start).chain(self.limits().end)
    }

    /// Every zone that it names.
    fn zones(&self) -> impl Iterator<Item = &Zone> {
        let of_exclusions =
            self.limits().exclusions.iter().filter_map(|exclusion| exclusion.zone.as_ref());
        self.rules.iter().filter_map(Rule::zone).chain(of_exclusions)
    }
}

#[cfg(test)]
mod tests;
