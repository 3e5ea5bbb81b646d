//! Every history of a small group, up to a depth: nodes start, settle, are doubted, crash, are
//! found out, leave and come back under new identities, and the leader makes the one next change
//! between any two of these, or finds that it cannot be committed yet.

use std::collections::{BTreeSet, VecDeque};

use super::*;

/// Identities that can ever be: the founders and as many that come later.
const IDS: usize = 6;

const GOAL: Goal = Goal { voters_max: 5, voters_min: 1, stable_after: Duration::from_secs(1) };

/// One identity, as it is and as the leader sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Life {
    NotBorn,
    /// Alive, in the view, and has not been there for long.
    Fresh,
    Steady,
    /// Alive and suspected.
    Doubted,
    /// Crashed, and nobody knows.
    Crashed,
    /// Crashed and suspected.
    Missed,
    /// Crashed, and out of the view.
    Down,
    /// Has said goodbye, and waits until it votes no more.
    Left,
}

use Life::{Crashed, Doubted, Down, Fresh, Left, Missed, NotBorn, Steady};

/// A set of identities, one bit each.
type Ids = u8;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    lives: [Life; IDS],
    voters: Ids,
    learners: Ids,
    /// The voters that a change is on its way to, handed in and not committed yet.
    unfinished: Option<Ids>,
}

/// What differs between explorations.
#[derive(Debug, Clone, Copy)]
struct Setting {
    founders: usize,
    witnesses: Ids,
    goal: Goal,
    depth: usize,
}

fn set(ids: Ids) -> BTreeSet<NodeId> {
    (0..IDS).filter(|id| ids >> id & 1 == 1).map(|id| NodeId(id as u64)).collect()
}

fn bits(ids: &BTreeSet<NodeId>) -> Ids {
    ids.iter().map(|id| 1 << id.0).sum()
}

fn majority(of: Ids, within: Ids) -> bool {
    2 * (of & within).count_ones() > of.count_ones()
}

impl State {
    fn founded(founders: usize) -> Self {
        let mut lives = [NotBorn; IDS];
        lives[..founders].fill(Steady);
        Self { lives, voters: (1 << founders) - 1, learners: 0, unfinished: None }
    }

    fn those(&self, wanted: impl Fn(Life) -> bool) -> Ids {
        let ids = self.lives.iter().enumerate().filter(|(_, life)| wanted(**life));
        ids.map(|(id, _)| 1 << id).sum()
    }

    /// Those whose processes run and answer the leader.
    fn answers(&self) -> Ids {
        self.those(|life| matches!(life, Fresh | Steady | Doubted | Left))
    }

    /// Those of which the leader sees nothing wrong.
    fn trusted(&self) -> Ids {
        self.those(|life| matches!(life, Fresh | Steady | Crashed))
    }

    fn in_view(&self) -> Ids {
        self.trusted() | self.those(|life| matches!(life, Doubted | Missed))
    }

    /// Whether the group can decide anything.
    fn works(&self) -> bool {
        majority(self.voters, self.answers())
            && self.unfinished.is_none_or(|next| majority(next, self.answers()))
    }

