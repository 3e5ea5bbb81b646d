//! What the leader decides: which ticks to claim, give up, start and move. A pure value.

mod backlog;

use std::collections::{BTreeMap, BTreeSet};

use clustron_core::{FencingToken, Timestamp};

use crate::firing::Firing;
use crate::job::JobName;
use crate::job_state::Job;
use crate::message::{Command, Run, Seen};
use crate::schedule::NoTick;
use crate::state::SchedulerState;
use crate::tick::TickId;
use crate::workers::Workers;
use backlog::Backlog;

/// The most commands that one call of [`Planner::due`] or [`Planner::repairs`] returns.
pub(crate) const BATCH_MAX: usize = 256;

/// How many instants or days one job's backlog is searched for in one call of [`Planner::due`];
/// more of it is left for the next call. Larger than [`crate::CATCH_UP_MAX`], so that each call
/// gets on.
pub(crate) const SCAN_MAX: usize = 20_000;

/// The leader's agenda: when each job is due next, and which jobs have open ticks. Its calls cost
/// as much as there is to do, however many idle jobs there are.
///
/// Made when a node begins to lead, thrown away when it ends. The leader
///
/// 1. waits until [`Planner::next_due`], or until something happens;
/// 2. calls [`Planner::catch_up`], so that the agenda knows of all that was applied, whoever
///    proposed it and whether or not anybody still waited for it;
/// 3. calls [`Planner::due`] and [`Planner::repairs`] and proposes the commands **in order**;
/// 4. waits until each of them was answered or given up;
/// 5. begins again; at once if `due` returned anything, since a batch is bounded.
///
/// A job is changed only once its old ticks are taken: with one and the same `now` the leader calls
/// [`Planner::settle`] until nothing is left to take, and then proposes the change with that `now`.
///
/// The planner believes `now`. A clock that jumped ahead must be stopped before it gets here: the
/// ticks that it makes due are taken, and none of them comes again when the clock is put right.
///
/// Calling `due` before the answers came would propose the same ticks twice. The state refuses the
/// second, as it refuses what an old leader proposes, so that is waste and not harm.
#[derive(Debug, Clone, Default)]
pub(crate) struct Planner {
    agenda: BTreeSet<(Timestamp, JobName)>,
    due_at: BTreeMap<JobName, Timestamp>,
    open: BTreeSet<JobName>,
    /// Attempts that their worker has refused to start, by tick.
    refused: BTreeMap<(JobName, TickId), FencingToken>,
    /// When ticks whose attempt failed may have another: that attempt, and the instant. Counted
    /// from when this leader saw it, by its own clock.
    retries: BTreeMap<(JobName, TickId), (FencingToken, Timestamp)>,
    /// When it was last looked whom they may be given to. Those due by then wait for a worker.
    looked_at: Option<Timestamp>,
    /// Jobs that are to be deleted, as nothing of them is left to do.
    over: BTreeSet<JobName>,
    /// How many changes of the state the agenda knows of.
    caught_up: u64,
}

/// Why a job cannot be changed yet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unsettled {
    /// These, at least one, are to be applied first.
    Due(Vec<Command>),
    /// This node cannot say which ticks are due.
    Unknown(NoTick),
}

impl Planner {
    /// The agenda of a state that includes the new leader's own activation.
    pub(crate) fn new(state: &SchedulerState) -> Self {
        let mut planner = Self { caught_up: state.recent().count(), ..Self::default() };
        for job in state.jobs() {
            planner.note(&job.spec().name, Some(job));
        }
        planner
    }

    /// Brings the agenda up to date with what was applied to the state, which must be the one that
    /// it began with.
    pub(crate) fn catch_up(&mut self, state: &SchedulerState) {
        match state.recent().after(self.caught_up) {
            Some(changed) => changed.into_iter().for_each(|name| self.note(name, state.job(name))),
            None => {
                let new = Self::new(state);
                (self.agenda, self.due_at) = (new.agenda, new.due_at);
                (self.open, self.over) = (new.open, new.over);
            }
        }
        self.caught_up = state.recent().count();
        self.refused.retain(|(name, tick), token| {
            let newest = state.job(name).and_then(|job| job.run(*tick));
            newest.is_some_and(|(_, run)| run.token == *token)
        });
        self.retries.retain(|(name, tick), (token, _)| {
            let firing = state.job(name).and_then(|job| job.firing(*tick));
            firing.is_some_and(|firing| firing.is_retrying() && firing.token == Some(*token))
        });
    }

