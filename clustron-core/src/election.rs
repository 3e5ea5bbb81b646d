//! When a voter stands for election, as a pure decision. Raft decides who wins.
//!
//! Raft alone stands whenever it has heard nothing for a while, and so a node with a bad link
//! unseats a healthy leader again and again. Here a voter behaves like a careful deputy: it asks
//! around first (a pre-vote, Ongaro's thesis §9.6), and only when a majority has not heard the
//! leader either does it stand. What makes the difference in speed is evidence: when the leader's
//! process is known to be gone, nobody waits out the long silence, only the short lease that the
//! other voters have promised the leader.
//!
//! Timing, after the leader was last heard:
//!
//! ```text
//! 0 ............ lease ................ silence
//!                |                      |
//!                |                      stand, evidence or not
//!                stand if the leader is known to be gone; vote for others
//! ```
//!
//! A leader that hands over gives its successor a permit. With that nothing is waited for: the
//! successor asks around and stands at once, and the others forget the lease for it alone.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::identity::NodeId;

/// The times of [`Election`], in rising order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timing {
    /// Nobody votes for another until the leader has been silent for this long.
    pub(crate) lease: Duration,
    /// Without evidence, nobody stands until the leader has been silent for this long.
    pub(crate) silence: Duration,
    /// Voters stand this far apart, so that they do not split the vote.
    pub(crate) stagger: Duration,
    /// How long a pre-vote or an election may take before it is tried again.
    pub(crate) round: Duration,
}

/// How far a node's log reaches, compared as Raft does: term and leader of the last entry, then its
/// index. Two leaders can be elected in one term here, and the one with the higher id counts as the
/// later. Whoever left that out could take the log for longer that Raft takes for shorter, and then
/// neither of two voters would ever be elected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub(crate) struct LogEnd {
    pub(crate) term: u64,
    pub(crate) leader: NodeId,
    pub(crate) index: u64,
}

/// What a voter answers to a pre-vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PreVote {
    /// "I would vote for you."
    Granted,
    /// "I have heard the leader just now; ask again after this long."
    NotYet { retry_after: Duration },
    /// "My log reaches further than yours."
    LogBehind,
}

/// What the machine is told.
#[derive(Debug, Clone)]
pub(crate) enum Input {
    /// Who votes now, by the log: one set, or two while one replaces the other, in each of which a
    /// majority is needed.
    Voters(Vec<BTreeSet<NodeId>>),
    /// The leader's heartbeat or entries arrived, or its snapshot is arriving.
    Heard(NodeId),
    /// Whether this node leads now.
    Leading(bool),
    /// The leader's process is known to be gone: its address refuses, or somebody else is there.
    LeaderGone(NodeId),
    /// This node leads and wants to be succeeded, or not any more.
    HandingOver(bool),
    /// This node leads and has lost touch with the majority, or has it again.
    OutOfTouch(bool),
    /// The leader asked this node to take over and has fallen silent on purpose.
    TakeOver,
    /// A voter's answer to the pre-vote of that round.
    Answer { from: NodeId, round: u64, answer: PreVote },
    /// Time has passed.
    Timeout,
}

/// What the machine wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Ask these voters whether they would vote for this node.
    AskAround { round: u64, voters: BTreeSet<NodeId> },
    /// Stand for election.
    Stand,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    /// Following, or no voter.
    Quiet,
    /// Asking around since then.
    Asking { until: Duration, granted: BTreeSet<NodeId> },
    /// Standing since then.
    Standing { until: Duration },
}

/// One node's decision to stand. See the module's documentation.
#[derive(Debug, Clone)]
pub(crate) struct Election {
    me: NodeId,
    timing: Timing,
    groups: Vec<BTreeSet<NodeId>>,
    /// All that vote in any group.
    voters: BTreeSet<NodeId>,
    leading: bool,
    handing_over: bool,
    out_of_touch: bool,
    leader: Option<NodeId>,
    heard_at: Duration,
    /// The leader is known to be gone, or asked us to take over.
    vacant: bool,
    take_over: bool,
    /// Since when, if so.
    asked_at: Duration,
    round: u64,
    phase: Phase,
    not_before: Duration,
}

impl Election {
    pub(crate) fn new(me: NodeId, timing: Timing, now: Duration) -> Self {
        Self {
            me,
            timing,
            groups: vec![],
            voters: BTreeSet::new(),
            leading: false,
            handing_over: false,
            out_of_touch: false,
            leader: None,
            heard_at: now,
            vacant: false,
            take_over: false,
            asked_at: now,
            round: 0,
            phase: Phase::Quiet,
            not_before: now,
        }
    }

    pub(crate) fn handle(&mut self, now: Duration, input: Input) -> Vec<Effect> {
        if self.take_over && now >= self.asked_at + self.timing.silence {
            // The leader has given up waiting and goes on, and must not be unseated at any later
            // time by somebody who has not heard so.
            (self.vacant, self.take_over) = (false, false);
        }
        match input {
            Input::Voters(groups) => {
                self.voters = groups.iter().flatten().copied().collect();
                self.groups = groups;
            }
            // Its last words before it fell silent may arrive after its wish to be succeeded.
            Input::Heard(leader)
                if self.take_over
                    && self.leader == Some(leader)
                    && now < self.asked_at + self.timing.lease => {}
            Input::Heard(leader) => {
                (self.leader, self.heard_at) = (Some(leader), now);
                (self.vacant, self.take_over) = (false, false);
                self.phase = Phase::Quiet;
            }
            Input::Leading(leading) => {
                self.leading = leading;
                if leading {
                    self.leader = Some(self.me);
                    (self.vacant, self.take_over) = (false, false);
                    self.phase = Phase::Quiet;
                }
                self.heard_at = now;
            }
            Input::LeaderGone(node) if self.leader == Some(node) => self.vacant = true,
            Input::LeaderGone(_) => {}
            Input::HandingOver(handing_over) => self.handing_over = handing_over,
            Input::OutOfTouch(out_of_touch) => self.out_of_touch = out_of_touch,
            Input::TakeOver => {
                (self.vacant, self.take_over, self.asked_at) = (true, true, now);
                self.phase = Phase::Quiet;
            }
            Input::Answer { from, round, answer } => {
                return self.answered(now, from, round, answer);
            }
            Input::Timeout => {}
        }
        self.act(now)
    }

