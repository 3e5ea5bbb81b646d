//! What one node held of another at one moment, in a form that travels and is kept: by the wall
//! clock, and bounded in bytes.
//!
//! A detector's own [`Case`] is like a doctor's notes: its times count from when the shift began,
//! and nobody else can read them. This is the copy for the file.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::codec;
use crate::identity::{Epoch, Incarnation, NodeId};
use crate::membership::{Case, EvidenceKind, PeerState};
use crate::time::Timestamp;

/// The most bytes of an opinion in the log; of what does not fit, the oldest evidence goes first.
pub(crate) const OPINION_BYTES_MAX: usize = 4096;

/// The most bytes of one text in it, such as what a dial reported.
const TEXT_BYTES_MAX: usize = 120;

/// The most nodes in one list in it.
const NODES_MAX: usize = 16;

/// The most bytes of an opinion in short.
const SHORT_BYTES_MAX: usize = 240;

/// How many pieces of evidence an opinion in short tells: what led to the verdict.
const SHORT_EVIDENCE: usize = 3;

/// One observation about a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatedEvidence {
    /// When it was made, by the observer's clock.
    pub at: Timestamp,
    /// What was observed.
    pub kind: EvidenceKind,
}

/// What one node held of another at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opinion {
    /// Who held it.
    pub observer: NodeId,
    /// At which moment, by its clock, as all times here.
    pub at: Timestamp,
    /// Whom it is about.
    pub node: NodeId,
    /// The highest incarnation that the observer had heard of.
    pub incarnation: Incarnation,
    /// What it took the node for.
    pub state: PeerState,
    /// When the node last sent the observer anything itself.
    pub last_heard: Option<Timestamp>,
    /// How long the node's last answer to a ping of the observer took.
    pub round_trip: Option<Duration>,
    /// Who could not reach the node in this incarnation, the observer included.
    pub accusers: Vec<NodeId>,
    /// How unwell the observer took itself to be; 0 is well.
    pub local_health: u32,
    /// What was observed since the node was last found Alive, oldest first.
    pub evidence: Vec<DatedEvidence>,
}

/// With what a leader took a node out of the view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removal {
    /// The leader.
    pub leader: NodeId,
    /// Its epoch.
    pub epoch: Epoch,
    /// The index of the entry in the control log, which is also the version of the view.
    pub index: u64,
    /// Since when it had been, without a break, not Alive for the leader.
    pub missed_since: Timestamp,
    /// What the leader held of it then.
    pub opinion: Opinion,
}

impl Opinion {
    /// Dates a case that `observer` has at the moment `now` of its own time, which is `at` by its
    /// clock.
    pub(crate) fn new(observer: NodeId, case: Case, now: Duration, at: Timestamp) -> Self {
        let date = |then: Duration| at.saturating_sub(now.saturating_sub(then));
        let evidence = case.evidence.into_iter();
        Self {
            observer,
            at,
            node: case.node,
            incarnation: case.incarnation,
            state: case.state,
            last_heard: case.last_heard.map(date),
            round_trip: case.round_trip,
            accusers: case.accusers,
            local_health: case.local_health,
            evidence: evidence.map(|e| DatedEvidence { at: date(e.at), kind: e.kind }).collect(),
        }
    }

    /// The same with at most so many bytes, encoded: long texts and lists are cut, and of the
    /// evidence the newest is kept.
    pub(crate) fn within(mut self, bytes_max: usize) -> Self {
        self.accusers.truncate(NODES_MAX);
        for observation in &mut self.evidence {
            shorten(&mut observation.kind);
        }
        let fits = |opinion: &Self| codec::encode(opinion).is_ok_and(|it| it.len() <= bytes_max);
        while !fits(&self) && !self.evidence.is_empty() {
            self.evidence.remove(0);
        }
        self
    }

    /// The end of the story in one line.
    pub(crate) fn in_short(&self, observer: &str) -> String {
        let told = self.evidence.len().saturating_sub(SHORT_EVIDENCE);
        let story: Vec<String> = self.evidence[told..].iter().map(|e| e.kind.to_string()).collect();
        let mut text = format!("as seen by {observer}: {}", story.join("; "));
        cut_text(&mut text, SHORT_BYTES_MAX);
        text
    }
}

