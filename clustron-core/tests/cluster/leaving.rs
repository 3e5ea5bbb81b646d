//! Nodes that leave in order.

use clustron_core::NodeState;

use crate::world::{LONG, Reigns, World, agree, part, settled, state_of};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_leave_one_by_one_and_the_rest_keep_a_leader() {
    let names = ["a", "b", "c", "d"];
    let world = World::new(&names);
    let mut members = world.start_all(&names).await;
    let mut reigns = Reigns::default();
    let mut written = vec![];
    while members.len() > 1 {
        let leader = settled(&members.iter().collect::<Vec<_>>()).await;
        reigns.record(&members);
        // Leaders and followers leave in turn.
        let leaving = if members.len().is_multiple_of(2) {
            let (leading, rest) = part(&leader, members);
            members = rest;
            leading
        } else {
            let at = members.iter().position(|member| member.id() != leader.node).unwrap();
            members.remove(at)
        };
        let (id, host) = (leaving.id(), leaving.host.clone());
        let left = leaving.cluster.shutdown(LONG).await;
        left.unwrap_or_else(|error| panic!("{host} did not leave in order: {error}"));
        agree(&members.iter().collect::<Vec<_>>(), "it has left", |statuses| {
            statuses.iter().all(|status| state_of(status, id) == Some(NodeState::Left))
        })
        .await;
        settled(&members.iter().collect::<Vec<_>>()).await;
        let number = written.len() as u64;
        members[0].add(number).await;
        written.push(number);
        for member in &members {
            assert_eq!(member.numbers_now().await, written);
        }
        reigns.record(&members);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_left_can_come_back_as_a_new_one() {
    let world = World::new(&["a", "b", "c"]);
    let mut members = world.start_all(&["a", "b", "c"]).await;
    settled(&members.iter().collect::<Vec<_>>()).await;
    for round in 0..3 {
        let leaving = members.remove(0);
        let (id, host) = (leaving.id(), leaving.host.clone());
        let left = leaving.cluster.shutdown(LONG).await;
        left.unwrap_or_else(|error| panic!("{host} did not leave in order: {error}"));
        members.push(world.start(&host).await);
        let everybody: Vec<_> = members.iter().collect();
        settled(&everybody).await;
        members[2].add(round).await;
        for member in &everybody {
            assert_eq!(state_of(&member.status(), id), Some(NodeState::Left));
        }
    }
    assert_eq!(members[0].numbers_now().await, [0, 1, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_shutdown_handles_answer_and_nothing_hangs() {
    let world = World::new(&["a", "b"]);
    let mut members = world.start_all(&["a", "b"]).await;
    settled(&members.iter().collect::<Vec<_>>()).await;
    let leaving = members.remove(0);
    let (handle, tally) = (leaving.handle(), leaving.tally.clone());
    let mut events = handle.events();
    let closing = handle.clone();
    handle.spawn("a service", async move { closing.closing().await });
    leaving.cluster.shutdown(LONG).await.unwrap();
    assert_eq!(handle.ended(), Some(Ok(())));
    let error = tally.propose(&1, LONG).await.unwrap_err();
    assert!(matches!(error, clustron_core::ProposeError::NotRunning), "{error}");
    assert!(handle.barrier(std::time::Duration::from_millis(200)).await.is_err());
    drop(handle);
    drop(tally);
    // The stream of events ends with the node.
    crate::world::within("the end of the events", async { while events.next().await.is_some() {} })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_can_run_in_a_task_of_its_own() {
    let world = World::new(&["a", "b"]);
    let members = world.start_all(&["a", "b"]).await;
    settled(&members.iter().collect::<Vec<_>>()).await;
    for member in members {
        tokio::spawn(member.cluster.shutdown(LONG)).await.unwrap().unwrap();
    }
}
