//! Noticing that this process itself did not run.
//!
//! Who nods off over a chess clock cannot tell from the clock who was slow. A timer that fires
//! late means that we were starved or stopped. Answers and objections may have come meanwhile and
//! sit unread, so no deadline that passed in our absence is evidence against anybody. Any input can
//! be the first after an absence, so every detector asks here before it looks at the input.

use std::time::Duration;

use crate::membership::MembershipConfig;

/// Remembers when the next timer was to fire, and notices when that instant was slept through.
#[derive(Debug)]
pub(super) struct Lateness {
    due: Option<Duration>,
    tolerated: Duration,
    long: Duration,
}

/// How long this process did not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absence {
    /// Shorter than a probe period: all deadlines move by this much.
    Short(Duration),
    /// So long that whatever was open is to be asked again, and every doubt starts afresh.
    Long,
}

impl Lateness {
    /// Expects nothing yet.
    pub(super) fn new(config: &MembershipConfig) -> Self {
        Self { due: None, tolerated: config.late_timer, long: config.probe_interval }
    }

    /// Whether we were away until `now`.
    pub(super) fn notice(&self, now: Duration) -> Option<Absence> {
        let missed = now.checked_sub(self.due?)?;
        if missed <= self.tolerated {
            None
        } else if missed < self.long {
            Some(Absence::Short(missed))
        } else {
            Some(Absence::Long)
        }
    }

    /// The next timer is to fire at this instant.
    pub(super) fn expect(&mut self, due: Option<Duration>) {
        self.due = due;
    }

    /// When the next timer is to fire.
    pub(super) fn due(&self) -> Option<Duration> {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn an_absence_is_counted_from_the_timer_that_was_missed() {
        let mut lateness = Lateness::new(&MembershipConfig::lan());
        assert_eq!(lateness.notice(ms(60_000)), None, "nothing was due");
        lateness.expect(Some(ms(1000)));
        for (now, absence) in [
            (999, None),
            (1100, None),
            (1101, Some(Absence::Short(ms(101)))),
            (1499, Some(Absence::Short(ms(499)))),
            (1500, Some(Absence::Long)),
        ] {
            assert_eq!(lateness.notice(ms(now)), absence, "at {now}");
        }
    }
}
