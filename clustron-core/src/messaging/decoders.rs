//! What a connection brings, for fuzzing: see [`crate::simulation::decoders`].

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Bytes, BytesMut};

use super::envelope;
use super::frame::{FrameReader, put_frame};
use super::handshake::{self, Hello, Lane, PROTOCOL_VERSION};
use crate::identity::{ClusterName, Incarnation, InvalidName, NodeId, NodeInfo, NodeName, Role};
use crate::pipeline::Fingerprint;
use crate::simulation::{Decoder, ScriptedPeer};
use crate::transport::greeting::{Greeting, PLAIN};

pub(crate) const DECODERS: [Decoder; 6] = [
    Decoder::new("frames", |bytes| frames(ScriptedPeer::of(bytes))),
    Decoder::new("one whole frame", |bytes| {
        let (step, payload) = bytes.split_at(bytes.len().min(1));
        let mut said = BytesMut::from(step);
        put_frame(&mut said, payload);
        frames(ScriptedPeer::of(&said));
    }),
    Decoder::new("a header", |bytes| {
        if let Ok((header, body)) = envelope::open(Bytes::copy_from_slice(bytes)) {
            let Ok(sealed) = envelope::seal(&header, &body) else { panic!("{header:?} is lost") };
            assert_eq!(envelope::open(sealed).ok(), Some((header, body)));
        }
    }),
    Decoder::new("a handshake as it comes", shake),
    Decoder::new("a handshake with one whole frame", |bytes| {
        let (step, payload) = bytes.split_at(bytes.len().min(1));
        let mut said = BytesMut::from(step);
        said.extend_from_slice(PLAIN);
        said.extend_from_slice(&[PROTOCOL_VERSION]);
        put_frame(&mut said, payload);
        shake(&said);
    }),
    Decoder::new("a greeting", |bytes| {
        let _ = Greeting::of(bytes);
    }),
];

/// The largest frame, in bytes.
const FRAME_BYTES_MAX: usize = 1 << 20;

fn frames(peer: ScriptedPeer) {
    peer.run(async |peer| {
        let mut reader = FrameReader::new(peer, FRAME_BYTES_MAX);
        while let Ok(Some(frame)) = reader.next().await {
            assert!(frame.len() <= FRAME_BYTES_MAX, "a frame of {} bytes passed", frame.len());
        }
    });
}

/// Both sides of the handshake hear the same.
fn shake(said: &[u8]) {
    let Ok(ours) = hello() else { unreachable!("the names are valid") };
    let _ = ScriptedPeer::of(said).run(async |peer| {
        let accepted =
            handshake::accept(Box::new(peer), |_| ours.clone(), |_, _| Ok(None), FRAME_BYTES_MAX);
        accepted.await.map(|it| it.peer.node.to_string()).map_err(|error| error.to_string())
    });
    let _ = ScriptedPeer::of(said).run(async |peer| {
        let initiated = handshake::initiate(Box::new(peer), &ours, FRAME_BYTES_MAX);
        initiated.await.map(|it| it.peer.node.to_string()).map_err(|error| error.to_string())
    });
}

fn hello() -> Result<Hello, InvalidName> {
    Ok(Hello {
        cluster: ClusterName::new("orders")?,
        cluster_id: None,
        node: NodeInfo {
            id: NodeId(1),
            name: NodeName::new("a")?,
            incarnation: Incarnation(1),
            addr: "a:1".to_owned(),
            roles: BTreeSet::from([Role::Member]),
            tags: BTreeMap::new(),
            revision: 0,
            starts: 1,
            process: 0,
        },
        modules: BTreeSet::new(),
        lane: Lane::Control,
        durable: false,
        expects: None,
        knows: None,
        pipeline: Fingerprint::default(),
        conversation: None,
    })
}
