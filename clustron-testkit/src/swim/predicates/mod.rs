//! What must hold in a simulated cluster, one property per file.

mod bounded_traffic;
mod converged;
mod dead_stay_dead;
mod evidence;
mod incarnations_rise;
mod metadata_rises;
mod nobody_removed;
mod peers_rise;
mod time_to_object;
mod views_rise;

pub use bounded_traffic::BoundedTraffic;
pub use converged::Quiet;
pub(super) use converged::{converged, undoubted};
pub use dead_stay_dead::DeadStayDead;
pub use evidence::VerdictsHaveEvidence;
pub use incarnations_rise::IncarnationsRise;
pub use metadata_rises::MetadataRises;
pub use nobody_removed::NobodyRemoved;
pub use peers_rise::PeersRise;
pub use time_to_object::TimeToObject;
pub use views_rise::ViewsRise;

use clustron_core::membership::MembershipConfig;

use super::member::Member;
use super::registry::SharedRegistry;
use crate::sim::Simulation;

/// Adds those that must hold whatever happens.
pub(super) fn add_all(
    sim: &mut Simulation<Member>,
    _registry: &SharedRegistry,
    config: &MembershipConfig,
) {
    sim.add_predicate(IncarnationsRise::default());
    sim.add_predicate(ViewsRise::default());
    sim.add_predicate(DeadStayDead::default());
    sim.add_predicate(PeersRise::default());
    sim.add_predicate(TimeToObject::new(config));
    sim.add_predicate(VerdictsHaveEvidence);
    sim.add_predicate(MetadataRises::default());
    sim.add_predicate(BoundedTraffic::default());
}
