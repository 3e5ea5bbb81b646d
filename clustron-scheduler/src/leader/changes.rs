//! What the leader is asked to change: each change is made upon a job whose due ticks are taken.

use clustron_core::{Outcome, ProposeError, Timestamp};
use tokio::sync::mpsc;

use super::{Leader, Lost};
use crate::ask::{Answer, Ask, Asked, BACKFILL_MAX, Expected, Refused};
use crate::job::{JobName, JobSpec, OPEN_TICKS_MAX};
use crate::job_state::Job;
use crate::message::{Command, Rejection, Reply, Seen};
use crate::planner::Unsettled;
use crate::schedule::NoTick;

/// How many new jobs are taken into the log together.
const TOGETHER_MAX: usize = 256;

impl Leader {
    /// Answers a question and those that wait behind it. New jobs, which may be many, go into the
    /// log together.
    pub(super) async fn answer(
        &mut self,
        first: Asked,
        asked: &mut mpsc::Receiver<Asked>,
    ) -> Result<(), Lost> {
        let mut next = Some(first);
        while let Some((ask, answer)) = next.take() {
            if !self.is_new(&ask) {
                let answered = self.answer_one(ask).await?;
                // Whoever asked may have given up.
                let _ = answer.send(answered);
                return Ok(());
            }
            let mut new = vec![(ask, answer)];
            while new.len() < TOGETHER_MAX
                && let Ok(asked) = asked.try_recv()
            {
                // The same name twice is a change of the first.
                let another = new.iter().all(|(other, _)| other.job() != asked.0.job());
                if !another || !self.is_new(&asked.0) {
                    next = Some(asked);
                    break;
                }
                new.push(asked);
            }
            let at = self.now();
            let (asks, answers): (Vec<Ask>, Vec<_>) = new.into_iter().unzip();
            let specs = asks.into_iter().filter_map(|ask| match ask {
                Ask::Put { spec, .. } => Some(spec),
                _ => None,
            });
            let commands = specs.map(|spec| Command::Define { spec, at, seen: None }).collect();
            let replies = self.propose_each(commands).await;
            for (answer, (_, reply)) in answers.into_iter().zip(replies) {
                let _ = answer.send(answer_to(reply));
            }
        }
        Ok(())
    }

    /// Whether it asks for a job that is not there yet.
    fn is_new(&self, ask: &Ask) -> bool {
        let Ask::Put { spec, expected } = ask else { return false };
        !matches!(expected, Expected::Generation(_))
            && !self.jobs.specs.contains_key(&spec.name)
            && self.state.read_local(|state| state.job(&spec.name).is_none())
    }

    async fn answer_one(&mut self, ask: Ask) -> Result<Answer, Lost> {
        let in_code = self.jobs.specs.contains_key(ask.job());
        let job = ask.job().clone();
        let there = |job: Option<&Job>| job.map(drop).ok_or(Refused::UnknownJob);
        let changed = match ask {
            Ask::Put { .. } | Ask::Delete { .. } if in_code => Ok(Err(Refused::InCode)),
            Ask::Put { spec, expected } => {
                let as_expected = |job: Option<&Job>| {
                    let current = job.map(Job::generation);
                    match expected {
                        Expected::Nothing if current.is_none() => Ok(()),
                        Expected::Generation(wanted) if current == Some(wanted) => Ok(()),
                        Expected::Any => Ok(()),
                        // What was put before and is asked for again is there.
                        _ if job.is_some_and(|job| *job.spec() == spec) => Ok(()),
                        _ => Err(Refused::NotAsExpected { current }),
                    }
                };
                let define = |at, seen| Command::Define { spec: spec.clone(), at, seen };
                self.change(&job, as_expected, define).await
            }
            Ask::Delete { .. } => {
                let delete = |_, seen: Option<Seen>| Command::Delete {
                    job: job.clone(),
                    seen: seen.unwrap_or(NOWHERE),
                    if_idle: false,
                };
                // What its schedule cannot say is not wanted any more.
                self.change_if(&job, there, delete, |_| Ok(())).await
            }
            Ask::Pause { note, .. } => {
                let pause = |at, seen: Option<Seen>| Command::Pause {
                    job: job.clone(),
                    at,
                    seen: seen.unwrap_or(NOWHERE),
                    note: note.clone(),
                };
                self.change(&job, there, pause).await
            }
            Ask::Resume { .. } => {
                let resume = |at, seen: Option<Seen>| Command::Resume {
                    job: job.clone(),
                    at,
                    seen: seen.unwrap_or(NOWHERE),
                };
                self.change(&job, there, resume).await
            }
            Ask::Trigger { .. } => {
                let now = self.now();
                return self.add_ticks(&job, vec![now]).await;
            }
            Ask::Backfill { from, to, .. } => {
                return match self.instants(&job, from, to) {
                    Ok(instants) => self.add_ticks(&job, instants).await,
                    Err(why) => Ok(Answer::Refused(why)),
                };
            }
        };
        let unchanged = self.state.read_local(|state| state.job(&job).map(Job::generation));
        Ok(match changed? {
            Ok(Reply::Defined { generation, changed }) => Answer::Done { generation, changed },
            Ok(_) => Answer::Done { generation: unchanged.unwrap_or(0), changed: true },
            Err(why) => Answer::Refused(why),
        })
    }

