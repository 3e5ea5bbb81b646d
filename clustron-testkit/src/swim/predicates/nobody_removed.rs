//! Nobody who runs is taken out.

use crate::sim::{Moment, Predicate, Violation};
use crate::swim::Member;
use crate::swim::registry::SharedRegistry;

/// No node is taken out of the view as failed.
#[derive(Debug)]
pub struct NobodyRemoved {
    registry: SharedRegistry,
    before: usize,
}

impl NobodyRemoved {
    pub(in crate::swim) fn new(registry: SharedRegistry) -> Self {
        let before = registry.borrow().removed().len();
        Self { registry, before }
    }
}

impl Predicate<Member> for NobodyRemoved {
    fn name(&self) -> &str {
        "nobody healthy is removed"
    }

    fn check(&mut self, _moment: &Moment<'_, Member>) -> Result<(), Violation> {
        match self.registry.borrow().removed().get(self.before) {
            Some(removal) => Err(format!("{} was taken out of the view", removal.node).into()),
            None => Ok(()),
        }
    }
}