    fn group(&self, witnesses: Ids) -> Group<'static> {
        let standing = |id: &NodeId| match self.lives[id.0 as usize] {
            Steady | Crashed => Duration::from_secs(9),
            _ => Duration::ZERO,
        };
        let of = |id: NodeId| {
            let standing = Standing { may_vote: true, caught_up: true, stable_for: standing(&id) };
            (id, standing)
        };
        Group {
            voters: set(self.voters),
            learners: set(self.learners),
            alive: set(self.in_view()).into_iter().map(of).collect(),
            left: set(self.those(|life| life == Left)),
            shaky: set(self.those(|life| matches!(life, Doubted | Missed))),
            witnesses: set(witnesses),
            heirs: self.heirs(),
            leader: None,
            unfinished: None,
        }
    }

    /// The fourth identity is the first node's second one, and so on.
    fn heirs(&self) -> BTreeMap<NodeId, NodeId> {
        let (half, in_view) = (IDS / 2, set(self.in_view()));
        let pairs = (0..half).map(|id| (NodeId(id as u64), NodeId((id + half) as u64)));
        pairs.filter(|(old, new)| !in_view.contains(old) && in_view.contains(new)).collect()
    }

    /// All that can happen to one node next.
    fn events(&self) -> Vec<State> {
        let mut next = vec![];
        for id in 0..IDS {
            let lives: &[Life] = match self.lives[id] {
                // A node is started again only when it has ended.
                NotBorn if id >= IDS / 2 && self.lives[id - IDS / 2] < Crashed => &[],
                NotBorn => &[Fresh],
                Fresh => &[Steady, Crashed],
                Steady => &[Doubted, Crashed, Left],
                Doubted => &[Steady, Missed],
                Crashed => &[Missed],
                // Only a working group agrees on that.
                Missed if self.works() => &[Down],
                Missed | Down | Left => &[],
            };
            next.extend(lives.iter().map(|life| {
                let mut state = *self;
                state.lives[id] = *life;
                state
            }));
        }
        next
    }

    /// The leader makes the one next change, as far as it can be committed, or finishes one.
    fn step(&self, setting: &Setting) -> Option<State> {
        if !majority(self.voters, self.answers()) {
            return None;
        }
        if let Some(next) = self.unfinished {
            return self.works().then(|| self.with_voters(next));
        }
        let mut state = *self;
        match next_change(&self.group(setting.witnesses), setting.goal)? {
            Change::AddLearner(id) => {
                assert_eq!((self.learners | self.voters) >> id.0 & 1, 0, "{self:?}");
                state.learners |= 1 << id.0;
            }
            Change::RemoveLearners(gone) => {
                assert_eq!(bits(&gone) & !self.learners, 0, "{self:?}");
                state.learners &= !bits(&gone);
            }
            Change::Voters(next) => {
                self.check(bits(&next), setting);
                state.unfinished = Some(bits(&next));
                if state.works() {
                    state = state.with_voters(bits(&next));
                }
            }
        }
        Some(state)
    }

    fn with_voters(&self, voters: Ids) -> State {
        let learners = self.learners & !voters;
        State { voters, learners, unfinished: None, ..*self }
    }

    /// What must hold for every change of voters.
    fn check(&self, next: Ids, setting: &Setting) {
        let (added, removed) = (next & !self.voters, self.voters & !next);
        let sizes = (added.count_ones(), removed.count_ones());
        let left = self.those(|life| life == Left);
        let what = || format!("{:06b} to {next:06b} of {self:?}", self.voters);
        assert_ne!(next, self.voters, "no change: {}", what());
        assert_eq!(added & !self.learners, 0, "a stranger votes: {}", what());
        assert_eq!(added & !self.trusted(), 0, "a doubted one gets a vote: {}", what());
        // Growth, replacement and shrinking are never mixed.
        assert!(matches!(sizes, (1, 0 | 1) | (2, 0) | (0, _)), "several changes: {}", what());
        let gone = self.those(|life| matches!(life, Down | Left));
        let room_for_member = added & !setting.witnesses != 0;
        let may_go = gone | if room_for_member { setting.witnesses } else { 0 };
        assert_eq!(removed & !may_go, 0, "a live voter loses its seat: {}", what());
        let size = next.count_ones() as usize;
        assert!(sizes.0 == 0 || size <= setting.goal.voters_max, "too many: {}", what());
        let asked = sizes.0 > 0 || removed & !left == 0;
        let least = setting.goal.voters_min.max(3);
        assert!(asked || size >= least, "below the minimum: {}", what());
        let lacks =
            |of: Ids| (of.count_ones() / 2 + 1).saturating_sub((of & self.trusted()).count_ones());
        assert!(
            lacks(next) == 0 || (sizes.0 > 0 && lacks(next) < lacks(self.voters)),
            "the new group may not decide: {}",
            what()
        );
        // A live quorum is never given up for one that needs somebody who does not answer, as far
        // as anybody can know.
        let known = self.those(|life| life == Crashed) == 0;
        assert!(!known || majority(next, self.answers()), "a quorum is given up: {}", what());
        let witnesses = (next & setting.witnesses).count_ones() as usize;
        let new_witness = added & setting.witnesses != 0;
        assert!(!new_witness || 2 * witnesses < size, "witnesses lead: {}", what());
    }

    /// Lets everything come to rest and looks where the group ends up.
    fn rest(&self, setting: &Setting) {
        let mut state = *self;
        for life in &mut state.lives {
            *life = match *life {
                Fresh | Doubted => Steady,
                Crashed | Missed => Down,
                other => other,
            };
        }
        if !state.works() {
            return;
        }
        let mut steps = 0;
        while let Some(next) = state.step(setting) {
            assert_ne!(next, state, "a change that changes nothing");
            // Who left stays until it votes no more.
            state = next;
            for id in 0..IDS {
                if state.lives[id] == Left && state.voters >> id & 1 == 0 {
                    state.lives[id] = Down;
                }
            }
            steps += 1;
            assert!(steps < 20, "changes never end, from {self:?}");
        }
        let (steady, size) = (state.those(|life| life == Steady), state.voters.count_ones());
        let (dead, spares) = (state.voters & !steady, steady & !state.voters);
        let members = spares & !setting.witnesses;
        let what = || format!("{self:?} came to rest as {state:?}");
        assert_eq!(state.unfinished, None, "{}", what());
        assert_eq!(state.learners, spares, "{}", what());
        assert!(dead == 0 || members == 0, "a dead voter beside a spare: {}", what());
        let may_grow = size as usize + 2 <= setting.goal.voters_max;
        assert!(size % 2 == 1 || members == 0, "even beside a spare: {}", what());
        assert!(!may_grow || members.count_ones() < 2, "too few voters: {}", what());
        let sits = state.voters & setting.witnesses & steady;
        assert!(sits == 0 || members == 0, "a witness sits in a member's place: {}", what());
    }
}

