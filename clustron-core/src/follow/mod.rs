//! How a node that does not follow the control log knows the view and the leader.
//!
//! Observers and metrics collectors may be thousands, so the leader knows nothing of them but that
//! they are in the view. Each hangs on to one member ([`attachment`]) with a request that is
//! answered when there is something new, and otherwise after at most a second:
//!
//! ```text
//! observer                                member
//!     | -- Follow {what I know} ----------> |  waits for something newer
//!     | <- News {page, leader, voters} ---- |
//!     | -- Follow {what I know now} ------> |
//! ```
//!
//! The answer holds only what has changed since, in pages of bounded size ([`page`]), and whom the
//! member believes to lead. It counts as heard for a little longer than the next answer may take;
//! then the leader is lost to the observer ([`told`]), which has long since begun to ask others.

mod attachment;
mod observer;
mod page;
mod serve;
mod told;

use serde::{Deserialize, Serialize};

pub(crate) use observer::Observer;
use page::{Cursor, Page};
pub(crate) use serve::serve;
pub(crate) use told::{Following, Told};

use crate::identity::{ClusterId, Epoch};
use crate::messaging::{Message, Request};
#[cfg(feature = "simulation")]
use crate::simulation::Decoder;
use crate::voter_groups::VoterGroups;

/// What is there that I do not know yet?
#[derive(Debug, Serialize, Deserialize)]
struct Follow {
    cluster: ClusterId,
    cursor: Cursor,
    leader: Option<Epoch>,
    voter_groups: VoterGroups,
    /// How long to wait for something newer, in milliseconds; the member waits a second at most.
    hold_ms: u32,
}

impl Message for Follow {
    const KIND: &'static str = "core.follow";
}

impl Request for Follow {
    type Reply = Followed;
}

#[cfg(feature = "simulation")]
pub(crate) const DECODERS: [Decoder; 1] = [Decoder::request::<Follow>()];

#[derive(Debug, Serialize, Deserialize)]
enum Followed {
    News(Box<News>),
    /// Too many hang on here already. Ask another.
    Busy,
    /// The member is in no cluster, or in another.
    OtherCluster,
}

#[derive(Debug, Serialize, Deserialize)]
struct News {
    page: Page,
    /// The version of the member's view. A member that is behind the observer has no news.
    version: u64,
    /// How far the member has applied the control log.
    applied: u64,
    /// The epoch of the leader in which the member believes.
    leader: Option<Epoch>,
    voter_groups: VoterGroups,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::{self, AT};
    use crate::identity::{Incarnation, NodeId};
    use crate::opinion::Removal;
    use crate::view::{Activation, NodeRecord, NodeState};
    use std::collections::BTreeSet;
    use std::sync::Arc;

    fn page() -> Page {
        let removal = Removal {
            leader: NodeId(1),
            epoch: Epoch(9),
            index: 11,
            missed_since: AT,
            opinion: golden::opinion(),
        };
        let record = |state, removal: Option<Removal>| NodeRecord {
            info: golden::node(),
            state,
            reason: "no".to_owned(),
            removal: removal.map(Arc::new),
            process_since: 7,
            since: 8,
            since_at: AT,
            changed: 10,
        };
        let activation = Activation {
            epoch: Epoch(9),
            node: NodeId(1),
            name: golden::node().name,
            incarnation: Incarnation(2),
            at: AT,
        };
        Page {
            anew: true,
            base: 7,
            upto: 11,
            records: vec![
                record(NodeState::Alive, None),
                record(NodeState::Down, Some(removal)),
                record(NodeState::Left, None),
            ],
            forgotten: vec![(6, NodeId(4))],
            activations: vec![activation],
            more: true,
        }
    }

    #[test]
    fn the_bytes_of_questions_and_pages_are_frozen() {
        let group = BTreeSet::from([NodeId(1)]);
        let groups = || VoterGroups::new(vec![group.clone()], vec![group.clone(), group.clone()]);
        let cursor = Cursor { base: 7, since: 8, epoch: Epoch(9) };
        let leader = Some(Epoch(9));
        let follow = Follow {
            cluster: golden::cluster(),
            cursor,
            leader,
            voter_groups: groups(),
            hold_ms: 500,
        };
        let news = News { page: page(), version: 11, applied: 12, leader, voter_groups: groups() };
        let mut table = golden::file("follow.txt");
        table.add("follow", &follow);
        table.add("news", &Followed::News(Box::new(news)));
        table.add("busy", &Followed::Busy);
        table.add("other cluster", &Followed::OtherCluster);
        table.check();
    }
}
