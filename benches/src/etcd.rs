//! Three etcd processes on loopback with etcd's default times and its default durability.

mod grpc;
mod http;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use clustron_testkit::{Process, free_addrs};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

pub(crate) use self::grpc::Puts;
use self::http::Http;
use crate::process::Tied;

/// How often the survivors are asked who leads. Half of it is the mean error of a time.
const ASK_EVERY: Duration = Duration::from_millis(4);

/// How often a group that is not healthy is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long one answer may take.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);

/// The name and version of the etcd on the search path, if there is one.
pub(crate) fn version() -> Option<String> {
    let output = Command::new("etcd").arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let number = text.lines().find_map(|line| line.strip_prefix("etcd Version: "))?;
    Some(format!("etcd {}", number.trim()))
}

/// Three members. Dropping the value kills them and deletes their data.
pub(crate) struct Group {
    members: Vec<Member>,
    peers: String,
    folder: TempDir,
}

struct Member {
    name: String,
    client_addr: String,
    peer_addr: String,
    process: Process,
    http: Http,
}

/// What a member says of itself.
#[derive(Debug, Clone, Copy)]
struct Status {
    /// Its id.
    me: u64,
    /// Who leads; zero if nobody.
    leader: u64,
}

impl Group {
    /// Starts all three.
    pub(crate) fn start() -> anyhow::Result<Self> {
        Self::start_in(&std::env::temp_dir())
    }

    /// Starts all three with their data in a new folder of this one.
    pub(crate) fn start_in(parent: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir_in(parent);
        let folder =
            folder.with_context(|| format!("no folder for etcd in {}", parent.display()))?;
        let addrs: Vec<String> = free_addrs(6)?.iter().map(ToString::to_string).collect();
        let names = ["etcd-1", "etcd-2", "etcd-3"];
        let peer = |(name, addr): (&str, &String)| format!("{name}=http://{addr}");
        let peers = names.into_iter().zip(&addrs[3..]).map(peer).collect::<Vec<_>>().join(",");
        let mut members = Vec::new();
        for ((name, client), peer) in names.into_iter().zip(&addrs[..3]).zip(&addrs[3..]) {
            let process = spawn(name, client, peer, &peers, &folder)?;
            members.push(Member {
                name: name.to_owned(),
                client_addr: client.clone(),
                peer_addr: peer.clone(),
                process,
                http: Http::new(client.clone()),
            });
        }
        Ok(Self { members, peers, folder })
    }

    /// Where clients find the members, in the order of their places.
    pub(crate) fn client_addrs(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|member| member.client_addr.as_str())
    }

    /// Waits until all three answer, name the same leader and say that they are healthy. Gives the
    /// leader's place.
    pub(crate) async fn wait_until_healthy(&mut self, patience: Duration) -> anyhow::Result<usize> {
        let until = Instant::now() + patience;
        loop {
            if let Some(leader) = self.healthy_leader().await {
                return Ok(leader);
            }
            ensure!(Instant::now() < until, "etcd was not healthy within {patience:?}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Kills the leader, waits until a survivor names another, and starts the dead one again with
    /// its data. Gives the time from the kill to the answer.
    pub(crate) async fn kill_leader(
        &mut self,
        place: usize,
        patience: Duration,
    ) -> anyhow::Result<Duration> {
        let old = self.members[place].status().await.context("the leader does not answer")?.me;
        let killed = Instant::now();
        self.members[place].process.kill()?;
        let time = loop {
            let asked = Instant::now();
            if self.survivors_name_other_than(old, place).await {
                break killed.elapsed();
            }
            ensure!(killed.elapsed() < patience, "etcd has no new leader after {patience:?}");
            tokio::time::sleep_until(asked + ASK_EVERY).await;
        };
        let Member { name, client_addr, peer_addr, .. } = &self.members[place];
        let process = spawn(name, client_addr, peer_addr, &self.peers, &self.folder)?;
        self.members[place].process = process;
        Ok(time)
    }

    async fn healthy_leader(&mut self) -> Option<usize> {
        let mut said = Vec::new();
        for member in &mut self.members {
            said.push(member.status().await?);
            let health = member.http.get("/health", ANSWER_WITHIN).await.ok()?;
            let health: Value = serde_json::from_slice(&health).ok()?;
            if health["health"] != "true" {
                return None;
            }
        }
        let leader = said.first()?.leader;
        let agreed = said.iter().all(|status| status.leader == leader);
        said.iter().position(|status| agreed && status.me == leader)
    }

    async fn survivors_name_other_than(&mut self, old: u64, killed: usize) -> bool {
        for (place, member) in self.members.iter_mut().enumerate() {
            if place == killed {
                continue;
            }
            let status = member.status().await;
            if status.is_some_and(|status| status.leader != 0 && status.leader != old) {
                return true;
            }
        }
        false
    }
}

impl Member {
    /// What it says of itself; `None` while it does not answer.
    async fn status(&mut self) -> Option<Status> {
        let answer = self.http.post("/v3/maintenance/status", "{}", ANSWER_WITHIN).await.ok()?;
        let answer: Value = serde_json::from_slice(&answer).ok()?;
        // JSON has no 64-bit numbers: ids are texts, and a zero is left out.
        let id = |value: &Value| value.as_str().map_or(Some(0), |text| text.parse().ok());
        Some(Status { me: id(&answer["header"]["member_id"])?, leader: id(&answer["leader"])? })
    }
}

fn spawn(
    name: &str,
    client: &str,
    peer: &str,
    peers: &str,
    folder: &TempDir,
) -> anyhow::Result<Process> {
    let mut command = Tied::command("etcd")?;
    let (client, peer) = (format!("http://{client}"), format!("http://{peer}"));
    command
        .args(["--name", name, "--data-dir"])
        .arg(folder.path().join(name))
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", peers, "--initial-cluster-state", "new"])
        // The defaults, written out because they are what is compared.
        .args(["--heartbeat-interval", "100", "--election-timeout", "1000"]);
    Ok(Process::spawn(&mut command, name)?)
}
