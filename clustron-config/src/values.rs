//! All that the keys set.

use clustron_core::Config;

use crate::security::SecurityFiles;
use crate::sources::Sources;

/// The settings of a node while they are put together, and afterwards.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Values {
    pub(crate) config: Config,
    /// What [`Config::security`] is made of once all layers are known.
    pub(crate) security: SecurityFiles,
    /// Sources of addresses, which the builder takes and no [`Config`] holds.
    pub(crate) discovery: Sources,
}
