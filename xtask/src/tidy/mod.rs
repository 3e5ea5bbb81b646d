//! Style and architecture as tests: each check is one file and looks at the text of the tree.
//!
//! The checks read text, not syntax trees: they are fast, need no dependency, and their blind
//! spots (macros, paths through re-exports) are left to review.

mod consensus_wall;
mod crate_graph;
mod dead_files;
mod forbidden;
mod foreign_paths;
mod lengths;
mod manifest;

mod pure_wall;
mod source;
mod tree;

use std::fmt;

pub(crate) use tree::Tree;

/// All checks, in the order of their findings.
const CHECKS: &[fn(&Tree) -> Vec<Finding>] = &[
    lengths::check,
    pure_wall::check,
    crate_graph::check,
    dead_files::check,
    forbidden::check,
    consensus_wall::check,
    foreign_paths::check,
];

/// One place that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    path: String,
    /// From 1.
    line: usize,
    /// What is wrong, with the value, and what to do about it.
    message: String,
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Finding {
        Finding { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// Runs every check.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    CHECKS.iter().flat_map(|check| check(tree)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_tidy() {
        let tree = Tree::read(&crate::workspace_root()).unwrap();
        assert!(tree.sources.len() >= 10, "the workspace was not found: {:?}", tree.sources.len());
        let findings: Vec<String> = check(&tree).iter().map(Finding::to_string).collect();
        assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
    }

    #[test]
    fn a_finding_names_file_and_line() {
        let finding = Finding::new("a/src/lib.rs", 7, "too long");
        assert_eq!(finding.to_string(), "a/src/lib.rs:7: too long");
    }
}
