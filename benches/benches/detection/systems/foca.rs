//! foca on our simulator: it is a plain value too, so it runs as a [`Node`] on the same links, the
//! same virtual clocks and under the same starvation as ours.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::{NonZeroU8, NonZeroU32};
use std::rc::Rc;
use std::time::Duration;

use ::foca::{
    Config, Foca, Identity, NoCustomBroadcast, Notification, PostcardCodec, Runtime, Timer,
};
use anyhow::Context;
use bytes::Bytes;
use clustron_testkit::sim::{
    Crash, Input, Link, Node, NodeIndex, Outbox, Simulation, SimulationBuilder, Starvation, Tracing,
};
use rand_10::SeedableRng;
use rand_10::rngs::StdRng;
use serde::{Deserialize, Serialize};

use super::knowledge::Knowledge;
use super::{Cluster, LINK, SEEDS, Sent, addr_of, node_at};

/// See [`tuned`].
const TRANSMISSIONS_MIN: NonZeroU8 = NonZeroU8::MIN.saturating_add(4);

/// What foca suggests for a local network of that size. It follows memberlist: a probe a second,
/// and four to twelve seconds of suspicion.
pub(super) fn lan(nodes: usize) -> anyhow::Result<Config> {
    let nodes = u32::try_from(nodes).ok().and_then(NonZeroU32::new);
    Ok(Config::new_lan(nodes.context("foca takes from 1 to 2^32 - 1 nodes")?))
}

/// The same, but about as fast as ours: a probe every 500 ms, an answer expected within 150 ms, and
/// a suspect has 2 s to object, whatever the size. News is passed on at least five times, which
/// foca's documentation calls reasonable for small clusters; `new_lan` says twice for three nodes.
pub(super) fn tuned(nodes: usize) -> anyhow::Result<Config> {
    let lan = lan(nodes)?;
    Ok(Config {
        max_transmissions: lan.max_transmissions.max(TRANSMISSIONS_MIN),
        probe_period: Duration::from_millis(500),
        probe_rtt: Duration::from_millis(150),
        suspect_to_down_after: Duration::from_secs(2),
        ..lan
    })
}

/// A simulated cluster of foca.
pub(super) struct FocaCluster {
    nodes: usize,
    sim: Simulation<Peer>,
    knowledge: Rc<RefCell<Knowledge>>,
}

impl FocaCluster {
    /// All nodes start at once and ask the first few to let them in.
    pub(super) fn new(nodes: usize, seed: u64, config: Config) -> Self {
        let knowledge = Rc::new(RefCell::new(Knowledge::new(nodes)));
        let builder =
            SimulationBuilder::new(seed).nodes(nodes).link(LINK()).tracing(Tracing::off());
        let shared = knowledge.clone();
        let sim = builder.build(move |node, seed, _disk| {
            let rng = StdRng::seed_from_u64(seed);
            let id = Id { addr: addr_of(node.0), rejoins: 0 };
            Peer {
                foca: Foca::new(id, config.clone(), rng, PostcardCodec),
                timers: BTreeMap::new(),
                timers_set: 0,
                knowledge: shared.clone(),
            }
        });
        Self { nodes, sim, knowledge }
    }
}

impl Cluster for FocaCluster {
    fn run_for(&mut self, time: Duration) -> anyhow::Result<()> {
        Ok(self.sim.run_for(time)?)
    }

    fn until_whole(&mut self, within: Duration) -> anyhow::Result<bool> {
        let end = self.sim.now() + within;
        while !self.knowledge.borrow().is_whole() {
            if self.sim.now() >= end {
                return Ok(false);
            }
            self.sim.run_for(Duration::from_millis(100))?;
        }
        Ok(true)
    }

    fn crash(&mut self, node: usize) {
        self.sim.crash(NodeIndex(node), Crash::Silent);
        self.knowledge.borrow_mut().crash(node);
    }

    fn until_removed(&mut self, node: usize, within: Duration) -> anyhow::Result<Option<Duration>> {
        let knowledge = self.knowledge.clone();
        Ok(self.sim.run_until(within, |_| knowledge.borrow().is_removed(node))?)
    }

