//! How fast to look, and how long to doubt.

use std::fmt::Debug;
use std::time::Duration;

/// Which failure detector a node uses. All find a crash in about the same time; they differ in what
/// they send and in what they can be wrong about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DetectorKind {
    /// Asks one peer after the other for a sign of life, and has others ask those that do not
    /// answer. Sends the same at any size, and survives broken links between single nodes. The
    /// default.
    #[default]
    PingPong,
    /// Sends heartbeats to a few neighbours and learns how regularly theirs come, so it adapts to a
    /// slow network by itself. Nobody answers them: it sends half as much for each pair that watch
    /// each other, and with three watchers half as much again as ping-pong in all. Does not look
    /// for a way round a broken link; and a crash of which all watchers are starved of CPU
    /// themselves is noticed when one of them recovers.
    Heartbeat,
    /// Lets the detector within watch, and takes a peer for failed only when
    /// [`observers`](MembershipConfig::observers) nodes do; peers that vanish together are taken
    /// out together. For networks in which single nodes or links lie.
    Quorum(Box<DetectorKind>),
}

/// How a node watches the others.
///
/// With the default, a crashed process is Down everywhere in under five seconds even if its host
/// says nothing: at most two [`probe_interval`](Self::probe_interval)s until a neighbour asks, one
/// until it gives up, a [`suspicion_timeout`](Self::suspicion_timeout) of doubt, and a few
/// [`gossip_interval`](Self::gossip_interval)s to tell the others. All nodes of a cluster should
/// use the same values; nothing breaks while they differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MembershipConfig {
    /// Which failure detector watches.
    pub detector: DetectorKind,
    /// The length of one probe period: every period one peer is asked for a sign of life. Shorter
    /// finds crashes sooner and sends more. 10 ms to 60 s.
    pub probe_interval: Duration,
    /// How long a peer may take to answer before others are asked to try. Choose several times
    /// the usual round trip; what is left of `probe_interval` is the time that the others have,
    /// and they need two round trips. Above zero and below `probe_interval`.
    pub probe_timeout: Duration,
    /// How many other peers are asked to try a silent one. Each of them is a second path, so more
    /// tolerates more packet loss; 0 trusts the direct path alone. At most 16.
    pub indirect_probes: usize,
    /// With the heartbeat detector: how often heartbeats are sent. 10 ms to 60 s.
    pub heartbeat_interval: Duration,
    /// With the heartbeat detector: to how many neighbours each node sends them, so how many watch
    /// it. 1 to 16.
    pub heartbeat_watchers: usize,
    /// With the heartbeat detector: how improbable a silence must be before it is suspected, as the
    /// negative decimal logarithm of the odds (phi). Higher is slower and surer. 1 to 16.
    pub phi_threshold: u32,
    /// How many neighbours of a suspect look for themselves as soon as they hear of it. With the
    /// quorum detector, as many of them as this must find it silent too; fewer where the cluster
    /// has not as many nodes left. 1 to 8.
    pub observers: usize,
    /// How long a suspected peer has at least to object before it is Down. This is the longest
    /// stall of a healthy process that is forgiven, so it should exceed the longest pause that you
    /// expect (collector, scheduler, live migration). At least two `probe_interval`s, at most 10
    /// min.
    pub suspicion_timeout: Duration,
    /// How long it has while nobody else confirms the suspicion; each node that does brings it
    /// closer to `suspicion_timeout` (Lifeguard, §IV-B). From `suspicion_timeout` up to ten times
    /// that.
    pub suspicion_timeout_max: Duration,
    /// How long after a peer's address refused us it is dialled a second time. Two refusals in a
    /// row make it Down without waiting for `suspicion_timeout`. 1 ms up to `suspicion_timeout`.
    pub gone_confirm: Duration,
    /// How often news is pushed to others while there is any; silent otherwise. 10 ms up to
    /// `suspicion_timeout`, and much shorter than it, so that an objection outruns the doubt.
    pub gossip_interval: Duration,
    /// How many peers receive each push. 1 to 16.
    pub gossip_fanout: usize,
    /// How often one piece of news is repeated: this times the number of decimal digits of the
    /// cluster's size. 1 to 32.
    pub gossip_multiplier: u32,
    /// How often a node compares all that it knows with a random other (anti-entropy). Costs one
    /// small message while they agree. 100 ms to 10 min.
    pub sync_interval: Duration,
    /// How far a node that is slow itself stretches its own probe times: up to this many times
    /// longer. 0 switches the correction off. At most 32.
    pub local_health_max: u32,
    /// A timer that fires later than this is a sign that this process was not scheduled. The time
    /// that it missed is then not held against anybody. 1 ms up to `suspicion_timeout`.
    pub late_timer: Duration,
}

