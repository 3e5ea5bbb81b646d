//! The replicated state machine: all jobs, changed by one [`Command`] at a time.

use std::collections::BTreeMap;
use std::ops::Bound;

use clustron_core::{Epoch, NodeId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::firing::{Firing, LateResult};
use crate::job::{JobName, JobSpec};
use crate::job_state::Job;
use crate::message::{Command, Rejection, Reply, Seen};
use crate::recent::Recent;
use crate::tick::TickId;

/// The most jobs that may be defined.
pub const JOBS_MAX: usize = 2_000_000;

/// How much all histories together may take in a snapshot, in bytes: half of what one decoded
/// value may. The job that grows beyond it forgets its oldest closed ticks early.
pub const HISTORY_BYTES_MAX: u64 = 16 << 20;

/// How much all jobs together may take in a snapshot without their ticks, in bytes. What attempts
/// leave for the next may go beyond it, by 4 KiB for each job.
pub const JOB_BYTES_MAX: u64 = 512 << 20;

/// Every job of the cluster. Serialised as a whole it is the snapshot.
///
/// Applying is deterministic: time comes in the command, order from the log. Two replicas that
/// applied the same entries are equal. It never panics, whatever the command says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchedulerState {
    #[serde(with = "by_name")]
    jobs: BTreeMap<JobName, Box<Job>>,
    /// How many attempts each node runs, so that placement need not look at every job.
    running: BTreeMap<NodeId, u32>,
    /// The weight of all histories.
    history_bytes: u64,
    /// What all jobs take without their ticks.
    job_bytes: u64,
    #[serde(skip)]
    recent: Recent,
}

impl SchedulerState {
    /// Applies one committed command.
    ///
    /// `token` becomes the fencing token of what it grants, and the generation of a job that it
    /// changes; it must rise from call to call. `epoch` is the leader's epoch as of this entry.
    pub fn apply(&mut self, token: u64, epoch: Epoch, command: Command) -> Reply {
        self.recent.push(command.job());
        let applied = match command {
            Command::Define { spec, at, seen } => self.define(token, spec, at, seen),
            Command::Claim { job, generation, after, scheduled, at, worker } => {
                let firing = Firing::claimed(scheduled, generation, token, epoch, at);
                self.change(&job, scheduled.into(), |job| job.claim(firing, after, worker))
            }
            Command::Miss { job, generation, after, from, to, count, reason, at } => {
                let firing = Firing::claimed(from, generation, token, epoch, at);
                self.change(&job, from.into(), |job| job.miss(firing, after, to, count, reason))
            }
            Command::Assign { job, tick, after, worker, at: _, why } => {
                self.change(&job, tick, |job| job.assign(tick, after, worker, (token, epoch), why))
            }
            Command::Finish { job, tick, token, worker, result, started, finished, kept } => {
                let result = LateResult { token, worker, result, started, finished };
                self.change(&job, tick, |job| job.finish(tick, result, kept))
            }
            Command::Pause { job, at, seen, note } => {
                self.change_job(&job, |job| job.pause(at, seen, note))
            }
            Command::Resume { job, at, seen } => self.change_job(&job, |job| job.resume(at, seen)),
            Command::Ask { job, scheduled, at, worker } => {
                let firing = Firing::claimed(scheduled, 0, token, epoch, at);
                let tick = TickId { scheduled, asked: Some(firing.claim_token) };
                self.change(&job, tick, |job| job.ask(firing, worker))
            }
            Command::Delete { job, seen, if_idle } => self.delete(&job, seen, if_idle),
        };
        applied.unwrap_or_else(Reply::Rejected)
    }

    /// All jobs, in the order of their names.
    pub fn jobs(&self) -> impl ExactSizeIterator<Item = &Job> {
        self.jobs.values().map(Box::as_ref)
    }

    /// The jobs whose names come after this one, in their order.
    pub(crate) fn jobs_after(&self, name: Option<&JobName>) -> impl Iterator<Item = &Job> {
        let after = name.map_or(Bound::Unbounded, Bound::Excluded);
        self.jobs.range((after, Bound::Unbounded)).map(|(_, job)| job.as_ref())
    }

    /// One job.
    pub fn job(&self, name: &JobName) -> Option<&Job> {
        self.jobs.get(name).map(Box::as_ref)
    }

    /// The last changes of this copy.
    pub(crate) fn recent(&self) -> &Recent {
        &self.recent
    }

    /// Every tick that waits or runs, with its job. Looks at every job.
    pub fn open_ticks(&self) -> impl Iterator<Item = (&Job, &Firing)> {
        self.jobs().flat_map(|job| job.open().map(move |firing| (job, firing)))
    }

    /// How many attempts each node runs; nodes that run none are absent.
    pub fn running(&self) -> &BTreeMap<NodeId, u32> {
        &self.running
    }

