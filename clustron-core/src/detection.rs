//! Drives [`Membership`]: feeds it the view, messages and lost connections, and shows its verdicts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::Instant;

use crate::control::{Agreed, Control};
use crate::identity::{Incarnation, NodeId};
use crate::local::Local;
use crate::membership::{
    Effect, FailureDetector, Input, Listed, Membership, MembershipConfig, Message, PeerState,
    Verification,
};
use crate::messaging::{self, Lane, MessageError, Messenger, PeerNews};
use crate::metrics::CoreMetrics;
use crate::opinion::Opinion;
use crate::outlook::{Described, Outlook, OutlookBoard, Suspicion, outlook};
use crate::reachability::Reachability;
#[cfg(feature = "simulation")]
use crate::simulation::Decoder;
use crate::tasks::Tasks;

/// Inputs that may wait for the detector. Probes are repeated, so one more that is dropped under a
/// flood costs time and nothing else.
const QUEUE: usize = 1024;

/// Pings whose answers are waited for, for the metrics; they are all forgotten when more are sent.
const ASKED_KEPT: usize = 256;

/// Messages that may wait to leave at the same time; more are dropped, as if the network had.
const SENDS_AT_ONCE: usize = 4096;

/// How long a membership message may take to leave; the next round says it anew.
const SEND_DEADLINE: Duration = Duration::from_secs(1);

/// Makes a node's failure detector from its identity, its settings and a seed.
pub(crate) type MakeDetector =
    dyn Fn(NodeId, &MembershipConfig, u64) -> Box<dyn FailureDetector> + Send + Sync;

impl messaging::Message for Message {
    const KIND: &'static str = "core.membership";
    const BYTES_MAX: usize = 64 << 10;
}

#[cfg(feature = "simulation")]
pub(crate) const DECODERS: [Decoder; 1] = [Decoder::message::<Message>()];

/// The detector's parts before it can run: others need what it shows.
pub(crate) struct Detection {
    inputs: mpsc::Sender<Input>,
    inputs_rx: mpsc::Receiver<Input>,
    board: OutlookBoard,
    refuted: watch::Sender<Incarnation>,
}

impl Detection {
    /// The detector, and what it will show.
    pub(crate) fn new() -> (Self, Outlook) {
        let (inputs, inputs_rx) = mpsc::channel(QUEUE);
        let (board, outlook) = outlook();
        let refuted = watch::Sender::new(Incarnation(0));
        (Self { inputs, inputs_rx, board, refuted }, outlook)
    }

    /// Changes when this node had to raise its incarnation because others took it for down.
    pub(crate) fn refuted(&self) -> watch::Receiver<Incarnation> {
        self.refuted.subscribe()
    }

    /// Starts membership with the detector that `judge` makes. Its choices follow from `seed`.
    pub(crate) fn run(
        self,
        config: MembershipConfig,
        judge: &MakeDetector,
        seed: u64,
        messenger: Messenger,
        news: mpsc::Receiver<PeerNews>,
        control: Arc<Control>,
    ) {
        let (local, tasks) = (control.local.clone(), control.tasks.clone());
        let inputs = self.inputs.clone();
        messenger.on_message_inline(move |from, message: Message| {
            // Full: the sender repeats itself.
            let _ = inputs.try_send(Input::Received { from, message });
            std::future::ready(())
        });
        let (node, judge) = (Listed::from(&local.node()), judge(local.id, &config, seed));
        let machine = Membership::with_detector(&node, config, seed, judge);
        let agreed = control.agreed();
        let driver = Driver {
            machine,
            started: Instant::now(),
            inputs: self.inputs,
            board: self.board,
            refuted: self.refuted,
            local,
            messenger,
            metrics: control.metrics.clone(),
            control,
            tasks: tasks.clone(),
            sending: Arc::new(Semaphore::new(SENDS_AT_ONCE)),
            asked: BTreeMap::new(),
            links_changed: true,
        };
        tasks.spawn("failure detector", driver.run(self.inputs_rx, news, agreed));
    }
}

