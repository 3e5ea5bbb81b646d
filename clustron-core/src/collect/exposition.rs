//! Several nodes' metrics as one text.
//!
//! Like filing the reports of many branches by subject: each family of metrics is described once,
//! and under it stand the samples of all nodes, each with its node's name. The format is
//! [OpenMetrics](https://prometheus.io/docs/specs/om/open_metrics_spec/) text. The texts come from
//! other nodes, so what does not look like a sample is left out rather than passed on.

use std::collections::BTreeMap;

/// What may follow a family's name in the names of its samples.
const SUFFIXES: [&str; 9] =
    ["", "_total", "_created", "_bucket", "_count", "_sum", "_info", "_gcount", "_gsum"];

/// The label that says whose sample it is, and what one of that name is called then.
const LABEL: &str = "node";
const LABEL_BEFORE: &str = "exported_node";

#[derive(Debug, Default)]
struct Family {
    /// The lines that describe it, by their keyword; the first node's word counts.
    described: BTreeMap<&'static str, String>,
    samples: Vec<String>,
}

/// Merges texts, each of which belongs to the node that is named with it. The families stand in the
/// order of their names.
pub(super) fn merge<'a>(texts: impl IntoIterator<Item = (String, &'a str)>) -> String {
    let mut families = BTreeMap::<String, Family>::new();
    for (node, text) in texts {
        take_in(&mut families, &node, text);
    }
    let mut merged = String::new();
    for family in families.values().filter(|family| !family.samples.is_empty()) {
        for line in family.described.values().chain(&family.samples) {
            merged.push_str(line);
            merged.push('\n');
        }
    }
    merged.push_str("# EOF\n");
    merged
}

fn take_in(families: &mut BTreeMap<String, Family>, node: &str, text: &str) {
    let mut current = String::new();
    for line in text.lines() {
        if let Some((keyword, name)) = description(line) {
            name.clone_into(&mut current);
            let family = families.entry(current.clone()).or_default();
            family.described.entry(keyword).or_insert_with(|| line.to_owned());
        } else if let Some(sample) = Sample::parse(line) {
            let belongs = sample.part_of(&current).is_some();
            let family = if belongs { current.clone() } else { sample.name.to_owned() };
            families.entry(family).or_default().samples.push(sample.of(node));
        }
    }
}

/// The keyword and the family's name of a line that describes one.
fn description(line: &str) -> Option<(&'static str, &str)> {
    let mut words = line.strip_prefix("# ")?.splitn(3, ' ');
    let keyword = words.next()?;
    let keyword = ["HELP", "TYPE", "UNIT"].into_iter().find(|known| *known == keyword)?;
    let name = words.next()?;
    (name_end(name) == name.len() && !name.is_empty()).then_some((keyword, name))
}

/// A line such as `requests_total{path="/"} 7`.
pub(crate) struct Sample<'a> {
    pub(crate) name: &'a str,
    /// Their values as they stand between the quotes.
    pub(crate) labels: Vec<(&'a str, &'a str)>,
    /// The number and what may follow it, with the space before.
    pub(crate) value: &'a str,
}

impl<'a> Sample<'a> {
    pub(crate) fn parse(line: &'a str) -> Option<Self> {
        let (name, mut rest) = line.split_at(name_end(line));
        if name.is_empty() {
            return None;
        }
        let mut labels = vec![];
        if let Some(inner) = rest.strip_prefix('{') {
            rest = inner;
            while !rest.starts_with('}') {
                let (key, after) = rest.split_at(name_end(rest));
                let after = after.strip_prefix("=\"").filter(|_| !key.is_empty())?;
                let end = quote_end(after)?;
                labels.push((key, &after[..end]));
                rest = &after[end + 1..];
                rest = rest.strip_prefix(',').unwrap_or(rest);
            }
            rest = &rest[1..];
        }
        let number = rest.strip_prefix(' ')?.split(' ').next()?;
        number.parse::<f64>().ok()?;
        Some(Self { name, labels, value: rest })
    }

