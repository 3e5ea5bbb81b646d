//! The first thing two nodes say to each other on every connection.
//!
//! ```text
//! initiator                             acceptor
//!     | -- "CLUSTRN" version ------------> |
//!     | <- "CLUSTRN" version ------------- |
//!     | -- Hello ------------------------> |  checks
//!     | <- Welcome(Hello) | Refused ------ |
//! checks
//! ```
//!
//! All of it is said inside what secures the connection, if anything does. The version comes before
//! anything that it could change the meaning of. The party that refuses says why, naming both
//! sides, so that either log is enough to understand it.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::BytesMut;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

use super::conversation::Opening;
use super::frame::{FrameError, FrameReader, put_frame};
use super::places::Place;
use crate::codec::{self, CodecError};
use crate::identity::{ClusterId, ClusterName, NodeId, NodeInfo};
use crate::pipeline::{Fingerprint, agree};
use crate::transport::Stream;
use crate::transport::greeting::{self, Greeting, Notice, PLAIN};

/// The version of everything after the preamble.
pub(crate) const PROTOCOL_VERSION: u8 = 7;

/// The largest hello or answer. Names, tags and module lists fit many times over.
const HELLO_BYTES_MAX: usize = 64 << 10;

/// What a refusal shows of a list of layers at most, in characters. The other end may name any.
const LAYERS_SHOWN: usize = 1024;

/// Which kind of traffic a connection carries, so that bulk never delays a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Lane {
    /// Membership, elections and the control log.
    Control,
    /// Messages of applications.
    Data,
    /// Nothing: the initiator only wants to know who answers, and closes. That is no lost
    /// connection, or one look would make the other side look in turn, without end.
    Look,
    /// Streams of replies.
    Bulk,
    /// Messages of modules, and events: no handler of an application can hold them up.
    Modules,
}

impl Lane {
    /// Those that carry anything.
    pub(super) const CARRYING: [Self; 4] = [Self::Control, Self::Modules, Self::Data, Self::Bulk];

    /// Whether the other side may keep what is sent on it waiting, for as long as its handlers
    /// take. Those of the core's own lane never wait.
    pub(super) fn is_patient(self) -> bool {
        matches!(self, Self::Data | Self::Bulk | Self::Modules)
    }
}

/// What one node says about itself when it connects or accepts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) cluster: ClusterName,
    pub(crate) cluster_id: Option<ClusterId>,
    pub(crate) node: NodeInfo,
    pub(crate) modules: BTreeSet<String>,
    pub(crate) lane: Lane,
    /// Whether the node keeps its part of the control log on disk.
    pub(crate) durable: bool,
    /// Whom the initiator means to reach; `None` when it only knows an address.
    pub(crate) expects: Option<NodeId>,
    /// The latest process of the other one that the sender knows, if it knows any.
    pub(crate) knows: Option<Process>,
    /// The layers on this connection's lane.
    pub(crate) pipeline: Fingerprint,
    /// Of which conversation the connection is to be, where there are layers.
    pub(crate) conversation: Option<Opening>,
}

/// A process of a node: how often the node has started with it, and its own number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    pub(crate) starts: u64,
    pub(crate) number: u64,
}

impl Process {
    pub(crate) fn of(node: &NodeInfo) -> Self {
        Self { starts: node.starts, number: node.process }
    }

    /// Whether the other process may follow this one, or be this one.
    pub(crate) fn allows(self, other: Self) -> bool {
        other.starts > self.starts || other == self
    }
}

#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    Welcome(Box<Hello>),
    Refused(Refusal),
}

