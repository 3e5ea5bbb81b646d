//! What speaks against a node, given how it stands: the one place that decides it.

use std::time::Duration;

use super::Question;

/// How a node stands at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    /// It has ended, and with which failure if with one.
    pub(super) ended: Option<Result<(), String>>,
    /// How long its tasks have not come round.
    pub(super) stuck: Duration,
    pub(super) stuck_after: Duration,
    /// Somebody shuts it down.
    pub(super) closing: bool,
    /// It has been let in and has had the agreed state once.
    pub(super) started: bool,
    pub(super) in_view: bool,
    /// How long no leader has been heard.
    pub(super) leaderless: Option<Duration>,
    pub(super) leaderless_max: Duration,
    /// Where it follows the control log: how old its copy is, if that is known of any instant.
    pub(super) staleness: Option<Option<Duration>>,
    pub(super) staleness_max: Duration,
    /// How long the disk has owed the end of a call.
    pub(super) disk_waits: Duration,
    pub(super) disk_waits_max: Duration,
}

/// One thing that speaks against the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) question: Question,
    pub(super) name: String,
    pub(super) what: String,
    pub(super) remedy: String,
}

fn finding(
    question: Question,
    name: &str,
    what: impl Into<String>,
    remedy: impl Into<String>,
) -> Finding {
    Finding { question, name: name.to_owned(), what: what.into(), remedy: remedy.into() }
}

/// Of a node that is still on its way in.
pub(super) fn not_let_in() -> Finding {
    finding(
        Question::Started,
        "not-let-in",
        "the node has not been part of its cluster yet, or has not had its state",
        "look at the log for what it waits for; check its seeds and whether the others run",
    )
}

/// Of a node that is no more, and has not failed.
pub(super) fn ended() -> Finding {
    finding(Question::Live, "node-ended", "the node has ended", "restart the process")
}

/// All that speaks against the node, in the order of the questions. The texts do not change while
/// nothing else does.
pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let mut found = vec![];
    match &facts.ended {
        Some(Err(why)) => {
            let what = format!("the node has failed: {why}");
            found.push(finding(Question::Live, "node-failed", what, "restart the process"));
        }
        Some(Ok(())) => found.push(ended()),
        None if facts.stuck > facts.stuck_after => {
            let what = format!("its tasks have not run for more than {:?}", facts.stuck_after);
            let remedy = "look for code that blocks the runtime; restart the process";
            found.push(finding(Question::Live, "runtime-stuck", what, remedy));
        }
        None => {}
    }
    if facts.closing {
        let what = "the node is shutting down";
        found.push(finding(Question::Ready, "closing", what, "nothing: send work elsewhere"));
    }
    if facts.disk_waits > facts.disk_waits_max {
        let what = format!("the disk has not done a write for {:?}", facts.disk_waits_max);
        let remedy = "look at the disk of its data directory, and at who else uses it";
        found.push(finding(Question::Ready, "disk-stuck", what, remedy));
    }
    if !facts.started {
        // Nothing below can be expected of it yet.
        found.push(not_let_in());
        return found;
    }
    if !facts.in_view {
        let what = "the others have taken the node out of the view";
        let remedy = "it comes back by itself when it reaches them; check the network";
        found.push(finding(Question::Ready, "not-in-view", what, remedy));
    }
    if facts.leaderless.is_some_and(|leaderless| leaderless > facts.leaderless_max) {
        let what = format!("no leader was heard for more than {:?}", facts.leaderless_max);
        let remedy = "bring back a majority of the voters, or the way to them";
        found.push(finding(Question::Ready, "no-leader", what, remedy));
    }
    if let Some(staleness) = facts.staleness
        && staleness.is_none_or(|staleness| staleness > facts.staleness_max)
    {
        let what = format!("its copy of the state may be older than {:?}", facts.staleness_max);
        let remedy = "wait until it has caught up; check its way to the leader, and its load";
        found.push(finding(Question::Ready, "old-copy", what, remedy));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn well() -> Facts {
        Facts {
            ended: None,
            stuck: Duration::ZERO,
            stuck_after: 10 * SECOND,
            closing: false,
            started: true,
            in_view: true,
            leaderless: None,
            leaderless_max: 2 * SECOND,
            staleness: Some(Some(SECOND)),
            staleness_max: 10 * SECOND,
            disk_waits: Duration::ZERO,
            disk_waits_max: 5 * SECOND,
        }
    }

    fn names(facts: &Facts) -> Vec<(Question, String)> {
        judge(facts).into_iter().map(|found| (found.question, found.name)).collect()
    }

    #[test]
    fn nothing_speaks_against_a_node_that_is_well() {
        assert_eq!(names(&well()), []);
        // An observer has no copy that could be old.
        assert_eq!(names(&Facts { staleness: None, ..well() }), []);
        // Elections are not worth a word.
        assert_eq!(names(&Facts { leaderless: Some(2 * SECOND), ..well() }), []);
    }

    #[test]
    fn each_thing_that_is_wrong_has_its_name_and_question() {
        let late = 11 * SECOND;
        for (facts, question, name) in [
            (Facts { ended: Some(Ok(())), ..well() }, Question::Live, "node-ended"),
            (Facts { ended: Some(Err("x".into())), ..well() }, Question::Live, "node-failed"),
            (Facts { stuck: late, ..well() }, Question::Live, "runtime-stuck"),
            (Facts { closing: true, ..well() }, Question::Ready, "closing"),
            (Facts { disk_waits: late, ..well() }, Question::Ready, "disk-stuck"),
            (Facts { in_view: false, ..well() }, Question::Ready, "not-in-view"),
            (Facts { leaderless: Some(late), ..well() }, Question::Ready, "no-leader"),
            (Facts { staleness: Some(None), ..well() }, Question::Ready, "old-copy"),
            (Facts { staleness: Some(Some(late)), ..well() }, Question::Ready, "old-copy"),
            (Facts { started: false, ..well() }, Question::Started, "not-let-in"),
        ] {
            assert_eq!(names(&facts), [(question, name.to_owned())]);
            let found = judge(&facts).remove(0);
            assert!(found.what.len() > 10 && found.remedy.len() > 10, "{found:?}");
        }
    }

    #[test]
    fn a_node_that_has_not_started_is_not_blamed_for_what_it_cannot_have() {
        let facts = Facts { started: false, in_view: false, staleness: Some(None), ..well() };
        assert_eq!(names(&facts), [(Question::Started, "not-let-in".to_owned())]);
    }
}
