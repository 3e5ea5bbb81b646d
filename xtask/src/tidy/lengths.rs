//! Files and lines that can be read at one sight.

use super::source::{Line, Source};
use super::{Finding, Tree};

/// The longest source file.
const LINES_MAX: usize = 500;

/// The longest file that holds only tests, which are read one by one.
const TEST_LINES_MAX: usize = 800;

/// As `max_width` in `rustfmt.toml`, which does not break comments, literals and macro calls.
const COLUMNS_MAX: usize = 100;

/// A literal that is at least so long may stand out, for it cannot be broken.
const LONG_LITERAL_BYTES: usize = 40;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.sources.iter().flat_map(|s| long_file(s).into_iter().chain(long_lines(s))).collect()
}

fn long_file(source: &Source) -> Option<Finding> {
    let lines = source.text.lines().count();
    let (max, remedy) = if source.is_test_file {
        (TEST_LINES_MAX, "split the tests by what they are about")
    } else {
        (LINES_MAX, "give each noun its own file, and move long tests to a tests.rs")
    };
    (lines > max).then(|| {
        let message = format!("the file has {lines} lines, at most {max} are allowed; {remedy}");
        Finding::new(&source.path, max + 1, message)
    })
}

fn long_lines(source: &Source) -> Vec<Finding> {
    let columns = |line: &Line<'_>| line.text.chars().count();
    let may_stand_out = |line: &Line<'_>| {
        line.text.contains("https://") || line.longest_literal() >= LONG_LITERAL_BYTES
    };
    source
        .lines()
        .filter(|line| columns(line) > COLUMNS_MAX && !may_stand_out(line))
        .map(|line| {
            let message = format!(
                "the line has {} columns, at most {COLUMNS_MAX} are allowed; break it",
                columns(&line)
            );
            Finding::new(&source.path, line.number, message)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        check(&Tree::of(&[(path, text)])).iter().map(Finding::to_string).collect()
    }

    #[test]
    fn a_long_file_is_caught() {
        assert!(found("a/src/lib.rs", &"\n".repeat(500)).is_empty());
        let [finding] = &found("a/src/lib.rs", &"\n".repeat(501))[..] else { panic!() };
        assert!(finding.starts_with("a/src/lib.rs:501: the file has 501 lines, at most 500"));
    }

    #[test]
    fn tests_may_be_longer() {
        assert!(found("a/src/job/tests.rs", &"\n".repeat(800)).is_empty());
        assert_eq!(found("a/src/job/tests.rs", &"\n".repeat(801)).len(), 1);
    }

    #[test]
    fn a_long_line_is_caught() {
        assert!(found("a/src/lib.rs", &"ü".repeat(100)).is_empty());
        let [finding] = &found("a/src/lib.rs", &format!("\n{}", "x".repeat(101)))[..] else {
            panic!()
        };
        assert!(finding.starts_with("a/src/lib.rs:2: the line has 101 columns"), "{finding}");
        assert_eq!(found("a/src/lib.rs", &format!("// {}", "x".repeat(101))).len(), 1);
    }

    #[test]
    fn addresses_and_long_literals_may_stand_out() {
        assert!(found("a/src/lib.rs", &format!("// https://{}", "x".repeat(101))).is_empty());
        assert!(found("a/src/lib.rs", &format!("let x = \"{}\";", "x".repeat(101))).is_empty());
        assert_eq!(found("a/src/lib.rs", &"\"short\", ".repeat(20)).len(), 1);
    }
}
