//! Reading messages and writing them.

use std::time::Duration;

use rand::seq::IndexedRandom;

use super::message::{Message, PeerState, UPDATES_MAX, Update};
use super::{Effect, Membership, gossip};
use crate::NodeId;

/// The most pings on behalf of others that may be open at once; further requests are dropped, and
/// the one who asked has others to ask.
const RELAYS_MAX: usize = 256;

/// A ping that we sent because another node asked for it. It is kept under the `seq` of our ping.
#[derive(Debug)]
pub(super) struct Relay {
    origin: NodeId,
    origin_seq: u64,
    target: NodeId,
    expires: Duration,
}

impl Membership {
    /// Reads a message. Its news comes first, so that an answer already takes it into account.
    pub(super) fn received(&mut self, from: NodeId, message: &Message) {
        if from == self.local {
            return;
        }
        self.last_heard = self.now;
        let known = self.peers.get_mut(&from);
        let stranger = known.is_none();
        if let Some(peer) = known {
            peer.last_heard = Some(self.now);
        }
        for update in message.updates() {
            // A stranger's opinion of others does not count, but if it thinks us gone then it may
            // be our view that is old.
            if !stranger || update.node == self.local {
                self.learn(from, *update);
            }
        }
        match message {
            Message::Ping { seq, .. } => {
                let updates = self.updates_for(from);
                self.send(from, Message::Ack { seq: *seq, updates });
            }
            Message::Ack { seq, .. } => {
                self.probe_answered(from, *seq);
                self.relay_answered(from, *seq);
            }
            Message::PingRequest { seq, target, .. } => {
                let updates = self.updates_for(from);
                self.send(from, Message::Ack { seq: *seq, updates });
                self.relay(from, *seq, *target);
            }
            Message::IndirectAck { seq, target, .. } => {
                self.probe_answered_indirectly(from, *seq, *target);
            }
            Message::Gossip { .. } => {}
        }
    }

    /// Sends a ping and returns its number.
    pub(super) fn ping(&mut self, to: NodeId) -> u64 {
        self.seq = self.seq.wrapping_add(1);
        let message = Message::Ping { seq: self.seq, updates: self.updates_for(to) };
        self.send(to, message);
        self.seq
    }

    /// The news for one message: our own incarnation, what `to` should know about itself (the
    /// "buddy system" of Lifeguard §IV-C: a suspect learns of it from whoever speaks to it next),
    /// and what is waiting to be passed on.
    pub(super) fn updates_for(&mut self, to: NodeId) -> Vec<Update> {
        let mut updates = vec![self.own_update()];
        if let Some(peer) = self.peers.get(&to) {
            match peer.state {
                PeerState::Alive => {}
                PeerState::Suspect | PeerState::Down => updates.push(peer.update(to)),
            }
        } else {
            // A stranger hears whether it used to be here, and nothing else.
            let buried = self.tombstones.incarnation(to);
            updates.extend(buried.map(|incarnation| Update {
                node: to,
                incarnation,
                state: PeerState::Down,
            }));
            return updates;
        }
        let room = UPDATES_MAX - updates.len();
        let limit = gossip::transmissions(self.config.gossip_multiplier, self.peers.len() + 1);
        let mut news = self.queue.take(room, limit);
        news.retain(|update| update.node != self.local && update.node != to);
        updates.append(&mut news);
        self.fill_with_doubts(to, &mut updates);
        updates
    }

    /// Fills what room is left in a message with whom we doubt. Gossip is repeated a bounded number
    /// of times, and where many nodes crash together most of that goes to the dead; but a doubt
    /// lasts until it is answered or the view drops the node, and so does this. It starts at
    /// another place each time, so that more doubts than fit all get their turn.
    fn fill_with_doubts(&self, to: NodeId, updates: &mut Vec<Update>) {
        let room = UPDATES_MAX.saturating_sub(updates.len());
        let doubts: Vec<Update> = self
            .peers
            .iter()
            .filter(|(id, peer)| peer.state != PeerState::Alive && **id != to)
            .map(|(id, peer)| peer.update(*id))
            .filter(|doubt| !updates.contains(doubt))
            .collect();
        if !doubts.is_empty() {
            let start = usize::try_from(self.seq).unwrap_or(0) % doubts.len();
            updates.extend(doubts.iter().cycle().skip(start).take(room.min(doubts.len())));
        }
    }

    /// Queues news, and makes sure that it does not wait for the next ping.
    pub(super) fn tell_others(&mut self, update: Update) {
        self.queue.push(update);
        if self.gossip_due.is_none() {
            self.gossip_due = Some(self.now + self.config.gossip_interval);
        }
    }

    /// Pushes news to a few random peers. SWIM itself only piggybacks on pings, which in a large
    /// cluster is too slow for an objection to outrun the doubt.
    pub(super) fn gossip(&mut self) {
        let peers: Vec<NodeId> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.state != PeerState::Down)
            .map(|(id, _)| *id)
            .collect();
        let chosen: Vec<NodeId> =
            peers.choose_multiple(&mut self.rng, self.config.gossip_fanout).copied().collect();
        for to in chosen {
            if !self.queue.is_empty() {
                let updates = self.updates_for(to);
                self.send(to, Message::Gossip { updates });
            }
        }
        // With nobody to tell, the news waits for the next ping instead of a timer.
        let more = !self.queue.is_empty() && !peers.is_empty();
        self.gossip_due = more.then(|| self.now + self.config.gossip_interval);
    }

    pub(super) fn own_update(&self) -> Update {
        Update { node: self.local, incarnation: self.incarnation, state: PeerState::Alive }
    }

    fn send(&mut self, to: NodeId, message: Message) {
        self.effects.push(Effect::Send { to, message });
    }

    fn relay(&mut self, origin: NodeId, origin_seq: u64, target: NodeId) {
        if !self.peers.contains_key(&target) {
            return;
        }
        let now = self.now;
        self.relays.retain(|_, relay| relay.expires > now);
        if self.relays.len() >= RELAYS_MAX {
            return;
        }
        let seq = self.ping(target);
        let expires = now + self.config.suspicion_timeout;
        self.relays.insert(seq, Relay { origin, origin_seq, target, expires });
    }

    fn relay_answered(&mut self, from: NodeId, seq: u64) {
        if self.relays.get(&seq).is_none_or(|relay| relay.target != from) {
            return;
        }
        if let Some(Relay { origin, origin_seq, target, .. }) = self.relays.remove(&seq) {
            let updates = self.updates_for(origin);
            self.send(origin, Message::IndirectAck { seq: origin_seq, target, updates });
        }
    }
}
