//! Files that are wrong, and exactly what is said of each.
//!
//! `cases.txt` reads as a list of mistakes: after `===` the name of a file or `environment`, then
//! what it holds, after `---` the message. One called `clustron.toml without tls` is for programs
//! that were built so. With `CLUSTRON_WRITE_CASES=1` in its environment the test writes the
//! messages as they are now, to be read and compared before they are committed.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::fmt::Write;
use std::path::Path;

use clustron_config::Loader;

const CASES_MIN: usize = 40;

struct Case {
    /// A file or `environment`, and what the program must have.
    heading: String,
    name: String,
    text: String,
    message: String,
}

impl Case {
    fn all() -> Vec<Self> {
        let blocks = include_str!("cases.txt").split("=== ").skip(1);
        let case = |block: &str| {
            let (heading, rest) = block.split_once('\n').expect("a name on the first line");
            let (text, message) = rest.split_once("---\n").expect("a message after ---");
            let [heading, text, message] = [heading, text, message].map(str::to_owned);
            let name = heading.split(' ').next().unwrap().to_owned();
            Self { heading, name, text, message: message.trim_end().to_owned() }
        };
        blocks.map(case).collect()
    }

    /// Whether it is about programs that were built as this one.
    fn is_ours(&self) -> bool {
        let mut words = self.heading.split(' ').skip(1);
        let Some(wanted) = words.next() else { return true };
        let has = match words.next() {
            Some("dns") => cfg!(feature = "dns"),
            Some("tls") => cfg!(feature = "tls"),
            other => panic!("{other:?} is no feature"),
        };
        match wanted {
            "with" => has,
            "without" => !has,
            _ => panic!("{wanted} is neither with nor without"),
        }
    }

    /// What is said of it now, with the folder left out.
    fn said(&self, folder: &Path) -> String {
        let loader = Loader::new();
        let is_named = self.text.replace("cluster_key", "").contains("cluster");
        let loader = if is_named { loader } else { loader.cluster("shop") };
        let loader = if self.name == "environment" {
            loader.env_from(self.text.lines().filter_map(|line| line.split_once('=')))
        } else {
            let path = folder.join(&self.name);
            std::fs::write(&path, &self.text).unwrap();
            loader.file(path)
        };
        match loader.load() {
            Ok(_) => "nothing is wrong".to_owned(),
            Err(error) => error.to_string().replace(&format!("{}/", folder.display()), ""),
        }
    }
}

#[test]
fn every_mistake_is_told_with_its_place_and_its_remedy() {
    let cases = Case::all();
    let folder = tempfile::tempdir().unwrap();
    // What is said of the others shows where the program is built otherwise.
    let said = |case: &Case| {
        if case.is_ours() { case.said(folder.path()) } else { case.message.clone() }
    };
    let said: Vec<String> = cases.iter().map(said).collect();
    if std::env::var_os("CLUSTRON_WRITE_CASES").is_some() {
        let mut file = String::new();
        for (Case { heading, text, .. }, said) in cases.iter().zip(&said) {
            write!(file, "=== {heading}\n{text}---\n{said}\n\n").unwrap();
        }
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wrong/cases.txt");
        std::fs::write(path, file.trim_end().to_owned() + "\n").unwrap();
        return;
    }
    for (case, said) in cases.iter().zip(&said) {
        assert_eq!(*said, case.message, "{} with\n{}", case.heading, case.text);
    }
}

#[test]
fn the_cases_are_many_and_from_all_formats() {
    let cases = Case::all();
    assert!(cases.len() >= CASES_MIN, "{}", cases.len());
    for kind in [".toml", ".json", ".yaml", ".xml", "appsettings.json", "environment"] {
        assert!(cases.iter().filter(|case| case.name.ends_with(kind)).count() >= 4, "{kind}");
    }
}

#[test]
fn what_cannot_be_read_hides_no_mistake_elsewhere_and_makes_nothing_else_look_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    // The request deadline that this lease wants may stand in the other file.
    let first = "cluster = 'shop'\nvoters_max = 4\n[timing]\nleader_lease = '1500ms'\n";
    let loader = Loader::new()
        .file(file("a.toml", first))
        .file(file("b.yaml", "timing: [\n"))
        .env_from([("CLUSTRON__MEMBERSHIP__OBSERVERS", "9"), ("CLUSTRON__EXPECT", "x")]);
    let said = loader.load().unwrap_err().to_string();
    let said = said.replace(&format!("{}/", folder.path().display()), "");
    let lines: Vec<&str> = said.lines().map(str::trim).collect();
    assert_eq!(
        lines,
        [
            "4 problems with the settings:",
            "b.yaml:1:9: not valid YAML: unclosed bracket '['",
            "CLUSTRON__EXPECT: expect is \"x\": must be a whole number, at least 0",
            "a.toml:2: voters_max is 4: must be 1, 3, 5 or 7",
            "CLUSTRON__MEMBERSHIP__OBSERVERS: membership.observers is 9: allowed is 1 to 8",
        ]
    );
    // Nor are the defaults known where the profile is not.
    let second = "cluster = 'shop'\nprofile = 'wn'\n[timing]\nleader_lease = '2500ms'\n";
    let said = Loader::new().file(file("c.toml", second)).load().unwrap_err();
    let keys: Vec<_> = said.problems().iter().map(|problem| problem.key()).collect();
    assert_eq!(keys, [Some("profile")]);
}

#[test]
fn files_that_cannot_be_read_are_told_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    std::fs::create_dir(file("folder.toml")).unwrap();
    std::fs::write(file("large.toml"), vec![b'#'; (1 << 20) + 1]).unwrap();
    std::fs::write(file("latin.yaml"), b"cluster: shop\nname: \xfc\n").unwrap();
    std::fs::write(file("settings.ini"), "").unwrap();
    let loader = Loader::new()
        .cluster("shop")
        .file(file("absent.toml"))
        .optional_file(file("absent-too.toml"))
        .file(file("folder.toml"))
        .file(file("large.toml"))
        .file(file("latin.yaml"))
        .optional_file(file("settings.ini"))
        .appsettings(folder.path(), Some("../Production"));
    let said = loader.load().unwrap_err().to_string();
    let said = said.replace(&format!("{}/", folder.path().display()), "");
    let lines: Vec<&str> = said.lines().map(str::trim).collect();
    assert_eq!(
        lines,
        [
            "7 problems with the settings:",
            "appsettings.json: the environment is \"../Production\": must be 1 to 64 bytes of a-z, A-Z, 0-9, '-', '_' and '.'",
            "absent.toml: there is no such file: create it, or correct its name",
            "folder.toml: the file cannot be read: it is not a regular file",
            "large.toml: the file has more than 1 MiB, which no settings need",
            "latin.yaml:2: not UTF-8: save the file as UTF-8",
            "settings.ini: its name must end in .toml, .json, .yaml, .yml or .xml, which tells how to read it",
            "appsettings.json: there is no such file: create it, or correct its name",
        ]
    );
}
