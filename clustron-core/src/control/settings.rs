//! openraft's settings, from ours.

use std::time::Duration;

use super::compaction;
use crate::config::Timing;
use crate::error::StartError;

pub(super) fn raft_config(
    cluster: &str,
    timing: &Timing,
    snapshot_entries: u64,
) -> Result<openraft::Config, StartError> {
    let (snapshot_policy, max_in_snapshot_log_to_keep) = compaction::by_entries(snapshot_entries);
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    openraft::Config {
        cluster_name: cluster.to_owned(),
        heartbeat_interval: ms(timing.heartbeat_interval),
        // openraft takes the upper bound as the lease that voters give the leader. It never elects
        // by itself here: `Campaign` does.
        election_timeout_min: ms(timing.leader_lease) - 1,
        election_timeout_max: ms(timing.leader_lease),
        enable_elect: false,
        install_snapshot_timeout: 5_000,
        snapshot_policy,
        max_in_snapshot_log_to_keep,
        ..openraft::Config::default()
    }
    .validate()
    .map_err(|e| StartError::ControlPlane(e.to_string()))
}
