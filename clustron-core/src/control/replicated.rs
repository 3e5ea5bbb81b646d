//! State of modules that every node applies from the same log.

use std::fmt;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::watch;

use super::command::{COMMAND_BYTES_MAX, ModuleCommand, Rejection};
use super::propose::ProposeError;
use super::read::{Consistency, Read};
use crate::codec::{self, CodecError};
use crate::identity::{Epoch, FencingToken};
use crate::late::LateCluster;

/// Where a command stands in the control log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// The log index of its entry. It never falls from one command to the next, but commands that
    /// came together share it: for something unique and rising take the [`token`](Self::token).
    pub index: u64,
    /// Its place within the entry, from 0.
    pub place: u32,
    /// The epoch in force at the entry.
    pub epoch: Epoch,
}

impl Applied {
    /// Unique to this command and higher than that of every command before it: the fencing token of
    /// what the command grants.
    pub fn token(&self) -> FencingToken {
        FencingToken::of(self.index, self.place)
    }
}

/// What became of a command that was committed and applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed<R> {
    /// What applying it answered.
    pub reply: R,
    /// The log index of its entry, which rises from entry to entry, also where a loss was
    /// [declared](crate::recovery): a read [`AtLeast`](super::Consistency::AtLeast) this sees it,
    /// at any node.
    pub index: u64,
}

/// A deterministic state machine whose commands come from the control log.
///
/// Every node applies the same commands in the same order, so `apply` must depend on nothing else:
/// no clock, no randomness, no iteration over a `HashMap`. Time comes in the command. The whole
/// value is the snapshot, which is encoded and decoded as a stream: what takes memory is the value.
pub trait ReplicatedState: Serialize + DeserializeOwned + Default + Send + Sync + 'static {
    /// What changes the state. Encoded, at most [`COMMAND_BYTES_MAX`] bytes.
    type Command: Serialize + DeserializeOwned + Send + 'static;
    /// What applying a command answers its proposer.
    type Reply: Serialize + DeserializeOwned + Send + 'static;

    /// Applies one committed command. Must not panic.
    fn apply(&mut self, at: Applied, command: Self::Command) -> Self::Reply;
}

/// A node's copy of a replicated state, and the way to propose commands for it. Clones are the same
/// copy.
pub struct Replicated<S: ReplicatedState> {
    module: &'static str,
    copy: Arc<Copy<S>>,
    cluster: LateCluster,
}

impl<S: ReplicatedState> Clone for Replicated<S> {
    fn clone(&self) -> Self {
        Self { module: self.module, copy: self.copy.clone(), cluster: self.cluster.clone() }
    }
}

impl<S: ReplicatedState> fmt::Debug for Replicated<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replicated").field("module", &self.module).finish_non_exhaustive()
    }
}

struct Copy<S> {
    state: RwLock<S>,
    /// The log index of the latest entry with commands for it, all of which are applied here.
    applied: watch::Sender<u64>,
}

impl<S> Copy<S> {
    fn put(&self, index: u64, state: S) {
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = state;
        self.applied.send_replace(index);
    }
}

impl<S: ReplicatedState> Replicated<S> {
    pub(crate) fn new(module: &'static str, cluster: LateCluster) -> Self {
        let copy = Copy { state: RwLock::default(), applied: watch::Sender::new(0) };
        Self { module, copy: Arc::new(copy), cluster }
    }

    /// Proposes a command from any node and waits until it is applied, here or at the leader. Many
    /// callers at once share an entry of the log; when they are too many, they wait for room.
    /// Whoever drops the future may have the command applied all the same.
    ///
    /// # Errors
    /// See [`ProposeError`]; where its outcome is unknown the command may yet be applied.
    pub async fn propose(
        &self,
        command: &S::Command,
        deadline: Duration,
    ) -> Result<Committed<S::Reply>, ProposeError> {
        self.submit(None, command, deadline).await
    }

    /// Proposes leader work: it has no effect unless `epoch` is still in force where it is applied.
    ///
    /// # Errors
    /// See [`ProposeError`]; [`Rejection::StaleEpoch`] says that another node leads.
    pub async fn propose_as_leader(
        &self,
        epoch: Epoch,
        command: &S::Command,
        deadline: Duration,
    ) -> Result<Committed<S::Reply>, ProposeError> {
        self.submit(Some(epoch), command, deadline).await
    }

