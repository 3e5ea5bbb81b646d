//! Drives [`Bootstrap`]: finds the seeds, greets, and founds or joins; later brings a node back in
//! that others took for failed.

mod seeds;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::bootstrap::{self, Bootstrap, Decision, Greeting};
use crate::config::Timing;
use crate::control::{Agreed, Control, JoinReply};
use crate::defect::ClusterBug;
use crate::discovery::Addresses;
use crate::error::StartError;
use crate::identity::{ClusterId, Incarnation, NodeId, NodeInfo};
use crate::local::Local;
use crate::messaging::{Lane, Message, Messenger, Process, Refusal, Request};
#[cfg(feature = "simulation")]
use crate::simulation::Decoder;
use crate::view::NodeState;
use seeds::Seeds;

/// How long a node without a cluster waits before it greets the others again: at first hardly,
/// since they may be starting at this very moment, then longer and longer.
const GREET_AGAIN_FIRST: Duration = Duration::from_millis(15);
const GREET_AGAIN_MAX: Duration = Duration::from_millis(200);

/// How long an answer to a greeting may take.
const GREET_DEADLINE: Duration = Duration::from_millis(500);

/// How often a waiting node says what it waits for.
const SAY_EVERY: Duration = Duration::from_secs(5);

/// How often a node that is out looks whether others live at the seed addresses by now.
const LOOK_AROUND_EVERY: Duration = Duration::from_secs(2);

/// How often a node that was put out asks to be let in again.
const REJOIN_EVERY: Duration = Duration::from_millis(300);

#[derive(Debug, Serialize, Deserialize)]
struct Greet(Greeting);

impl Message for Greet {
    const KIND: &'static str = "core.greet";
}

impl Request for Greet {
    type Reply = Greeting;
}

#[cfg(feature = "simulation")]
pub(crate) const DECODERS: [Decoder; 1] = [Decoder::request::<Greet>()];

/// How an attempt to belong to a cluster ended.
pub(crate) enum Formed {
    /// The node is in the agreed view.
    Yes,
    /// The group that the node had committed itself to did not come about. The attempt can only be
    /// repeated under a new identity.
    Abandoned,
}

/// One node's attempt. See the module's documentation.
pub(crate) struct Formation {
    local: Arc<Local>,
    messenger: Messenger,
    control: Arc<Control>,
    timing: Timing,
    started: Instant,
    bootstrap: Mutex<Bootstrap>,
    addresses: Addresses,
    agreed: watch::Receiver<Arc<Agreed>>,
    /// The cluster that this node belonged to when its process before this one ended.
    was_in: Option<ClusterId>,
}

impl Formation {
    pub(crate) fn new(
        control: Arc<Control>,
        messenger: Messenger,
        addresses: Addresses,
        expect: usize,
    ) -> Arc<Self> {
        let local = control.local.clone();
        let was_in = local.cluster_id();
        let formation = Arc::new(Self {
            // A round of greetings may take as long as the slowest seed takes to fail.
            bootstrap: Mutex::new(
                Bootstrap::new(
                    local.node(),
                    expect,
                    2 * (control.timing.connect_timeout + GREET_DEADLINE),
                )
                .after(local.given_up.clone()),
            ),
            local,
            timing: control.timing,
            agreed: control.agreed(),
            control,
            started: Instant::now(),
            messenger: messenger.clone(),
            addresses,
            was_in,
        });
        let this = formation.clone();
        messenger.on_request(move |from, Greet(greeting)| {
            let mut bootstrap = this.lock();
            // Whoever lives in a cluster only answers: it has no use for strangers.
            if this.local.cluster_id().is_none() && greeting.node.id == from {
                this.messenger.hear_address(&greeting.node);
                bootstrap.heard(this.started.elapsed(), greeting);
            }
            std::future::ready(bootstrap.greeting(this.started.elapsed(), this.cluster()))
        });
        formation
    }