/// Why two nodes do not talk to each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The nodes belong to differently named clusters.
    #[error(
        "{acceptor} belongs to cluster {acceptor_cluster:?}, {initiator} to cluster \
         {initiator_cluster:?}: correct the cluster name or the seeds of one of them"
    )]
    OtherCluster {
        /// The node that was connected to.
        acceptor: String,
        /// Its cluster.
        acceptor_cluster: String,
        /// The node that connected.
        initiator: String,
        /// Its cluster.
        initiator_cluster: String,
    },
    /// The names agree but the clusters were bootstrapped apart.
    #[error(
        "{acceptor} is in cluster id {acceptor_id}, {initiator} in cluster id {initiator_id}: two \
         clusters never merge; stop one of them, move its nodes' data directories away if they have \
         any, and start them as new ones"
    )]
    OtherClusterId {
        /// The node that was connected to.
        acceptor: String,
        /// Its cluster id.
        acceptor_id: ClusterId,
        /// The node that connected.
        initiator: String,
        /// Its cluster id.
        initiator_id: ClusterId,
    },
    /// Two members, or a member and a node that runs more than it, run different modules.
    #[error(
        "module sets differ: {acceptor} runs {acceptor_modules:?}, {initiator} runs \
         {initiator_modules:?}; only {acceptor} runs {:?}, only {initiator} runs {:?}: members must \
         run the same modules, other roles no more than they",
        acceptor_modules.difference(initiator_modules).collect::<Vec<_>>(),
        initiator_modules.difference(acceptor_modules).collect::<Vec<_>>()
    )]
    OtherModules {
        /// The node that was connected to.
        acceptor: String,
        /// Its modules.
        acceptor_modules: BTreeSet<String>,
        /// The node that connected.
        initiator: String,
        /// Its modules.
        initiator_modules: BTreeSet<String>,
    },
    /// Of two members one keeps the control log on disk and the other in memory.
    #[error(
        "{durable} keeps its state on disk, {volatile} keeps it in memory only: give all members a \
         data directory, or none"
    )]
    OtherStorage {
        /// The node that has a data directory.
        durable: String,
        /// The node that has none.
        volatile: String,
    },
    /// The node's state on disk is older than what the cluster has seen of it: a copy, or a backup
    /// that was put back. It may have forgotten what it promised.
    #[error(
        "{node} says that this is its start number {starts}, but it has been seen in its start \
         number {known} already: its data directory is an old copy. Move the directory away and start the node with \
         an empty one; it joins as a new node"
    )]
    OldState {
        /// The node.
        node: String,
        /// What it says.
        starts: u64,
        /// What the other node knows.
        known: u64,
    },
    /// The nodes have other layers on the lane of the connection.
    #[error("{0}")]
    OtherLayers(Box<OtherLayers>),
    /// Another node lives at this address now, so the one that was meant is gone from there.
    #[error("{acceptor} answers where node {expected} was expected")]
    OtherNode {
        /// The node that was connected to.
        acceptor: String,
        /// Whom the initiator meant.
        expected: NodeId,
    },
    /// A node describes itself in a way that is not allowed.
    #[error("a description is not allowed: {reason}")]
    Description {
        /// What is wrong with it.
        reason: String,
    },
    /// The acceptor has as many connections as it takes.
    #[error(
        "{acceptor} has {most} connections already, as many as its `{setting}` lets it take: raise it \
         there, or look who connects so often"
    )]
    TooManyConnections {
        /// The node that was connected to.
        acceptor: String,
        /// Its setting that is reached.
        setting: String,
        /// What that is set to.
        most: u64,
    },
    /// A node connected to its own address, which a seed list shared by all nodes makes normal.
    #[error("{acceptor} connected to itself")]
    Itself {
        /// The node.
        acceptor: String,
    },
}

/// Two nodes have other layers on a lane, or other settings of them that both must share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error(
    "the layers on the lane {lane} are not the same (seen from {acceptor}, {difference}): \
     {acceptor} has {acceptor_layers}, {initiator} has {initiator_layers}; give both the same \
     layers and shared settings"
)]
pub struct OtherLayers {
    /// Which lane it is: `data` or `bulk`.
    pub lane: String,
    /// The first difference, as the acceptor sees it.
    pub difference: String,
    /// The node that was connected to.
    pub acceptor: String,
    /// Its layers, from the application to the wire.
    pub acceptor_layers: String,
    /// The node that connected.
    pub initiator: String,
    /// Its layers.
    pub initiator_layers: String,
}

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    #[error("no handshake within {0:?}")]
    Timeout(Duration),
    #[error("the peer does not speak the Clustron protocol (it began with {0:02x?})")]
    NotClustron([u8; 8]),
    #[error("the peer speaks protocol version {theirs}, this node speaks version {ours}")]
    Version { ours: u8, theirs: u8 },
    /// One side did not prove that it belongs here. Says why and what to do.
    #[error("{0}")]
    Unproven(String),
    #[error("refused by the peer: {0}")]
    RefusedByPeer(Refusal),
    #[error("refused by this node: {0}")]
    RefusedHere(Refusal),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Codec(#[from] CodecError),
    #[error("the peer closed the connection during the handshake")]
    Closed,
}

impl From<std::io::Error> for HandshakeError {
    fn from(error: std::io::Error) -> Self {
        FrameError::Io(error).into()
    }
}

