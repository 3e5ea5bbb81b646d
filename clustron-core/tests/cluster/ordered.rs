//! Total order broadcast: all nodes deliver the same messages in the same order, whoever leads.

use clustron_core::total_order::{
    Delivery, KEPT_MAX, OrderedSubscription, TotalOrder, TotalOrderHandle,
};
use clustron_core::{Cluster, FencingToken, Message, Outcome};
use futures::future::join_all;
use serde::{Deserialize, Serialize};

use crate::world::{LONG, World, within};

/// What somebody says, and which of its sayings it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Saying {
    speaker: u64,
    number: u64,
}

impl Message for Saying {
    const KIND: &'static str = "test.saying";
}

struct Node {
    cluster: Cluster,
    order: TotalOrderHandle,
}

async fn start(world: &World, host: &str) -> Node {
    let mut builder = world.builder_of(host);
    let order = builder.install(TotalOrder);
    let cluster = within(&format!("the start of {host}"), builder.start()).await;
    Node { cluster: cluster.unwrap_or_else(|error| panic!("{host}: {error}")), order }
}

/// What comes until the saying with this place.
async fn up_to(
    place: FencingToken,
    sayings: &mut OrderedSubscription<Saying>,
) -> Vec<(FencingToken, Saying)> {
    let mut all = vec![];
    while sayings.place() < place {
        match within("a delivery", sayings.next()).await {
            Some(Delivery::Message { place, message, .. }) => all.push((place, message)),
            other => panic!("{other:?}"),
        }
    }
    all
}

#[tokio::test]
async fn all_deliver_the_same_in_one_order_while_leaders_die() {
    const ROUNDS: u64 = 40;
    let hosts = ["a", "b", "c", "d", "e"];
    let world = World::new(&hosts);
    let mut nodes = join_all(hosts.iter().map(|host| start(&world, host))).await;
    // Those of the last three survive; each of them speaks from several tasks at once.
    let mut readers: Vec<_> = nodes.iter().map(|node| node.order.subscribe::<Saying>()).collect();
    let leader = nodes[0].cluster.wait_for_leader(LONG).await.expect("a leader").node;
    let at = nodes.iter().position(|node| node.cluster.node().id == leader).expect("one of them");
    let victim = nodes.remove(at);
    let mut of_victim = readers.remove(at);
    let speak = nodes.iter().flat_map(|node| std::iter::repeat_n(node, 4)).zip(0u64..);
    let speakers = speak.map(|(node, speaker)| {
        let order = node.order.clone();
        async move {
            let mut confirmed = vec![];
            for number in 0..ROUNDS {
                let saying = Saying { speaker, number };
                match order.broadcast(&saying, LONG).await {
                    Ok(place) => confirmed.push((place, saying)),
                    Err(error) => panic!("{saying:?} was not confirmed: {error}"),
                }
            }
            confirmed
        }
    });
    let speaking = tokio::spawn(join_all(speakers.collect::<Vec<_>>()));
    // In the midst of it the leader is gone.
    let mut heard_by_victim = vec![];
    while heard_by_victim.len() < 50 {
        match within("a delivery", of_victim.next()).await {
            Some(Delivery::Message { place, message, .. }) => {
                heard_by_victim.push((place, message))
            }
            other => panic!("{other:?}"),
        }
    }
    drop(victim);
    let confirmed = within("the end of the talk", speaking).await.expect("no panic");

    let last = confirmed.iter().flatten().map(|(place, _)| *place).max().expect("some");
    let mut heard = vec![];
    for reader in &mut readers {
        heard.push(up_to(last, reader).await);
    }
    assert!(heard.iter().all(|one| *one == heard[0]), "not all heard the same");
    assert!(heard[0].is_sorted_by(|one, next| one.0 < next.0), "places do not rise");
    assert_eq!(heard_by_victim, heard[0][..heard_by_victim.len()], "the dead leader's differ");
    // Everything that was confirmed is there, at its place, once, and each speaker's in its order.
    for (speaker, confirmed) in (0u64..).zip(confirmed) {
        let of_speaker = heard[0].iter().filter(|(_, saying)| saying.speaker == speaker);
        assert_eq!(of_speaker.cloned().collect::<Vec<_>>(), confirmed, "of speaker {speaker}");
    }
    assert_eq!(heard[0].len() as u64, 16 * ROUNDS);
}

