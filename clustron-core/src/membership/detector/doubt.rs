//! The suspicions: who has to object, until when, and who accuses.
//!
//! A doubt is like a notice on a door: it names a day by which the owner has to show up. Every
//! further witness who knocked in vain brings that day closer, up to a point (Lifeguard, §IV-B:
//! <https://arxiv.org/abs/1707.00788>). The owner is reminded a few times, so that no lost letter
//! costs him his house.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::alarms::Alarms;
use super::lateness::Absence;
use crate::NodeId;
use crate::membership::MembershipConfig;

/// How often a suspect is asked itself, spread over the time that it has at least. Each node
/// that doubts it asks, so no single lost message about an objection costs a healthy node its
/// place.
const REMINDERS: u32 = 3;

/// All peers that are doubted.
#[derive(Debug)]
pub(super) struct Doubts {
    timeout_min: Duration,
    timeout_max: Duration,
    observers: usize,
    open: BTreeMap<NodeId, Doubt>,
    alarms: Alarms,
}

/// The time that a suspect has to object.
#[derive(Debug)]
struct Doubt {
    since: Duration,
    /// Time that we missed ourselves.
    granted: Duration,
    next_reminder: Duration,
    reminders_left: u32,
    /// Whether this node itself could not reach it.
    own: bool,
    /// Whether this node looked for itself since it heard the accusation.
    looked: bool,
    /// The other nodes that could not reach it.
    accusers: BTreeSet<NodeId>,
    /// How many confirmations count.
    confirmations_max: usize,
}

/// What is to be done about a doubted peer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Tell it that it is doubted.
    Remind,
    /// See for ourselves: there is nothing but one opinion.
    Look,
    /// It did not object in time. The doubt is over.
    Expired {
        /// How long it had.
        waited: Duration,
        /// The other nodes that could not reach it.
        confirmed_by: Vec<NodeId>,
    },
}

impl Doubts {
    /// Doubts nobody.
    pub(super) fn new(config: &MembershipConfig) -> Self {
        Self {
            timeout_min: config.suspicion_timeout,
            timeout_max: config.suspicion_timeout_max,
            observers: config.observers,
            open: BTreeMap::new(),
            alarms: Alarms::default(),
        }
    }

    /// Notes that this node could not reach the peer; says whether that is new. `others` is the
    /// number of nodes besides this one that could confirm it.
    pub(super) fn suspect(&mut self, now: Duration, peer: NodeId, others: usize) -> bool {
        let doubt = self.entry(now, peer, others);
        let new = !doubt.own;
        doubt.own = true;
        doubt.looked = true;
        self.schedule(peer);
        new
    }

    /// Notes that `by` could not reach the peer; says whether that is new.
    pub(super) fn accuse(
        &mut self,
        now: Duration,
        peer: NodeId,
        by: NodeId,
        others: usize,
    ) -> bool {
        let new = self.entry(now, peer, others).accusers.insert(by);
        self.schedule(peer);
        new
    }

    /// Doubts the peer from now on, although nobody says so at the moment.
    pub(super) fn begin(&mut self, now: Duration, peer: NodeId, others: usize) {
        self.entry(now, peer, others);
        self.schedule(peer);
    }

    /// Forgets what is held against the peer.
    pub(super) fn end(&mut self, peer: NodeId) {
        self.open.remove(&peer);
        self.alarms.clear(peer);
    }

    /// Notes that this node looks for itself now.
    pub(super) fn mark_looked(&mut self, peer: NodeId) {
        if let Some(doubt) = self.open.get_mut(&peer) {
            doubt.looked = true;
        }
    }

    /// Whether the peer is doubted and this node has not looked for itself yet.
    pub(super) fn is_unseen(&self, peer: NodeId) -> bool {
        self.open.get(&peer).is_some_and(|doubt| !doubt.looked)
    }

    /// Whether this node itself could not reach the peer.
    pub(super) fn is_own(&self, peer: NodeId) -> bool {
        self.open.get(&peer).is_some_and(|doubt| doubt.own)
    }

    /// When [`take_due`](Self::take_due) has something next.
    pub(super) fn next_timeout(&self) -> Option<Duration> {
        self.alarms.next()
    }

