//! What couriers say to each other, as bytes with a checksum.

use std::fmt;

use clustron_core::codec;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Message {
    Parcel(Label, u64),
    /// The addressee has it.
    Taken(Label),
}

/// Names a parcel for as long as anybody speaks of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Label {
    /// The sender's identity.
    pub(super) sender: u64,
    /// Counts the sender's parcels, from 1.
    pub(super) number: u64,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) struct Frame(pub(super) Vec<u8>);

impl Frame {
    pub(super) fn new(message: &Message) -> Frame {
        let mut bytes = codec::encode(message).expect("plain numbers have an encoding");
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        Frame(bytes)
    }

    /// `None` if the bytes were damaged.
    pub(super) fn read(&self) -> Option<Message> {
        let (body, sum) = self.0.split_last_chunk()?;
        (crc32fast::hash(body) == u32::from_le_bytes(*sum)).then(|| self.read_unchecked()).flatten()
    }

    /// As if there were no checksum.
    pub(super) fn read_unchecked(&self) -> Option<Message> {
        let (body, _) = self.0.split_last_chunk::<4>()?;
        codec::decode(body).ok()
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.read() {
            Some(message) => message.fmt(f),
            None => write!(f, "damaged {:02x?}", self.0),
        }
    }
}