/// A stream on which both sides know and accept each other.
pub(crate) struct Established {
    pub(crate) peer: Hello,
    pub(crate) reader: FrameReader<ReadHalf<Box<dyn Stream>>>,
    pub(crate) writer: WriteHalf<Box<dyn Stream>>,
    /// The connection's share of what this node takes, if it was accepted and needs one.
    pub(super) place: Option<Place>,
    /// Of which conversation it is, and whether both ends know that one already.
    pub(super) conversation: Option<Opening>,
}

/// Runs the connecting side.
pub(crate) async fn initiate(
    mut stream: Box<dyn Stream>,
    hello: &Hello,
    frame_bytes_max: usize,
) -> Result<Established, HandshakeError> {
    stream.write_all(&preamble()).await?;
    stream.flush().await?;
    check_preamble(read_preamble(&mut *stream).await?)?;
    let (read, mut writer) = tokio::io::split(stream);
    write_frame(&mut writer, hello).await?;
    let mut reader = FrameReader::new(read, HELLO_BYTES_MAX);
    let answer = reader.next().await?.ok_or(HandshakeError::Closed)?;
    match codec::decode(&answer)? {
        Answer::Refused(refusal) => Err(HandshakeError::RefusedByPeer(refusal)),
        Answer::Welcome(peer) => {
            check(&peer, hello).map_err(HandshakeError::RefusedHere)?;
            reader.set_frame_bytes_max(frame_bytes_max);
            let resumes = peer.conversation.is_some_and(|theirs| theirs.resumes);
            let conversation = hello.conversation.map(|ours| Opening { resumes, ..ours });
            Ok(Established { peer: *peer, reader, writer, place: None, conversation })
        }
    }
}

/// Runs the accepting side. `admit` has the last word on whoever may be talked to.
pub(super) async fn accept(
    mut stream: Box<dyn Stream>,
    hello: impl FnOnce(&Hello) -> Hello,
    admit: impl FnOnce(&Hello, &Hello) -> Result<Option<Place>, Refusal>,
    frame_bytes_max: usize,
) -> Result<Established, HandshakeError> {
    let theirs = read_preamble(&mut *stream).await?;
    match Greeting::of(&theirs) {
        Greeting::Plain => {
            // Even a peer of another version learns which one is spoken here.
            stream.write_all(&preamble()).await?;
            stream.flush().await?;
        }
        // It learns that there is no security here.
        Greeting::Tls | Greeting::Key => greeting::tell(&mut *stream, &preamble()).await,
        Greeting::Notice(_) | Greeting::Unknown => {}
    }
    check_preamble(theirs)?;
    let (read, mut writer) = tokio::io::split(stream);
    let mut reader = FrameReader::new(read, HELLO_BYTES_MAX);
    let bytes = reader.next().await?.ok_or(HandshakeError::Closed)?;
    let peer: Hello = codec::decode(&bytes)?;
    let hello = hello(&peer);
    match check(&hello, &peer).and_then(|()| admit(&hello, &peer)) {
        Ok(place) => {
            let conversation = hello.conversation;
            write_frame(&mut writer, &Answer::Welcome(Box::new(hello))).await?;
            reader.set_frame_bytes_max(frame_bytes_max);
            Ok(Established { peer, reader, writer, place, conversation })
        }
        Err(refusal) => {
            write_frame(&mut writer, &Answer::Refused(refusal.clone())).await?;
            writer.shutdown().await?;
            Err(HandshakeError::RefusedHere(refusal))
        }
    }
}

