//! From the calendar to the clocks of a zone, where they are put forward and back.
//!
//! A cron expression reads like a note on the kitchen wall: "at half past two". In the night in
//! which the clock jumps from two to three that moment never comes; in the night in which it goes
//! back from three to two it comes twice. There is one rule for both:
//!
//! * **An expression that names hours** means moments of the civil day, and each of them is wanted
//!   once. What the clocks leave out is due at the first instant after the gap, all of it together
//!   as one tick ([`DstGap::RunAfter`]); what they show twice is due the first time
//!   ([`DstOverlap::First`]). [`DstGap`] and [`DstOverlap`] choose otherwise.
//! * **An expression that names every hour** (`*`, `0-23`) means a rhythm, and follows the clocks
//!   as they go: `*/15 * * * *` stays at a quarter of an hour, also through the hour that comes
//!   twice, and nothing is added for the hour that is left out. The two choices do not matter to
//!   it.
//!
//! Vixie's cron and cronie draw the same line: "wildcard" jobs follow the clock, others run at once
//! after a gap and are not run twice. There the line is a star in the minute or the hour, so that
//! `* 2 * * *` and `0 */2 * * *` are wildcards; here both name hours. croner takes any star, list
//! or step down to the seconds for a rhythm. Quartz and systemd have no such line: what falls into
//! a gap is left out.

use serde::{Deserialize, Serialize};

use super::zone::{Shown, Zone};
use crate::cron::{CALENDAR_END_S, Calendar, DAY_S};

/// What happens to a moment that the clocks leave out when they are put forward.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum DstGap {
    /// It is due at the first instant after the gap; several moments in one gap are one tick, and
    /// one with what is due at that instant anyway.
    #[default]
    RunAfter,
    /// It is left out.
    Skip,
}

/// What happens to a moment that the clocks show twice when they are put back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum DstOverlap {
    /// It is due the first time.
    #[default]
    First,
    /// It is due the second time.
    Last,
    /// It is due both times.
    Both,
}

/// The first instant strictly after `after` that the calendar names on the clocks of a zone, in
/// seconds since the Unix epoch.
///
/// Its cost is that of one look into the calendar and a few into the zone's tables, and at most one
/// more for each gap that hides the only moments of an expression.
pub(super) fn next(
    calendar: &Calendar,
    zone: &Zone,
    gap: DstGap,
    overlap: DstOverlap,
    after: i64,
) -> Option<i64> {
    // No clock is further from UTC than this.
    if after > CALENDAR_END_S + 2 * DAY_S {
        return None;
    }
    let after = after.max(-2 * DAY_S);
    if zone.is_utc() {
        return calendar.next(after);
    }
    let (gap, overlap) = match calendar.names_every_hour() {
        true => (DstGap::Skip, DstOverlap::Both),
        false => (gap, overlap),
    };
    let pass = |pass| next_in_pass(calendar, zone, gap, pass, after);
    match overlap {
        DstOverlap::First => pass(Pass::First),
        DstOverlap::Last => pass(Pass::Last),
        DstOverlap::Both => match (pass(Pass::First), pass(Pass::Last)) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        },
    }
}

/// Which of the two instants is meant at which the clocks show the same.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    First,
    Last,
}

/// With only one instant for each civil time, later times have later instants, and the first that
/// is after `after` is the next.
fn next_in_pass(
    calendar: &Calendar,
    zone: &Zone,
    gap: DstGap,
    pass: Pass,
    after: i64,
) -> Option<i64> {
    let mut civil = zone.local(after);
    if let (Pass::Last, Shown::Twice(first, last)) = (pass, zone.shown(civil))
        && first == after
    {
        // All that the clocks show twice comes again, also what they have shown before.
        civil = zone.local(zone.change_between(first, last)) - 1;
    }
    loop {
        let named = calendar.next(civil)?;
        let at = match (zone.shown(named), pass) {
            (Shown::Once(at) | Shown::Twice(at, _), Pass::First)
            | (Shown::Once(at) | Shown::Twice(_, at), Pass::Last) => Some(at),
            (Shown::Never(resumes), _) => resumes.filter(|_| gap == DstGap::RunAfter),
        };
        if let Some(at) = at.filter(|at| *at > after) {
            return Some(at);
        }
        // On to the end of what is left out, or of what was shown before.
        civil = named.max(match zone.shown(named) {
            Shown::Once(_) => named,
            Shown::Twice(first, last) => {
                let change = zone.change_between(first, last);
                zone.local(change - 1)
            }
            Shown::Never(resumes) => resumes.map_or(named, |resumes| zone.local(resumes) - 1),
        });
    }
}
