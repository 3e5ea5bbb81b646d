//! The headers of `reliable`.
//!
//! ```text
//! u8 0 | u32 conversation | u64 number | u64 expected | the packet
//! u8 1 | u32 conversation | u64 expected | u8 n | n × (u64 from, u64 to)
//! ```
//!
//! Big-endian. `expected` is the first number that the sender of this has not received; the ranges
//! are what it has received beyond, each without its `to`.

use std::ops::Range;

use bytes::{BufMut, BytesMut};

use crate::pipeline::Packet;

const DATA: u8 = 0;
const ACK: u8 = 1;

/// Ranges that one acknowledgement names at most. What it does not name is sent again in vain, and
/// dropped.
pub(super) const RANGES_MAX: usize = 32;

/// What the other end says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// The packet with this number.
    Data { conversation: u32, number: u64, expected: u64 },
    /// Only what has been received.
    Ack { conversation: u32, expected: u64, ranges: Vec<Range<u64>> },
}

impl Head {
    /// Puts the head of a packet before it.
    pub(super) fn put_data(packet: &mut Packet, conversation: u32, number: u64, expected: u64) {
        let mut head = [DATA; 21];
        head[1..5].copy_from_slice(&conversation.to_be_bytes());
        head[5..13].copy_from_slice(&number.to_be_bytes());
        head[13..].copy_from_slice(&expected.to_be_bytes());
        packet.push(&head);
    }

    /// An acknowledgement as a packet of its own.
    pub(super) fn ack(conversation: u32, expected: u64, ranges: &[Range<u64>]) -> Packet {
        let mut bytes = BytesMut::with_capacity(14 + 16 * ranges.len());
        bytes.put_u8(ACK);
        bytes.put_u32(conversation);
        bytes.put_u64(expected);
        bytes.put_u8(ranges.len() as u8);
        for range in ranges {
            bytes.put_u64(range.start);
            bytes.put_u64(range.end);
        }
        Packet::new(bytes.freeze())
    }

    /// Takes the head off a packet.
    pub(super) fn take(packet: &mut Packet) -> Result<Self, String> {
        let bytes = packet.len();
        let short = || format!("a packet of {bytes} bytes has half a header");
        let [kind] = packet.take().ok_or_else(short)?;
        let conversation = packet.take().map(u32::from_be_bytes).ok_or_else(short)?;
        let number = |packet: &mut Packet| packet.take().map(u64::from_be_bytes).ok_or_else(short);
        match kind {
            DATA => {
                let (number, expected) = (number(packet)?, number(packet)?);
                Ok(Self::Data { conversation, number, expected })
            }
            ACK => {
                let expected = number(packet)?;
                let [count] = packet.take().ok_or_else(short)?;
                if usize::from(count) > RANGES_MAX {
                    return Err(format!("{count} ranges were named, at most {RANGES_MAX} may be"));
                }
                let mut ranges = Vec::with_capacity(count.into());
                for _ in 0..count {
                    ranges.push(number(packet)?..number(packet)?);
                }
                Ok(Self::Ack { conversation, expected, ranges })
            }
            _ => Err(format!("a packet is of kind {kind}: 0 and 1 are known")),
        }
    }
}
