//! The consensus library is an implementation detail of one module, so that it can be replaced.

use super::source::{line_of, words};
use super::{Finding, Tree};

const PACKAGE: &str = "clustron-core";
const MODULE: &str = "clustron-core/src/control";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let outside = tree.sources.iter().filter(|source| {
        let rest = source.path.strip_prefix(MODULE);
        !rest.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
    });
    let named = outside.flat_map(|source| {
        words(&source.code, "openraft").map(|at| {
            let message = format!("openraft is named outside {MODULE}; use what that exports");
            Finding::new(&source.path, line_of(&source.code, at), message)
        })
    });
    let others = tree
        .manifests
        .iter()
        .filter(|manifest| manifest.package.as_deref().is_some_and(|package| package != PACKAGE));
    let depended = others.flat_map(|manifest| {
        manifest.dependencies.iter().filter(|d| d.name == "openraft").map(|dependency| {
            let message = format!("only {PACKAGE} may depend on openraft; use what that exports");
            Finding::new(&manifest.path, dependency.line, message)
        })
    });
    named.chain(depended).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        check(&Tree::of(&[(path, text)])).iter().map(Finding::to_string).collect()
    }

    #[test]
    fn openraft_outside_its_module_is_caught() {
        let findings = found("clustron-core/src/node.rs", "\nuse openraft::Raft;");
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        assert!(finding.starts_with("clustron-core/src/node.rs:2: openraft is named"), "{finding}");
        assert_eq!(found("clustron-core/src/control_api.rs", "x: openraft::Raft").len(), 1);
        let manifest = "[package]\nname = \"clustron-cache\"\n[dependencies]\nopenraft = \"0.9\"";
        assert_eq!(found("clustron-cache/Cargo.toml", manifest).len(), 1);
    }

    #[test]
    fn its_module_may_name_it_and_anyone_may_speak_of_it() {
        assert_eq!(found("clustron-core/src/control/log.rs", "use openraft::Raft;"), [""; 0]);
        assert_eq!(found("clustron-core/src/control.rs", "use openraft::Raft;"), [""; 0]);
        assert_eq!(found("clustron-core/src/node.rs", "// as openraft does"), [""; 0]);
    }
}
