//! The words on the command line.

use std::num::NonZero;
use std::ops::Range;
use std::str::FromStr;
use std::thread;

pub(super) const USAGE: &str =
    "list | --seed N [--scenario NAME] | --seeds A..B [--scenario NAME] [--jobs N] [--twice]";

#[derive(Debug, PartialEq)]
pub(super) struct Arguments {
    pub(super) scenario: Option<String>,
    /// `None` for `list`.
    pub(super) seeds: Option<Seeds>,
}

#[derive(Debug, PartialEq)]
pub(super) enum Seeds {
    One(u64),
    Many { range: Range<u64>, jobs: NonZero<usize>, twice: bool },
}

impl Arguments {
    pub(super) fn parse(words: impl IntoIterator<Item = String>) -> Result<Arguments, String> {
        let (mut scenario, mut one, mut range) = (None, None, None);
        let (mut jobs, mut twice, mut list) = (None, false, false);
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            match word.as_str() {
                "list" => list = true,
                "--twice" => twice = true,
                "--scenario" => scenario = Some(value()?),
                "--seed" => one = Some(number("--seed", &value()?)?),
                "--seeds" => range = Some(seeds(&value()?)?),
                "--jobs" => jobs = Some(number("--jobs", &value()?)?),
                _ => return Err(format!("{word:?} is not understood")),
            }
        }
        let many = |range| {
            let all = thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
            Seeds::Many { range, jobs: jobs.unwrap_or(all), twice }
        };
        let seeds = match (list, one, range) {
            (true, None, None) => None,
            (false, Some(_), None) if jobs.is_some() || twice => {
                return Err("--jobs and --twice go with --seeds".to_owned());
            }
            (false, Some(seed), None) => Some(Seeds::One(seed)),
            (false, None, Some(range)) => Some(many(range)),
            _ => return Err("give one of list, --seed and --seeds".to_owned()),
        };
        Ok(Arguments { scenario, seeds })
    }
}

fn number<T: FromStr>(name: &str, word: &str) -> Result<T, String> {
    word.parse().map_err(|_| format!("{name} is {word:?}; give a number"))
}

fn seeds(word: &str) -> Result<Range<u64>, String> {
    let wrong =
        || format!("--seeds is {word:?}; give a range such as 0..1000, its end is excluded");
    let (start, end) = word.split_once("..").ok_or_else(wrong)?;
    let range = start.parse().map_err(|_| wrong())?..end.parse().map_err(|_| wrong())?;
    if range.is_empty() { Err(wrong()) } else { Ok(range) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str) -> Result<Arguments, String> {
        Arguments::parse(words.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn one_seed_many_seeds_and_the_list_are_understood() {
        let arguments = parse("--seed 7 --scenario courier").unwrap();
        let scenario = Some("courier".to_owned());
        assert_eq!(arguments, Arguments { scenario, seeds: Some(Seeds::One(7)) });
        let jobs = NonZero::new(3).unwrap();
        let many = Seeds::Many { range: 5..9, jobs, twice: true };
        let arguments = parse("--twice --seeds 5..9 --jobs 3").unwrap();
        assert_eq!(arguments, Arguments { scenario: None, seeds: Some(many) });
        assert_eq!(parse("list").unwrap(), Arguments { scenario: None, seeds: None });
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (words, named) in [
            ("--seed x", "--seed is \"x\""),
            ("--seeds 5..5", "--seeds is \"5..5\""),
            ("--seeds 5", "--seeds is \"5\""),
            ("--seeds 0..9 --jobs 0", "--jobs is \"0\""),
            ("--seed", "--seed needs a value"),
            ("--sed 5", "\"--sed\" is not understood"),
            ("", "give one of"),
            ("list --seed 1", "give one of"),
            ("--seed 1 --twice", "go with --seeds"),
        ] {
            let error = parse(words).unwrap_err();
            assert!(error.contains(named), "{words}: {error}");
        }
    }
}
