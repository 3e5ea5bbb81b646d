//! One courier.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use clustron_testkit::sim::{Input, Node, NodeIndex, Outbox, flip_bits};

use super::frame::{Frame, Label, Message};

/// After what time without an acknowledgement a parcel is sent again.
const RESEND_AFTER: Duration = Duration::from_millis(200);

/// How many parcels a courier sends at once; the others follow when these have arrived.
const WINDOW: usize = 32;

/// A deliberate defect. The promises must see each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(not(test), expect(dead_code, reason = "only tests make couriers careless"))]
pub(crate) enum Flaw {
    #[default]
    None,
    /// What was handed over is forgotten at a restart: a parcel comes twice.
    ForgetsWhatItTook,
    /// A parcel is crossed off when it is sent: it is lost with the message.
    SendsOnce,
    /// A courier with a new disk calls itself as before: its new parcels look like old ones.
    KeepsItsName,
    /// The checksum is not looked at: damaged frames have a meaning.
    TrustsDamagedFrames,
}

/// What a courier must not forget.
#[derive(Debug, Clone, Default)]
pub(super) struct Disk {
    /// Minted with the disk and lost with it.
    pub(super) identity: u64,
    numbers: u64,
    /// Not yet acknowledged, by number.
    outgoing: BTreeMap<u64, (NodeIndex, u64)>,
    /// Labels of what came in. A service that runs for longer keeps a watermark per sender.
    taken: BTreeSet<Label>,
    /// Parcels in the order in which they were handed in here.
    pub(super) accepted: Vec<u64>,
    /// Parcels in the order in which they were handed over here.
    pub(super) delivered: Vec<u64>,
}

pub(super) struct CourierNode {
    /// `None` while nothing is to be sent.
    resend_at: Option<Duration>,
    flaw: Flaw,
}

impl CourierNode {
    pub(super) fn new(index: NodeIndex, seed: u64, disk: &mut Disk, flaw: Flaw) -> CourierNode {
        if disk.identity == 0 {
            disk.identity = if flaw == Flaw::KeepsItsName { index.0 as u64 + 1 } else { seed };
        }
        if flaw == Flaw::ForgetsWhatItTook {
            disk.taken.clear();
        }
        CourierNode { resend_at: None, flaw }
    }

    /// Takes on a parcel. From now on it is this courier's duty.
    pub(super) fn hand_in(
        &mut self,
        now: Duration,
        parcel: u64,
        to: NodeIndex,
        out: &mut Outbox<'_, Self>,
    ) {
        let disk = out.disk();
        disk.numbers += 1;
        let number = disk.numbers;
        disk.outgoing.insert(number, (to, parcel));
        disk.accepted.push(parcel);
        if self.resend_at.is_none() {
            self.send_all(now, out);
        }
        if self.flaw == Flaw::SendsOnce {
            out.disk().outgoing.remove(&number);
        }
    }

    fn send_all(&mut self, now: Duration, out: &mut Outbox<'_, Self>) {
        let disk = out.disk();
        let sender = disk.identity;
        let due: Vec<_> = disk.outgoing.iter().take(WINDOW).map(|(n, p)| (*n, *p)).collect();
        self.resend_at = (!due.is_empty()).then(|| now + RESEND_AFTER);
        for (number, (to, parcel)) in due {
            let label = Label { sender, number };
            out.send(to, Frame::new(&Message::Parcel(label, parcel)));
        }
    }

    fn receive(&mut self, from: NodeIndex, message: Message, out: &mut Outbox<'_, Self>) {
        match message {
            Message::Parcel(label, parcel) => {
                let disk = out.disk();
                if disk.taken.insert(label) {
                    disk.delivered.push(parcel);
                }
                out.send(from, Frame::new(&Message::Taken(label)));
            }
            Message::Taken(label) => {
                let disk = out.disk();
                // One for the courier that had this place before is not ours.
                if label.sender == disk.identity {
                    disk.outgoing.remove(&label.number);
                }
            }
        }
    }
}

impl Node for CourierNode {
    type Message = Frame;
    type Disk = Disk;

    fn handle(&mut self, now: Duration, input: Input<Frame>, out: &mut Outbox<'_, Self>) {
        // A clock that was set back must not make parcels wait.
        self.resend_at = self.resend_at.map(|at| at.min(now + RESEND_AFTER));
        match input {
            Input::Start => self.send_all(now, out),
            Input::Timeout => self.send_all(now, out),
            Input::Received { from, message } => {
                let read = match self.flaw {
                    Flaw::TrustsDamagedFrames => message.read_unchecked(),
                    _ => message.read(),
                };
                match read {
                    Some(message) => self.receive(from, message, out),
                    None => out.note(format_args!("a damaged frame from {from}")),
                }
            }
            _ => {}
        }
    }

    fn next_timeout(&self) -> Option<Duration> {
        self.resend_at
    }

    fn size(message: &Frame) -> usize {
        message.0.len()
    }

    fn corrupt(message: &Frame, entropy: u64) -> Option<Frame> {
        let mut damaged = message.clone();
        flip_bits(&mut damaged.0, entropy);
        Some(damaged)
    }
}
