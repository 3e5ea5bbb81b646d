//! The scheduler's work on the leader: claims what is due, sends the orders, moves what is stuck.

mod changes;
mod clock;

use std::collections::BTreeMap;
use std::future::Future;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use clustron_core::{
    Clock, ClusterHandle, FencingToken, Leadership, NodeId, NodeState, Outcome, ProposeError,
    Replicated, Timestamp,
};
use futures::FutureExt;
use futures::future::OptionFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::ask::{Asked, Desk};
use crate::clock_guard::ClockGuard;
use crate::job::JobName;
use crate::message::{Command, Reply, Run, RunReply, Start};
use crate::metrics::SchedulerMetrics;
use crate::planner::Planner;
use crate::scheduler::Jobs;
use crate::state::SchedulerState;
use crate::tick::TickId;
use crate::worker::is_current;
use crate::workers::Workers;
use clock::Clocks;

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

/// What became of an order.
struct News {
    run: Run,
    worker: NodeId,
    /// `None`: it was taken after all. Otherwise it was refused, for good or for now.
    refused: Option<bool>,
}

/// An attempt to run, and who is to run it.
type Order = (NodeId, Run);

/// One epoch of leading. Everything in it is made anew by the next leader from the state.
pub(crate) struct Leader {
    cluster: ClusterHandle,
    state: Replicated<SchedulerState>,
    clock: Arc<dyn Clock>,
    /// Whether the clock is to be believed, and since when it is looked at.
    guard: ClockGuard,
    began: Instant,
    leadership: Leadership,
    planner: Planner,
    workers: Workers,
    /// Bounded by the running attempts in the state: each is ordered once, and again only by the
    /// next leader. The same bounds the news about them. Waiting for room in either could stop
    /// the planner and the dispatcher for each other's sake.
    orders: mpsc::UnboundedSender<Order>,
    /// The newest attempt of each open tick that was ordered.
    ordered: BTreeMap<(JobName, TickId), FencingToken>,
    /// What the code defines, which nobody else changes.
    jobs: Arc<Jobs>,
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
        let desk = Desk::default();
        let at_desk = desk.clone();
        cluster.on_request(move |_from, ask| at_desk.clone().ask(ask));
        cluster.lead("scheduler: leader", move |leadership| {
            let (jobs, cluster) = (jobs.clone(), handle.clone());
            let (state, metrics, desk) = (state.clone(), metrics.clone(), desk.clone());
            async move {
                // A majority that comes and goes makes single steps fail; the epoch goes on.
                while !leadership.is_cancelled() {
                    // Bounded as said at `Leader::orders`.
                    let (orders, orders_rx) = mpsc::unbounded_channel();
                    let leader = Self {
                        clock: cluster.clock(),
                        guard: ClockGuard::default(),
                        began: Instant::now(),
                        planner: Planner::default(),
                        workers: Workers::new(running_max),
                        cluster: cluster.clone(),
                        state: state.clone(),
                        leadership: leadership.clone(),
                        orders,
                        ordered: BTreeMap::new(),
                        jobs: jobs.clone(),
                        metrics: metrics.clone(),
                    };
                    tokio::select! {
                        biased;
                        () = leadership.cancelled() => return,
                        _lost = leader.serve(desk.open(), orders_rx) => {
                            tokio::time::sleep(ORDER_AGAIN_AFTER).await;
                        }
                    }
                }
            }
        });
    }

    async fn serve(
        mut self,
        asked: mpsc::Receiver<Asked>,
        orders: mpsc::UnboundedReceiver<Order>,
    ) -> Lost {
        // Bounded as said at `Leader::orders`.
        let (news_tx, news) = mpsc::unbounded_channel();
        let dispatcher = Dispatcher {
            cluster: self.cluster.clone(),
            state: self.state.clone(),
            news: news_tx,
            metrics: self.metrics.clone(),
        };
        let planning = async {
            // The plan begins from a state that holds all that was committed before. What commits
            // later, of an earlier leader or of what this one gave up waiting for, the plan learns
            // of when it is applied, and the compare-and-set of each command takes care of it.
            if self.cluster.barrier(PROPOSE_DEADLINE).await.is_err()
                || self.check_clock().await.is_err()
            {
                return Lost;
            }
            self.planner = self.state.read_local(Planner::new);
            let jobs = self.jobs.clone();
            for spec in jobs.specs.values() {
                match self.define(spec).await {
                    Ok(Ok(_)) => {}
                    Ok(Err(why)) => {
                        tracing::error!(job = %spec.name, %why, "a job cannot be defined");
                    }
                    Err(lost) => return lost,
                }
            }
            self.plan(news, asked).await
        };
        tokio::select! {
            lost = planning => lost,
            () = dispatcher.run(orders) => Lost,
        }
    }

    /// Orders every running attempt that this leader has not ordered yet: those that it has just
    /// granted, those of the leader before, who may never have come to it, and those whose grant
    /// was committed after this leader gave up waiting for it. A worker that has it already says
    /// so.
    fn order_granted(&mut self) {
        let running: BTreeMap<_, _> = self.state.read_local(|state| {
            let ticks = self.planner.open_ticks(state);
            ticks.filter_map(|(job, firing)| job.run(firing.id())).map(keyed).collect()
        });
        self.ordered.retain(|tick, _| running.contains_key(tick));
        for (tick, (worker, run)) in running {
            if self.ordered.insert(tick, run.token) != Some(run.token) {
                // The dispatcher ends only together with this planner.
                let _ = self.orders.send((worker, run));
            }
        }
    }

    async fn plan(
        &mut self,
        mut news: mpsc::UnboundedReceiver<News>,
        mut asked: mpsc::Receiver<Asked>,
    ) -> Lost {
        let mut changes = self.state.applied();
        let mut status = self.cluster.watch();
        let mut readmit = FuturesUnordered::new();
        let mut asking: Option<oneshot::Receiver<Clocks>> = None;
        loop {
            changes.mark_unchanged();
            status.mark_unchanged();
            while let Ok(news) = news.try_recv() {
                readmit.extend(self.take_news(news));
            }
            while let Some(Some((job, worker))) = readmit.next().now_or_never() {
                self.workers.readmit(&job, worker);
            }
            if let Ok(first) = asked.try_recv()
                && self.answer(first, &mut asked).await.is_err()
            {
                return Lost;
            }
            self.follow_view();
            self.state.read_local(|state| self.planner.catch_up(state));
            self.order_granted();
            let now = self.now();
            if let Some(clocks) = asking.as_mut().and_then(FutureExt::now_or_never) {
                asking = None;
                clocks.iter().for_each(|clocks| self.learn_clocks(clocks));
            }
            if asking.is_none() {
                asking = self.ask_clocks();
            }
            let commands = self.state.read_local(|state| {
                let mut commands = self.planner.due(state, now, &mut self.workers);
                commands.extend(self.planner.repairs(state, &mut self.workers, now));
                commands
            });
            if !commands.is_empty() {
                if self.propose_all(commands).await.is_err() {
                    return Lost;
                }
                continue;
            }
            tokio::select! {
                biased;
                () = self.leadership.cancelled() => return Lost,
                Some(first) = asked.recv() => {
                    if self.answer(first, &mut asked).await.is_err() {
                        return Lost;
                    }
                }
                Some(news) = news.recv() => readmit.extend(self.take_news(news)),
                Some((job, worker)) = readmit.next() => self.workers.readmit(&job, worker),
                Some(clocks) = OptionFuture::from(asking.as_mut()) => {
                    asking = None;
                    clocks.iter().for_each(|clocks| self.learn_clocks(clocks));
                }
                Ok(()) = changes.changed() => {}
                Ok(()) = status.changed() => {}
                () = tokio::time::sleep(self.until_due(now)) => {}
            }
        }
    }

    /// Takes in what became of an order. Gives when its worker may have the job again, where it
    /// may.
    fn take_news(&mut self, news: News) -> Option<impl Future<Output = (JobName, NodeId)> + use<>> {
        self.planner.note_order(&news.run, news.refused.is_some());
        let for_good = news.refused?;
        self.workers.exclude(&news.run.job, news.worker, for_good);
        (!for_good).then_some(async move {
            tokio::time::sleep(EXCLUDED_FOR).await;
            (news.run.job, news.worker)
        })
    }

    fn until_due(&self, now: Timestamp) -> Duration {
        let next = self.planner.next_due();
        next.map_or(LOOK_EVERY, |next| next.saturating_since(now)).min(LOOK_EVERY)
    }

    /// Takes over who is there to run attempts: the nodes of the view whose roles let them.
    fn follow_view(&mut self) {
        let view = self.cluster.view();
        let gone: Vec<NodeId> =
            self.workers.iter().map(|(id, _)| id).filter(|id| !view.is_alive(*id)).collect();
        for id in gone {
            self.workers.leave(id);
        }
        for record in view.nodes().filter(|record| record.state == NodeState::Alive) {
            if record.info.runs_work() {
                self.workers.join_since(record.info.id, record.process_since);
                self.workers.describe(&record.info);
            }
        }
    }

    /// Proposes commands in order, all under way at once.
    async fn propose_all(&mut self, commands: Vec<Command>) -> Result<(), Lost> {
        for (command, reply) in self.propose_each(commands).await {
            self.count(&command, &reply?);
        }
        Ok(())
    }

    /// The same, and says what became of each.
    async fn propose_each(
        &mut self,
        commands: Vec<Command>,
    ) -> Vec<(Command, Result<Reply, ProposeError>)> {
        let proposals = commands.into_iter().map(|command| {
            let (state, epoch) = (self.state.clone(), self.leadership.epoch());
            async move {
                let committed = state.propose_as_leader(epoch, &command, PROPOSE_DEADLINE).await;
                (command, committed.map(|committed| committed.reply))
            }
        });
        futures::future::join_all(proposals).await
    }

    /// Counts what a command was answered.
    fn count(&self, command: &Command, reply: &Reply) {
        match reply {
            Reply::Claimed { start, .. } => {
                self.metrics.claims.inc();
                if let Start::Skipped { reason } = start {
                    self.metrics.by_job.skipped(command.job(), *reason);
                }
            }
            Reply::Missed { count } => {
                if let Command::Miss { job, reason, .. } = command {
                    self.metrics.by_job.missed(job, *reason, *count);
                }
            }
            Reply::Assigned { attempt, .. } if *attempt > 1 => {
                self.metrics.reassignments.inc();
            }
            Reply::Rejected(why) => {
                tracing::debug!(job = %command.job(), %why, "planned on an older state");
            }
            _ => {}
        }
    }
}

