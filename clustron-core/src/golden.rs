//! What golden tests share: where their files are, and values that stand in many others.
//!
//! `clustron-core/golden` has the bytes of everything that the core sends or keeps, one file for
//! each module that defines some; see [`clustron_testkit::golden`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use clustron_testkit::golden::Golden;

use crate::codec;
use crate::identity::{ClusterId, Incarnation, NodeId, NodeInfo, NodeName, Role};
use crate::membership::{EvidenceKind, PeerState};
use crate::opinion::{DatedEvidence, Opinion};
use crate::recovery::Loss;
use crate::time::Timestamp;

/// The golden file of this name.
pub(crate) fn file(name: &str) -> Golden {
    Golden::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name))
}

pub(crate) fn cluster() -> ClusterId {
    codec::decode(&[9]).unwrap()
}

pub(crate) const AT: Timestamp = Timestamp::from_unix_ms(1000);

/// A node with all roles.
pub(crate) fn node() -> NodeInfo {
    let custom = Role::Custom("edge".to_owned());
    let roles =
        [Role::Member, Role::Client, Role::Observer, Role::MetricsCollector, custom, Role::Witness];
    NodeInfo {
        id: NodeId(1),
        name: NodeName::new("a").unwrap(),
        incarnation: Incarnation(2),
        addr: "a:1".to_owned(),
        roles: BTreeSet::from(roles),
        tags: BTreeMap::from([("zone".to_owned(), "eu".to_owned())]),
        revision: 3,
        starts: 4,
        process: 5,
    }
}

/// An opinion with all kinds of evidence.
pub(crate) fn opinion() -> Opinion {
    let (node, why) = (NodeId(3), || "no".to_owned());
    let (waited, nodes) = (Duration::from_millis(5), || vec![NodeId(4)]);
    let heard = |state| EvidenceKind::GossipFrom { node, state };
    let kinds = [
        EvidenceKind::ConnectionLost,
        EvidenceKind::ConnectionRefused { why: why() },
        EvidenceKind::VerificationUnanswered { why: why() },
        EvidenceKind::ProbeAnswered { round_trip: waited },
        EvidenceKind::AnsweredThrough { helper: node, after: waited },
        EvidenceKind::ProbeTimedOut { waited, local_health: 6 },
        EvidenceKind::IndirectProbesFailed { asked: nodes() },
        EvidenceKind::HeartbeatsMissing { silent: waited, phi: 7, local_health: 6 },
        EvidenceKind::AccusedBy { node },
        heard(PeerState::Alive),
        heard(PeerState::Suspect),
        heard(PeerState::Down),
        heard(PeerState::Left),
        EvidenceKind::SuspicionExpired { waited, confirmed_by: nodes() },
        EvidenceKind::QuorumReached { observers: nodes(), cut: 8 },
        EvidenceKind::Refuted { by: node, incarnation: Incarnation(9) },
        EvidenceKind::Readmitted { incarnation: Incarnation(9) },
    ];
    Opinion {
        observer: NodeId(1),
        at: AT,
        node: NodeId(2),
        incarnation: Incarnation(2),
        state: PeerState::Down,
        last_heard: Some(AT),
        round_trip: Some(waited),
        accusers: nodes(),
        local_health: 6,
        evidence: kinds.map(|kind| DatedEvidence { at: AT, kind }).into(),
    }
}

pub(crate) fn loss() -> Loss {
    Loss {
        was: codec::decode(&[8]).unwrap(),
        cluster: cluster(),
        survivor: NodeId(1),
        lost: BTreeSet::from([NodeId(2), NodeId(3)]),
        by: "ann".to_owned(),
        at: AT,
    }
}
