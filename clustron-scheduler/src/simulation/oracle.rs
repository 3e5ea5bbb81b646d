//! What must be true of the ticks, kept apart from the state: a ledger of every claim and outcome
//! that the replies told of, held against the schedule itself.

use std::collections::BTreeMap;

use clustron_core::{FencingToken, Timestamp};

use crate::{Command, JobName, JobSpec, Overlap, Schedule, SchedulerState, Start};
use crate::{Rejection, Reply};

#[derive(Default)]
pub(super) struct Oracle {
    jobs: BTreeMap<JobName, Ledger>,
    replies: BTreeMap<&'static str, u64>,
}

struct Ledger {
    schedule: Schedule,
    /// Whether ticks may start beside others and out of order.
    side_by_side: bool,
    /// Every instant up to here must be in the books.
    accounted_to: Timestamp,
    ticks: BTreeMap<Timestamp, Tick>,
    missed: u64,
    open: usize,
}

#[derive(Default)]
struct Tick {
    tokens: Vec<FencingToken>,
    outcomes: u32,
}

impl Oracle {
    pub(super) fn observe(
        &mut self,
        state: &SchedulerState,
        index: u64,
        command: &Command,
        reply: &Reply,
    ) -> Result<(), String> {
        *self.replies.entry(kind(reply)).or_default() += 1;
        let name = command.job().clone();
        match (command, reply) {
            (Command::Define { spec, at, .. }, Reply::Defined { changed: true, .. }) => {
                self.define(name.clone(), spec, *at)?;
            }
            (Command::Claim { scheduled, .. }, Reply::Claimed { token, start }) => {
                let ledger = self.ledger(&name)?;
                ledger.expect_next(*scheduled)?;
                ledger.open += usize::from(!matches!(start, Start::Skipped { .. }));
                ledger.ticks.entry(*scheduled).or_default();
                if *token != FencingToken(index) {
                    return Err(format!("claim {index} got token {token}"));
                }
                if matches!(start, Start::Running { .. }) {
                    self.expect_turn(&name, *scheduled)?;
                }
                let tick = self.tick(&name, *scheduled)?;
                match start {
                    Start::Running { .. } => tick.tokens.push(*token),
                    Start::Skipped { .. } => tick.outcomes += 1,
                    Start::Waiting => {}
                }
            }
            (Command::Miss { from, to, count, .. }, Reply::Missed { .. }) => {
                let ledger = self.ledger(&name)?;
                let mut at = *from;
                for left in (0..*count).rev() {
                    ledger.expect_next(at)?;
                    ledger.missed += 1;
                    if left > 0 {
                        at = ledger.schedule.next_after(at).ok_or("a miss beyond the schedule")?;
                    }
                }
                if at != *to {
                    return Err(format!("{count} misses from {from} end at {at}, not {to}"));
                }
            }
            (Command::Assign { scheduled, after, .. }, Reply::Assigned { token, .. }) => {
                if after.is_none() {
                    self.expect_turn(&name, *scheduled)?;
                }
                let tick = self.tick(&name, *scheduled)?;
                if tick.tokens.last() != after.as_ref() {
                    return Err(format!("{scheduled}: {after:?} replaced in {:?}", tick.tokens));
                }
                if tick.tokens.last().is_some_and(|last| last >= token) || tick.outcomes > 0 {
                    return Err(format!("{scheduled}: {token} granted after {:?}", tick.tokens));
                }
                tick.tokens.push(*token);
            }
            (Command::Finish { scheduled, token, .. }, Reply::Finished) => {
                let tick = self.tick(&name, *scheduled)?;
                tick.outcomes += 1;
                if tick.outcomes > 1 || tick.tokens.last() != Some(token) {
                    return Err(format!("{scheduled}: {token} closed it of {:?}", tick.tokens));
                }
                self.ledger(&name)?.open -= 1;
            }
            (Command::Finish { scheduled, token, .. }, Reply::AlreadyFinished) => {
                let tick = self.tick(&name, *scheduled)?;
                if tick.outcomes != 1 || tick.tokens.last() != Some(token) {
                    return Err(format!("{scheduled}: {token} was not what finished it"));
                }
            }
            (Command::Finish { scheduled, token, .. }, Reply::Superseded) => {
                let tick = self.tick(&name, *scheduled)?;
                if tick.tokens.last() == Some(token) || !tick.tokens.contains(token) {
                    return Err(format!("{scheduled}: {token} is not late"));
                }
            }
            (_, Reply::Rejected(defect @ (Rejection::NeverGranted | Rejection::BadRange))) => {
                return Err(format!("{command:?}: {defect}"));
            }
            (_, Reply::Rejected(_) | Reply::Defined { changed: false, .. }) => {}
            odd => return Err(format!("an odd answer: {odd:?}")),
        }
        self.check(state, &name)
    }

