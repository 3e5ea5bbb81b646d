//! Which of a job's late ticks are given up, by its misfire rule.

use std::time::Duration;

use clustron_core::Timestamp;

use super::SCAN_MAX;
use crate::firing::MissReason;
use crate::job::{JobSpec, Misfire};
use crate::job_state::Job;
use crate::message::Command;

/// The ranges to give up, from the cursor on, and where that leaves the cursor.
pub(super) struct Backlog {
    ranges: Vec<Range>,
    /// The cursor after them. If `complete`, every due tick after it is to be claimed.
    pub(super) cursor: Timestamp,
    /// False if the search stopped at its bound and the rest must wait for the next call.
    pub(super) complete: bool,
    /// How many instants or days were looked at.
    pub(super) steps: usize,
}

struct Range {
    after: Timestamp,
    from: Timestamp,
    to: Timestamp,
    count: u64,
    reason: MissReason,
}

impl Backlog {
    pub(super) fn of(spec: &JobSpec, cursor: Timestamp, now: Timestamp) -> Self {
        let mut backlog = Self { ranges: Vec::new(), cursor, complete: true, steps: 0 };
        let before = |age_ms| now.saturating_sub(Duration::from_millis(age_ms)).unix_ms();
        // A tick that waits for its jitter is not late.
        let in_time_ms = spec.grace_ms.saturating_add(spec.schedule.jitter_ms());
        let late = Timestamp::from_unix_ms(before(in_time_ms).saturating_sub(1));
        match spec.misfire {
            Misfire::Skip => backlog.give_up(spec, late, 0, MissReason::Late),
            Misfire::Latest => {
                let on_time = spec.schedule.next_after(late.max(cursor));
                let keep = usize::from(on_time.is_none_or(|next| next > now));
                backlog.give_up(spec, late, keep, MissReason::NotLatest);
            }
            Misfire::All { max, max_age_ms } => {
                let old = Timestamp::from_unix_ms(before(max_age_ms).saturating_sub(1));
                backlog.give_up(spec, old.min(late), 0, MissReason::TooOld);
                if backlog.complete {
                    backlog.give_up(spec, late, max as usize, MissReason::TooMany);
                }
            }
        }
        backlog
    }

    /// All until then, of a job that is paused.
    pub(super) fn paused(spec: &JobSpec, cursor: Timestamp, until: Timestamp) -> Self {
        let mut backlog = Self { ranges: Vec::new(), cursor, complete: true, steps: 0 };
        backlog.give_up(spec, until, 0, MissReason::Paused);
        backlog
    }

    /// Gives up the ticks in `(cursor, until]`, except the newest `keep`.
    fn give_up(&mut self, spec: &JobSpec, until: Timestamp, keep: usize, reason: MissReason) {
        let after = self.cursor;
        // What was seen before the bound was reached counts: newer ticks exist, so whatever is
        // dropped of that would be dropped by a full search as well.
        let counted = spec.schedule.count_oldest(after, until, keep, SCAN_MAX);
        self.steps += counted.steps;
        self.complete = counted.complete;
        if let Some((from, to)) = counted.range {
            self.ranges.push(Range { after, from, to, count: counted.count, reason });
            self.cursor = to;
        }
    }

    pub(super) fn misses(self, job: &Job, at: Timestamp) -> impl Iterator<Item = Command> {
        self.ranges.into_iter().map(move |range| Command::Miss {
            job: job.spec().name.clone(),
            generation: job.generation(),
            after: range.after,
            from: range.from,
            to: range.to,
            count: range.count,
            reason: range.reason,
            at,
        })
    }
}