    /// The next thing to do by `now`, if there is any.
    pub(super) fn take_due(&mut self, now: Duration) -> Option<(NodeId, Due)> {
        let peer = self.alarms.take_due(now)?;
        let deadline = self.deadline(self.open.get(&peer)?);
        let step = self.step();
        let doubt = self.open.get_mut(&peer)?;
        // One opinion is no verdict. Nobody else stands up for it, and the accused is silent:
        // then it is for us to look, in time before the doubt runs out.
        let sure = doubt.own || doubt.accusers.len() > 1;
        let due = if deadline > now {
            doubt.reminders_left = doubt.reminders_left.saturating_sub(1);
            doubt.next_reminder = now + step;
            if doubt.reminders_left == 0 && !sure { Due::Look } else { Due::Remind }
        } else if sure {
            let doubt = self.open.remove(&peer)?;
            let waited = now.saturating_sub(doubt.since);
            let confirmed_by = doubt.accusers.into_iter().collect();
            return Some((peer, Due::Expired { waited, confirmed_by }));
        } else {
            doubt.restart(now, step);
            Due::Look
        };
        self.schedule(peer);
        Some((peer, due))
    }

    /// Holds our own absence against nobody.
    pub(super) fn forgive(&mut self, now: Duration, absence: Absence) {
        let step = self.step();
        for doubt in self.open.values_mut() {
            match absence {
                Absence::Long => doubt.restart(now, step),
                Absence::Short(missed) => {
                    doubt.granted += missed;
                    doubt.next_reminder += missed;
                }
            }
        }
        let peers: Vec<NodeId> = self.open.keys().copied().collect();
        peers.into_iter().for_each(|peer| self.schedule(peer));
    }

    fn entry(&mut self, now: Duration, peer: NodeId, others: usize) -> &mut Doubt {
        let step = self.step();
        let confirmations_max = others.min(self.observers - 1);
        self.open.entry(peer).or_insert_with(|| Doubt {
            since: now,
            granted: Duration::ZERO,
            next_reminder: now + step,
            reminders_left: REMINDERS,
            own: false,
            looked: false,
            accusers: BTreeSet::new(),
            confirmations_max,
        })
    }

    fn schedule(&mut self, peer: NodeId) {
        let Some(doubt) = self.open.get(&peer) else { return };
        let deadline = self.deadline(doubt);
        let reminder = (doubt.reminders_left > 0).then_some(doubt.next_reminder);
        self.alarms.set(peer, reminder.map_or(deadline, |reminder| reminder.min(deadline)));
    }

    fn deadline(&self, doubt: &Doubt) -> Duration {
        let witnesses = doubt.accusers.len() + usize::from(doubt.own);
        let confirmations = witnesses.saturating_sub(1);
        doubt.since + doubt.granted + self.timeout(confirmations, doubt.confirmations_max)
    }

    /// How long a suspect has when `confirmations` of at most `max` nodes have confirmed it.
    fn timeout(&self, confirmations: usize, max: usize) -> Duration {
        if confirmations >= max {
            return self.timeout_min;
        }
        let share = (confirmations as f64 + 1.0).ln() / (max as f64 + 1.0).ln();
        self.timeout_max - (self.timeout_max - self.timeout_min).mul_f64(share)
    }

    fn step(&self) -> Duration {
        self.timeout_min / (REMINDERS + 1)
    }
}