    /// Remembers whether an attempt's worker has refused to start it, so that it is given to
    /// another, or has started it after all.
    pub(crate) fn note_order(&mut self, run: &Run, refused: bool) {
        let tick = (run.job.clone(), run.tick);
        // News of an attempt may come after news of one that has replaced it.
        let known = self.refused.get(&tick).copied();
        match refused {
            true if known <= Some(run.token) => drop(self.refused.insert(tick, run.token)),
            false if known == Some(run.token) => drop(self.refused.remove(&tick)),
            true | false => {}
        }
    }

    /// Every tick that waits or runs, with its job.
    pub(crate) fn open_ticks<'a>(
        &'a self,
        state: &'a SchedulerState,
    ) -> impl Iterator<Item = (&'a Job, &'a Firing)> {
        let jobs = self.open.iter().filter_map(|name| state.job(name));
        jobs.flat_map(|job| job.open().map(move |firing| (job, firing)))
    }

    /// When there is something to do next: a tick is due, or an attempt is to be repeated.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        let tick = self.agenda.first().map(|(at, _)| *at);
        let retries = self.retries.values().map(|(_, at)| *at);
        let retry = retries.filter(|at| self.looked_at.is_none_or(|looked| *at > looked)).min();
        tick.into_iter().chain(retry).min()
    }

    /// How far the job is if all its ticks until `at` are taken, so that a change of it with this
    /// instant loses none; `None` for a job that is not there. A change does not wait for jitter.
    ///
    /// # Errors
    /// Ticks are due that are to be taken first, or it is not known whether any are.
    pub(crate) fn settle(
        &self,
        state: &SchedulerState,
        name: &JobName,
        at: Timestamp,
        workers: &mut Workers,
    ) -> Result<Option<Seen>, Unsettled> {
        let Some(job) = state.job(name) else { return Ok(None) };
        if job.runs_left() != Some(0) {
            match job.spec().schedule.find_after(job.cursor()) {
                Err(NoTick::Over | NoTick::Ended { .. }) | Ok(_) => {}
                Err(NoTick::Excluded { until }) if until > at => {}
                Err(why) => return Err(Unsettled::Unknown(why)),
            }
        }
        if job.paused().is_some() && job.runs_left() != Some(0) {
            let missed = Backlog::paused(job.spec(), job.cursor(), at);
            let commands: Vec<Command> = missed.misses(job, at).collect();
            return match commands.is_empty() {
                true => Ok(Some(job.seen())),
                false => Err(Unsettled::Due(commands)),
            };
        }
        if job.next_tick().is_none_or(|next| next > at) {
            return Ok(Some(job.seen()));
        }
        workers.refresh(state.running());
        let mut commands = Vec::new();
        take(job, at, Wait::No, workers, &mut commands);
        commands.truncate(BATCH_MAX);
        Err(Unsettled::Due(commands))
    }

    /// The commands for what is due at `now`, the job that is due longest first, each job's in the
    /// order of its ticks. At most [`BATCH_MAX`]; the rest stays due.
    ///
    /// `now` may be behind an earlier call's: ticks that are claimed are never due again.
    pub(crate) fn due(
        &self,
        state: &SchedulerState,
        now: Timestamp,
        workers: &mut Workers,
    ) -> Vec<Command> {
        workers.refresh(state.running());
        let mut commands = Vec::new();
        let mut steps = 0;
        let due = self.agenda.iter().take_while(|(at, _)| *at <= now);
        for job in due.filter_map(|(_, name)| state.job(name)) {
            steps += take(job, now, Wait::ForJitter, workers, &mut commands);
            if commands.len() >= BATCH_MAX || steps >= SCAN_MAX {
                break;
            }
        }
        let over = self.over.iter().filter_map(|name| state.job(name));
        commands.extend(over.filter(|job| job.is_over()).map(|job| Command::Delete {
            job: job.spec().name.clone(),
            seen: job.seen(),
            if_idle: true,
        }));
        // A job's misses may have come on top of a full batch.
        commands.truncate(BATCH_MAX);
        commands
    }

    /// The commands that give waiting ticks a worker, as far as they may start, and running ones
    /// another if theirs is gone or has refused to start them. At most [`BATCH_MAX`].
    ///
    /// A tick for which no worker is free stays as it is until a later call. `at` is recorded.
    pub(crate) fn repairs(
        &mut self,
        state: &SchedulerState,
        workers: &mut Workers,
        at: Timestamp,
    ) -> Vec<Command> {
        workers.refresh(state.running());
        self.looked_at = Some(at);
        let mut commands = Vec::new();
        for (name, job) in self.open.iter().filter_map(|name| Some((name, state.job(name)?))) {
            let lost = job.open().filter_map(|firing| {
                let worker = firing.worker?;
                let refused = self.refused.get(&(name.clone(), firing.id()));
                let why = if !workers.contains(worker) {
                    "is gone"
                } else if firing.token.is_some_and(|token| workers.has_restarted(worker, token)) {
                    "has restarted"
                } else if refused.is_some() && refused == firing.token.as_ref() {
                    "did not take it"
                } else {
                    return None;
                };
                Some((firing, format!("{worker} {why}")))
            });
            let mut wanted: Vec<_> = lost.collect();
            for firing in job.startable() {
                let Some((failed_on, error)) = &firing.retry_of else {
                    wanted.push((firing, "its turn".to_owned()));
                    continue;
                };
                let token = firing.token.unwrap_or_default();
                let pause = job.spec().retry_policy().pause(firing.failures);
                let due = || (token, at.saturating_add(pause));
                let known = self.retries.entry((name.clone(), firing.id())).or_insert_with(due);
                if known.0 != token {
                    *known = due();
                }
                if known.1 <= at {
                    let failures = firing.failures;
                    let why = format!("failure {failures} was on {failed_on}: {error}");
                    wanted.push((firing, why));
                }
            }
            for (firing, why) in wanted {
                if commands.len() >= BATCH_MAX {
                    return commands;
                }
                let avoid = firing.retry_of.as_ref().map(|(node, _)| *node);
                let Some(worker) = workers.pick_for(job, avoid) else { break };
                commands.push(Command::Assign {
                    job: name.clone(),
                    tick: firing.id(),
                    after: firing.token,
                    worker,
                    at,
                    why,
                });
            }
        }
        commands
    }

    fn note(&mut self, name: &JobName, job: Option<&Job>) {
        if let Some(at) = self.due_at.remove(name) {
            self.agenda.remove(&(at, name.clone()));
        }
        if let Some(at) = job.and_then(Job::next_due) {
            self.due_at.insert(name.clone(), at);
            self.agenda.insert((at, name.clone()));
        }
        if job.is_some_and(|job| job.open().len() > 0) {
            self.open.insert(name.clone());
        } else {
            self.open.remove(name);
        }
        if job.is_some_and(Job::is_over) {
            self.over.insert(name.clone());
        } else {
            self.over.remove(name);
        }
    }
}

