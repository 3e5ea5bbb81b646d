use std::collections::BTreeMap;

use clustron_core::{Incarnation, NodeId};

use super::{Moment, Predicate};

/// An identity lives on one host, and each start under it has a higher number than all before: so
/// there are never two processes that others could take for one. As long as a node lives, its
/// incarnation never falls.
///
/// What a node raised its incarnation to while it ran is not on its disk, so the start after it may
/// begin below that. Others tell the two apart by the number.
#[derive(Debug, Default)]
pub struct EachStartIsCounted {
    known: BTreeMap<NodeId, Start>,
}

/// The latest start under an identity.
#[derive(Debug)]
struct Start {
    host: String,
    life: u32,
    number: u64,
    incarnation: Incarnation,
}

impl Predicate for EachStartIsCounted {
    fn name(&self) -> &'static str {
        "each_start_is_counted"
    }

    fn check(&mut self, moment: &Moment<'_>) -> Result<(), String> {
        let node = &moment.status.node;
        let (id, host, life) = (node.id, moment.host.to_owned(), moment.life);
        let now = Start { host, life, number: node.starts, incarnation: node.incarnation };
        let Some(before) = self.known.get_mut(&id) else {
            self.known.insert(id, now);
            return Ok(());
        };
        let goes_on = (now.life, now.number) == (before.life, before.number);
        let counted = match goes_on {
            true => now.incarnation >= before.incarnation,
            false => now.life > before.life && now.number > before.number,
        };
        if !counted || before.host != now.host {
            return Err(format!("{id} is {now:?} after {before:?}"));
        }
        *before = now;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{moment, status};
    use super::*;
    use crate::cluster::Health;

    #[test]
    fn a_start_under_an_old_number_and_an_identity_on_two_hosts_are_caught() {
        let mut predicate = EachStartIsCounted::default();
        let mut seen = |host, life, starts, incarnation| {
            let mut status = status(1);
            (status.node.starts, status.node.incarnation) = (starts, Incarnation(incarnation));
            predicate.check(&Moment { host, life, ..moment(&status, &Health::default()) })
        };
        assert_eq!(seen("a", 1, 1, 1), Ok(()));
        assert_eq!(seen("a", 1, 1, 4), Ok(()), "it objects to suspicions");
        assert!(seen("a", 1, 1, 3).is_err());
        assert!(seen("a", 2, 1, 5).is_err());
        assert!(seen("a", 1, 2, 5).is_err());
        assert_eq!(seen("a", 3, 3, 2), Ok(()));
        assert!(seen("b", 4, 4, 6).is_err());
    }
}
