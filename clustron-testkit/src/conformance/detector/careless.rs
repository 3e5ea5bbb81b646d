//! Detectors that are deliberately careless, to show that the suite notices.
//!
//! Each is a good detector with one flaw put around it.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clustron_core::NodeId;
use clustron_core::membership::{
    Action, EvidenceKind, FailureDetector, MembershipConfig, Observation, PingPong,
};

/// What is wrong with a detector.
#[derive(Debug, Clone, Copy)]
enum Flaw {
    NeverSuspects,
    NeverConvicts,
    JudgesAtTheFirstMissedProbe,
    GivesNoTimeToObject,
    IgnoresCleared,
    BlamesOthersForItsAbsence,
    ForgetsItsTimer,
    ItsTimerStandsStill,
    ConvictsOnOneOpinion,
    CountsOneAccuserTwice,
    ConvictsOnALostConnection,
    JudgesStrangers,
    GoesOnTalkingAfterDown,
    RemembersWhoLeft,
    RollsDiceOfItsOwn,
    AsksEverybodyAlways,
    WakesAllTheTime,
}

#[derive(Debug)]
struct Careless {
    flaw: Flaw,
    inner: PingPong,
    peers: Vec<NodeId>,
    down: Vec<NodeId>,
    suspected: BTreeSet<NodeId>,
    accusations: BTreeMap<NodeId, u32>,
    asked: BTreeMap<u64, (NodeId, Duration)>,
    now: Duration,
}

impl Careless {
    fn new(flaw: Flaw, local: NodeId, seed: u64) -> Self {
        let mut config = MembershipConfig::default();
        if matches!(flaw, Flaw::GivesNoTimeToObject) {
            config.suspicion_timeout = Duration::from_millis(300);
            config.suspicion_timeout_max = Duration::from_millis(300);
        }
        Self {
            flaw,
            inner: PingPong::new(local, &config, seed),
            peers: Vec::new(),
            down: Vec::new(),
            suspected: BTreeSet::new(),
            accusations: BTreeMap::new(),
            asked: BTreeMap::new(),
            now: Duration::ZERO,
        }
    }

    /// Calls the peer Down here and now.
    fn convict(&mut self, peer: NodeId) -> Vec<Action> {
        let mut actions = self.inner.handle(self.now, Observation::Settled { peer });
        if self.suspected.insert(peer) {
            actions.push(Action::Suspect { peer });
        }
        self.down.push(peer);
        actions.push(Action::Down { peers: vec![peer] });
        actions
    }

    /// What the flaw makes of an observation, if it makes anything of it.
    fn spoil(&mut self, observation: &Observation) -> Option<Vec<Action>> {
        match (self.flaw, observation) {
            (Flaw::IgnoresCleared, Observation::Cleared { .. }) => Some(Vec::new()),
            (Flaw::RemembersWhoLeft, Observation::Peers(peers)) if peers.is_empty() => {
                Some(Vec::new())
            }
            (Flaw::ConvictsOnOneOpinion, Observation::Accused { peer, by })
                if self.knows(*peer) && self.knows(*by) =>
            {
                Some(self.convict(*peer))
            }
            (Flaw::CountsOneAccuserTwice, Observation::Accused { peer, by })
                if self.knows(*peer) && self.knows(*by) =>
            {
                let times = self.accusations.entry(*peer).or_default();
                *times += 1;
                (*times > 1).then(|| self.convict(*peer))
            }
            (Flaw::ConvictsOnALostConnection, Observation::ConnectionLost { peer })
                if self.knows(*peer) =>
            {
                Some(self.convict(*peer))
            }
            (Flaw::JudgesStrangers, Observation::ConnectionLost { peer }) if !self.knows(*peer) => {
                Some(vec![Action::Verify { peer: *peer }])
            }
            (Flaw::BlamesOthersForItsAbsence, Observation::Timeout) => {
                // Lives through the time that it missed as if it had been there.
                let mut actions = Vec::new();
                while let Some(due) = self.inner.next_timeout().filter(|due| *due < self.now) {
                    actions.extend(self.inner.handle(due, Observation::Timeout));
                }
                actions.extend(self.inner.handle(self.now, observation.clone()));
                Some(actions)
            }
            (Flaw::JudgesAtTheFirstMissedProbe, Observation::Timeout) => {
                let mut actions = self.inner.handle(self.now, Observation::Timeout);
                actions.retain(|action| !matches!(action, Action::Down { .. }));
                for action in &actions {
                    if let Action::Suspect { peer } = action {
                        self.suspected.insert(*peer);
                    }
                }
                let in_time = self.now.saturating_sub(Duration::from_millis(190));
                let missed = self.asked.extract_if(.., |_, (_, at)| *at <= in_time);
                for (_, (peer, _)) in missed.collect::<Vec<_>>() {
                    if self.knows(peer) {
                        actions.extend(self.convict(peer));
                    }
                }
                Some(actions)
            }
            _ => None,
        }
    }

    fn knows(&self, peer: NodeId) -> bool {
        self.peers.contains(&peer) && !self.down.contains(&peer)
    }

