//! Where a value comes from, so that whoever must correct it knows where to look.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::profile::Profile;

/// Where a value was set.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// Nowhere: it is what Clustron takes without being told.
    Default,
    /// By the [`Profile`] that is in force.
    Profile(Profile),
    /// By the program, with a call of [`Loader`](crate::Loader).
    Program,
    /// In a file.
    File {
        /// The file, as the program named it.
        path: Arc<Path>,
        /// The line, from 1; 0 for the file as a whole.
        line: usize,
    },
    /// By a variable of the environment.
    Variable(Arc<str>),
}

impl Origin {
    /// The file as a whole.
    pub(crate) fn whole(path: &Path) -> Self {
        Self::File { path: path.into(), line: 0 }
    }

    /// The line of a file, and 0 elsewhere.
    pub(crate) fn line(&self) -> usize {
        if let Self::File { line, .. } = self { *line } else { 0 }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Profile(profile) => write!(f, "profile {profile}"),
            Self::Program => f.write_str("program"),
            Self::File { path, line: 0 } => write!(f, "{}", path.display()),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => f.write_str(name),
        }
    }
}
