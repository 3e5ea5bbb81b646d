//! Why a node cannot start from its data directory, and what to do.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clustron_wal::{FileError, WalError};

use crate::codec::CodecError;
use crate::identity::NodeId;

/// Why a node does not start from its data directory. Nothing in the directory was changed, but
/// that a started attempt may have been counted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataDirError {
    /// Another process uses it, or another node in this one.
    #[error(
        "data directory {path:?} is in use: {error}; end that process, or give this node a \
         directory of its own"
    )]
    InUse {
        /// The directory.
        path: PathBuf,
        /// Names the holder, where that is known.
        error: io::Error,
    },
    /// It was made by a node of another cluster.
    #[error(
        "data directory {path:?} belongs to cluster {theirs:?}, and this node is to be one of \
         cluster {wanted:?}: correct the directory or the cluster's name"
    )]
    OtherCluster {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        theirs: String,
        /// What was configured.
        wanted: String,
    },
    /// It was made by another node.
    #[error(
        "data directory {path:?} belongs to node {theirs:?}, and this node is called {wanted:?}: \
         correct the directory or the node's name"
    )]
    OtherNode {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        theirs: String,
        /// What was configured.
        wanted: String,
    },
    /// The loss of a majority was about to be declared for it, and that has not come to its end.
    #[error(
        "in data directory {path:?} a loss of the majority was being declared, and that has not \
         ended: declare it again, which goes on where it stopped"
    )]
    Declaring {
        /// The directory.
        path: PathBuf,
    },
    /// There are files of a node in it, but not the one that says which node.
    #[error(
        "data directory {path:?} has {file:?} but no identity: it is incomplete. Restore what was \
         removed from it, or move all of it away; the node then joins as a new one"
    )]
    NoIdentity {
        /// The directory.
        path: PathBuf,
        /// One of the files.
        file: String,
    },
    /// A file is not what was written.
    #[error(
        "{what} in data directory {path:?}. Check the disk. Move the directory away and start the \
         node with an empty one: it joins as a new node and gets the state from the others. Keep \
         the directory if no majority of the others is left"
    )]
    Damaged {
        /// The directory.
        path: PathBuf,
        /// Which file, where in it, and what is wrong.
        what: String,
    },
    /// The node ran without one of its modules while commands for that were in the log, so that it
    /// does not have the module's state.
    #[error(
        "data directory {path:?} lacks the state of module {module:?}: the node ran without that \
         module for a while. Move the directory away and start the node with an empty one: it joins \
         as a new node and gets the state from the others. If none of them has it, it is lost: run \
         without the module, or give it another name"
    )]
    MissedModule {
        /// The directory.
        path: PathBuf,
        /// The module's name.
        module: String,
    },
    /// A newer version has written it.
    #[error("data directory {path:?} was written by a newer version: {what}")]
    Newer {
        /// The directory.
        path: PathBuf,
        /// Which file, its version, and the newest that is known here.
        what: String,
    },
    /// It was kept by a node that follows the log, and the one to be started does not.
    #[error(
        "data directory {path:?} is that of a node that follows the control log, and this one has \
         no role that does: give it back its role, or let the node leave and start this one with \
         an empty directory"
    )]
    OtherRole {
        /// The directory.
        path: PathBuf,
    },
    /// There is no room on the disk.
    #[error("data directory {path:?} has no room for {file:?}: free some space and start again")]
    Full {
        /// The directory.
        path: PathBuf,
        /// What was to be written.
        file: String,
    },
    /// It may not be written.
    #[error(
        "data directory {path:?} cannot be written: {error}; let the user that runs the node write \
         there, on a file system that is not read-only"
    )]
    NotWritable {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        error: String,
    },
    /// The system failed otherwise.
    #[error("data directory {path:?} cannot be used: {error}")]
    Io {
        /// The directory.
        path: PathBuf,
        /// What was attempted, and what the system said.
        error: String,
    },
}

impl DataDirError {
    pub(crate) fn locking(path: &Path, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock => Self::InUse { path: path.to_owned(), error },
            _ => Self::io(path, "lock", error),
        }
    }

    pub(crate) fn io(path: &Path, doing: &str, error: io::Error) -> Self {
        Self::of_kind(path, doing, error.kind(), &error)
    }

    pub(crate) fn damaged(path: &Path, file: &str, what: &dyn std::fmt::Display) -> Self {
        Self::Damaged { path: path.to_owned(), what: format!("{file} is damaged: {what}") }
    }

    pub(crate) fn failed(path: &Path, error: &DiskError) -> Self {
        let (path_buf, what) = (path.to_owned(), error.to_string());
        match error {
            DiskError::Log(WalError::Corrupt { .. })
            | DiskError::File(FileError::Corrupt { .. })
            | DiskError::Content { .. } => Self::Damaged { path: path_buf, what },
            DiskError::Log(WalError::NewerVersion { .. })
            | DiskError::File(FileError::NewerVersion { .. }) => {
                Self::Newer { path: path_buf, what }
            }
            DiskError::Log(WalError::Full { file }) => {
                Self::Full { path: path_buf, file: file.clone() }
            }
            DiskError::Log(WalError::Io { file, source: cause })
            | DiskError::Log(WalError::Failed { file, first_cause: cause })
            | DiskError::File(FileError::Io { file, source: cause, .. }) => {
                Self::of_kind(path, file, cause.kind(), &what)
            }
            DiskError::Directory(error) => {
                Self::of_kind(path, "the directory", error.kind(), error)
            }
            _ => Self::Io { path: path_buf, error: what },
        }
    }

    fn of_kind(
        path: &Path,
        file: &str,
        kind: io::ErrorKind,
        error: &dyn std::fmt::Display,
    ) -> Self {
        let path = path.to_owned();
        match kind {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full { path, file: file.to_owned() }
            }
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                Self::NotWritable { path, error: error.to_string() }
            }
            _ => Self::Io { path, error: format!("{file}: {error}") },
        }
    }
}

/// What a data directory did not do.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum DiskError {
    #[error(transparent)]
    Log(#[from] WalError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Codec(#[from] Arc<CodecError>),
    #[error("{0}")]
    Directory(#[from] Arc<io::Error>),
    #[error("node {node} was given up, and another has the data directory now")]
    GivenUp { node: NodeId },
    /// What was written is intact, and cannot be what it was written for.
    #[error("{file} is damaged: {what}")]
    Content { file: String, what: String },
}
