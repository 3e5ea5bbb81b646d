//! The control plane's times.

use std::time::Duration;

use super::ConfigError;
use crate::election;

/// The control plane's times. They depend on each other in the order in which they stand here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How often the leader tells the others that it is there. Also how long one replication
    /// message may take, so it must be well above the network's round trip.
    pub heartbeat_interval: Duration,
    /// How long voters keep faith with a leader they have heard, whatever anybody says; at least
    /// twice `heartbeat_interval`. When the leader's process is seen to be gone, the next one leads
    /// after about this long.
    pub leader_lease: Duration,
    /// How long a leader must have been silent for the voters to replace it without other evidence,
    /// and how long without a majority's answer it goes on leading; at least twice `leader_lease`.
    /// Longer survives longer stalls of a busy machine, shorter replaces a hung leader sooner.
    pub leader_silence: Duration,
    /// How long a node must have been, without a break, Suspect or Down before the leader takes it
    /// out of the view, and how long modules therefore keep what they placed there. Flapping that
    /// is shorter changes nothing, also where something on the way refuses connections for a
    /// moment. It runs from the first doubt, so a host that falls silent pays nothing for it as
    /// long as it is at most `membership.suspicion_timeout`; a process that crashed, whose address
    /// refuses, goes after this time. Another leader, an orderly leave and a new node at the same
    /// address do not wait for it. At most 60 s; zero takes a node out with the first verdict.
    pub view_stable_after: Duration,
    /// How long a node must have been alive before it votes.
    pub voter_stable_after: Duration,
    /// How long opening a connection with its handshake may take.
    pub connect_timeout: Duration,
    /// How long the core's own requests wait for a reply.
    pub request_deadline: Duration,
    /// How long a group that is being founded or joined may take before the node starts over under
    /// a new identity.
    pub formation_timeout: Duration,
}

impl Timing {
    /// For processes on one machine.
    pub fn local() -> Self {
        Self {
            heartbeat_interval: Duration::from_millis(100),
            leader_lease: Duration::from_millis(300),
            leader_silence: Duration::from_millis(1000),
            view_stable_after: Duration::from_secs(2),
            voter_stable_after: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(1),
            request_deadline: Duration::from_secs(2),
            formation_timeout: Duration::from_secs(10),
        }
    }

    /// For machines in one data centre. The default.
    pub fn lan() -> Self {
        Self::local()
    }

    /// For sites far apart: round trips up to 300 ms.
    pub fn wan() -> Self {
        Self {
            heartbeat_interval: Duration::from_millis(600),
            leader_lease: Duration::from_millis(2000),
            leader_silence: Duration::from_millis(6000),
            view_stable_after: Duration::from_secs(5),
            voter_stable_after: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(3),
            request_deadline: Duration::from_secs(5),
            formation_timeout: Duration::from_secs(30),
        }
    }

    pub(crate) fn election(&self) -> election::Timing {
        election::Timing {
            lease: self.leader_lease,
            silence: self.leader_silence,
            stagger: self.heartbeat_interval / 2,
            round: self.leader_lease * 2 / 3,
        }
    }

    pub(super) fn problems(&self, found: &mut Vec<ConfigError>) {
        let ms = Duration::from_millis(1);
        let floors = [
            ("heartbeat_interval", self.heartbeat_interval, 10 * ms, "at least 10 ms"),
            (
                "leader_lease",
                self.leader_lease,
                self.heartbeat_interval.saturating_mul(2),
                "at least twice heartbeat_interval",
            ),
            (
                "leader_silence",
                self.leader_silence,
                self.leader_lease.saturating_mul(2),
                "at least twice leader_lease",
            ),
            ("connect_timeout", self.connect_timeout, 10 * ms, "at least 10 ms"),
            (
                "request_deadline",
                self.request_deadline,
                self.leader_lease.saturating_mul(2),
                "at least twice leader_lease",
            ),
            (
                "formation_timeout",
                self.formation_timeout,
                self.leader_silence.saturating_mul(2),
                "at least twice leader_silence",
            ),
        ];
        for (key, value, floor, rule) in floors {
            if value < floor {
                let allowed = format!("must be {rule}, that is {floor:?}");
                found.push(ConfigError::value(key, format!("{value:?}"), allowed));
            }
        }
        let most = Duration::from_secs(60);
        for (key, value) in
            [("leader_lease", self.leader_lease), ("view_stable_after", self.view_stable_after)]
        {
            if value > most {
                found.push(ConfigError::value(key, format!("{value:?}"), "must be at most 60 s"));
            }
        }
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self::lan()
    }
}
