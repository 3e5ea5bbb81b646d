//! What happens at each event.

use rand::Rng;

use super::Simulation;
use crate::sim::event::{Delivery, Dial, Event};
use crate::sim::host::{Arrival, Crash, Process};
use crate::sim::network::{Loss, Passage};
use crate::sim::outbox::Effect;
use crate::sim::streams::draw_time;
use crate::sim::time::VirtualTime;
use crate::sim::trace::What;
use crate::sim::{DialOutcome, Failure, Input, Moment, Node, NodeIndex, Outbox, Violation};

/// How often a node may want a timeout at one moment before it counts as stuck. A node with many
/// timers wants many, but not as many.
const TIMEOUTS_AT_ONCE_MAX: u32 = 10_000;

/// How many events may happen at one moment before time counts as stuck. Links without delay can
/// make it so.
const EVENTS_AT_ONCE_MAX: u64 = 10_000_000;

impl<N: Node> Simulation<N> {
    /// Lets the next event happen if it comes by `end`, and tells whom it gave an input; `None`
    /// if there was no event.
    pub(super) fn step_until(
        &mut self,
        end: VirtualTime,
    ) -> Result<Option<Option<NodeIndex>>, Failure> {
        self.not_failed()?;
        if self.queue.next_at().is_none_or(|at| at > end) {
            return Ok(None);
        }
        let Some((at, event)) = self.queue.pop() else { return Ok(None) };
        self.events += 1;
        self.events_at_once = if at > self.now { 0 } else { self.events_at_once + 1 };
        if self.events_at_once > EVENTS_AT_ONCE_MAX {
            let what = format!("{EVENTS_AT_ONCE_MAX} events at one moment; give links a delay");
            return Err(self.fail("time_passes", &what.into()));
        }
        self.now = at;
        let touched = self.happen(event);
        self.not_failed().map(|()| Some(touched))
    }

    fn happen(&mut self, event: Event<N>) -> Option<NodeIndex> {
        match event {
            Event::Delivery(delivery) => self.deliver(delivery),
            Event::Arrival { to, life, arrival } if self.hosts[to.0].life == life => {
                self.arrive(to, arrival)
            }
            Event::Arrival { .. } => None,
            Event::Told { to, what, command } => self.arrive(to, Arrival::Told { what, command }),
            Event::DialRequest { dial } => {
                let to = self.dials.get(&dial)?.to;
                self.arrive(to, Arrival::DialRequest { dial })
            }
            Event::DialEnds { dial, outcome } => {
                let Dial { from, life, to } = self.dials.remove(&dial)?;
                let arrival = Arrival::DialDone { peer: to, outcome };
                (self.hosts[from.0].life == life).then(|| self.arrive(from, arrival)).flatten()
            }
            Event::Timer { node } => self.timer(node),
            Event::Wakes { node, life } => {
                let host = &self.hosts[node.0];
                let wakes = host.is_running() && host.life == life;
                wakes.then(|| self.run_process(node, usize::MAX)).flatten()
            }
            Event::Slice { node, slice } => self.slice(node, slice),
            Event::FaultDue { chaos } => {
                self.fault_due(chaos);
                None
            }
            Event::FaultEnds { fault } => {
                self.end_fault(fault);
                None
            }
        }
    }

    fn deliver(&mut self, delivery: Delivery<N::Message>) -> Option<NodeIndex> {
        let Delivery { from, to, message, connection } = delivery;
        let lives = (self.hosts[from.0].life, self.hosts[to.0].life);
        if connection.is_some_and(|connection| connection != lives) {
            let why = Loss::ConnectionGone;
            self.line(Some(to), || What::Misses { from, message, why });
            return None;
        }
        self.arrive(to, Arrival::Received { from, message })
    }

    /// Something reaches a host: its process takes it now, later or never.
    fn arrive(&mut self, to: NodeIndex, arrival: Arrival<N>) -> Option<NodeIndex> {
        let host = &mut self.hosts[to.0];
        match host.process {
            // What waits comes first.
            Process::Running if host.inbox.is_empty() => return self.take(to, arrival),
            Process::Running | Process::Paused | Process::Starved { .. } => {
                if host.inbox.len() < self.inbox_max || !arrival.needs_room() {
                    host.inbox.push_back(arrival);
                } else {
                    self.miss(to, arrival, Loss::BufferFull);
                }
            }
            Process::Crashed(crash) => {
                match &arrival {
                    Arrival::DialRequest { dial } if crash == Crash::Refusing => {
                        self.answer(*dial, DialOutcome::Refused);
                    }
                    Arrival::Received { from, .. } if crash == Crash::Refusing => {
                        self.close_connection(to, *from);
                    }
                    _ => {}
                }
                self.miss(to, arrival, Loss::NobodyThere);
            }
        }
        None
    }

