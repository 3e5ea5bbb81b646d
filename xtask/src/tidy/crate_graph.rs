//! Which crate of the workspace may know which. Arrows go down only; modules never know each other.

use std::collections::BTreeSet;

use super::{Finding, Tree};

struct Rule {
    package: &'static str,
    /// What it may depend on.
    may_use: &'static [&'static str],
    /// What its tests may use besides.
    tests_may_use: &'static [&'static str],
}

const RULES: &[Rule] = &[
    Rule { package: "clustron-wal", may_use: &[], tests_may_use: &[] },
    Rule { package: "clustron-wal-fuzz", may_use: &["clustron-wal"], tests_may_use: &[] },
    Rule {
        package: "clustron-core",
        may_use: &["clustron-wal"],
        tests_may_use: &["clustron-testkit"],
    },
    Rule {
        package: "clustron-testkit",
        may_use: &["clustron-core", "clustron-wal"],
        tests_may_use: &[],
    },
    Rule {
        package: "clustron-scheduler",
        may_use: &["clustron-core"],
        tests_may_use: &["clustron-testkit"],
    },
    Rule { package: "clustron-config", may_use: &["clustron-core"], tests_may_use: &[] },
    Rule {
        package: "clustron-fuzz",
        may_use: &["clustron-config", "clustron-core", "clustron-scheduler"],
        tests_may_use: &[],
    },
    Rule {
        package: "clustron-samples",
        may_use: &[
            "clustron-config",
            "clustron-core",
            "clustron-scheduler",
            "clustron-testkit",
            "clustron-wal",
        ],
        tests_may_use: &[],
    },
    Rule {
        package: "clustron-benches",
        may_use: &["clustron-core", "clustron-scheduler", "clustron-testkit", "clustron-wal"],
        tests_may_use: &[],
    },
    Rule {
        package: "clustron-sim",
        may_use: &["clustron-core", "clustron-testkit", "clustron-wal"],
        tests_may_use: &[],
    },
    Rule { package: "xtask", may_use: &[], tests_may_use: &[] },
];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let internal: BTreeSet<&str> =
        tree.manifests.iter().filter_map(|manifest| manifest.package.as_deref()).collect();
    let mut findings = Vec::new();
    for manifest in &tree.manifests {
        let Some(package) = manifest.package.as_deref() else { continue };
        let Some(rule) = RULES.iter().find(|rule| rule.package == package) else {
            let message = format!("no rule says what {package} may use; add one to {}", file!());
            findings.push(Finding::new(&manifest.path, 1, message));
            continue;
        };
        for dependency in &manifest.dependencies {
            let name = dependency.name.as_str();
            let allowed = rule.may_use.contains(&name)
                || (dependency.dev && rule.tests_may_use.contains(&name));
            if internal.contains(name) && !allowed {
                let message = format!(
                    "{package} may not depend on {name}, only on [{}] and in tests on [{}]; \
                     move what both need further down",
                    rule.may_use.join(", "),
                    rule.tests_may_use.join(", ")
                );
                findings.push(Finding::new(&manifest.path, dependency.line, message));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(core: &str, scheduler: &str) -> Vec<String> {
        let manifest = |name: &str, rest: &str| format!("[package]\nname = \"{name}\"\n{rest}");
        let core = manifest("clustron-core", core);
        let scheduler = manifest("clustron-scheduler", scheduler);
        let testkit = manifest("clustron-testkit", "");
        let tree = Tree::of(&[
            ("clustron-core/Cargo.toml", &core),
            ("clustron-scheduler/Cargo.toml", &scheduler),
            ("clustron-testkit/Cargo.toml", &testkit),
        ]);
        check(&tree).iter().map(Finding::to_string).collect()
    }

    #[test]
    fn arrows_that_go_down_pass() {
        let scheduler = "[dependencies]\nclustron-core.workspace = true\nserde = \"1\"\n\
                         [dev-dependencies]\nclustron-testkit.workspace = true\n";
        assert_eq!(found("", scheduler), [""; 0]);
    }

    #[test]
    fn an_arrow_that_goes_up_is_caught() {
        let findings = found("[dependencies]\nclustron-scheduler.workspace = true\n", "");
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        let start =
            "clustron-core/Cargo.toml:4: clustron-core may not depend on clustron-scheduler";
        assert!(finding.starts_with(start), "{finding}");
    }

    #[test]
    fn the_testkit_outside_tests_is_caught() {
        let scheduler = "[dependencies]\nclustron-testkit = { path = \"../clustron-testkit\" }\n";
        assert_eq!(found("", scheduler).len(), 1);
    }

    #[test]
    fn a_crate_without_a_rule_is_caught() {
        let tree = Tree::of(&[("new/Cargo.toml", "[package]\nname = \"clustron-new\"\n")]);
        let findings = check(&tree);
        assert!(findings[0].message.starts_with("no rule says what clustron-new may use"));
    }
}
