//! Words that hide unfinished work, make tests slow and unsure, or let memory grow without bound.

use super::source::{Line, Source, words};
use super::{Finding, Tree};

/// How many lines above an unbounded channel its proof may stand.
const PROOF_LINES: usize = 5;

const EVERYWHERE: &[(&str, &str)] = &[
    ("#[ignore", "repair the test or delete it"),
    ("todo!(", "write it, or return an error that says what is missing"),
    ("unimplemented!(", "write it, or return an error that says what is missing"),
    ("dbg!(", "delete it, or use tracing"),
];

const IN_TESTS: &[(&str, &str)] =
    &[("sleep(", "wait for a status, a line or a notification instead of for time to pass")];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.sources.iter().flat_map(check_source).collect()
}

fn check_source(source: &Source) -> Vec<Finding> {
    let lines: Vec<Line<'_>> = source.lines().collect();
    let mut findings = Vec::new();
    let mut found = |line: &Line<'_>, message: String| {
        findings.push(Finding::new(&source.path, line.number, message));
    };
    for (index, line) in lines.iter().enumerate() {
        for (word, remedy) in EVERYWHERE.iter().filter(|(word, _)| has(line, word)) {
            found(line, format!("`{word}` is forbidden; {remedy}"));
        }
        if source.is_test(line.number) {
            for (word, remedy) in IN_TESTS.iter().filter(|(word, _)| has(line, word)) {
                found(line, format!("`{word}` is forbidden in tests; {remedy}"));
            }
        }
        // The name in an import opens no channel.
        let is_import = line.code.trim_start().starts_with("use ");
        if has(line, "unbounded_channel") && !is_import {
            let near = &lines[index.saturating_sub(PROOF_LINES)..=index];
            if !near.iter().any(proves_a_bound) {
                let message = format!(
                    "`unbounded_channel` without a proof; use a bounded channel, or say in a \
                     comment at most {PROOF_LINES} lines above what bounds it"
                );
                found(line, message);
            }
        }
    }
    findings
}

fn has(line: &Line<'_>, word: &str) -> bool {
    words(line.code, word).next().is_some()
}

/// A comment that only repeats the word "unbounded" proves nothing.
fn proves_a_bound(line: &Line<'_>) -> bool {
    line.comment().to_lowercase().replace("unbounded", "").contains("bound")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        check(&Tree::of(&[(path, text)])).iter().map(Finding::to_string).collect()
    }

    #[test]
    fn forbidden_words_are_caught_everywhere() {
        for bad in ["#[ignore]", "#[ignore = \"slow\"]", "todo!()", "unimplemented!()", "dbg!(x)"] {
            assert_eq!(found("a/src/lib.rs", bad).len(), 1, "{bad}");
        }
        let findings = found("a/src/lib.rs", "fn a() {\n    todo!()\n}");
        assert!(findings[0].starts_with("a/src/lib.rs:2: `todo!(` is forbidden"), "{findings:?}");
        assert_eq!(found("a/src/lib.rs", "// todo!()\nlet a = \"dbg!(\"; #[ignored]"), [""; 0]);
    }

    #[test]
    fn sleeping_is_caught_in_tests_only() {
        let text = "fn a() { thread::sleep(b); }\n#[cfg(test)]\nmod tests {\n    fn c() { tokio::time::sleep(d); }\n}\n";
        let findings = found("a/src/lib.rs", text);
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        assert!(finding.starts_with("a/src/lib.rs:4: `sleep(` is forbidden in tests"), "{finding}");
        assert_eq!(found("a/tests/restart.rs", "sleep(x);").len(), 1);
        assert_eq!(found("a/tests/restart.rs", "oversleep(x); sleep_until(x);"), [""; 0]);
    }

    #[test]
    fn an_unbounded_channel_needs_a_proof() {
        let open = "let (a, b) = mpsc::unbounded_channel();";
        assert_eq!(found("a/src/lib.rs", open).len(), 1);
        assert_eq!(found("a/src/lib.rs", &format!("// Unbounded, why not.\n{open}")).len(), 1);
        let far = format!("// Bounded by the peers.\n\n\n\n\n\n{open}");
        assert_eq!(found("a/src/lib.rs", &far).len(), 1);
        let near = format!("// Bounded by the number\n// of peers.\n{open}");
        assert_eq!(found("a/src/lib.rs", &near), [""; 0]);
        assert_eq!(found("a/src/lib.rs", "use tokio::sync::mpsc::unbounded_channel;"), [""; 0]);
    }
}
