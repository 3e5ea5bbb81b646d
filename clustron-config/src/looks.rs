//! When something that is looked at again and again has changed for good.

/// Remembers what the last look found, and what was acted on.
#[derive(Debug)]
pub(crate) struct Looks<T> {
    seen: Option<T>,
    acted_on: Option<T>,
}

impl<T: Clone + PartialEq> Looks<T> {
    pub(crate) fn new() -> Self {
        Self { seen: None, acted_on: None }
    }

    /// Takes what a look has found. Gives whether to act on it: two looks in a row have found the
    /// same, so whoever writes has finished, and it is not what was acted on last.
    pub(crate) fn settle(&mut self, found: &T) -> bool {
        if self.seen.as_ref() != Some(found) {
            self.seen = Some(found.clone());
            return false;
        }
        let new = self.acted_on.as_ref() != Some(found);
        if new {
            self.acted_on.clone_from(&self.seen);
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_still_being_written_is_not_acted_on_and_the_same_only_once() {
        let mut looks = Looks::new();
        let found = ["a", "a", "a", "ab", "abc", "abc", "abc", "a", "abc", "abc", "a", "a"];
        let acted: Vec<bool> = found.iter().map(|found| looks.settle(found)).collect();
        let on: Vec<(usize, &str)> =
            found.into_iter().enumerate().filter(|(at, _)| acted[*at]).collect();
        assert_eq!(on, [(1, "a"), (5, "abc"), (11, "a")]);
    }
}