    fn define(
        &mut self,
        token: u64,
        spec: JobSpec,
        at: Timestamp,
        seen: Option<Seen>,
    ) -> Result<Reply, Rejection> {
        spec.check().map_err(|error| Rejection::InvalidSpec { reason: error.to_string() })?;
        let jobs = self.jobs.len();
        let old = self.jobs.get(&spec.name);
        let old_bytes = old.map_or(0, |job| job.spec().bytes());
        let bytes = self.job_bytes.saturating_sub(old_bytes) + spec.bytes();
        // A job may always become smaller, or stay as it is.
        if bytes > JOB_BYTES_MAX && spec.bytes() > old_bytes {
            return Err(Rejection::TooManyBytes { bytes, max: JOB_BYTES_MAX });
        }
        match self.jobs.get_mut(&spec.name) {
            Some(job) if *job.spec() == spec => {
                return Ok(Reply::Defined { generation: job.generation(), changed: false });
            }
            Some(job) => {
                let (before, before_bytes) = (job.history_bytes(), job.bytes());
                job.redefine(spec, token, at, seen)?;
                let freed = before.saturating_sub(job.history_bytes());
                self.history_bytes = self.history_bytes.saturating_sub(freed);
                self.job_bytes = self.job_bytes.saturating_sub(before_bytes) + job.bytes();
            }
            None if jobs >= JOBS_MAX => return Err(Rejection::TooManyJobs { max: JOBS_MAX }),
            None if seen.is_some() => return Err(Rejection::UnknownJob),
            None => {
                self.job_bytes = bytes;
                self.jobs.insert(spec.name.clone(), Box::new(Job::new(spec, token, at)));
            }
        }
        Ok(Reply::Defined { generation: token, changed: true })
    }

    fn delete(&mut self, name: &JobName, seen: Seen, if_idle: bool) -> Result<Reply, Rejection> {
        let job = self.jobs.get(name).ok_or(Rejection::UnknownJob)?;
        job.check_seen(seen)?;
        if if_idle && (job.open().len() > 0 || job.paused().is_some()) {
            return Err(Rejection::NotIdle);
        }
        let gone = self.jobs.remove(name).ok_or(Rejection::UnknownJob)?;
        self.history_bytes = self.history_bytes.saturating_sub(gone.history_bytes());
        self.job_bytes = self.job_bytes.saturating_sub(gone.bytes());
        for worker in gone.open().filter_map(|firing| firing.worker) {
            self.one_less(worker);
        }
        Ok(Reply::Deleted)
    }

    fn change_job(
        &mut self,
        name: &JobName,
        change: impl FnOnce(&mut Job) -> Result<Reply, Rejection>,
    ) -> Result<Reply, Rejection> {
        change(self.jobs.get_mut(name).ok_or(Rejection::UnknownJob)?)
    }

    fn one_less(&mut self, worker: NodeId) {
        if let Some(count) = self.running.get_mut(&worker) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.running.remove(&worker);
            }
        }
    }

    /// Changes one tick of a job and keeps what is counted over all jobs in step.
    fn change(
        &mut self,
        name: &JobName,
        tick: TickId,
        change: impl FnOnce(&mut Job) -> Result<Reply, Rejection>,
    ) -> Result<Reply, Rejection> {
        let job = self.jobs.get_mut(name).ok_or(Rejection::UnknownJob)?;
        let (before, bytes) = (job.runs_on(tick), job.bytes());
        let others_bytes = self.history_bytes.saturating_sub(job.history_bytes());
        let reply = change(job);
        let now = job.runs_on(tick);
        let excess = (others_bytes + job.history_bytes()).saturating_sub(HISTORY_BYTES_MAX);
        job.shed_history(excess);
        self.history_bytes = others_bytes + job.history_bytes();
        self.job_bytes = self.job_bytes.saturating_sub(bytes) + job.bytes();
        if let Some(worker) = now.filter(|_| now != before) {
            *self.running.entry(worker).or_default() += 1;
        }
        if let Some(worker) = before.filter(|_| now != before) {
            self.one_less(worker);
        }
        reply
    }
}

/// Each job travels once, with its name, which it shares with the map.
mod by_name {
    use std::collections::BTreeMap;
    use std::fmt;

    use serde::de::{SeqAccess, Visitor};
    use serde::{Deserializer, Serializer};

    use super::{Job, JobName};

    type Jobs = BTreeMap<JobName, Box<Job>>;

    pub(super) fn serialize<S: Serializer>(jobs: &Jobs, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(jobs.values())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Jobs, D::Error> {
        struct Each;

        impl<'de> Visitor<'de> for Each {
            type Value = Jobs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("jobs")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Jobs, A::Error> {
                let mut jobs = Jobs::new();
                while let Some(job) = seq.next_element::<Box<Job>>()? {
                    jobs.insert(job.spec().name.clone(), job);
                }
                Ok(jobs)
            }
        }

        from.deserialize_seq(Each)
    }
}

#[cfg(test)]
impl SchedulerState {
    pub(crate) fn job_mut(&mut self, name: &JobName) -> Option<&mut Job> {
        self.jobs.get_mut(name).map(Box::as_mut)
    }
}

#[cfg(test)]
mod tests;
