//! A node that does what it is told and remembers all that happened to it.

use std::time::Duration;

use crate::sim::{
    DialOutcome, Input, Link, Node, NodeIndex, Outbox, Simulation, SimulationBuilder, flip_bits,
};

pub(super) const MS: Duration = Duration::from_millis(1);
pub(super) const SECOND: Duration = Duration::from_secs(1);

pub(super) const A: NodeIndex = NodeIndex(0);
pub(super) const B: NodeIndex = NodeIndex(1);
pub(super) const C: NodeIndex = NodeIndex(2);

#[derive(Default)]
pub(super) struct Talker {
    /// All inputs, with what the clock showed.
    pub(super) inputs: Vec<(Duration, Input<u64>)>,
    /// What the disk held at the start.
    pub(super) found: u64,
    pub(super) seed: u64,
    /// How long it waits between two timeouts.
    every: Option<Duration>,
    due: Option<Duration>,
}

impl Talker {
    /// The numbers that came in, in their order.
    pub(super) fn heard(&self) -> Vec<u64> {
        let number = |(_, input): &(Duration, Input<u64>)| match input {
            Input::Received { message, .. } => Some(*message),
            _ => None,
        };
        self.inputs.iter().filter_map(number).collect()
    }

    pub(super) fn dials(&self) -> Vec<DialOutcome> {
        let outcome = |(_, input): &(Duration, Input<u64>)| match input {
            Input::Dialled { outcome, .. } => Some(*outcome),
            _ => None,
        };
        self.inputs.iter().filter_map(outcome).collect()
    }

    pub(super) fn lost(&self) -> Vec<NodeIndex> {
        let peer = |(_, input): &(Duration, Input<u64>)| match input {
            Input::ConnectionLost { peer } => Some(*peer),
            _ => None,
        };
        self.inputs.iter().filter_map(peer).collect()
    }

    pub(super) fn timeouts(&self) -> usize {
        self.inputs.iter().filter(|(_, input)| *input == Input::Timeout).count()
    }
}

impl Node for Talker {
    type Message = u64;
    type Disk = u64;

    fn handle(&mut self, now: Duration, input: Input<u64>, _out: &mut Outbox<'_, Self>) {
        if matches!(input, Input::Start | Input::Timeout) {
            self.due = self.every.map(|every| now + every);
        }
        self.inputs.push((now, input));
    }

    fn next_timeout(&self) -> Option<Duration> {
        self.due
    }

    fn size(_message: &u64) -> usize {
        8
    }

    fn corrupt(message: &u64, entropy: u64) -> Option<u64> {
        let mut bytes = message.to_le_bytes();
        flip_bits(&mut bytes, entropy);
        // As a decoder that knows no large numbers.
        Some(u64::from_le_bytes(bytes)).filter(|number| *number < 1 << 32)
    }
}

pub(super) fn builder() -> SimulationBuilder {
    SimulationBuilder::new(1).link(Link::steady(MS))
}

pub(super) fn build(builder: SimulationBuilder) -> Simulation<Talker> {
    builder.build(|_, seed, disk| Talker { found: *disk, seed, ..Talker::default() })
}

/// Three talkers on steady links of 1 ms, started.
pub(super) fn three() -> Simulation<Talker> {
    let mut simulation = build(builder());
    simulation.run_for(MS).unwrap();
    simulation
}

/// Three that want a timeout every 10 ms.
pub(super) fn ticking(builder: SimulationBuilder) -> Simulation<Talker> {
    builder.build(|_, seed, _| Talker { every: Some(10 * MS), seed, ..Talker::default() })
}

pub(super) fn talker(simulation: &Simulation<Talker>, node: NodeIndex) -> &Talker {
    simulation.node(node).unwrap()
}

/// `from` sends the numbers from 0 to before `count` to `to`, one every millisecond.
pub(super) fn send(sim: &mut Simulation<Talker>, from: NodeIndex, to: NodeIndex, count: u64) {
    for number in 0..count {
        let at = MS * u32::try_from(number).unwrap();
        sim.tell_in(at, from, "send", move |_, _, out| out.send(to, number));
    }
}

pub(super) fn dial(sim: &mut Simulation<Talker>, from: NodeIndex, to: NodeIndex) {
    sim.tell(from, "dial", move |_, _, out| out.dial(to));
}
