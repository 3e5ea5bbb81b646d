//! The layers of one end of one conversation, one upon the other.
//!
//! The stack carries packets between its layers, like a lift, and tells its driver what to write,
//! what to deliver and when to come back. It never writes by itself: the driver asks for the next
//! packet when the wire can take one, and only then do layers let go of what they hold back. So a
//! slow wire leaves everything where it is bounded, and a small message is not behind a large one
//! that somebody has cut into pieces.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use super::{Effect, Input, Layer, Out, Packet};

/// From so many bytes on that wait to be written, whoever sends must wait.
const WRITES_BYTES: usize = 1 << 20;

/// Something for the driver.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A message of the other end's, for the application. When the application has it, the driver
    /// says so with [`Stack::taken`].
    Deliver(Bytes),
    /// This message is at the other end for certain, after all before it, or, where messages may
    /// overtake each other, with all its pieces. That the application there has taken it, and that
    /// the process lives on, only an answer of its own says.
    Confirmed(u64),
    /// The conversation is over. Nothing comes after this.
    Failed(Failure),
}

/// How a conversation ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the conversation ended{}: {reason}", in_layer(.layer))]
pub struct Failure {
    /// The layer that could not go on; `None` if its connection or its driver ended it.
    pub layer: Option<String>,
    /// Why.
    pub reason: String,
    /// Messages that were never sent: nobody has them, and they may be sent again.
    pub unsent: Vec<u64>,
    /// Messages that the other end may have or not. Empty also where no layer confirms any, and
    /// then all are unknown.
    pub unknown: Vec<u64>,
}

fn in_layer(layer: &Option<String>) -> String {
    layer.as_ref().map_or_else(String::new, |layer| format!(" in layer {layer}"))
}

/// Why a message was not taken. It was not sent, and may be sent again where that can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The stack holds as much as it may. Send it when [`Stack::must_wait`] says so.
    #[error("the conversation holds as much as it may: wait until it does not")]
    MustWait,
    /// It is larger than messages may be.
    #[error("the message has {bytes} bytes, at most {max} are allowed")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The conversation is over.
    #[error("the conversation is over")]
    Over,
}

/// See the module's documentation. Made by [`Plan::stack`](super::Plan::stack).
#[derive(Debug)]
pub struct Stack {
    /// The first is nearest to the application.
    layers: Vec<(String, Box<dyn Layer>)>,
    message_bytes_max: usize,
    /// What layers have given and others have not been handed yet. Empty between calls.
    passing: VecDeque<(usize, Input)>,
    writes: VecDeque<Packet>,
    events: VecDeque<Event>,
    /// What both queues hold.
    queued_bytes: usize,
    number_next: u64,
    /// Messages that were taken and not confirmed, where a layer confirms. As many as the layers
    /// hold.
    unconfirmed: BTreeSet<u64>,
    outlives: bool,
    over: bool,
    /// What the layers had counted when the conversation ended.
    counted: Vec<(String, &'static str, u64)>,
}

impl Stack {
    pub(super) fn new(layers: Vec<(String, Box<dyn Layer>)>, message_bytes_max: usize) -> Self {
        let outlives = layers.iter().any(|(_, layer)| layer.outlives_connections());
        Self {
            layers,
            message_bytes_max,
            passing: VecDeque::new(),
            writes: VecDeque::new(),
            events: VecDeque::new(),
            queued_bytes: 0,
            number_next: 0,
            unconfirmed: BTreeSet::new(),
            outlives,
            over: false,
            counted: Vec::new(),
        }
    }

    /// Takes a message of the application's and gives its number: they count from 0.
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn send(&mut self, now: Duration, body: Bytes) -> Result<u64, SendError> {
        let (bytes, max) = (body.len(), self.message_bytes_max);
        if self.over {
            return Err(SendError::Over);
        }
        if bytes > max {
            return Err(SendError::TooLarge { bytes, max });
        }
        if self.must_wait() {
            return Err(SendError::MustWait);
        }
        let number = self.number_next;
        self.number_next += 1;
        if self.outlives {
            self.unconfirmed.insert(number);
        }
        self.pass(0, Input::Down(Packet::numbered(body, number)));
        self.run(now);
        Ok(number)
    }

    /// Takes a packet that came over the wire.
    pub fn receive(&mut self, now: Duration, packet: Bytes) {
        match self.layers.len().checked_sub(1) {
            Some(lowest) => self.pass(lowest, Input::Up(Packet::new(packet))),
            None => self.deliver(&Packet::new(packet)),
        }
        self.run(now);
    }

    /// There is a connection to the other end of this conversation.
    pub fn connected(&mut self, now: Duration) {
        self.tell_all(now, |_| Some(Input::Connected));
    }

    /// The connection is gone. Ends the conversation if no layer
    /// [outlives](Layer::outlives_connections) it.
    pub fn disconnected(&mut self, now: Duration) {
        for lost in self.writes.drain(..) {
            self.queued_bytes -= lost.cost();
        }
        match self.outlives {
            true => self.tell_all(now, |_| Some(Input::Disconnected)),
            false => self.end("the connection broke"),
        }
    }

    /// The application has taken a message: the oldest of those that it has not.
    pub fn taken(&mut self, now: Duration) {
        self.tell_all(now, |_| Some(Input::Taken));
    }

    /// Wakes the layers whose time has come.
    pub fn wake(&mut self, now: Duration) {
        let is_due = |layer: &dyn Layer| layer.wake_at().is_some_and(|at| at <= now);
        self.tell_all(now, |layer| is_due(layer).then_some(Input::Wake));
    }

