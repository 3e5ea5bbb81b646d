//! What an encrypted stream is cut into.
//!
//! ```text
//! record = length (2, big-endian)  ciphertext of 1 to 16384 bytes  tag (16)
//! ```
//!
//! Each is sealed with the next number of its direction, so none can be left out, repeated or
//! moved. One with nothing in it is the end: a stream that ends without it was cut short.

use std::io;

use snow::{HandshakeState, TransportState};

use super::handshake::unexpected;

/// The most that one record carries.
pub(super) const RECORD_PAYLOAD_MAX: usize = 16 << 10;

/// What sealing adds.
const TAG_BYTES: usize = 16;

/// What stands before each record.
pub(super) const HEAD_BYTES: usize = 2;

/// The largest record without its head. Much less than the 64 KiB that Noise allows, because each
/// connection keeps room for one in each direction.
pub(super) const RECORD_BYTES_MAX: usize = RECORD_PAYLOAD_MAX + TAG_BYTES;

/// How many records a connection carries in each direction: as many as Noise has numbers for, of
/// which it keeps the last for itself (revision 34, section 5.1). No number is ever used twice: the
/// connection ends instead. A record may carry a single byte, so bytes do not come into it; at a
/// million records a second it takes half a million years.
///
/// Nothing has to be given a new key before: with ChaCha20 and Poly1305 the numbers end before the
/// key is worn out (RFC 8446, section 5.5). A new key (`rekey`, Noise section 11.3) would be for
/// another purpose, so that who steals the present one cannot read what was sent before.
const RECORDS_MAX: u64 = u64::MAX;

/// Seals and opens the records of one connection.
pub(super) struct Records {
    noise: TransportState,
    records_max: u64,
}

impl Records {
    pub(super) fn new(noise: HandshakeState) -> io::Result<Self> {
        let noise = noise.into_transport_mode().map_err(unexpected)?;
        Ok(Self { noise, records_max: RECORDS_MAX })
    }

    #[cfg(test)]
    pub(super) fn with_records_max(self, records_max: u64) -> Self {
        Self { records_max, ..self }
    }

    /// Appends a record with as much of `payload` as fits, head and all. Gives how much that is.
    pub(super) fn seal(&mut self, payload: &[u8], out: &mut Vec<u8>) -> io::Result<usize> {
        check_left(self.noise.sending_nonce(), self.records_max)?;
        let taken = payload.len().min(RECORD_PAYLOAD_MAX);
        let start = out.len();
        out.resize(start + HEAD_BYTES + taken + TAG_BYTES, 0);
        let length = (taken + TAG_BYTES) as u16;
        out[start..start + HEAD_BYTES].copy_from_slice(&length.to_be_bytes());
        let sealed = &mut out[start + HEAD_BYTES..];
        self.noise.write_message(&payload[..taken], sealed).map_err(unexpected)?;
        Ok(taken)
    }

    /// Takes a record, without its head, apart. Gives how much it carried, at the beginning of
    /// `out`, which has room for [`RECORD_PAYLOAD_MAX`].
    pub(super) fn open(&mut self, record: &[u8], out: &mut [u8]) -> io::Result<usize> {
        check_left(self.noise.receiving_nonce(), self.records_max)?;
        self.noise.read_message(record, out).map_err(|_| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                "a record is not what the peer sent: something on the way changes bytes",
            )
        })
    }
}

/// The length of the record that this head announces.
pub(super) fn record_bytes(head: [u8; HEAD_BYTES]) -> io::Result<usize> {
    let length = usize::from(u16::from_be_bytes(head));
    if (TAG_BYTES..=RECORD_BYTES_MAX).contains(&length) {
        return Ok(length);
    }
    let text =
        format!("a record of {length} bytes, where {TAG_BYTES} to {RECORD_BYTES_MAX} can be");
    Err(io::Error::new(io::ErrorKind::InvalidData, text))
}

fn check_left(used: u64, max: u64) -> io::Result<()> {
    if used < max {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "the connection has carried {max} records, as many as its keys are good for: open another"
    )))
}
