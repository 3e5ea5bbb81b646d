//! Source files that no `mod` reaches: nobody compiles them, so nobody notices that they rot.

use std::collections::{BTreeMap, BTreeSet};

use super::manifest::Manifest;
use super::source::Source;
use super::{Finding, Tree};

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let by_path: BTreeMap<&str, &Source> =
        tree.sources.iter().map(|source| (source.path.as_str(), source)).collect();
    let packages: Vec<&Manifest> =
        tree.manifests.iter().filter(|manifest| manifest.package.is_some()).collect();

    let is_root = |path: &str| packages.iter().any(|manifest| is_target(manifest, path));
    let mut next: Vec<&Source> =
        tree.sources.iter().filter(|source| is_root(&source.path)).collect();
    let mut reached: BTreeSet<&str> = BTreeSet::new();
    while let Some(source) = next.pop() {
        if reached.insert(&source.path) {
            let candidates = source.modules().into_iter().flat_map(|module| module.candidates);
            next.extend(candidates.filter_map(|path| by_path.get(path.as_str()).copied()));
        }
    }

    let in_package = |path: &str| packages.iter().any(|m| path.starts_with(m.prefix()));
    by_path
        .keys()
        .filter(|path| in_package(path) && !reached.contains(*path))
        .map(|path| {
            let message = "no `mod` declaration reaches this file; declare it or delete it";
            Finding::new(path, 1, message)
        })
        .collect()
}

/// Whether cargo takes a file as the root of a crate.
fn is_target(manifest: &Manifest, path: &str) -> bool {
    let Some(inside) = path.strip_prefix(manifest.prefix()) else { return false };
    let found_by_name = matches!(inside, "src/lib.rs" | "src/main.rs" | "build.rs")
        || ["src/bin/", "tests/", "benches/", "examples/"].iter().any(|directory| {
            let below = inside.strip_prefix(directory);
            below.is_some_and(|rest| !rest.contains('/') || rest.ends_with("/main.rs"))
        });
    found_by_name || manifest.targets.iter().any(|target| target == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let manifest = "[package]\nname = \"a\"\n[[bin]]\npath = \"src/tool/start.rs\"\n";
        let files = [&[("a/Cargo.toml", manifest)], files].concat();
        check(&Tree::of(&files)).into_iter().map(|finding| finding.path).collect()
    }

    #[test]
    fn files_that_are_declared_pass() {
        let files = [
            ("a/src/lib.rs", "mod job;\npub mod wire;"),
            ("a/src/job.rs", "#[cfg(test)]\nmod tests;"),
            ("a/src/job/tests.rs", ""),
            ("a/src/wire/mod.rs", "mod frame;"),
            ("a/src/wire/frame.rs", ""),
            ("a/src/tool/start.rs", ""),
            ("a/src/bin/other.rs", ""),
            ("a/tests/restart.rs", "mod common;"),
            ("a/tests/common/mod.rs", ""),
        ];
        assert_eq!(found(&files), [""; 0]);
    }

    #[test]
    fn a_file_that_nothing_declares_is_caught_and_what_it_declares_too() {
        let files = [
            ("a/src/lib.rs", "// mod old;\nconst X: &str = \"mod old;\";"),
            ("a/src/old.rs", "mod part;"),
            ("a/src/old/part.rs", ""),
        ];
        assert_eq!(found(&files), ["a/src/old.rs", "a/src/old/part.rs"]);
    }
}