impl Default for MembershipConfig {
    fn default() -> Self {
        Self::lan()
    }
}

impl MembershipConfig {
    /// For one data centre; the default.
    pub fn lan() -> Self {
        Self {
            detector: DetectorKind::PingPong,
            probe_interval: Duration::from_millis(500),
            probe_timeout: Duration::from_millis(200),
            indirect_probes: 3,
            heartbeat_interval: Duration::from_millis(500),
            heartbeat_watchers: 3,
            phi_threshold: 8,
            observers: 3,
            suspicion_timeout: Duration::from_secs(2),
            suspicion_timeout_max: Duration::from_millis(2500),
            gone_confirm: Duration::from_millis(250),
            gossip_interval: Duration::from_millis(100),
            gossip_fanout: 3,
            gossip_multiplier: 4,
            sync_interval: Duration::from_secs(5),
            local_health_max: 8,
            late_timer: Duration::from_millis(100),
        }
    }

    /// For processes on one machine: about twice as fast as [`lan`](Self::lan). The doubt is not
    /// halved with the rest, because processes that share cores starve each other.
    pub fn local() -> Self {
        Self {
            probe_interval: Duration::from_millis(250),
            probe_timeout: Duration::from_millis(100),
            heartbeat_interval: Duration::from_millis(250),
            suspicion_timeout: Duration::from_millis(1500),
            suspicion_timeout_max: Duration::from_secs(2),
            gone_confirm: Duration::from_millis(150),
            gossip_interval: Duration::from_millis(50),
            ..Self::lan()
        }
    }

    /// For nodes in several regions. A silent crash then takes up to nine seconds to be Down.
    pub fn wan() -> Self {
        Self {
            probe_interval: Duration::from_secs(1),
            probe_timeout: Duration::from_millis(400),
            heartbeat_interval: Duration::from_secs(1),
            suspicion_timeout: Duration::from_secs(5),
            suspicion_timeout_max: Duration::from_secs(6),
            gone_confirm: Duration::from_millis(500),
            gossip_interval: Duration::from_millis(200),
            gossip_multiplier: 5,
            sync_interval: Duration::from_secs(15),
            ..Self::lan()
        }
    }

    /// Whether every value, and every pair of values, makes sense. Names the first that does not.
    pub fn check(&self) -> Result<(), InvalidMembershipConfig> {
        self.problems().into_iter().next().map_or(Ok(()), Err)
    }

    /// Everything that does not make sense, in the order in which [`check`](Self::check) looks.
    pub fn problems(&self) -> Vec<InvalidMembershipConfig> {
        let mut found = vec![];
        let mut require = |field, value: &dyn Debug, fits: bool, allowed: &dyn Fn() -> String| {
            if !fits {
                let value = format!("{value:?}");
                found.push(InvalidMembershipConfig { field, value, allowed: allowed() });
            }
        };
        let ms = Duration::from_millis;
        let doubt = self.suspicion_timeout;
        let up_to_doubt = |low: &str| format!("{low} to suspicion_timeout ({doubt:?})");

        let interval = self.probe_interval;
        require("probe_interval", &interval, (ms(10)..=ms(60_000)).contains(&interval), &|| {
            "10ms to 60s".into()
        });
        let timeout = self.probe_timeout;
        require("probe_timeout", &timeout, timeout >= ms(1) && timeout < interval, &|| {
            format!("at least 1ms and below probe_interval ({interval:?})")
        });
        require("indirect_probes", &self.indirect_probes, self.indirect_probes <= 16, &|| {
            "0 to 16".into()
        });
        require(
            "suspicion_timeout",
            &doubt,
            doubt >= interval.saturating_mul(2) && doubt <= ms(600_000),
            &|| format!("two probe_intervals ({:?}) to 600s", interval.saturating_mul(2)),
        );
        let longest = self.suspicion_timeout_max;
        require(
            "suspicion_timeout_max",
            &longest,
            (doubt..=doubt.saturating_mul(10)).contains(&longest),
            &|| format!("suspicion_timeout ({doubt:?}) to ten times that"),
        );
        if let DetectorKind::Quorum(inner) = &self.detector {
            let nested = matches!(**inner, DetectorKind::Quorum(_));
            require("detector", &self.detector, !nested, &|| "a quorum of another detector".into());
        }
        let beat = self.heartbeat_interval;
        require("heartbeat_interval", &beat, (ms(10)..=ms(60_000)).contains(&beat), &|| {
            "10ms to 60s".into()
        });
        let watchers = self.heartbeat_watchers;
        require("heartbeat_watchers", &watchers, (1..=16).contains(&watchers), &|| {
            "1 to 16".into()
        });
        let phi = self.phi_threshold;
        require("phi_threshold", &phi, (1..=16).contains(&phi), &|| "1 to 16".into());
        require("observers", &self.observers, (1..=8).contains(&self.observers), &|| {
            "1 to 8".into()
        });
        let sync = self.sync_interval;
        require("sync_interval", &sync, (ms(100)..=ms(600_000)).contains(&sync), &|| {
            "100ms to 600s".into()
        });
        let confirm = self.gone_confirm;
        require("gone_confirm", &confirm, (ms(1)..=doubt).contains(&confirm), &|| {
            up_to_doubt("1ms")
        });
        let gossip = self.gossip_interval;
        require("gossip_interval", &gossip, (ms(10)..=doubt).contains(&gossip), &|| {
            up_to_doubt("10ms")
        });
        require(
            "gossip_fanout",
            &self.gossip_fanout,
            (1..=16).contains(&self.gossip_fanout),
            &|| "1 to 16".into(),
        );
        let multiplier = self.gossip_multiplier;
        require("gossip_multiplier", &multiplier, (1..=32).contains(&multiplier), &|| {
            "1 to 32".into()
        });
        require("local_health_max", &self.local_health_max, self.local_health_max <= 32, &|| {
            "0 to 32".into()
        });
        let late = self.late_timer;
        require("late_timer", &late, (ms(1)..=doubt).contains(&late), &|| up_to_doubt("1ms"));
        found
    }
}