    /// How often each answer was seen.
    pub(super) fn replies(&self) -> &BTreeMap<&'static str, u64> {
        &self.replies
    }

    /// At the end nothing is open.
    pub(super) fn check_closed(&self, state: &SchedulerState) -> Result<(), String> {
        for (name, ledger) in &self.jobs {
            self.check(state, name)?;
            if let Some((at, tick)) = ledger.ticks.iter().find(|(_, tick)| tick.outcomes != 1) {
                return Err(format!("{name} {at} has {} outcomes", tick.outcomes));
            }
        }
        match state.running().is_empty() {
            true => Ok(()),
            false => Err("nodes run ticks that are closed".to_owned()),
        }
    }

    fn define(&mut self, name: JobName, spec: &JobSpec, at: Timestamp) -> Result<(), String> {
        let side_by_side = matches!(spec.overlap, Overlap::Allow { .. });
        let schedule = spec.schedule.clone();
        let Some(ledger) = self.jobs.get_mut(&name) else {
            let ticks = BTreeMap::new();
            self.jobs.insert(
                name,
                Ledger { schedule, side_by_side, accounted_to: at, ticks, missed: 0, open: 0 },
            );
            return Ok(());
        };
        if let Some(lost) =
            ledger.schedule.next_after(ledger.accounted_to).filter(|next| *next <= at)
        {
            return Err(format!("the change of {name} at {at} lost the tick at {lost}"));
        }
        ledger.accounted_to = ledger.accounted_to.max(at);
        (ledger.schedule, ledger.side_by_side) = (schedule, side_by_side);
        Ok(())
    }

    fn ledger(&mut self, name: &JobName) -> Result<&mut Ledger, String> {
        self.jobs.get_mut(name).ok_or_else(|| format!("{name} was never defined"))
    }

    fn tick(&mut self, name: &JobName, scheduled: Timestamp) -> Result<&mut Tick, String> {
        let tick = self.ledger(name)?.ticks.get_mut(&scheduled);
        tick.ok_or_else(|| format!("{name} {scheduled} was never claimed"))
    }

    /// A tick starts alone and before all later ones, unless the job allows otherwise.
    fn expect_turn(&mut self, name: &JobName, scheduled: Timestamp) -> Result<(), String> {
        let ledger = self.ledger(name)?;
        let mut others =
            ledger.ticks.iter().filter(|(at, tick)| **at != scheduled && tick.outcomes == 0);
        match others.find(|(at, tick)| **at < scheduled || !tick.tokens.is_empty()) {
            Some((at, _)) if !ledger.side_by_side => {
                Err(format!("{name} {scheduled} started although {at} is open"))
            }
            _ => Ok(()),
        }
    }

    /// The state's books against these.
    fn check(&self, state: &SchedulerState, name: &JobName) -> Result<(), String> {
        let (Some(job), Some(ledger)) = (state.job(name), self.jobs.get(name)) else {
            return Ok(());
        };
        let c = job.counters();
        let open = ledger.open;
        let claimed = ledger.ticks.len() as u64 + ledger.missed;
        let law = c.claimed == c.ran + c.failed + c.skipped + c.missed + c.open;
        let same = job.cursor() == ledger.accounted_to
            && (c.open, job.open().len()) == (open as u64, open)
            && (c.claimed, c.missed) == (claimed, ledger.missed);
        let bounded = job.history().len() <= job.spec().history as usize
            && job.history().all(|firing| firing.outcome.is_some());
        if law && same && bounded {
            Ok(())
        } else {
            Err(format!("{name}: {c:?} at {}, booked {claimed}, open {open}", job.cursor()))
        }
    }
}

impl Ledger {
    /// The schedule alone says which instant comes next: none twice, none left out.
    fn expect_next(&mut self, scheduled: Timestamp) -> Result<(), String> {
        let expected = self.schedule.next_after(self.accounted_to);
        if expected != Some(scheduled) {
            return Err(format!("{scheduled} was taken, {expected:?} is next"));
        }
        self.accounted_to = scheduled;
        Ok(())
    }
}

fn kind(reply: &Reply) -> &'static str {
    match reply {
        Reply::Defined { .. } => "defined",
        Reply::Claimed { start: Start::Running { .. }, .. } => "claimed and running",
        Reply::Claimed { start: Start::Waiting, .. } => "claimed and waiting",
        Reply::Claimed { .. } => "claimed and skipped",
        Reply::Assigned { .. } => "assigned",
        Reply::Missed { .. } => "missed range",
        Reply::Finished => "finished",
        Reply::AlreadyFinished => "already finished",
        Reply::Superseded => "superseded",
        Reply::Rejected(Rejection::CursorMoved { .. }) => "cursor moved",
        Reply::Rejected(Rejection::StaleGeneration { .. }) => "stale generation",
        Reply::Rejected(Rejection::AttemptChanged { .. }) => "attempt changed",
        Reply::Rejected(Rejection::NotItsTurn) => "not its turn",
        Reply::Rejected(Rejection::UnknownJob) => "unknown job",
        // Only a report that outlives a history of 20: rare.
        Reply::Rejected(_) => "rejected otherwise",
    }
}