    fn worsen(&mut self, loss: f64, starved: &[usize]) {
        self.sim.set_links(Link { loss, ..LINK() });
        for node in starved {
            self.sim.starve(NodeIndex(*node), Starvation::default());
        }
    }

    fn false_removals(&self) -> u64 {
        self.knowledge.borrow().false_removals()
    }

    fn sent(&self) -> Sent {
        let all = (0..self.nodes).map(|node| self.sim.traffic(NodeIndex(node)));
        all.fold(Sent::default(), |sum, one| Sent {
            messages: sum.messages + one.messages_sent,
            bytes: sum.bytes + one.bytes_sent,
        })
    }
}

/// How nodes name each other, as in foca's own example: an address, and a number that lets a node
/// that was declared down come back at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Id {
    addr: SocketAddr,
    rejoins: u32,
}

impl Identity for Id {
    type Addr = SocketAddr;

    fn renew(&self) -> Option<Self> {
        Some(Self { rejoins: self.rejoins + 1, ..self.clone() })
    }

    fn addr(&self) -> SocketAddr {
        self.addr
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        self.rejoins > adversary.rejoins
    }
}

/// One node.
struct Peer {
    foca: Foca<Id, PostcardCodec, StdRng, NoCustomBroadcast>,
    /// By when they are due, then in the order in which they were set. Bounded by what foca has
    /// under way.
    timers: BTreeMap<(Duration, u64), Timer<Id>>,
    timers_set: u64,
    knowledge: Rc<RefCell<Knowledge>>,
}

impl Node for Peer {
    type Message = Bytes;
    type Disk = ();

    fn handle(&mut self, now: Duration, input: Input<Bytes>, out: &mut Outbox<'_, Self>) {
        let Self { foca, timers, timers_set, knowledge } = self;
        let mut due = Vec::new();
        while matches!(input, Input::Timeout)
            && let Some(first) = timers.first_entry()
            && first.key().0 <= now
        {
            due.push(first.remove());
        }
        let local = out.local().0;
        let mut effects = Effects { now, timers, timers_set, knowledge, out };
        // Errors are for the log: foca goes on, and says itself which ones are to be expected.
        match input {
            Input::Start => {
                for seed in (0..SEEDS).filter(|seed| *seed < local) {
                    let seed = Id { addr: addr_of(seed), rejoins: 0 };
                    let _ = foca.announce(seed, &mut effects);
                }
            }
            Input::Received { message, .. } => {
                let _ = foca.handle_data(&message, &mut effects);
            }
            Input::Timeout => {
                for timer in due {
                    let _ = foca.handle_timer(timer, &mut effects);
                }
            }
            // It knows no connections.
            _ => {}
        }
    }

    fn next_timeout(&self) -> Option<Duration> {
        self.timers.first_key_value().map(|((due, _), _)| *due)
    }

    fn size(message: &Bytes) -> usize {
        message.len()
    }
}

/// Takes what foca wants done.
struct Effects<'a, 'b> {
    now: Duration,
    timers: &'a mut BTreeMap<(Duration, u64), Timer<Id>>,
    timers_set: &'a mut u64,
    knowledge: &'a RefCell<Knowledge>,
    out: &'a mut Outbox<'b, Peer>,
}

impl Runtime<Id> for Effects<'_, '_> {
    fn notify(&mut self, notification: Notification<'_, Id>) {
        let (id, has) = match notification {
            Notification::MemberUp(id) => (id, true),
            Notification::MemberDown(id) => (id, false),
            _ => return,
        };
        self.knowledge.borrow_mut().set(self.out.local().0, node_at(id.addr), has);
    }

    fn send_to(&mut self, to: Id, data: &[u8]) {
        self.out.send(NodeIndex(node_at(to.addr)), Bytes::copy_from_slice(data));
    }

    fn submit_after(&mut self, event: Timer<Id>, after: Duration) {
        *self.timers_set += 1;
        self.timers.insert((self.now + after, *self.timers_set), event);
    }
}
