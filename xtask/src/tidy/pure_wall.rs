//! Protocol logic is a value that takes input and gives effects. What would let it see the outside
//! world, or behave differently for the same input, stays out of its files.

use super::source::{Source, line_of, words};
use super::{Finding, Tree};

/// Files, and directories with all they hold. With `job.rs` goes `job/`. A path that does not
/// exist is an error, so that a renamed file does not fall out of the wall unseen.
const PURE: &[&str] = &[
    "clustron-config/src/change.rs",
    "clustron-config/src/draft.rs",
    "clustron-config/src/environment.rs",
    "clustron-config/src/field.rs",
    "clustron-config/src/format.rs",
    "clustron-config/src/keys.rs",
    "clustron-config/src/looks.rs",
    "clustron-config/src/nearest.rs",
    "clustron-config/src/quantity.rs",
    "clustron-config/src/rule.rs",
    "clustron-config/src/security.rs",
    "clustron-config/src/sources.rs",
    "clustron-config/src/tree.rs",
    "clustron-config/src/values.rs",
    "clustron-config/src/words.rs",
    "clustron-core/src/bootstrap.rs",
    "clustron-core/src/collect/exposition.rs",
    "clustron-core/src/control/batch.rs",
    "clustron-core/src/control/command.rs",
    "clustron-core/src/control/freshness.rs",
    "clustron-core/src/control/loss.rs",
    "clustron-core/src/control/state.rs",
    "clustron-core/src/cut.rs",
    "clustron-core/src/discovery/answers.rs",
    "clustron-core/src/health/chart.rs",
    "clustron-core/src/health/judgement.rs",
    "clustron-core/src/looks.rs",
    "clustron-core/src/election.rs",
    "clustron-core/src/follow/attachment.rs",
    "clustron-core/src/follow/page.rs",
    "clustron-core/src/membership",
    "clustron-core/src/metrics/snapshot.rs",
    "clustron-core/src/monitor/overview.rs",
    "clustron-core/src/monitor/table.rs",
    "clustron-core/src/opinion.rs",
    "clustron-core/src/pipeline",
    "clustron-core/src/reachability.rs",
    "clustron-core/src/roles.rs",
    "clustron-core/src/view.rs",
    "clustron-core/src/voters.rs",
    "clustron-scheduler/src/cron.rs",
    "clustron-scheduler/src/firing.rs",
    "clustron-scheduler/src/job.rs",
    "clustron-scheduler/src/job_state.rs",
    "clustron-scheduler/src/message.rs",
    "clustron-scheduler/src/nearest.rs",
    "clustron-scheduler/src/planner.rs",
    "clustron-scheduler/src/schedule.rs",
    "clustron-scheduler/src/state.rs",
    "clustron-scheduler/src/workers.rs",
    "clustron-testkit/src/cluster/health.rs",
    "clustron-testkit/src/cluster/predicates.rs",
    "clustron-testkit/src/sim/bits.rs",
    "clustron-testkit/src/sim/builder.rs",
    "clustron-testkit/src/sim/clock.rs",
    "clustron-testkit/src/sim/event.rs",
    "clustron-testkit/src/sim/failure.rs",
    "clustron-testkit/src/sim/host.rs",
    "clustron-testkit/src/sim/link.rs",
    "clustron-testkit/src/sim/nemesis.rs",
    "clustron-testkit/src/sim/network.rs",
    "clustron-testkit/src/sim/node.rs",
    "clustron-testkit/src/sim/outbox.rs",
    "clustron-testkit/src/sim/partition.rs",
    "clustron-testkit/src/sim/predicate.rs",
    "clustron-testkit/src/sim/queue.rs",
    "clustron-testkit/src/sim/report.rs",
    "clustron-testkit/src/sim/scenario.rs",
    "clustron-testkit/src/sim/simulation.rs",
    "clustron-testkit/src/sim/streams.rs",
    "clustron-testkit/src/sim/time.rs",
    "clustron-testkit/src/sim/trace.rs",
    "clustron-wal/src/format.rs",
    "clustron-wal/src/frame.rs",
    "clustron-wal/src/positions.rs",
];

/// What pure code may not name, and what it does instead.
const WALL: &[(&str, &str)] = &[
    ("tokio", "return an effect; the driver does it"),
    ("tokio_util", "return an effect; the driver does it"),
    ("std::net", "return an effect; the driver does it"),
    ("std::fs", "return an effect; the driver does it"),
    ("std::thread", "return an effect; the driver does it"),
    ("std::time::Instant", "take `now` as an argument"),
    ("Instant::now", "take `now` as an argument"),
    ("SystemTime", "take a Timestamp as an argument"),
    ("thread_rng", "take a seed or a random number as an argument"),
    ("rand::rng", "take a seed or a random number as an argument"),
    ("HashMap", "use BTreeMap, whose order is the same in every run"),
    ("HashSet", "use BTreeSet, whose order is the same in every run"),
];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = list_is_true(tree, PURE);
    let pure = tree.sources.iter().filter(|s| PURE.iter().any(|p| covers(p, s)));
    findings.extend(pure.flat_map(breaches));
    findings
}