    /// Ends the conversation from outside: its peer is another process now, or is not in the
    /// cluster any more. [`Event::Failed`] tells which messages are unknown.
    pub fn end(&mut self, reason: &str) {
        self.fail(None, reason.to_owned());
    }

    /// The next packet to write, if there is one. To be asked only while there is a connection that
    /// can take it, and then after every other call.
    pub fn next_write(&mut self, now: Duration) -> Option<Packet> {
        while self.writes.is_empty() && self.give_room(now) {}
        let packet = self.writes.pop_front()?;
        self.queued_bytes -= packet.cost();
        Some(packet)
    }

    /// The next event, if there is one. To be asked after every other call.
    pub fn next_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        if let Event::Deliver(body) = &event {
            self.queued_bytes -= Packet::cost_of(body.len());
        }
        Some(event)
    }

    /// When to call [`wake`](Self::wake) next. Changes with every call.
    pub fn wake_at(&self) -> Option<Duration> {
        self.layers.iter().filter_map(|(_, layer)| layer.wake_at()).min()
    }

    /// Whether whoever sends must wait.
    pub fn must_wait(&self) -> bool {
        self.queued_bytes >= WRITES_BYTES || self.layers.iter().any(|(_, l)| l.must_wait())
    }

    /// How many bytes all layers and the queues hold.
    pub fn bytes_held(&self) -> usize {
        self.queued_bytes + self.layers.iter().map(|(_, layer)| layer.bytes_held()).sum::<usize>()
    }

    /// Whether it has no layers: then a driver may do without it.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// Whether the conversation goes on when its connection breaks.
    pub fn outlives_connections(&self) -> bool {
        self.outlives
    }

    /// Tells by layer what its layers have counted: see [`Layer::counts`].
    pub fn counts(&self, tell: &mut dyn FnMut(&str, &'static str, u64)) {
        for (layer, name, total) in &self.counted {
            tell(layer, name, *total);
        }
        for (name, layer) in &self.layers {
            layer.counts(&mut |count, total| tell(name, count, total));
        }
    }

    /// Tells every layer, from the wire up, what concerns it.
    fn tell_all(&mut self, now: Duration, input: impl Fn(&dyn Layer) -> Option<Input>) {
        for place in (0..self.layers.len()).rev() {
            // When one has failed, all are gone.
            let Some((_, layer)) = self.layers.get(place) else { return };
            if let Some(input) = input(layer.as_ref()) {
                self.pass(place, input);
                self.run(now);
            }
        }
    }

    /// Lets the lowest layer that has more, and room below it, send something. The lowest first:
    /// what has come further goes first.
    fn give_room(&mut self, now: Duration) -> bool {
        for place in (0..self.layers.len()).rev() {
            if self.layers[place].1.has_more() {
                self.pass(place, Input::Room);
                // One that has more, gets room and gives nothing must not hold up all others.
                if self.run(now) {
                    return true;
                }
            }
            if self.layers.get(place).is_none_or(|(_, layer)| layer.must_wait()) {
                return false;
            }
        }
        false
    }

    fn pass(&mut self, place: usize, input: Input) {
        self.passing.push_back((place, input));
    }

    /// Hands on what passes between layers until nothing does. Says whether anything left one.
    fn run(&mut self, now: Duration) -> bool {
        let mut any = false;
        let mut out = Out::default();
        while let Some((place, input)) = self.passing.pop_front() {
            if self.over {
                self.passing.clear();
                break;
            }
            match (self.layers.get_mut(place), input) {
                (Some((_, layer)), input) => layer.handle(now, input, &mut out),
                (None, Input::Down(packet)) => {
                    self.queued_bytes += packet.cost();
                    self.writes.push_back(packet);
                }
                (None, _) => unreachable!("only what goes down leaves the stack at its end"),
            }
            for effect in out.drain() {
                any = true;
                match effect {
                    Effect::Down(packet) => self.pass(place + 1, Input::Down(packet)),
                    Effect::Up(packet) => match place.checked_sub(1) {
                        Some(above) => self.pass(above, Input::Up(packet)),
                        None => self.deliver(&packet),
                    },
                    Effect::Confirm(number) => self.confirm(number),
                    Effect::Fail(reason) => self.fail(Some(place), reason),
                }
            }
        }
        any
    }

    fn deliver(&mut self, packet: &Packet) {
        if !self.over {
            self.queued_bytes += packet.cost();
            self.events.push_back(Event::Deliver(packet.to_bytes()));
        }
    }

    fn confirm(&mut self, number: u64) {
        if self.unconfirmed.remove(&number) {
            self.events.push_back(Event::Confirmed(number));
        }
    }

    fn fail(&mut self, place: Option<usize>, reason: String) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        let held: BTreeSet<u64> = self.layers.iter().flat_map(|(_, l)| l.unsent()).collect();
        let (unsent, unknown) =
            std::mem::take(&mut self.unconfirmed).into_iter().partition(|n| held.contains(n));
        let layer = place.map(|place| self.layers[place].0.clone());
        self.events.push_back(Event::Failed(Failure { layer, reason, unsent, unknown }));
        for (name, layer) in &self.layers {
            layer.counts(&mut |count, total| self.counted.push((name.clone(), count, total)));
        }
        // Nothing of it is needed any more, so it holds nothing any more.
        self.layers.clear();
        for dropped in self.writes.drain(..) {
            self.queued_bytes -= dropped.cost();
        }
    }
}