#[tokio::test]
async fn whoever_comes_late_is_told_what_it_missed_and_reads_the_rest() {
    let world = World::new(&["a"]);
    let first = start(&world, "a").await;
    let mut slow = first.order.subscribe::<Saying>();
    let beyond = 100;
    let all: Vec<_> =
        (0..KEPT_MAX as u64 + beyond).map(|number| Saying { speaker: 1, number }).collect();
    let mut places = vec![];
    for some in all.chunks(200) {
        let said = some.iter().map(|saying| first.order.broadcast(saying, LONG));
        for place in join_all(said).await {
            places.push(place.expect("a place"));
        }
    }
    places.sort_unstable();
    let cut = places[beyond as usize - 1];
    let after = slow.place();
    assert_eq!(slow.next().await, Some(Delivery::Gap { after, up_to: cut }));
    let rest = up_to(places[places.len() - 1], &mut slow).await;
    assert_eq!(rest.len(), KEPT_MAX);

    // A node that comes later gets what is kept with its copy of the log.
    let second = start(&world, "b").await;
    let mut late = second.order.subscribe_after::<Saying>(FencingToken::default());
    let gap = Delivery::Gap { after: FencingToken::default(), up_to: cut };
    assert_eq!(late.next().await, Some(gap));
    assert_eq!(up_to(places[places.len() - 1], &mut late).await, rest);
    // And whoever knows where it was goes on from there.
    let place = rest[rest.len() - 3].0;
    let mut again = second.order.subscribe_after::<Saying>(place);
    assert_eq!(up_to(places[places.len() - 1], &mut again).await, rest[rest.len() - 2..]);

    let soon = std::time::Duration::from_secs(5);
    first.cluster.shutdown(soon).await.expect("an end in order");
    assert_eq!(within("the end", slow.next()).await, None);
}

#[tokio::test]
async fn a_minority_broadcasts_nothing_and_says_whether_it_might_have() {
    let hosts = ["a", "b", "c"];
    let world = World::new(&hosts);
    let nodes = join_all(hosts.iter().map(|host| start(&world, host))).await;
    let leader = nodes[0].cluster.wait_for_leader(LONG).await.expect("a leader").node;
    let at = nodes.iter().position(|node| node.cluster.node().id == leader).expect("one of them");
    let say = |number| Saying { speaker: 9, number };
    let order = nodes[at].order.clone();
    let first = order.broadcast(&say(0), LONG).await.expect("it leads");
    for other in hosts.iter().filter(|host| **host != hosts[at]) {
        world.network.cut(hosts[at], other);
    }
    let short = std::time::Duration::from_millis(700);
    let error = order.broadcast(&say(1), short).await.expect_err("nobody confirms");
    assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
    for other in hosts.iter().filter(|host| **host != hosts[at]) {
        world.network.heal(hosts[at], other);
    }
    let third = order.broadcast(&say(2), LONG).await.expect("all is well again");
    // The second came through or it did not; but to all the same, and not after the third.
    let mut of_all = vec![];
    for node in &nodes {
        of_all.push(up_to(third, &mut node.order.subscribe_after(first)).await);
    }
    let numbers: Vec<u64> = of_all[0].iter().map(|(_, saying)| saying.number).collect();
    assert!(numbers == [2] || numbers == [1, 2], "{numbers:?}");
    assert!(of_all.iter().all(|one| *one == of_all[0]), "{of_all:?}");
}
