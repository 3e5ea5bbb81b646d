//! A seeded simulation of leaders, workers and a careless log, watched by an independent oracle.
//!
//! Leaders come and go and old ones keep proposing; commands are lost, doubled and reordered;
//! workers die, answer late and answer twice; the clock goes back and jumps ahead. After every
//! command the oracle checks S1: each instant that the schedule names between a job's definition
//! and its cursor has exactly one claim and one outcome, or is open.

mod oracle;

use std::collections::BTreeMap;
use std::time::Duration;

use clustron_core::{Epoch, NodeId, Timestamp, codec};

use crate::planner::{Planner, Unsettled};
use crate::workers::Workers;
use crate::{
    Command, JobName, JobSpec, Misfire, Overlap, Reply, Retries, Run, RunResult, Schedule,
    SchedulerState, Start, TickId,
};
use oracle::Oracle;

/// A deliberate defect: the oracle must see each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    None,
    /// A claim does not move the cursor: the tick is claimed again.
    CursorStays,
    /// The state ignores which cursor a claim was computed from: an overtaken tick is lost.
    CursorUnchecked,
    /// A missed range counts one tick too few.
    MissMiscounts,
    /// A result counts whatever its token: a tick closes twice or by an old attempt.
    TokenUnchecked,
    /// A changed schedule starts at the change, and due ticks of the old one are left behind.
    ChangeDropsDueTicks,
    /// The same of a job that is paused or resumed.
    PauseDropsDueTicks,
    /// An ephemeral job is deleted while it has something to do.
    DeletesEarly,
}

/// SplitMix64: small, seedable, the same everywhere.
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn choose<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }
}

struct Leader {
    planner: Planner,
    /// What it believes: the replica for the true leader, an old copy for a deposed one.
    believes: Option<SchedulerState>,
}

struct World {
    rng: Rng,
    bug: Bug,
    state: SchedulerState,
    replica: SchedulerState,
    index: u64,
    epoch: Epoch,
    now_ms: i64,
    leader: Leader,
    deposed: Vec<Leader>,
    workers: Workers,
    /// Proposed, and not yet in the log; may be lost, doubled and reordered.
    proposed: Vec<Command>,
    /// Attempts that some worker has, dead or alive.
    runs: Vec<(NodeId, Run)>,
    oracle: Oracle,
}

impl World {
    fn new(seed: u64, bug: Bug) -> Self {
        let mut workers = Workers::default();
        (1..=3).for_each(|node| workers.join(NodeId(node)));
        Self {
            rng: Rng(seed),
            bug,
            state: SchedulerState::default(),
            replica: SchedulerState::default(),
            index: 0,
            epoch: Epoch(1),
            now_ms: 1_767_225_600_000,
            leader: Leader { planner: Planner::default(), believes: None },
            deposed: Vec::new(),
            workers,
            proposed: Vec::new(),
            runs: Vec::new(),
            oracle: Oracle::default(),
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.now_ms)
    }

    fn step(&mut self) -> Result<(), String> {
        match self.rng.below(100) {
            0..7 => {
                let (spec, at) = (self.random_spec(), self.now());
                if self.rng.chance(50) {
                    self.change(&spec.name, at);
                    return Ok(());
                }
                let planner = &self.leader.planner;
                // Before what else is under way, most of which would be refused after it or, coming
                // first, have it refused.
                match planner.settle(&self.state, &spec.name, at, &mut self.workers) {
                    Ok(seen) => self.proposed.insert(0, Command::Define { spec, at, seen }),
                    Err(_) if self.bug == Bug::ChangeDropsDueTicks => {
                        self.proposed.insert(0, Command::Define { spec, at, seen: None });
                    }
                    Err(unsettled) => self.proposed.extend(first(unsettled)),
                }
            }
            7..25 => {
                self.now_ms += match self.rng.below(40) {
                    0 => -(self.rng.below(30_000) as i64),
                    1 => self.rng.below(150_000) as i64,
                    _ => self.rng.below(2_500) as i64,
                }
            }
            25..45 => self.lead(),
            45..48 => self.change_leader(),
            48..53 => self.old_leader_proposes(),
            53..56 => {
                let node = NodeId(1 + self.rng.below(4) as u64);
                if self.workers.contains(node) {
                    self.workers.leave(node);
                } else {
                    self.workers.join(node);
                }
            }
            56..70 => self.worker_reports(),
            _ => {
                for _ in 0..self.rng.below(6) {
                    self.deliver()?;
                }
            }
        }
        Ok(())
    }

