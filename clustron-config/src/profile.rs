//! Sets of defaults that fit together.

use std::fmt;

use clustron_core::Config;

/// The defaults of all times, by how far the nodes are apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Profile {
    /// Processes on one machine: [`Config::local`].
    Local,
    /// Machines in one data centre: [`Config::lan`].
    #[default]
    Lan,
    /// Sites far apart: [`Config::wan`].
    Wan,
}

impl Profile {
    pub(crate) const ALL: [Self; 3] = [Self::Local, Self::Lan, Self::Wan];

    /// The settings of a node of which nothing else is said.
    pub fn config(self) -> Config {
        match self {
            Self::Local => Config::local(),
            Self::Lan => Config::lan(),
            Self::Wan => Config::wan(),
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "local",
            Self::Lan => "lan",
            Self::Wan => "wan",
        })
    }
}