/// An order under the tick that it is for.
fn keyed(order: Order) -> ((JobName, TickId), Order) {
    ((order.1.job.clone(), order.1.tick), order)
}

impl From<ProposeError> for Lost {
    fn from(error: ProposeError) -> Self {
        tracing::warn!(%error, "the scheduler's leader cannot get on");
        Lost
    }
}

/// Delivers orders, each until its worker has it or it is not wanted any more.
struct Dispatcher {
    cluster: ClusterHandle,
    state: Replicated<SchedulerState>,
    news: mpsc::UnboundedSender<News>,
    metrics: Arc<SchedulerMetrics>,
}

impl Dispatcher {
    async fn run(self, mut orders: mpsc::UnboundedReceiver<Order>) {
        let mut under_way = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                Some(()) = under_way.next() => {}
                order = orders.recv() => match order {
                    Some((worker, run)) => under_way.push(self.deliver(worker, run)),
                    None => return,
                },
            }
        }
    }

    async fn deliver(&self, worker: NodeId, run: Run) {
        let mut told = false;
        let tell = |refused| {
            // The planner ends only together with this dispatcher.
            let _ = self.news.send(News { run: run.clone(), worker, refused });
        };
        while is_current(&self.state, &run) {
            let refused = match self.cluster.request(worker, &run, ORDER_DEADLINE).await {
                Ok(RunReply::Accepted | RunReply::AlreadyRunning | RunReply::AlreadyFinished) => {
                    if told {
                        tell(None);
                    }
                    return;
                }
                Ok(RunReply::NoHandler) => Some(true),
                Ok(RunReply::Busy) => Some(false),
                Err(error) => {
                    self.metrics.orders_undelivered.inc();
                    tracing::debug!(%worker, job = %run.job, %error, "an order was not confirmed");
                    // Without an answer it may have been taken: nobody else gets it for that.
                    (error.outcome() == Outcome::NotApplied).then_some(false)
                }
            };
            if refused.is_some() && !told && is_current(&self.state, &run) {
                told = true;
                tell(refused);
            }
            tokio::time::sleep(ORDER_AGAIN_AFTER).await;
        }
    }
}
