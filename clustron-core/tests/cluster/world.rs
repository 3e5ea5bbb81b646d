//! What the tests are made of: nodes with a tally, on a network that can be cut.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io;
use std::ops::Deref;
use std::path::PathBuf;
use std::time::Duration;

use clustron_core::{
    Activation, Applied, Cluster, ClusterBuilder, ClusterStatus, Config, Installer, MemoryNetwork,
    Module, NodeId, NodeState, Replicated, ReplicatedState, Role, StartError, Transport,
};
use futures::future::{join_all, select_all};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::board::Board;

/// Longer than anything takes, however busy the machine is.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// Replicated numbers, in the order in which they were applied.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) numbers: Vec<u64>,
    /// Counts what this very copy has applied itself; a snapshot does not bring it.
    #[serde(skip)]
    pub(crate) applied_here: u64,
}

impl ReplicatedState for Tally {
    type Command = u64;
    /// How many numbers there are now.
    type Reply = u64;

    fn apply(&mut self, _at: Applied, number: u64) -> u64 {
        self.applied_here += 1;
        self.numbers.push(number);
        self.numbers.len() as u64
    }
}

pub(crate) struct TallyModule;

impl Module for TallyModule {
    const NAME: &'static str = "tally";
    type Handle = Replicated<Tally>;

    fn install(self, installer: &mut Installer<'_>) -> Replicated<Tally> {
        installer.replicate()
    }
}

/// A running node.
pub(crate) struct Member {
    pub(crate) host: String,
    pub(crate) cluster: Cluster,
    pub(crate) tally: Replicated<Tally>,
}

impl Deref for Member {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.cluster
    }
}

impl Member {
    pub(crate) fn id(&self) -> NodeId {
        self.node().id
    }

    pub(crate) fn numbers(&self) -> Vec<u64> {
        self.tally.read_local(|tally| tally.numbers.clone())
    }

    /// Proposes a number, which must be applied.
    pub(crate) async fn add(&self, number: u64) {
        let added = self.tally.propose(&number, LONG).await;
        added.unwrap_or_else(|error| panic!("{number} was not added at {}: {error}", self.host));
    }

    /// Waits until the status is as wanted, or fails with what was wanted and what is.
    pub(crate) async fn until(
        &self,
        what: &str,
        wanted: impl FnMut(&ClusterStatus) -> bool,
    ) -> ClusterStatus {
        match self.wait_for(LONG, wanted).await {
            Some(status) => status,
            None => panic!("{what} did not come about: {}", describe(&self.status())),
        }
    }

    /// Waits until this copy holds what a linearizable read must show.
    pub(crate) async fn numbers_now(&self) -> Vec<u64> {
        let barrier = self.barrier(LONG).await;
        barrier.unwrap_or_else(|error| panic!("no barrier at {}: {error}", self.host));
        self.numbers()
    }
}

/// The nodes' network, and the hosts that they take for seeds.
pub(crate) struct World {
    pub(crate) network: MemoryNetwork,
    pub(crate) config: Config,
    /// Where each host has a data directory, in a world whose nodes keep what they know.
    pub(crate) folder: Option<TempDir>,
    /// Where nodes look for others beside their seeds.
    pub(crate) board: Option<Board>,
}

impl World {
    /// A world whose nodes look for each other at these hosts.
    pub(crate) fn new(seeds: &[&str]) -> Self {
        let seeds = seeds.iter().map(|host| address(host)).collect();
        let config = Config { seeds, ..Config::local() };
        Self { network: MemoryNetwork::new(), config, folder: None, board: None }
    }

    /// The same, whose nodes keep their part of the log on disk.
    pub(crate) fn on_disk(seeds: &[&str]) -> Self {
        Self { folder: Some(tempfile::tempdir().expect("a folder")), ..Self::new(seeds) }
    }