    /// Works until this node is in the view of a cluster, or has to start over.
    pub(crate) async fn run(&self) -> Result<Formed, StartError> {
        if let Some(cluster) = self.was_in {
            return self.come_back(cluster).await;
        }
        let mut seeds = Seeds::new(self.addresses.clone());
        let mut committed_at = None;
        let mut join_via = None;
        let mut said_at = Instant::now();
        let mut pause = GREET_AGAIN_FIRST;
        loop {
            if self.is_in() {
                return Ok(Formed::Yes);
            }
            if let Some(cluster) = self.local.cluster_id() {
                if self.agreed_now().view.node(self.local.id).is_some() {
                    // The cluster is real, and counts on an earlier process of this node, which
                    // ended before it had noted to which cluster it belongs.
                    return self.come_back(cluster).await;
                }
                // A large state may take long to arrive; as long as it does, nothing is wrong.
                let applied = self.control.progress();
                let (since, seen) = committed_at.get_or_insert((Instant::now(), applied));
                if *seen != applied {
                    (*since, *seen) = (Instant::now(), applied);
                }
                if since.elapsed() > self.timing.formation_timeout {
                    if self.local.durable && self.control.may_be_real() {
                        // Its disk may hold what was acknowledged, so it does not give up.
                        return self.come_back(cluster).await;
                    }
                    tracing::warn!(%cluster, "the cluster did not come about, starting over");
                    return Ok(Formed::Abandoned);
                }
                if let Some(via) = join_via {
                    join_via = Some(self.join(via, cluster).await?);
                }
            } else {
                self.greet_all(&mut seeds).await;
                self.check_refusals(&seeds)?;
                match self.decide() {
                    Decision::Wait { lacking } if said_at.elapsed() > SAY_EVERY => {
                        said_at = Instant::now();
                        self.say(lacking, &seeds);
                    }
                    Decision::Wait { .. } => {}
                    Decision::Found(nodes) => {
                        tracing::info!(founders = nodes.len(), "founding a cluster");
                        self.control.found(nodes).await?;
                        continue;
                    }
                    Decision::Join { cluster, via } => {
                        tracing::info!(%cluster, %via, "joining a cluster");
                        self.local.adopt_cluster(cluster);
                        join_via = Some(via);
                        continue;
                    }
                }
            }
            self.pause(pause).await?;
            pause = (pause * 3 / 2).min(GREET_AGAIN_MAX);
        }
    }

    fn decide(&self) -> Decision {
        match self.lock().decide(self.started.elapsed()) {
            Decision::Wait { .. } if self.local.defect.is(ClusterBug::FoundedApart) => {
                Decision::Found(vec![self.local.node()])
            }
            decision => decision,
        }
    }

    /// Brings a node back that has kept its state. It belongs to this cluster for good, so it waits
    /// for as long as it takes until the others are there, too.
    async fn come_back(&self, cluster: ClusterId) -> Result<Formed, StartError> {
        let mut seeds = Seeds::new(self.addresses.clone());
        let (mut via, mut said_at, mut pause) = (None, Instant::now(), GREET_AGAIN_FIRST);
        while !self.is_in() {
            self.check_view()?;
            self.greet_all(&mut seeds).await;
            self.check_refusals(&seeds)?;
            if self.never_comes(cluster) {
                tracing::warn!(%cluster, "the cluster never came about, starting over");
                return Ok(Formed::Abandoned);
            }
            if let Some(target) = via.take().or_else(|| self.somebody()) {
                via = Some(self.join(target, cluster).await?).filter(|next| *next != target);
            }
            if said_at.elapsed() > SAY_EVERY {
                said_at = Instant::now();
                let voters: Vec<String> =
                    self.control.voters().iter().map(ToString::to_string).collect();
                tracing::warn!(
                    %cluster,
                    ?voters,
                    unreachable_seeds = ?seeds.failures(),
                    "waiting for a majority of the voters to be there again"
                );
            }
            self.pause(pause).await?;
            pause = (pause * 3 / 2).min(GREET_AGAIN_MAX);
        }
        Ok(Formed::Yes)
    }

    /// Whether this node alone has kept what was to become a cluster, as when the power failed
    /// while it was founded.
    fn never_comes(&self, cluster: ClusterId) -> bool {
        self.agreed_now().cluster.is_none()
            && self.lock().never_comes(cluster, self.control.voter_groups().logged())
    }

