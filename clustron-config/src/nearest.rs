//! What somebody may have meant.

/// A word longer than this is no misspelling of any key.
const WORD_BYTES_MAX: usize = 64;

/// The candidate that takes the fewest changes to reach, if it is near enough to be meant: a third
/// of its letters may differ. Of several the first.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    if word.len() > WORD_BYTES_MAX {
        return None;
    }
    let by_distance =
        candidates.into_iter().map(|candidate| (distance(word, candidate), candidate));
    by_distance
        .filter(|(distance, candidate)| *distance <= candidate.len() / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many letters must be put in, taken out or replaced (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_the_textbook() {
        for (a, b, changes) in
            [("", "", 0), ("", "abc", 3), ("kitten", "sitting", 3), ("flaw", "lawn", 2)]
        {
            assert_eq!((distance(a, b), distance(b, a)), (changes, changes), "{a} {b}");
        }
    }

    #[test]
    fn the_nearest_is_found_and_nothing_far_away() {
        let words = ["leaderlease", "leadersilence", "listen"];
        assert_eq!(nearest("leaderleese", words), Some("leaderlease"));
        assert_eq!(nearest("lisen", words), Some("listen"));
        assert_eq!(nearest("colour", words), None);
        assert_eq!(nearest(&"listen".repeat(20), words), None);
    }
}
