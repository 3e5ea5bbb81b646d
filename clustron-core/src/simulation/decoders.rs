//! Everything that turns bytes from outside into values, as one list: for fuzzing, and for the
//! tests that feed hostile bytes.
//!
//! Like the list of a house's doors that a locksmith works through: a door that is not on it is
//! never tried. So each kind of message stands in the list beside its definition, and a test
//! compares the kinds that the sources name with the list.

mod packets;
mod peer;
mod text;

use crate::codec;
use crate::messaging::{self, Message, Request, StreamRequest};
use crate::{
    collect, control, data_dir, detection, event_bus, follow, formation, monitor, total_order,
    transport,
};

pub(crate) use peer::ScriptedPeer;

/// One way from bytes to a value.
#[derive(Debug, Clone, Copy)]
pub struct Decoder {
    /// Of a kind of message its name on the wire.
    pub name: &'static str,
    /// Decodes and drops. It must not panic, and must not take more memory than
    /// [`allocated_bytes_max`](Self::allocated_bytes_max) says, whatever the bytes are.
    pub run: fn(&[u8]),
    /// What texts in it may claim, in bytes, before anybody knows whether they are there.
    claimed_bytes_max: usize,
    /// Whether it decodes each of the input's [`pieces`], and what came of them all.
    of_pieces: bool,
}

/// Where bytes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Area {
    /// What a connection carries before and around messages: handshakes with and without a cluster
    /// key, frames, headers, packets of the layers of a pipeline.
    Wire,
    /// The bodies of the core's messages and replies.
    Messages,
    /// What is kept on disk, snapshots that a leader sends, and text that people write.
    Files,
}

impl Area {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Wire, Self::Messages, Self::Files];
}

/// What one decoder may allocate before it has looked at its input: buffers of both ends of a
/// stream, and the 1 MiB that serde takes for each of a few lists within lists whatever they claim.
const FIXED_BYTES: usize = 8 << 20;

/// What a byte of input may become: an empty name takes one byte, and three words and a place in a
/// tree once decoded.
const BYTES_PER_BYTE: usize = 512;

impl Decoder {
    /// A decoder, which [`codec`] keeps from taking room for what is merely claimed.
    pub const fn new(name: &'static str, run: fn(&[u8])) -> Self {
        // Once for a request, and once for its reply.
        Self { name, run, claimed_bytes_max: 2 * codec::DECODE_BYTES_MAX, of_pieces: false }
    }

    /// One whose texts may claim so many bytes.
    pub(crate) const fn with_claims(self, claimed_bytes_max: usize) -> Self {
        Self { claimed_bytes_max, ..self }
    }

    /// One that decodes each of its input's [`pieces`] for itself, and then perhaps what came of
    /// them: each may take as much as another decoder.
    pub const fn of_pieces(self) -> Self {
        Self { of_pieces: true, ..self }
    }

    /// Of a message without an answer.
    pub const fn message<M: Message>() -> Self {
        Self::new(M::KIND, |bytes| {
            let _ = messaging::decode::<M>(bytes);
        })
    }

    /// Of a request, and of its reply.
    pub const fn request<R: Request>() -> Self {
        Self::new(R::KIND, |bytes| {
            let _ = messaging::decode::<R>(bytes);
            let _ = codec::decode::<R::Reply>(bytes);
        })
    }

    /// Of a request for a stream of replies, and of one of these.
    pub const fn stream_request<R: StreamRequest>() -> Self {
        Self::new(R::KIND, |bytes| {
            let _ = messaging::decode::<R>(bytes);
            let _ = codec::decode::<R::Item>(bytes);
        })
    }

    /// Runs it on an input. `allocated` says afterwards how many bytes were allocated meanwhile.
    ///
    /// # Panics
    /// When the decoder does, or allocated more than it may. The message names it; what was decoded
    /// is for the caller to show.
    pub fn check(&self, input: &[u8], allocated: impl FnOnce() -> usize) {
        (self.run)(input);
        let (allocated, most) = (allocated(), self.allocated_bytes_max(input));
        assert!(
            allocated <= most,
            "{} allocated {allocated} bytes, at most {most} are allowed",
            self.name
        );
    }

    /// The most that all allocations together may come to, in bytes, for an input:
    /// what texts may claim, some fixed room, and what grows with what is really there.
    pub fn allocated_bytes_max(&self, input: &[u8]) -> usize {
        let decoded = match self.of_pieces {
            true => 1 + pieces(input).filter(|piece| !piece.is_empty()).count(),
            false => 1,
        };
        decoded * (self.claimed_bytes_max + FIXED_BYTES) + BYTES_PER_BYTE * input.len()
    }
}

/// Cuts an input into several: each begins with its length in a byte.
pub fn pieces(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = bytes.split_first()?;
        let (piece, rest) = rest.split_at(rest.len().min(usize::from(*length)));
        bytes = rest;
        Some(piece)
    })
}

/// The decoders of one area.
pub fn decoders(area: Area) -> Vec<Decoder> {
    match area {
        Area::Wire => {
            [&messaging::DECODERS[..], &transport::key::DECODERS, &packets::DECODERS].concat()
        }
        Area::Messages => [
            &follow::DECODERS[..],
            &collect::DECODERS,
            &monitor::DECODERS,
            &formation::DECODERS,
            &detection::DECODERS,
            &event_bus::DECODERS,
            &total_order::COMMAND_DECODERS,
            control::MESSAGE_DECODERS,
        ]
        .concat(),
        Area::Files => [
            control::FILE_DECODERS,
            &data_dir::DECODERS,
            &total_order::STATE_DECODERS,
            &text::DECODERS,
        ]
        .concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    /// The kinds that the sources below a directory name.
    fn named(dir: &Path, kinds: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                named(&path, kinds);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let after = text.split("\"core.").skip(1);
                let names = after.filter_map(|rest| rest.split('"').next());
                let is_kind = |name: &&str| {
                    !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
                };
                kinds.extend(names.filter(is_kind).map(|name| format!("core.{name}")));
            }
        }
    }

    #[test]
    fn every_kind_that_the_sources_name_is_in_the_list_once() {
        let mut kinds = BTreeSet::new();
        named(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut kinds);
        let listed: Vec<String> =
            decoders(Area::Messages).iter().map(|decoder| decoder.name.to_owned()).collect();
        assert_eq!(listed.len(), listed.iter().collect::<BTreeSet<_>>().len(), "{listed:?}");
        let listed: BTreeSet<String> = listed.into_iter().collect();
        assert_eq!(listed, kinds, "add a new kind's type to the `DECODERS` beside it");
    }
}
