//! The few words that the smaller commands take: `--name N`.

use std::collections::BTreeMap;

/// Numbers by their names, or what is wrong with the words.
pub(crate) fn numbers(
    words: Vec<String>,
    known: &[(&'static str, u64)],
) -> Result<BTreeMap<&'static str, u64>, String> {
    let mut numbers: BTreeMap<&'static str, u64> = known.iter().copied().collect();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let Some((name, _)) = known.iter().find(|(name, _)| *name == word) else {
            let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            return Err(format!("{word:?} is not understood; give {names:?}"));
        };
        let value = words.next().unwrap_or_default();
        let number = value.parse().ok().filter(|number| *number > 0);
        let number = number.ok_or_else(|| format!("{name} is {value:?}; give a number above 0"))?;
        numbers.insert(name, number);
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_defaults_and_wrong_words_are_named() {
        let of = |words: &[&str]| {
            numbers(words.iter().map(|word| (*word).to_owned()).collect(), &[("--seeds", 7)])
        };
        assert_eq!(of(&[]).unwrap()["--seeds"], 7);
        assert_eq!(of(&["--seeds", "3"]).unwrap()["--seeds"], 3);
        assert!(of(&["--sedes", "3"]).unwrap_err().contains("--sedes"));
        assert!(of(&["--seeds", "x"]).unwrap_err().contains("\"x\""));
        assert!(of(&["--seeds"]).unwrap_err().contains("--seeds is \"\""));
    }
}