/// The rule, symmetric in everything but who is named as what.
fn check(acceptor: &Hello, initiator: &Hello) -> Result<(), Refusal> {
    for hello in [acceptor, initiator] {
        if let Err(reason) = hello.node.check() {
            return Err(Refusal::Description { reason });
        }
    }
    let names = || (acceptor.node.to_string(), initiator.node.to_string());
    if acceptor.node.id == initiator.node.id {
        return Err(Refusal::Itself { acceptor: acceptor.node.to_string() });
    }
    if acceptor.cluster != initiator.cluster {
        let (acceptor_name, initiator_name) = names();
        return Err(Refusal::OtherCluster {
            acceptor: acceptor_name,
            acceptor_cluster: acceptor.cluster.to_string(),
            initiator: initiator_name,
            initiator_cluster: initiator.cluster.to_string(),
        });
    }
    if let Some(expected) = initiator.expects.filter(|id| *id != acceptor.node.id) {
        return Err(Refusal::OtherNode { acceptor: acceptor.node.to_string(), expected });
    }
    if let (Some(acceptor_id), Some(initiator_id)) = (acceptor.cluster_id, initiator.cluster_id)
        && acceptor_id != initiator_id
    {
        let (acceptor, initiator) = names();
        return Err(Refusal::OtherClusterId { acceptor, acceptor_id, initiator, initiator_id });
    }
    for (hello, known) in [(acceptor, initiator.knows), (initiator, acceptor.knows)] {
        if let Some(known) = known.filter(|known| !known.allows(Process::of(&hello.node))) {
            let (node, starts) = (hello.node.to_string(), hello.node.starts);
            return Err(Refusal::OldState { node, starts, known: known.starts });
        }
    }
    if acceptor.node.votes() && initiator.node.votes() && acceptor.durable != initiator.durable {
        let (acceptor_name, initiator_name) = names();
        let (durable, volatile) = match acceptor.durable {
            true => (acceptor_name, initiator_name),
            false => (initiator_name, acceptor_name),
        };
        return Err(Refusal::OtherStorage { durable, volatile });
    }
    let (a, i) = (&acceptor.modules, &initiator.modules);
    let fits = match (acceptor.node.votes(), initiator.node.votes()) {
        (true, true) => a == i,
        (true, false) => i.is_subset(a),
        (false, true) => a.is_subset(i),
        (false, false) => true,
    };
    if !fits {
        let (acceptor_name, initiator_name) = names();
        return Err(Refusal::OtherModules {
            acceptor: acceptor_name,
            acceptor_modules: a.clone(),
            initiator: initiator_name,
            initiator_modules: i.clone(),
        });
    }
    check_layers(acceptor, initiator)
}

fn check_layers(acceptor: &Hello, initiator: &Hello) -> Result<(), Refusal> {
    if let Err(unequal) = agree(&acceptor.pipeline, &initiator.pipeline) {
        // The other end may have put anything into them.
        let shown = |text: String| -> String {
            let plain = |c: char| if c.is_control() { '?' } else { c };
            text.chars().take(LAYERS_SHOWN).map(plain).collect()
        };
        return Err(Refusal::OtherLayers(Box::new(OtherLayers {
            lane: format!("{:?}", initiator.lane).to_lowercase(),
            difference: shown(unequal.difference),
            acceptor: acceptor.node.to_string(),
            acceptor_layers: shown(acceptor.pipeline.to_string()),
            initiator: initiator.node.to_string(),
            initiator_layers: shown(initiator.pipeline.to_string()),
        })));
    }
    // They have the same layers, so both speak of a conversation or neither does.
    let speak = [acceptor, initiator].map(|hello| hello.conversation.is_some());
    if speak != [!acceptor.pipeline.is_empty(); 2] {
        let reason = "a conversation must have a number where there are layers, and only there";
        return Err(Refusal::Description { reason: reason.to_owned() });
    }
    Ok(())
}

fn preamble() -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..7].copy_from_slice(PLAIN);
    bytes[7] = PROTOCOL_VERSION;
    bytes
}

async fn read_preamble(stream: &mut dyn Stream) -> Result<[u8; 8], HandshakeError> {
    let mut bytes = [0; 8];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

fn check_preamble(theirs: [u8; 8]) -> Result<(), HandshakeError> {
    let (kind, remedy) = match Greeting::of(&theirs) {
        Greeting::Plain if theirs[7] == PROTOCOL_VERSION => return Ok(()),
        Greeting::Plain => {
            let (ours, theirs) = (PROTOCOL_VERSION, theirs[7]);
            return Err(HandshakeError::Version { ours, theirs });
        }
        Greeting::Tls | Greeting::Notice(Notice::Tls) => ("TLS", "certificates (`tls`)"),
        Greeting::Key | Greeting::Notice(Notice::Key | Notice::OtherKey) => {
            ("a cluster key", "the cluster key (`cluster_key`)")
        }
        Greeting::Unknown => return Err(HandshakeError::NotClustron(theirs)),
    };
    Err(HandshakeError::Unproven(format!(
        "this node uses no security, the peer uses {kind}: if both belong to one cluster, give this \
         node {remedy}"
    )))
}

async fn write_frame<T: Serialize>(
    writer: &mut WriteHalf<Box<dyn Stream>>,
    value: &T,
) -> Result<(), HandshakeError> {
    let mut out = BytesMut::new();
    put_frame(&mut out, &codec::encode(value)?);
    writer.write_all(&out).await?;
    writer.flush().await?;
    Ok(())
}

#[cfg(test)]
mod tests;