    /// When to call with [`Input::Timeout`] at the latest.
    pub(crate) fn next_timeout(&self) -> Option<Duration> {
        if self.leading || !self.voters.contains(&self.me) {
            return None;
        }
        Some(match self.phase {
            Phase::Quiet => self.due_at(),
            Phase::Asking { until, .. } | Phase::Standing { until } => until,
        })
    }

    /// Whether this node is to succeed a leader that wants it to.
    pub(crate) fn takes_over(&self) -> bool {
        self.take_over
    }

    /// Whether this node, whose own log ends at `mine`, would vote for a candidate whose log ends
    /// there and that has, or has not, the permit of the leader whom this node follows.
    pub(crate) fn would_vote(
        &self,
        now: Duration,
        (candidate, permitted): (LogEnd, bool),
        mine: LogEnd,
    ) -> PreVote {
        if candidate < mine {
            return PreVote::LogBehind;
        }
        if self.leading {
            // One that wants to be succeeded, or that leads in name only, stands in nobody's way:
            // its very vote may be needed.
            return match self.handing_over || self.out_of_touch {
                true => PreVote::Granted,
                false => PreVote::NotYet { retry_after: self.timing.lease },
            };
        }
        if permitted {
            return PreVote::Granted;
        }
        let lease_end = self.heard_at + self.timing.lease;
        if self.leader.is_some() && now < lease_end {
            return PreVote::NotYet { retry_after: lease_end.saturating_sub(now) };
        }
        // Whoever was asked to take over is preferred for a lease more: somebody who has long been
        // without a leader, and waits for exactly this moment, is what the hand-over is not for.
        let turn_end = lease_end + self.timing.lease;
        if self.take_over && now < turn_end {
            return PreVote::NotYet { retry_after: turn_end.saturating_sub(now) };
        }
        PreVote::Granted
    }

    /// Whether the leader has been heard lately enough to be believed in.
    pub(crate) fn hears_leader(&self, now: Duration) -> bool {
        self.leading || (!self.vacant && now < self.heard_at + self.timing.silence)
    }

    fn answered(
        &mut self,
        now: Duration,
        from: NodeId,
        round: u64,
        answer: PreVote,
    ) -> Vec<Effect> {
        let (voters, groups, current) = (&self.voters, &self.groups, self.round);
        let Phase::Asking { granted, until } = &mut self.phase else { return vec![] };
        if round != current || !voters.contains(&from) {
            return vec![];
        }
        match answer {
            PreVote::Granted => {
                granted.insert(from);
                let majority = |group: &BTreeSet<NodeId>| {
                    group.intersection(granted).count() > group.len() / 2
                };
                if groups.iter().all(majority) {
                    self.phase = Phase::Standing { until: now + self.timing.round };
                    return vec![Effect::Stand];
                }
            }
            PreVote::NotYet { retry_after } => {
                // Their lease ends a little later than ours: ask again then, not a round later.
                let retry_at = now + retry_after.min(self.timing.lease) + Duration::from_millis(1);
                *until = (*until).min(retry_at);
            }
            // Somebody with more should stand; leave them the room.
            PreVote::LogBehind => *until = now + self.timing.round,
        }
        vec![]
    }

    /// Moves on if it is time to.
    fn act(&mut self, now: Duration) -> Vec<Effect> {
        if self.leading || !self.voters.contains(&self.me) {
            self.phase = Phase::Quiet;
            return vec![];
        }
        match self.phase {
            Phase::Quiet if now >= self.due_at() => self.ask_around(now),
            Phase::Asking { until, .. } if now >= until => self.ask_around(now),
            Phase::Standing { until } if now >= until => {
                // Not elected. Try again after a pause that differs between the voters.
                self.phase = Phase::Quiet;
                self.not_before = now + self.stagger();
                self.act(now)
            }
            Phase::Quiet | Phase::Asking { .. } | Phase::Standing { .. } => vec![],
        }
    }

    fn ask_around(&mut self, now: Duration) -> Vec<Effect> {
        self.round += 1;
        let others: BTreeSet<NodeId> =
            self.voters.iter().filter(|id| **id != self.me).copied().collect();
        if others.is_empty() {
            self.phase = Phase::Standing { until: now + self.timing.round };
            return vec![Effect::Stand];
        }
        let granted = BTreeSet::from([self.me]);
        self.phase = Phase::Asking { until: now + self.timing.round, granted };
        vec![Effect::AskAround { round: self.round, voters: others }]
    }

    fn due_at(&self) -> Duration {
        if self.take_over {
            return self.not_before;
        }
        let wait = if self.vacant { self.timing.lease } else { self.timing.silence };
        (self.heard_at + wait + self.stagger()).max(self.not_before)
    }

    /// This node's place among the voters that are left, times the distance between two.
    fn stagger(&self) -> Duration {
        let vacated = self.leader.filter(|_| self.vacant);
        let rank = self.voters.iter().filter(|id| Some(**id) != vacated && **id < self.me).count();
        self.timing.stagger * u32::try_from(rank).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests;
