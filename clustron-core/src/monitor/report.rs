//! What a node says of its own health to one that collects it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::control::Control;
use crate::health::{Health, HealthBoard};
use crate::identity::{Epoch, NodeId};
use crate::messaging::{Message, Messenger, Request};
use crate::roles;
#[cfg(feature = "simulation")]
use crate::simulation::Decoder;

/// The most reasons in a report.
const REASONS_MAX: usize = 16;

/// The most nodes in a list of a report.
const NODES_MAX: usize = 64;

/// How are you?
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct AskHealth;

impl Message for AskHealth {
    const KIND: &'static str = "core.health";
    const BYTES_MAX: usize = 16;
}

impl Request for AskHealth {
    type Reply = Report;
    // Sixteen reasons with all their texts of the longest characters, and the lists.
    const REPLY_BYTES_MAX: usize = 64 << 10;
}

#[cfg(feature = "simulation")]
pub(crate) const DECODERS: [Decoder; 1] = [Decoder::request::<AskHealth>()];

/// The answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) health: Health,
    pub(super) epoch: Epoch,
    pub(super) applied: u64,
    pub(super) staleness: Option<Duration>,
    pub(super) leader: Option<NodeId>,
    /// Whom it does not take for alive.
    pub(super) suspected: BTreeSet<NodeId>,
    /// Whom it does not reach directly.
    pub(super) unreachable: BTreeSet<NodeId>,
}

impl Report {
    /// The same with no more than may be said. What was received may have more.
    pub(super) fn bounded(mut self) -> Self {
        self.health.reasons.truncate(REASONS_MAX);
        for list in [&mut self.suspected, &mut self.unreachable] {
            while list.len() > NODES_MAX {
                list.pop_last();
            }
        }
        self
    }
}

/// Makes the report of a node.
pub(super) struct Reporter {
    pub(super) control: Arc<Control>,
    pub(super) health: Arc<HealthBoard>,
}

impl Reporter {
    pub(super) fn report(&self) -> Report {
        let control = &self.control;
        let node = control.local.node();
        let suspicions = control.outlook.suspicions_now();
        let doubted = suspicions.keys().copied();
        let reachability = control.reachability_now();
        let report = Report {
            health: self.health.look(),
            epoch: control.agreed_now().epoch(),
            applied: control.applied_index(),
            staleness: control.following().is_none().then(|| control.staleness()).flatten(),
            leader: control.believed_leader().map(|leader| leader.node),
            suspected: doubted.filter(|_| roles::sees_suspicions(&node.roles)).collect(),
            unreachable: reachability.rows().get(&node.id).cloned().unwrap_or_default(),
        };
        report.bounded()
    }
}

/// Answers whoever asks from now on.
pub(super) fn serve(messenger: &Messenger, reporter: Arc<Reporter>) {
    messenger.on_request(move |_from, AskHealth| std::future::ready(reporter.report()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;
    use crate::golden;
    use crate::health::{Question, Reason};
    use crate::time::Timestamp;

    #[test]
    fn the_longest_report_fits_into_what_is_taken() {
        let long = "\u{10ffff}".repeat(240);
        let reason = Reason {
            question: Question::Ready,
            name: long.clone(),
            what: long.clone(),
            remedy: long,
            since: Timestamp::from_unix_ms(i64::MAX),
        };
        let ids: BTreeSet<NodeId> = (0..1000).map(|id| NodeId(u64::MAX - id)).collect();
        let report = Report {
            health: Health { reasons: vec![reason; 100] },
            epoch: Epoch(u64::MAX),
            applied: u64::MAX,
            staleness: Some(Duration::MAX),
            leader: Some(NodeId(u64::MAX)),
            suspected: ids.clone(),
            unreachable: ids,
        };
        let report = report.bounded();
        assert_eq!((report.suspected.len(), report.health.reasons.len()), (64, 16));
        let bytes = codec::encode(&report).unwrap().len();
        assert!(bytes <= AskHealth::REPLY_BYTES_MAX, "{bytes}");
    }

    #[test]
    fn the_bytes_of_a_report_are_frozen() {
        let reason = |question| Reason {
            question,
            name: "disk".to_owned(),
            what: "slow".to_owned(),
            remedy: "look".to_owned(),
            since: golden::AT,
        };
        let reasons = [Question::Live, Question::Ready, Question::Started].map(reason).into();
        let report = Report {
            health: Health { reasons },
            epoch: Epoch(9),
            applied: 300,
            staleness: Some(Duration::from_millis(5)),
            leader: Some(NodeId(1)),
            suspected: [NodeId(2)].into(),
            unreachable: [NodeId(3)].into(),
        };
        let mut table = golden::file("health.txt");
        table.add("ask", &AskHealth);
        table.add("report", &report);
        table.check();
    }
}
