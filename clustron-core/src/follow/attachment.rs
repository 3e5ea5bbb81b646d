//! Which member an observer hangs on to, as a pure decision.
//!
//! Like a listener who keeps to one station: there are many that say the same, so nobody has to
//! listen to the one in the capital. Each listener prefers the stations in an order of its own,
//! stays where it is while it is well served, and comes back to one that failed only after a pause
//! that doubles. The order is a rendezvous hash (Thaler and Ravishankar, 1998), so that many
//! observers spread over the members and few of them move when one is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::identity::NodeId;

/// How long a member that failed is left alone at first, and at most.
const REST_FIRST: Duration = Duration::from_millis(50);
const REST_MAX: Duration = Duration::from_secs(2);

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Ask this member.
    Ask(NodeId),
    /// Nobody may be asked before this time.
    Wait(Duration),
}

struct Rest {
    failures: u32,
    until: Duration,
}

/// See the module's documentation. Times are since any fixed moment.
pub(crate) struct Attachment {
    me: NodeId,
    patience: Duration,
    attached: Option<NodeId>,
    /// Since when the member has answered without knowing a leader, or with old news.
    poorly_since: Option<Duration>,
    resting: BTreeMap<NodeId, Rest>,
}

impl Attachment {
    /// An observer that gives up a member which serves it poorly for `patience`.
    pub(crate) fn new(me: NodeId, patience: Duration) -> Self {
        Self { me, patience, attached: None, poorly_since: None, resting: BTreeMap::new() }
    }

    /// Whom to ask, out of those that may be.
    pub(crate) fn next(&mut self, now: Duration, members: &BTreeSet<NodeId>) -> Next {
        self.resting.retain(|id, _| members.contains(id));
        if let Some(member) = self.attached.filter(|id| members.contains(id)) {
            return Next::Ask(member);
        }
        self.poorly_since = None;
        let rested = |id: &NodeId| self.resting.get(id).is_none_or(|rest| rest.until <= now);
        let ready = members.iter().copied().filter(rested);
        self.attached = ready.max_by_key(|id| preference(self.me, *id));
        if let Some(member) = self.attached {
            return Next::Ask(member);
        }
        let soonest = self.resting.values().map(|rest| rest.until).min();
        Next::Wait(soonest.unwrap_or(now + REST_FIRST))
    }

    /// Chooses anew among all: the member was asked only for want of others.
    pub(crate) fn choose_again(&mut self) {
        self.attached = None;
    }

    /// The member answered; `well` if it knows a leader and is not behind this node.
    pub(crate) fn answered(&mut self, now: Duration, well: bool) {
        if well {
            self.poorly_since = None;
            self.resting.retain(|id, _| Some(*id) != self.attached);
            return;
        }
        let since = *self.poorly_since.get_or_insert(now);
        if now.saturating_sub(since) >= self.patience {
            self.failed(now);
        }
    }

    /// The member did not answer, or not with what it should.
    pub(crate) fn failed(&mut self, now: Duration) {
        let Some(member) = self.attached.take() else { return };
        let rest = self.resting.entry(member).or_insert(Rest { failures: 0, until: now });
        let pause = REST_FIRST.saturating_mul(1 << rest.failures.min(10)).min(REST_MAX);
        (rest.failures, rest.until) = (rest.failures.saturating_add(1), now + pause);
    }
}

