//! A network for chitchat with the delays, losses and starvation of our simulator.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use chitchat::ChitchatEnvelope;
use chitchat::transport::{ChannelTransport, RecvOutcome, SendOutcome, Socket, Transport};
use clustron_testkit::sim::{Link, Starvation};
use rand_10::rngs::StdRng;
use rand_10::{RngExt, SeedableRng};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::systems::Sent;

/// How many messages are under way to a node or wait there, as in the simulator; more are lost.
const INBOX_MAX: usize = 1024;

/// Shared by all sockets.
#[derive(Clone)]
pub(super) struct Network(Arc<Mutex<State>>);

struct State {
    link: Link,
    rng: StdRng,
    inboxes: BTreeMap<SocketAddr, Inbox>,
    starved: BTreeMap<SocketAddr, Starvation>,
    sent: Sent,
}

/// What is under way to a node or waits there, by when it arrives, then in the order of sending.
#[derive(Default)]
struct Inbox {
    messages: BTreeMap<(Instant, u64), RecvOutcome>,
    more: Arc<Notify>,
}

impl Network {
    /// All links are alike; the seed decides about delays and losses.
    pub(super) fn new(seed: u64, link: Link) -> Self {
        Self(Arc::new(Mutex::new(State {
            link,
            rng: StdRng::seed_from_u64(seed),
            inboxes: BTreeMap::new(),
            starved: BTreeMap::new(),
            sent: Sent::default(),
        })))
    }

    /// Changes all links.
    pub(super) fn set_link(&self, link: Link) {
        self.state().link = link;
    }

    /// From now on a node takes messages, and sends some, only now and then. A message that it
    /// sends stops its task until then, so that its timers stand still as well.
    pub(super) fn starve(&self, node: SocketAddr, starvation: Starvation) {
        self.state().starved.insert(node, starvation);
    }

    /// Nothing reaches a node any more.
    pub(super) fn close(&self, node: SocketAddr) {
        self.state().inboxes.remove(&node);
    }

    /// What all nodes have sent.
    pub(super) fn sent(&self) -> Sent {
        self.state().sent
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here can be left half done by a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn send(&mut self, to: SocketAddr, message: RecvOutcome) {
        self.sent.messages += 1;
        self.sent.bytes += message.num_bytes_received as u64;
        let delay = self.link.delay + draw(&mut self.rng, Duration::ZERO, self.link.jitter);
        let lost = self.rng.random_bool(self.link.loss);
        let number = self.sent.messages;
        if let Some(inbox) = self.inboxes.get_mut(&to)
            && inbox.messages.len() < INBOX_MAX
            && !lost
        {
            inbox.messages.insert((Instant::now() + delay, number), message);
            inbox.more.notify_one();
        }
    }

    /// The end of the gap that a starved node is in at `now`, if it stood still at `since` last.
    fn gap_ends(&mut self, node: SocketAddr, since: Instant, now: Instant) -> Option<Instant> {
        let gap = self.starved.get(&node)?.gap.clone();
        let mut end = since;
        while end <= now {
            end += draw(&mut self.rng, gap.start, gap.end);
        }
        Some(end)
    }
}

#[async_trait]
impl Transport for Network {
    async fn open(&self, addr: SocketAddr) -> anyhow::Result<Box<dyn Socket>> {
        let inbox = Inbox::default();
        let more = inbox.more.clone();
        self.state().inboxes.insert(addr, inbox);
        let scales = ChannelTransport::default().open(addr).await?;
        let slice = Slice { at: Instant::now(), inputs_left: 0 };
        Ok(Box::new(OneSocket { addr, network: self.clone(), scales, more, slice }))
    }
}

/// One node's end.
struct OneSocket {
    addr: SocketAddr,
    network: Network,
    /// Leads back to the node itself. Only chitchat's own transports can tell how long a message
    /// is on the wire.
    scales: Box<dyn Socket>,
    more: Arc<Notify>,
    slice: Slice,
}

/// When a starved process runs: a moment in which it takes some inputs. In the past or to come.
#[derive(Clone, Copy)]
struct Slice {
    at: Instant,
    inputs_left: usize,
}

impl OneSocket {
    /// Waits until the process runs with so many inputs left to take. May be given up and called
    /// again.
    async fn runs(&mut self, inputs: usize) {
        let Some(starvation) = self.network.state().starved.get(&self.addr).cloned() else {
            return;
        };
        loop {
            let now = Instant::now();
            if self.slice.at == now && self.slice.inputs_left >= inputs {
                self.slice.inputs_left -= inputs;
                return;
            }
            if self.slice.at <= now {
                let end = self.network.state().gap_ends(self.addr, self.slice.at, now);
                self.slice.at = end.unwrap_or(now);
            }
            sleep_until(self.slice.at).await;
            // The timer is a little late: it counts in milliseconds.
            self.slice = Slice { at: Instant::now(), inputs_left: starvation.inputs_per_slice };
        }
    }
}

#[async_trait]
impl Socket for OneSocket {
    fn local_addr(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.addr)
    }

    async fn send(
        &mut self,
        to: SocketAddr,
        envelope: ChitchatEnvelope,
    ) -> anyhow::Result<SendOutcome> {
        self.runs(0).await;
        let outcome = self.scales.send(self.addr, envelope).await?;
        let message = self.scales.recv().await?;
        self.network.state().send(to, message);
        Ok(outcome)
    }

    /// Takes nothing before its last step, so it may be given up.
    async fn recv(&mut self) -> anyhow::Result<RecvOutcome> {
        loop {
            let next = {
                let state = self.network.state();
                let inbox = state.inboxes.get(&self.addr).context("the node has crashed")?;
                inbox.messages.first_key_value().map(|((at, _), _)| *at)
            };
            match next {
                None => self.more.notified().await,
                Some(at) if at > Instant::now() => {
                    tokio::select! {
                        biased;
                        () = sleep_until(at) => {}
                        () = self.more.notified() => {}
                    }
                }
                Some(_) => {
                    self.runs(1).await;
                    let mut state = self.network.state();
                    let inbox = state.inboxes.get_mut(&self.addr);
                    if let Some((_, message)) = inbox.and_then(|i| i.messages.pop_first()) {
                        return Ok(message);
                    }
                }
            }
        }
    }
}

impl Drop for OneSocket {
    fn drop(&mut self) {
        self.network.close(self.addr);
    }
}

fn draw(rng: &mut StdRng, from: Duration, to: Duration) -> Duration {
    if from >= to { from } else { rng.random_range(from..to) }
}