    /// Somebody pauses, resumes, deletes or triggers a job, or asks for some tick of the past.
    fn change(&mut self, name: &JobName, at: Timestamp) {
        let job = name.clone();
        let Some(known) = self.state.job(name) else { return };
        let paused = known.paused().is_some();
        let (ephemeral, unseen) = (known.spec().is_ephemeral(), known.seen());
        let which = self.rng.below(10);
        if which < 4 {
            let back = Duration::from_millis(self.rng.below(5_000) as u64);
            let worker = self.workers.pick(name).filter(|_| which < 3);
            let scheduled = at.saturating_sub(back);
            self.proposed.insert(0, Command::Ask { job, scheduled, at, worker });
            return;
        }
        let seen = match self.leader.planner.settle(&self.state, name, at, &mut self.workers) {
            Ok(seen) => seen.unwrap_or(unseen),
            Err(_) if self.bug == Bug::PauseDropsDueTicks => unseen,
            Err(unsettled) => return self.proposed.extend(first(unsettled)),
        };
        let note = "n".repeat(self.rng.below(400));
        self.proposed.insert(
            0,
            match which {
                _ if ephemeral && self.bug == Bug::DeletesEarly => {
                    Command::Delete { job, seen, if_idle: false }
                }
                4 if !ephemeral => Command::Delete { job, seen, if_idle: false },
                _ if paused => Command::Resume { job, at, seen },
                _ => Command::Pause { job, at, seen, note },
            },
        );
    }

    /// Few jobs and fast schedules, so that a short run meets every rule.
    fn random_spec(&mut self) -> JobSpec {
        let name = JobName::new(self.rng.choose(&["a", "b", "c"])).unwrap();
        let schedule = match self.rng.below(4) {
            0 => Schedule::cron("*/2 * * * * *").unwrap(),
            1 => Schedule::cron("7,11 * * * * *").unwrap(),
            2 => Schedule::every(Duration::from_millis(1_000)).unwrap(),
            _ => {
                let (interval, phase) = (Duration::from_millis(700), Duration::from_millis(123));
                Schedule::every_with_phase(interval, phase).unwrap()
            }
        };
        let jitter = Duration::from_millis(self.rng.choose(&[0, 0, 0, 1_500]));
        let schedule = schedule.jitter(jitter);
        let overlap = self.rng.choose(&[
            Overlap::Skip,
            Overlap::BufferAll { max: 3 },
            Overlap::Allow { max: 2 },
            Overlap::Allow { max: 9 },
            Overlap::CancelOther,
            Overlap::BUFFER_ONE,
        ]);
        let misfire = self.rng.choose(&[
            Misfire::Skip,
            Misfire::Latest,
            Misfire::default(),
            Misfire::All { max: 3, max_age_ms: 20_000 },
        ]);
        let grace = Duration::from_millis(self.rng.below(3_000) as u64);
        let backoff = Duration::from_millis(self.rng.below(200) as u64);
        let retries = Retries::new(self.rng.choose(&[0, 0, 1, 3]), backoff, 3 * backoff);
        let ends = self.now_ms + 20_000;
        let ephemeral = self.rng.chance(20) || self.bug == Bug::DeletesEarly;
        let schedule = match ephemeral {
            true => schedule.ending(Timestamp::from_unix_ms(ends)),
            false => schedule,
        };
        let spec = JobSpec::new(name, schedule).overlap(overlap).misfire(misfire).grace(grace);
        let spec = spec.history(20).retries(retries).per_worker_max(self.rng.choose(&[0, 0, 2]));
        let spec = spec.pause_after(self.rng.choose(&[0, 0, 0, 4]));
        if ephemeral { spec.ephemeral() } else { spec }
    }

    fn lead(&mut self) {
        let now = self.now();
        let planner = &mut self.leader.planner;
        planner.catch_up(&self.state);
        self.proposed.extend(planner.due(&self.state, now, &mut self.workers));
        self.proposed.extend(planner.repairs(&self.state, &mut self.workers, now));
    }

    fn change_leader(&mut self) {
        self.epoch = Epoch(self.index);
        let new = Leader { planner: Planner::new(&self.state), believes: None };
        let mut old = std::mem::replace(&mut self.leader, new);
        old.believes = Some(self.state.clone());
        self.deposed.push(old);
        if self.deposed.len() > 3 {
            self.deposed.remove(0);
        }
    }

    fn old_leader_proposes(&mut self) {
        let now = self.now();
        if let Some(Leader { planner, believes: Some(believes) }) = self.deposed.first_mut() {
            let mut workers = self.workers.clone();
            self.proposed.extend(planner.due(believes, now, &mut workers));
            self.proposed.extend(planner.repairs(believes, &mut workers, now));
        }
    }

