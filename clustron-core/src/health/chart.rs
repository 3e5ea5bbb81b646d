//! Remembers since when each thing has been wrong, like the chart at the foot of a bed.

use super::judgement::Finding;
use super::{Health, Question, Reason};
use crate::time::Timestamp;

/// The most characters of a text in a reason; of the rest nobody reads more.
const TEXT_CHARS_MAX: usize = 240;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Chart {
    health: Health,
}

impl Chart {
    /// Takes in what speaks against the node at this moment, and gives that with how long it has.
    pub(super) fn take(&mut self, now: Timestamp, found: Vec<Finding>) -> Health {
        self.take_at(|| now, found)
    }

    /// The same, with a clock that is read only where something is new.
    pub(super) fn take_at(&mut self, now: impl Fn() -> Timestamp, found: Vec<Finding>) -> Health {
        let mut reasons: Vec<Reason> = found
            .into_iter()
            .map(|it| Reason {
                since: self.since(it.question, &it.name).unwrap_or_else(&now),
                question: it.question,
                name: cut(it.name),
                what: cut(it.what),
                remedy: cut(it.remedy),
            })
            .collect();
        reasons.sort_by_key(|reason| reason.question);
        self.health = Health { reasons };
        self.health.clone()
    }

    fn since(&self, question: Question, name: &str) -> Option<Timestamp> {
        let mut known = self.health.reasons.iter();
        let known = known.find(|known| known.question == question && known.name == name);
        known.map(|known| known.since)
    }
}

fn cut(text: String) -> String {
    match text.chars().count() > TEXT_CHARS_MAX {
        true => text.chars().take(TEXT_CHARS_MAX - 1).chain(['…']).collect(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(name: &str, what: &str) -> Finding {
        let (name, what, remedy) = (name.to_owned(), what.to_owned(), "mend it".to_owned());
        Finding { question: Question::Ready, name, what, remedy }
    }

    #[test]
    fn a_reason_keeps_its_beginning_until_it_is_gone() {
        let at = |s: i64| Timestamp::from_unix_ms(1000 * s);
        let mut chart = Chart::default();
        let mut since = |now, found: &[&str]| {
            let found = found.iter().map(|name| finding(name, "wrong")).collect();
            let health = chart.take(at(now), found);
            health.reasons.iter().map(|reason| reason.since).collect::<Vec<_>>()
        };
        assert_eq!(since(1, &["a"]), [at(1)]);
        assert_eq!(since(2, &["a", "b"]), [at(1), at(2)]);
        assert_eq!(since(3, &["b"]), [at(2)]);
        assert_eq!(since(4, &["a", "b"]), [at(4), at(2)], "it was gone in between");
        assert_eq!(since(5, &[]), []);
    }

    #[test]
    fn texts_are_cut() {
        let now = Timestamp::from_unix_ms(0);
        let health = Chart::default().take(now, vec![finding("a", &"é".repeat(10_000))]);
        let what = &health.reasons[0].what;
        assert!(what.chars().count() == TEXT_CHARS_MAX && what.ends_with('…'), "{what}");
    }
}