/// How much `me` likes to hang on to a member: splitmix64 over both ids.
fn preference(me: NodeId, member: NodeId) -> u64 {
    let mut x = me.0 ^ member.0.rotate_left(32);
    for _ in 0..2 {
        x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^= x >> 31;
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn members(ids: impl IntoIterator<Item = u64>) -> BTreeSet<NodeId> {
        ids.into_iter().map(NodeId).collect()
    }

    fn asked(next: Next) -> NodeId {
        match next {
            Next::Ask(member) => member,
            Next::Wait(until) => panic!("waits until {until:?}"),
        }
    }

    #[test]
    fn observers_spread_over_the_members_and_few_move_when_one_is_gone() {
        let (five, four) = (members(1..=5), members(1..=4));
        let choice = |me: u64, of: &BTreeSet<NodeId>| {
            asked(Attachment::new(NodeId(me), ms(1000)).next(ms(0), of))
        };
        let mut loads = BTreeMap::<NodeId, u32>::new();
        for me in 1000..2000 {
            let before = choice(me, &five);
            *loads.entry(before).or_default() += 1;
            if before != NodeId(5) {
                assert_eq!(choice(me, &four), before, "{me} moved without need");
            }
        }
        assert_eq!(loads.len(), 5);
        assert!(loads.values().all(|load| (150..=250).contains(load)), "{loads:?}");
    }

    #[test]
    fn it_stays_while_it_is_served_and_goes_elsewhere_when_the_member_fails_or_is_gone() {
        let mut attachment = Attachment::new(NodeId(77), ms(1000));
        let all = members(1..=3);
        let first = asked(attachment.next(ms(0), &all));
        attachment.answered(ms(10), true);
        assert_eq!(asked(attachment.next(ms(10), &members(1..=9))), first);
        attachment.failed(ms(20));
        let second = asked(attachment.next(ms(20), &all));
        assert_ne!(second, first);
        // The first one has rested, but the second serves well.
        attachment.answered(ms(500), true);
        assert_eq!(asked(attachment.next(ms(500), &all)), second);
        let mut rest = all.clone();
        rest.remove(&second);
        assert_eq!(asked(attachment.next(ms(510), &rest)), first);
    }

    #[test]
    fn a_member_that_fails_again_and_again_is_asked_less_and_less() {
        let mut attachment = Attachment::new(NodeId(77), ms(1000));
        let one = members([1]);
        let (mut now, mut pauses) = (ms(0), vec![]);
        for _ in 0..9 {
            asked(attachment.next(now, &one));
            attachment.failed(now);
            let Next::Wait(until) = attachment.next(now, &one) else { panic!("does not rest") };
            pauses.push((until - now).as_millis());
            now = until;
        }
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1600, 2000, 2000, 2000]);
        // One good answer, and all is forgiven.
        asked(attachment.next(now, &one));
        attachment.answered(now, true);
        attachment.failed(now);
        assert_eq!(attachment.next(now, &one), Next::Wait(now + ms(50)));
    }

    #[test]
    fn a_member_without_a_leader_is_left_after_a_while_and_not_at_once() {
        let mut attachment = Attachment::new(NodeId(77), ms(1000));
        let all = members(1..=3);
        let first = asked(attachment.next(ms(0), &all));
        attachment.answered(ms(100), false);
        attachment.answered(ms(900), false);
        assert_eq!(asked(attachment.next(ms(900), &all)), first);
        // A good answer in between starts the clock anew.
        attachment.answered(ms(1000), true);
        attachment.answered(ms(1100), false);
        attachment.answered(ms(2000), false);
        assert_eq!(asked(attachment.next(ms(2000), &all)), first);
        attachment.answered(ms(2100), false);
        assert_ne!(asked(attachment.next(ms(2100), &all)), first);
    }

    #[test]
    fn whoever_let_it_in_is_left_for_the_member_that_it_prefers() {
        let preferred = asked(Attachment::new(NodeId(77), ms(1000)).next(ms(0), &members(1..=3)));
        for first in 1..=3 {
            let mut attachment = Attachment::new(NodeId(77), ms(1000));
            assert_eq!(asked(attachment.next(ms(0), &members([first]))), NodeId(first));
            attachment.answered(ms(1), true);
            attachment.choose_again();
            assert_eq!(asked(attachment.next(ms(1), &members(1..=3))), preferred);
        }
    }

    #[test]
    fn without_members_it_waits() {
        let mut attachment = Attachment::new(NodeId(77), ms(1000));
        assert_eq!(attachment.next(ms(5), &members([])), Next::Wait(ms(55)));
    }
}
