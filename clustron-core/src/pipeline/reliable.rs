//! `reliable`: everything arrives, once and in order, also when connections break in between.
//!
//! Like registered letters: each has a number, a copy is kept until the receipt comes, and what
//! gets no receipt is sent again. Receipts say up to where nothing is missing, and what came beyond
//! (RFC 2018), so that only what was lost goes twice. It is taken for lost when three later ones
//! have arrived, when no receipt came in the time that RFC 6298 gives, and when the connection
//! broke. After a new connection, the first receipt is awaited before anything is sent again.
//!
//! What is not acknowledged is bounded by `window_packets` and by `window_bytes` (and one more
//! packet); then whoever sends has to wait. There is no control of congestion, which is the wire's:
//! TCP has it.
//!
//! The conversation is between two processes, which its number stands for: what another one says is
//! dropped. When for `give_up_after_ms` nothing was acknowledged, with or without a connection, the
//! conversation fails. Messages that were acknowledged are with the other end for certain; of those
//! that were sent and not acknowledged nobody knows.

mod head;
mod inbound;
mod outbound;
mod round_trip;

use std::ops::Range;
use std::time::Duration;

use self::head::Head;
use self::inbound::{Arrival, Inbound};
use self::outbound::Outbound;
use self::round_trip::RoundTrip;
use super::bug::{Defect, LayerBug};
use super::settings::Settings;
use super::{Context, Input, Layer, Out, Packet, PipelineError};

pub(super) const NAME: &str = "reliable";

/// After so many packets an acknowledgement goes at once.
const ACK_EVERY: u32 = 8;

/// When the other end is told what has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Receipt {
    /// It knows.
    Known,
    /// With the next packet that goes there, or then.
    By(Duration),
    Now,
}

/// See the module's documentation.
#[derive(Debug)]
struct Reliable {
    conversation: u32,
    window_bytes: usize,
    window_packets: usize,
    give_up_after: Duration,
    ack_delay: Duration,
    is_connected: bool,
    outbound: Outbound,
    inbound: Inbound,
    round_trip: RoundTrip,
    /// When to take for lost what is flying.
    resend_at: Option<Duration>,
    /// After a new connection: until when to wait for the first receipt.
    hold_until: Option<Duration>,
    /// When something was acknowledged last, or began to wait for it.
    progress_at: Duration,
    receipt: Receipt,
    /// Packets since the last receipt.
    unacknowledged: u32,
    /// Packets that came once more than they were needed.
    repeated: u64,
    defect: Defect,
}

pub(super) fn make(
    settings: &mut Settings<'_>,
    context: &Context,
) -> Result<Box<dyn Layer>, PipelineError> {
    let window_bytes = settings.shared("window_bytes").size(4 << 20, 4096..=1 << 30)?;
    let window_packets = settings.shared("window_packets").size(1024, 1..=65_536)?;
    let min = settings.own("resend_after_ms_min").duration_ms(50, 1..=60_000)?;
    let floor = u64::try_from(min.as_millis()).unwrap_or(u64::MAX);
    let max = settings.own("resend_after_ms_max").duration_ms(floor.max(5_000), floor..=600_000)?;
    let give_up_after = settings.own("give_up_after_ms").duration_ms(30_000, 100..=86_400_000)?;
    // Later, and the other end would send again what has arrived.
    let delay_max = floor / 2;
    let ack_delay = settings.own("ack_delay_ms").duration_ms(delay_max.min(5), 0..=delay_max)?;
    let early_bytes_max = window_bytes + context.packet_bytes_max();
    Ok(Box::new(Reliable {
        conversation: context.conversation(),
        window_bytes,
        window_packets,
        give_up_after,
        ack_delay,
        is_connected: false,
        outbound: Outbound::new(window_packets as u64),
        inbound: Inbound::new(window_packets as u64, early_bytes_max),
        round_trip: RoundTrip::new(min, max),
        resend_at: None,
        hold_until: None,
        progress_at: Duration::ZERO,
        receipt: Receipt::Known,
        unacknowledged: 0,
        repeated: 0,
        defect: context.defect,
    }))
}

impl Layer for Reliable {
    fn handle(&mut self, now: Duration, input: Input, out: &mut Out) {
        match input {
            Input::Down(packet) => {
                if self.outbound.is_empty() {
                    self.progress_at = now;
                }
                self.outbound.push(packet);
            }
            Input::Up(packet) => {
                if let Err(reason) = self.receive(now, packet, out) {
                    out.fail(reason);
                }
            }
            Input::Connected => {
                self.is_connected = true;
                self.receipt = Receipt::Now;
                self.resend_at = None;
                if !self.defect.is(LayerBug::ReconnectForgotten) {
                    self.outbound.lose_all();
                    let has_lost = self.outbound.has_lost();
                    self.hold_until = has_lost.then(|| now + self.round_trip.timeout());
                }
            }
            Input::Disconnected => {
                (self.is_connected, self.resend_at, self.hold_until) = (false, None, None);
            }
            Input::Wake => self.wake(now, out),
            Input::Room => self.send(now, out),
            Input::Taken => {}
        }
    }

    fn wake_at(&self) -> Option<Duration> {
        let receipt_at = match self.receipt {
            Receipt::By(at) if self.is_connected => Some(at),
            Receipt::By(_) | Receipt::Known | Receipt::Now => None,
        };
        [self.give_up_at(), self.resend_at, self.hold_until, receipt_at].into_iter().flatten().min()
    }

    fn has_more(&self) -> bool {
        self.is_connected && (self.receipt == Receipt::Now || self.may_send())
    }

