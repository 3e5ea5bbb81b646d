//! The numbers that one cron field names, as a row of lamps: lit or not, and quick to look along.

/// A set of numbers below 192.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Numbers {
    words: [u64; 3],
}

impl Numbers {
    /// All numbers from `first` to `last`.
    pub(crate) fn all(first: u32, last: u32) -> Self {
        (first..=last).collect()
    }

    pub(crate) fn insert(&mut self, number: u32) {
        if let Some(word) = self.words.get_mut(number as usize / 64) {
            *word |= 1 << (number % 64);
        }
    }

    pub(crate) fn contains(&self, number: u32) -> bool {
        self.words.get(number as usize / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    pub(crate) fn len(&self) -> u32 {
        self.words.iter().map(|word| word.count_ones()).sum()
    }

    /// How many numbers lie below `number`.
    pub(crate) fn rank(&self, number: u32) -> u32 {
        let below = |(at, word): (u32, &u64)| match number.saturating_sub(at * 64) {
            0 => 0,
            n if n >= 64 => word.count_ones(),
            n => (word & ((1 << n) - 1)).count_ones(),
        };
        (0..).zip(&self.words).map(below).sum()
    }

    /// The smallest number that is not below `number`.
    pub(crate) fn first_from(&self, number: u32) -> Option<u32> {
        let skipped = number / 64;
        (0..).zip(&self.words).skip(skipped as usize).find_map(|(at, word)| {
            let rest = if at == skipped { word & (u64::MAX << (number % 64)) } else { *word };
            (rest != 0).then(|| at * 64 + rest.trailing_zeros())
        })
    }

    /// The number that has `rank` numbers before it.
    pub(crate) fn nth(&self, rank: u32) -> Option<u32> {
        let mut number = self.first_from(0)?;
        for _ in 0..rank {
            number = self.first_from(number + 1)?;
        }
        Some(number)
    }
}

impl FromIterator<u32> for Numbers {
    fn from_iter<I: IntoIterator<Item = u32>>(numbers: I) -> Self {
        let mut set = Self::default();
        numbers.into_iter().for_each(|number| set.insert(number));
        set
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set(
            numbers in prop::collection::btree_set(0u32..192, 0..40),
            number in 0u32..250,
        ) {
            let set: Numbers = numbers.iter().copied().collect();
            prop_assert_eq!(set.len() as usize, numbers.len());
            prop_assert_eq!(set.contains(number), numbers.contains(&number));
            prop_assert_eq!(set.rank(number) as usize, numbers.range(..number).count());
            prop_assert_eq!(set.first_from(number), numbers.range(number..).next().copied());
            prop_assert_eq!(set.nth(number), numbers.iter().nth(number as usize).copied());
            let rebuilt: BTreeSet<u32> = (0..192).filter(|n| set.contains(*n)).collect();
            prop_assert_eq!(rebuilt, numbers);
        }
    }
}
