//! How many ticks lie between two instants, without walking from one to the next where it can be
//! helped: after a long time without a leader there may be millions.
//!
//! Instants of an interval are counted by division. Those of a cron expression are counted by days:
//! on a day on which no clock is set each hour has as many as any other. Where rules come together
//! or exclusions leave something out, they are walked, and the caller bounds how far.

use std::collections::VecDeque;

use clustron_core::Timestamp;

use super::Schedule;
use super::rule::{Rule, at_step, steps_until};
use super::zone::Zone;
use crate::cron::{Calendar, DAY_S};

/// What [`Schedule::count_oldest`] found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    /// How many instants, without the kept ones.
    pub(crate) count: u64,
    /// The first and the last of them.
    pub(crate) range: Option<(Timestamp, Timestamp)>,
    /// False if `steps_max` was reached: more instants follow, and this count is right so far.
    pub(crate) complete: bool,
    /// How many instants or days were looked at.
    pub(crate) steps: usize,
}

/// Instants in a row: the one, or those of a part of a day.
struct Chunk {
    first: Timestamp,
    count: u64,
    /// How many of the day come before them; `None` if it is a single instant.
    rank: Option<u32>,
}

impl Schedule {
    /// Counts the instants in `(after, until]` except the newest `keep` of them. Looks at no more
    /// than `steps_max` instants and days; an interval is arithmetic and always complete.
    pub(crate) fn count_oldest(
        &self,
        after: Timestamp,
        until: Timestamp,
        keep: usize,
        steps_max: usize,
    ) -> Counted {
        let before = |start: Timestamp| Timestamp::from_unix_ms(start.unix_ms().saturating_sub(1));
        let after = self.limits().start.map_or(after, |start| before(start).max(after));
        let until = self.limits().end.map_or(until, |end| end.min(until));
        match self.rules.as_slice() {
            [Rule::Every { interval_ms, phase_ms }] if self.limits().exclusions.is_empty() => {
                count_every(*interval_ms, *phase_ms, after, until, keep)
            }
            [rule @ Rule::Cron { expr, zone, .. }]
                if self.limits().exclusions.is_empty() && zone.is_known() =>
            {
                let calendar = expr.calendar();
                let mut tally = Tally::new(keep, steps_max, Some((&calendar, zone)));
                let mut at = after;
                while let Some(next) = rule.next_after(at).filter(|next| *next <= until)
                    && tally.has_room()
                {
                    let chunk = day_chunk(&calendar, zone, at, next, until);
                    let (chunk, last) =
                        chunk.unwrap_or((Chunk { first: next, count: 1, rank: None }, next));
                    tally.take(chunk);
                    at = last;
                }
                tally.counted()
            }
            _ => self.count_by_walking(after, until, keep, steps_max),
        }
    }

    pub(super) fn count_by_walking(
        &self,
        after: Timestamp,
        until: Timestamp,
        keep: usize,
        steps_max: usize,
    ) -> Counted {
        let mut tally = Tally::new(keep, steps_max, None);
        for next in self.between(after, until) {
            if !tally.has_room() {
                break;
            }
            tally.take(Chunk { first: next, count: 1, rank: None });
        }
        tally.counted()
    }
}

/// Counts chunks, and remembers the newest, which hold what is kept.
struct Tally<'a> {
    keep: u64,
    steps_max: usize,
    steps: usize,
    complete: bool,
    first: Option<Timestamp>,
    /// All instants so far.
    count: u64,
    /// The newest chunks: without the oldest of them there are fewer instants than are kept. So
    /// they are no more than those.
    newest: VecDeque<Chunk>,
    /// The instants in them.
    held: u64,
    days: Option<(&'a Calendar, &'a Zone)>,
}

impl<'a> Tally<'a> {
    fn new(keep: usize, steps_max: usize, days: Option<(&'a Calendar, &'a Zone)>) -> Self {
        Self {
            keep: keep as u64,
            steps_max,
            steps: 0,
            complete: true,
            first: None,
            count: 0,
            newest: VecDeque::new(),
            held: 0,
            days,
        }
    }

