use super::*;
use crate::health::{Health, Question, Reason};
use crate::identity::{Epoch, Incarnation, NodeInfo, NodeName, Role};
use crate::time::Timestamp;
use crate::view::{Activation, View};

const SILENT_AFTER: Duration = Duration::from_secs(5);

fn info(id: u64) -> NodeInfo {
    NodeInfo {
        id: NodeId(id),
        name: NodeName::new(format!("n{id}")).unwrap(),
        incarnation: Incarnation(1),
        addr: format!("n{id}:1"),
        roles: [Role::Member].into(),
        tags: BTreeMap::new(),
        revision: 0,
        starts: 1,
        process: 0,
    }
}

/// Three members, of which the first leads and the third is in this state.
fn status(third: NodeState) -> ClusterStatus {
    let mut view = View::default();
    for id in 1..=3 {
        let state = if id == 3 { third } else { NodeState::Alive };
        view.put(NodeRecord {
            info: info(id),
            state,
            reason: "it joined".to_owned(),
            removal: None,
            process_since: 1,
            since: 1,
            since_at: Timestamp::from_unix_ms(0),
            changed: 1,
        });
    }
    let leader = Activation {
        node: NodeId(1),
        name: info(1).name,
        epoch: Epoch(4),
        incarnation: Incarnation(1),
        at: Timestamp::from_unix_ms(0),
    };
    ClusterStatus {
        node: info(1),
        cluster: None,
        view,
        voters: [1, 2, 3].map(NodeId).into(),
        tolerates: 1,
        learners: BTreeSet::new(),
        attached: None,
        leader: Some(leader),
        leading: None,
        suspected: BTreeMap::new(),
        unreachable: BTreeMap::new(),
    }
}

fn report(applied: u64, reasons: &[Question]) -> Report {
    let reason = |question: &Question| Reason {
        question: *question,
        name: "no-leader".to_owned(),
        what: "nobody leads".to_owned(),
        remedy: "wait".to_owned(),
        since: Timestamp::from_unix_ms(0),
    };
    let health = Health { reasons: reasons.iter().map(reason).collect() };
    Report { health, epoch: Epoch(4), applied, ..Report::default() }
}

fn heard(report: Report, age: Duration) -> Heard {
    Heard { report: Some((report, Duration::from_micros(300), age)), error: None }
}

fn of(third: NodeState, last: Heard) -> ClusterHealth {
    let fresh = |applied| heard(report(applied, &[]), Duration::ZERO);
    let heard = [(NodeId(1), fresh(17)), (NodeId(2), fresh(15)), (NodeId(3), last)];
    overview(&status(third), &BTreeSet::new(), &heard.into(), SILENT_AFTER)
}

fn third(third: NodeState, last: Heard) -> NodeCondition {
    of(third, last).nodes[&NodeId(3)].condition
}

#[test]
fn a_node_that_does_not_answer_is_never_well_whatever_it_said_before() {
    let fresh = heard(report(17, &[]), Duration::ZERO);
    assert_eq!(third(NodeState::Alive, fresh.clone()), NodeCondition::Ready);
    let failed = Heard { error: Some("no answer".to_owned()), ..fresh.clone() };
    assert_eq!(third(NodeState::Alive, failed), NodeCondition::Silent);
    let old = heard(report(17, &[]), SILENT_AFTER + Duration::from_millis(1));
    assert_eq!(third(NodeState::Alive, old), NodeCondition::Silent);
    assert_eq!(third(NodeState::Alive, Heard::default()), NodeCondition::Silent);
    assert_eq!(third(NodeState::Down, fresh.clone()), NodeCondition::Down);
    assert_eq!(third(NodeState::Left, fresh), NodeCondition::Left);
}

#[test]
fn the_condition_is_the_worst_that_a_node_says() {
    for (reasons, condition) in [
        (vec![Question::Ready], NodeCondition::NotReady),
        (vec![Question::Ready, Question::Started], NodeCondition::Starting),
        (vec![Question::Live, Question::Started], NodeCondition::NotLive),
    ] {
        let said = heard(report(17, &reasons), Duration::ZERO);
        assert_eq!(third(NodeState::Alive, said), condition, "{reasons:?}");
    }
}

#[test]
fn the_lag_counts_from_the_furthest_node_that_speaks() {
    let health = of(NodeState::Alive, heard(report(99, &[]), 2 * SILENT_AFTER));
    let behind = health.nodes.values().map(|node| node.behind).collect::<Vec<_>>();
    assert_eq!(behind, [Some(0), Some(2), Some(0)], "an old word does not count");
    assert!(!health.is_well());
}

#[test]
fn suspicions_and_complaints_of_all_who_speak_come_together() {
    let mut doubtful = report(17, &[]);
    doubtful.suspected = [NodeId(2)].into();
    doubtful.unreachable = [NodeId(2), NodeId(9)].into();
    let fresh = |report| heard(report, Duration::ZERO);
    let ids = [NodeId(1), NodeId(2), NodeId(3)];
    let said = [report(17, &[]), report(17, &[]), doubtful.clone()].map(fresh);
    let mut heard: BTreeMap<NodeId, Heard> = ids.into_iter().zip(said).collect();
    let own = BTreeSet::from([NodeId(2)]);
    let health = overview(&status(NodeState::Alive), &own, &heard, SILENT_AFTER);
    assert_eq!(health.nodes[&NodeId(2)].suspected_by, [NodeId(1), NodeId(3)].into());
    assert_eq!(health.unreachable, [(NodeId(3), [NodeId(2)].into())].into(), "9 is not there");
    assert!(!health.is_well());

    heard.get_mut(&NodeId(3)).unwrap().error = Some("no answer".to_owned());
    let health = overview(&status(NodeState::Alive), &own, &heard, SILENT_AFTER);
    assert_eq!(health.nodes[&NodeId(2)].suspected_by, [NodeId(1)].into());
    assert_eq!(health.unreachable, BTreeMap::new());
}

#[test]
fn the_table_has_a_line_for_each_node_and_one_for_each_trouble() {
    let mut last = heard(report(15, &[]), Duration::from_secs(12));
    last.error = Some("no answer".to_owned());
    let mut health = of(NodeState::Alive, last);
    health.unreachable = [(NodeId(1), [NodeId(3)].into())].into();
    assert_eq!(
        health.to_string(),
        "led by n1 in epoch 4; 1 more voters may fail\n\
         node  roles   state  part    health  epoch  applied        round trip  report\n\
         n1    member  alive  leader  ready   4      17             0.3 ms      0.0 s ago\n\
         n2    member  alive  voter   ready   4      15 (2 behind)  0.3 ms      0.0 s ago\n\
         n3    member  alive  voter   silent  4      15 (2 behind)  0.3 ms      12.0 s ago\n\
         n3: does not answer: no answer\n\
         n1 does not reach n3"
    );
}
