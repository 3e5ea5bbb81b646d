//! The scheduler's work on the leader: claims what is due, sends the orders, moves what is stuck.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use clustron_core::{
    Clock, ClusterHandle, Leadership, NodeId, Outcome, ProposeError, Replicated, Timestamp,
};
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc;

use crate::job::{JobName, JobSpec};
use crate::message::{Command, Rejection, Reply, Run, RunReply, Start};
use crate::metrics::SchedulerMetrics;
use crate::planner::Planner;
use crate::scheduler::Jobs;
use crate::state::SchedulerState;
use crate::workers::Workers;

/// How long one proposal may take. The leader does not wait longer for one that a failing majority
/// holds up: it plans anew, and the state refuses what was done twice.
const PROPOSE_DEADLINE: Duration = Duration::from_secs(2);

/// How long a worker may take to confirm an order.
const ORDER_DEADLINE: Duration = Duration::from_secs(2);

/// How long to wait before an order without an answer is sent again.
const ORDER_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// How long a worker that could not be reached, or was full, gets no more of a job.
const EXCLUDED_FOR: Duration = Duration::from_secs(1);

/// The leader looks at the clock this often at least, since it may be set.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Orders whose fate the leader has not heard yet; beyond it, orders wait.
const ORDERS: usize = 1024;

/// What became of an order that was not taken.
struct NotTaken {
    job: JobName,
    worker: NodeId,
    /// The worker will not take this job while it runs, rather than not now.
    for_good: bool,
}

/// An attempt to run, and who is to run it.
type Order = (NodeId, Run);

/// One epoch of leading. Everything in it is made anew by the next leader from the state.
pub(crate) struct Leader {
    cluster: ClusterHandle,
    state: Replicated<SchedulerState>,
    clock: Arc<dyn Clock>,
    leadership: Leadership,
    planner: Planner,
    workers: Workers,
    orders: mpsc::Sender<Order>,
    metrics: Arc<SchedulerMetrics>,
}

/// The node does not lead any more, or cannot get anything committed.
struct Lost;

impl Leader {
    /// Serves whenever this node leads.
    pub(crate) fn start(
        cluster: &ClusterHandle,
        jobs: Arc<Jobs>,
        state: Replicated<SchedulerState>,
        running_max: NonZeroU32,
        metrics: Arc<SchedulerMetrics>,
    ) {
        let handle = cluster.clone();
        cluster.lead("scheduler: leader", move |leadership| {
            let (jobs, cluster) = (jobs.clone(), handle.clone());
            let (state, metrics) = (state.clone(), metrics.clone());
            async move {
                // A majority that comes and goes makes single steps fail; the epoch goes on.
                while !leadership.is_cancelled() {
                    let (orders, orders_rx) = mpsc::channel(ORDERS);
                    let leader = Self {
                        clock: cluster.clock(),
                        planner: state.read(Planner::new),
                        workers: Workers::new(running_max),
                        cluster: cluster.clone(),
                        state: state.clone(),
                        leadership: leadership.clone(),
                        orders,
                        metrics: metrics.clone(),
                    };
                    tokio::select! {
                        biased;
                        () = leadership.cancelled() => return,
                        _lost = leader.serve(&jobs, orders_rx) => {
                            tokio::time::sleep(ORDER_AGAIN_AFTER).await;
                        }
                    }
                }
            }
        });
    }

    async fn serve(mut self, jobs: &Jobs, orders: mpsc::Receiver<Order>) -> Lost {
        let (news_tx, news) = mpsc::channel(ORDERS);
        let dispatcher = Dispatcher {
            cluster: self.cluster.clone(),
            state: self.state.clone(),
            news: news_tx,
            metrics: self.metrics.clone(),
        };
        let planning = async {
            for (spec, _) in jobs.values() {
                if let Err(lost) = self.define(spec).await {
                    return lost;
                }
            }
            self.resend().await;
            self.plan(news).await
        };
        tokio::select! {
            lost = planning => lost,
            () = dispatcher.run(orders) => Lost,
        }
    }

