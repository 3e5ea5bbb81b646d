//! `fragment`: what is large goes in pieces.
//!
//! ```text
//! u8 0 | a whole message
//! u8 1 | u32 which message | u32 its size | its first piece
//! u8 2 | u32 which message | its next piece
//! ```
//!
//! Big-endian. Pieces have `piece_bytes`, but for the last, and one goes down whenever the wire
//! has room for one. With `at_once` = 1, as by default, messages keep their order, and one that is
//! large delays those behind it. With more, so many large messages share the wire piece by piece,
//! and small ones go between the pieces. They overtake the large ones then: that is for requests
//! and replies, and not for messages whose order matters.
//!
//! What is being put together is bounded: `at_once` messages of at most the largest size, and
//! memory only for what has arrived. Whoever begins one more, or a larger one, ends the
//! conversation. Where nothing below brings packets over in their order and without loss, as
//! `reliable` or one connection of TCP does, this layer does not work.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::{BufMut, BytesMut};

use super::settings::Settings;
use super::{Context, Input, Layer, Out, Packet, PipelineError};

pub(super) const NAME: &str = "fragment";

const WHOLE: u8 = 0;
const FIRST: u8 = 1;
const NEXT: u8 = 2;

/// The most that is allocated ahead of what has arrived of a message.
const AHEAD_BYTES: usize = 64 << 10;

/// See the module's documentation.
#[derive(Debug)]
struct Fragment {
    piece_bytes: usize,
    at_once: usize,
    packet_bytes_max: usize,
    id_next: u32,
    /// Whole messages that wait for their turn.
    waiting: VecDeque<Packet>,
    /// Messages that are being sent: the one whose turn is next is in front.
    leaving: VecDeque<Leaving>,
    outbound_bytes: usize,
    arriving: BTreeMap<u32, Arriving>,
}

#[derive(Debug)]
struct Leaving {
    id: u32,
    has_begun: bool,
    rest: Packet,
}

#[derive(Debug)]
struct Arriving {
    size: usize,
    content: BytesMut,
}

pub(super) fn make(
    settings: &mut Settings<'_>,
    context: &Context,
) -> Result<Box<dyn Layer>, PipelineError> {
    Ok(Box::new(Fragment {
        piece_bytes: settings.own("piece_bytes").size(16 << 10, 64..=16 << 20)?,
        at_once: settings.shared("at_once").size(1, 1..=64)?,
        packet_bytes_max: context.packet_bytes_max(),
        id_next: 0,
        waiting: VecDeque::new(),
        leaving: VecDeque::new(),
        outbound_bytes: 0,
        arriving: BTreeMap::new(),
    }))
}

impl Layer for Fragment {
    fn handle(&mut self, _: Duration, input: Input, out: &mut Out) {
        match input {
            Input::Down(packet) => {
                let is_small = packet.len() <= self.piece_bytes;
                if is_small && (self.at_once > 1 || !self.has_more()) {
                    send_whole(packet, out);
                } else {
                    self.outbound_bytes += packet.cost();
                    self.waiting.push_back(packet);
                }
            }
            Input::Up(packet) => {
                if let Err(reason) = self.receive(packet, out) {
                    out.fail(reason);
                }
            }
            Input::Room => self.send_piece(out),
            Input::Connected | Input::Disconnected | Input::Taken | Input::Wake => {}
        }
    }

    fn has_more(&self) -> bool {
        !self.leaving.is_empty() || !self.waiting.is_empty()
    }

    fn must_wait(&self) -> bool {
        self.leaving.len() + self.waiting.len() >= self.at_once
    }

    fn bytes_held(&self) -> usize {
        let arriving = self.arriving.values().map(|message| Packet::cost_of(message.content.len()));
        self.outbound_bytes + arriving.sum::<usize>()
    }

    fn unsent(&self) -> Vec<u64> {
        let leaving = self.leaving.iter().map(|message| &message.rest);
        leaving.chain(&self.waiting).filter_map(Packet::completes).collect()
    }
}

impl Fragment {
    /// Sends a piece of the message whose turn it is.
    fn send_piece(&mut self, out: &mut Out) {
        while self.leaving.len() < self.at_once
            && let Some(rest) = self.waiting.pop_front()
        {
            self.leaving.push_back(Leaving { id: self.id_next, has_begun: false, rest });
            self.id_next = self.id_next.wrapping_add(1);
        }
        let Some(mut message) = self.leaving.pop_front() else { return };
        self.outbound_bytes -= message.rest.cost();
        let size = message.rest.len();
        if !message.has_begun && size <= self.piece_bytes {
            return send_whole(message.rest, out);
        }
        let is_last = size <= self.piece_bytes;
        let mut piece = match is_last {
            true => message.rest.clone(),
            false => message.rest.split_to(self.piece_bytes),
        };
        let id = message.id.to_be_bytes();
        if message.has_begun {
            piece.push(&id);
            piece.push(&[NEXT]);
        } else {
            piece.push(&(size as u32).to_be_bytes());
            piece.push(&id);
            piece.push(&[FIRST]);
        }
        out.down(piece);
        if !is_last {
            message.has_begun = true;
            self.outbound_bytes += message.rest.cost();
            self.leaving.push_back(message);
        }
    }

    fn receive(&mut self, mut packet: Packet, out: &mut Out) -> Result<(), String> {
        let number = |packet: &mut Packet| {
            packet.take().map(u32::from_be_bytes).ok_or("a piece has half a header")
        };
        match packet.take() {
            Some([WHOLE]) => {
                out.up(packet);
                Ok(())
            }
            Some([FIRST]) => {
                let (id, size) = (number(&mut packet)?, number(&mut packet)?);
                self.begin(id, size)?;
                self.add(id, &packet, out)
            }
            Some([NEXT]) => {
                let id = number(&mut packet)?;
                self.add(id, &packet, out)
            }
            Some([kind]) => Err(format!("a message is of kind {kind}: 0, 1 and 2 are known")),
            None => Err("a message has no header".into()),
        }
    }

    fn begin(&mut self, id: u32, size: u32) -> Result<(), String> {
        let (size, max) = (size as usize, self.packet_bytes_max);
        if size > max {
            return Err(format!("a message of {size} bytes was begun, at most {max} are allowed"));
        }
        if self.arriving.len() >= self.at_once {
            return Err(format!(
                "a message was begun while {} others were not complete: at_once allows no more",
                self.arriving.len()
            ));
        }
        let content = BytesMut::with_capacity(size.min(AHEAD_BYTES));
        match self.arriving.insert(id, Arriving { size, content }) {
            None => Ok(()),
            Some(_) => Err(format!("message {id} was begun twice")),
        }
    }

    fn add(&mut self, id: u32, piece: &Packet, out: &mut Out) -> Result<(), String> {
        let message = self.arriving.get_mut(&id);
        let message = message.ok_or_else(|| format!("message {id} was never begun"))?;
        let (bytes, missing) = (piece.len(), message.size - message.content.len());
        if bytes == 0 || bytes > missing {
            return Err(format!(
                "a piece of {bytes} bytes came for a message that lacks {missing}"
            ));
        }
        piece.parts().iter().for_each(|part| message.content.put_slice(part));
        if bytes == missing
            && let Some(message) = self.arriving.remove(&id)
        {
            out.up(Packet::new(message.content.freeze()));
        }
        Ok(())
    }
}

fn send_whole(mut packet: Packet, out: &mut Out) {
    packet.push(&[WHOLE]);
    out.down(packet);
}
