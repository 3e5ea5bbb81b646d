//! Which tick of a job is meant.

use std::fmt;

use clustron_core::{FencingToken, Timestamp};
use serde::{Deserialize, Serialize};

/// One tick of one job: by its schedule at an instant, which it names once, or because somebody
/// asked for it, as often as that happens. In the order of the instants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TickId {
    /// When it was due; of one that was asked for, the instant that it stands for.
    pub scheduled: Timestamp,
    /// The token of the command that asked for it; `None` if the schedule did.
    pub asked: Option<FencingToken>,
}

impl From<Timestamp> for TickId {
    /// The one that the schedule names.
    fn from(scheduled: Timestamp) -> Self {
        Self { scheduled, asked: None }
    }
}

impl fmt::Display for TickId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.asked {
            None => write!(f, "{}", self.scheduled),
            Some(token) => write!(f, "{} asked for by {token}", self.scheduled),
        }
    }
}