impl Doubt {
    /// Grants the whole time again, from now.
    fn restart(&mut self, now: Duration, step: Duration) {
        self.since = now;
        self.granted = Duration::ZERO;
        self.next_reminder = now + step;
        self.reminders_left = REMINDERS;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANNA: NodeId = NodeId(2);
    const BERT: NodeId = NodeId(3);
    const CARL: NodeId = NodeId(4);
    const DORA: NodeId = NodeId(5);

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn doubts() -> Doubts {
        Doubts::new(&MembershipConfig::lan())
    }

    /// Takes all that is due up to `end`, each at its instant.
    fn run(doubts: &mut Doubts, end: Duration) -> Vec<(Duration, NodeId, Due)> {
        let mut done = Vec::new();
        while let Some(at) = doubts.next_timeout().filter(|at| *at <= end) {
            let (peer, due) = doubts.take_due(at).unwrap();
            done.push((at, peer, due));
        }
        done
    }

    fn expired_at(done: &[(Duration, NodeId, Due)]) -> Option<Duration> {
        done.iter().find(|(_, _, due)| matches!(due, Due::Expired { .. })).map(|(at, _, _)| *at)
    }

    #[test]
    fn a_suspect_is_reminded_three_times_and_expires_once() {
        let mut doubts = doubts();
        assert!(doubts.suspect(ms(100), ANNA, 0));
        assert!(!doubts.suspect(ms(200), ANNA, 0), "it is known");
        let expired = Due::Expired { waited: ms(2000), confirmed_by: vec![] };
        assert_eq!(
            run(&mut doubts, ms(60_000)),
            [
                (ms(600), ANNA, Due::Remind),
                (ms(1100), ANNA, Due::Remind),
                (ms(1600), ANNA, Due::Remind),
                (ms(2100), ANNA, expired),
            ]
        );
        assert_eq!(doubts.next_timeout(), None);
    }

    #[test]
    fn each_new_confirmation_brings_the_end_closer_down_to_the_least() {
        let ends = |accusers: &[NodeId]| {
            let mut doubts = doubts();
            doubts.suspect(ms(0), ANNA, 9);
            for by in accusers {
                doubts.accuse(ms(10), ANNA, *by, 9);
            }
            expired_at(&run(&mut doubts, ms(60_000))).unwrap().as_millis()
        };
        assert_eq!(ends(&[]), 2500);
        // 2500 - 500 * ln 2 / ln 3
        assert_eq!(ends(&[BERT]), 2184);
        assert_eq!(ends(&[BERT, BERT]), 2184, "one accuser counts once");
        assert_eq!(ends(&[BERT, CARL]), 2000);
        assert_eq!(ends(&[BERT, CARL, DORA]), 2000);
    }

    #[test]
    fn where_few_could_confirm_few_are_waited_for() {
        for (others, end) in [(0, 2000), (1, 2500)] {
            let mut doubts = doubts();
            doubts.suspect(ms(0), ANNA, others);
            assert_eq!(expired_at(&run(&mut doubts, ms(9000))), Some(ms(end)), "{others}");
        }
        let mut doubts = doubts();
        doubts.suspect(ms(0), ANNA, 1);
        doubts.accuse(ms(0), ANNA, BERT, 1);
        assert_eq!(expired_at(&run(&mut doubts, ms(9000))), Some(ms(2000)));
    }

    #[test]
    fn a_confirmation_that_comes_after_the_shorter_time_ends_the_doubt_at_once() {
        let mut doubts = doubts();
        doubts.suspect(ms(0), ANNA, 1);
        assert_eq!(expired_at(&run(&mut doubts, ms(2300))), None);
        doubts.accuse(ms(2300), ANNA, BERT, 1);
        let (peer, due) = doubts.take_due(ms(2300)).unwrap();
        let confirmed_by = vec![BERT];
        assert_eq!((peer, due), (ANNA, Due::Expired { waited: ms(2300), confirmed_by }));
    }

    #[test]
    fn one_opinion_is_looked_into_and_never_expires() {
        let mut doubts = doubts();
        doubts.accuse(ms(0), ANNA, BERT, 9);
        assert!(doubts.is_unseen(ANNA));
        let done = run(&mut doubts, ms(10_000));
        assert_eq!(expired_at(&done), None);
        let looks = done.iter().filter(|(_, _, due)| *due == Due::Look);
        assert_eq!(
            looks.map(|(at, _, _)| *at).collect::<Vec<_>>(),
            [1500, 2500, 4000, 5000, 6500, 7500, 9000, 10_000].map(ms)
        );
        doubts.accuse(ms(10_000), ANNA, CARL, 9);
        assert!(expired_at(&run(&mut doubts, ms(20_000))).is_some(), "two are a verdict");
    }

    #[test]
    fn our_absence_is_added_and_a_long_one_starts_all_afresh() {
        let mut short = doubts();
        short.suspect(ms(0), ANNA, 0);
        short.forgive(ms(800), Absence::Short(ms(300)));
        assert_eq!(expired_at(&run(&mut short, ms(9000))), Some(ms(2300)));

        let mut long = doubts();
        long.suspect(ms(0), ANNA, 0);
        long.forgive(ms(60_000), Absence::Long);
        let done = run(&mut long, ms(90_000));
        assert_eq!(expired_at(&done), Some(ms(62_000)));
        assert_eq!(done.len(), 4, "with all its reminders");
    }

    #[test]
    fn an_ended_doubt_leaves_nothing_behind() {
        let mut doubts = doubts();
        doubts.suspect(ms(0), ANNA, 0);
        doubts.end(ANNA);
        assert_eq!(doubts.next_timeout(), None);
        assert!(!doubts.is_own(ANNA));
    }
}
