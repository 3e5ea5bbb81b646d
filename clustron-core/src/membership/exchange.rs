//! Reading messages and writing them.

use super::bug::Bug;
use super::gossip::{self, Topic};
use super::message::{Message, NEWS_MAX, News, PeerState, Standing};
use super::{Effect, Membership, Observation};
use crate::NodeId;

/// About how many bytes of roles and tags one message carries, unless one node's alone are more.
const METADATA_BYTES: usize = 1024;

/// What kind of number a ping carries in its lowest bit: the detector's own, or that of a relay.
/// The number 0 of a relay is never given out.
const OF_DETECTOR: u64 = 0;
const OF_RELAY: u64 = 1;

impl Membership {
    /// Reads a message. Its news comes first, so that an answer already takes it into account.
    pub(super) fn received(&mut self, from: NodeId, message: &Message) {
        if from == self.local {
            return;
        }
        let known = self.peers.get_mut(&from);
        let stranger = known.is_none();
        if let Some(peer) = known {
            peer.last_heard = Some(self.now);
            self.observe(Observation::Heard { from });
        }
        for news in message.news() {
            // A stranger's opinion of others does not count, but if it thinks us gone then it may
            // be our view that is old.
            if !stranger || news.node() == self.local {
                self.hear(from, news);
            }
        }
        self.correct(from);
        match message {
            Message::Ping { seq, .. } => {
                let news = self.news_for(from);
                self.send(from, Message::Ack { seq: *seq, news });
            }
            Message::Ack { seq, .. } => self.answered(from, *seq),
            Message::PingRequest { seq, target, .. } => {
                let news = self.news_for(from);
                self.send(from, Message::Gossip { news });
                self.relay(from, *seq, *target);
            }
            Message::IndirectAck { seq, target, .. } => {
                let (helper, target, seq) = (from, *target, *seq);
                self.observe(Observation::AnsweredThrough { helper, target, seq });
            }
            Message::Heartbeat { .. } if !stranger => {
                self.observe(Observation::Heartbeat { from });
            }
            Message::Compare { ranges, .. } if !stranger => self.compare(from, ranges),
            Message::Gossip { .. } if !stranger => {}
            Message::Heartbeat { .. } | Message::Compare { .. } | Message::Gossip { .. } => {
                self.tell_buried(from);
            }
        }
    }

    /// Tells the sender of an accusation to which the accused has objected what it has missed. It
    /// will go on doubting until somebody does, and in the end act on it.
    fn correct(&mut self, from: NodeId) {
        let outdated = std::mem::take(&mut self.outdated);
        let (now, pause) = (self.now, self.config.gossip_interval);
        let Some(sender) = self.peers.get_mut(&from).filter(|_| !outdated.is_empty()) else {
            return;
        };
        // What it has sent before it can have heard us is answered with that.
        if sender.corrected.is_some_and(|at| now < at + pause) {
            return;
        }
        sender.corrected = Some(now);
        let mut news = vec![self.own_standing()];
        let known =
            outdated.iter().filter_map(|id| Some(self.peers.get(id)?.news(*id, self.local)));
        news.extend(known.take(NEWS_MAX - 1));
        self.send(from, Message::Gossip { news });
    }

    fn answered(&mut self, from: NodeId, seq: u64) {
        if seq & 1 == OF_DETECTOR {
            self.observe(Observation::Answered { from, seq: seq >> 1 });
        } else if let Some((origin, origin_seq)) = self.relays.answered(from, seq) {
            let news = self.news_for(origin);
            self.send(origin, Message::IndirectAck { seq: origin_seq, target: from, news });
        }
    }

    fn hear(&mut self, from: NodeId, news: &News) {
        match news {
            News::Standing { node, incarnation, standing } => {
                self.hear_standing(from, *node, *incarnation, *standing);
            }
            News::Metadata { node, revision, metadata } => {
                self.hear_metadata(*node, *revision, metadata);
            }
            News::Links { node, version, broken } => self.hear_links(*node, *version, broken),
        }
    }

    /// Sends a ping of the detector's.
    pub(super) fn ping(&mut self, to: NodeId, seq: u64) {
        let news = self.news_for(to);
        self.send(to, Message::Ping { seq: seq << 1 | OF_DETECTOR, news });
    }

    /// Sends a ping whose answer only a relay may wait for, and returns its number.
    pub(super) fn remind(&mut self, to: NodeId) -> u64 {
        self.seq = self.seq.wrapping_add(1);
        let seq = self.seq << 1 | OF_RELAY;
        let news = self.news_for(to);
        self.send(to, Message::Ping { seq, news });
        seq
    }

    pub(super) fn request_ping(&mut self, helper: NodeId, target: NodeId, seq: u64) {
        let news = self.news_for(helper);
        self.send(helper, Message::PingRequest { seq, target, news });
    }

    fn relay(&mut self, origin: NodeId, origin_seq: u64, target: NodeId) {
        if self.peers.contains_key(&target) && self.relays.has_room(self.now) {
            let seq = self.remind(target);
            let expires = self.now + self.config.suspicion_timeout;
            self.relays.insert(seq, target, (origin, origin_seq), expires);
        }
    }

