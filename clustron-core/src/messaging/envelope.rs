//! What travels in a frame after the handshake: a small header, then the body as it is.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::trace::TraceContext;
use crate::codec::{self, CodecError};

/// The longest name of a kind. It comes before everything else that a peer says of a message.
pub(crate) const KIND_BYTES_MAX: usize = 64;

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
    /// A [`Header::Message`] that was sent within a trace. A kind of its own, so that others stay
    /// as small as they are.
    TracedMessage { trace: TraceContext, kind: String },
    /// The same of a [`Header::Request`].
    TracedRequest { trace: TraceContext, id: u64, kind: String },
    /// One-way messages of this kind were not taken; so many since the last word about it.
    NotTaken { kind: String, count: u64, why: NotReplied },
    /// Wants a stream of [`Header::Item`]s with the same id, and then a [`Header::StreamEnd`]. So
    /// many items and bytes may come before the first [`Header::Credit`].
    StreamRequest { trace: Option<TraceContext>, id: u64, kind: String, items: u32, bytes: u32 },
    /// The next item of a stream; the body is the item's.
    Item { id: u64 },
    /// Nothing comes after it. A stream without it was cut short.
    StreamEnd { id: u64, how: StreamEnd },
    /// The reader of a stream has taken so many items and bytes, and has room for as many more.
    Credit { id: u64, items: u32, bytes: u32 },
    /// The reader of a stream wants no more of it.
    Cancel { id: u64 },
    /// The connection ends here because nothing uses it: no sign that anything is wrong.
    Goodbye,
    /// The sender is there, and may be busy with what has come.
    Here,
}

/// How a stream ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StreamEnd {
    /// With its last item.
    Done,
    /// Its handler gave this error.
    Failed { reason: String },
    /// It was not begun, or its handler panicked.
    Refused(NotReplied),
}

impl Header {
    /// The kind that it names, if it does.
    fn kind(&self) -> Option<&str> {
        match self {
            Self::Message { kind }
            | Self::Request { kind, .. }
            | Self::TracedMessage { kind, .. }
            | Self::TracedRequest { kind, .. }
            | Self::NotTaken { kind, .. }
            | Self::StreamRequest { kind, .. } => Some(kind),
            Self::Reply { .. }
            | Self::Refused { .. }
            | Self::Item { .. }
            | Self::StreamEnd { .. }
            | Self::Credit { .. }
            | Self::Cancel { .. }
            | Self::Goodbye
            | Self::Here => None,
        }
    }
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
    /// More of this kind are being handled, or wait, than are taken: nothing was processed.
    Busy,
}

/// Puts a header and a body together.
pub(crate) fn seal(header: &Header, body: &[u8]) -> Result<Bytes, CodecError> {
    put_together(header, body)
}

/// The same for the headers that are sent most, as long as they are not traced, whose kind is not
/// copied.
pub(crate) fn seal_plain(header: &Plain<'_>, body: &[u8]) -> Result<Bytes, CodecError> {
    put_together(header, body)
}

/// The first headers of [`Header`], with the same bytes.
#[derive(Debug, Serialize)]
pub(crate) enum Plain<'a> {
    /// [`Header::Message`].
    Message { kind: &'a str },
    /// [`Header::Request`].
    Request { id: u64, kind: &'a str },
}

fn put_together(header: &impl Serialize, body: &[u8]) -> Result<Bytes, CodecError> {
    // Exactly as large as it gets, so that it is allocated once and never moved.
    let mut frame = Vec::with_capacity(codec::encoded_len(header)? + body.len());
    codec::encode_into(header, &mut frame)?;
    frame.extend_from_slice(body);
    Ok(frame.into())
}

/// Takes a frame apart without copying the body.
pub(crate) fn open(frame: Bytes) -> Result<(Header, Bytes), CodecError> {
    let (header, used) = codec::decode_prefix::<Header>(&frame)?;
    if let Some(kind) = header.kind().filter(|kind| kind.len() > KIND_BYTES_MAX) {
        let reason =
            format!("a kind of {} bytes, at most {KIND_BYTES_MAX} are allowed", kind.len());
        return Err(CodecError::Decode { what: "a header", bytes: frame.len(), reason });
    }
    Ok((header, frame.slice(used..)))
}

/// Whether a frame is nothing but a goodbye.
pub(crate) fn is_goodbye(frame: &[u8]) -> bool {
    const LAST: u8 = 12;
    frame == [LAST]
}

/// What somebody waits for, or counts, of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// A one-way message: nobody would hear of its loss.
    Message,
    /// A request, by its id.
    Request(u64),
    /// Something else, whose loss the other side notices by itself.
    Other,
}

