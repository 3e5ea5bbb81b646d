//! The leader's own looks at a node before it takes it out of the view, as a pure decision.
//!
//! A landlord does not clear a flat on the neighbours' word: he rings himself, and since the tenant
//! may be slow on the stairs, he rings more than once. While a doubt lasts the leader opens fresh
//! connections to the node, one after the other. One that is answered makes all rings before it
//! count for nothing; a healthy node that is starved of CPU misses one easily and several hardly.
//! The looks begin while the view's patience still runs, so they cost a crashed node's neighbours
//! no time.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::cut::Doubt;
use crate::identity::NodeId;

/// How many looks in a row must have been in vain.
const MISSES: u32 = 3;

/// How a look at a node ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "simulation"),
    expect(unreachable_pub, reason = "only simulations name one")
)]
pub enum Seen {
    /// It answered.
    Answered,
    /// It did not answer in time.
    Silent,
    /// Its address refuses, or somebody else answers there.
    Gone,
}

/// The looks at all doubted nodes.
#[derive(Debug, Default)]
#[cfg_attr(
    not(feature = "simulation"),
    expect(unreachable_pub, reason = "only simulations name one")
)]
pub struct Looks {
    open: BTreeMap<NodeId, Look>,
}

#[derive(Debug, Default)]
struct Look {
    /// At most two: one from before the verdict, and one from after it.
    under_way: u32,
    /// Whether the detector had the verdict when the latest one began.
    after_verdict: bool,
    misses: u32,
    gone: bool,
}

#[cfg_attr(
    not(feature = "simulation"),
    expect(unreachable_pub, reason = "only simulations name one")
)]
impl Looks {
    /// Whom to look at now. Call [`ended`](Self::ended) for each of them when its look is over, and
    /// this again soon. Nodes that are not doubted any more are forgotten.
    pub(crate) fn begin(
        &mut self,
        doubts: &BTreeMap<NodeId, Doubt>,
        stable_after: Duration,
    ) -> Vec<NodeId> {
        self.open.retain(|id, _| doubts.contains_key(id));
        let mut begun = vec![];
        for (id, doubt) in doubts.iter().filter(|(_, d)| d.lasted >= stable_after / 2) {
            let look = self.open.entry(*id).or_default();
            // With the verdict the last look begins, whatever else is under way.
            if look.under_way == 0 || (doubt.down && !look.after_verdict) {
                look.under_way += 1;
                look.after_verdict = doubt.down;
                begun.push(*id);
            }
        }
        begun
    }

    /// A look is over.
    pub fn ended(&mut self, node: NodeId, seen: Seen) {
        let Some(look) = self.open.get_mut(&node).filter(|l| l.under_way > 0) else { return };
        look.under_way -= 1;
        look.gone = seen == Seen::Gone;
        look.misses = if seen == Seen::Answered { 0 } else { look.misses + 1 };
    }

    /// Whether this node, too, has found that the other is gone: no look is under way, the latest
    /// one began after the detector's verdict, and it was refused, or the last few found nobody.
    pub fn confirm(&self, node: NodeId) -> bool {
        let look = self.open.get(&node).filter(|look| look.under_way == 0 && look.after_verdict);
        look.is_some_and(|look| look.gone || look.misses >= MISSES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Incarnation;

    const STABLE: Duration = Duration::from_secs(2);
    const NODE: NodeId = NodeId(7);

    fn doubted(ms: u64, down: bool) -> BTreeMap<NodeId, Doubt> {
        let lasted = Duration::from_millis(ms);
        BTreeMap::from([(NODE, Doubt { incarnation: Incarnation(1), down, lasted })])
    }

    /// Looks at each of these times, with that result.
    fn look(looks: &mut Looks, at: &[(u64, bool, Seen)]) {
        for (ms, down, seen) in at {
            assert_eq!(looks.begin(&doubted(*ms, *down), STABLE), [NODE], "at {ms} ms");
            assert_eq!(looks.begin(&doubted(*ms, *down), STABLE), [], "one at a time");
            looks.ended(NODE, *seen);
        }
    }

    #[test]
    fn looks_begin_when_half_of_the_patience_is_over() {
        let mut looks = Looks::default();
        assert_eq!(looks.begin(&doubted(999, false), STABLE), []);
        assert_eq!(looks.begin(&doubted(1000, false), STABLE), [NODE]);
    }

    #[test]
    fn three_looks_in_vain_confirm_and_one_answer_makes_them_void() {
        let mut looks = Looks::default();
        let silent = |ms, down| (ms, down, Seen::Silent);
        look(&mut looks, &[silent(1000, false), silent(1500, false)]);
        assert!(!looks.confirm(NODE));
        look(&mut looks, &[(2000, true, Seen::Answered)]);
        look(&mut looks, &[silent(2500, true), silent(3000, true)]);
        assert!(!looks.confirm(NODE));
        look(&mut looks, &[silent(3500, true)]);
        assert!(looks.confirm(NODE));
    }

    #[test]
    fn the_last_look_comes_after_the_verdict() {
        let mut looks = Looks::default();
        look(&mut looks, &[(1000, false, Seen::Gone)]);
        assert!(!looks.confirm(NODE));
        look(&mut looks, &[(2000, true, Seen::Gone)]);
        assert!(looks.confirm(NODE));
        looks.begin(&doubted(2050, true), STABLE);
        assert!(!looks.confirm(NODE), "another one is under way");
    }

    #[test]
    fn the_verdict_does_not_wait_for_a_look_that_began_before_it() {
        let mut looks = Looks::default();
        look(&mut looks, &[(1000, false, Seen::Silent)]);
        assert_eq!(looks.begin(&doubted(1500, false), STABLE), [NODE]);
        assert_eq!(looks.begin(&doubted(1600, true), STABLE), [NODE]);
        assert_eq!(looks.begin(&doubted(1700, true), STABLE), []);
        looks.ended(NODE, Seen::Silent);
        assert!(!looks.confirm(NODE), "the second one is under way");
        looks.ended(NODE, Seen::Silent);
        assert!(looks.confirm(NODE));
    }

    #[test]
    fn a_doubt_that_ends_takes_its_looks_along() {
        let mut looks = Looks::default();
        look(&mut looks, &[(1000, true, Seen::Silent), (1300, true, Seen::Silent)]);
        looks.begin(&BTreeMap::new(), STABLE);
        look(&mut looks, &[(1000, true, Seen::Silent)]);
        assert!(!looks.confirm(NODE));
        looks.ended(NodeId(8), Seen::Gone);
        assert!(!looks.confirm(NodeId(8)), "nobody looked");
    }
}