struct Driver {
    machine: Membership,
    started: Instant,
    inputs: mpsc::Sender<Input>,
    board: OutlookBoard,
    refuted: watch::Sender<Incarnation>,
    local: Arc<Local>,
    messenger: Messenger,
    control: Arc<Control>,
    metrics: Arc<CoreMetrics>,
    tasks: Tasks,
    /// One for each message that may be on its way out.
    sending: Arc<Semaphore>,
    /// Pings that have not been answered, for the metrics.
    asked: BTreeMap<(NodeId, u64), Instant>,
    /// The present input changed who can reach whom.
    links_changed: bool,
}

impl Driver {
    async fn run(
        mut self,
        mut inputs: mpsc::Receiver<Input>,
        mut news: mpsc::Receiver<PeerNews>,
        mut agreed: watch::Receiver<Arc<Agreed>>,
    ) {
        let mut version = 0;
        loop {
            self.metrics.detector_inputs_waiting.set(inputs.len() as i64);
            let timeout = self.machine.next_timeout().map(|at| self.started + at);
            if timeout.is_some_and(|due| due <= Instant::now()) {
                // First what had come when the timer was due, for an answer may be among it; and no
                // more, or whoever sends enough would keep us from ever looking after anybody.
                for _ in 0..inputs.len() {
                    let Ok(input) = inputs.try_recv() else { break };
                    self.take(input);
                }
                self.take(Input::Timeout);
                continue;
            }
            let input = tokio::select! {
                biased;
                changed = agreed.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let now = agreed.borrow_and_update().clone();
                    if now.view.version() == version {
                        continue;
                    }
                    version = now.view.version();
                    self.view_changed(&now)
                }
                Some(PeerNews::ConnectionLost(peer)) = news.recv() => {
                    Input::ConnectionLost { peer }
                }
                Ok(()) = self.board.announced.changed() => {
                    self.describe_anew();
                    continue;
                }
                Ok(()) = self.board.leaving.changed() => Input::Leave,
                Some(input) = inputs.recv() => input,
                () = sleep_until(timeout) => Input::Timeout,
                Some(asked) = self.board.asked.recv() => {
                    // Whoever asked may have gone away meanwhile.
                    let _ = asked.answer.send(self.opinion(asked.node));
                    continue;
                }
            };
            self.take(input);
        }
    }

    fn take(&mut self, input: Input) {
        if let Input::Received { from, message: Message::Ack { seq, .. } } = &input
            && let Some(asked_at) = self.asked.remove(&(*from, *seq))
        {
            self.metrics.probes_answered.inc();
            self.metrics.probe_seconds.observe(asked_at.elapsed());
        }
        if let Input::Verified { peer, result: Verification::Gone { .. } } = &input {
            self.control.peer_gone(*peer);
        }
        // What this node says about itself comes before what others have made of it.
        if self.board.announced.has_changed().unwrap_or(false) {
            self.describe_anew();
        }
        self.handle(input);
    }

    fn handle(&mut self, input: Input) {
        for effect in self.machine.handle(self.started.elapsed(), input) {
            self.perform(effect);
        }
        if std::mem::take(&mut self.links_changed) {
            self.show_reachability();
        }
    }

    /// Tells the others how this node describes itself now.
    fn describe_anew(&mut self) {
        let announced = self.board.announced.borrow_and_update().clone();
        if let Some(Described { revision, metadata, .. }) = announced {
            self.handle(Input::Describe { revision, metadata });
        }
    }

    fn view_changed(&mut self, agreed: &Agreed) -> Input {
        self.metrics.view_changes.inc();
        // Somebody else's word about this node must not stand.
        let listed = agreed.view.alive().find(|node| node.id == self.local.id);
        if let Some(node) = listed.and_then(|listed| self.local.insist(listed)) {
            tracing::warn!(%node, "the view described this node otherwise than it does");
            let (revision, metadata) = (node.revision, Arc::new(node.metadata()));
            self.handle(Input::Describe { revision, metadata });
        }
        let voter_groups = self.control.voter_groups();
        for record in agreed.view.nodes() {
            let id = record.info.id;
            if agreed.view.is_alive(id) {
                self.messenger.learn_address(&record.info);
            } else if voter_groups.may_need(id) {
                // It may live after all, and its very vote be needed.
                self.messenger.hang_up(id);
            } else {
                self.messenger.forget(id);
            }
        }
        // A peer that the view has put out is of no interest to anybody any more.
        self.board.suspicions.send_if_modified(|shown| {
            let before = shown.len();
            shown.retain(|id, _| agreed.view.is_alive(*id));
            shown.len() != before
        });
        self.board.described.send_if_modified(|described| {
            let before = described.len();
            described.retain(|id, described| {
                let known = agreed.view.node(*id).map(|record| record.info.revision);
                known.is_some_and(|known| known < described.revision)
            });
            described.len() != before
        });
        Input::ViewChanged(agreed.view.alive().map(Listed::from).collect())
    }

    /// Who cannot reach whom, as far as was heard.
    fn show_reachability(&self) {
        let mut matrix = Reachability::default();
        for (observer, peers) in self.machine.unreachable() {
            matrix.complain(observer, peers);
        }
        self.board.reachability.send_if_modified(|shown| {
            let changed = *shown != matrix;
            *shown = matrix;
            changed
        });
    }

    fn opinion(&self, node: NodeId) -> Option<Opinion> {
        let (now, at) = (self.started.elapsed(), self.control.clock.now());
        self.machine.case(node).map(|case| Opinion::new(self.local.id, case, now, at))
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Send { to, message } => {
                if let Message::Ping { seq, .. } = &message {
                    self.metrics.probes_sent.inc();
                    if self.asked.len() >= ASKED_KEPT {
                        self.asked.clear();
                    }
                    self.asked.insert((to, *seq), Instant::now());
                }
                let messenger = self.messenger.clone();
                // Answers to those who ask and do not listen must not pile up.
                let Ok(slot) = self.sending.clone().try_acquire_owned() else { return };
                self.tasks.spawn("membership message", async move {
                    let _slot = slot;
                    // What cannot be sent is what the machine is there to find out about.
                    let sending = messenger.send(to, Lane::Control, &message);
                    let _ = tokio::time::timeout(SEND_DEADLINE, sending).await;
                });
            }
            Effect::Verify { peer } => {
                let (messenger, inputs) = (self.messenger.clone(), self.inputs.clone());
                self.tasks.spawn("verify a peer", async move {
                    let result = match messenger.verify(peer).await {
                        Ok(()) => Verification::Reached,
                        Err(error @ MessageError::Unreachable { gone: true, .. }) => {
                            Verification::Gone { why: error.to_string() }
                        }
                        Err(error) => Verification::NoAnswer { why: error.to_string() },
                    };
                    let _ = inputs.send(Input::Verified { peer, result }).await;
                });
            }
            Effect::Verdict(verdict) => {
                let why: Vec<String> = verdict.evidence.iter().map(ToString::to_string).collect();
                let why = format!("as seen by {}: {}", self.local.node().name, why.join("; "));
                tracing::info!(node = %verdict.node, state = ?verdict.state, why, "verdict");
                let (state, incarnation) = (verdict.state, verdict.incarnation);
                if state == PeerState::Suspect {
                    self.metrics.suspicions.inc();
                }
                self.board.suspicions.send_modify(|shown| {
                    let before = shown.remove(&verdict.node);
                    if state != PeerState::Alive {
                        // One that went from Suspect to Down has been away since it was Suspect,
                        // unless it spoke up in between.
                        let same = before.filter(|before| before.incarnation >= incarnation);
                        let since = same.map_or_else(Instant::now, |before| before.since);
                        shown.insert(verdict.node, Suspicion { incarnation, state, since, why });
                    }
                });
            }
            Effect::Described { node, revision, metadata } => {
                if node == self.local.id {
                    self.local.outdo(revision);
                }
                self.board.described.send_modify(|described| {
                    described.insert(node, Described { node, revision, metadata });
                });
            }
            Effect::LinksChanged => self.links_changed = true,
            Effect::Refuted { incarnation } => {
                tracing::warn!(%incarnation, "this node was taken for failed and says that it is not");
                self.local.raise_incarnation(incarnation);
                self.refuted.send_replace(incarnation);
            }
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
