//! One Rust file, with its code told apart from comments and literals.

mod lexer;

use lexer::{Kind, classify};

/// A Rust file.
pub(crate) struct Source {
    pub(super) path: String,
    pub(super) text: String,
    /// Every byte of `text`.
    kinds: Vec<Kind>,
    /// `text` with blanks in the place of comments and literals; lines and columns stay.
    pub(super) code: String,
    /// Whether the whole file is test code.
    pub(super) is_test_file: bool,
    /// For every line whether it belongs to an item under `#[cfg(test)]`.
    test_lines: Vec<bool>,
}

/// A `mod name;` in a file.
pub(super) struct Module {
    /// From 1.
    pub(super) line: usize,
    /// The two places where its file may be.
    pub(super) candidates: [String; 2],
}

/// A line of a file.
pub(super) struct Line<'a> {
    /// From 1.
    pub(super) number: usize,
    pub(super) text: &'a str,
    /// The same columns, without comments and literals.
    pub(super) code: &'a str,
    /// The kind of each byte of `text`.
    kinds: &'a [Kind],
}

impl Source {
    pub(super) fn new(path: &str, text: &str) -> Source {
        let kinds = classify(text);
        let code: String = blank(text, &kinds);
        let name = path.rsplit('/').next().unwrap_or(path);
        let is_test_file = name == "tests.rs" || path.split('/').any(|part| part == "tests");
        let test_lines = test_lines(&code);
        Source {
            path: path.to_owned(),
            text: text.to_owned(),
            kinds,
            code,
            is_test_file,
            test_lines,
        }
    }

    /// Whether line `number`, from 1, is test code.
    pub(super) fn is_test(&self, number: usize) -> bool {
        self.is_test_file || self.test_lines.get(number - 1).copied().unwrap_or(false)
    }

    pub(super) fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        let mut start = 0;
        self.text.split_inclusive('\n').enumerate().map(move |(index, raw)| {
            let text = raw.trim_end_matches(['\r', '\n']);
            let range = start..start + text.len();
            start += raw.len();
            let (code, kinds) = (&self.code[range.clone()], &self.kinds[range]);
            Line { number: index + 1, text, code, kinds }
        })
    }

    /// The out-of-line modules that the file declares. Those inside inline modules and under
    /// `#[path]` are looked for where they would be without.
    pub(super) fn modules(&self) -> Vec<Module> {
        let base = module_directory(&self.path);
        words(&self.code, "mod")
            .filter_map(|at| {
                let rest = self.code[at + "mod".len()..].trim_start();
                let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                let (name, rest) = rest.split_at(end);
                rest.trim_start().starts_with(';').then(|| Module {
                    line: line_of(&self.code, at),
                    candidates: [format!("{base}/{name}.rs"), format!("{base}/{name}/mod.rs")],
                })
            })
            .collect()
    }
}

impl Line<'_> {
    /// The text of the line's comments, without the rest.
    pub(super) fn comment(&self) -> String {
        let bytes = self.text.bytes().zip(self.kinds);
        let comment = bytes.filter(|(_, kind)| **kind == Kind::Comment).map(|(byte, _)| byte);
        String::from_utf8_lossy(&comment.collect::<Vec<_>>()).into_owned()
    }

    /// How many bytes the longest literal on the line has.
    pub(super) fn longest_literal(&self) -> usize {
        let runs = self.kinds.chunk_by(|a, b| a == b);
        runs.filter(|run| run[0] == Kind::Literal).map(<[Kind]>::len).max().unwrap_or(0)
    }
}

/// Where `word` stands in `code` with no letter, digit or underscore before or after it.
pub(super) fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> {
    code.match_indices(word).map(|(at, _)| at).filter(move |at| {
        let (before, after) = (&code[..*at], &code[at + word.len()..]);
        let open_start = word.starts_with(|c| !is_word(c)) || !before.ends_with(is_word);
        let open_end = word.ends_with(|c| !is_word(c)) || !after.starts_with(is_word);
        open_start && open_end
    })
}

/// The line, from 1, of a byte.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn blank(text: &str, kinds: &[Kind]) -> String {
    let mut code = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        if kinds[at] == Kind::Code || c == '\n' {
            code.push(c);
        } else {
            // As many bytes as the character has, so that positions stay the same.
            code.extend(std::iter::repeat_n(' ', c.len_utf8()));
        }
    }
    code
}

/// The directory in which the modules of a file lie.
fn module_directory(path: &str) -> String {
    let (directory, name) = path.rsplit_once('/').unwrap_or((".", path));
    let stem = name.trim_end_matches(".rs");
    // `tests/` beside `src/` holds targets of their own, `src/…/tests/` holds modules.
    let target = ["tests", "benches", "examples"]
        .iter()
        .any(|place| directory.ends_with(&format!("/{place}")) && !directory.contains("/src/"))
        || directory.ends_with("/src/bin");
    if target || matches!(stem, "lib" | "main" | "mod" | "build") {
        directory.to_owned()
    } else {
        format!("{directory}/{stem}")
    }
}

fn test_lines(code: &str) -> Vec<bool> {
    let mut lines = vec![false; code.lines().count()];
    for attribute in ["#[cfg(test)]", "#[cfg(all(test"] {
        for (start, _) in code.match_indices(attribute) {
            let end = start + item_end(&code[start..]);
            let (first, last) = (line_of(code, start), line_of(code, end));
            lines.iter_mut().take(last).skip(first - 1).for_each(|line| *line = true);
        }
    }
    lines
}

/// Where the item ends that begins with an attribute: at its closing brace, or at a semicolon
/// outside braces.
fn item_end(code: &str) -> usize {
    let mut depth = 0usize;
    for (at, c) in code.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at;
                }
            }
            ';' if depth == 0 => return at,
            _ => {}
        }
    }
    code.len()
}

#[cfg(test)]
mod tests;