    /// Tells the cluster of a job in the code. Ticks of an older definition are taken first.
    async fn define(&mut self, spec: &JobSpec) -> Result<(), Lost> {
        loop {
            let at = self.clock.now();
            while !self.planner.is_settled(&spec.name, at) {
                self.follow_view();
                let commands = self.state.read(|s| self.planner.due(s, at, &mut self.workers));
                self.propose_all(commands).await?;
            }
            match self.propose(Command::Define { spec: spec.clone(), at }).await? {
                Reply::Rejected(Rejection::TicksDue { .. }) => {}
                Reply::Rejected(why) => {
                    tracing::error!(job = %spec.name, %why, "a job cannot be defined");
                    return Ok(());
                }
                _ => return Ok(()),
            }
        }
    }

    /// Sends every running attempt's order once more: the leader before may have claimed the tick
    /// and never have come to send it. A worker that has it already says so.
    async fn resend(&self) {
        let running = self.state.read(|state| {
            let open = state.open_ticks();
            open.filter_map(|(job, firing)| job.run(firing.scheduled)).collect::<Vec<_>>()
        });
        for (worker, run) in running {
            self.order(worker, run).await;
        }
    }

    async fn plan(&mut self, mut news: mpsc::Receiver<NotTaken>) -> Lost {
        let mut changes = self.state.applied();
        let mut status = self.cluster.watch();
        let mut readmit = FuturesUnordered::new();
        loop {
            changes.mark_unchanged();
            status.mark_unchanged();
            self.follow_view();
            self.state.read(|state| self.planner.note_open(state));
            let now = self.clock.now();
            let mut commands = self.state.read(|s| self.planner.due(s, now, &mut self.workers));
            let due = !commands.is_empty();
            if !due {
                commands = self.state.read(|s| self.planner.repairs(s, &mut self.workers, now));
            }
            let proposed = !commands.is_empty();
            if self.propose_all(commands).await.is_err() {
                return Lost;
            }
            if proposed {
                continue;
            }
            tokio::select! {
                biased;
                () = self.leadership.cancelled() => return Lost,
                Some(not_taken) = news.recv() => {
                    self.workers.exclude(&not_taken.job, not_taken.worker);
                    if !not_taken.for_good {
                        readmit.push(async move {
                            tokio::time::sleep(EXCLUDED_FOR).await;
                            not_taken.worker
                        });
                    }
                }
                Some(worker) = readmit.next() => self.workers.readmit_node(worker),
                Ok(()) = changes.changed() => {}
                Ok(()) = status.changed() => {}
                () = tokio::time::sleep(self.until_due(now)) => {}
            }
        }
    }

    fn until_due(&self, now: Timestamp) -> Duration {
        let next = self.planner.next_due();
        next.map_or(LOOK_EVERY, |next| next.saturating_since(now)).min(LOOK_EVERY)
    }

    /// Takes over who is there to run attempts: the members of the view.
    fn follow_view(&mut self) {
        let view = self.cluster.view();
        let gone: Vec<NodeId> =
            self.workers.iter().map(|(id, _)| id).filter(|id| !view.is_alive(*id)).collect();
        for id in gone {
            self.workers.leave(id);
        }
        for node in view.alive().filter(|node| node.is_member()) {
            self.workers.join(node.id);
        }
    }

    /// Proposes commands in order, all under way at once, and orders what they grant.
    async fn propose_all(&mut self, commands: Vec<Command>) -> Result<(), Lost> {
        let proposals = commands.into_iter().map(|command| {
            let (state, epoch) = (self.state.clone(), self.leadership.epoch());
            async move {
                let reply = state.propose_as_leader(epoch, &command, PROPOSE_DEADLINE).await;
                (command, reply)
            }
        });
        let proposed = futures::future::join_all(proposals).await;
        // Whatever the answers were, the plan is brought up to date with what was applied.
        for (command, _) in &proposed {
            self.state.read(|state| self.planner.note_job(state, command.job()));
        }
        for (command, reply) in proposed {
            self.follow(&command, reply?).await;
        }
        Ok(())
    }

