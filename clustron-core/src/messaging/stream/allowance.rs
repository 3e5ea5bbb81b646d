//! What may still be sent, in items and bytes. Both ends count it, each for itself: the one that
//! sends keeps to it, and the one that receives sees whether it did.

/// More items at once than any stream may have under way, whatever its reader says.
pub(super) const ITEMS_MAX: u32 = 4096;

/// More bytes at once than any stream may have under way.
pub(super) const BYTES_MAX: u32 = 64 << 20;

/// See the module's documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Allowance {
    items: u32,
    /// Below zero after an item that was larger than what was left.
    bytes: i64,
}

/// Something was sent that was not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an item of a stream came for which there was no credit")]
pub(in super::super) struct Overrun;

impl Allowance {
    pub(super) fn new(items: u32, bytes: u32) -> Self {
        let mut allowance = Self { items: 0, bytes: 0 };
        allowance.grant(items, bytes);
        allowance
    }

    /// Whether the next item may be sent. While anything is left of the bytes it may be of any
    /// size, or a large one could never be sent.
    pub(super) fn is_open(&self) -> bool {
        self.items > 0 && self.bytes > 0
    }

    /// An item was sent.
    pub(super) fn spend(&mut self, bytes: usize) -> Result<(), Overrun> {
        if !self.is_open() {
            return Err(Overrun);
        }
        self.items -= 1;
        self.bytes = self.bytes.saturating_sub_unsigned(bytes as u64);
        Ok(())
    }

    /// There is room for so much more.
    pub(super) fn grant(&mut self, items: u32, bytes: u32) {
        self.items = self.items.saturating_add(items).min(ITEMS_MAX);
        self.bytes = self.bytes.saturating_add(bytes.into()).min(BYTES_MAX.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_large_item_may_go_while_anything_is_left_and_is_paid_back_first() {
        let mut allowance = Allowance::new(10, 100);
        assert_eq!(allowance.spend(99), Ok(()));
        assert_eq!(allowance.spend(1000), Ok(()));
        assert_eq!(allowance.spend(0), Err(Overrun));
        allowance.grant(0, 999);
        assert!(!allowance.is_open());
        allowance.grant(0, 1);
        assert!(allowance.is_open());
    }

    proptest! {
        #[test]
        fn no_grants_raise_it_beyond_the_limits(
            steps in prop::collection::vec((any::<bool>(), any::<u32>(), any::<u32>()), 0..100)
        ) {
            let mut allowance = Allowance::new(1, 1);
            for (grants, items, bytes) in steps {
                match grants {
                    true => allowance.grant(items, bytes),
                    false => drop(allowance.spend(bytes as usize)),
                }
                prop_assert!(allowance.items <= ITEMS_MAX);
                prop_assert!(allowance.bytes <= BYTES_MAX.into());
            }
        }
    }
}
