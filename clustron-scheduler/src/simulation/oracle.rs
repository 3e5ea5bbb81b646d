//! What must be true of the ticks, kept apart from the state: a ledger of every claim and outcome
//! that the replies told of, held against the schedule itself.

use std::collections::BTreeMap;

use clustron_core::{FencingToken, Timestamp};

use crate::{
    Command, JobName, JobSpec, MissReason, Overlap, Rejection, Reply, RunResult, SchedulerState,
    Start, TickId,
};

#[derive(Default)]
pub(super) struct Oracle {
    jobs: BTreeMap<JobName, Ledger>,
    replies: BTreeMap<&'static str, u64>,
}

struct Ledger {
    spec: JobSpec,
    paused: bool,
    failures_in_a_row: u32,
    asked: u64,
    /// Every instant up to here must be in the books.
    accounted_to: Timestamp,
    ticks: BTreeMap<TickId, Tick>,
    missed: u64,
    open: usize,
}

#[derive(Default)]
struct Tick {
    tokens: Vec<FencingToken>,
    running: bool,
    failures: u32,
    outcomes: u32,
}

impl Tick {
    fn grant(&mut self, token: FencingToken) {
        self.tokens.push(token);
        self.running = true;
    }
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
                if ledger.paused {
                    return Err(format!("{scheduled} was claimed although {name} is paused"));
                }
                if *token != FencingToken(index) {
                    return Err(format!("claim {index} got token {token}"));
                }
                if ledger.spec.overlap == Overlap::CancelOther {
                    ledger.close_waiting();
                }
                self.add(&name, (*scheduled).into(), *token, *start)?;
            }
            (Command::Ask { .. }, Reply::Asked { tick, start }) => {
                if tick.asked != Some(FencingToken(index)) {
                    return Err(format!("{index} added {tick}"));
                }
                self.ledger(&name)?.asked += 1;
                self.add(&name, *tick, FencingToken(index), *start)?;
            }
            (Command::Pause { at, .. }, Reply::Changed) => {
                let ledger = self.ledger(&name)?;
                ledger.pass(*at)?;
                ledger.paused = true;
            }
            (Command::Resume { at, .. }, Reply::Changed) => {
                let ledger = self.ledger(&name)?;
                ledger.pass(*at)?;
                (ledger.paused, ledger.failures_in_a_row) = (false, 0);
            }
            (Command::Delete { .. }, Reply::Deleted) => {
                let ledger = self.jobs.remove(&name).ok_or("deleted, and never defined")?;
                let next = ledger.spec.schedule.next_after(ledger.accounted_to);
                if ledger.spec.is_ephemeral() && (ledger.open > 0 || next.is_some()) {
                    return Err(format!(
                        "{name} was deleted with {} open and {next:?}",
                        ledger.open
                    ));
                }
            }
            (Command::Miss { from, to, count, reason, .. }, Reply::Missed { .. }) => {
                let ledger = self.ledger(&name)?;
                if ledger.paused != (*reason == MissReason::Paused) {
                    return Err(format!("{from} was missed as {reason:?}"));
                }
                let mut at = *from;
                for left in (0..*count).rev() {
                    ledger.expect_next(at)?;
                    ledger.missed += 1;
                    if left > 0 {
                        at = ledger
                            .spec
                            .schedule
                            .next_after(at)
                            .ok_or("a miss beyond the schedule")?;
                    }
                }
                if at != *to {
                    return Err(format!("{count} misses from {from} end at {at}, not {to}"));
                }
            }
            (Command::Assign { tick: id, after, .. }, Reply::Assigned { token, .. }) => {
                if !self.tick(&name, *id)?.running {
                    self.expect_turn(&name, *id)?;
                }
                let tick = self.tick(&name, *id)?;
                if tick.tokens.last() != after.as_ref() {
                    return Err(format!("{id}: {after:?} replaced in {:?}", tick.tokens));
                }
                if tick.tokens.last().is_some_and(|last| last >= token) || tick.outcomes > 0 {
                    return Err(format!("{id}: {token} granted after {:?}", tick.tokens));
                }
                tick.grant(*token);
            }
            (Command::Finish { tick: id, token, result, .. }, Reply::WillRetry { failures }) => {
                let most = self.ledger(&name)?.spec.retry_policy().max;
                let tick = self.tick(&name, *id)?;
                tick.failures += 1;
                if tick.failures != *failures || tick.failures > most {
                    return Err(format!("{id}: failure {failures} of {most} is tried again"));
                }
                if !tick.running || tick.tokens.last() != Some(token) || tick.outcomes > 0 {
                    return Err(format!("{id}: {token} failed of {:?}", tick.tokens));
                }
                if !matches!(result, RunResult::Failed { .. }) {
                    return Err(format!("{id}: tried again after {result:?}"));
                }
                tick.running = false;
            }
            (Command::Finish { tick: id, token, result, .. }, Reply::Finished) => {
                let tick = self.tick(&name, *id)?;
                tick.outcomes += 1;
                if tick.outcomes > 1 || !tick.running || tick.tokens.last() != Some(token) {
                    return Err(format!("{id}: {token} closed it of {:?}", tick.tokens));
                }
                tick.running = false;
                let ledger = self.ledger(&name)?;
                ledger.open -= 1;
                ledger.note(result);
            }
            (Command::Finish { tick: id, token, .. }, Reply::AlreadyFinished) => {
                let tick = self.tick(&name, *id)?;
                if tick.running || tick.tokens.last() != Some(token) {
                    return Err(format!("{id}: {token} was not what finished it"));
                }
            }
            (Command::Finish { tick: id, token, .. }, Reply::Superseded) => {
                let tick = self.tick(&name, *id)?;
                if tick.tokens.last() == Some(token) || !tick.tokens.contains(token) {
                    return Err(format!("{id}: {token} is not late"));
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
        if let Some(ledger) = self.jobs.get_mut(&name) {
            ledger.pass(at)?;
            ledger.spec = spec.clone();
            return Ok(());
        }
        let ledger = Ledger {
            spec: spec.clone(),
            paused: false,
            failures_in_a_row: 0,
            asked: 0,
            accounted_to: at,
            ticks: BTreeMap::new(),
            missed: 0,
            open: 0,
        };
        self.jobs.insert(name, ledger);
        Ok(())
    }

    /// A tick is there from now on.
    fn add(
        &mut self,
        name: &JobName,
        id: TickId,
        token: FencingToken,
        start: Start,
    ) -> Result<(), String> {
        let ledger = self.ledger(name)?;
        ledger.open += usize::from(!matches!(start, Start::Skipped { .. }));
        if ledger.ticks.insert(id, Tick::default()).is_some() {
            return Err(format!("{name} has {id} twice"));
        }
        if matches!(start, Start::Running { .. }) {
            self.expect_turn(name, id)?;
        }
        let tick = self.tick(name, id)?;
        match start {
            Start::Running { .. } => tick.grant(token),
            Start::Skipped { .. } => tick.outcomes += 1,
            Start::Waiting => {}
        }
        Ok(())
    }

    fn ledger(&mut self, name: &JobName) -> Result<&mut Ledger, String> {
        self.jobs.get_mut(name).ok_or_else(|| format!("{name} was never defined"))
    }

    fn tick(&mut self, name: &JobName, id: TickId) -> Result<&mut Tick, String> {
        let tick = self.ledger(name)?.ticks.get_mut(&id);
        tick.ok_or_else(|| format!("{name} {id} was never there"))
    }

    /// A tick starts alone and in its turn, unless the job allows otherwise: one between two
    /// attempts goes first, then the others in their order. Of a paused job only what was asked for
    /// goes.
    fn expect_turn(&mut self, name: &JobName, id: TickId) -> Result<(), String> {
        let ledger = self.ledger(name)?;
        if ledger.paused && id.asked.is_none() {
            return Err(format!("{name} {id} started although the job is paused"));
        }
        if matches!(ledger.spec.overlap, Overlap::Allow { .. }) {
            return Ok(());
        }
        let paused = ledger.paused;
        let again = ledger.ticks.get(&id).is_some_and(|tick| !tick.tokens.is_empty());
        let mut before = ledger.ticks.iter().filter(|(other, tick)| {
            let may = !paused || other.asked.is_some();
            let first = !again && may && (**other < id || !tick.tokens.is_empty());
            **other != id && tick.outcomes == 0 && (tick.running || first)
        });
        match before.next() {
            Some((other, _)) => Err(format!("{name} {id} started although {other} is open")),
            None => Ok(()),
        }
    }

    /// The state's books against these.
    fn check(&self, state: &SchedulerState, name: &JobName) -> Result<(), String> {
        let (Some(job), Some(ledger)) = (state.job(name), self.jobs.get(name)) else {
            return Ok(());
        };
        let c = job.counters();
        let open = ledger.open;
        let claimed = ledger.ticks.len() as u64 + ledger.missed - ledger.asked;
        let ended = c.ran + c.failed + c.cancelled + c.skipped + c.missed;
        let law = c.claimed + c.asked == ended + c.open;
        let same = c.asked == ledger.asked
            && job.paused().is_some() == ledger.paused
            && job.cursor() == ledger.accounted_to
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
        let expected = self.spec.schedule.next_after(self.accounted_to);
        if expected != Some(scheduled) {
            return Err(format!("{scheduled} was taken, {expected:?} is next"));
        }
        self.accounted_to = scheduled;
        Ok(())
    }

    /// The job was changed at an instant, so all until then must be in the books.
    fn pass(&mut self, at: Timestamp) -> Result<(), String> {
        let next = self.spec.schedule.next_after(self.accounted_to);
        if let Some(lost) = next.filter(|next| *next <= at) {
            return Err(format!("a change at {at} lost the tick at {lost}"));
        }
        self.accounted_to = self.accounted_to.max(at);
        Ok(())
    }

    /// What waits and was not asked for gives way to the tick that comes.
    fn close_waiting(&mut self) {
        for (id, tick) in &mut self.ticks {
            if id.asked.is_none() && tick.outcomes == 0 && !tick.running {
                tick.outcomes += 1;
                self.open -= 1;
            }
        }
    }

    fn note(&mut self, result: &RunResult) {
        match result {
            RunResult::Ran => self.failures_in_a_row = 0,
            RunResult::Failed { .. } => self.failures_in_a_row += 1,
            RunResult::Cancelled => return,
        }
        let most = self.spec.pauses_after();
        self.paused |= most > 0 && self.failures_in_a_row >= most;
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
        Reply::WillRetry { .. } => "will retry",
        Reply::Changed => "paused or resumed",
        Reply::Asked { start: Start::Running { .. }, .. } => "asked and running",
        Reply::Asked { .. } => "asked and waiting",
        Reply::Deleted => "deleted",
        Reply::AlreadyFinished => "already finished",
        Reply::Superseded => "superseded",
        Reply::Rejected(Rejection::CursorMoved { .. }) => "cursor moved",
        Reply::Rejected(Rejection::StaleGeneration { .. }) => "stale generation",
        Reply::Rejected(Rejection::AttemptChanged { .. }) => "attempt changed",
        Reply::Rejected(Rejection::NotItsTurn) => "not its turn",
        Reply::Rejected(Rejection::UnknownJob) => "unknown job",
        Reply::Rejected(Rejection::Paused) => "is paused",
        // Only a report that outlives a history of 20: rare.
        Reply::Rejected(_) => "rejected otherwise",
    }
}
