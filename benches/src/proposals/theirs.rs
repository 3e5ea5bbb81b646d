//! Three processes of etcd, whose callers are in this one.

use anyhow::Context;
use bytes::Bytes;
use tokio::task::JoinSet;

use super::Plan;
use super::outcome::{Outcome, Place, Storage};
use crate::PATIENCE;
use crate::callers::{call_on, shares};
use crate::etcd::{self, Puts};

/// How many callers share a connection. One for all would be a bottleneck in this process, and one
/// for each a burden for etcd.
const CALLERS_PER_CONNECTION: u32 = 32;

/// The processes.
pub(super) struct Group {
    etcd: etcd::Group,
}

impl Group {
    /// Starts them and waits until all are healthy.
    pub(super) async fn start(plan: &Plan, storage: Storage) -> anyhow::Result<Self> {
        let mut etcd = etcd::Group::start_in(&plan.folder(storage))?;
        etcd.wait_until_healthy(PATIENCE).await?;
        Ok(Self { etcd })
    }

    /// Measures once.
    pub(super) async fn measure(&mut self, plan: &Plan, place: Place) -> anyhow::Result<Outcome> {
        let leader = self.etcd.wait_until_healthy(PATIENCE).await?;
        let addrs: Vec<&str> = match place {
            Place::Leader => self.etcd.client_addrs().skip(leader).take(1).collect(),
            Place::All => self.etcd.client_addrs().collect(),
        };
        let value = Bytes::from(vec![7; plan.value_bytes as usize]);
        // Ends the connections when this call ends.
        let mut tasks = JoinSet::new();
        let (mut callers, nodes) = (Vec::new(), u32::try_from(addrs.len())?);
        for (addr, share) in addrs.into_iter().zip(shares(plan.callers, nodes)) {
            let mut connection = Puts::connect(addr, &mut tasks).await?;
            for at in 0..share {
                if at > 0 && at % CALLERS_PER_CONNECTION == 0 {
                    connection = Puts::connect(addr, &mut tasks).await?;
                }
                let (puts, value) = (connection.clone(), value.clone());
                let key = Bytes::from(format!("caller-{}", callers.len()));
                callers.push(move || {
                    let (puts, key, value) = (puts.clone(), key.clone(), value.clone());
                    async move { puts.put(&key, &value, PATIENCE).await.map(|()| 0) }
                });
            }
        }
        let answered = call_on(callers, plan.span).await.context("a call at etcd failed")?;
        Ok(Outcome::new(&answered.latencies, plan.span.length, None))
    }
}