    /// Reads the state at this node, as current as asked for, waiting at most `deadline` for that.
    /// Applying waits while `read` runs, so copy out what you need.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use clustron_core::{Applied, Cluster, Consistency, Installer, Module, Replicated,
    /// ReplicatedState};
    /// # use std::time::Duration;
    /// # #[derive(Default, serde::Serialize, serde::Deserialize)]
    /// # struct Counter(u64);
    /// # impl ReplicatedState for Counter {
    /// #     type Command = u64;
    /// #     type Reply = ();
    /// #     fn apply(&mut self, _at: Applied, more: u64) { self.0 += more; }
    /// # }
    /// # struct Counting;
    /// # impl Module for Counting {
    /// #     const NAME: &'static str = "counting";
    /// #     type Handle = Replicated<Counter>;
    /// #     fn install(self, installer: &mut Installer<'_>) -> Replicated<Counter> {
    /// installer.replicate() }
    /// # }
    /// let mut node = Cluster::builder("orders");
    /// let counter = node.install(Counting);
    /// let cluster = node.start().await?;
    /// let soon = Duration::from_secs(5);
    ///
    /// let mine = counter.propose(&3, soon).await?;
    /// // At any node: everything that anybody was told of, what I was told of, what is there.
    /// let all = counter.read(Consistency::Linearizable, soon, |counter| counter.0).await?;
    /// let own = counter.read(Consistency::AtLeast(mine.index), soon, |counter| counter.0).await?;
    /// let old = counter.read(Consistency::Stale, soon, |counter| counter.0).await?;
    /// assert_eq!((all.value, own.value), (3, 3));
    /// println!("{} as of {:?} ago", old.value, old.age);
    /// # cluster.shutdown(soon).await?; Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`ProposeError::NoLeader`] when nobody confirmed a linearizable read in time, as on the
    /// minority side; [`ProposeError::Behind`] when the index was not reached in time.
    pub async fn read<T>(
        &self,
        consistency: Consistency,
        deadline: Duration,
        read: impl FnOnce(&S) -> T,
    ) -> Result<Read<T>, ProposeError> {
        let control = self.cluster.control()?;
        control.check_log()?;
        let until = crate::tasks::until(deadline);
        let age = match consistency {
            Consistency::Linearizable => {
                control.barrier(deadline).await?;
                Some(Duration::ZERO)
            }
            Consistency::AtLeast(index) => {
                control.wait_applied(index, until).await?;
                control.staleness()
            }
            Consistency::Stale => control.staleness(),
        };
        // Before the state: what is read is not older than what is said of it.
        let index = control.applied_index();
        Ok(Read { value: self.read_local(read), index, age })
    }

    /// Reads this node's copy as it is, at once, also where the node does not run yet or any more.
    /// Applying waits while `read` runs, so copy out what you need.
    pub fn read_local<T>(&self, read: impl FnOnce(&S) -> T) -> T {
        read(&self.copy.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes with every entry of the log that had commands for this state: the latest one's log
    /// index at this node. All of its commands are applied.
    pub fn applied(&self) -> watch::Receiver<u64> {
        self.copy.applied.subscribe()
    }

    async fn submit(
        &self,
        epoch: Option<Epoch>,
        command: &S::Command,
        deadline: Duration,
    ) -> Result<Committed<S::Reply>, ProposeError> {
        let body = codec::encode(command).map_err(|e| ProposeError::Codec(e.to_string()))?;
        if body.len() > COMMAND_BYTES_MAX {
            return Err(ProposeError::TooLarge { bytes: body.len(), max: COMMAND_BYTES_MAX });
        }
        let module = self.module.to_owned();
        let command = ModuleCommand { module, epoch, body: body.into() };
        let (index, reply) = self.cluster.control()?.propose_module(command, deadline).await?;
        let reply = codec::decode(&reply).map_err(|e| ProposeError::Codec(e.to_string()))?;
        Ok(Committed { reply, index })
    }
}

/// A replicated state as the control log sees it, whatever its types.
pub(crate) trait AnyReplicated: Send + Sync {
    fn apply(&self, at: Applied, body: &[u8]) -> Result<Bytes, Rejection>;
    /// All commands of the entry with this index are applied.
    fn applied_to(&self, index: u64);
    /// Encodes the state as it goes out. Applying waits meanwhile.
    fn snapshot(&self, out: &mut dyn io::Write) -> Result<(), CodecError>;
    /// Decodes a state as it comes in.
    fn restore(&self, index: u64, input: &mut dyn io::Read) -> Result<Put, CodecError>;
    /// The state before the first command.
    fn beginning(&self, index: u64) -> Put;
}

/// Puts a state in place that has the log up to some index, so that several are replaced or none.
pub(crate) type Put = Box<dyn FnOnce() + Send>;

impl<S: ReplicatedState> AnyReplicated for Replicated<S> {
    fn apply(&self, at: Applied, body: &[u8]) -> Result<Bytes, Rejection> {
        let undecodable = |error: CodecError| Rejection::Undecodable {
            module: self.module.to_owned(),
            reason: error.to_string(),
        };
        let command = codec::decode(body).map_err(undecodable)?;
        let reply = {
            let mut state = self.copy.state.write().unwrap_or_else(PoisonError::into_inner);
            state.apply(at, command)
        };
        // The command is applied by now, so it was not refused. Bytes that are no reply tell the
        // proposer that there is none.
        Ok(codec::encode(&reply).map_or_else(
            |error| {
                tracing::error!(module = self.module, %error, "a reply cannot be encoded");
                Bytes::new()
            },
            Bytes::from,
        ))
    }

    fn applied_to(&self, index: u64) {
        self.copy.applied.send_replace(index);
    }

    fn snapshot(&self, out: &mut dyn io::Write) -> Result<(), CodecError> {
        self.read_local(|state| codec::encode_into(state, out))
    }

    fn restore(&self, index: u64, input: &mut dyn io::Read) -> Result<Put, CodecError> {
        let (copy, state) = (self.copy.clone(), codec::decode_from(input)?);
        Ok(Box::new(move || copy.put(index, state)))
    }

    fn beginning(&self, index: u64) -> Put {
        let copy = self.copy.clone();
        Box::new(move || copy.put(index, S::default()))
    }
}
