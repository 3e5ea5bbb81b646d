//! What must come about when nothing breaks any more.

use std::collections::BTreeMap;

use clustron_core::{Incarnation, NodeId};

use crate::sim::{Moment, NodeIndex, Violation};
use crate::swim::Member;
use crate::swim::registry::SharedRegistry;

/// How many messages per second a node may send while nothing happens.
const QUIET_PER_SECOND: u64 = 16;

type Running<'a> = BTreeMap<NodeId, (NodeIndex, &'a Member)>;

/// Those who run and have not left.
fn running<'a>(moment: &'a Moment<'_, Member>) -> Running<'a> {
    let members = moment.nodes().filter(|(_, member)| !member.has_left());
    members.map(|(index, member)| (member.id(), (index, member))).collect()
}

/// Everybody who runs is in the view, nobody else is, and nobody doubts anybody.
///
/// # Errors
/// The first difference.
pub(in crate::swim) fn undoubted(
    moment: &Moment<'_, Member>,
    registry: &SharedRegistry,
) -> Result<(), Violation> {
    let (registry, running) = (registry.borrow(), running(moment));
    if let Some(node) = registry.alive().find(|node| !running.contains_key(&node.id)) {
        return Err(format!("{} is in the view and does not run", node.name).into());
    }
    for (id, (index, member)) in &running {
        let machine = member.machine();
        // An objection to a suspicion makes no new view; others hear of it by gossip, see below.
        if !registry.lists(*id) || member.asks_in() {
            return Err(format!("{index} runs and is not in the view").into());
        }
        if member.version() != registry.version() {
            let (at, latest) = (member.version(), registry.version());
            return Err(format!("{index} has view {at}, not {latest}").into());
        }
        if let Some((peer, state)) = machine.doubted().next() {
            return Err(format!("{index} takes {peer} for {state}").into());
        }
    }
    Ok(())
}

/// The same, and all know the same of everybody.
///
/// # Errors
/// The first difference.
pub(in crate::swim) fn converged(
    moment: &Moment<'_, Member>,
    registry: &SharedRegistry,
) -> Result<(), Violation> {
    undoubted(moment, registry)?;
    let running = running(moment);
    for (index, member) in running.values() {
        let machine = member.machine();
        if let Some((observer, peers)) = machine.unreachable().first_key_value() {
            return Err(format!("{index} holds that {observer} cannot reach {peers:?}").into());
        }
        for (other, (at, owner)) in &running {
            let known = machine.case(*other).map(|case| case.incarnation);
            let own: Incarnation = owner.machine().incarnation();
            if known.is_some_and(|known| known != own) {
                return Err(format!("{index} knows {at} as {known:?}, not {own}").into());
            }
            let (known, own) = (machine.metadata(*other), owner.machine().metadata(*other));
            if known != own {
                return Err(
                    format!("{index} has {known:?} as metadata of {at}, not {own:?}").into()
                );
            }
        }
    }
    Ok(())
}

/// Measures whether the cluster has fallen silent.
#[derive(Debug)]
pub struct Quiet {
    began: std::time::Duration,
    sent: BTreeMap<NodeIndex, u64>,
    incarnations: BTreeMap<NodeIndex, Incarnation>,
}

impl Quiet {
    /// From now on.
    pub fn begin(moment: &Moment<'_, Member>) -> Self {
        Self {
            began: moment.now(),
            sent: moment.nodes().map(|(index, member)| (index, member.sent())).collect(),
            incarnations: moment
                .nodes()
                .map(|(index, member)| (index, member.machine().incarnation()))
                .collect(),
        }
    }

    /// Until now every node sent no more than a node that only looks after the others, and nobody
    /// had to object.
    ///
    /// # Errors
    /// The first that did.
    pub fn check(&self, moment: &Moment<'_, Member>) -> Result<(), Violation> {
        let most = (moment.now() - self.began).as_secs() * QUIET_PER_SECOND;
        for (index, member) in moment.nodes() {
            let sent = member.sent() - self.sent.get(&index).copied().unwrap_or(0);
            if sent > most {
                return Err(format!("{index} sent {sent} messages when nothing happened").into());
            }
            let before = self.incarnations.get(&index);
            if before.is_some_and(|before| *before != member.machine().incarnation()) {
                return Err(format!("{index} had to object when nothing happened").into());
            }
        }
        Ok(())
    }
}
