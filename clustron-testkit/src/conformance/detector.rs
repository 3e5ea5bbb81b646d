//! What every failure detector has to do, whatever it sends.
//!
//! The suite is a training ground: copies of one detector watch each other on a small virtual
//! network in which peers crash, sleep, starve and are slandered. It knows only the trait, so that
//! it holds for a detector of your own as well. All is decided by seeds, so a failure repeats.
//!
//! [`detector_conformance`] is for every implementation, [`quorum_conformance`] in addition for one
//! that reports nobody before several nodes agree. Both panic with what was promised, what happened
//! instead, and the seed. The times that they demand are those of the default configuration.

mod exchange;
mod net;
mod rules;
mod scenarios;
mod scripts;
mod wire;

use clustron_core::NodeId;
use clustron_core::membership::FailureDetector;

/// Makes the detector of one node. The second argument is the seed for all that it leaves to
/// chance: two that are made alike must act alike.
type Make<'a> = &'a dyn Fn(NodeId, u64) -> Box<dyn FailureDetector>;

/// Checks every promise of [`FailureDetector`].
///
/// Runs for some seconds, and far longer without optimisation.
///
/// # Panics
///
/// Panics with the broken promise, and when and where it was broken.
pub fn detector_conformance(make: impl Fn(NodeId, u64) -> Box<dyn FailureDetector>) {
    let make: Make<'_> = &make;
    // The cheapest first: what breaks one of these breaks the others in less obvious ways.
    scripts::strangers_are_no_matter(make);
    scripts::whatever_comes_in_it_stays_sane(make);
    scripts::the_same_observations_give_the_same_actions(make);
    scripts::one_opinion_is_no_verdict(make);
    scripts::a_lost_connection_is_no_verdict(make);
    scripts::a_late_timeout_is_no_verdict(make);
    scripts::a_peer_that_left_is_forgotten(make);
    scenarios::a_quiet_cluster_doubts_nobody_and_sends_little(make);
    scenarios::a_silent_crash_is_down_in_five_seconds(make);
    scenarios::a_refused_connection_is_down_in_two_seconds(make);
    scenarios::half_of_the_nodes_crash_at_once(make);
    scenarios::neighbours_crash_together(make);
    scenarios::a_cleared_peer_is_trusted_and_can_fail_again(make);
    scenarios::a_short_pause_is_no_crash(make);
    scenarios::a_long_pause_is_held_against_the_sleeper_alone(make);
    scenarios::a_starved_node_is_not_down_and_brings_nobody_down(make);
    scenarios::a_broken_link_is_no_crash(make);
    scenarios::a_healed_partition_leaves_no_doubt(make);
    scenarios::lost_messages_bring_nobody_down(make);
}

/// Checks that no single node and no single link can bring anybody down in a cluster of four or
/// more.
///
/// # Panics
///
/// Panics with who was called Down because of whom, and the seed.
pub fn quorum_conformance(make: impl Fn(NodeId, u64) -> Box<dyn FailureDetector>) {
    let make: Make<'_> = &make;
    scenarios::a_node_whose_dials_are_refused_convicts_nobody(make);
    scenarios::a_node_that_is_cut_off_convicts_nobody(make);
    scenarios::a_link_that_refuses_convicts_nobody(make);
}

#[cfg(test)]
mod careless;
#[cfg(test)]
mod tests;