    /// Brings the node back in whenever the others have put it out although it lives. Whoever is
    /// out is told nothing any more, so a node that hears no leader for long asks by itself.
    pub(crate) async fn stay_in(self: Arc<Self>, mut refuted: watch::Receiver<Incarnation>) {
        let mut agreed = self.agreed.clone();
        let (mut heard_at, mut looked_at) = (Instant::now(), Instant::now());
        let (mut via, mut seeds) = (None, Seeds::new(self.addresses.clone()));
        loop {
            tokio::select! {
                biased;
                changed = refuted.changed() => if changed.is_err() { return },
                changed = agreed.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(REJOIN_EVERY) => {}
            }
            if let Err(error) = self.check_view() {
                return self.end_for_another(&error);
            }
            if self.control.believed_leader().is_some() {
                heard_at = Instant::now();
            }
            let Some(cluster) = self.local.cluster_id() else { continue };
            if !self.is_out(heard_at.elapsed()) {
                continue;
            }
            if self.addresses.may_change() && looked_at.elapsed() > LOOK_AROUND_EVERY {
                // All that this node knows of may have moved; who is met is known anew.
                seeds.forget();
                seeds.meet(&self.messenger).await;
                via = via.or_else(|| self.one_of(seeds.nodes().into_iter().collect()));
                looked_at = Instant::now();
            }
            let Some(target) = via.take().or_else(|| self.somebody()) else { continue };
            match self.join(target, cluster).await {
                Ok(next) => via = Some(next).filter(|next| *next != target),
                Err(error @ StartError::OldState(_)) => return self.end_for_another(&error),
                Err(error) => tracing::warn!(%error, "cannot get back into the cluster"),
            }
        }
    }

    /// Ends the node, as where its directory was cloned while it ran: another process goes on in
    /// its place, and two of the same would each promise what the other does not know.
    fn end_for_another(&self, why: &StartError) {
        self.control.tasks.fail(&why.to_string());
    }

    fn agreed_now(&self) -> Arc<Agreed> {
        self.control.agreed_now()
    }

    /// Whether the view has this very process.
    fn is_in(&self) -> bool {
        let agreed = self.agreed_now();
        let record = agreed.view.node(self.local.id).filter(|r| r.state == NodeState::Alive);
        let me = Process::of(&self.local.node());
        record.is_some_and(|record| Process::of(&record.info) == me)
    }

    /// Whether the others have put this node out, or may have, as nobody has led it for so long.
    fn is_out(&self, leaderless: Duration) -> bool {
        let record = self.agreed_now().view.node(self.local.id).cloned();
        let Some(record) = record else { return true };
        match record.state {
            // This node does not leave, or it would not ask: somebody was wrong.
            NodeState::Left | NodeState::Down => {
                self.local.raise_incarnation(record.info.incarnation.next());
                true
            }
            // Whoever does not follow the log is told by members, of its own end too.
            NodeState::Alive if self.control.following().is_some() => false,
            NodeState::Alive => leaderless > self.timing.leader_silence,
        }
    }

    /// Any other node of the latest view that this one has, or that it has met on its way in; a
    /// different one each time.
    fn somebody(&self) -> Option<NodeId> {
        let view = self.agreed_now().view.clone();
        let mut others: Vec<NodeInfo> =
            view.alive().filter(|n| n.id != self.local.id).cloned().collect();
        if others.is_empty() {
            others = self.lock().acquaintances().cloned().collect();
            others.extend(self.control.group());
        }
        let chosen = self.one_of(others)?;
        self.messenger.hear_address(&chosen);
        Some(chosen.id)
    }

    /// One of these, a different one each time.
    fn one_of<T>(&self, mut all: Vec<T>) -> Option<T> {
        let turn = usize::try_from(self.started.elapsed().as_millis()).unwrap_or(0);
        let at = turn % all.len().max(1);
        (at < all.len()).then(|| all.swap_remove(at))
    }