fn list_is_true(tree: &Tree, pure: &[&str]) -> Vec<Finding> {
    let exists = |path: &&&str| tree.sources.iter().any(|source| covers(path, source));
    let gone = pure.iter().filter(|path| !exists(path)).map(|path| {
        let message = format!("{path} does not exist; put its new name into PURE, or take it out");
        Finding::new(file!(), 1, message)
    });
    gone.collect()
}

fn covers(listed: &str, source: &Source) -> bool {
    let directory = listed.trim_end_matches(".rs");
    let beside = source.path.strip_prefix(directory);
    beside.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

fn breaches(source: &Source) -> Vec<Finding> {
    let imported = imports(&source.code);
    let mut findings: Vec<Finding> = Vec::new();
    for (word, remedy) in WALL {
        let written = words(&source.code, word).map(|at| line_of(&source.code, at));
        let imported = imported.iter().filter(|(path, _)| words(path, word).any(|at| at == 0));
        let mut lines: Vec<usize> = written.chain(imported.map(|(_, line)| *line)).collect();
        lines.sort_unstable();
        lines.dedup();
        findings.extend(lines.into_iter().map(|line| {
            let message = format!("pure code names `{word}`; {remedy}");
            Finding::new(&source.path, line, message)
        }));
    }
    findings
}

/// Every path that `use` brings in, written out, with its line: `use a::{b, c::d}` gives `a::b` and
/// `a::c::d`.
fn imports(code: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for at in words(code, "use") {
        let tree: String = code[at + "use".len()..].split(';').next().unwrap_or("").into();
        let mut paths = Vec::new();
        expand("", &tree.split_whitespace().collect::<Vec<_>>().join(" "), &mut paths);
        found.extend(paths.into_iter().map(|path| (path, line_of(code, at))));
    }
    found
}

fn expand(prefix: &str, tree: &str, paths: &mut Vec<String>) {
    let mut depth = 0usize;
    let mut start = 0;
    for (at, c) in tree.char_indices().chain([(tree.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                let branch = tree[start..at].trim();
                match branch.split_once('{') {
                    Some((head, inner)) => {
                        let inner = inner.rsplit_once('}').map_or(inner, |(inner, _)| inner);
                        expand(&format!("{prefix}{}", head.trim()), inner, paths);
                    }
                    None if branch.is_empty() => {}
                    None => paths.push(format!("{prefix}{branch}")),
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "clustron-scheduler/src/planner.rs";

    fn found(text: &str) -> Vec<String> {
        breaches(&Source::new(PATH, text)).iter().map(Finding::to_string).collect()
    }

    #[test]
    fn every_breach_is_caught() {
        let breaches = [
            "use tokio::sync::mpsc;",
            "let socket = std::net::TcpStream::connect(x);",
            "use std::time::{Duration, Instant};",
            "let now = Instant::now();",
            "let now: SystemTime = x;",
            "let x = rand::thread_rng();",
            "let x = rand::rng();",
            "use rand::{rng, Rng};",
            "use std::{fmt, thread};",
            "use std::{\n    collections::{BTreeMap, HashMap},\n};",
            "use std::{fs as files};",
            "let seen: HashSet<u8> = x;",
        ];
        for breach in breaches {
            assert_eq!(found(breach).len(), 1, "{breach}: {:?}", found(breach));
        }
        assert_eq!(
            found("\nlet now = Instant::now();"),
            [format!("{PATH}:2: pure code names `Instant::now`; take `now` as an argument")]
        );
    }

    #[test]
    fn comments_and_innocent_names_pass() {
        let text = "// HashMap would break replay\nuse rand::rngs::StdRng;\nlet t = \"tokio\";\n\
                    use std::time::Duration;\nuse std::{fmt, collections::BTreeMap};\n\
                    struct InstantOrder;";
        assert_eq!(found(text), [""; 0]);
    }

    #[test]
    fn a_listed_path_covers_its_file_and_its_directory() {
        let covered = |path: &str| covers("a/src/job.rs", &Source::new(path, ""));
        assert!(covered("a/src/job.rs") && covered("a/src/job/tests.rs"));
        assert!(!covered("a/src/jobs.rs") && !covered("a/src/job_state.rs"));
        assert!(covers("a/src/membership", &Source::new("a/src/membership/probe.rs", "")));
    }

    #[test]
    fn a_list_that_does_not_match_the_tree_is_caught() {
        let tree = Tree::of(&[("a/src/new.rs", "")]);
        let findings = list_is_true(&tree, &["a/src/old.rs"]);
        let messages: Vec<&str> = findings.iter().map(|f| f.message.as_str()).collect();
        assert!(messages[0].starts_with("a/src/old.rs does not exist"), "{messages:?}");
        assert!(list_is_true(&tree, &["a/src/new.rs"]).is_empty());
    }
}
