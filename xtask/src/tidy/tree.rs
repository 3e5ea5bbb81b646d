//! The files that the checks look at.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use super::manifest::Manifest;
use super::source::Source;

/// A text file and its path from the root of the workspace, with `/`.
pub(crate) struct TextFile {
    pub(super) path: String,
    pub(super) text: String,
}

/// All text files that belong to the project. Files that are not UTF-8 are not in it.
pub(crate) struct Tree {
    pub(super) texts: Vec<TextFile>,
    pub(super) sources: Vec<Source>,
    pub(super) manifests: Vec<Manifest>,
}

impl Tree {
    /// Reads what git tracks or would track, or everything outside `target` without git.
    pub(crate) fn read(root: &Path) -> io::Result<Tree> {
        let paths = match tracked(root) {
            Some(paths) => paths,
            None => {
                let mut paths = Vec::new();
                walk(root, "", &mut paths)?;
                paths
            }
        };
        let mut texts = Vec::new();
        for path in paths {
            match fs::read(root.join(&path)).map(String::from_utf8) {
                Ok(Ok(text)) => texts.push(TextFile { path, text }),
                // Not text.
                Ok(Err(_)) => {}
                // Deleted, but not yet in the index, or a link to a directory.
                Err(e) if matches!(e.kind(), io::ErrorKind::NotFound) => {}
                Err(e) if matches!(e.kind(), io::ErrorKind::IsADirectory) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Tree::new(texts))
    }

    fn new(mut texts: Vec<TextFile>) -> Tree {
        texts.sort_by(|a, b| a.path.cmp(&b.path));
        let mut sources: Vec<Source> = texts
            .iter()
            .filter(|file| file.path.ends_with(".rs"))
            .map(|file| Source::new(&file.path, &file.text))
            .collect();
        mark_test_modules(&mut sources);
        let manifests = texts
            .iter()
            .filter(|file| file.path == "Cargo.toml" || file.path.ends_with("/Cargo.toml"))
            .map(|file| Manifest::new(&file.path, &file.text))
            .collect();
        Tree { texts, sources, manifests }
    }

    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Tree {
        let file = |(path, text): &(&str, &str)| TextFile {
            path: (*path).to_owned(),
            text: (*text).to_owned(),
        };
        Tree::new(files.iter().map(file).collect())
    }
}

/// A module that is declared in test code is test code, wherever its file lies.
fn mark_test_modules(sources: &mut [Source]) {
    loop {
        let declared: BTreeSet<String> = sources
            .iter()
            .flat_map(|source| {
                source.modules().into_iter().filter(|module| source.is_test(module.line))
            })
            .flat_map(|module| module.candidates)
            .collect();
        let mut changed = false;
        for source in sources.iter_mut() {
            if !source.is_test_file && declared.contains(&source.path) {
                source.is_test_file = true;
                changed = true;
            }
        }
        if !changed {
            return;
        }
    }
}

fn tracked(root: &Path) -> Option<Vec<String>> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .ok()?;
    let listing = String::from_utf8(output.stdout).ok()?;
    let paths: BTreeSet<&str> = listing.split('\0').filter(|path| !path.is_empty()).collect();
    (output.status.success() && !paths.is_empty())
        .then(|| paths.into_iter().map(str::to_owned).collect())
}

fn walk(root: &Path, under: &str, paths: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(under))? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = if under.is_empty() { name.clone() } else { format!("{under}/{name}") };
        let kind = entry.file_type()?;
        if kind.is_dir() && name != ".git" && name != "target" {
            walk(root, &path, paths)?;
        } else if kind.is_file() {
            paths.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_git_the_directory_is_walked() {
        let mut paths = Vec::new();
        walk(&crate::workspace_root(), "", &mut paths).unwrap();
        assert!(paths.iter().any(|path| path == "xtask/src/tidy/tree.rs"), "{paths:?}");
        assert!(!paths.iter().any(|path| path.starts_with("target/")), "{paths:?}");
    }

    #[test]
    fn a_module_declared_for_tests_is_test_code_with_its_children() {
        let tree = Tree::of(&[
            ("a/src/lib.rs", "mod real;\n#[cfg(test)]\nmod oracle;\n"),
            ("a/src/real.rs", ""),
            ("a/src/oracle.rs", "mod parts;"),
            ("a/src/oracle/parts.rs", ""),
        ]);
        let tests: Vec<&str> =
            tree.sources.iter().filter(|s| s.is_test_file).map(|s| s.path.as_str()).collect();
        assert_eq!(tests, ["a/src/oracle.rs", "a/src/oracle/parts.rs"]);
    }
}
