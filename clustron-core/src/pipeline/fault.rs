//! `fault`: a bad wire, for tests.
//!
//! What goes down is dropped, doubled, damaged, delayed or made to change places, each with a
//! probability, and always the same for the same `seed`, conversation and end. It breaks what it is
//! given to; so it takes effect only with the setting `i_know` = `yes`, in whatever way it was
//! compiled: a build for tests that reaches production must not be the one that loses messages.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::BytesMut;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::settings::Settings;
use super::{Context, Input, Layer, Out, Packet, PipelineError};

pub(super) const NAME: &str = "fault";

/// Packets that are delayed at the same time; beyond, none is.
const DELAYED_MAX: usize = 256;

/// See the module's documentation.
#[derive(Debug)]
struct Fault {
    rng: StdRng,
    drop: f64,
    double: f64,
    corrupt: f64,
    delay: f64,
    delay_max: Duration,
    /// By their time, and by which came first.
    delayed: BTreeMap<(Duration, u64), Packet>,
    delayed_bytes: usize,
    order_next: u64,
}

pub(super) fn make(
    settings: &mut Settings<'_>,
    context: &Context,
) -> Result<Box<dyn Layer>, PipelineError> {
    if settings.own("i_know").one_of(&["yes"])?.is_none() {
        return Err(PipelineError::Value {
            layer: NAME.into(),
            setting: "i_know".into(),
            value: String::new(),
            allowed: "it must be \"yes\", because this layer loses and damages messages".into(),
        });
    }
    let seed = settings.own("seed").number(0, 0..=u64::MAX)?;
    let end = u64::from(context.conversation()) << 1 | u64::from(context.is_opener());
    Ok(Box::new(Fault {
        // The ends of a conversation, and its successors, draw different numbers.
        rng: StdRng::seed_from_u64(seed ^ end.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        drop: settings.own("drop").probability(0.0)?,
        double: settings.own("double").probability(0.0)?,
        corrupt: settings.own("corrupt").probability(0.0)?,
        delay: settings.own("delay").probability(0.0)?,
        delay_max: settings.own("delay_ms_max").duration_ms(20, 1..=60_000)?,
        delayed: BTreeMap::new(),
        delayed_bytes: 0,
        order_next: 0,
    }))
}

impl Layer for Fault {
    fn handle(&mut self, now: Duration, input: Input, out: &mut Out) {
        match input {
            Input::Down(packet) => {
                if self.rng.random_bool(self.drop) {
                    return;
                }
                if self.rng.random_bool(self.double) {
                    self.send(now, packet.clone(), out);
                }
                self.send(now, packet, out);
            }
            Input::Up(packet) => out.up(packet),
            Input::Wake => {
                while let Some(entry) = self.delayed.first_entry()
                    && entry.key().0 <= now
                {
                    let packet = entry.remove();
                    self.delayed_bytes -= packet.cost();
                    out.down(packet);
                }
            }
            Input::Disconnected => {
                (self.delayed, self.delayed_bytes) = (BTreeMap::new(), 0);
            }
            Input::Connected | Input::Taken | Input::Room => {}
        }
    }

    fn wake_at(&self) -> Option<Duration> {
        self.delayed.first_key_value().map(|((at, _), _)| *at)
    }

    fn bytes_held(&self) -> usize {
        self.delayed_bytes
    }
}

impl Fault {
    fn send(&mut self, now: Duration, mut packet: Packet, out: &mut Out) {
        if !packet.is_empty() && self.rng.random_bool(self.corrupt) {
            let mut bytes = BytesMut::from(&packet.to_bytes()[..]);
            let at = self.rng.random_range(0..bytes.len());
            bytes[at] ^= 1 << self.rng.random_range(0..8);
            packet.replace(bytes.freeze());
        }
        if self.delayed.len() < DELAYED_MAX && self.rng.random_bool(self.delay) {
            let at = now + self.delay_max.mul_f64(self.rng.random());
            self.delayed_bytes += packet.cost();
            self.delayed.insert((at, self.order_next), packet);
            self.order_next += 1;
        } else {
            out.down(packet);
        }
    }
}
