//! What the control plane decodes, for fuzzing: see [`crate::simulation::decoders`].

use std::io::Read;

use super::command::Command;
use super::rpc;
use super::snapshot::{AGREED_BYTES_MAX, MAGIC, check_whole};
use super::state::Agreed;
use super::types::{Entry, LogId, SnapshotMeta, Vote};
use crate::codec;
use crate::simulation::{Decoder, pieces};

pub(crate) const MESSAGE_DECODERS: &[Decoder] = &rpc::DECODERS;

pub(crate) const FILE_DECODERS: &[Decoder] = &[
    Decoder::new("an entry of the log", |bytes| {
        let _ = codec::decode::<Entry>(bytes);
    }),
    Decoder::new("commands, one after the other", |bytes| {
        let mut agreed = Agreed::default();
        for (index, piece) in (1..).zip(pieces(bytes)) {
            if let Ok(command) = codec::decode::<Command>(piece) {
                let _ = format!("{:?}", agreed.apply(index, command));
            }
        }
    })
    .of_pieces(),
    Decoder::new("a vote", |bytes| {
        let _ = codec::decode::<Vote>(bytes);
    }),
    Decoder::new("a place in the log", |bytes| {
        let _ = codec::decode::<LogId>(bytes);
    }),
    Decoder::new("a snapshot's description", |bytes| {
        let _ = codec::decode::<SnapshotMeta>(bytes);
    }),
    Decoder::new("a snapshot as it comes", |bytes| check(&mut &*bytes))
        .with_claims(AGREED_BYTES_MAX),
    Decoder::new("a snapshot with the right sum", |bytes| {
        let mut content = [&MAGIC, bytes].concat();
        let sum = crc32fast::hash(&content);
        content.extend_from_slice(&sum.to_le_bytes());
        check(&mut &content[..]);
    })
    .with_claims(AGREED_BYTES_MAX),
];

fn check(content: &mut dyn Read) {
    let _ = check_whole(content).map_err(|error| error.to_string());
}