    /// Which part of a family it is: what follows the family's name in its own. `None` if it is no
    /// part of it.
    pub(crate) fn part_of(&self, family: &str) -> Option<&'a str> {
        let part = self.name.strip_prefix(family).filter(|_| !family.is_empty());
        part.filter(|part| SUFFIXES.contains(part))
    }

    /// The line with its node's label in front.
    fn of(&self, node: &str) -> String {
        let mut line = format!("{}{{{LABEL}=\"{node}\"", self.name);
        for (key, value) in &self.labels {
            let key = if *key == LABEL { LABEL_BEFORE } else { key };
            line.push_str(&format!(",{key}=\"{value}\""));
        }
        line.push('}');
        line.push_str(self.value);
        line
    }
}

/// Where the name of a metric or label ends.
fn name_end(text: &str) -> usize {
    let in_name = |(at, c): (usize, char)| {
        c.is_ascii_alphabetic() || c == '_' || c == ':' || (at > 0 && c.is_ascii_digit())
    };
    text.char_indices().find(|found| !in_name(*found)).map_or(text.len(), |(at, _)| at)
}

/// Where a quoted text ends: at the first quote that no backslash escapes.
fn quote_end(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.char_indices()
        .find(|(_, c)| {
            let ends = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            ends
        })
        .map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn merged(texts: &[(&str, &str)]) -> String {
        merge(texts.iter().map(|(node, text)| ((*node).to_owned(), *text)))
    }

    #[test]
    fn families_are_described_once_and_every_sample_names_its_node() {
        let a = "# HELP sent Sent.\n# TYPE sent counter\nsent_total 3\n\
                 # TYPE lag histogram\nlag_sum 1.5\nlag_bucket{le=\"+Inf\"} 2\n# EOF\n";
        let b = "# HELP sent Otherwise.\n# TYPE sent counter\nsent_total{to=\"x\"} 4\n# EOF\n";
        assert_eq!(
            merged(&[("a", a), ("b", b)]),
            "# TYPE lag histogram\n\
             lag_sum{node=\"a\"} 1.5\n\
             lag_bucket{node=\"a\",le=\"+Inf\"} 2\n\
             # HELP sent Sent.\n\
             # TYPE sent counter\n\
             sent_total{node=\"a\"} 3\n\
             sent_total{node=\"b\",to=\"x\"} 4\n\
             # EOF\n"
        );
    }

    #[test]
    fn labels_survive_whatever_is_quoted_in_them() {
        let text = "x{node=\"n\",a=\"}, \\\" \\\\\",b=\"ü {\"} NaN 17 # {id=\"7\"} 1\n";
        let wanted = "x{node=\"a\",exported_node=\"n\",a=\"}, \\\" \\\\\",b=\"ü {\"} NaN 17 # \
                      {id=\"7\"} 1\n# EOF\n";
        assert_eq!(merged(&[("a", text)]), wanted);
    }

    #[test]
    fn what_is_no_sample_is_left_out() {
        for bad in [
            "",
            "x",
            "x ",
            "x y",
            "7 7",
            "x{ 1",
            "x{a} 1",
            "x{a=b} 1",
            "x{a=\"b} 1",
            "x{a=\"b\" 1",
            "x{=\"b\"} 1",
            "ü 1",
            "# EOF",
            "# TYPE",
            "# TYPE 7 counter",
            "<html>",
            "x{a=\"b\"}1",
        ] {
            assert_eq!(merged(&[("a", bad)]), "# EOF\n", "{bad:?}");
        }
        assert_eq!(merged(&[("a", "garbage!\nx 1\n")]), "x{node=\"a\"} 1\n# EOF\n");
    }

    proptest! {
        #[test]
        fn nothing_that_a_node_says_breaks_the_text(
            texts in proptest::collection::vec(".{0,60}", 0..20),
        ) {
            let text = texts.join("\n") + "\nx_total{a=\"" + &texts.concat() + "\"} 1\n";
            let merged = merged(&[("a", &text)]);
            for line in merged.lines().filter(|line| !line.starts_with('#')) {
                prop_assert!(line.contains("{node=\"a\""), "{}", line);
            }
            // What came out is taken in again as it is.
            let again = self::merged(&[("b", &merged)]);
            prop_assert_eq!(again.lines().count(), merged.lines().count());
        }
    }
}
