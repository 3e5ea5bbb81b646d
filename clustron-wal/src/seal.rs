//! Gives arbitrary bytes the checksums of a segment, so that fuzzers and property tests come past
//! them. A lock is not tested by whether strangers can open it alone; it also matters what they
//! find behind it.

use crate::format::{SegmentHeader, u32_at, u64_at};
use crate::frame::{ALIGNMENT, FRAME_HEADER_BYTES, Place, RECORD_HEAD_BYTES, reseal};

/// Turns arbitrary bytes into something that comes close to a segment of a log with this salt, and
/// gives its first index. Checksums and chain are right; what the bytes say is only sometimes
/// repaired, as bits in them tell: so some of it makes sense and some does not.
pub fn seal(bytes: &mut [u8], salt: u64) -> Option<u64> {
    const HEADER_BYTES: usize = 64;
    if bytes.len() < HEADER_BYTES {
        return None;
    }
    let first = u64_at(bytes, 32) % 8;
    let header = SegmentHeader { salt, generation: 1, first, previous: None };
    bytes[..HEADER_BYTES].copy_from_slice(&header.encode());
    let mut place = Place { salt, generation: 1, segment: first, offset: HEADER_BYTES as u64 };
    let (mut previous, mut next) = (header.checksum(), first);
    loop {
        let at = place.offset as usize;
        let Some(frame) = bytes.get_mut(at..).filter(|left| left.len() >= FRAME_HEADER_BYTES)
        else {
            return Some(first);
        };
        let (repair, room) = (frame[5], frame.len() - FRAME_HEADER_BYTES);
        let mut body = u32_at(frame, 20) as usize;
        if repair & 0b11 != 0 {
            body %= room.min(300) + 1;
        }
        if repair & 0b1100 != 0 {
            frame[4] = 1;
            frame[8..16].copy_from_slice(&next.to_le_bytes());
        }
        if repair & 0b11_0000 != 0 && (RECORD_HEAD_BYTES..=room).contains(&body) {
            frame[16..20].copy_from_slice(&1u32.to_le_bytes());
            let record = FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + RECORD_HEAD_BYTES;
            frame[record].copy_from_slice(&((body - RECORD_HEAD_BYTES) as u32).to_le_bytes());
        }
        frame[20..24].copy_from_slice(&(body as u32).to_le_bytes());
        next = match frame[4] {
            2 => u64_at(frame, 8),
            _ => u64_at(frame, 8).wrapping_add(u64::from(u32_at(frame, 16))),
        };
        let length = (FRAME_HEADER_BYTES + body).next_multiple_of(ALIGNMENT as usize);
        let length = length.min(frame.len());
        previous = reseal(&mut frame[..length], place, previous);
        place.offset += length as u64;
    }
}
