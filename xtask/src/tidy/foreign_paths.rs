//! Paths and hosts that exist only where someone wrote the file. A clean clone builds everywhere.

use std::collections::BTreeSet;

use super::source::Source;
use super::{Finding, Tree};

/// Directories of one machine.
const DIRECTORIES: &[&str] = &["/work/", "/root/", "/home/", TEMPORARY];

/// Allowed in test code, where it is plainly a path that need not exist.
const TEMPORARY: &str = "/tmp/";

/// Package hosts and mirrors: where packages come from is the user's setting, not ours.
const HOSTS: &[&str] = &[
    "index.crates.io",
    "static.crates.io",
    "crates-io-mirror",
    "artifactory",
    "replace-with",
    "registry.npmjs.org",
    "pypi.org",
    "proxy.golang.org",
];

/// The one source that the lock file may name.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &tree.texts {
        // Here the words stand as what is looked for.
        if file.path == file!() {
            continue;
        }
        let source = tree.sources.iter().find(|source| source.path == file.path);
        for (index, line) in file.text.lines().enumerate() {
            let number = index + 1;
            for word in foreign(line, number, source) {
                let message = format!(
                    "`{word}` belongs to one machine or network; use a relative path, a \
                     temporary directory or the default registry"
                );
                findings.push(Finding::new(&file.path, number, message));
            }
            if file.path == "Cargo.lock"
                && line.starts_with("source = ")
                && !line.contains(REGISTRY)
            {
                let message = format!("{line} is not crates.io; take the package from there");
                findings.push(Finding::new(&file.path, number, message));
            }
        }
    }
    findings
}

fn foreign(line: &str, number: usize, source: Option<&Source>) -> BTreeSet<&'static str> {
    let in_test = source.is_some_and(|source| source.is_test(number));
    let directories = DIRECTORIES
        .iter()
        .filter(|directory| !(in_test && **directory == TEMPORARY))
        .filter(|directory| begins_a_path(line, directory));
    directories.chain(HOSTS.iter().filter(|host| line.contains(**host))).copied().collect()
}

/// `a/work/b` is a relative path or an address; `/work/b` is not.
fn begins_a_path(line: &str, directory: &str) -> bool {
    line.match_indices(directory).any(|(at, _)| {
        !line[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '}'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        check(&Tree::of(&[(path, text)])).iter().map(Finding::to_string).collect()
    }

    #[test]
    fn paths_of_one_machine_are_caught_in_every_text_file() {
        for bad in ["see /work/notes", "cd /root/x", "`/home/me/x`", "log=/tmp/x.log"] {
            let findings = found("docs/guide.md", &format!("first\n{bad}"));
            let [finding] = &findings[..] else { panic!("{bad}: {findings:?}") };
            assert!(finding.starts_with("docs/guide.md:2: `/"), "{finding}");
        }
        assert_eq!(found("docs/guide.md", "https://example.org/work/x and a/tmp/b"), [""; 0]);
    }

    #[test]
    fn tests_may_name_a_temporary_path() {
        let text = "const A: &str = \"/tmp/a\";\n#[cfg(test)]\nmod tests {\n    // /tmp/b\n}\n";
        let findings = found("a/src/lib.rs", text);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].starts_with("a/src/lib.rs:1:"), "{findings:?}");
        assert_eq!(found("a/tests/b.rs", "let a = \"/work/x\";").len(), 1);
    }

    #[test]
    fn registries_are_caught() {
        assert_eq!(found(".cargo/config.toml", "replace-with = \"mirror\"").len(), 1);
        assert_eq!(found("Dockerfile", "RUN curl https://static.crates.io/x").len(), 1);
        assert_eq!(found("Cargo.lock", "source = \"git+https://example.org/x\"").len(), 1);
        assert_eq!(found("Cargo.lock", &format!("source = \"{REGISTRY}\"")), [""; 0]);
    }
}