    fn worker_reports(&mut self) {
        if self.runs.is_empty() {
            return;
        }
        let (worker, run) = self.rng.choose(&self.runs);
        let error = "x".repeat(self.rng.below(2_000));
        let told = self.state.job(&run.job).and_then(|job| job.firing(run.tick));
        let result = match told.is_some_and(|firing| firing.cancelled) {
            true => self.rng.choose(&[RunResult::Ran, RunResult::Cancelled]),
            false => self.rng.choose(&[RunResult::Ran, RunResult::Failed { error }]),
        };
        self.proposed.push(Command::Finish {
            job: run.job,
            tick: run.tick,
            token: run.token,
            worker,
            result,
            started: self.now(),
            finished: self.now(),
            kept: Some(vec![7; self.rng.below(5_000)].into()),
        });
        // A worker that does not hear the answer reports again.
        if self.rng.chance(70) {
            self.runs.retain(|(_, known)| known.token != run.token);
        }
    }

    fn deliver(&mut self) -> Result<(), String> {
        if self.proposed.is_empty() {
            return Ok(());
        }
        let which = if self.rng.chance(70) { 0 } else { self.rng.below(self.proposed.len()) };
        let command = self.proposed.remove(which);
        if self.rng.chance(5) {
            return Ok(());
        }
        if self.rng.chance(10) {
            self.proposed.push(command.clone());
        }
        self.commit(command)
    }

    fn commit(&mut self, command: Command) -> Result<(), String> {
        self.index += 1 + self.rng.below(3) as u64;
        let sabotaged = self.sabotage(command.clone());
        let reply = self.state.apply(self.index, self.epoch, sabotaged.clone());
        let twin = self.replica.apply(self.index, self.epoch, sabotaged);
        if reply != twin {
            return Err(format!("replicas answered {reply:?} and {twin:?}"));
        }
        if let (Bug::CursorStays, Command::Claim { job, after, .. }, Reply::Claimed { .. }) =
            (self.bug, &command, &reply)
        {
            self.state.job_mut(job).unwrap().set_cursor(*after);
            self.replica.job_mut(job).unwrap().set_cursor(*after);
        }
        let started = match (&command, &reply) {
            (Command::Claim { scheduled, .. }, Reply::Claimed { start, .. }) => {
                matches!(start, Start::Running { .. }).then_some((*scheduled).into())
            }
            (Command::Ask { .. }, Reply::Asked { tick, start }) => {
                matches!(start, Start::Running { .. }).then_some(*tick)
            }
            (Command::Assign { tick, .. }, Reply::Assigned { .. }) => Some(*tick),
            _ => None,
        };
        let job = self.state.job(command.job());
        if let Some(run) = started.and_then(|tick: TickId| job?.run(tick)) {
            self.runs.push(run);
        }
        self.oracle.observe(&self.state, self.index, &command, &reply)
    }

    fn sabotage(&mut self, mut command: Command) -> Command {
        let Some(job) = self.state.job(command.job()) else { return command };
        let cursor = job.cursor();
        match (self.bug, &mut command) {
            (Bug::CursorUnchecked, Command::Claim { after, .. }) => *after = cursor,
            (Bug::MissMiscounts, Command::Miss { count, .. }) if *count > 1 => *count -= 1,
            (Bug::TokenUnchecked, Command::Finish { tick, token, .. }) => {
                *token = job.firing(*tick).and_then(|f| f.token).unwrap_or(*token);
            }
            (Bug::ChangeDropsDueTicks, Command::Define { seen, .. }) => *seen = Some(job.seen()),
            (
                Bug::PauseDropsDueTicks,
                Command::Pause { seen, .. } | Command::Resume { seen, .. },
            )
            | (Bug::DeletesEarly, Command::Delete { seen, .. }) => *seen = job.seen(),
            _ => {}
        }
        command
    }

    /// The faults stop: with an attentive leader and healthy workers every tick gets its outcome.
    fn settle(&mut self) -> Result<(), String> {
        self.proposed.clear();
        (1..=3).for_each(|node| self.workers.join(NodeId(node)));
        self.change_leader();
        for _ in 0..2_000 {
            let now = self.now();
            self.lead();
            self.resume_all(now);
            let open: Vec<(NodeId, Run)> =
                self.state.open_ticks().filter_map(|(job, firing)| job.run(firing.id())).collect();
            self.runs = open;
            let retrying = self.state.open_ticks().any(|(_, firing)| firing.is_retrying());
            if self.proposed.is_empty() && self.runs.is_empty() && !retrying {
                return self.check_settled(now);
            }
            // Pauses between attempts pass.
            self.now_ms += if retrying { 50 } else { 0 };
            for command in std::mem::take(&mut self.proposed) {
                self.commit(command)?;
            }
            for (worker, run) in std::mem::take(&mut self.runs) {
                let (tick, token) = (run.tick, run.token);
                let (result, started, finished) = (RunResult::Ran, now, now);
                let job = run.job;
                self.commit(Command::Finish {
                    job,
                    tick,
                    token,
                    worker,
                    result,
                    started,
                    finished,
                    kept: None,
                })?;
            }
        }
        Err("work remains although nothing fails any more".to_owned())
    }