/// What it is that one of this node's own frames carries, without a copy of its kind.
pub(crate) fn sent(frame: &[u8]) -> Sent {
    /// The first headers of [`Header`], up to what matters of each.
    #[derive(Deserialize)]
    enum Beginning {
        Message,
        Request { id: u64 },
        Reply,
        Refused,
        TracedMessage,
        TracedRequest { _trace: TraceContext, id: u64 },
    }
    match codec::decode_prefix::<Beginning>(frame) {
        Ok((Beginning::Message | Beginning::TracedMessage, _)) => Sent::Message,
        Ok((Beginning::Request { id } | Beginning::TracedRequest { id, .. }, _)) => {
            Sent::Request(id)
        }
        // Later headers are none of these.
        Ok((Beginning::Reply | Beginning::Refused, _)) | Err(_) => Sent::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;
    use proptest::prelude::*;

    #[test]
    fn the_bytes_of_each_header_are_frozen() {
        let (kind, reason, id) = (|| "k".to_owned(), || "no".to_owned(), 7);
        let trace = TraceContext::new([0x11; 16], [0x22; 8], 1).unwrap();
        let refused = |why| Header::Refused { id, why };
        let ended = |how| Header::StreamEnd { id, how };
        let stream = |trace| {
            let kind = kind();
            Header::StreamRequest { trace, id, kind, items: 64, bytes: 300 }
        };
        let mut table = golden::file("headers.txt");
        for (name, header) in [
            ("message", Header::Message { kind: kind() }),
            ("request", Header::Request { id: 300, kind: kind() }),
            ("reply", Header::Reply { id }),
            ("refused without handler", refused(NotReplied::NoHandler)),
            ("refused undecodable", refused(NotReplied::Undecodable { reason: reason() })),
            ("refused panicked", refused(NotReplied::Panicked)),
            ("refused reply lost", refused(NotReplied::ReplyLost { reason: reason() })),
            ("refused busy", refused(NotReplied::Busy)),
            ("traced message", Header::TracedMessage { trace, kind: kind() }),
            ("traced request", Header::TracedRequest { trace, id, kind: kind() }),
            ("not taken", Header::NotTaken { kind: kind(), count: 9, why: NotReplied::NoHandler }),
            ("stream", stream(None)),
            ("traced stream", stream(Some(trace))),
            ("item", Header::Item { id }),
            ("stream done", ended(StreamEnd::Done)),
            ("stream failed", ended(StreamEnd::Failed { reason: reason() })),
            ("stream refused", ended(StreamEnd::Refused(NotReplied::Panicked))),
            ("credit", Header::Credit { id, items: 32, bytes: 5 }),
            ("cancel", Header::Cancel { id }),
            ("goodbye", Header::Goodbye),
            ("here", Header::Here),
        ] {
            table.add(name, &header);
            let frame = seal(&header, b"body").unwrap();
            assert_eq!(frame, [&codec::encode(&header).unwrap()[..], b"body"].concat());
            let expected = match &header {
                Header::Message { .. } | Header::TracedMessage { .. } => Sent::Message,
                Header::Request { id, .. } | Header::TracedRequest { id, .. } => Sent::Request(*id),
                _ => Sent::Other,
            };
            assert_eq!(sent(&frame), expected, "{header:?}");
            let bare = seal(&header, b"").unwrap();
            assert_eq!(is_goodbye(&bare), header == Header::Goodbye, "{header:?}");
            assert_eq!(open(frame).unwrap(), (header, Bytes::from_static(b"body")));
        }
        table.check();
    }

    #[test]
    fn what_is_sent_most_has_the_same_bytes_without_a_copy() {
        let kind = "core.append";
        let owned = || kind.to_owned();
        for (plain, header) in [
            (Plain::Message { kind }, Header::Message { kind: owned() }),
            (Plain::Request { id: 77_777, kind }, Header::Request { id: 77_777, kind: owned() }),
        ] {
            let sealed = seal_plain(&plain, b"body").unwrap();
            assert_eq!(sealed, seal(&header, b"body").unwrap());
        }
    }

    #[test]
    fn a_kind_longer_than_is_allowed_is_no_header() {
        let kind = |bytes| Header::Message { kind: "k".repeat(bytes) };
        assert!(open(seal(&kind(KIND_BYTES_MAX), b"").unwrap()).is_ok());
        let error = open(seal(&kind(KIND_BYTES_MAX + 1), b"").unwrap()).unwrap_err();
        assert!(error.to_string().contains("65 bytes"), "{error}");
    }

    proptest! {
        #[test]
        fn arbitrary_frames_never_panic(bytes: Vec<u8>) {
            let _ = open(bytes.into());
        }
    }
}