    fn remember(&mut self, observation: &Observation) {
        match observation {
            Observation::Peers(peers) => {
                self.peers = peers.iter().copied().collect();
                self.down.retain(|peer| peers.contains(peer));
                self.suspected.retain(|peer| peers.contains(peer));
                self.accusations.retain(|peer, _| peers.contains(peer));
                self.asked.retain(|_, (peer, _)| peers.contains(peer));
            }
            Observation::Cleared { peer } => {
                self.accusations.remove(peer);
                self.suspected.remove(peer);
                self.asked.retain(|_, (asked, _)| asked != peer);
                self.down.retain(|down| down != peer);
            }
            Observation::Settled { peer } => self.down.push(*peer),
            Observation::Answered { seq, .. } => {
                self.asked.remove(seq);
            }
            _ => {}
        }
    }
}

impl FailureDetector for Careless {
    fn handle(&mut self, now: Duration, observation: Observation) -> Vec<Action> {
        static DICE: AtomicU64 = AtomicU64::new(0);
        self.now = now;
        let quiet = observation == Observation::Timeout;
        let spoilt = self.spoil(&observation);
        self.remember(&observation);
        let mut actions = spoilt.unwrap_or_else(|| self.inner.handle(now, observation));
        match self.flaw {
            Flaw::NeverSuspects => actions
                .retain(|action| !matches!(action, Action::Suspect { .. } | Action::Down { .. })),
            Flaw::NeverConvicts => actions.retain(|action| !matches!(action, Action::Down { .. })),
            Flaw::GoesOnTalkingAfterDown => {
                actions.extend(
                    self.down.iter().filter(|_| quiet).map(|peer| Action::Note {
                        peer: *peer,
                        what: EvidenceKind::ConnectionLost,
                    }),
                );
            }
            Flaw::RollsDiceOfItsOwn if quiet => {
                let dice = DICE.fetch_add(7, Ordering::Relaxed);
                let at = usize::try_from(dice).unwrap() % self.peers.len().max(1);
                actions.extend(self.peers.get(at).map(|to| Action::Remind { to: *to }));
            }
            Flaw::AsksEverybodyAlways if quiet => {
                actions.extend(self.peers.iter().map(|to| Action::Remind { to: *to }));
            }
            _ => {}
        }
        for action in &actions {
            match action {
                Action::Ping { to, seq } => {
                    self.asked.insert(*seq, (*to, now));
                }
                Action::Suspect { peer } => {
                    self.suspected.insert(*peer);
                }
                Action::Down { peers } => self.down.extend(peers),
                _ => {}
            }
        }
        actions
    }

    fn next_timeout(&self) -> Option<Duration> {
        let due = self.inner.next_timeout();
        match self.flaw {
            Flaw::ForgetsItsTimer => due.filter(|due| *due < Duration::from_secs(3)),
            Flaw::ItsTimerStandsStill => due.map(|due| due.min(Duration::from_secs(3))),
            Flaw::WakesAllTheTime => due.map(|due| due.min(self.now + Duration::from_millis(1))),
            _ => due,
        }
    }

    fn local_health(&self) -> u32 {
        self.inner.local_health()
    }
}

/// What the suite says about a detector with this flaw; `None` if it finds none.
fn complaint(flaw: Flaw) -> Option<String> {
    let make =
        move |id, seed| -> Box<dyn FailureDetector> { Box::new(Careless::new(flaw, id, seed)) };
    let panic = catch_unwind(AssertUnwindSafe(|| super::detector_conformance(make))).err()?;
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
}

#[test]
fn the_suite_catches_every_careless_detector() {
    for (flaw, expected) in [
        (Flaw::NeverSuspects, "is not suspected"),
        (Flaw::NeverConvicts, "not Down in five seconds"),
        (Flaw::JudgesAtTheFirstMissedProbe, "blames another for its own absence"),
        (Flaw::GivesNoTimeToObject, "are called Down"),
        (Flaw::IgnoresCleared, "this node did not suspect it"),
        (Flaw::BlamesOthersForItsAbsence, "blames another for its own absence"),
        (Flaw::ForgetsItsTimer, "is not suspected"),
        (Flaw::ItsTimerStandsStill, "a timeout must move the timer on"),
        (Flaw::ConvictsOnOneOpinion, "one opinion is no verdict"),
        (Flaw::CountsOneAccuserTwice, "one opinion is no verdict"),
        (Flaw::ConvictsOnALostConnection, "a lost connection is no verdict"),
        (Flaw::JudgesStrangers, "is no peer"),
        (Flaw::GoesOnTalkingAfterDown, "is Down and not cleared"),
        (Flaw::RemembersWhoLeft, "is no peer"),
        (Flaw::RollsDiceOfItsOwn, "the same observations must give the same actions"),
        (Flaw::AsksEverybodyAlways, "a storm"),
        (Flaw::WakesAllTheTime, "a storm"),
    ] {
        let complaint = complaint(flaw).unwrap_or_else(|| panic!("{flaw:?} goes unnoticed"));
        assert!(complaint.contains(expected), "{flaw:?} is noticed as: {complaint}");
    }
}

#[test]
fn the_quorum_suite_catches_a_detector_that_believes_itself() {
    let make = |id, seed| -> Box<dyn FailureDetector> {
        Box::new(PingPong::new(id, &MembershipConfig::default(), seed))
    };
    let scenarios: [fn(super::Make<'_>); 3] = [
        super::scenarios::a_node_whose_dials_are_refused_convicts_nobody,
        super::scenarios::a_node_that_is_cut_off_convicts_nobody,
        super::scenarios::a_link_that_refuses_convicts_nobody,
    ];
    for (at, scenario) in scenarios.into_iter().enumerate() {
        let noticed = catch_unwind(AssertUnwindSafe(|| scenario(&make))).is_err();
        assert!(noticed, "scenario {at} notices nothing");
    }
}