    fn resume_all(&mut self, at: Timestamp) {
        let paused = self.state.jobs().filter(|job| job.paused().is_some());
        let paused: Vec<JobName> = paused.map(|job| job.spec().name.clone()).collect();
        for job in paused {
            match self.leader.planner.settle(&self.state, &job, at, &mut self.workers) {
                Ok(Some(seen)) => self.proposed.push(Command::Resume { job, at, seen }),
                Ok(None) => {}
                Err(unsettled) => self.proposed.extend(first(unsettled)),
            }
        }
    }

    fn check_settled(&self, now: Timestamp) -> Result<(), String> {
        // What the agenda lacks, a new leader's has.
        if self.leader.planner.next_due() != Planner::new(&self.state).next_due() {
            return Err("the agenda is not that of the state".to_owned());
        }
        if self.leader.planner.next_due().is_some_and(|due| due <= now) {
            return Err("the agenda is not empty".to_owned());
        }
        if self.state != self.replica {
            return Err("the replicas differ".to_owned());
        }
        let bytes = codec::encode(&self.state).map_err(|e| e.to_string())?;
        let copy: SchedulerState = codec::decode(&bytes).map_err(|e| e.to_string())?;
        if copy != self.state {
            return Err("the snapshot differs from the state".to_owned());
        }
        self.oracle.check_closed(&self.state)
    }
}

/// What is to be applied before a change.
fn first(unsettled: Unsettled) -> Vec<Command> {
    match unsettled {
        Unsettled::Due(commands) => commands,
        Unsettled::Unknown(why) => panic!("{why}"),
    }
}

fn simulate(seed: u64, bug: Bug) -> Result<World, String> {
    let mut world = World::new(seed, bug);
    (0..300).try_for_each(|_| world.step())?;
    world.settle()?;
    Ok(world)
}

#[test]
fn every_due_tick_has_one_claim_and_one_outcome_on_every_seed() {
    // More by hand: CLUSTRON_SEEDS=5000 cargo test -p clustron-scheduler every_due_tick
    let seeds = std::env::var("CLUSTRON_SEEDS").map_or(320, |seeds| seeds.parse().unwrap());
    let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in 0..seeds {
        let world = simulate(seed, Bug::None).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        for job in world.state.jobs() {
            let c = job.counters();
            for (what, count) in [
                ("ran", c.ran),
                ("failed", c.failed),
                ("skipped", c.skipped),
                ("missed", c.missed),
                ("cancelled", c.cancelled),
                ("late results", c.late_results),
                ("repeated attempts", c.attempts.saturating_sub(c.ran + c.failed)),
            ] {
                *seen.entry(what).or_default() += count;
            }
        }
        for (what, count) in world.oracle.replies() {
            *seen.entry(what).or_default() += count;
        }
    }
    // A simulation that never meets a case proves nothing about it.
    println!("{seen:?}");
    assert!(
        seen.len() >= 27
            && seen.iter().all(|(what, count)| *count > 10 || *what == "rejected otherwise"),
        "{seen:?}"
    );
}

/// A job was deleted and came again, the clock went back, and an attempt of the first told its end
/// when the second had a tick of the same instant.
#[test]
fn a_result_of_a_job_that_was_deleted_is_not_taken_for_a_defect() {
    assert!(simulate(5_960, Bug::None).is_ok());
}

#[test]
fn the_same_seed_gives_the_same_state() {
    let (one, two) = (simulate(7, Bug::None).unwrap(), simulate(7, Bug::None).unwrap());
    assert_eq!(codec::encode(&one.state).unwrap(), codec::encode(&two.state).unwrap());
}

#[test]
fn the_oracle_sees_each_deliberate_defect() {
    for bug in [
        Bug::CursorStays,
        Bug::CursorUnchecked,
        Bug::MissMiscounts,
        Bug::TokenUnchecked,
        Bug::ChangeDropsDueTicks,
        Bug::PauseDropsDueTicks,
        Bug::DeletesEarly,
    ] {
        let caught = (0..60).filter(|seed| simulate(*seed, bug).is_err()).count();
        assert!(caught >= 10, "{bug:?} was seen in {caught} of 60 seeds");
    }
}
