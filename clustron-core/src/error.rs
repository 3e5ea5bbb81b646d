//! Why a node does not start or stop as asked.

use std::io;

use crate::config::ConfigError;
use crate::data_dir::DataDirError;
use crate::security::SecurityError;

/// Why [`ClusterBuilder::start`](crate::ClusterBuilder::start) failed. Nothing is left running.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A setting cannot be used. Correct it.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data directory cannot be used. A person must act.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// Certificates or keys cannot be used. Correct them.
    #[error(transparent)]
    Security(#[from] SecurityError),
    /// The node cannot listen at its address. Choose another, or end who uses it.
    #[error("cannot listen at {addr}: {error}")]
    Listen {
        /// The address as configured.
        addr: String,
        /// What the system said.
        error: io::Error,
    },
    /// The node listens where others cannot connect to, and no other address is set.
    #[error("others cannot connect to {addr}: set `advertise` to an address where they can")]
    Advertise {
        /// The address that it listens at.
        addr: String,
    },
    /// The cluster does not take the node in. The reason names both sides; a person must act.
    #[error("refused: {0}")]
    Refused(String),
    /// The data directory is an old copy: the cluster has seen a later process of this node. A
    /// person must act.
    #[error("refused: {0}")]
    OldState(String),
    /// The same module was installed twice.
    #[error("module {0:?} is installed twice")]
    ModuleTwice(&'static str),
    /// A module needs the control log, which the node's roles do not let it follow. Give the node
    /// the role client, or do not install the module.
    #[error(
        "module {module:?} replicates state, and a node with the role {roles} does not follow the \
         control log: give it the role client, or leave the module out"
    )]
    NoLog {
        /// The module.
        module: String,
        /// What the node is.
        roles: String,
    },
    /// The consensus library reported an error that should not happen. Please report it.
    #[error("the control plane failed: {0}")]
    ControlPlane(String),
    /// A task of the node panicked while it started. Please report it.
    #[error("the node panicked: {0}")]
    Panicked(String),
}

/// Why [`Cluster::shutdown`](crate::Cluster::shutdown) was not orderly. The node has ended anyway.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShutdownError {
    /// The others did not confirm in time that the node left: they will find it failed instead.
    #[error("left without the others' confirmation: {0}")]
    Unconfirmed(String),
    /// A task of the node had panicked.
    #[error("the node had panicked: {0}")]
    Panicked(String),
}