/// Visits every state that is reached within so many events and changes. Gives how many.
fn explore(setting: Setting) -> usize {
    let first = State::founded(setting.founders);
    let (mut seen, mut queue) = (BTreeSet::from([first]), VecDeque::from([(first, 0)]));
    while let Some((state, depth)) = queue.pop_front() {
        state.rest(&setting);
        if depth == setting.depth {
            continue;
        }
        for next in state.events().into_iter().chain(state.step(&setting)) {
            if seen.insert(next) {
                queue.push_back((next, depth + 1));
            }
        }
    }
    seen.len()
}

#[test]
fn no_history_of_a_small_group_breaks_a_rule() {
    let setting = Setting { founders: 3, witnesses: 0, goal: GOAL, depth: 7 };
    let three = Goal { voters_max: 3, voters_min: 3, ..GOAL };
    for setting in [
        setting,
        Setting { goal: three, ..setting },
        Setting { founders: 1, ..setting },
        Setting { founders: 2, depth: 6, ..setting },
        Setting { founders: 5, depth: 6, ..setting },
        Setting { founders: 5, depth: 6, goal: Goal { voters_min: 5, ..GOAL }, ..setting },
    ] {
        let states = explore(setting);
        assert!(states > 1000, "{states} states of {setting:?}");
    }
}

#[test]
fn no_history_of_members_with_a_witness_breaks_a_rule() {
    let setting = Setting { founders: 2, witnesses: 0b000_100, goal: GOAL, depth: 7 };
    let three = Goal { voters_max: 3, voters_min: 1, ..GOAL };
    for setting in [
        setting,
        Setting { goal: three, ..setting },
        Setting { founders: 3, witnesses: 0b100_100, goal: three, ..setting },
    ] {
        let states = explore(setting);
        assert!(states > 1000, "{states} states of {setting:?}");
    }
}
