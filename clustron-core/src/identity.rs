//! Who a node is: the words that every handshake, log entry and file uses.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::chance::Chance;

/// The longest cluster, node, tag or custom role name, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// The most tags one node may carry.
pub const TAGS_MAX: usize = 32;

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} {name:?} is not valid: use 1 to {NAME_BYTES_MAX} bytes of a-z, A-Z, 0-9, '-', '_' or '.'"
)]
pub struct InvalidName {
    /// What the name was meant for, for example "cluster name".
    pub what: &'static str,
    /// The name as it was given.
    pub name: String,
}

/// Checks a name that travels on the wire and stands in messages to people.
pub(crate) fn check_name(what: &'static str, name: &str) -> Result<(), InvalidName> {
    let fits = !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if fits { Ok(()) } else { Err(InvalidName { what, name: name.to_owned() }) }
}

/// What people call a cluster. Nodes of differently named clusters refuse each other.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ClusterName(String);

impl ClusterName {
    /// Takes 1 to 64 bytes of `a-z A-Z 0-9 - _ .`.
    pub fn new(name: impl Into<String>) -> Result<Self, InvalidName> {
        let name = name.into();
        check_name("cluster name", &name)?;
        Ok(Self(name))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The UUID of one cluster, minted once when it is bootstrapped. Two clusters never merge, even
/// under the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ClusterId(u128);

impl ClusterId {
    /// Mints a new random id, a UUID of version 4.
    pub(crate) fn mint(chance: &Chance) -> Self {
        let bytes = chance.draw(|rng| rng.random());
        Self(uuid::Builder::from_random_bytes(bytes).as_uuid().as_u128())
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        uuid::Uuid::from_u128(self.0).hyphenated().fmt(f)
    }
}

/// What people call a node. A label for messages and placement; the identity is [`NodeId`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NodeName(String);

impl NodeName {
    /// Takes 1 to 64 bytes of `a-z A-Z 0-9 - _ .`.
    pub fn new(name: impl Into<String>) -> Result<Self, InvalidName> {
        let name = name.into();
        check_name("node name", &name)?;
        Ok(Self(name))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A node's identity: a random number minted when a node starts without disk state, and never used
/// again for another node. Shown as 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct NodeId(pub u64);

impl NodeId {
    /// Mints a new random id, never zero.
    pub(crate) fn mint(chance: &Chance) -> Self {
        Self(chance.draw(|rng| rng.random_range(1..=u64::MAX)))
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({self})")
    }
}

/// Orders a node's own statements about itself: raised at every process start and whenever the
/// node refutes a suspicion, so that newer news about a node always wins over older.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
pub struct Incarnation(pub u64);

impl Incarnation {
    /// The next higher incarnation.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a node does in the cluster.
///
/// | role | votes | holds data | runs work | follows the log | suspicions | collects metrics |
/// | --- | --- | --- | --- | --- | --- | --- |
/// | `Member` | when chosen | yes | yes | yes | yes | |
/// | `Client` | | | | yes | yes | |
/// | `Observer` | | | | | | |
/// | `MetricsCollector` | | | | | | yes |
/// | `Custom`, alone | | | | yes | yes | |
/// | `Witness` | when chosen | | | yes | yes | |
///
/// A node may have several roles, and has the rights of all of them. Whoever follows the log may
/// propose, has the replicated state of the modules it installs, and must not install modules that
/// the members lack; members and witnesses install all the same. Whoever does not follow it cannot
/// install a module that replicates state; it is told of the view, the leader and the voters by a
/// member.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Role {
    /// Votes when chosen, holds data, runs work. Only members and witnesses found a cluster.
    Member,
    /// Uses the modules: follows the log and proposes, holds no partitions and runs no work that a
    /// leader grants.
    Client,
    /// Follows the view and the leader, and nothing else. It costs the leader nothing but a line in
    /// the view, so there may be many.
    Observer,
    /// As an observer, and [collects](crate::ClusterHandle::collected_metrics) all nodes' metrics.
    MetricsCollector,
    /// A role of the application's own, for placement. It adds nothing to other roles; a node with
    /// none of those takes part as a client does.
    Custom(String),
    /// Votes as a member does and follows the log, but holds no data and runs no work. A small node
    /// beside two members lets either of them fail: see [`Config::roles`](crate::Config::roles). It
    /// may help to found a cluster and may lead, and hands over as soon as a member is able to. It
    /// installs the same modules as the members.
    // The last, since roles go over the wire by their place.
    Witness,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Role::Member => f.write_str("member"),
            Role::Client => f.write_str("client"),
            Role::Observer => f.write_str("observer"),
            Role::MetricsCollector => f.write_str("metrics-collector"),
            Role::Custom(name) => write!(f, "custom:{name}"),
            Role::Witness => f.write_str("witness"),
        }
    }
}

/// What a node may change about itself while it runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// What it does; at least one role and at most 32.
    pub roles: BTreeSet<Role>,
    /// Free key/value labels for placement, at most 32; a value has at most 64 bytes.
    pub tags: BTreeMap<String, String>,
}

/// Roles or tags that a node may not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidMetadata {
    /// A custom role or the key of a tag is no name.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// There are too many of them or too few, or a tag's value is too long.
    #[error("{key} is {value}: {allowed}")]
    Value {
        /// `roles` or `tags`.
        key: &'static str,
        /// What it was set to.
        value: String,
        /// What it may be.
        allowed: String,
    },
}

