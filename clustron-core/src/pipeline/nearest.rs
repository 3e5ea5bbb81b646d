//! Which of the known names was meant.

/// The known name that differs least from `name`, if it differs little: by Levenshtein's distance,
/// at most a third of its letters.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distances = known.into_iter().map(|known| (distance(name, known), known));
    let (distance, nearest) = distances.min()?;
    (distance <= nearest.chars().count().div_ceil(3)).then_some(nearest)
}

fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name_and_another_word_does_not() {
        let known = ["checksum", "compress", "flow", "fragment"];
        assert_eq!(nearest("chekcsum", known), Some("checksum"));
        assert_eq!(nearest("fragments", known), Some("fragment"));
        assert_eq!(nearest("flwo", known), Some("flow"));
        assert_eq!(nearest("encrypt", known), None);
        assert_eq!(nearest("", []), None);
    }
}
