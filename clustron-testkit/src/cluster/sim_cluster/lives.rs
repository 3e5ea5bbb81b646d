//! Starting and ending the nodes of a simulated cluster.

use std::sync::PoisonError;

use clustron_core::{Cluster, Config, StartError};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::SimCluster;
use crate::cluster::host_disk::{Ending, HostDisk};
use crate::cluster::node::{Node, observe};

impl<H: Clone + Send + Sync + 'static> SimCluster<H> {
    /// Ends a node as `kill -9` does: its host closes its connections and refuses new ones. Its
    /// disk loses nothing.
    ///
    /// # Panics
    /// When there is no such host; so with all others that take a name.
    pub fn crash(&self, host: &str) {
        self.note(&format!("crash {host}"));
        self.end(host, Ending::Killed);
    }

    /// Takes the power from a host: nobody is told, and nothing answers there. What was not synced
    /// to its disk survives in pieces or not at all.
    pub fn power_off(&self, host: &str) {
        self.note(&format!("power off {host}"));
        self.inner.network.power_off(host);
        self.end(host, Ending::PowerLost);
    }

    /// Starts a node on a host that has none, with power if it had lost that. With a disk it is the
    /// node that it was, without one it has a fresh identity and an empty log. It joins in the
    /// background: [`converge`](Self::converge) waits for it. Does nothing where a node runs.
    pub fn restart(&self, host: &str) {
        self.inner.network.power_on(host);
        let (name, inner) = (host.to_owned(), self.inner.clone());
        let process = self.inner.network.host(host);
        let Some((life, clock, disk)) = self.slot(host, |slot| {
            if slot.process.is_some() {
                return None;
            }
            slot.life += 1;
            slot.fell = false;
            slot.process = Some(process.clone());
            let disk = slot.disk.as_mut().map(|disk| disk.boot());
            Some((slot.life, slot.clock.clone(), disk))
        }) else {
            return;
        };
        self.inner.record.note(&format!("{host}#{life}"), "starts");
        if disk.is_some() {
            // From here on it may vote and store as who it was.
            self.inner.record.change_health(|health| health.comes_back(host));
        }
        let config = Config {
            name: Some(name.clone()),
            listen: address(host),
            seeds: self.hosts().iter().map(|host| address(host)).collect(),
            ..inner.config.clone()
        };
        let mut builder = Cluster::builder("simulated")
            .config(config)
            .transport(process)
            .clock(clock)
            .seed(seed_of(inner.seed, host, life))
            .bug(inner.bug);
        if let Some(disk) = disk {
            builder = builder.sim_disk(disk);
        }
        let app = {
            let mut install = inner.install.lock().unwrap_or_else(PoisonError::into_inner);
            install(&mut builder)
        };
        let this = self.clone();
        let task = tokio::spawn(async move {
            match builder.start().await {
                Ok(cluster) => this.has_started(&name, life, cluster, app).await,
                Err(error) => {
                    let why = format!("did not start: {error}");
                    let is_old = this.slot(&name, |slot| slot.has_old_disk());
                    match error {
                        StartError::OldState(_) if is_old => this.falls(&name, life, &why),
                        _ => this.has_fallen(&name, life, "every_node_starts", &why),
                    }
                }
            }
        });
        self.slot(host, |slot| slot.task = Some(task));
        self.look();
    }

    async fn has_started(&self, host: &str, life: u32, cluster: Cluster, app: H) {
        let node = Node { name: host.to_owned(), life, app, cluster: cluster.handle() };
        let watched = self.inner.watch_state.as_ref().map(|watch| watch(&node.app));
        let (record, handle) = (self.inner.record.clone(), cluster.handle());
        let is_known = record.introduce(cluster.node().id, host, life);
        let is_old = self.slot(host, |slot| {
            slot.running = Some((cluster, node));
            // A copy of a disk with which nobody had been let in yet is as good as an empty one.
            let disk = slot.disk.as_mut().filter(|_| !is_known);
            disk.into_iter().for_each(HostDisk::is_of_a_new_node);
            slot.has_old_disk()
        });
        self.look();
        if is_old {
            let detail = format!("{host}#{life} was let in with an old copy of its disk");
            record.fail("an_old_copy_is_refused", &detail);
        }
        let why = observe(record, host, life, handle, watched).await;
        self.has_fallen(host, life, "no_node_ends_by_itself", &format!("ended: {why}"));
    }

    /// A node has ended and nobody killed it. That breaks a promise unless its disk was hurt.
    fn has_fallen(&self, host: &str, life: u32, promise: &str, why: &str) {
        if self.slot(host, |slot| slot.disk.as_ref().is_some_and(HostDisk::is_hurt)) {
            self.falls(host, life, why);
        } else {
            self.inner.record.fail(promise, &format!("{host}#{life} {why}"));
        }
    }

    /// A node has ended because of its disk: somebody will start another.
    fn falls(&self, host: &str, life: u32, why: &str) {
        self.inner.record.note(&format!("{host}#{life}"), why);
        self.slot(host, |slot| slot.fell = true);
        self.end(host, Ending::Killed);
    }

    /// Starts the nodes anew that ended because of their disks.
    pub(super) fn restart_fallen(&self) {
        for host in self.hosts() {
            if self.slot(&host, |slot| slot.fell) {
                self.heal_disk(&host);
                self.restart(&host);
            }
        }
    }

    fn end(&self, host: &str, ending: Ending) {
        let (process, task, running) =
            self.slot(host, |slot| (slot.process.take(), slot.task.take(), slot.running.take()));
        if let Some(process) = process {
            self.inner.network.kill(&process);
        }
        // Before anything of the node can run again.
        self.slot(host, |slot| {
            if let Some(disk) = &slot.disk {
                disk.end(ending);
            }
        });
        if let Some(task) = task {
            task.abort();
        }
        if let Some((cluster, _)) = running {
            let id = cluster.node().id;
            let at = self.now();
            self.inner.record.change_health(|health| health.goes(at, host, id));
        }
        self.look();
    }
}

fn address(host: &str) -> String {
    format!("{host}:1")
}

/// A seed of its own for each start of each node.
fn seed_of(seed: u64, host: &str, life: u32) -> u64 {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..12].copy_from_slice(&life.to_le_bytes());
    for (at, byte) in host.bytes().enumerate() {
        key[12 + at % 20] ^= byte;
    }
    StdRng::from_seed(key).random()
}
