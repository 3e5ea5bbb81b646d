//! What can be done to the disks of a simulated cluster does what it says.

use std::time::Duration;

use clustron_core::Replicated;
use clustron_testkit::cluster::scenarios::{Tally, TallyModule};
use clustron_testkit::cluster::{Failure, SimCluster, simulate};

const LONG: Duration = Duration::from_secs(20);

type Tallies = SimCluster<Replicated<Tally>>;

fn tell(seed: u64, story: impl AsyncFn(&Tallies) -> Result<(), Failure>) {
    let told = simulate(seed, async {
        let builder = SimCluster::builder(seed).on_disk().watch_state(Replicated::clone);
        let cluster = builder.start(|node| node.install(TallyModule)).await?;
        story(&cluster).await
    });
    told.unwrap_or_else(|failure| panic!("{failure}"));
}

async fn say(cluster: &Tallies, host: &str, number: u64) {
    let node = cluster.node(host).expect("it runs");
    node.app.propose(&number, LONG).await.unwrap();
}

fn numbers(cluster: &Tallies, host: &str) -> Vec<u64> {
    cluster.node(host).expect("it runs").app.read_local(|tally| tally.numbers.clone())
}

#[test]
fn a_node_with_a_disk_comes_back_as_itself() {
    tell(1, async |cluster| {
        say(cluster, "a", 7).await;
        for (life, end) in [(2, Tallies::crash as fn(&Tallies, &str)), (3, Tallies::power_off)] {
            let before = cluster.node("b").expect("it runs").node();
            end(cluster, "b");
            cluster.restart("b");
            cluster.converge().await?;
            let after = cluster.node("b").expect("it runs");
            assert_eq!((after.node().id, after.life), (before.id, life));
            assert_eq!(after.node().starts, before.starts + 1);
            assert_eq!(numbers(cluster, "b"), [7]);
        }
        Ok(())
    });
}

#[test]
fn all_that_was_acknowledged_is_there_when_all_have_their_power_back() {
    tell(2, async |cluster| {
        for number in 0..5 {
            say(cluster, "c", number).await;
            cluster.power_off_all();
            assert!(cluster.nodes().is_empty());
            cluster.heal();
            cluster.converge().await?;
            for host in cluster.hosts() {
                assert_eq!(numbers(cluster, &host), (0..=number).collect::<Vec<_>>());
            }
        }
        Ok(())
    });
}

#[test]
fn a_host_without_its_disk_is_another_node_and_no_second_one_loses_its_disk() {
    tell(3, async |cluster| {
        say(cluster, "a", 1).await;
        let before = cluster.node("b").expect("it runs").node().id;
        assert!(cluster.lose_disk("b"));
        cluster.heal();
        cluster.converge().await?;
        assert_ne!(cluster.node("b").expect("it runs").node().id, before);
        assert_eq!(numbers(cluster, "b"), [1]);
        assert!(!cluster.lose_disk("a") && !cluster.restore_old_disk("a"));
        Ok(())
    });
}

#[test]
fn an_old_copy_of_a_disk_is_refused_and_its_host_starts_anew() {
    tell(4, async |cluster| {
        let before = cluster.node("b").expect("it runs").node().id;
        assert!(!cluster.restore_old_disk("b"), "there is nothing older");
        cluster.crash("b");
        cluster.restart("b");
        cluster.converge().await?;
        assert!(cluster.restore_old_disk("b"));
        cluster.restart("b");
        cluster.converge().await?;
        assert!(cluster.trace().contains("is an old copy"), "{}", cluster.trace());
        assert_ne!(cluster.node("b").expect("it runs").node().id, before);
        Ok(())
    });
}

#[test]
fn a_node_whose_disk_fails_ends_and_comes_back() {
    let faults: [fn(&Tallies, &str); 3] = [
        |cluster, host| cluster.fill_disk(host, 10),
        |cluster, host| cluster.fail_next_sync(host),
        |cluster, host| cluster.cut_disk_after(host, 1),
    ];
    for (seed, fault) in (5..).zip(faults) {
        tell(seed, async |cluster| {
            let leader = cluster.leader().expect("a leader");
            let host = cluster.hosts().into_iter().find(|host| *host != leader).expect("three");
            let before = cluster.node(&host).expect("it runs");
            fault(cluster, &host);
            say(cluster, &leader, 1).await;
            assert!(before.wait_for(LONG, |_| false).await.is_none());
            assert!(before.ended().is_some(), "it went on without its disk");
            cluster.heal();
            cluster.converge().await?;
            let after = cluster.node(&host).expect("it runs");
            assert_eq!((after.node().id, after.life), (before.node().id, 2));
            assert_eq!(numbers(cluster, &host), [1]);
            Ok(())
        });
    }
}

#[test]
fn a_slow_disk_makes_commits_wait() {
    tell(8, async |cluster| {
        let took = async || {
            let began = cluster.now();
            say(cluster, "a", 1).await;
            cluster.now() - began
        };
        let before = took().await;
        let slow = Duration::from_millis(60);
        cluster.hosts().iter().for_each(|host| cluster.slow_disk(host, slow));
        let then = took().await;
        assert!(before < slow && slow <= then, "{before:?}, then {then:?}");
        Ok(())
    });
}