/// A value that [`MembershipConfig::check`] refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("membership.{field} is {value}; allowed is {allowed}")]
pub struct InvalidMembershipConfig {
    /// The field's name.
    pub field: &'static str,
    /// What it was set to.
    pub value: String,
    /// What it may be set to, given the other values.
    pub allowed: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profiles_are_valid_and_lan_is_the_default() {
        for config in [MembershipConfig::local(), MembershipConfig::lan(), MembershipConfig::wan()]
        {
            config.check().unwrap();
        }
        assert_eq!(MembershipConfig::default(), MembershipConfig::lan());
    }

    #[test]
    fn a_refused_value_is_named_with_what_is_allowed() {
        let config = MembershipConfig {
            probe_timeout: Duration::from_millis(700),
            ..MembershipConfig::lan()
        };
        assert_eq!(
            config.check().unwrap_err().to_string(),
            "membership.probe_timeout is 700ms; allowed is at least 1ms and below probe_interval (500ms)"
        );
    }

    #[test]
    fn every_field_is_checked() {
        type Spoil = fn(&mut MembershipConfig);
        let spoilt: [(&str, Spoil); 17] = [
            ("detector", |c| {
                let quorum = DetectorKind::Quorum(Box::default());
                c.detector = DetectorKind::Quorum(Box::new(quorum));
            }),
            ("heartbeat_interval", |c| c.heartbeat_interval = Duration::ZERO),
            ("heartbeat_watchers", |c| c.heartbeat_watchers = 0),
            ("phi_threshold", |c| c.phi_threshold = 17),
            ("observers", |c| c.observers = 0),
            ("suspicion_timeout_max", |c| c.suspicion_timeout_max = c.suspicion_timeout / 2),
            ("sync_interval", |c| c.sync_interval = Duration::ZERO),
            ("probe_interval", |c| c.probe_interval = Duration::ZERO),
            ("probe_timeout", |c| c.probe_timeout = Duration::ZERO),
            ("indirect_probes", |c| c.indirect_probes = 17),
            ("suspicion_timeout", |c| c.suspicion_timeout = c.probe_interval),
            ("gone_confirm", |c| c.gone_confirm = Duration::ZERO),
            ("gossip_interval", |c| c.gossip_interval = Duration::MAX),
            ("gossip_fanout", |c| c.gossip_fanout = 0),
            ("gossip_multiplier", |c| c.gossip_multiplier = 0),
            ("local_health_max", |c| c.local_health_max = 33),
            ("late_timer", |c| c.late_timer = Duration::ZERO),
        ];
        for (field, spoil) in spoilt {
            let mut config = MembershipConfig::lan();
            spoil(&mut config);
            assert_eq!(config.check().unwrap_err().field, field);
        }
    }
}
