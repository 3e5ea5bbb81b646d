//! What nodes of the training ground say to each other, and what they make of it.

use std::time::Duration;

use rand::Rng;

use super::net::Net;
use super::wire::{Content, Event, Input, Message, News, Opinion};
use clustron_core::membership::Observation;

impl Net {
    pub(super) fn receive(&mut self, at: usize, message: Message) {
        let Message { from, life, doubts, content } = message;
        let peer = self.id(from);
        self.tell(at, Observation::Heard { from: peer });
        self.hear_news(at, News::Alive { about: from, life });
        if let Some(doubted) = doubts {
            self.object(at, doubted);
        }
        match content {
            Content::Ping { seq } => self.send(at, from, Content::Answer { seq }),
            Content::Answer { seq } => self.tell(at, Observation::Answered { from: peer, seq }),
            Content::PingRequest { target, seq } => {
                self.send(at, from, Content::RequestCame);
                self.send(at, target, Content::Relayed { origin: from, seq });
            }
            Content::Relayed { origin, seq } => {
                self.send(at, from, Content::RelayAnswered { origin, seq });
            }
            Content::RelayAnswered { origin, seq } => {
                self.send(at, origin, Content::Reached { target: from, seq });
            }
            Content::Reached { target, seq } => {
                let target = self.id(target);
                self.tell(at, Observation::AnsweredThrough { helper: peer, target, seq });
            }
            Content::Heartbeat => self.tell(at, Observation::Heartbeat { from: peer }),
            Content::RequestCame | Content::Remind => {}
        }
    }

    pub(super) fn hear_news(&mut self, at: usize, news: News) {
        let (about, life) = match news {
            News::Accused { about, life, .. }
            | News::Down { about, life }
            | News::Alive { about, life } => (about, life),
        };
        if about == at {
            if !matches!(news, News::Alive { .. }) {
                self.object(at, life);
            }
            return;
        }
        let peer = self.id(about);
        let (known, opinion) = self.nodes[at].others[about];
        if life < known {
            return;
        }
        if life > known {
            self.nodes[at].others[about] = (life, Opinion::Trusted);
            if opinion != Opinion::Trusted {
                self.tell(at, Observation::Cleared { peer });
            }
        }
        let opinion = self.nodes[at].others[about].1;
        match news {
            News::Accused { by, .. } if opinion != Opinion::Down => {
                self.nodes[at].others[about].1 = Opinion::Suspect;
                self.tell(at, Observation::Accused { peer, by: self.id(by) });
            }
            News::Down { .. } if opinion != Opinion::Down => {
                self.nodes[at].others[about].1 = Opinion::Down;
                self.tell(at, Observation::Settled { peer });
            }
            News::Accused { .. } | News::Down { .. } | News::Alive { .. } => {}
        }
    }

    /// Somebody doubts this life of the node.
    pub(super) fn object(&mut self, at: usize, doubted: u64) {
        if doubted < self.nodes[at].life || !self.objections {
            return;
        }
        self.nodes[at].life = doubted + 1;
        self.tell(at, Observation::AccusedOurselves);
        self.spread(at, News::Alive { about: at, life: doubted + 1 });
    }

    pub(super) fn send(&mut self, from: usize, to: usize, content: Content) {
        self.messages[from] += 1;
        let lost = self.loss > 0.0 && self.rng.random_bool(self.loss);
        let broken = self.broken_links.contains(&(from.min(to), from.max(to)));
        if lost || broken || self.nodes[from].side != self.nodes[to].side {
            return;
        }
        let (held, opinion) = self.nodes[from].others[to];
        let doubts = (opinion != Opinion::Trusted).then_some(held);
        let message = Message { from, life: self.nodes[from].life, doubts, content };
        let delay = self.delay();
        self.schedule(delay, Event::Deliver { to, input: Input::Message(message) });
    }

    /// Tells everybody, as fast as gossip does.
    pub(super) fn spread(&mut self, from: usize, news: News) {
        for to in (0..self.size()).filter(|to| *to != from) {
            if self.nodes[from].side == self.nodes[to].side {
                let delay = Duration::from_millis(self.rng.random_range(20..300));
                self.schedule(delay, Event::Deliver { to, input: Input::News(news) });
            }
        }
    }
}
