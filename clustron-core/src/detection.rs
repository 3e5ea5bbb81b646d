//! Drives [`Membership`]: feeds it the view, messages and lost connections, and shows its verdicts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::control::{Agreed, Control};
use crate::identity::{Incarnation, NodeId};
use crate::local::Local;
use crate::membership::{
    Effect, Input, Membership, MembershipConfig, Message, PeerState, Verification,
};
use crate::messaging::{self, Lane, MessageError, Messenger, PeerNews};
use crate::metrics::CoreMetrics;
use crate::tasks::Tasks;

/// Inputs that may wait for the detector. Probes are repeated, so one more that is dropped under a
/// flood costs time and nothing else.
const QUEUE: usize = 1024;

/// How long a membership message may take to leave; the next round says it anew.
const SEND_DEADLINE: Duration = Duration::from_secs(1);

/// What this node thinks of a peer that it does not take for healthy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Suspicion {
    /// It did not answer; it may yet.
    Suspect {
        /// For people.
        why: String,
    },
    /// It failed.
    Down {
        /// The incarnation that failed.
        incarnation: Incarnation,
        /// For people.
        why: String,
    },
}

/// The peers that are not taken for healthy.
pub(crate) type Suspicions = BTreeMap<NodeId, Suspicion>;

impl messaging::Message for Message {
    const KIND: &'static str = "core.membership";
}

/// The detector's parts before it can run: others need what it shows.
pub(crate) struct Detection {
    inputs: mpsc::Sender<Input>,
    inputs_rx: mpsc::Receiver<Input>,
    shown: watch::Sender<Suspicions>,
    refuted: watch::Sender<Incarnation>,
}

impl Detection {
    pub(crate) fn new() -> Self {
        let (inputs, inputs_rx) = mpsc::channel(QUEUE);
        Self {
            inputs,
            inputs_rx,
            shown: watch::Sender::default(),
            refuted: watch::Sender::new(Incarnation(0)),
        }
    }

    pub(crate) fn suspicions(&self) -> watch::Receiver<Suspicions> {
        self.shown.subscribe()
    }

    /// Changes when this node had to raise its incarnation because others took it for down.
    pub(crate) fn refuted(&self) -> watch::Receiver<Incarnation> {
        self.refuted.subscribe()
    }

    /// Starts the detector. Its choices follow from `seed`.
    pub(crate) fn run(
        self,
        config: MembershipConfig,
        seed: u64,
        messenger: Messenger,
        news: mpsc::Receiver<PeerNews>,
        control: Arc<Control>,
    ) {
        let (local, tasks) = (control.local.clone(), control.tasks.clone());
        let inputs = self.inputs.clone();
        messenger.on_message(move |from, message: Message| {
            // Full: the sender repeats itself.
            let _ = inputs.try_send(Input::Received { from, message });
            std::future::ready(())
        });
        let machine = Membership::new(local.id, local.node().incarnation, config, seed);
        let agreed = control.agreed();
        let driver = Driver {
            machine,
            started: Instant::now(),
            inputs: self.inputs,
            shown: self.shown,
            refuted: self.refuted,
            local,
            messenger,
            metrics: control.metrics.clone(),
            control,
            tasks: tasks.clone(),
        };
        tasks.spawn("failure detector", driver.run(self.inputs_rx, news, agreed));
    }
}

struct Driver {
    machine: Membership,
    started: Instant,
    inputs: mpsc::Sender<Input>,
    shown: watch::Sender<Suspicions>,
    refuted: watch::Sender<Incarnation>,
    local: Arc<Local>,
    messenger: Messenger,
    control: Arc<Control>,
    metrics: Arc<CoreMetrics>,
    tasks: Tasks,
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
            let timeout = self.machine.next_timeout().map(|at| self.started + at);
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
                Some(input) = inputs.recv() => input,
                () = sleep_until(timeout) => Input::Timeout,
            };
            if let Input::Verified { peer, result: Verification::Gone { .. } } = &input {
                self.control.peer_gone(*peer);
            }
            for effect in self.machine.handle(self.started.elapsed(), input) {
                self.perform(effect);
            }
        }
    }

    fn view_changed(&self, agreed: &Agreed) -> Input {
        let voters = self.control.voters();
        for record in agreed.view.nodes() {
            let id = record.info.id;
            if agreed.view.is_alive(id) {
                self.messenger.learn_address(id, &record.info.addr);
            } else if voters.contains(&id) {
                // It may live after all, and its very vote be needed.
                self.messenger.hang_up(id);
            } else {
                self.messenger.forget(id);
            }
        }
        // A peer that the view has put out is of no interest to anybody any more.
        self.shown.send_if_modified(|shown| {
            let before = shown.len();
            shown.retain(|id, _| agreed.view.is_alive(*id));
            shown.len() != before
        });
        Input::ViewChanged(agreed.view.alive().map(|n| (n.id, n.incarnation)).collect())
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Send { to, message } => {
                let messenger = self.messenger.clone();
                self.tasks.spawn("membership message", async move {
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
                self.shown.send_modify(|shown| match verdict.state {
                    PeerState::Alive => drop(shown.remove(&verdict.node)),
                    PeerState::Suspect => {
                        self.metrics.suspicions.inc();
                        shown.insert(verdict.node, Suspicion::Suspect { why });
                    }
                    PeerState::Down => {
                        let incarnation = verdict.incarnation;
                        shown.insert(verdict.node, Suspicion::Down { incarnation, why });
                    }
                });
            }
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
