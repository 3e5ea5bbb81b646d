//! Faults at the worst moment, each of which once broke a promise.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use clustron_core::{
    Applied, Clock, Cluster, Config, Consistency, Installer, Module, NodeState, Outcome,
    Replicated, ReplicatedState, SystemClock, Timestamp,
};
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::sync::watch;

use crate::world::{
    LONG, Member, TallyModule, World, hosts, lasts, part, settled, two_cut_off_from_three, within,
};

/// Cuts its node off from all answers when it is first read, which the first leader does when it is
/// about to found the cluster.
struct CutClock {
    world: Arc<World>,
    host: &'static str,
    cut: watch::Sender<Option<&'static str>>,
}

const THREE: [&str; 3] = ["a", "b", "c"];

impl Clock for CutClock {
    fn now(&self) -> Timestamp {
        self.cut.send_if_modified(|cut| {
            let first = cut.is_none();
            if first {
                *cut = Some(self.host);
                for other in THREE.into_iter().filter(|host| *host != self.host) {
                    self.world.network.cut_one_way(other, self.host);
                }
            }
            first
        });
        SystemClock.now()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_founder_that_dies_before_its_founding_is_known_leaves_a_working_cluster() {
    let world = Arc::new(World::new(&THREE));
    let cut = watch::Sender::new(None);
    let mut starts = BTreeMap::new();
    for host in THREE {
        let (name, listen) = (Some(host.to_owned()), format!("{host}:1"));
        let config = Config { name, listen, ..world.config.clone() };
        let mut builder = Cluster::builder("test")
            .config(config)
            .transport(world.network.host(host))
            .clock(CutClock { world: world.clone(), host, cut: cut.clone() });
        let tally = builder.install(TallyModule);
        starts.insert(host, tokio::spawn(async move { (builder.start().await, tally) }));
    }
    let mut cut = cut.subscribe();
    let founder = within("the founding", cut.wait_for(Option::is_some)).await;
    let founder = founder.unwrap().unwrap();
    // The others have stored the entry by then; no answer has come back.
    lasts(Duration::from_millis(60)).await;
    let start = starts.remove(founder).unwrap();
    start.abort();
    let _ = start.await;
    for host in THREE {
        world.network.heal(host, founder);
    }
    let mut members = vec![];
    for (host, start) in starts {
        let (cluster, tally) = within("the start", start).await.unwrap();
        members.push(Member { host: host.to_owned(), cluster: cluster.unwrap(), tally });
    }
    settled(&members.iter().collect::<Vec<_>>()).await;
    members[0].add(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_joiner_that_starts_over_applies_nothing_twice() {
    let mut world = World::new(&THREE);
    let members = world.start_all(&THREE).await;
    settled(&members.iter().collect::<Vec<_>>()).await;
    for first in (0..4000u64).step_by(250) {
        join_all((first..first + 250).map(|n| members[0].add(n))).await;
    }
    world.config.timing.formation_timeout = Duration::from_secs(3);
    world.config.expect = None;
    let (name, listen) = (Some("d".to_owned()), "d:1".to_owned());
    let config = Config { name, listen, ..world.config.clone() };
    let mut builder = Cluster::builder("test").config(config).transport(world.network.host("d"));
    let tally = builder.install(TallyModule);
    let mut applied = tally.applied();
    let start = tokio::spawn(builder.start());
    within("the first entries", applied.wait_for(|index| *index > 0)).await.unwrap();
    world.cut_off("d", &THREE);
    lasts(Duration::from_secs(5)).await;
    world.heal("d", &THREE);
    let cluster = within("the start", start).await.unwrap().unwrap();
    let joiner = Member { host: "d".to_owned(), cluster, tally };
    assert_eq!(members[0].numbers_now().await, joiner.numbers_now().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_off_leader_that_waits_for_a_verdict_to_commit_notices_all_the_same() {
    let names = ["a", "b", "c", "d", "e"];
    let world = World::new(&names);
    let members = world.start_all(&names).await;
    let first = settled(&members.iter().collect::<Vec<_>>()).await;
    let (leader, mut others) = part(&first, members);
    let crashed = others.pop().unwrap();
    world.cut_off(&leader.host, &hosts(&others));
    let cut = Instant::now();
    world.crash(crashed).await;
    leader.until("the old leader gives up", |status| status.leading.is_none()).await;
    // A commit may be waited for as long as five seconds.
    assert!(cut.elapsed() < Duration::from_millis(4500), "only after {:?}", cut.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_that_wait_for_a_lost_majority_do_not_keep_it_from_coming_back() {
    let (world, _, [leader, follower], majority) = two_cut_off_from_three().await;
    let patience = Duration::from_secs(120);
    let waiting: Vec<_> = (0..1200)
        .map(|n| {
            let tally = follower.tally.clone();
            tokio::spawn(async move { tally.propose(&n, patience).await })
        })
        .collect();
    settled(&majority.iter().collect::<Vec<_>>()).await;
    for host in hosts(&majority) {
        world.heal(host, &[&leader.host, &follower.host]);
    }
    let back = leader.id();
    majority[0].until("the old leader is back", |status| status.view.is_alive(back)).await;
    leader.until("it knows the new leader", |status| status.leader.is_some()).await;
    waiting.into_iter().for_each(|task| task.abort());
}

/// Answers with a lot, and fails on thirteen.
#[derive(Default, Serialize, Deserialize)]
struct Verbose {
    applied: u64,
}

impl ReplicatedState for Verbose {
    type Command = u64;
    type Reply = Vec<u8>;

    fn apply(&mut self, _at: Applied, command: u64) -> Vec<u8> {
        assert!(command != 13, "thirteen, on purpose");
        self.applied += 1;
        vec![0; 3 << 20]
    }
}

struct VerboseModule;

impl Module for VerboseModule {
    const NAME: &'static str = "verbose";
    type Handle = Replicated<Verbose>;

    fn install(self, installer: &mut Installer<'_>) -> Replicated<Verbose> {
        installer.replicate()
    }
}

async fn verbose_three(world: &World) -> Vec<(Cluster, Replicated<Verbose>)> {
    let starts = THREE.map(|host| {
        let (name, listen) = (Some(host.to_owned()), format!("{host}:1"));
        let config = Config { name, listen, frame_bytes_max: 2 << 20, ..world.config.clone() };
        let transport = world.network.host(host);
        let mut builder = Cluster::builder("test").config(config).transport(transport);
        let state = builder.install(VerboseModule);
        async move { (builder.start().await.expect("a cluster"), state) }
    });
    let nodes = join_all(starts).await;
    for (cluster, _) in &nodes {
        cluster.wait_for_leader(LONG).await.expect("a leader");
    }
    nodes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_whose_answer_cannot_travel_is_applied_once_and_unknown() {
    let world = World::new(&THREE);
    let nodes = verbose_three(&world).await;
    let follower = nodes.iter().find(|(cluster, _)| cluster.status().leading.is_none()).unwrap();
    let error = follower.1.propose(&1, LONG).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
    follower.0.barrier(LONG).await.unwrap();
    assert_eq!(follower.1.read_local(|state| state.applied), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_a_replicated_state_ends_the_node_and_says_so() {
    let world = World::new(&THREE);
    let nodes = verbose_three(&world).await;
    let (leader, state) =
        nodes.iter().find(|(cluster, _)| cluster.status().leading.is_some()).unwrap();
    let unconfirmed = state.propose(&13, Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(unconfirmed.outcome(), Outcome::Unknown, "{unconfirmed}");
    within("the end of the leader", leader.closing()).await;
    let ended = leader.ended();
    assert!(matches!(&ended, Some(Err(why)) if why.contains("thirteen")), "{ended:?}");
    // Whoever leads next applies the same command; a majority never gets past it.
    for (cluster, _) in &nodes {
        let leaderless = within("the end of leadership", async {
            tokio::select! {
                status = cluster.wait_for(LONG, |status| status.leader.is_none()) => status,
                () = cluster.closing() => None,
            }
        });
        assert!(leaderless.await.is_some() || cluster.ended().is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_leader_work_ends_the_node_and_says_so() {
    let world = World::new(&[]);
    let node = world.start("a").await;
    settled(&[&node]).await;
    node.lead("faulty", |_| async { panic!("on purpose") });
    within("the end", node.closing()).await;
    let ended = node.ended();
    assert!(matches!(&ended, Some(Err(why)) if why.contains("on purpose")), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_nodes_can_leave_at_once() {
    let world = World::new(&THREE);
    let members = world.start_all(&THREE).await;
    settled(&members.iter().collect::<Vec<_>>()).await;
    let leave = |member: Member| async move { (member.host, member.cluster.shutdown(LONG).await) };
    for (host, left) in join_all(members.into_iter().map(leave)).await {
        left.unwrap_or_else(|error| panic!("{host}: {error}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_of_two_hands_over_before_it_leaves() {
    let world = World::new(&["a", "b"]);
    let members = world.start_all(&["a", "b"]).await;
    let first = settled(&members.iter().collect::<Vec<_>>()).await;
    let (leader, others) = part(&first, members);
    let left = leader.id();
    let began = Instant::now();
    leader.cluster.shutdown(LONG).await.unwrap();
    // Where the other cannot win its vote, a quarter of the deadline passes in vain.
    assert!(began.elapsed() < LONG / 4, "{:?}", began.elapsed());
    let gone = |state: Option<NodeState>| state == Some(NodeState::Left);
    let status = others[0]
        .until("the other leads", |status| {
            gone(status.view.node(left).map(|record| record.state)) && status.leader.is_some()
        })
        .await;
    assert_eq!(status.leader.unwrap().node, others[0].id());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pair_finds_together_again_after_its_leader_was_deaf_for_a_while() {
    let world = World::new(&["a", "b"]);
    let members = world.start_all(&["a", "b"]).await;
    let first = settled(&members.iter().collect::<Vec<_>>()).await;
    let (leader, others) = part(&first, members);
    world.network.cut_one_way(&others[0].host, &leader.host);
    lasts(Duration::from_secs(4)).await;
    assert_eq!(leader.status().leading, None);
    world.heal(&leader.host, &[&others[0].host]);
    settled(&[&leader, &others[0]]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_leaves_during_a_short_cut_still_has_it_confirmed() {
    let world = World::new(&["a", "b"]);
    let members = world.start_all(&["a", "b"]).await;
    let first = settled(&members.iter().collect::<Vec<_>>()).await;
    let (leader, mut others) = part(&first, members);
    let leaving = others.remove(0);
    let (left, host) = (leaving.id(), leaving.host.clone());
    world.cut_off(&host, &[&leader.host]);
    let leave = tokio::spawn(leaving.cluster.shutdown(LONG));
    lasts(Duration::from_millis(2500)).await;
    world.heal(&host, &[&leader.host]);
    within("the end", leave).await.unwrap().unwrap();
    let status = leader.until("it goes on alone", |status| status.leader.is_some()).await;
    assert_eq!(status.view.node(left).map(|record| record.state), Some(NodeState::Left));
    leader.add(1).await;
}

/// Counts, and has nothing to say that could be written down.
#[derive(Default, Serialize, Deserialize)]
struct Mute(u64);

struct Unspeakable;

impl Serialize for Unspeakable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("on purpose"))
    }
}

impl<'de> Deserialize<'de> for Unspeakable {
    fn deserialize<D: serde::Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        u8::deserialize(reader).map(|_| Self)
    }
}

impl ReplicatedState for Mute {
    type Command = ();
    type Reply = Unspeakable;

    fn apply(&mut self, _at: Applied, (): ()) -> Unspeakable {
        self.0 += 1;
        Unspeakable
    }
}

struct MuteModule;

impl Module for MuteModule {
    const NAME: &'static str = "mute";
    type Handle = Replicated<Mute>;

    fn install(self, installer: &mut Installer<'_>) -> Replicated<Mute> {
        installer.replicate()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_whose_answer_cannot_be_written_was_not_refused_whatever_the_deadline() {
    let mut builder = Cluster::builder("test");
    let mute = builder.install(MuteModule);
    let cluster = within("the start", builder.start()).await.unwrap();
    let error = mute.propose(&(), Duration::MAX).await.err().expect("there is no answer");
    let read = mute.read(Consistency::Linearizable, Duration::MAX, |mute| mute.0).await.unwrap();
    assert_eq!((read.value, error.outcome()), (1, Outcome::Unknown), "{error}");
    cluster.shutdown(Duration::MAX).await.unwrap();
}
