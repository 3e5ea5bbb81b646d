//! Looking twice when a connection is lost.
//!
//! A closed connection is the fastest sign of a crash, and no proof: networks close connections
//! too. So the peer's address is dialled afresh. If the host refuses, the process is gone or is
//! just being replaced; the peer becomes Suspect and a second refusal a moment later makes it
//! Down, well before any timeout. A process that is merely slow does not refuse (its kernel
//! answers for it), so it can only ever meet the timeouts.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Verification;
use super::alarms::Alarms;
use crate::NodeId;

/// The checks of lost connections that are under way.
#[derive(Debug)]
pub(super) struct Checks {
    pause: Duration,
    open: BTreeMap<NodeId, Check>,
    alarms: Alarms,
}

/// How far a check has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    /// The first dial is under way. A peer has several connections, and all of them close when it
    /// dies; `lost_again` remembers the others, because the dial may have come before them.
    First { lost_again: bool },
    /// The first dial was refused; the second waits for its time.
    Waiting,
    /// The second dial is under way.
    Second,
    /// A dial is under way whose outcome no longer counts: it is about a life before.
    Void { lost_again: bool },
}

/// What a dial's outcome means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// Nobody waited for it.
    Nothing,
    /// The peer is to be dialled once more, now.
    DialAgain,
    /// It is there.
    Reached,
    /// The dial proved nothing.
    Unclear,
    /// It was refused, for the first time.
    RefusedOnce,
    /// It was refused twice.
    RefusedTwice,
}

impl Checks {
    /// Nothing to check. `pause` is the time between a refusal and the second dial.
    pub(super) fn new(pause: Duration) -> Self {
        Self { pause, open: BTreeMap::new(), alarms: Alarms::default() }
    }

    /// A connection to the peer closed. Says whether to dial.
    pub(super) fn lost(&mut self, peer: NodeId) -> bool {
        match self.open.get_mut(&peer) {
            None => {
                self.open.insert(peer, Check::First { lost_again: false });
                return true;
            }
            Some(Check::First { lost_again } | Check::Void { lost_again }) => *lost_again = true,
            // The second dial settles it.
            Some(Check::Waiting | Check::Second) => {}
        }
        false
    }

    /// A dial came to an end.
    pub(super) fn ended(&mut self, now: Duration, peer: NodeId, result: &Verification) -> Finding {
        match (self.open.get(&peer), result) {
            (None | Some(Check::Waiting), _) => Finding::Nothing,
            (Some(Check::Void { lost_again: true }), _)
            // It may have died after it answered: that is what closed the other one.
            | (Some(Check::First { lost_again: true }), Verification::Reached) => {
                self.open.insert(peer, Check::First { lost_again: false });
                Finding::DialAgain
            }
            (Some(Check::First { .. }), Verification::Gone { .. }) => {
                self.open.insert(peer, Check::Waiting);
                self.alarms.set(peer, now + self.pause);
                Finding::RefusedOnce
            }
            (Some(check), result) => {
                let void = matches!(check, Check::Void { .. });
                self.open.remove(&peer);
                match result {
                    _ if void => Finding::Nothing,
                    Verification::Reached => Finding::Reached,
                    Verification::NoAnswer { .. } => Finding::Unclear,
                    Verification::Gone { .. } => Finding::RefusedTwice,
                }
            }
        }
    }

    /// What was found out about the peer no longer counts.
    pub(super) fn void(&mut self, peer: NodeId) {
        match self.open.get(&peer) {
            None => {}
            Some(Check::Waiting) => {
                self.open.remove(&peer);
                self.alarms.clear(peer);
            }
            Some(Check::First { .. } | Check::Second | Check::Void { .. }) => {
                self.open.insert(peer, Check::Void { lost_again: false });
            }
        }
    }

    /// A dial to a peer that is not judged any more came to an end.
    pub(super) fn ended_in_vain(&mut self, peer: NodeId) {
        self.open.remove(&peer);
        self.alarms.clear(peer);
    }

    /// What fell due in our absence is due now: a second dial is as good late, because it looks at
    /// the present.
    pub(super) fn forgive(&mut self, now: Duration) {
        let overdue: Vec<NodeId> = std::iter::from_fn(|| self.alarms.take_due(now)).collect();
        overdue.into_iter().for_each(|peer| self.alarms.set(peer, now));
    }

    /// When the next second dial is due.
    pub(super) fn next_timeout(&self) -> Option<Duration> {
        self.alarms.next()
    }

    /// Whom to dial a second time by `now`.
    pub(super) fn take_due(&mut self, now: Duration) -> Option<NodeId> {
        let peer = self.alarms.take_due(now)?;
        self.open.insert(peer, Check::Second);
        Some(peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANNA: NodeId = NodeId(2);

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn checks() -> Checks {
        Checks::new(ms(250))
    }

    fn gone() -> Verification {
        Verification::Gone { why: "refused".into() }
    }

    #[test]
    fn a_refusal_is_checked_once_more_after_a_pause() {
        let mut checks = checks();
        assert!(checks.lost(ANNA));
        assert_eq!(checks.ended(ms(2), ANNA, &gone()), Finding::RefusedOnce);
        assert_eq!(checks.next_timeout(), Some(ms(252)));
        assert_eq!(checks.take_due(ms(251)), None);
        assert_eq!(checks.take_due(ms(252)), Some(ANNA));
        assert_eq!(checks.ended(ms(253), ANNA, &gone()), Finding::RefusedTwice);
        assert_eq!(checks.ended(ms(254), ANNA, &gone()), Finding::Nothing);
        assert_eq!(checks.next_timeout(), None);
    }

    #[test]
    fn all_connections_of_a_peer_closing_at_once_count_once() {
        let mut checks = checks();
        assert!(checks.lost(ANNA));
        assert!(!checks.lost(ANNA));
        let reached = Verification::Reached;
        assert_eq!(checks.ended(ms(2), ANNA, &reached), Finding::DialAgain);
        assert_eq!(checks.ended(ms(3), ANNA, &reached), Finding::Reached);
        assert!(checks.lost(ANNA));
        assert_eq!(checks.ended(ms(5), ANNA, &gone()), Finding::RefusedOnce);
        assert_eq!(checks.ended(ms(6), ANNA, &gone()), Finding::Nothing, "nobody waits for it");
    }

    #[test]
    fn an_outcome_about_a_life_before_is_not_taken_for_one_about_this_life() {
        let mut checks = checks();
        checks.lost(ANNA);
        checks.void(ANNA);
        assert!(!checks.lost(ANNA), "one dial at a time");
        assert_eq!(checks.ended(ms(2), ANNA, &gone()), Finding::DialAgain);
        assert_eq!(checks.ended(ms(3), ANNA, &gone()), Finding::RefusedOnce);
        checks.forgive(ms(900));
        assert_eq!(checks.next_timeout(), Some(ms(900)), "overdue is not late");
        checks.void(ANNA);
        assert_eq!(checks.next_timeout(), None);
        checks.lost(ANNA);
        checks.void(ANNA);
        assert_eq!(checks.ended(ms(4), ANNA, &gone()), Finding::Nothing);
        checks.lost(ANNA);
        checks.void(ANNA);
        checks.lost(ANNA);
        checks.void(ANNA);
        checks.ended_in_vain(ANNA);
        assert_eq!(checks.ended(ms(4), ANNA, &gone()), Finding::Nothing, "all forgotten");
        let no_answer = Verification::NoAnswer { why: "timed out".into() };
        checks.lost(ANNA);
        assert_eq!(checks.ended(ms(5), ANNA, &no_answer), Finding::Unclear);
    }
}