    /// Tells the cluster of a job in the code.
    pub(super) async fn define(&mut self, spec: &JobSpec) -> Result<Result<Reply, Refused>, Lost> {
        let known =
            |state: &crate::SchedulerState| state.job(&spec.name).is_some_and(|j| j.spec() == spec);
        if self.state.read_local(known) {
            return Ok(Ok(Reply::Changed));
        }
        let define = |at, seen| Command::Define { spec: spec.clone(), at, seen };
        self.change(&spec.name, |_| Ok(()), define).await
    }

    /// Changes a job once all its ticks until now are taken, if it is as it should be then.
    async fn change(
        &mut self,
        name: &JobName,
        check: impl Fn(Option<&Job>) -> Result<(), Refused>,
        command: impl Fn(Timestamp, Option<Seen>) -> Command,
    ) -> Result<Result<Reply, Refused>, Lost> {
        self.change_if(name, check, command, |why| Err(Refused::NotKnown(why.to_string()))).await
    }

    async fn change_if(
        &mut self,
        name: &JobName,
        check: impl Fn(Option<&Job>) -> Result<(), Refused>,
        command: impl Fn(Timestamp, Option<Seen>) -> Command,
        not_known: impl Fn(NoTick) -> Result<(), Refused>,
    ) -> Result<Result<Reply, Refused>, Lost> {
        loop {
            let at = self.now();
            let seen = loop {
                if let Err(why) = self.state.read_local(|state| check(state.job(name))) {
                    return Ok(Err(why));
                }
                self.follow_view();
                let (planner, workers) = (&self.planner, &mut self.workers);
                match self.state.read_local(|s| planner.settle(s, name, at, workers)) {
                    Ok(seen) => break seen,
                    Err(Unsettled::Due(commands)) => self.propose_all(commands).await?,
                    Err(Unsettled::Unknown(why)) => match not_known(why) {
                        Ok(()) => break self.state.read_local(|s| s.job(name).map(Job::seen)),
                        Err(why) => return Ok(Err(why)),
                    },
                }
            };
            let replies = self.propose_each(vec![command(at, seen)]).await;
            for (_, reply) in replies {
                if let Err(error @ ProposeError::TooLarge { .. }) = &reply {
                    return Ok(Err(Refused::too_large(error)));
                }
                match reply? {
                    // Somebody's command came in between: once more.
                    Reply::Rejected(
                        Rejection::CursorMoved { .. }
                        | Rejection::StaleGeneration { .. }
                        | Rejection::UnknownJob,
                    ) => {}
                    Reply::Rejected(why) => return Ok(Err(Refused::Rejected(why))),
                    reply => return Ok(Ok(reply)),
                }
            }
        }
    }

    /// Adds ticks of a job for these instants.
    async fn add_ticks(
        &mut self,
        name: &JobName,
        instants: Vec<Timestamp>,
    ) -> Result<Answer, Lost> {
        let at = self.now();
        self.follow_view();
        let workers = &mut self.workers;
        let commands = self.state.read_local(|state| {
            let job = state.job(name)?;
            let (open, most) = (job.open().len(), OPEN_TICKS_MAX as usize);
            if open + instants.len() > most {
                let open = u32::try_from(open).unwrap_or(OPEN_TICKS_MAX);
                return Some(Err(Refused::Rejected(Rejection::TooManyOpen { open })));
            }
            workers.refresh(state.running());
            let room = job.spec().overlap.at_once().saturating_sub(job.open().len());
            let ask = |(n, scheduled)| {
                let worker = if n < room { workers.pick_for(job, None) } else { None };
                Command::Ask { job: name.clone(), scheduled, at, worker }
            };
            Some(Ok(instants.into_iter().enumerate().map(ask).collect::<Vec<_>>()))
        });
        let commands = match commands {
            None => return Ok(Answer::Refused(Refused::UnknownJob)),
            Some(Err(why)) => return Ok(Answer::Refused(why)),
            Some(Ok(commands)) => commands,
        };
        let replies = self.propose_each(commands).await;
        Ok(asked(replies.into_iter().map(|(_, reply)| reply)))
    }