    /// Whether one more step may be made, which is then counted.
    fn has_room(&mut self) -> bool {
        self.complete = self.steps < self.steps_max;
        self.steps += usize::from(self.complete);
        self.complete
    }

    fn take(&mut self, chunk: Chunk) {
        self.first = self.first.or(Some(chunk.first));
        self.count += chunk.count;
        self.held += chunk.count;
        self.newest.push_back(chunk);
        while let Some(oldest) = self.newest.front()
            && self.held - oldest.count > self.keep
        {
            self.held -= oldest.count;
            self.newest.pop_front();
        }
    }

    fn counted(self) -> Counted {
        let count = self.count.saturating_sub(self.keep);
        // The last that is not kept lies in the oldest chunk that was remembered.
        let index = self.held.checked_sub(self.keep + 1);
        let last = index.zip(self.newest.front()).and_then(|(index, chunk)| self.nth(chunk, index));
        let range = self.first.zip(last);
        Counted { count, range, complete: self.complete, steps: self.steps }
    }

    /// An instant of a chunk, counted from 0.
    fn nth(&self, chunk: &Chunk, index: u64) -> Option<Timestamp> {
        let (Some(rank), Some((calendar, zone))) = (chunk.rank, self.days) else {
            return Some(chunk.first);
        };
        let local = zone.local(chunk.first.unix_ms().div_euclid(1_000));
        let time = calendar.nth_time(rank + u32::try_from(index).ok()?)?;
        let ahead = i64::from(time) - local.rem_euclid(DAY_S);
        Some(Timestamp::from_unix_ms(chunk.first.unix_ms() + ahead * 1_000))
    }
}

/// All instants of the civil day of `next`, the first after `at`, as far as they are not after
/// `until`, and the last instant that they stand for. `None` if a clock is set near that day.
fn day_chunk(
    calendar: &Calendar,
    zone: &Zone,
    at: Timestamp,
    next: Timestamp,
    until: Timestamp,
) -> Option<(Chunk, Timestamp)> {
    let second = |t: Timestamp| t.unix_ms().div_euclid(1_000);
    let ahead = zone.offset(second(next));
    let midnight = (second(next) + ahead).div_euclid(DAY_S) * DAY_S - ahead;
    let around = [-DAY_S, 0, DAY_S, 2 * DAY_S];
    if !around.iter().all(|near| zone.offset(midnight + near) == ahead) {
        return None;
    }
    // From just after one instant, to another and with it.
    let from = (second(at) + 1 - midnight).clamp(0, DAY_S) as u32;
    let to = (second(until) + 1 - midnight).clamp(0, DAY_S) as u32;
    let rank = calendar.times_before(from);
    let count = u64::from(calendar.times_before(to).saturating_sub(rank));
    let last = Timestamp::from_unix_ms((midnight + i64::from(to) - 1) * 1_000);
    (count > 0).then_some((Chunk { first: next, count, rank: Some(rank) }, last.max(next)))
}

fn count_every(
    interval_ms: u64,
    phase_ms: u64,
    after: Timestamp,
    until: Timestamp,
    keep: usize,
) -> Counted {
    let none = Counted { complete: true, ..Counted::default() };
    let (Some(start), Some(end)) =
        (steps_until(after, interval_ms, phase_ms), steps_until(until, interval_ms, phase_ms))
    else {
        return none;
    };
    let count = end.saturating_sub(start).saturating_sub(i128::try_from(keep).unwrap_or(i128::MAX));
    let last = start.saturating_add(count);
    match (
        u64::try_from(count),
        at_step(start + 1, interval_ms, phase_ms),
        at_step(last, interval_ms, phase_ms),
    ) {
        (Ok(count @ 1..), Some(first), Some(last)) => {
            Counted { count, range: Some((first, last)), ..none }
        }
        _ => none,
    }
}
