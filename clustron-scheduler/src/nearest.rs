//! What somebody may have meant.

/// A word longer than this is no misspelling of any name.
const WORD_BYTES_MAX: usize = 64;

/// The candidate that takes the fewest changes to reach, if it is near enough to be meant: a third
/// of its letters may differ. Of several the first. Case counts for nothing.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    if word.len() > WORD_BYTES_MAX {
        return None;
    }
    let word: Vec<u8> = word.to_ascii_lowercase().into_bytes();
    candidates
        .into_iter()
        .map(|candidate| (distance(&word, candidate.as_bytes()), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len() / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many bytes must be put in, taken out or replaced (Levenshtein).
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, byte) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(!byte.eq_ignore_ascii_case(other));
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
    fn what_was_meant_is_near() {
        let words = ["MON", "TUE", "Europe/Berlin", "Europe/Dublin"];
        for (word, meant) in [
            ("moo", Some("MON")),
            ("europe/berlin", Some("Europe/Berlin")),
            ("Europe/Dublim", Some("Europe/Dublin")),
            ("Berlin", None),
            ("", None),
            (&"x".repeat(65), None),
        ] {
            assert_eq!(nearest(word, words), meant, "{word}");
        }
    }
}
