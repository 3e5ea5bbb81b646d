//! What links do to messages.

use super::talker::*;
use crate::sim::{Link, Partition, Simulation, Tracing, Weather};

/// What B hears of a thousand numbers over a link.
fn heard_over(link: Link) -> Vec<u64> {
    let mut sim = build(builder().link(link));
    send(&mut sim, A, B, 1000);
    sim.run_for(10 * SECOND).unwrap();
    talker(&sim, B).heard()
}

fn in_order(count: u64) -> Vec<u64> {
    (0..count).collect()
}

#[test]
fn a_steady_link_delivers_all_in_order_after_its_delay() {
    assert_eq!(heard_over(Link::steady(MS)), in_order(1000));
    let mut sim = three();
    send(&mut sim, A, B, 1);
    sim.run_for(MS - MS / 1000).unwrap();
    assert_eq!(talker(&sim, B).heard(), [0; 0]);
    sim.run_for(MS / 1000).unwrap();
    assert_eq!(talker(&sim, B).heard(), [0]);
}

#[test]
fn loss_loses_about_as_many_as_it_says() {
    let heard = heard_over(Link { loss: 0.3, ..Link::steady(MS) });
    assert!((600..800).contains(&heard.len()), "{}", heard.len());
    assert!(heard.is_sorted());
}

#[test]
fn duplication_delivers_twice() {
    let mut heard = heard_over(Link { duplicate: 0.3, ..Link::steady(MS) });
    assert!((1200..1400).contains(&heard.len()), "{}", heard.len());
    heard.sort_unstable();
    heard.dedup();
    assert_eq!(heard, in_order(1000));
}

#[test]
fn jitter_lets_messages_overtake_each_other_and_an_ordered_link_does_not() {
    let link = Link { jitter: 20 * MS, ..Link::steady(MS) };
    let mut heard = heard_over(link);
    assert!(!heard.is_sorted());
    heard.sort_unstable();
    assert_eq!(heard, in_order(1000));
    assert_eq!(heard_over(link.ordered()), in_order(1000));
}

#[test]
fn an_ordered_link_sends_again_what_was_lost_and_never_doubles() {
    let link = Link { loss: 0.2, duplicate: 0.5, ..Link::steady(MS) };
    assert_eq!(heard_over(link.ordered()), in_order(1000));
    let mut sim = build(builder().link(Link { loss: 0.2, ..Link::steady(MS).ordered() }));
    send(&mut sim, A, B, 1000);
    sim.run_for(SECOND / 10).unwrap();
    assert!(talker(&sim, B).heard().len() < 95, "a loss holds up what is behind it");
}

#[test]
fn corruption_damages_messages_or_drops_what_cannot_be_read() {
    let heard = heard_over(Link { corrupt: 0.5, ..Link::steady(MS) });
    let strange = heard.iter().enumerate().filter(|(at, number)| *at as u64 != **number).count();
    assert!((600..1000).contains(&heard.len()), "{}", heard.len());
    assert!(strange > 100, "{strange}");
}

#[test]
fn a_cut_stops_one_direction_and_a_message_under_way_arrives() {
    let mut sim = three();
    send(&mut sim, A, B, 1);
    sim.run_for(MS / 2).unwrap();
    sim.cut(A, B);
    sim.tell(A, "send", |_, _, out| out.send(B, 7));
    sim.tell(B, "send", |_, _, out| out.send(A, 8));
    sim.run_for(SECOND).unwrap();
    assert_eq!((talker(&sim, B).heard(), talker(&sim, A).heard()), (vec![0], vec![8]));
    sim.uncut(A, B);
    sim.tell(A, "send", |_, _, out| out.send(B, 9));
    sim.run_for(SECOND).unwrap();
    assert_eq!(talker(&sim, B).heard(), [0, 9]);
}

#[test]
fn partitions_add_up_and_heal_ends_them() {
    let mut sim = three();
    let everybody = |sim: &mut Simulation<Talker>| {
        for from in [A, B, C] {
            sim.tell(from, "all", move |_, _, out| out.broadcast(&(from.0 as u64)));
        }
        sim.run_for(SECOND).unwrap();
        [A, B, C].map(|node| {
            let mut heard = std::mem::take(&mut sim.node_mut(node).unwrap().inputs);
            heard.retain(|(_, input)| matches!(input, crate::sim::Input::Received { .. }));
            heard.len()
        })
    };
    assert_eq!(everybody(&mut sim), [2, 2, 2]);
    sim.partition(Partition::apart([A]));
    assert_eq!(everybody(&mut sim), [0, 1, 1]);
    sim.partition(Partition::one_way([B]));
    assert_eq!(everybody(&mut sim), [0, 1, 0]);
    sim.heal();
    assert_eq!(everybody(&mut sim), [2, 2, 2]);
}

#[test]
fn weather_comes_on_top_of_every_link_until_it_heals() {
    let mut sim = three();
    sim.worsen(Weather { loss: 1.0, ..Weather::default() });
    send(&mut sim, A, B, 10);
    sim.run_for(SECOND).unwrap();
    assert_eq!(talker(&sim, B).heard(), [0; 0]);
    sim.heal();
    sim.worsen(Weather { delay: SECOND, ..Weather::default() });
    send(&mut sim, A, B, 1);
    sim.run_for(SECOND).unwrap();
    assert_eq!(talker(&sim, B).heard(), [0; 0]);
    sim.run_for(2 * SECOND).unwrap();
    assert_eq!(talker(&sim, B).heard(), [0]);
}

#[test]
fn a_link_of_its_own_concerns_one_direction() {
    let mut sim = three();
    sim.set_link(A, B, Link { loss: 1.0, ..Link::steady(MS) });
    send(&mut sim, A, B, 5);
    send(&mut sim, B, A, 5);
    sim.run_for(SECOND).unwrap();
    assert_eq!((talker(&sim, B).heard().len(), talker(&sim, A).heard().len()), (0, 5));
}

#[test]
fn traffic_counts_what_was_sent_and_what_arrived() {
    let mut sim = three();
    sim.cut(A, C);
    send(&mut sim, A, B, 10);
    send(&mut sim, A, C, 5);
    sim.run_for(SECOND).unwrap();
    let (a, b, c) = (sim.traffic(A), sim.traffic(B), sim.traffic(C));
    assert_eq!((a.messages_sent, a.bytes_sent), (15, 120));
    assert_eq!((b.messages_received, b.bytes_received), (10, 80));
    assert_eq!((c.messages_received, c.messages_sent), (0, 0));
}

#[test]
fn a_fault_more_does_not_change_the_delays_of_the_others() {
    // When each message that B hears would have arrived.
    let arrivals = |link: Link| {
        let mut sim = build(builder().link(link).tracing(Tracing::off()));
        send(&mut sim, A, B, 200);
        sim.run_for(SECOND).unwrap();
        let talker = std::mem::take(sim.node_mut(B).unwrap());
        talker.inputs.into_iter().skip(1).collect::<Vec<_>>()
    };
    let calm = arrivals(Link::lan());
    let lossy = arrivals(Link { loss: 0.3, ..Link::lan() });
    assert!(lossy.len() < calm.len());
    assert!(lossy.iter().all(|arrival| calm.contains(arrival)));
}

#[test]
#[should_panic(expected = "the link's loss is 1.5; give a probability between 0 and 1")]
fn a_probability_above_one_is_refused() {
    three().set_links(Link { loss: 1.5, ..Link::lan() });
}
