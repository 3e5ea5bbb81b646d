//! What the checks need to know of a `Cargo.toml`. Not a TOML parser: it reads the plain style in
//! which this workspace writes its manifests, one key a line.

/// A `Cargo.toml`.
pub(crate) struct Manifest {
    pub(super) path: String,
    /// The package's name, unless there is only a workspace in the file.
    pub(super) package: Option<String>,
    pub(super) dependencies: Vec<Dependency>,
    /// The `path` of each target, from the root of the workspace.
    pub(super) targets: Vec<String>,
}

/// A line that makes the package depend on another.
pub(super) struct Dependency {
    pub(super) name: String,
    /// Only for tests, examples and benches.
    pub(super) dev: bool,
    /// From 1.
    pub(super) line: usize,
}

impl Manifest {
    pub(super) fn new(path: &str, text: &str) -> Manifest {
        let mut manifest = Manifest {
            path: path.to_owned(),
            package: None,
            dependencies: Vec::new(),
            targets: Vec::new(),
        };
        let mut section = "";
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if let Some(header) = line.strip_prefix('[') {
                section = header.trim_start_matches('[').trim_end_matches([']', ' ']);
                // `[dependencies.name]`
                if let Some((table, name)) = section.rsplit_once('.') {
                    manifest.depend(table, name, index + 1);
                }
            } else if let Some((key, value)) = line.split_once('=') {
                let (key, value) = (key.trim(), value.trim().trim_matches('"'));
                match (section, key) {
                    _ if key.starts_with('#') => {}
                    ("package", "name") => manifest.package = Some(value.to_owned()),
                    ("lib" | "bin" | "test" | "bench" | "example", "path") => {
                        manifest.targets.push(format!("{}{value}", manifest.prefix()));
                    }
                    _ => {
                        // `name.workspace = true`, `name = "1"`, `"name" = "1"`
                        let name = key.split('.').next().unwrap_or(key).trim_matches('"');
                        manifest.depend(section, name, index + 1);
                    }
                }
            }
        }
        manifest
    }

    /// The directory of the package: empty or with a `/` at its end.
    pub(super) fn prefix(&self) -> &str {
        self.path.strip_suffix("Cargo.toml").unwrap_or(&self.path)
    }

    fn depend(&mut self, section: &str, name: &str, line: usize) {
        // What the workspace offers is not yet a dependency.
        if section == "workspace.dependencies" {
            return;
        }
        // `target.'cfg(unix)'.dependencies` too.
        let dev = match section.rsplit('.').next() {
            Some("dependencies" | "build-dependencies") => false,
            Some("dev-dependencies") => true,
            _ => return,
        };
        self.dependencies.push(Dependency { name: name.to_owned(), dev, line });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_found_in_every_style() {
        let text = r#"
[package]
name = "a"
[workspace.dependencies]
offered = "1"
[dependencies]
one = "1"
two.workspace = true
# three = "1"
four = { version = "1", features = ["x"] }
[dependencies.five]
version = "1"
[target.'cfg(unix)'.dependencies]
six = "1"
[dev-dependencies]
seven = "1"
[[bin]]
name = "tool"
path = "src/tool/main.rs"
"#;
        let manifest = Manifest::new("a/Cargo.toml", text);
        assert_eq!(manifest.package.as_deref(), Some("a"));
        assert_eq!(manifest.targets, ["a/src/tool/main.rs"]);
        let all: Vec<(&str, bool, usize)> =
            manifest.dependencies.iter().map(|d| (d.name.as_str(), d.dev, d.line)).collect();
        let expected = [
            ("one", false, 7),
            ("two", false, 8),
            ("four", false, 10),
            ("five", false, 11),
            ("six", false, 14),
            ("seven", true, 16),
        ];
        assert_eq!(all, expected);
    }
}
