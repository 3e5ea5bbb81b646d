//! What a node process tells the program that started it: one line for each thing that happened.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use clustron_core::{ClusterId, NodeName};

/// Microseconds since the Unix epoch. All processes of a measurement read the same clock.
pub(crate) fn unix_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// The node has applied its own activation and leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leading {
    pub(crate) epoch: u64,
    pub(crate) at_us: u64,
}

impl Leading {
    /// Reads a line; `None` if it says something else.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix("leading ")?.split(' ');
        let epoch = words.next()?.parse().ok()?;
        Some(Self { epoch, at_us: words.next()?.parse().ok()? })
    }
}

impl fmt::Display for Leading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "leading {} {}", self.epoch, self.at_us)
    }
}

/// What the node knows of its cluster has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sees {
    pub(crate) cluster: String,
    pub(crate) leader: String,
    pub(crate) epoch: u64,
    pub(crate) voters: usize,
    pub(crate) at_us: u64,
}

impl Sees {
    /// What stands for a cluster or leader that is not known.
    const NONE: &str = "-";

    /// What a node sees now.
    pub(crate) fn now(
        cluster: Option<ClusterId>,
        leader: Option<(&NodeName, u64)>,
        voters: usize,
    ) -> Self {
        let none = || Self::NONE.to_owned();
        Self {
            cluster: cluster.map_or_else(none, |id| id.to_string()),
            leader: leader.map_or_else(none, |(name, _)| name.to_string()),
            epoch: leader.map_or(0, |(_, epoch)| epoch),
            voters,
            at_us: unix_us(),
        }
    }

    /// Whether both are the same but for when they were said.
    pub(crate) fn is_as(&self, other: &Self) -> bool {
        let at_us = self.at_us;
        *self == Self { at_us, ..other.clone() }
    }

    /// Whether a leader is known.
    pub(crate) fn has_leader(&self) -> bool {
        self.leader != Self::NONE
    }

    /// Reads a line; `None` if it says something else.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix("sees ")?.split(' ');
        Some(Self {
            cluster: words.next()?.to_owned(),
            leader: words.next()?.to_owned(),
            epoch: words.next()?.parse().ok()?,
            voters: words.next()?.parse().ok()?,
            at_us: words.next()?.parse().ok()?,
        })
    }
}

impl fmt::Display for Sees {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cluster, leader, epoch, voters, at_us } = self;
        write!(f, "sees {cluster} {leader} {epoch} {voters} {at_us}")
    }
}

/// A node that another one doubts, for `quiet`.
pub(crate) const SUSPECTS: &str = "suspects ";

/// A node hears no leader any more, for `quiet`.
pub(crate) const LOST: &str = "lost ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_read_back_and_nothing_else_is() {
        let leading = Leading { epoch: 7, at_us: unix_us() };
        assert_eq!(Leading::parse(&leading.to_string()), Some(leading));
        let name = NodeName::new("a1").unwrap();
        let sees = Sees::now(None, Some((&name, 7)), 3);
        assert_eq!(Sees::parse(&sees.to_string()), Some(sees.clone()));
        assert_eq!(Leading::parse(&sees.to_string()), None);
        for line in ["", "leading", "leading x 1", "leading 1", "sees - - 0 0", "sees - - 0 0 x"] {
            assert_eq!((Leading::parse(line), Sees::parse(line)), (None, None), "{line}");
        }
    }

    #[test]
    fn only_news_differs() {
        let name = NodeName::new("a1").unwrap();
        let sees = Sees::now(None, Some((&name, 7)), 3);
        assert!(sees.is_as(&Sees { at_us: 0, ..sees.clone() }));
        assert!(!sees.is_as(&Sees { voters: 2, ..sees.clone() }));
        assert!(sees.has_leader() && !Sees::now(None, None, 3).has_leader());
    }
}
