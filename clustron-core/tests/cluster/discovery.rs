//! Nodes that learn where the others are from a source that changes, and nodes that move.

use std::fs;
use std::time::Duration;

use clustron_core::{Cluster, Config, DnsSeeds, MemoryNetwork, NodeId, NodeInfo, Role, StartError};
use clustron_testkit::conformance::{DiscoveryFixture, Given, discovery_conformance};
use clustron_testkit::{DnsRecord, NameServer};
use futures::future::{join, join_all, try_join_all};

use crate::board::Board;
use crate::world::{LONG, Member, World, address, lasts, settled, within};

const HOSTS: [&str; 3] = ["a", "b", "c"];

/// Nodes on disk that know each other only through what stands on the board.
fn world(addresses: &[&str]) -> (World, Board) {
    let board = Board::new(addresses);
    let mut world = World::on_disk(&[]);
    world.config.expect = Some(3);
    world.board = Some(board.clone());
    (world, board)
}

async fn all(world: &World, hosts: &[&str]) -> Vec<Member> {
    let members = world.start_all(hosts).await;
    settled(&members.iter().collect::<Vec<_>>()).await;
    members
}

fn ids(members: &[Member]) -> Vec<NodeId> {
    members.iter().map(|member| member.id()).collect()
}

/// Moves data directories, as where volumes follow pods: each to the host beside it in `to`.
fn move_dirs(world: &World, from: &[&str], to: &[&str]) {
    let dir = |host: &str| world.data_dir(host).expect("it is on disk");
    for host in from {
        fs::rename(dir(host), dir(host).with_extension("on-its-way")).expect("it is moved");
    }
    for (from, to) in from.iter().zip(to) {
        fs::rename(dir(from).with_extension("on-its-way"), dir(to)).expect("it is moved");
    }
}

/// Starts a node under its old name on the host where its directory is now.
async fn start_again(world: &World, name: &str, host: &str) -> Member {
    let started = world.try_start_called(name, host, &[Role::Member]).await;
    started.unwrap_or_else(|error| panic!("{name} does not start at {host}: {error}"))
}

