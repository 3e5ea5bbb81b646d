//! What a layer is: one floor of the stack.
//!
//! Messages come in from the floor above and from the floor below, and go out to either. A layer is
//! a plain value: it sees a clock only as the `now` that it is given, and does nothing but give
//! effects.

use std::fmt;
use std::time::Duration;

use super::Packet;
use super::bug::Defect;

/// What the headers of all layers together may add to a message, in bytes.
pub(crate) const HEADERS_BYTES_MAX: usize = 1024;

/// Something for a layer.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Input {
    /// From the layer above, or the application: to be sent.
    Down(Packet),
    /// From the layer below, or the wire: has arrived.
    Up(Packet),
    /// There is a connection from now on. What was on its way before is lost, or has arrived.
    Connected,
    /// The connection is gone. What is given down now is lost.
    Disconnected,
    /// The application has taken one more of the messages that were delivered to it.
    Taken,
    /// The time of [`Layer::wake_at`] has come.
    Wake,
    /// There is room below for one more packet. Comes only to a layer that
    /// [has more](Layer::has_more).
    Room,
}

/// What a layer wants done.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Effect {
    /// For the layer below, or the wire.
    Down(Packet),
    /// For the layer above, or the application.
    Up(Packet),
    /// The other end has this message of the application's for certain.
    Confirm(u64),
    /// The conversation cannot go on, for this reason.
    Fail(String),
}

/// Where a layer puts its effects, in their order.
#[derive(Debug, Default)]
pub struct Out {
    effects: Vec<Effect>,
}

impl Out {
    /// Hands a packet to the layer below. The wire takes none without a single byte, which there
    /// says only that this end lives: such a one ends the conversation.
    pub fn down(&mut self, packet: Packet) {
        self.effects.push(Effect::Down(packet));
    }

    /// Hands a packet to the layer above.
    pub fn up(&mut self, packet: Packet) {
        self.effects.push(Effect::Up(packet));
    }

    /// The other end has a message: what some packet [completed](Packet::completes).
    pub fn confirm(&mut self, number: u64) {
        self.effects.push(Effect::Confirm(number));
    }

    /// Ends the conversation.
    pub fn fail(&mut self, reason: impl Into<String>) {
        self.effects.push(Effect::Fail(reason.into()));
    }

    /// Takes what is there, for whoever drives a layer alone.
    pub fn drain(&mut self) -> impl Iterator<Item = Effect> + '_ {
        self.effects.drain(..)
    }
}

/// One layer of one end of one conversation.
///
/// What a layer waits for, holds and still has to say is asked of it after each input. So nothing
/// of that can be announced and then forgotten.
pub trait Layer: Send + fmt::Debug {
    /// Takes one input. `now` is the time since some fixed moment, and never falls.
    fn handle(&mut self, now: Duration, input: Input, out: &mut Out);

    /// When it wants [`Input::Wake`] next. It is woken then or later, and again as long as this
    /// lies in the past; so each wake-up must change it.
    fn wake_at(&self) -> Option<Duration> {
        None
    }

    /// Whether it would send something on [`Input::Room`]. What a layer holds back, or says by
    /// itself, waits here until the wire takes it, so that nothing piles up before a slow one.
    fn has_more(&self) -> bool {
        false
    }

    /// Whether whoever sends must wait. One more message is taken all the same.
    fn must_wait(&self) -> bool {
        false
    }

    /// How many bytes it holds, as [`Packet::cost`] counts. Must be bounded, whatever the other end
    /// sends.
    fn bytes_held(&self) -> usize {
        0
    }

    /// Whether it [confirms](Out::confirm) messages, and brings them over although connections
    /// break. Without such a layer, a conversation ends with its connection.
    fn outlives_connections(&self) -> bool {
        false
    }

    /// The messages of the application's whose completing packet it holds and has never given
    /// down: nobody has them. What a layer does not name here counts as unknown when the
    /// conversation fails.
    fn unsent(&self) -> Vec<u64> {
        Vec::new()
    }

    /// Tells what it has counted since it was made, for the metrics: the same names each time, in
    /// the same order, with totals that never fall. It is asked often, so it should be quick.
    fn counts(&self, _tell: &mut dyn FnMut(&'static str, u64)) {}
}

/// Whose layer it is to be.
#[derive(Debug, Clone)]
pub struct Context {
    pub(super) conversation: u32,
    pub(super) opener: bool,
    pub(super) message_bytes_max: usize,
    pub(super) above: Vec<String>,
    pub(super) defect: Defect,
}

impl Context {
    /// The number of the conversation, which both ends know: another one each time.
    pub fn conversation(&self) -> u32 {
        self.conversation
    }

    /// Whether this end has opened the conversation.
    pub fn is_opener(&self) -> bool {
        self.opener
    }

    /// The largest message of the application's, in bytes.
    pub fn message_bytes_max(&self) -> usize {
        self.message_bytes_max
    }

    /// The largest packet that this layer may be given, in bytes: a message with the headers of
    /// the layers above.
    pub fn packet_bytes_max(&self) -> usize {
        self.message_bytes_max + HEADERS_BYTES_MAX
    }

    /// Whether a layer of this name stands above.
    pub fn is_below(&self, name: &str) -> bool {
        self.above.iter().any(|above| above == name)
    }
}
