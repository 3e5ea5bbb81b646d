//! A message on its way through the layers, with the headers that they put before it.
//!
//! Like a letter that each office puts into an envelope of its own without opening the one inside:
//! headers are written into a small space before the body, and the body is shared, never moved.

use std::fmt;

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Headers that fit before a body without anything being copied. Those of all built-in layers
/// together have 40 bytes.
const FRONT_BYTES: usize = 64;

/// What a packet is taken to need beside its bytes.
const OVERHEAD_BYTES: usize = 128;

/// A message, or a piece of one, or something that a layer says to its like at the other end.
///
/// On the way down, layers put headers before it with [`push`](Self::push); on the way up, each
/// takes its own away with [`take`](Self::take). The body is a shared slice: to split or to keep
/// one costs nothing but a counter.
#[derive(Clone)]
pub struct Packet {
    /// Filled from its end, as headers come one before the other.
    front: [u8; FRONT_BYTES],
    start: usize,
    body: Bytes,
    completes: Option<u64>,
}

impl Packet {
    /// A packet without headers.
    pub fn new(body: impl Into<Bytes>) -> Self {
        Self { front: [0; FRONT_BYTES], start: FRONT_BYTES, body: body.into(), completes: None }
    }

    pub(super) fn numbered(body: Bytes, number: u64) -> Self {
        Self { completes: Some(number), ..Self::new(body) }
    }

    /// Which of the application's messages the other end has entirely once it has this packet;
    /// `None` where more of it follows, or where it is a layer's own.
    pub fn completes(&self) -> Option<u64> {
        self.completes
    }

    /// Bytes, with all headers.
    pub fn len(&self) -> usize {
        FRONT_BYTES - self.start + self.body.len()
    }

    /// Whether there is not one byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What it counts where memory is bounded: its bytes, and something for the packet itself, so
    /// that empty ones count, too.
    pub fn cost(&self) -> usize {
        Self::cost_of(self.len())
    }

    pub(super) fn cost_of(bytes: usize) -> usize {
        bytes + OVERHEAD_BYTES
    }

    /// Puts a header before it. Where there is no room left for it, all is copied once.
    pub fn push(&mut self, header: &[u8]) {
        if header.len() > self.start {
            let mut joined = BytesMut::with_capacity(header.len() + self.len());
            joined.put_slice(header);
            self.parts().iter().for_each(|part| joined.put_slice(part));
            (self.start, self.body) = (FRONT_BYTES, joined.freeze());
            return;
        }
        let start = self.start - header.len();
        self.front[start..self.start].copy_from_slice(header);
        self.start = start;
    }

    /// Takes the first `N` bytes away; `None`, and nothing is taken, if there are fewer.
    pub fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        if self.len() < N {
            return None;
        }
        let mut taken = [0; N];
        let headers = &self.front[self.start..];
        let of_front = headers.len().min(N);
        taken[..of_front].copy_from_slice(&headers[..of_front]);
        self.start += of_front;
        self.body.copy_to_slice(&mut taken[of_front..]);
        Some(taken)
    }

    /// Cuts off the first `bytes` of it. Only what remains completes a message.
    ///
    /// # Panics
    /// If it has fewer bytes.
    #[must_use]
    pub fn split_to(&mut self, bytes: usize) -> Self {
        assert!(bytes <= self.len(), "{bytes} bytes of {} cannot be cut off", self.len());
        let headers = &self.front[self.start..];
        let of_front = headers.len().min(bytes);
        let mut first = Self::new(Bytes::new());
        first.push(&headers[..of_front]);
        self.start += of_front;
        first.body = self.body.split_to(bytes - of_front);
        first
    }

    /// The bytes as they stand: those of the headers, and those of the body.
    pub fn parts(&self) -> [&[u8]; 2] {
        [&self.front[self.start..], &self.body]
    }

    /// All bytes in one piece; a copy only where there are headers.
    pub fn to_bytes(&self) -> Bytes {
        if self.start == FRONT_BYTES {
            return self.body.clone();
        }
        let mut joined = BytesMut::with_capacity(self.len());
        self.parts().iter().for_each(|part| joined.put_slice(part));
        joined.freeze()
    }

    /// Copies the body out of whatever it is a slice of. For what is kept long: a few bytes would
    /// otherwise hold the whole buffer into which they were read.
    pub fn detach(&mut self) {
        self.body = Bytes::copy_from_slice(&self.body);
    }

    /// Puts other bytes in the place of all of it. It still completes what it completed.
    pub fn replace(&mut self, content: impl Into<Bytes>) {
        (self.start, self.body) = (FRONT_BYTES, content.into());
    }
}

impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Packet({} bytes", self.len())?;
        match self.completes {
            Some(number) => write!(f, ", completes {number})"),
            None => f.write_str(")"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn headers_come_off_in_the_reverse_order() {
        let mut packet = Packet::new("body");
        packet.push(b"in");
        packet.push(b"out");
        assert_eq!(packet.to_bytes(), "outinbody");
        assert_eq!(packet.take(), Some(*b"out"));
        assert_eq!(packet.take(), Some(*b"inb"), "a header may reach into the body");
        assert_eq!(packet.take::<4>(), None);
        assert_eq!(packet.to_bytes(), "ody");
    }

    #[test]
    fn a_body_is_shared_and_not_copied() {
        let body = Bytes::from(vec![7; 1000]);
        let mut packet = Packet::new(body.clone());
        packet.push(b"header");
        let first = packet.split_to(500);
        assert_eq!(first.parts()[1].as_ptr(), body.as_ptr());
        assert_eq!(packet.to_bytes().as_ptr(), body[494..].as_ptr());

        packet.detach();
        assert_eq!(packet.to_bytes(), body[494..]);
        assert_ne!(packet.to_bytes().as_ptr(), body[494..].as_ptr());
    }

    #[test]
    fn only_the_last_piece_completes_a_message() {
        let mut packet = Packet::numbered(Bytes::from_static(b"abcd"), 9);
        assert_eq!(packet.split_to(2).completes(), None);
        assert_eq!(packet.completes(), Some(9));
        packet.replace("other");
        assert_eq!((packet.completes(), packet.to_bytes()), (Some(9), "other".into()));
    }

    proptest! {
        #[test]
        fn it_is_the_bytes_that_were_put_together(
            body: Vec<u8>,
            headers in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..90), 0..5),
            cut: prop::sample::Index,
        ) {
            let mut packet = Packet::new(body.clone());
            let mut whole = body;
            for header in &headers {
                packet.push(header);
                whole.splice(0..0, header.iter().copied());
            }
            prop_assert_eq!(&packet.to_bytes()[..], &whole[..]);
            let at = cut.index(whole.len() + 1);
            let first = packet.split_to(at);
            prop_assert_eq!(&first.to_bytes()[..], &whole[..at]);
            prop_assert_eq!(&packet.to_bytes()[..], &whole[at..]);
        }
    }
}