/// Whether a tick whose instant has come waits for its jitter.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    ForJitter,
    No,
}

/// Gives up what is too late of a job and claims the rest, until `now`. Says how many instants were
/// looked at.
fn take(
    job: &Job,
    now: Timestamp,
    wait: Wait,
    workers: &mut Workers,
    commands: &mut Vec<Command>,
) -> usize {
    let backlog = Backlog::of(job.spec(), job.cursor(), now);
    let (complete, cursor, steps) = (backlog.complete, backlog.cursor, backlog.steps);
    commands.extend(backlog.misses(job, now));
    if complete {
        claim_due(job, cursor, now, wait, workers, commands);
    }
    steps
}

/// Claims every tick in `(cursor, now]`, as far as the batch has room and the job is to run.
fn claim_due(
    job: &Job,
    mut cursor: Timestamp,
    now: Timestamp,
    wait: Wait,
    workers: &mut Workers,
    commands: &mut Vec<Command>,
) {
    let spec = job.spec();
    let mut open = job.open().len();
    // A tick that is skipped does not count: then the next call claims another.
    let mut left = job.runs_left().unwrap_or(u64::MAX);
    let due_at = |tick| match wait {
        Wait::ForJitter => spec.schedule.due_at(&spec.name, tick),
        Wait::No => tick,
    };
    // A tick whose jitter is short waits for those before it: they are claimed in order.
    while left > 0
        && commands.len() < BATCH_MAX
        && let Some(scheduled) =
            spec.schedule.next_after(cursor).filter(|next| due_at(*next) <= now)
    {
        left -= 1;
        // No worker is booked for a tick that the overlap rule will not let start now.
        let worker = match open < spec.overlap.at_once() {
            true => workers.pick_for(job, None),
            false => None,
        };
        open += 1;
        commands.push(Command::Claim {
            job: spec.name.clone(),
            generation: job.generation(),
            after: cursor,
            scheduled,
            at: now,
            worker,
        });
        cursor = scheduled;
    }
}

#[cfg(test)]
mod tests;
