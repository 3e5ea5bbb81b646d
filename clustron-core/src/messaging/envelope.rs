//! What travels in a frame after the handshake: a small header, then the body as it is.

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::codec::{self, CodecError};

/// The head of a frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Header {
    /// One-way.
    Message { kind: String },
    /// Wants a [`Header::Reply`] with the same id on the same connection.
    Request { id: u64, kind: String },
    /// Answers a request; the body is the reply's.
    Reply { id: u64 },
    /// The request was not processed, or its handler failed.
    Refused { id: u64, why: NotReplied },
    /// The connection ends here because nothing uses it: no sign that anything is wrong.
    Goodbye,
}

/// Why a request got no reply from its handler.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum NotReplied {
    /// Nobody registered for this kind: nothing was processed.
    NoHandler,
    /// The body is not what the handler takes: nothing was processed.
    Undecodable { reason: String },
    /// The handler panicked: how far it came is unknown.
    Panicked,
    /// The handler did its work, but its reply cannot travel.
    ReplyLost { reason: String },
}

/// Puts a header and a body together.
pub(crate) fn seal(header: &Header, body: &[u8]) -> Result<Bytes, CodecError> {
    let head = codec::encode(header)?;
    let mut frame = BytesMut::with_capacity(head.len() + body.len());
    frame.extend_from_slice(&head);
    frame.extend_from_slice(body);
    Ok(frame.freeze())
}

/// Takes a frame apart without copying the body.
pub(crate) fn open(frame: Bytes) -> Result<(Header, Bytes), CodecError> {
    let (header, used) = codec::decode_prefix::<Header>(&frame)?;
    Ok((header, frame.slice(used..)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The wire format is frozen: a change here needs a new protocol version.
    #[test]
    fn the_bytes_of_each_header_are_frozen() {
        let kind = "k".to_owned();
        for (header, golden) in [
            (Header::Message { kind: kind.clone() }, &[0u8, 1, b'k'][..]),
            (Header::Request { id: 300, kind }, &[1, 251, 44, 1, 1, b'k']),
            (Header::Reply { id: 7 }, &[2, 7]),
            (Header::Refused { id: 7, why: NotReplied::NoHandler }, &[3, 7, 0]),
            (Header::Refused { id: 7, why: NotReplied::Panicked }, &[3, 7, 2]),
            (Header::Goodbye, &[4]),
        ] {
            let frame = seal(&header, b"body").unwrap();
            assert_eq!(frame, [golden, b"body"].concat(), "{header:?}");
            assert_eq!(open(frame).unwrap(), (header, Bytes::from_static(b"body")));
        }
    }

    proptest! {
        #[test]
        fn arbitrary_frames_never_panic(bytes: Vec<u8>) {
            let _ = open(bytes.into());
        }
    }
}