impl Metadata {
    /// Checks what a node says or is told to say about itself: in its configuration, while it runs,
    /// and where it comes from another node.
    ///
    /// # Errors
    /// The first role or tag that cannot be used, with what is allowed.
    pub fn check(&self) -> Result<(), InvalidMetadata> {
        check_metadata(&self.roles, &self.tags)
    }
}

pub(crate) fn check_metadata(
    roles: &BTreeSet<Role>,
    tags: &BTreeMap<String, String>,
) -> Result<(), InvalidMetadata> {
    let refused = |key, value, allowed| Err(InvalidMetadata::Value { key, value, allowed });
    if roles.is_empty() {
        return refused("roles", "empty".to_owned(), "name at least one role".to_owned());
    }
    for (key, len) in [("roles", roles.len()), ("tags", tags.len())] {
        if len > TAGS_MAX {
            return refused(key, format!("{len} {key}"), format!("at most {TAGS_MAX} {key}"));
        }
    }
    for role in roles {
        if let Role::Custom(name) = role {
            check_name("custom role", name)?;
        }
    }
    for (key, value) in tags {
        check_name("tag key", key)?;
        if value.len() > NAME_BYTES_MAX {
            let allowed = format!("a tag's value has at most {NAME_BYTES_MAX} bytes");
            return refused("tags", format!("{key}={value}"), allowed);
        }
    }
    Ok(())
}

/// Everything that the cluster agrees on about one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeInfo {
    /// The identity, unique for ever.
    pub id: NodeId,
    /// The label for people.
    pub name: NodeName,
    /// The newest incarnation that the node has announced.
    pub incarnation: Incarnation,
    /// Where the others reach it, `host:port`.
    pub addr: String,
    /// What it does.
    pub roles: BTreeSet<Role>,
    /// Free key/value labels for placement.
    pub tags: BTreeMap<String, String>,
    /// How often the node has changed its roles and tags since it started. Of two descriptions of
    /// a node the one with the higher revision is the newer.
    pub revision: u64,
    /// How often a process has started with this identity, this one included: 1, unless the node
    /// keeps its state on disk. Whatever an earlier process was doing ended with it.
    pub starts: u64,
    /// A random number of the process. Two processes with the same number of starts have copies of
    /// one data directory.
    pub process: u64,
}

