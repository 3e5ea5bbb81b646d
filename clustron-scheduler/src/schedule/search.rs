//! Looking for the next tick: the earliest that any rule names and no exclusion leaves out.

use clustron_core::Timestamp;

use super::Schedule;
use super::rule::Rule;
use super::zone::Zone;

/// How many instants that exclusions leave out are looked at for one tick. An exclusion of whole
/// hours or days is passed in one look, so a schedule that needs more has next to nothing left.
pub const EXCLUDED_MAX: usize = 10_000;

/// Why a schedule has no next tick.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoTick {
    /// The expression's years are over, the day does not exist (30 February), the instant has
    /// passed, or the calendar ends (2100).
    #[error("the schedule names no further instant until the end of 2100")]
    Over,
    /// The schedule's end has come.
    #[error("the schedule ends at {end}")]
    Ended {
        /// The last instant at which something may be due.
        end: Timestamp,
    },
    /// The search was given up: exclusions leave out everything for long.
    #[error(
        "exclusions leave out all that the schedule names until {until}, where the search was given up: give them whole hours or days, or end the schedule"
    )]
    Excluded {
        /// No tick is due up to here.
        until: Timestamp,
    },
    /// The tables of this build do not know the zone.
    #[error(
        "the time zone {zone} is not in the tables of this build ({tables}): update it, or let a node lead that knows it",
        tables = Zone::tables()
    )]
    UnknownZone {
        /// The zone.
        zone: Zone,
    },
}

impl Schedule {
    /// The first instant strictly after `t`, or `None` if there is none; [`Schedule::find_after`]
    /// says why.
    pub fn next_after(&self, t: Timestamp) -> Option<Timestamp> {
        self.find_after(t).ok()
    }

    /// The first instant strictly after `t`.
    ///
    /// It looks at one instant of each rule, and at no more than [`EXCLUDED_MAX`] that exclusions
    /// leave out.
    ///
    /// # Errors
    /// There is none; the error says why.
    pub fn find_after(&self, t: Timestamp) -> Result<Timestamp, NoTick> {
        if let Some(zone) = self.zones().find(|zone| !zone.is_known()) {
            return Err(NoTick::UnknownZone { zone: zone.clone() });
        }
        // A start is an instant at which something may be due.
        let start = self
            .limits()
            .start
            .map(|start| Timestamp::from_unix_ms(start.unix_ms().saturating_sub(1)));
        let t = start.map_or(t, |start| start.max(t));
        let (mut earliest, mut searched) = (None, None);
        for rule in &self.rules {
            match self.search_rule(rule, t) {
                Ok(at) => earliest = earliest.into_iter().chain([at]).min(),
                Err(Some(until)) => searched = searched.into_iter().chain([until]).min(),
                Err(None) => {}
            }
        }
        // One rule's tick may not be the next one if another's search was given up before it.
        let found = match (earliest, searched) {
            (Some(at), None) => Ok(at),
            (Some(at), Some(until)) if at <= until => Ok(at),
            (_, Some(until)) => Err(NoTick::Excluded { until }),
            (None, None) => Err(NoTick::Over),
        };
        match (found, self.limits().end) {
            (Ok(at) | Err(NoTick::Excluded { until: at }), Some(end)) if at > end => {
                Err(NoTick::Ended { end })
            }
            (Err(NoTick::Over), Some(end)) if t >= end => Err(NoTick::Ended { end }),
            (found, _) => found,
        }
    }

    /// The instants after `t`, in order, as long as there are any.
    ///
    /// ```
    /// use clustron_core::Timestamp;
    /// use clustron_scheduler::Schedule;
    ///
    /// let quarter = Schedule::cron("*/15 * * * *")?;
    /// let next = quarter.after(Timestamp::from_unix_ms(0)).map(|t| t.unix_ms() / 60_000);
    /// assert_eq!(next.take(3).collect::<Vec<_>>(), [15, 30, 45]);
    /// # Ok::<(), clustron_scheduler::ScheduleError>(())
    /// ```
    pub fn after(&self, t: Timestamp) -> impl Iterator<Item = Timestamp> + '_ {
        std::iter::successors(self.next_after(t), |at| self.next_after(*at))
    }

    /// The instants after `a`, up to `b` and with it, in order.
    pub fn between(&self, a: Timestamp, b: Timestamp) -> impl Iterator<Item = Timestamp> + '_ {
        self.after(a).take_while(move |at| *at <= b)
    }

    /// The first instant of one rule; otherwise how far it was searched if it was given up.
    fn search_rule(&self, rule: &Rule, t: Timestamp) -> Result<Timestamp, Option<Timestamp>> {
        let zone = rule.zone();
        let mut after = t;
        for _ in 0..EXCLUDED_MAX {
            let at = rule.next_after(after).ok_or(None)?;
            if self.limits().end.is_some_and(|end| at > end) {
                return Ok(at);
            }
            let ends = self
                .limits()
                .exclusions
                .iter()
                .filter_map(|exclusion| exclusion.ends_after(at, zone));
            let Some(end) = ends.max() else { return Ok(at) };
            after = Timestamp::from_unix_ms(end.unix_ms().saturating_sub(1)).max(at);
        }
        Err(Some(after))
    }
}