    /// What a job's schedule names from `from` to `to`.
    fn instants(
        &self,
        name: &JobName,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<Timestamp>, Refused> {
        let before = Timestamp::from_unix_ms(from.unix_ms().saturating_sub(1));
        let instants = self.state.read_local(|state| {
            let schedule = &state.job(name)?.spec().schedule;
            let after = |at: &Timestamp| schedule.next_after(*at);
            let all = std::iter::successors(after(&before), after);
            Some(all.take_while(|at| *at <= to).take(BACKFILL_MAX + 1).collect::<Vec<_>>())
        });
        match instants {
            None => Err(Refused::UnknownJob),
            Some(instants) if instants.is_empty() => Err(Refused::NoTicks),
            Some(instants) if instants.len() > BACKFILL_MAX => {
                Err(Refused::TooManyTicks { max: BACKFILL_MAX })
            }
            Some(instants) => Ok(instants),
        }
    }
}

/// Of a job that is not there, which is checked first and refused again where it is applied.
const NOWHERE: Seen = Seen { generation: 0, cursor: Timestamp::from_unix_ms(0) };

/// What somebody is told whose command alone was the change.
fn answer_to(reply: Result<Reply, ProposeError>) -> Answer {
    match reply {
        Ok(Reply::Defined { generation, changed }) => Answer::Done { generation, changed },
        // It came about meanwhile, so this is a change now.
        Ok(Reply::Rejected(Rejection::StaleGeneration { .. } | Rejection::CursorMoved { .. })) => {
            Answer::NotNow
        }
        Ok(Reply::Rejected(why)) => Answer::Refused(Refused::Rejected(why)),
        Err(error @ ProposeError::TooLarge { .. }) => Answer::Refused(Refused::too_large(&error)),
        Err(error) if error.outcome() == Outcome::NotApplied => Answer::NotNow,
        Ok(_) | Err(_) => Answer::Unknown,
    }
}

/// What somebody is told who asked for ticks, one command each. Only if none of them was added,
/// nor ever will be, it is as if nothing had been asked.
fn asked(replies: impl Iterator<Item = Result<Reply, ProposeError>>) -> Answer {
    let (mut ticks, mut refused, mut unknown) = (vec![], None, false);
    for reply in replies {
        match reply {
            Ok(Reply::Asked { tick, .. }) => ticks.push(tick),
            reply => match answer_to(reply) {
                Answer::Unknown => unknown = true,
                other => refused = Some(other),
            },
        }
    }
    match refused {
        _ if unknown => Answer::Unknown,
        None => Answer::Asked { ticks },
        Some(refused) if ticks.is_empty() => refused,
        Some(refused) => {
            tracing::warn!(
                added = ticks.len(),
                ?refused,
                "some of the ticks asked for are not added"
            );
            Answer::Unknown
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Start, TickId};

    #[test]
    fn a_backfill_is_as_nothing_only_if_no_tick_of_it_is_or_may_be_added() {
        let tick = TickId::from(Timestamp::from_unix_ms(7));
        let added = || Ok(Reply::Asked { tick, start: Start::Waiting });
        let full = || Ok(Reply::Rejected(Rejection::TooManyOpen { open: OPEN_TICKS_MAX }));
        let not_taken = || Err(ProposeError::NotRunning);
        let in_doubt = || Err(ProposeError::Unconfirmed(String::new()));
        let told = |replies: Vec<Result<Reply, ProposeError>>| asked(replies.into_iter());
        assert_eq!(told(vec![added(), added()]), Answer::Asked { ticks: vec![tick, tick] });
        assert_eq!(told(vec![not_taken(), not_taken()]), Answer::NotNow);
        assert!(matches!(told(vec![full(), full()]), Answer::Refused(_)));
        // Whichever comes first.
        assert_eq!(told(vec![not_taken(), added()]), Answer::Unknown);
        assert_eq!(told(vec![full(), added()]), Answer::Unknown);
        assert_eq!(told(vec![added(), full()]), Answer::Unknown);
        assert_eq!(told(vec![full(), in_doubt()]), Answer::Unknown);
        assert_eq!(told(vec![in_doubt(), not_taken()]), Answer::Unknown);
    }
}