    async fn propose(&mut self, command: Command) -> Result<Reply, Lost> {
        let epoch = self.leadership.epoch();
        let reply = self.state.propose_as_leader(epoch, &command, PROPOSE_DEADLINE).await;
        self.state.read(|state| self.planner.note_job(state, command.job()));
        Ok(reply?)
    }

    /// Acts on what a command was answered.
    async fn follow(&self, command: &Command, reply: Reply) {
        let scheduled = match (command, &reply) {
            (Command::Claim { scheduled, .. }, Reply::Claimed { start, .. }) => {
                self.metrics.claims.inc();
                match start {
                    Start::Running { .. } => *scheduled,
                    Start::Waiting | Start::Skipped { .. } => return,
                }
            }
            (Command::Assign { scheduled, .. }, Reply::Assigned { attempt, .. }) => {
                if *attempt > 1 {
                    self.metrics.reassignments.inc();
                }
                *scheduled
            }
            (_, Reply::Rejected(why)) => {
                tracing::debug!(job = %command.job(), %why, "planned on an older state");
                return;
            }
            _ => return,
        };
        let order = self.state.read(|s| s.job(command.job()).and_then(|job| job.run(scheduled)));
        if let Some((worker, run)) = order {
            self.order(worker, run).await;
        }
    }

    async fn order(&self, worker: NodeId, run: Run) {
        // The dispatcher ends only together with this planner.
        let _ = self.orders.send((worker, run)).await;
    }
}

impl From<ProposeError> for Lost {
    fn from(error: ProposeError) -> Self {
        tracing::warn!(%error, "the scheduler's leader cannot get on");
        Lost
    }
}

/// Delivers orders, each until it is certain what became of it.
#[derive(Clone)]
struct Dispatcher {
    cluster: ClusterHandle,
    state: Replicated<SchedulerState>,
    news: mpsc::Sender<NotTaken>,
    metrics: Arc<SchedulerMetrics>,
}

impl Dispatcher {
    async fn run(self, mut orders: mpsc::Receiver<Order>) {
        let mut under_way = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                Some(()) = under_way.next() => {}
                order = orders.recv(), if under_way.len() < ORDERS => match order {
                    Some((worker, run)) => under_way.push(self.deliver(worker, run)),
                    None => return,
                },
            }
        }
    }

    async fn deliver(&self, worker: NodeId, run: Run) {
        let for_good = loop {
            let asked = self.cluster.request(worker, &run, ORDER_DEADLINE).await;
            match asked {
                Ok(RunReply::Accepted | RunReply::AlreadyRunning | RunReply::AlreadyFinished) => {
                    return;
                }
                Ok(RunReply::NoHandler) => break true,
                Ok(RunReply::Busy) => break false,
                Err(error) => {
                    self.metrics.orders_undelivered.inc();
                    tracing::debug!(%worker, job = %run.job, %error, "an order was not confirmed");
                    if error.outcome() == Outcome::NotApplied {
                        break false;
                    }
                }
            }
            // It may have been taken. Ask again, unless the attempt has been replaced or is over.
            if !self.is_current(&run) {
                return;
            }
            tokio::time::sleep(ORDER_AGAIN_AFTER).await;
        };
        let not_taken = NotTaken { job: run.job, worker, for_good };
        let _ = self.news.send(not_taken).await;
    }

    fn is_current(&self, run: &Run) -> bool {
        self.state.read(|state| {
            let newest = state.job(&run.job).and_then(|job| job.run(run.scheduled));
            newest.is_some_and(|(_, newest)| newest.token == run.token)
        })
    }
}
