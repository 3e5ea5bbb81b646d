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