    fn must_wait(&self) -> bool {
        self.outbound.len() >= self.window_packets || self.outbound.bytes() >= self.window_bytes
    }

    fn bytes_held(&self) -> usize {
        self.outbound.bytes() + self.inbound.bytes()
    }

    fn outlives_connections(&self) -> bool {
        true
    }

    fn unsent(&self) -> Vec<u64> {
        self.outbound.unsent()
    }

    fn counts(&self, tell: &mut dyn FnMut(&'static str, u64)) {
        tell("resent_packets", self.outbound.resent());
        tell("repeated_packets", self.repeated);
    }
}

impl Reliable {
    fn receive(&mut self, now: Duration, mut packet: Packet, out: &mut Out) -> Result<(), String> {
        let head = Head::take(&mut packet)?;
        let (Head::Data { conversation, .. } | Head::Ack { conversation, .. }) = head;
        if conversation != self.conversation && !self.defect.is(LayerBug::OtherConversation) {
            return Ok(());
        }
        // Whoever connects anew says first what it has; so now it is known what it has not.
        self.hold_until = None;
        match head {
            Head::Data { number, expected, .. } => {
                self.acknowledged(now, expected, &[], out)?;
                self.accept(now, number, packet, out)
            }
            Head::Ack { expected, ranges, .. } => self.acknowledged(now, expected, &ranges, out),
        }
    }

    fn acknowledged(
        &mut self,
        now: Duration,
        expected: u64,
        ranges: &[Range<u64>],
        out: &mut Out,
    ) -> Result<(), String> {
        let news = self.outbound.acknowledge(expected, ranges)?;
        if let Some(sent_at) = news.sent_at {
            self.round_trip.measure(now.saturating_sub(sent_at));
        }
        if news.any {
            self.progress_at = now;
            let timeout = self.round_trip.timeout();
            self.resend_at = self.outbound.is_flying().then(|| now + timeout);
        }
        news.confirmed.into_iter().for_each(|number| out.confirm(number));
        Ok(())
    }

    fn accept(
        &mut self,
        now: Duration,
        number: u64,
        packet: Packet,
        out: &mut Out,
    ) -> Result<(), String> {
        let defects = [LayerBug::DuplicatesDelivered, LayerBug::GapsDelivered];
        let copy = defects.iter().any(|bug| self.defect.is(*bug)).then(|| packet.clone());
        let had_gaps = self.inbound.has_gaps();
        let arrival = self.inbound.accept(number, packet, |packet| out.up(packet))?;
        self.repeated += u64::from(arrival == Arrival::Dropped);
        let passes = match arrival {
            Arrival::Next => false,
            Arrival::Early => self.defect.is(LayerBug::GapsDelivered),
            Arrival::Dropped => self.defect.is(LayerBug::DuplicatesDelivered),
        };
        copy.filter(|_| passes).into_iter().for_each(|copy| out.up(copy));
        self.unacknowledged += 1;
        // Whoever has sent in vain, or is to send again, learns so at once.
        let at_once = arrival != Arrival::Next
            || had_gaps
            || self.unacknowledged >= ACK_EVERY
            || self.ack_delay.is_zero();
        self.receipt = match self.receipt {
            Receipt::Now => Receipt::Now,
            _ if at_once => Receipt::Now,
            Receipt::By(at) => Receipt::By(at),
            Receipt::Known => Receipt::By(now + self.ack_delay),
        };
        Ok(())
    }

    fn wake(&mut self, now: Duration, out: &mut Out) {
        let is_due = |at: Option<Duration>| at.is_some_and(|at| at <= now);
        if is_due(self.give_up_at()) {
            let waiting = self.outbound.len();
            let connected = if self.is_connected { "connected" } else { "not connected" };
            return out.fail(format!(
                "nothing was acknowledged for {:?}, {waiting} packets wait, the other end is \
                 {connected}",
                self.give_up_after
            ));
        }
        if is_due(self.hold_until) {
            self.hold_until = None;
        }
        if is_due(self.resend_at) {
            self.outbound.lose_all();
            self.round_trip.back_off();
            self.resend_at = None;
        }
        if let Receipt::By(at) = self.receipt
            && at <= now
        {
            self.receipt = Receipt::Now;
        }
    }

    /// Sends one packet. A receipt goes with a message if that says all; otherwise it goes first.
    fn send(&mut self, now: Duration, out: &mut Out) {
        let needs_own = self.inbound.has_gaps() || !self.may_send();
        if self.receipt == Receipt::Now && needs_own {
            self.sent_receipt();
            let ranges = self.inbound.ranges();
            let claimed = ranges.last().filter(|_| self.defect.is(LayerBug::GapsAcknowledged));
            let expected = claimed.map_or(self.inbound.expected(), |range| range.end);
            return out.down(Head::ack(self.conversation, expected, &ranges));
        }
        let may_send = self.may_send();
        let Some((number, mut packet)) = may_send.then(|| self.outbound.next(now)).flatten() else {
            return;
        };
        if !self.inbound.has_gaps() {
            self.sent_receipt();
        }
        if self.resend_at.is_none() && !self.defect.is(LayerBug::TimerForgotten) {
            self.resend_at = Some(now + self.round_trip.timeout());
        }
        Head::put_data(&mut packet, self.conversation, number, self.inbound.expected());
        out.down(packet);
    }

    fn sent_receipt(&mut self) {
        (self.receipt, self.unacknowledged) = (Receipt::Known, 0);
    }

    fn may_send(&self) -> bool {
        self.hold_until.is_none() && self.outbound.has_more()
    }

    fn give_up_at(&self) -> Option<Duration> {
        (!self.outbound.is_empty()).then(|| self.progress_at + self.give_up_after)
    }
}