    /// Asks to be let in. Gives whom to ask next.
    async fn join(&self, via: NodeId, cluster: ClusterId) -> Result<NodeId, StartError> {
        match self.control.ask_to_join(via, cluster, self.timing.request_deadline).await {
            Ok(JoinReply::NotLeader { leader: Some(leader) }) => {
                self.messenger.hear_address(&leader);
                Ok(leader.id)
            }
            Ok(JoinReply::Outdated { known }) => {
                self.local.raise_incarnation(known.next());
                Ok(via)
            }
            Ok(JoinReply::Refused { reason }) => Err(StartError::Refused(reason)),
            Ok(JoinReply::OldState { reason }) => Err(StartError::OldState(reason)),
            Ok(JoinReply::Admitted) => {
                if let Some(following) = self.control.following() {
                    following.introduce(via);
                }
                Ok(via)
            }
            Ok(JoinReply::NotLeader { leader: None }) => Ok(via),
            Err(error) => {
                tracing::debug!(%via, %error, "cannot ask to join");
                // Where the seeds do not know better, it may be the only one that says so.
                if let Some(refusal) = self.messenger.refusal_of(via).await {
                    self.check_process(&refusal)?;
                }
                Ok(self.somebody().unwrap_or(via))
            }
        }
    }

    async fn greet_all(&self, seeds: &mut Seeds) {
        seeds.meet(&self.messenger).await;
        let mut targets = seeds.nodes();
        for node in self.lock().acquaintances() {
            self.messenger.hear_address(node);
            targets.insert(node.id);
        }
        let greeting = self.lock().greeting(self.started.elapsed(), self.cluster());
        let greets =
            targets.into_iter().map(|id| {
                let greet = Greet(greeting.clone());
                async move {
                    (id, self.messenger.request(id, Lane::Control, &greet, GREET_DEADLINE).await)
                }
            });
        for (id, reply) in futures::future::join_all(greets).await {
            match reply {
                // One node's word about another is no greeting.
                Ok(greeting) if greeting.node.id != id => {}
                Ok(greeting) => self.lock().heard(self.started.elapsed(), greeting),
                Err(error) => {
                    tracing::debug!(%id, %error, "a node did not answer the greeting");
                    self.lock().unreachable(id);
                    seeds.lose(id);
                }
            }
        }
    }

    /// When everybody who could be asked has refused, a person must look at it; and when anybody
    /// knows a later process of this node.
    fn check_refusals(&self, seeds: &Seeds) -> Result<(), StartError> {
        seeds.refusals().try_for_each(|why| self.check_process(why))?;
        match seeds.refusals().last() {
            Some(why) if !seeds.any_may_help() => Err(StartError::Refused(why.to_string())),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether a later process of this node is what the log has told it itself.
    fn check_view(&self) -> Result<(), StartError> {
        let (agreed, me) = (self.agreed_now(), self.local.node());
        match agreed.view.node(me.id) {
            Some(known) if !Process::of(&known.info).allows(Process::of(&me)) => {
                let (node, starts, known) = (me.to_string(), me.starts, known.info.starts);
                Err(StartError::OldState(Refusal::OldState { node, starts, known }.to_string()))
            }
            _ => Ok(()),
        }
    }

    /// Whether somebody knows a later process of this node. One that was itself just starting may
    /// not know it yet and talk to this node, so who knows is right whoever does not.
    fn check_process(&self, why: &Refusal) -> Result<(), StartError> {
        match why {
            Refusal::OldState { node, .. } if *node == self.local.node().to_string() => {
                Err(StartError::OldState(why.to_string()))
            }
            _ => Ok(()),
        }
    }

    fn say(&self, lacking: usize, seeds: &Seeds) {
        let failed = seeds.failures();
        let founds = self.local.node().votes();
        let what = bootstrap::waiting_for(founds, lacking);
        tracing::warn!(unreachable_seeds = ?failed, "waiting for {what}");
    }

    /// Until the next greeting, or until something is agreed. An error if nothing ever will be: the
    /// control plane has ended, as when its disk fails.
    async fn pause(&self, pause: Duration) -> Result<(), StartError> {
        let mut agreed = self.agreed.clone();
        agreed.mark_unchanged();
        let ended = matches!(tokio::time::timeout(pause, agreed.changed()).await, Ok(Err(_)));
        if ended || self.control.tasks.is_cancelled() {
            let why = self.control.tasks.panicked();
            let why = why.unwrap_or_else(|| "it ended while the node started".to_owned());
            return Err(StartError::ControlPlane(why));
        }
        Ok(())
    }

    /// The cluster this node belongs to, and whether the cluster is real.
    fn cluster(&self) -> Option<(ClusterId, bool)> {
        self.local.cluster_id().map(|cluster| (cluster, self.is_in()))
    }

    fn lock(&self) -> MutexGuard<'_, Bootstrap> {
        self.bootstrap.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