    /// The news for one message: our own standing, what `to` should know about itself (the
    /// "buddy system" of Lifeguard §IV-C: a suspect learns of it from whoever speaks to it next),
    /// and what is waiting to be passed on.
    pub(super) fn news_for(&mut self, to: NodeId) -> Vec<News> {
        let mut news = vec![self.own_standing()];
        match self.peers.get(&to) {
            Some(peer) if peer.state != PeerState::Alive => news.push(peer.news(to, self.local)),
            Some(_) => {}
            None => {
                // A stranger hears whether it used to be here, and nothing else.
                news.extend(self.epitaph(to));
                return news;
            }
        }
        let (local, mut room, mut bytes) = (self.local, NEWS_MAX - news.len(), 0);
        let limit = if self.has(Bug::EndlessGossip) {
            u32::MAX
        } else {
            gossip::transmissions(self.config.gossip_multiplier, self.peers.len() + 1)
        };
        let fits = |one: &News| {
            let size = super::describe::metadata_bytes(one);
            if room == 0 || (bytes > 0 && bytes + size > METADATA_BYTES) {
                return false;
            }
            room -= 1;
            bytes += size;
            true
        };
        // Who may well be dead must not use up what is told only so often.
        let hears = self.peers.get(&to).is_some_and(|peer| peer.state == PeerState::Alive);
        let queued = if hears { self.queue.take(limit, fits) } else { self.queue.peek(fits) };
        // Its own news it knows best. An accusation it has heard above.
        let about_receiver = |one: &News| one.node() == to && matches!(one, News::Standing { .. });
        let ours = |one: &News| one.node() == local && matches!(one, News::Standing { .. });
        news.extend(queued.into_iter().filter(|one| !about_receiver(one) && !ours(one)));
        self.fill_with_doubts(to, &mut news);
        news
    }

    fn epitaph(&self, to: NodeId) -> Option<News> {
        let incarnation = self.tombstones.incarnation(to)?;
        if self.has(Bug::LostTombstone) {
            return None;
        }
        let standing = Standing::Down { by: self.local };
        Some(News::Standing { node: to, incarnation, standing })
    }

    /// Tells a node that the view dropped, and that does not know it, that it was dropped.
    fn tell_buried(&mut self, to: NodeId) {
        if self.epitaph(to).is_some() {
            let news = self.news_for(to);
            // An answer that nothing answers: it may have dropped us, too, and would tell us so.
            self.send(to, Message::Ack { seq: OF_RELAY, news });
        }
    }

    /// Fills what room is left in a message with whom we doubt. Gossip is repeated a bounded number
    /// of times, and where many nodes crash together most of that goes to the dead; but a doubt
    /// lasts until it is answered or the view drops the node, and so does this. It starts at
    /// another place each time, so that more doubts than fit all get their turn. Who could not
    /// reach a suspect itself goes on saying so in its own name: others may be waiting for its
    /// voice.
    fn fill_with_doubts(&mut self, to: NodeId, news: &mut Vec<News>) {
        let room = NEWS_MAX.saturating_sub(news.len());
        if room == 0 || self.doubted.is_empty() || self.has(Bug::GossipEndsHere) {
            return;
        }
        let start = self.doubts_told.unwrap_or(NodeId(0));
        let after =
            self.doubted.range((std::ops::Bound::Excluded(start), std::ops::Bound::Unbounded));
        let before = self.doubted.range(..=start);
        let told: Vec<NodeId> = after.chain(before).take(room).copied().collect();
        self.doubts_told = told.last().copied();
        for node in told.into_iter().filter(|node| *node != to) {
            let Some(peer) = self.peers.get(&node) else { continue };
            let doubt = peer.doubt(node, self.local, self.seq);
            if !news.contains(&doubt) {
                news.push(doubt);
            }
        }
    }

    /// Queues news, and makes sure that it does not wait for the next ping.
    pub(super) fn tell_others(&mut self, topic: Topic, news: News) {
        if self.has(Bug::GossipEndsHere) && news.node() != self.local {
            return;
        }
        self.queue.push(topic, news);
        if self.gossip_due.is_none() {
            self.gossip_due = Some(self.now + self.config.gossip_interval);
        }
    }

    /// Pushes news to a few random peers. SWIM itself only piggybacks on pings, which in a large
    /// cluster is too slow for an objection to outrun the doubt.
    pub(super) fn gossip(&mut self) {
        let peers = &self.peers;
        // A suspect may well live, and has to hear of it to object.
        let listens = |id| peers.get(&id).is_some_and(|peer| peer.state < PeerState::Down);
        let chosen = self.roster.pick(self.config.gossip_fanout, &mut self.rng, listens);
        for to in &chosen {
            if !self.queue.is_empty() {
                let news = self.news_for(*to);
                self.send(*to, Message::Gossip { news });
            }
        }
        // With nobody to tell, the news waits for the next ping instead of a timer.
        let more = !self.queue.is_empty() && !chosen.is_empty();
        self.gossip_due = more.then(|| self.now + self.config.gossip_interval);
    }

    pub(super) fn send(&mut self, to: NodeId, message: Message) {
        self.effects.push(Effect::Send { to, message });
    }
}