    fn miss(&mut self, to: NodeIndex, arrival: Arrival<N>, why: Loss) {
        match arrival {
            Arrival::Received { from, message } => {
                self.line(Some(to), || What::Misses { from, message, why });
            }
            Arrival::Told { what, .. } => self.fate(Some(to), || format!("is not told: {what}")),
            Arrival::DialDone { peer, .. } => {
                self.fate(Some(to), || format!("is not told about its dial of {peer}"));
            }
            Arrival::Start | Arrival::ConnectionLost { .. } | Arrival::DialRequest { .. } => {}
        }
    }

    /// A process takes what has come to it.
    fn take(&mut self, to: NodeIndex, arrival: Arrival<N>) -> Option<NodeIndex> {
        let input = match arrival {
            Arrival::Start => Input::Start,
            Arrival::Received { from, message } => {
                let traffic = &mut self.hosts[to.0].traffic;
                traffic.messages_received += 1;
                traffic.bytes_received += N::size(&message) as u64;
                self.connections.set(from.0, to.0, true);
                self.connections.set(to.0, from.0, true);
                Input::Received { from, message }
            }
            Arrival::ConnectionLost { peer } => Input::ConnectionLost { peer },
            Arrival::DialRequest { dial } => {
                self.answer(dial, DialOutcome::Reached);
                return None;
            }
            Arrival::DialDone { peer, outcome } => Input::Dialled { peer, outcome },
            Arrival::Told { what, command } => {
                self.line(Some(to), || What::Told(what));
                return self.feed(to, |node, now, out| command(node, now, out));
            }
        };
        self.feed_input(to, input)
    }

    fn feed_input(&mut self, to: NodeIndex, input: Input<N::Message>) -> Option<NodeIndex> {
        self.line(Some(to), || What::Takes(input.clone()));
        self.feed(to, |node, now, out| node.handle(now, input, out))
    }

