//! What no single detector may do, whatever happens around it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use clustron_core::NodeId;
use clustron_core::membership::{Action, FailureDetector, Observation};

/// A detector under supervision: it passes every observation on and checks what comes of it.
#[derive(Debug)]
pub(super) struct Supervised {
    local: NodeId,
    detector: Box<dyn FailureDetector>,
    now: Duration,
    peers: BTreeMap<NodeId, Case>,
    /// What to print along with a broken rule.
    context: String,
}

/// What the detector knows and said about one peer.
#[derive(Debug, Default)]
struct Case {
    accusers: BTreeSet<NodeId>,
    suspected: bool,
    down: bool,
}

impl Supervised {
    /// `context` says which scenario and which seed this is.
    pub(super) fn new(local: NodeId, detector: Box<dyn FailureDetector>, context: String) -> Self {
        Self { local, detector, now: Duration::ZERO, peers: BTreeMap::new(), context }
    }

    pub(super) fn handle(&mut self, now: Duration, observation: Observation) -> Vec<Action> {
        self.now = now;
        self.take_in(&observation);
        let timeout = observation == Observation::Timeout;
        let due = self.detector.next_timeout().is_some_and(|due| due <= now);
        let actions = self.detector.handle(now, observation.clone());
        for action in &actions {
            self.check(action, &observation);
        }
        let next = self.detector.next_timeout();
        if timeout && due {
            self.demand(
                next.is_none_or(|next| next > now),
                format_args!("a timeout must move the timer on, and it is still {next:?}"),
            );
        }
        actions
    }

    pub(super) fn next_timeout(&self) -> Option<Duration> {
        self.detector.next_timeout()
    }

    fn take_in(&mut self, observation: &Observation) {
        match observation {
            Observation::Peers(peers) => {
                self.peers.retain(|peer, _| peers.contains(peer));
                for peer in peers {
                    self.peers.entry(*peer).or_default();
                }
            }
            Observation::Accused { peer, by } if self.peers.contains_key(by) && by != peer => {
                if let Some(case) = self.peers.get_mut(peer) {
                    case.accusers.insert(*by);
                }
            }
            Observation::Settled { peer } => {
                if let Some(case) = self.peers.get_mut(peer) {
                    case.down = true;
                }
            }
            Observation::Cleared { peer } => {
                if let Some(case) = self.peers.get_mut(peer) {
                    *case = Case::default();
                }
            }
            _ => {}
        }
    }

    fn check(&mut self, action: &Action, cause: &Observation) {
        let about: Vec<NodeId> = match action {
            Action::Ping { to, .. } | Action::Remind { to } | Action::Heartbeat { to } => vec![*to],
            Action::PingThrough { helper, target, .. } => {
                self.demand(helper != target, format_args!("a peer cannot vouch for itself"));
                vec![*helper, *target]
            }
            Action::Verify { peer }
            | Action::Suspect { peer }
            | Action::Link { peer, .. }
            | Action::Note { peer, .. } => vec![*peer],
            Action::Down { peers } => {
                self.demand(!peers.is_empty(), format_args!("an empty Down says nothing"));
                peers.clone()
            }
        };
        for peer in about {
            let known = self.peers.get(&peer);
            self.demand(
                known.is_some() && peer != self.local,
                format_args!("{cause:?} led to {action:?}, but {peer} is no peer"),
            );
            let down = known.is_some_and(|case| case.down);
            self.demand(
                !down || matches!(action, Action::Remind { .. }),
                format_args!("{cause:?} led to {action:?}, but {peer} is Down and not cleared"),
            );
        }
        match action {
            Action::Suspect { peer } => {
                let again = self.peers.get(peer).is_some_and(|case| case.suspected);
                self.demand(!again, format_args!("{peer} is suspected twice and was not cleared"));
                if let Some(case) = self.peers.get_mut(peer) {
                    case.suspected = true;
                }
            }
            Action::Down { peers } => {
                for peer in peers {
                    let case = self.peers.get(peer);
                    let fair = case.is_some_and(|case| case.suspected || case.accusers.len() > 1);
                    self.demand(
                        fair,
                        format_args!("{peer} is Down, but this node did not suspect it and fewer than two others did"),
                    );
                    if let Some(case) = self.peers.get_mut(peer) {
                        case.down = true;
                    }
                }
            }
            _ => {}
        }
    }

    fn demand(&self, holds: bool, broken: std::fmt::Arguments<'_>) {
        assert!(holds, "{}: node {} at {:?}: {broken}", self.context, self.local, self.now);
    }
}
