//! Any node can say why another one is where it is.

use std::time::Duration;

use clustron_core::membership::{EvidenceKind, PeerState};
use clustron_core::{NodeId, NodeState, Opinion};

use crate::world::{Member, World, agree, part, settled, state_of, within};

fn is_timeout(opinion: &Opinion) -> bool {
    opinion.evidence.iter().any(|e| matches!(e.kind, EvidenceKind::ProbeTimedOut { .. }))
}

async fn until_down(members: &[&Member], node: NodeId) {
    agree(members, "it is down", |statuses| {
        statuses.iter().all(|status| state_of(status, node) == Some(NodeState::Down))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_crash_every_node_names_the_entry_the_leader_and_the_refused_dials() {
    let world = World::new(&["a", "b", "c"]);
    let members = world.start_all(&["a", "b", "c"]).await;
    let first = settled(&members.iter().collect::<Vec<_>>()).await;
    let (leader, mut others) = part(&first, members);
    let crashed = others.pop().unwrap();
    let (id, host) = (crashed.id(), crashed.host.clone());
    world.crash(crashed).await;
    let rest = [&leader, &others[0]];
    until_down(&rest, id).await;
    for member in rest {
        let why = member.why(id).await;
        let removal = why.removal().expect("the leader took it out").clone();
        assert_eq!((removal.leader, removal.epoch), (leader.id(), first.epoch));
        assert_eq!(Some(removal.index), why.record.as_ref().map(|record| record.since));
        assert_eq!(why.opinion, None, "nobody watches it any more");
        let opinion = &removal.opinion;
        assert_eq!((opinion.observer, opinion.state), (leader.id(), PeerState::Down));
        let refused = opinion.evidence.iter().find_map(|observation| match &observation.kind {
            EvidenceKind::ConnectionRefused { why } => Some((observation.at, why.clone())),
            _ => None,
        });
        let (at, text) = refused.expect("a refused dial");
        assert!(removal.missed_since <= at.saturating_add(Duration::from_millis(50)));
        let said = why.to_string();
        for part in [
            format!("{host} ({id} at {host}:1)"),
            format!("taken out by {}, the leader of epoch {}", leader.host, first.epoch),
            format!("with log index {}", removal.index),
            format!("{at}  its process was gone"),
            "local health was 0".to_owned(),
        ] {
            assert!(said.contains(&part), "{part:?} is not in\n{said}");
        }
        assert!(!text.is_empty() && !said.contains(&leader.id().to_string()), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_node_is_accused_of_unanswered_probes_before_and_after_it_is_out() {
    let world = World::new(&["a", "b", "c"]);
    let members = world.start_all(&["a", "b", "c"]).await;
    let first = settled(&members.iter().collect::<Vec<_>>()).await;
    let (leader, mut others) = part(&first, members);
    let silent = others.pop().unwrap();
    let (id, other) = (silent.id(), &others[0]);
    world.cut_off(&silent.host, &[&leader.host, &other.host]);
    for member in [&leader, other] {
        member.until("it is suspected", |status| status.suspected.contains_key(&id)).await;
    }
    let opinions = [leader.why(id).await.opinion, other.why(id).await.opinion];
    let opinions = opinions.map(|opinion| opinion.expect("both watch it"));
    assert!(opinions.iter().all(|opinion| opinion.state != PeerState::Alive), "{opinions:?}");
    let found = opinions.iter().find(|opinion| is_timeout(opinion)).expect("one found out itself");
    assert!(found.accusers.contains(&found.observer));
    until_down(&[&leader, other], id).await;
    let why = other.why(id).await;
    let told = why.removal().expect("the leader took it out").opinion.clone();
    let heard = |kind: &EvidenceKind| {
        matches!(kind, EvidenceKind::GossipFrom { .. } | EvidenceKind::ProbeTimedOut { .. })
    };
    assert!(told.evidence.iter().any(|observation| heard(&observation.kind)), "{told:?}");
    assert!(why.to_string().contains("not reached by"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_an_alive_node_it_tells_when_it_was_heard_and_how_fast_it_answers() {
    let world = World::new(&["a", "b"]);
    let members = world.start_all(&["a", "b"]).await;
    settled(&members.iter().collect::<Vec<_>>()).await;
    let (asked, id) = (&members[0], members[1].id());
    // The first ping comes within half a second; nothing announces its answer.
    let answered = async {
        loop {
            let why = asked.why(id).await;
            if why.opinion.as_ref().is_some_and(|opinion| opinion.round_trip.is_some()) {
                return why;
            }
            tokio::task::yield_now().await;
        }
    };
    let why = within("an answered ping", answered).await;
    let opinion = why.opinion.clone().unwrap();
    assert_eq!(opinion.state, PeerState::Alive);
    assert!(opinion.last_heard.unwrap() <= opinion.at);
    let said = why.to_string();
    for part in ["is alive in the view since log index", "last heard at", "round trip"] {
        assert!(said.contains(part), "{part:?} is not in\n{said}");
    }
    let stranger = asked.why(NodeId(7)).await;
    assert_eq!((stranger.record.is_none(), stranger.opinion.is_none()), (true, true));
    assert!(stranger.to_string().contains("is not known to a"), "{stranger}");
}