    /// Where a host has its data directory.
    pub(crate) fn data_dir(&self, host: &str) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.path().join(host))
    }

    /// Starts a node, and waits until it is part of a cluster.
    pub(crate) async fn start(&self, host: &str) -> Member {
        self.start_in(host, &[Role::Member]).await
    }

    /// The same, of a node in these roles.
    pub(crate) async fn start_in(&self, host: &str, roles: &[Role]) -> Member {
        let member = self.try_start(host, roles).await;
        member.unwrap_or_else(|error| panic!("{host} did not start: {error}"))
    }

    /// The same for one that may be refused.
    pub(crate) async fn try_start(&self, host: &str, roles: &[Role]) -> Result<Member, StartError> {
        self.try_start_called(host, host, roles).await
    }

    /// The same for one whose name is not that of its host.
    pub(crate) async fn try_start_called(
        &self,
        name: &str,
        host: &str,
        roles: &[Role],
    ) -> Result<Member, StartError> {
        let (name, listen, data_dir) = (Some(name.to_owned()), address(host), self.data_dir(host));
        let roles = roles.iter().cloned().collect();
        let config = Config { name, listen, roles, data_dir, ..self.config.clone() };
        let mut builder = self.builder(config, host);
        let tally = builder.install(TallyModule);
        let cluster = within(&format!("the start of {host}"), builder.start()).await?;
        Ok(Member { host: host.to_owned(), cluster, tally })
    }

    /// Starts a node without modules in these roles, and waits until it is part of a cluster.
    pub(crate) async fn start_as(&self, host: &str, roles: &[Role]) -> Cluster {
        let (name, listen) = (Some(host.to_owned()), address(host));
        let roles = roles.iter().cloned().collect();
        let config = Config { name, listen, roles, ..self.config.clone() };
        let start = self.builder(config, host).start();
        let cluster = within(&format!("the start of {host}"), start).await;
        cluster.unwrap_or_else(|error| panic!("{host} did not start: {error}"))
    }

    /// The builder of a node to which modules can be added.
    pub(crate) fn builder_of(&self, host: &str) -> ClusterBuilder {
        let (name, listen) = (Some(host.to_owned()), address(host));
        self.builder(Config { name, listen, ..self.config.clone() }, host)
    }

    fn builder(&self, config: Config, host: &str) -> ClusterBuilder {
        let builder = Cluster::builder("test").config(config).transport(self.network.host(host));
        match &self.board {
            Some(board) => builder.discovery(board.look()),
            None => builder,
        }
    }

    /// Starts several nodes at the same time.
    pub(crate) async fn start_all(&self, hosts: &[&str]) -> Vec<Member> {
        join_all(hosts.iter().map(|host| self.start(host))).await
    }

    /// Ends a node as `kill -9` does, and waits until its address is free, as an operating system
    /// that cleans up would.
    pub(crate) async fn crash(&self, member: Member) {
        let host = member.host.clone();
        drop(member);
        let transport = self.network.host(&host);
        let free = async {
            while let Err(error) = transport.listen(&address(&host)).await {
                assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
                tokio::task::yield_now().await;
            }
        };
        within(&format!("the end of {host}"), free).await;
    }

    /// Cuts one host off from others.
    pub(crate) fn cut_off(&self, host: &str, others: &[&str]) {
        for other in others {
            self.network.cut(host, other);
        }
    }

    pub(crate) fn heal(&self, host: &str, others: &[&str]) {
        for other in others {
            self.network.heal(host, other);
        }
    }
}

/// Two members that have found each other.
pub(crate) async fn pair() -> (World, Member, Member) {
    let world = World::new(&["a", "b"]);
    let members: [Member; 2] = world.start_all(&["a", "b"]).await.try_into().ok().expect("two");
    let [a, b] = members;
    settled(&[&a, &b]).await;
    (world, a, b)
}

pub(crate) fn address(host: &str) -> String {
    format!("{host}:1")
}

/// Lets a fault last. Never used to wait for a result.
pub(crate) async fn lasts(fault: Duration) {
    let _ = tokio::time::timeout(fault, std::future::pending::<()>()).await;
}

/// Waits for something that must happen.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(LONG, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what} took more than {LONG:?}"),
    }
}

/// Waits until all these nodes, and nobody else, are alive in everybody's view and follow one
/// leader, who knows it.
pub(crate) async fn settled(members: &[&Member]) -> Activation {
    let wanted: BTreeSet<NodeId> = members.iter().map(|member| member.id()).collect();
    let statuses = agree(members, "one leader and one view", |statuses| {
        let leader = statuses[0].leader.as_ref();
        leader.filter(|leader| wanted.contains(&leader.node)).is_some_and(|leader| {
            statuses.iter().all(|status| {
                let leads = status.node.id == leader.node;
                status.leader.as_ref() == Some(leader)
                    && alive(status) == wanted
                    && status.leading == leads.then_some(leader.epoch)
            })
        })
    })
    .await;
    statuses.into_iter().find_map(|status| status.leader).expect("all agree on one")
}

