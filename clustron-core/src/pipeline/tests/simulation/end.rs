//! One end: a process with its stack, an application that sends and takes, and a ledger of what
//! became of each message.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use rand::Rng;
use rand::rngs::StdRng;

use crate::pipeline::{Event, Failure, SendError, Stack};

/// The largest message.
pub(super) const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// What one process at one end sent in one conversation, and what became of it.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) sent: Vec<Bytes>,
    pub(super) confirmed: BTreeSet<u64>,
    pub(super) unsent: BTreeSet<u64>,
    pub(super) unknown: BTreeSet<u64>,
    /// What the process at the other end was given, in its order.
    pub(super) delivered: Vec<u64>,
}

#[derive(Debug)]
pub(super) struct End {
    pub(super) stack: Stack,
    pub(super) ledger: Ledger,
    /// Whether this end believes that there is a connection.
    pub(super) is_connected: bool,
    /// Messages that are still to be sent, in this and later conversations.
    pub(super) to_send: usize,
    pub(super) send_at: Duration,
    /// How often the next message comes right after the one before.
    pub(super) burst: f64,
    /// What was delivered and waits until the application takes it.
    pub(super) untaken: VecDeque<Bytes>,
    pub(super) take_at: Duration,
}

impl End {
    pub(super) fn new(stack: Stack, to_send: usize, burst: f64) -> Self {
        Self {
            stack,
            ledger: Ledger::default(),
            is_connected: false,
            to_send,
            send_at: Duration::ZERO,
            burst,
            untaken: VecDeque::new(),
            take_at: Duration::ZERO,
        }
    }

    /// Sends the next message if the stack takes it, and says whether it did.
    pub(super) fn send(&mut self, now: Duration, rng: &mut StdRng) -> bool {
        let body = message(self.ledger.sent.len() as u64, rng);
        let waits = self.stack.must_wait();
        match self.stack.send(now, body.clone()) {
            Ok(number) => {
                assert!(!waits, "a message was taken although whoever sends had to wait");
                assert_eq!(number, self.ledger.sent.len() as u64);
                self.ledger.sent.push(body);
                self.to_send -= 1;
                true
            }
            Err(SendError::MustWait) => {
                assert!(waits, "a message was refused although nobody had to wait");
                false
            }
            // It has just failed; the event says so.
            Err(SendError::Over) => false,
            Err(error) => panic!("{error}"),
        }
    }

    /// Takes the events of the stack; gives the failure if it ended.
    pub(super) fn listen(&mut self, other: &mut Ledger) -> Option<Failure> {
        while let Some(event) = self.stack.next_event() {
            match event {
                Event::Deliver(body) => {
                    let number = number_of(&body);
                    let sent = other.sent.get(number as usize);
                    assert_eq!(sent, Some(&body), "message {number} is not what was sent");
                    other.delivered.push(number);
                    self.untaken.push_back(body);
                }
                Event::Confirmed(number) => {
                    assert!(self.ledger.confirmed.insert(number), "{number} confirmed twice");
                }
                Event::Failed(failure) => {
                    self.ledger.unsent.extend(&failure.unsent);
                    self.ledger.unknown.extend(&failure.unknown);
                    return Some(failure);
                }
            }
        }
        None
    }

    pub(super) fn untaken_bytes(&self) -> usize {
        self.untaken.iter().map(Bytes::len).sum()
    }
}

/// A message that says its number; half of them compress well, and a few are large.
fn message(number: u64, rng: &mut StdRng) -> Bytes {
    let bytes = match rng.random_range(0..20) {
        0 => rng.random_range(0..MESSAGE_BYTES_MAX - 8),
        1..4 => rng.random_range(0..6000),
        _ => rng.random_range(0..200),
    };
    let mut body = BytesMut::with_capacity(8 + bytes);
    body.put_u64(number);
    match rng.random() {
        true => body.put_bytes(number as u8, bytes),
        false => (0..bytes).for_each(|_| body.put_u8(rng.random())),
    }
    body.freeze()
}

fn number_of(body: &Bytes) -> u64 {
    let number = body.get(..8).expect("every message says its number");
    u64::from_be_bytes(number.try_into().unwrap())
}