impl NodeInfo {
    /// Checks a description that came from another node, which may be of any size and content.
    pub(crate) fn check(&self) -> Result<(), String> {
        check_name("node name", self.name.as_str()).map_err(|error| error.to_string())?;
        check_metadata(&self.roles, &self.tags).map_err(|error| error.to_string())?;
        if self.addr.len() > 256 {
            return Err(format!("{} describes itself at too great length", self.id));
        }
        Ok(())
    }

    /// Its roles and tags.
    pub fn metadata(&self) -> Metadata {
        Metadata { roles: self.roles.clone(), tags: self.tags.clone() }
    }

    /// Puts a newer description in place.
    pub(crate) fn describe(&mut self, revision: u64, metadata: Metadata) {
        let Metadata { roles, tags } = metadata;
        (self.revision, self.roles, self.tags) = (revision, roles, tags);
    }

    /// Whether it has the role `Member`. What that allows is asked by the right itself, such as
    /// [`votes`](Self::votes) or [`runs_work`](Self::runs_work).
    pub fn is_member(&self) -> bool {
        self.roles.contains(&Role::Member)
    }
}

impl fmt::Display for NodeInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} at {})", self.name, self.id, self.addr)
    }
}

/// The [log index](crate::Committed::index) of the committed entry that made a node leader.
/// Strictly rising: there is at most one leader per epoch, and a later leader always has a higher
/// one. It is not the Raft term.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The place in the control log that authorises one piece of leader-granted work. A resource that
/// remembers the highest token it has seen can refuse late work of a node that lost its claim.
///
/// An entry of the log holds many commands, so its index alone is not unique. The token is the
/// index times 10,000 and the command's place within the entry: it rises strictly, and people see
/// the index in its first digits.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
pub struct FencingToken(pub u64);

impl FencingToken {
    /// More than an entry has commands.
    pub(crate) const PLACES: u64 = 10_000;

    /// The token of the command at this place, from 0, of the entry with this log index.
    ///
    /// # Panics
    /// When the place is beyond what an entry may hold, or the index beyond 10^15: tokens would
    /// not be unique any more.
    pub(crate) fn of(index: u64, place: u32) -> Self {
        assert!(u64::from(place) < Self::PLACES, "an entry has no place {place}");
        assert!(index < u64::MAX / Self::PLACES, "log index {index} is beyond all tokens");
        Self(index * Self::PLACES + u64::from(place))
    }

    /// The log index of the entry that it comes from.
    pub fn log_index(self) -> u64 {
        self.0 / Self::PLACES
    }
}

impl fmt::Display for FencingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_refused_with_the_name_and_the_remedy() {
        assert!(ClusterName::new("orders-eu.1").is_ok());
        for bad in ["", "two words", "ümlaut", &"x".repeat(65)] {
            let error = ClusterName::new(bad).unwrap_err().to_string();
            assert!(error.contains(&format!("{bad:?}")), "{error}");
            assert!(error.contains("use 1 to 64 bytes"), "{error}");
        }
    }

    #[test]
    fn tokens_rise_from_place_to_place_and_from_entry_to_entry() {
        let places = [(1, 0), (1, 1), (1, 9_999), (2, 0), (40, 7), (1_000_000_000_000_000, 0)];
        let tokens = places.map(|(index, place)| FencingToken::of(index, place));
        assert!(tokens.is_sorted_by(|one, next| one < next), "{tokens:?}");
        assert_eq!(tokens.map(FencingToken::log_index), places.map(|(index, _)| index));
        assert_eq!(FencingToken::of(39, 2).to_string(), "390002");
    }

    #[test]
    #[should_panic(expected = "an entry has no place 10000")]
    fn there_is_no_token_for_a_place_that_no_entry_has() {
        let _ = FencingToken::of(1, 10_000);
    }

    #[test]
    fn minted_identities_differ() {
        let chance = Chance::seeded(7);
        assert_ne!(NodeId::mint(&chance), NodeId::mint(&chance));
        let cluster = ClusterId::mint(&chance);
        assert_ne!(cluster, ClusterId::mint(&chance));
        assert_eq!(uuid::Uuid::from_u128(cluster.0).get_version_num(), 4);
    }
}
