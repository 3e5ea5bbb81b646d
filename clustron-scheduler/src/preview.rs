//! A look at what a schedule is about to do, by the clock of this machine.

use clustron_core::{Clock, SystemClock, Timestamp};

use crate::schedule::Schedule;

impl Schedule {
    /// The next `n` instants from now on, for people to look at before they trust it; fewer if
    /// there are no more. [`Schedule::after`] gives those after any instant.
    ///
    /// ```
    /// use clustron_scheduler::{Schedule, Zone};
    ///
    /// let berlin = Zone::new("Europe/Berlin")?;
    /// for at in Schedule::cron("30 2 * * *")?.zone(berlin.name())?.next(5) {
    ///     println!("{}", berlin.show(at));
    /// }
    /// # Ok::<(), clustron_scheduler::ScheduleError>(())
    /// ```
    pub fn next(&self, n: usize) -> Vec<Timestamp> {
        self.after(SystemClock.now()).take(n).collect()
    }
}