/// Waits until the statuses of several nodes fit together.
pub(crate) async fn agree(
    members: &[&Member],
    what: &str,
    fits: impl Fn(&[ClusterStatus]) -> bool,
) -> Vec<ClusterStatus> {
    let mut watches: Vec<_> = members.iter().map(|member| member.watch()).collect();
    let agreeing = async {
        loop {
            let statuses: Vec<ClusterStatus> =
                watches.iter_mut().map(|watch| watch.borrow_and_update().clone()).collect();
            if fits(&statuses) {
                return statuses;
            }
            let changes = watches.iter_mut().map(|watch| Box::pin(watch.changed()));
            let (changed, ..) = select_all(changes).await;
            changed.expect("no node has ended");
        }
    };
    match tokio::time::timeout(LONG, agreeing).await {
        Ok(statuses) => statuses,
        Err(_) => {
            let now: Vec<String> = members.iter().map(|m| describe(&m.status())).collect();
            panic!("{what} did not come about: {}", now.concat());
        }
    }
}

/// A status in a few lines.
pub(crate) fn describe(status: &ClusterStatus) -> String {
    let name = |id: NodeId| {
        let record = status.view.node(id);
        record.map_or_else(|| id.to_string(), |record| record.info.name.to_string())
    };
    let states = status.view.nodes().map(|record| {
        let info = &record.info;
        format!("{} {} {} ({})", info.name, info.incarnation, record.state, record.reason)
    });
    let voters: Vec<String> = status.voters.iter().map(|id| name(*id)).collect();
    format!(
        "\n{} {}: leader {:?}, leading {:?}, voters {voters:?}, suspected {:?}, unreachable {:?}, \
         view {} {:#?}",
        status.node.name,
        status.node.incarnation,
        status.leader.as_ref().map(|leader| (name(leader.node), leader.epoch)),
        status.leading,
        status.suspected.iter().map(|(id, why)| (name(*id), why)).collect::<Vec<_>>(),
        status.unreachable,
        status.view.version(),
        states.collect::<Vec<_>>(),
    )
}

pub(crate) fn alive(status: &ClusterStatus) -> BTreeSet<NodeId> {
    status.view.alive().map(|node| node.id).collect()
}

pub(crate) fn state_of(status: &ClusterStatus, node: NodeId) -> Option<NodeState> {
    status.view.node(node).map(|record| record.state)
}

/// The member that leads, and the others.
pub(crate) fn part(leader: &Activation, members: Vec<Member>) -> (Member, Vec<Member>) {
    let (mut leading, others): (Vec<_>, Vec<_>) =
        members.into_iter().partition(|member| member.id() == leader.node);
    (leading.pop().expect("one of the members leads"), others)
}

/// Five nodes, of which the leader and one follower are cut off from the other three; with how the
/// leader came to be.
pub(crate) async fn two_cut_off_from_three() -> (World, Activation, [Member; 2], Vec<Member>) {
    let names = ["a", "b", "c", "d", "e"];
    let world = World::new(&names);
    let members = world.start_all(&names).await;
    let first = settled(&members.iter().collect::<Vec<_>>()).await;
    let (leader, mut majority) = part(&first, members);
    let follower = majority.pop().expect("four others");
    for host in hosts(&majority) {
        world.cut_off(host, &[&leader.host, &follower.host]);
    }
    (world, first, [leader, follower], majority)
}

pub(crate) fn hosts(members: &[Member]) -> Vec<&str> {
    members.iter().map(|member| member.host.as_str()).collect()
}

/// All leader activations that any node ever reported.
#[derive(Default)]
pub(crate) struct Reigns {
    by_epoch: BTreeMap<u64, Activation>,
}

impl Reigns {
    /// Takes in what the nodes remember. At most one activation per epoch (C1): all must agree.
    pub(crate) fn record<'a>(&mut self, members: impl IntoIterator<Item = &'a Member>) {
        for member in members {
            let history = member.leader_history();
            let rises = history.windows(2).all(|pair| pair[0].epoch < pair[1].epoch);
            assert!(rises, "epochs do not rise at {}: {history:#?}", member.host);
            for activation in history {
                let epoch = activation.epoch.0;
                let known = self.by_epoch.entry(epoch).or_insert_with(|| activation.clone());
                assert_eq!(*known, activation, "two activations in epoch {epoch}");
            }
        }
    }

    /// How many there were.
    pub(crate) fn count(&self) -> usize {
        self.by_epoch.len()
    }
}
