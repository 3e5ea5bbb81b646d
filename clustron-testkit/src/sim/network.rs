//! The network between the nodes: decides for every message whether and when it arrives.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;

use super::bits::BitMatrix;
use super::link::{Link, Weather};
use super::streams::{Stream, draw_time, stream};
use super::time::VirtualTime;
use super::{NodeIndex, Partition};

/// After what time a kernel sends a lost packet of a connection again.
const RETRANSMIT_AFTER: Duration = Duration::from_millis(200);

/// After so many lost packets a kernel's user has long given up.
const RETRANSMITS_MAX: u32 = 16;

/// What one node has sent and got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Messages that the node has sent, those that were lost among them.
    pub messages_sent: u64,
    /// Their [`Node::size`](super::Node::size).
    pub bytes_sent: u64,
    /// Messages that the node has taken in, each copy of a doubled one.
    pub messages_received: u64,
    /// Their size.
    pub bytes_received: u64,
}

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passage {
    Lost(Loss),
    /// When it arrives, and when its double does.
    Arrives {
        at: VirtualTime,
        again: Option<VirtualTime>,
        ordered: bool,
        damaged: Option<u64>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    Cut,
    Chance,
    /// Its bytes were damaged and the receiver would see that.
    Damaged,
    /// The receiver's buffer has no room.
    BufferFull,
    /// There is no process to take it.
    NobodyThere,
    /// The connection on which it travelled is gone.
    ConnectionGone,
}

pub(super) struct Network {
    base: Link,
    /// Links that differ from `base`.
    links: BTreeMap<(NodeIndex, NodeIndex), Link>,
    /// Directions that a script has cut.
    cuts: BitMatrix,
    /// Partitions by who made them: a fault's number, or `None` for a script.
    partitions: Vec<(Option<u64>, Partition)>,
    weathers: Vec<(Option<u64>, Weather)>,
    /// All of `weathers` in one.
    weather: Option<Weather>,
    /// When the last message of an ordered link arrives.
    last_arrivals: BTreeMap<(NodeIndex, NodeIndex), VirtualTime>,
    delays: StdRng,
    losses: StdRng,
    duplicates: StdRng,
    corruption: StdRng,
    connections: StdRng,
}

impl Network {
    pub(super) fn new(nodes: usize, base: Link, seed: u64) -> Network {
        Network {
            base: base.checked(),
            links: BTreeMap::new(),
            cuts: BitMatrix::new(nodes),
            partitions: Vec::new(),
            weathers: Vec::new(),
            weather: None,
            last_arrivals: BTreeMap::new(),
            delays: stream(seed, Stream::Delays),
            losses: stream(seed, Stream::Losses),
            duplicates: stream(seed, Stream::Duplicates),
            corruption: stream(seed, Stream::Corruption),
            connections: stream(seed, Stream::Connections),
        }
    }

    pub(super) fn set_base(&mut self, link: Link) {
        self.base = link.checked();
    }

    pub(super) fn set_link(&mut self, from: NodeIndex, to: NodeIndex, link: Link) {
        self.links.insert((from, to), link.checked());
    }

    pub(super) fn set_cut(&mut self, from: NodeIndex, to: NodeIndex, cut: bool) {
        self.cuts.set(from.0, to.0, cut);
    }

    pub(super) fn add_partition(&mut self, by: Option<u64>, partition: Partition) {
        self.partitions.push((by, partition));
    }

    pub(super) fn add_weather(&mut self, by: Option<u64>, weather: Weather) {
        self.base.under(&weather).checked();
        self.weathers.push((by, weather));
        self.sum_up_weather();
    }

    /// Undoes what one fault did.
    pub(super) fn undo(&mut self, fault: u64) {
        self.partitions.retain(|(by, _)| *by != Some(fault));
        self.weathers.retain(|(by, _)| *by != Some(fault));
        self.sum_up_weather();
    }

    /// Undoes all cuts, partitions and weather. Links stay as they were set.
    pub(super) fn heal(&mut self) {
        self.cuts.clear();
        self.partitions.clear();
        self.weathers.clear();
        self.weather = None;
    }

    pub(super) fn is_cut(&self, from: NodeIndex, to: NodeIndex) -> bool {
        self.cuts.has(from.0, to.0) || self.partitions.iter().any(|(_, p)| p.cuts(from, to))
    }

    /// Decides about a message that is sent now.
    pub(super) fn carry(&mut self, now: VirtualTime, from: NodeIndex, to: NodeIndex) -> Passage {
        let link = self.link(from, to);
        // Drawn in any case, so that a loss does not change the delays of what follows.
        let mut at = now.after(self.delay(&link));
        if self.is_cut(from, to) {
            return Passage::Lost(Loss::Cut);
        }
        let mut again = None;
        if link.ordered {
            at = at.after(retransmitted(&link, &mut self.losses));
            let last = self.last_arrivals.entry((from, to)).or_insert(at);
            *last = at.max(*last);
            at = *last;
        } else {
            if happens(link.loss, &mut self.losses) {
                return Passage::Lost(Loss::Chance);
            }
            if happens(link.duplicate, &mut self.duplicates) {
                let extra = draw(&link, &mut self.duplicates);
                again = Some(now.after(extra));
            }
        }
        let damaged =
            happens(link.corrupt, &mut self.corruption).then(|| self.corruption.random::<u64>());
        Passage::Arrives { at, again, ordered: link.ordered, damaged }
    }

    /// How long a packet that belongs to no message takes, one that opens or ends a connection.
    /// `None` if the link is cut.
    pub(super) fn packet(&mut self, from: NodeIndex, to: NodeIndex) -> Option<Duration> {
        let link = self.link(from, to);
        let delay = draw(&link, &mut self.connections);
        let late = retransmitted(&link, &mut self.connections);
        (!self.is_cut(from, to)).then_some(delay + late)
    }

    fn link(&self, from: NodeIndex, to: NodeIndex) -> Link {
        let link = match self.links.is_empty() {
            true => self.base,
            false => self.links.get(&(from, to)).copied().unwrap_or(self.base),
        };
        self.weather.map_or(link, |weather| link.under(&weather))
    }

    fn delay(&mut self, link: &Link) -> Duration {
        draw(link, &mut self.delays)
    }

    fn sum_up_weather(&mut self) {
        self.weather = self.weathers.iter().map(|(_, weather)| *weather).reduce(Weather::and);
    }
}

fn draw(link: &Link, rng: &mut StdRng) -> Duration {
    match link.jitter.is_zero() {
        true => link.delay,
        false => link.delay + draw_time(rng, &(Duration::ZERO..link.jitter)),
    }
}

/// What losses cost where lost packets are sent again.
fn retransmitted(link: &Link, rng: &mut StdRng) -> Duration {
    let mut lost = 0;
    while lost < RETRANSMITS_MAX && happens(link.loss, rng) {
        lost += 1;
    }
    RETRANSMIT_AFTER * lost
}

/// Draws nothing for what cannot happen.
fn happens(probability: f64, rng: &mut StdRng) -> bool {
    probability > 0.0 && rng.random_bool(probability)
}