    fn feed(
        &mut self,
        to: NodeIndex,
        act: impl FnOnce(&mut N, std::time::Duration, &mut Outbox<'_, N>),
    ) -> Option<NodeIndex> {
        let nodes = self.hosts.len();
        let host = &mut self.hosts[to.0];
        let node = host.node.as_mut()?;
        let mut effects = std::mem::take(&mut self.effects);
        let mut out = Outbox {
            local: to,
            nodes,
            effects: &mut effects,
            disk: &mut host.disk,
            noting: self.tracing,
        };
        act(node, host.clock.read(self.now), &mut out);
        for effect in effects.drain(..) {
            match effect {
                Effect::Send { to: peer, message } => self.send(to, peer, message),
                Effect::Dial { peer } => self.dial(to, peer),
                Effect::Note(text) => self.line(Some(to), || What::Note(text)),
            }
        }
        self.effects = effects;
        self.set_timer(to);
        self.check(to);
        Some(to)
    }

    fn send(&mut self, from: NodeIndex, to: NodeIndex, message: N::Message) {
        let traffic = &mut self.hosts[from.0].traffic;
        traffic.messages_sent += 1;
        traffic.bytes_sent += N::size(&message) as u64;
        let mut passage = self.network.carry(self.now, from, to);
        let mut first = None;
        if let Passage::Arrives { damaged: Some(entropy), again, .. } = &passage {
            first = N::corrupt(&message, *entropy);
            // The double of a damaged message is not damaged.
            if first.is_none() && again.is_none() {
                passage = Passage::Lost(Loss::Damaged);
            }
        }
        self.line(Some(from), || What::Sends { to, message: message.clone(), passage });
        let Passage::Arrives { at, again, ordered, damaged } = passage else { return };
        let lives = (self.hosts[from.0].life, self.hosts[to.0].life);
        let connection = ordered.then_some(lives);
        let delivery = |message| Event::Delivery(Delivery { from, to, message, connection });
        if let Some(again) = again {
            self.queue.add(again, delivery(message.clone()));
        }
        match (damaged, first) {
            (None, _) => self.queue.add(at, delivery(message)),
            (Some(_), Some(damaged)) => self.queue.add(at, delivery(damaged)),
            (Some(_), None) => {}
        }
    }

    fn dial(&mut self, from: NodeIndex, to: NodeIndex) {
        self.line(Some(from), || What::Dials(to));
        self.dials_begun += 1;
        let dial = self.dials_begun;
        let life = self.hosts[from.0].life;
        self.dials.insert(dial, Dial { from, life, to });
        if let Some(delay) = self.network.packet(from, to) {
            self.queue.add(self.now.after(delay), Event::DialRequest { dial });
        }
        let given_up = self.now.after(self.dial_timeout);
        self.queue.add(given_up, Event::DialEnds { dial, outcome: DialOutcome::NoAnswer });
    }

    /// The host that was dialled answers.
    fn answer(&mut self, dial: u64, outcome: DialOutcome) {
        let Some(Dial { from, to, .. }) = self.dials.get(&dial) else { return };
        let (from, to) = (*from, *to);
        if outcome == DialOutcome::Reached {
            self.connections.set(from.0, to.0, true);
            self.connections.set(to.0, from.0, true);
        }
        if let Some(delay) = self.network.packet(to, from) {
            self.queue.add(self.now.after(delay), Event::DialEnds { dial, outcome });
        }
    }

    /// Closes all connections of a process that has ended, as far as its host reaches the others.
    pub(super) fn close_connections(&mut self, of: NodeIndex) {
        (0..self.hosts.len()).for_each(|peer| self.close_connection(of, NodeIndex(peer)));
    }

    fn close_connection(&mut self, of: NodeIndex, peer: NodeIndex) {
        if !self.connections.has(of.0, peer.0) {
            return;
        }
        let Some(delay) = self.network.packet(of, peer) else { return };
        self.connections.set(of.0, peer.0, false);
        self.connections.set(peer.0, of.0, false);
        let (life, arrival) = (self.hosts[peer.0].life, Arrival::ConnectionLost { peer: of });
        self.queue.add(self.now.after(delay), Event::Arrival { to: peer, life, arrival });
    }

    fn timer(&mut self, node: NodeIndex) -> Option<NodeIndex> {
        let host = &mut self.hosts[node.0];
        if host.timer != Some(self.now) {
            return None;
        }
        host.timer = None;
        // A process that stands still looks at its clock when it runs again.
        if !host.is_running() || !host.inbox.is_empty() {
            return None;
        }
        if !host.is_due(self.now) {
            self.set_timer(node);
            return None;
        }
        let at_once = if host.timeouts.0 == self.now { host.timeouts.1 + 1 } else { 1 };
        host.timeouts = (self.now, at_once);
        if at_once > TIMEOUTS_AT_ONCE_MAX {
            let what = format!(
                "{node} took {TIMEOUTS_AT_ONCE_MAX} timeouts at one moment; next_timeout must \
                 move on when a timeout was taken"
            );
            self.fail("timeouts_end", &what.into());
            return None;
        }
        self.feed_input(node, Input::Timeout)
    }

    /// Sees to it that there is a timer event when the node wants one. One that comes too early is
    /// harmless, so a timeout that moves away costs nothing.
    pub(super) fn set_timer(&mut self, node: NodeIndex) {
        let host = &mut self.hosts[node.0];
        let Some(due) = host.node.as_ref().and_then(N::next_timeout) else { return };
        let at = host.clock.when(due).max(self.now);
        if host.timer.is_none_or(|timer| at < timer) {
            host.timer = Some(at);
            self.queue.add(at, Event::Timer { node });
        }
    }

    /// A process takes up to `inputs` of what has waited for it.
    fn run_process(&mut self, node: NodeIndex, inputs: usize) -> Option<NodeIndex> {
        let host = &self.hosts[node.0];
        let starts = matches!(host.inbox.front(), Some(Arrival::Start));
        // Whether it looks at its clock or at its sockets first, nobody can know.
        let mut touched = None;
        if !starts && host.is_due(self.now) && self.processes.random_bool(0.5) {
            touched = self.feed_input(node, Input::Timeout);
        }
        for _ in 0..inputs {
            if self.failure.is_some() {
                return touched;
            }
            let Some(arrival) = self.hosts[node.0].inbox.pop_front() else { break };
            touched = self.take(node, arrival).or(touched);
        }
        if self.failure.is_none() && self.hosts[node.0].is_due(self.now) {
            touched = self.feed_input(node, Input::Timeout).or(touched);
        }
        self.set_timer(node);
        touched
    }

    fn slice(&mut self, node: NodeIndex, slice: u64) -> Option<NodeIndex> {
        let inputs = match &self.hosts[node.0].process {
            Process::Starved { starvation, slice: current } if *current == slice => {
                starvation.inputs_per_slice
            }
            _ => return None,
        };
        let touched = self.run_process(node, inputs);
        self.next_slice(node);
        touched
    }

    pub(super) fn next_slice(&mut self, node: NodeIndex) {
        if let Process::Starved { starvation, slice } = &mut self.hosts[node.0].process {
            self.slices += 1;
            *slice = self.slices;
            let gap = draw_time(&mut self.processes, &starvation.gap);
            self.queue.add(self.now.after(gap), Event::Slice { node, slice: self.slices });
        }
    }

    fn check(&mut self, touched: NodeIndex) {
        let moment = Moment { now: self.now, touched: Some(touched), hosts: &self.hosts };
        let broken = self.predicates.iter_mut().find_map(|predicate| {
            let wrong: Violation = predicate.check(&moment).err()?;
            Some((predicate.name().to_owned(), wrong))
        });
        if let Some((predicate, wrong)) = broken {
            self.fail(&predicate, &wrong);
        }
    }
}
