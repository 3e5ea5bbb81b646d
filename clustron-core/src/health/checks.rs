//! Conditions of modules and of the application for a node to be ready.
//!
//! Whoever wrote such a check may have written one that blocks or panics. So all of them run on a
//! thread for blocking work, one round after the other, and the rest of the node reads what the
//! last round said. Where there are none, there is no task.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

use super::judgement::Finding;
use super::{NotReady, Question};
use crate::tasks::{Tasks, panic_text};

/// Tells whether a condition holds.
pub(crate) type Check = dyn Fn() -> Result<(), NotReady> + Send + Sync;

/// How often the conditions are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A check that takes longer counts as one that does not hold.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// The most conditions of one node; what is added beyond is refused with an error in the log.
const CHECKS_MAX: usize = 64;

#[derive(Default)]
struct Kept {
    checks: BTreeMap<String, Arc<Check>>,
    /// What the conditions that do not hold have said.
    failing: BTreeMap<String, NotReady>,
    /// What is asked at this moment, and since when.
    asked: Option<(String, Instant)>,
    running: bool,
}

/// The conditions of one node.
#[derive(Default)]
pub(super) struct Checks {
    kept: Mutex<Kept>,
}

impl Checks {
    /// Adds a condition, or puts it in the place of the one of that name. Until it has been asked
    /// it does not hold.
    pub(super) fn add(self: &Arc<Self>, name: &str, check: Arc<Check>, tasks: &Tasks) {
        let mut kept = self.lock();
        if tasks.is_cancelled() {
            // Nobody would drop it any more, nor what it holds on to.
            return;
        }
        if kept.checks.len() >= CHECKS_MAX && !kept.checks.contains_key(name) {
            tracing::error!(name, max = CHECKS_MAX, "too many conditions of health: left out");
            return;
        }
        let unknown = NotReady::new("it has not been looked at yet", "nothing: wait");
        kept.failing.insert(name.to_owned(), unknown);
        kept.checks.insert(name.to_owned(), check);
        if !std::mem::replace(&mut kept.running, true) {
            tasks.spawn("health checks", self.clone().run());
        }
    }

    /// What speaks against the node.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let kept = self.lock();
        let mut failing = kept.failing.clone();
        if let Some((name, since)) = &kept.asked
            && since.elapsed() > ANSWERS_WITHIN
        {
            let what = format!("its check has not answered for {ANSWERS_WITHIN:?}");
            failing.insert(name.clone(), NotReady::new(what, "a check must not block: mend it"));
        }
        let finding = |(name, NotReady { what, remedy })| {
            let question = Question::Ready;
            Finding { question, name, what, remedy }
        };
        failing.into_iter().map(finding).collect()
    }

    /// Drops all conditions.
    pub(super) fn clear(&self) {
        let mut kept = self.lock();
        (kept.checks, kept.failing) = Default::default();
    }

    async fn run(self: Arc<Self>) {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let this = self.clone();
            // A panic is caught inside; an error means that the runtime ends.
            if tokio::task::spawn_blocking(move || this.look()).await.is_err() {
                return;
            }
        }
    }

    fn look(&self) {
        let checks = self.lock().checks.clone();
        for (name, check) in checks {
            self.lock().asked = Some((name.clone(), Instant::now()));
            let answer = catch_unwind(AssertUnwindSafe(|| check())).unwrap_or_else(|panic| {
                let what = format!("its check panicked: {}", panic_text(panic.as_ref()));
                Err(NotReady::new(what, "mend the check"))
            });
            let mut kept = self.lock();
            kept.asked = None;
            match answer {
                Ok(()) => drop(kept.failing.remove(&name)),
                // It may have been dropped meanwhile.
                Err(_) if !kept.checks.contains_key(&name) => {}
                Err(not_ready) => drop(kept.failing.insert(name, not_ready)),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_condition_holds_from_when_its_check_says_so_and_a_panic_is_a_no() {
        let (checks, tasks) = (Arc::<Checks>::default(), Tasks::default());
        checks.add("a", Arc::new(|| Ok(())), &tasks);
        checks.add("b", Arc::new(|| panic!("oh")), &tasks);
        let found = checks.findings();
        assert_eq!(found.len(), 2, "nobody has looked yet: {found:?}");
        checks.look();
        let found = checks.findings();
        assert_eq!(found.len(), 1);
        assert!(found[0].name == "b" && found[0].what.contains("panicked: oh"), "{found:?}");
        tasks.cancel();
        tasks.join().await;
    }

    #[tokio::test]
    async fn no_more_conditions_are_kept_than_allowed_and_the_last_of_a_name_counts() {
        let (checks, tasks) = (Arc::<Checks>::default(), Tasks::default());
        let no = |what: &str| NotReady::new(what, "mend it");
        for number in 0..=CHECKS_MAX {
            checks.add(&number.to_string(), Arc::new(move || Err(no("old"))), &tasks);
        }
        checks.add("7", Arc::new(move || Err(no("new"))), &tasks);
        checks.look();
        let found = checks.findings();
        assert_eq!(found.len(), CHECKS_MAX);
        let seven = found.iter().find(|found| found.name == "7").unwrap();
        assert_eq!(seven.what, "new");
        tasks.cancel();
        tasks.join().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_does_not_answer_is_told() {
        let checks = Checks::default();
        checks.lock().asked = Some(("slow".to_owned(), Instant::now()));
        assert_eq!(checks.findings(), []);
        tokio::time::advance(ANSWERS_WITHIN + LOOK_EVERY).await;
        let found = checks.findings();
        assert!(found[0].name == "slow" && found[0].what.contains("not answered"), "{found:?}");
    }
}
