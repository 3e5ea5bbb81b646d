//! `flow`: whoever sends does not get ahead of whoever reads.
//!
//! Like a cloakroom with so many hooks: each message takes some, and gives them back only when the
//! application has taken it. So a reader that is slow, or stands still, holds `window_bytes` at
//! most and one message more; and the sender holds nothing: it has to wait.
//!
//! ```text
//! u8 0 | a message
//! u8 1 | u64 how many bytes may have been sent, all in all, before the next message
//! ```
//!
//! Big-endian. Both ends count each message as its bytes and 64 more, so that empty ones count,
//! too. Numbers are totals since the conversation began, so an old one changes nothing. As long as
//! its total is below what it may have sent, an end sends one more message of whatever size: else
//! one that is larger than the window would never go.
//!
//! Credits go back a quarter of the window at a time. That never leaves the sender waiting for the
//! last quarter: when all is taken, it has more than three quarters.
//!
//! Nothing above this layer may drop, add, split or join messages, and nothing below may lose any.
//! What is above counts as it is there: so `compress` stands below, or a reader would hold many
//! times the window.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{BufMut, BytesMut};

use super::bug::{Defect, LayerBug};
use super::settings::Settings;
use super::{Context, Input, Layer, Out, Packet, PipelineError};

pub(super) const NAME: &str = "flow";

const MESSAGE: u8 = 0;
const CREDIT: u8 = 1;

/// What a message counts beside its bytes.
const MESSAGE_COST: u64 = 64;

/// See the module's documentation.
#[derive(Debug)]
struct Flow {
    window: u64,
    /// All that was sent, and how much may have been before the next message.
    sent: u64,
    sent_max: u64,
    /// What was given down without credits to send it. Empty if whoever sends waits when told to.
    waiting: VecDeque<Packet>,
    waiting_bytes: usize,
    /// All that has arrived, and what of it the application has taken.
    arrived: u64,
    taken: u64,
    /// What each message counts that was delivered and is not taken yet.
    delivered: VecDeque<u64>,
    /// What the other end was told that it may have sent.
    granted: u64,
    defect: Defect,
}

pub(super) fn make(
    settings: &mut Settings<'_>,
    context: &Context,
) -> Result<Box<dyn Layer>, PipelineError> {
    let window = settings.shared("window_bytes").number(1 << 20, 1024..=1 << 30)?;
    Ok(Box::new(Flow {
        window,
        sent: 0,
        sent_max: window,
        waiting: VecDeque::new(),
        waiting_bytes: 0,
        arrived: 0,
        taken: 0,
        delivered: VecDeque::new(),
        granted: window,
        defect: context.defect,
    }))
}

impl Layer for Flow {
    fn handle(&mut self, _: Duration, input: Input, out: &mut Out) {
        match input {
            Input::Down(packet) if self.waiting.is_empty() && self.may_send() => {
                self.send(packet, out);
            }
            Input::Down(packet) => {
                self.waiting_bytes += packet.cost();
                self.waiting.push_back(packet);
            }
            Input::Up(packet) => {
                if let Err(reason) = self.receive(packet, out) {
                    out.fail(reason);
                }
            }
            Input::Taken => {
                self.taken += self.delivered.pop_front().unwrap_or(0);
            }
            Input::Room if self.owes_credit() => {
                self.granted = self.taken + self.window;
                let mut credit = BytesMut::with_capacity(9);
                credit.put_u8(CREDIT);
                credit.put_u64(self.granted);
                out.down(Packet::new(credit.freeze()));
            }
            Input::Room => {
                if self.may_send()
                    && let Some(packet) = self.waiting.pop_front()
                {
                    self.waiting_bytes -= packet.cost();
                    self.send(packet, out);
                }
            }
            Input::Connected | Input::Disconnected | Input::Wake => {}
        }
    }

    fn has_more(&self) -> bool {
        self.owes_credit() || (self.may_send() && !self.waiting.is_empty())
    }

    fn must_wait(&self) -> bool {
        !self.may_send() || !self.waiting.is_empty()
    }

    fn bytes_held(&self) -> usize {
        self.waiting_bytes + self.delivered.len() * size_of::<u64>()
    }

    fn unsent(&self) -> Vec<u64> {
        self.waiting.iter().filter_map(Packet::completes).collect()
    }
}

impl Flow {
    fn send(&mut self, mut packet: Packet, out: &mut Out) {
        self.sent += cost(&packet);
        packet.push(&[MESSAGE]);
        out.down(packet);
    }

    fn receive(&mut self, mut packet: Packet, out: &mut Out) -> Result<(), String> {
        match packet.take() {
            Some([MESSAGE]) if self.arrived < self.granted => {
                let cost = cost(&packet);
                self.arrived += cost;
                self.delivered.push_back(cost);
                out.up(packet);
                Ok(())
            }
            Some([MESSAGE]) => Err(format!(
                "the other end has sent {} bytes and goes on, {} were allowed",
                self.arrived, self.granted
            )),
            Some([CREDIT]) => {
                let total = packet.take().map(u64::from_be_bytes);
                let total = total.ok_or("a credit has no number")?;
                let max = self.sent + self.window;
                if total > max {
                    return Err(format!("a credit is for {total} bytes, at most {max} can be"));
                }
                self.sent_max = self.sent_max.max(total);
                Ok(())
            }
            Some([kind]) => Err(format!("a message is of kind {kind}: 0 and 1 are known")),
            None => Err("a message has no header".into()),
        }
    }

    fn may_send(&self) -> bool {
        self.sent < self.sent_max || self.defect.is(LayerBug::CreditsIgnored)
    }

    fn owes_credit(&self) -> bool {
        let due = self.taken + self.window - self.granted >= self.window.div_ceil(4);
        due && !self.defect.is(LayerBug::CreditsKept)
    }
}

fn cost(packet: &Packet) -> u64 {
    packet.len() as u64 + MESSAGE_COST
}