fn shorten(kind: &mut EvidenceKind) {
    match kind {
        EvidenceKind::ConnectionRefused { why } | EvidenceKind::VerificationUnanswered { why } => {
            cut_text(why, TEXT_BYTES_MAX);
        }
        EvidenceKind::IndirectProbesFailed { asked: nodes }
        | EvidenceKind::SuspicionExpired { confirmed_by: nodes, .. }
        | EvidenceKind::QuorumReached { observers: nodes, .. } => nodes.truncate(NODES_MAX),
        // Of fixed size.
        EvidenceKind::ConnectionLost
        | EvidenceKind::ProbeAnswered { .. }
        | EvidenceKind::AnsweredThrough { .. }
        | EvidenceKind::ProbeTimedOut { .. }
        | EvidenceKind::HeartbeatsMissing { .. }
        | EvidenceKind::AccusedBy { .. }
        | EvidenceKind::GossipFrom { .. }
        | EvidenceKind::Refuted { .. }
        | EvidenceKind::Readmitted { .. } => {}
    }
}

fn cut_text(text: &mut String, bytes_max: usize) {
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max - '…'.len_utf8()));
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::membership::{EVIDENCE_MAX, Evidence};
    use proptest::prelude::*;

    fn case(evidence: Vec<Evidence>) -> Case {
        Case {
            node: NodeId(2),
            incarnation: Incarnation(1),
            state: PeerState::Down,
            last_heard: Some(Duration::from_secs(7)),
            round_trip: Some(Duration::from_micros(300)),
            accusers: vec![NodeId(1), NodeId(3)],
            local_health: 0,
            evidence,
        }
    }

    fn refused(at: u64, why: &str) -> Evidence {
        let kind = EvidenceKind::ConnectionRefused { why: why.to_owned() };
        Evidence { at: Duration::from_secs(at), kind }
    }

    fn opinion(evidence: Vec<Evidence>) -> Opinion {
        let at = Timestamp::from_unix_ms(1_000_000);
        Opinion::new(NodeId(1), case(evidence), Duration::from_secs(10), at)
    }

    #[test]
    fn times_since_the_start_become_times_of_the_day() {
        let opinion = opinion(vec![refused(8, "no")]);
        assert_eq!(opinion.last_heard, Some(Timestamp::from_unix_ms(997_000)));
        assert_eq!(opinion.evidence[0].at, Timestamp::from_unix_ms(998_000));
    }

    #[test]
    fn in_short_it_tells_the_end_and_stays_short() {
        let told = opinion((0..9).map(|at| refused(at, &format!("dial {at}"))).collect());
        let text = told.in_short("a");
        assert!(text.starts_with("as seen by a: ") && text.contains("dial 8"), "{text}");
        assert!(!text.contains("dial 5"), "{text}");
        let long = opinion(vec![refused(1, &"é".repeat(999))]).in_short("a");
        assert!(long.len() <= SHORT_BYTES_MAX && long.ends_with('…'), "{long}");
    }

    proptest! {
        /// Whatever others made us note, it fits, and what came last is still there.
        #[test]
        fn an_opinion_fits_into_its_bytes(
            texts in proptest::collection::vec("\\PC{0,400}", 1..EVIDENCE_MAX),
            nodes in 0u64..2000,
            bytes_max in 600usize..OPINION_BYTES_MAX,
        ) {
            let mut evidence: Vec<Evidence> = texts.iter().map(|text| refused(1, text)).collect();
            let asked = (0..nodes).map(NodeId).collect();
            let kind = EvidenceKind::IndirectProbesFailed { asked };
            evidence.push(Evidence { at: Duration::from_secs(9), kind });
            let kept = opinion(evidence).within(bytes_max);
            prop_assert!(codec::encode(&kept).unwrap().len() <= bytes_max);
            let last = kept.evidence.last().map(|e| e.at);
            prop_assert_eq!(last, Some(Timestamp::from_unix_ms(999_000)));
        }
    }
}
