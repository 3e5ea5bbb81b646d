//! Which pairs of nodes have something, as one bit each.

/// A square of bits, one for every ordered pair. A thousand nodes take 125 kB.
pub(super) struct BitMatrix {
    words_per_row: usize,
    words: Vec<u64>,
    /// How many bits are set, so that an empty matrix answers without looking.
    set: usize,
}

impl BitMatrix {
    pub(super) fn new(size: usize) -> BitMatrix {
        let words_per_row = size.div_ceil(64);
        BitMatrix { words_per_row, words: vec![0; words_per_row * size], set: 0 }
    }

    pub(super) fn set(&mut self, row: usize, column: usize, to: bool) {
        let word = &mut self.words[row * self.words_per_row + column / 64];
        let bit = 1 << (column % 64);
        match (*word & bit != 0, to) {
            (false, true) => {
                *word |= bit;
                self.set += 1;
            }
            (true, false) => {
                *word &= !bit;
                self.set -= 1;
            }
            _ => {}
        }
    }

    pub(super) fn has(&self, row: usize, column: usize) -> bool {
        self.set > 0
            && self.words[row * self.words_per_row + column / 64] & (1 << (column % 64)) != 0
    }

    pub(super) fn clear(&mut self) {
        if self.set > 0 {
            self.words.fill(0);
            self.set = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bit_belongs_to_one_ordered_pair() {
        let mut bits = BitMatrix::new(130);
        bits.set(129, 64, true);
        bits.set(129, 64, true);
        assert!(bits.has(129, 64));
        assert!(!bits.has(64, 129) && !bits.has(129, 65) && !bits.has(128, 64));
        bits.set(129, 64, false);
        assert!(!bits.has(129, 64));
        bits.set(0, 1, true);
        bits.clear();
        assert!(!bits.has(0, 1));
    }
}
