//! What couriers promise, judged by somebody who sees all of them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use clustron_testkit::sim::{Moment, NodeIndex, Simulation, Violation};

use super::node::CourierNode;
use super::{PARCELS, addressee};

/// What was ever handed over, by whoever did it, also by couriers that are gone.
pub(super) struct Promises {
    delivered: Rc<RefCell<BTreeSet<u64>>>,
}

/// What one node has handed over since its disk is new.
#[derive(Default)]
struct Seen {
    identity: u64,
    /// How much of the disk's list was looked at.
    read: usize,
    parcels: BTreeSet<u64>,
}

impl Promises {
    /// Checks at every step that no parcel is handed over twice, by a courier that is not the
    /// addressee, or without having been handed in.
    pub(super) fn watch(simulation: &mut Simulation<CourierNode>) -> Promises {
        let delivered = Rc::new(RefCell::new(BTreeSet::new()));
        let all = Rc::clone(&delivered);
        let mut seen: BTreeMap<NodeIndex, Seen> = BTreeMap::new();
        simulation.always("handed_over_once", move |moment| {
            let Some((index, _)) = moment.touched() else { return Ok(()) };
            let disk = moment.disk(index);
            let seen = seen.entry(index).or_default();
            if seen.identity != disk.identity || disk.delivered.len() < seen.read {
                *seen = Seen { identity: disk.identity, ..Seen::default() };
            }
            for parcel in &disk.delivered[seen.read..] {
                if *parcel >= PARCELS || addressee(*parcel) != index {
                    return Err(format!("{index} got parcel {parcel}, which is not for it").into());
                }
                if !seen.parcels.insert(*parcel) {
                    return Err(format!("{index} got parcel {parcel} twice").into());
                }
                all.borrow_mut().insert(*parcel);
            }
            seen.read = disk.delivered.len();
            Ok(())
        });
        Promises { delivered }
    }

    /// Every parcel that a courier has taken on was handed over, unless it lost its disk since.
    pub(super) fn nothing_is_lost(
        &self,
        moment: &Moment<'_, CourierNode>,
    ) -> Result<(), Violation> {
        let delivered = self.delivered.borrow();
        for index in (0..moment.len()).map(NodeIndex) {
            let missing = moment.disk(index).accepted.iter().find(|p| !delivered.contains(p));
            if let Some(parcel) = missing {
                return Err(format!("parcel {parcel} of {index} was never handed over").into());
            }
        }
        Ok(())
    }
}
