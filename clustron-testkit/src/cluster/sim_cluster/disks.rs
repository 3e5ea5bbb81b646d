//! What can be done to the disks of a simulated cluster. Without disks, nothing.

use std::time::Duration;

use clustron_core::simulation::SimDisk;

use super::SimCluster;
use crate::cluster::host_disk::HostDisk;

impl<H: Clone + Send + Sync + 'static> SimCluster<H> {
    /// Whether the hosts have disks; see
    /// [`SimBuilder::on_disk`](crate::cluster::SimBuilder::on_disk).
    pub fn is_on_disk(&self) -> bool {
        self.slots().values().all(|slot| slot.disk.is_some())
    }

    /// Takes the power from all hosts at once.
    pub fn power_off_all(&self) {
        for host in self.hosts() {
            self.power_off(&host);
        }
    }

    /// Makes a host's disk take so long for each change, until it is healed.
    pub fn slow_disk(&self, host: &str, latency: Duration) {
        self.note(&format!("the disk of {host} takes {latency:?}"));
        self.with_disk(host, |disk| disk.slow(latency));
    }

    /// Leaves room for so many bytes more on a host's disk, until it is healed. The node that needs
    /// more ends, and its host counts as crashed.
    pub fn fill_disk(&self, host: &str, bytes: u64) {
        self.note(&format!("the disk of {host} has room for {bytes} bytes"));
        self.hurt(host, |disk| disk.set_full_after(bytes));
    }

    /// Has the next sync of a file on a host's disk fail. The node ends with it.
    pub fn fail_next_sync(&self, host: &str) {
        self.note(&format!("the next sync of {host} fails"));
        self.hurt(host, SimDisk::fail_next_sync);
    }

    /// Has the `n`-th change from now on, and all after it, fail on a host's disk, as where the
    /// power fails in the middle of something. The node ends with it.
    pub fn cut_disk_after(&self, host: &str, n: u64) {
        self.note(&format!("the disk of {host} goes after {n} changes"));
        self.hurt(host, |disk| disk.crash_after(n));
    }

    /// Takes the power from a host and its disk away. The node that starts there next is a new one.
    /// Does nothing, and gives false, where the cluster might not survive it: less than half of the
    /// hosts lose their disk in a run, and only where [a majority of voters](Self::can_lose) stays.
    pub fn lose_disk(&self, host: &str) -> bool {
        let may = self.is_on_disk() && self.may_lose_another_disk() && self.can_lose(host);
        if may {
            self.power_off(host);
            self.note(&format!("{host} loses its disk"));
            self.slot(host, |slot| slot.disks_lost += 1);
            self.with_disk(host, HostDisk::wipe);
        }
        may
    }

    /// Takes the power from a host and puts its disk back to what it was before the latest start
    /// of its node. No cluster may let the node in that starts with it; after that the disk is
    /// empty. Does nothing, and gives false, where [`lose_disk`](Self::lose_disk) would not, and
    /// where there is no older state or the node has not got as far as to be known.
    pub fn restore_old_disk(&self, host: &str) -> bool {
        let is_known = self.node(host).is_some();
        let has_copy = self.with_disk(host, |disk| disk.has_old_copy()).unwrap_or(false);
        let may = is_known && has_copy && self.may_lose_another_disk() && self.can_lose(host);
        if may {
            self.power_off(host);
            self.note(&format!("{host} gets an old copy of its disk"));
            self.slot(host, |slot| slot.disks_lost += 1);
            self.with_disk(host, HostDisk::restore_old_copy);
        }
        may
    }

    pub(super) fn heal_disk(&self, host: &str) {
        self.with_disk(host, |disk| disk.heal());
    }

    fn may_lose_another_disk(&self) -> bool {
        let slots = self.slots();
        let lost: usize = slots.values().map(|slot| slot.disks_lost).sum();
        2 * (lost + 1) < slots.len()
    }

    /// Where no node runs there is nobody to hurt, and the next one begins with a disk that is
    /// well.
    fn hurt(&self, host: &str, how: impl FnOnce(&SimDisk)) {
        self.slot(host, |slot| {
            if let Some(disk) = slot.disk.as_mut().filter(|_| slot.process.is_some()) {
                disk.hurt(how);
            }
        });
    }

    fn with_disk<T>(&self, host: &str, with: impl FnOnce(&mut HostDisk) -> T) -> Option<T> {
        self.slot(host, |slot| slot.disk.as_mut().map(with))
    }
}
