//! A small replicated state, and the callers at one of its nodes that change it.

use bytes::Bytes;
use std::collections::BTreeMap;

use clustron_core::{
    Applied, Cluster, ClusterHandle, Installer, Message, Module, ProposeError, Replicated,
    ReplicatedState, Request,
};
use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};

use crate::PATIENCE;
use crate::callers::{Answered, Span, call_on};

/// The latest value under each key.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Registers(BTreeMap<u64, Bytes>);

/// Puts a value under a key.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Put {
    key: u64,
    value: Bytes,
}

impl ReplicatedState for Registers {
    type Command = Put;
    type Reply = ();

    fn apply(&mut self, _at: Applied, Put { key, value }: Put) {
        self.0.insert(key, value);
    }
}

/// Replicates the registers.
pub(crate) struct RegistersModule;

impl Module for RegistersModule {
    const NAME: &'static str = "registers";
    type Handle = Replicated<Registers>;

    fn install(self, installer: &mut Installer<'_>) -> Replicated<Registers> {
        installer.replicate()
    }
}

/// Asks a node to have callers put values, each under a key of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Calls {
    /// The callers' keys, from this one on.
    pub(crate) first_key: u64,
    /// How many callers.
    pub(crate) callers: u32,
    /// How many bytes a value has.
    pub(crate) value_bytes: u32,
    /// For how long.
    pub(crate) span: Span,
}

impl Message for Calls {
    const KIND: &'static str = "bench.calls";
}

/// What became of the calls at one node, or why they ended.
pub(crate) type Report = Result<Called, String>;

impl Request for Calls {
    type Reply = Report;
}

/// What became of the calls at one node.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Called {
    /// To these callers.
    pub(crate) answered: Answered,
    /// What the node put into the log meanwhile as the leader, for all nodes' callers.
    pub(crate) entered: Entered,
}

/// Commands that a leader has put into its log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entered {
    /// How many entries it made of them.
    pub(crate) entries: u64,
    /// How many there were.
    pub(crate) commands: u64,
}

impl Entered {
    /// All since the node's start, as its metrics show it.
    fn of(metrics: &str) -> Self {
        let value = |name: &str| {
            let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
            metrics.lines().find_map(value).unwrap_or(0)
        };
        Self {
            entries: value("clustron_core_batches_proposed_total"),
            commands: value("clustron_core_commands_proposed_total"),
        }
    }

    fn since(self, before: Self) -> Self {
        Self { entries: self.entries - before.entries, commands: self.commands - before.commands }
    }
}

/// Asks a node to put a value under each of so many keys.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Fill {
    /// The first of the keys.
    pub(crate) first_key: u64,
    /// How many keys.
    pub(crate) keys: u64,
    /// How many bytes a value has.
    pub(crate) value_bytes: u32,
    /// How many are put at the same time.
    pub(crate) at_once: u32,
}

impl Message for Fill {
    const KIND: &'static str = "bench.fill";
}

impl Request for Fill {
    type Reply = Result<(), String>;
}

/// Asks a node how many keys its own copy has.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Holds;

impl Message for Holds {
    const KIND: &'static str = "bench.holds";
}

impl Request for Holds {
    type Reply = u64;
}

/// Has a node answer [`Calls`], [`Fill`] and [`Holds`].
pub(crate) fn serve(cluster: &Cluster, registers: Replicated<Registers>) {
    let held = registers.clone();
    cluster.on_request(move |_from, Holds| {
        std::future::ready(held.read_local(|registers| registers.0.len() as u64))
    });
    let filled = registers.clone();
    cluster.on_request(move |_from, fill: Fill| {
        let registers = filled.clone();
        async move { fill_up(&registers, fill).await.map_err(|error| error.to_string()) }
    });
    let handle = cluster.handle();
    cluster.on_request(move |_from, calls: Calls| {
        let (handle, registers) = (handle.clone(), registers.clone());
        async move { serve_one(&handle, &registers, calls).await.map_err(|e| format!("{e:#}")) }
    });
}

async fn fill_up(
    registers: &Replicated<Registers>,
    Fill { first_key, keys, value_bytes, at_once }: Fill,
) -> Result<(), ProposeError> {
    let puts = (first_key..first_key + keys).map(|key| async move {
        let put = Put { key, value: vec![7; value_bytes as usize].into() };
        registers.propose(&put, PATIENCE).await.map(drop)
    });
    let puts = futures::stream::iter(puts).buffer_unordered(at_once.max(1) as usize);
    puts.try_collect().await
}

async fn serve_one(
    node: &ClusterHandle,
    registers: &Replicated<Registers>,
    Calls { first_key, callers, value_bytes, span }: Calls,
) -> anyhow::Result<Called> {
    let value = Bytes::from(vec![7; value_bytes as usize]);
    let caller = |at: u32| {
        let (registers, key, value) = (registers.clone(), first_key + u64::from(at), value.clone());
        move || {
            let (registers, put) = (registers.clone(), Put { key, value: value.clone() });
            async move { Ok(registers.propose(&put, PATIENCE).await?.index) }
        }
    };
    let entered = async {
        tokio::time::sleep(span.warm_up).await;
        let before = Entered::of(&node.metrics_text());
        tokio::time::sleep(span.length).await;
        Entered::of(&node.metrics_text()).since(before)
    };
    let calling = call_on((0..callers).map(caller).collect(), span);
    let (answered, entered) = tokio::join!(calling, entered);
    Ok(Called { answered: answered?, entered })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_leader_entered_is_read_from_its_metrics() {
        let metrics = "# TYPE clustron_core_batches_proposed counter\n\
            clustron_core_batches_proposed_total 3\nclustron_core_commands_proposed_total 40\n";
        let entered = Entered::of(metrics);
        assert_eq!(entered, Entered { entries: 3, commands: 40 });
        assert_eq!(entered.since(Entered { entries: 1, commands: 15 }).commands, 25);
        assert_eq!(Entered::of(""), Entered::default());
    }
}