/// Waits until everybody's view has all of these where they are.
async fn known_to_all(members: &[&Member]) {
    let wanted: Vec<NodeInfo> = members.iter().map(|member| member.node()).collect();
    for member in members {
        let at = |node: &NodeInfo| (node.id, node.addr.clone());
        member
            .until("all addresses are in the view", |status| {
                let alive: Vec<_> = status.view.alive().map(at).collect();
                wanted.iter().all(|node| alive.contains(&at(node)))
            })
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_start_with_nothing_found_a_cluster_when_they_are_told_of_each_other() {
    let (world, board) = world(&[]);
    board.hide();
    let write = async {
        // Nothing to wait for: they must hold out.
        lasts(Duration::from_millis(300)).await;
        board.write(&["a:1"]);
    };
    let (members, ()) = join(all(&world, &HOSTS), write).await;
    members[0].add(1).await;
    assert!(members.iter().all(|member| member.cluster_id() == members[0].cluster_id()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_restarts_elsewhere_comes_back_as_itself() {
    // Nobody writes on the board where it is now.
    let (world, _board) = world(&["a:1", "b:1", "c:1"]);
    let mut members = all(&world, &HOSTS).await;
    // Each once, and so the leader too.
    for name in HOSTS {
        let at = members.iter().position(|member| member.host == name).expect("it runs");
        let victim = members.swap_remove(at);
        let (id, host) = (victim.id(), format!("{name}-elsewhere"));
        world.crash(victim).await;
        move_dirs(&world, &[name], &[&host]);
        members.push(start_again(&world, name, &host).await);
        assert_eq!(members[2].id(), id);
        let all: Vec<&Member> = members.iter().collect();
        settled(&all).await;
        known_to_all(&all).await;
        members[2].add(1).await;
    }
    assert_eq!(members[0].numbers_now().await, [1, 1, 1]);
}

/// Ends all, moves their directories, writes on the board where they are, and starts them again.
async fn move_all(world: &World, board: &Board, members: Vec<Member>, to: &[&str]) -> Vec<Member> {
    let from: Vec<String> = members.iter().map(|member| member.host.clone()).collect();
    let names: Vec<String> = members.iter().map(|member| member.node().name.to_string()).collect();
    join_all(members.into_iter().map(|member| world.crash(member))).await;
    move_dirs(world, &from.iter().map(String::as_str).collect::<Vec<_>>(), to);
    let addresses: Vec<String> = to.iter().map(|host| address(host)).collect();
    board.write(&addresses.iter().map(String::as_str).collect::<Vec<_>>());
    let again = names.iter().zip(to).map(|(name, host)| start_again(world, name, host));
    join_all(again).await
}

/// Each view and each log has addresses where nobody is any more, or, in the last round, another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_may_restart_at_once_each_elsewhere() {
    let (world, board) = world(&["a:1", "b:1", "c:1"]);
    let mut members = all(&world, &HOSTS).await;
    let before = ids(&members);
    for (round, to) in (1..).zip([["d", "e", "f"], ["g", "h", "i"], ["h", "i", "g"]]) {
        members[0].add(round).await;
        members = move_all(&world, &board, members, &to).await;
        settled(&members.iter().collect::<Vec<_>>()).await;
        assert_eq!(ids(&members), before);
        known_to_all(&members.iter().collect::<Vec<_>>()).await;
        assert_eq!(members[2].numbers_now().await, (1..=round).collect::<Vec<_>>());
    }
}

/// While it is cut off all others move, so that it knows nobody's address and nobody asks for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_cut_off_while_all_others_moved_finds_them() {
    let hosts = ["a", "b", "c", "d", "e", "f", "g"];
    let (world, board) = world(&["a:1", "b:1", "c:1", "d:1"]);
    let mut members = all(&world, &hosts[..3]).await;
    let lonely = world.start_in("d", &[Role::Client]).await;
    for host in ["a", "b", "c", "e", "f", "g"] {
        world.cut_off("d", &[host]);
    }
    members[0].until("the client is out", |status| !status.view.is_alive(lonely.id())).await;
    members = move_all(&world, &board, members, &hosts[4..]).await;
    members[0].add(7).await;
    world.heal("d", &["e", "f", "g"]);
    members[0].until("the client is in again", |status| status.view.is_alive(lonely.id())).await;
    assert_eq!(lonely.numbers_now().await, [7]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_observer_finds_the_members_where_they_have_moved() {
    let (world, board) = world(&["a:1", "b:1", "c:1"]);
    let members = all(&world, &HOSTS).await;
    let observer = world.start_as("o", &[Role::Observer]).await;
    let members = move_all(&world, &board, members, &["d", "e", "f"]).await;
    let wanted: Vec<String> = members.iter().map(|member| member.node().addr).collect();
    let seen = observer.wait_for(LONG, |status| {
        let alive: Vec<_> = status.view.alive().map(|node| &node.addr).collect();
        wanted.iter().all(|addr| alive.contains(&addr)) && status.leader.is_some()
    });
    assert!(seen.await.is_some(), "{:?}", observer.status());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_lies_or_fails_only_delays_a_start() {
    let (world, board) = world(&["a:1", "b:1", "c:1"]);
    let mut members = all(&world, &HOSTS).await;
    board.write(&["nobody:1", "nowhere:1"]);
    let correct = async {
        lasts(Duration::from_millis(200)).await;
        board.hide();
        lasts(Duration::from_millis(200)).await;
        board.write(&["b:1"]);
    };
    let (member, ()) = join(world.start("d"), correct).await;
    members.push(member);
    settled(&members.iter().collect::<Vec<_>>()).await;
}

/// As where an address was given to another since, and the others are not known yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_refused_by_all_goes_on_as_long_as_its_source_may_give_others() {
    let (world, board) = world(&["a:1", "b:1", "c:1"]);
    let mut members = all(&world, &HOSTS).await;
    let stranger = Cluster::builder("other").listen("x:1").transport(world.network.host("x"));
    let _stranger = stranger.start().await.expect("it is a cluster of its own");
    board.write(&["x:1"]);
    let correct = async {
        lasts(Duration::from_millis(300)).await;
        board.write(&["x:1", "b:1"]);
    };
    let (member, ()) = join(world.start("d"), correct).await;
    members.push(member);
    settled(&members.iter().collect::<Vec<_>>()).await;
}

/// Over a network in memory, where a number is a name like any other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_know_nothing_but_a_name_form_a_cluster() {
    let server = NameServer::start().await.expect("a port");
    let network = MemoryNetwork::new();
    let nodes = [("a", "10.0.0.1"), ("b", "10.0.0.2"), ("c", "10.0.0.3")];
    let starts = nodes.map(|(name, ip)| {
        let seeds = DnsSeeds::new("shop.test.:7000").expect("an address");
        let seeds = seeds.name_servers([server.addr()]);
        let builder = Cluster::builder("shop").config(Config::local()).name(name).expect(3);
        let builder = builder.listen(format!("{ip}:7000")).transport(network.host(ip));
        builder.discovery(seeds).start()
    });
    let tell = async {
        // Until then nobody knows the name, and they must hold out.
        lasts(Duration::from_millis(300)).await;
        let records = nodes.map(|(_, ip)| DnsRecord::Address(ip.parse().expect("a number")));
        server.set("shop.test", 1, records);
    };
    let (clusters, ()) = join(within("the start of all", try_join_all(starts)), tell).await;
    let clusters = clusters.expect("all start");
    for cluster in &clusters {
        assert_eq!(cluster.cluster_id(), clusters[0].cluster_id());
        let all = cluster.wait_for(LONG, |status| status.view.alive().count() == 3).await;
        assert!(all.is_some(), "{:?}", cluster.status());
    }
}

#[tokio::test]
async fn a_member_with_a_discovery_says_how_many_found_the_cluster() {
    let start = |roles: &[Role]| {
        let builder = Cluster::builder("test").roles(roles.iter().cloned());
        builder.discovery(Board::new(&[]).look()).start()
    };
    let error = start(&[Role::Member]).await.expect_err("it starts");
    assert!(matches!(error, StartError::Config(_)), "{error}");
    assert!(error.to_string().contains("set `expect` to how many members"), "{error}");
}

#[tokio::test]
async fn a_board_keeps_the_promises_of_a_discovery() {
    let kept =
        discovery_conformance(async || {
            let board = Board::new(&["a:1", "b:1"]);
            DiscoveryFixture::changing(board.look(), &["a:1", "b:1"], &["c:1"], move |given| {
                match given {
                    Given::First => board.write(&["a:1", "b:1"]),
                    Given::Second => board.write(&["c:1"]),
                    Given::Broken => board.hide(),
                }
            })
        });
    kept.await.unwrap_or_else(|broken| panic!("{broken}"));
}
