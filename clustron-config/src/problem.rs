//! What is wrong, where, and what would be right.

use std::fmt;

use crate::origin::Origin;

/// After so many problems the rest is only counted: the file is most likely something else.
const PROBLEMS_MAX: usize = 100;

/// One thing that is wrong. Its text names the file and line or the variable, the key, the value
/// and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub(crate) origin: Origin,
    /// Of a syntax error, from 1.
    pub(crate) column: Option<usize>,
    pub(crate) key: Option<String>,
    pub(crate) text: String,
}

impl Problem {
    pub(crate) fn new(origin: &Origin, key: Option<&str>, text: impl Into<String>) -> Self {
        let key = key.map(str::to_owned);
        Self { origin: origin.clone(), column: None, key, text: text.into() }
    }

    /// Where it is to be corrected.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The key that it is about, such as `timing.leader_lease`; `None` where a file cannot be read.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.column {
            Some(column) => write!(f, "{}:{column}: {}", self.origin, self.text),
            None => write!(f, "{}: {}", self.origin, self.text),
        }
    }
}

/// Why [`Loader::load`](crate::Loader::load) gave no settings: everything that is wrong, in the
/// order of the layers. Nothing has been started or changed. Correct the files or variables that it
/// names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadError {
    problems: Vec<Problem>,
    /// How many more there are.
    more: usize,
}

impl LoadError {
    /// What is wrong; at least one problem, and at most the first hundred.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl std::error::Error for LoadError {}

/// One problem stands for itself; several stand on lines of their own under their number.
impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let ([problem], 0) = (&self.problems[..], self.more) {
            return problem.fmt(f);
        }
        write!(f, "{} problems with the settings:", self.problems.len() + self.more)?;
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        if self.more > 0 {
            write!(f, "\n  and {} more", self.more)?;
        }
        Ok(())
    }
}

/// Collects problems, as many as anybody would read.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    found: Vec<Problem>,
    more: usize,
}

impl Problems {
    pub(crate) fn add(&mut self, problem: Problem) {
        if self.is_full() {
            self.more += 1;
        } else {
            self.found.push(problem);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.found.iter()
    }

    /// Whether further ones are only counted.
    pub(crate) fn is_full(&self) -> bool {
        self.found.len() == PROBLEMS_MAX
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The error, if there is anything wrong.
    pub(crate) fn into_error(self) -> Result<(), LoadError> {
        if self.is_empty() {
            return Ok(());
        }
        Err(LoadError { problems: self.found, more: self.more })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_problems_than_anybody_reads_are_counted() {
        let mut problems = Problems::default();
        for _ in 0..PROBLEMS_MAX + 7 {
            problems.add(Problem::new(&Origin::Default, None, "x"));
        }
        let error = problems.into_error().unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("107 problems with the settings:\n  default: x\n"), "{text}");
        assert!(text.ends_with("\n  and 7 more"), "{text}");
        assert_eq!(error.problems().len(), PROBLEMS_MAX);
    }
}
