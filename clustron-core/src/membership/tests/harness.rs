//! One machine under a detector that does as it is told, and short words to talk to it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::membership::{
    Action, Effect, EvidenceKind, FailureDetector, Input, Listed, Membership, MembershipConfig,
    Message, News, Observation, PeerState, Standing,
};
use crate::{Incarnation, Metadata, NodeId, Role};

pub(super) const US: NodeId = NodeId(1);
pub(super) const ANNA: NodeId = NodeId(2);
pub(super) const BERT: NodeId = NodeId(3);
pub(super) const STRANGER: NodeId = NodeId(99);

pub(super) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A detector that only notes what it observes, and acts when it is told to.
#[derive(Debug, Clone, Default)]
pub(super) struct Puppet {
    seen: Arc<Mutex<Vec<Observation>>>,
    told: Arc<Mutex<Vec<Action>>>,
}

impl Puppet {
    /// What it has observed since it was last asked.
    pub(super) fn seen(&self) -> Vec<Observation> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

impl FailureDetector for Puppet {
    fn handle(&mut self, _now: Duration, observation: Observation) -> Vec<Action> {
        self.seen.lock().unwrap().push(observation);
        std::mem::take(&mut self.told.lock().unwrap())
    }

    fn next_timeout(&self) -> Option<Duration> {
        (!self.told.lock().unwrap().is_empty()).then_some(Duration::ZERO)
    }

    fn local_health(&self) -> u32 {
        7
    }
}

/// A machine and the strings of its detector.
pub(super) struct Stage {
    pub(super) machine: Membership,
    pub(super) puppet: Puppet,
}

impl Stage {
    /// A machine that is called `US` and has the peers 2 up to `nodes`, all in incarnation 1.
    pub(super) fn new(nodes: u64) -> Self {
        Self::of(US, nodes)
    }

    pub(super) fn of(local: NodeId, nodes: u64) -> Self {
        let puppet = Puppet::default();
        let detector = Box::new(puppet.clone());
        let config = MembershipConfig::default();
        let mut machine = Membership::with_detector(&listed(local.0, 1), config, local.0, detector);
        machine.handle(Duration::ZERO, view(1..=nodes));
        puppet.seen();
        Self { machine, puppet }
    }

    /// Has the detector act.
    pub(super) fn act(&mut self, now: Duration, actions: Vec<Action>) -> Vec<Effect> {
        *self.puppet.told.lock().unwrap() = actions;
        self.machine.handle(now, Input::Timeout)
    }

    pub(super) fn hear(&mut self, now: Duration, from: NodeId, news: Vec<News>) -> Vec<Effect> {
        self.machine.handle(now, gossip(from, news))
    }

    pub(super) fn state(&self, id: NodeId) -> PeerState {
        self.machine.state(id).unwrap()
    }

    pub(super) fn kinds(&self, id: NodeId) -> Vec<EvidenceKind> {
        self.machine.case(id).unwrap().evidence.into_iter().map(|e| e.kind).collect()
    }

    /// Fires timers, on time, up to `end`; returns when each fired and all that came of it.
    pub(super) fn run_until(&mut self, end: Duration) -> Vec<(Duration, Effect)> {
        let mut done = Vec::new();
        while let Some(at) = self.machine.next_timeout().filter(|at| *at <= end) {
            let effects = self.machine.handle(at, Input::Timeout);
            done.extend(effects.into_iter().map(|effect| (at, effect)));
        }
        done
    }
}

pub(super) fn listed(id: u64, incarnation: u64) -> Listed {
    Listed {
        id: NodeId(id),
        incarnation: Incarnation(incarnation),
        revision: 0,
        metadata: Arc::default(),
    }
}

pub(super) fn view(ids: impl IntoIterator<Item = u64>) -> Input {
    Input::ViewChanged(ids.into_iter().map(|id| listed(id, 1)).collect())
}

pub(super) fn alive(node: NodeId, incarnation: u64) -> News {
    standing(node, incarnation, Standing::Alive)
}

pub(super) fn suspect(node: NodeId, incarnation: u64, by: NodeId) -> News {
    standing(node, incarnation, Standing::Suspect { by })
}

pub(super) fn down(node: NodeId, incarnation: u64, by: NodeId) -> News {
    standing(node, incarnation, Standing::Down { by })
}

pub(super) fn standing(node: NodeId, incarnation: u64, standing: Standing) -> News {
    News::Standing { node, incarnation: Incarnation(incarnation), standing }
}

pub(super) fn tagged(value: &str) -> Metadata {
    let tags = [("zone".to_owned(), value.to_owned())].into();
    Metadata { roles: [Role::Member].into(), tags }
}

pub(super) fn gossip(from: NodeId, news: Vec<News>) -> Input {
    Input::Received { from, message: Message::Gossip { news } }
}

pub(super) fn ping(from: NodeId) -> Input {
    Input::Received { from, message: Message::Ping { seq: 7, news: vec![] } }
}

pub(super) fn verdicts(effects: &[Effect]) -> Vec<(NodeId, PeerState)> {
    let verdict = |effect: &Effect| match effect {
        Effect::Verdict(verdict) => Some((verdict.node, verdict.state)),
        _ => None,
    };
    effects.iter().filter_map(verdict).collect()
}

pub(super) fn refuted(effects: &[Effect]) -> Option<u64> {
    effects.iter().find_map(|effect| match effect {
        Effect::Refuted { incarnation } => Some(incarnation.0),
        _ => None,
    })
}

pub(super) fn sent(effects: &[Effect]) -> Vec<(NodeId, &Message)> {
    let sent = |effect| match effect {
        &Effect::Send { to, ref message } => Some((to, message)),
        _ => None,
    };
    effects.iter().filter_map(sent).collect()
}

pub(super) fn describe(revision: u64, value: &str) -> Input {
    Input::Describe { revision, metadata: Arc::new(tagged(value)) }
}

/// Whether an effect passes this news on.
pub(super) fn tells(effect: &Effect, news: &News) -> bool {
    let Effect::Send { message, .. } = effect else { return false };
    message.news().contains(news)
}
