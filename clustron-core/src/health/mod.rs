//! Health: three questions that an orchestrator asks a process, and the answers with their reasons.
//!
//! Like the three looks that a nurse takes. *Is there a pulse?* If not, begin anew: restart the
//! process. *Can the patient take visitors?* If not, send nobody for now, and wait. *Has the
//! patient woken up yet?* Until then, ask neither of the others.
//!
//! | question | yes means | when no |
//! | --- | --- | --- |
//! | live | the node's tasks run and nothing has failed it | restart the process |
//! | ready | it is in the view, hears a leader, its copy is new | send it no work; wait |
//! | started | it has been let in once and has had the agreed state | wait; never no again |
//!
//! A node without a leader, or on the wrong side of a cut, is *not ready* and still *live*: a
//! restart would mend nothing, and would take the others one more voter.
//!
//! # Kubernetes
//!
//! Answer three paths of your own server with 200 where the question is answered by yes, else with
//! 503 and the reasons as text: [`Health`] has a `Display`. Take the handle for it from
//! [`ClusterBuilder::late`](crate::ClusterBuilder::late) before
//! [`start`](crate::ClusterBuilder::start), which returns only when the node has been let in.
//!
//! ```yaml
//! startupProbe:
//!   httpGet: { path: /startedz, port: 8080 }
//!   periodSeconds: 1
//!   failureThreshold: 300
//! livenessProbe:
//!   httpGet: { path: /livez, port: 8080 }
//!   periodSeconds: 5
//!   failureThreshold: 3
//! readinessProbe:
//!   httpGet: { path: /readyz, port: 8080 }
//!   periodSeconds: 1
//!   failureThreshold: 2
//! ```
//!
//! Nodes find each other while they are not ready yet, so a headless service for them needs
//! `publishNotReadyAddresses: true`.

mod board;
mod chart;
mod checks;
mod handle;
mod judgement;

use std::fmt;

use serde::{Deserialize, Serialize};

pub(crate) use board::HealthBoard;
pub(crate) use checks::Check;

use crate::time::Timestamp;

/// Which of the three questions a reason answers with no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Question {
    /// Does the process do its work?
    Live,
    /// May work be sent to it?
    Ready,
    /// Has it been let in once?
    Started,
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Live => "live",
            Self::Ready => "ready",
            Self::Started => "started",
        })
    }
}

/// Why one of the questions is answered with no.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The question.
    pub question: Question,
    /// What it is called, for machines: `no-leader`, or the name under which a condition was added.
    pub name: String,
    /// What is wrong, for people.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
    /// Since when without a break, by the node's clock, as far as it was looked at.
    pub since: Timestamp,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { question, name, what, remedy, since } = self;
        write!(f, "not {question}: {name} since {since}: {what}; {remedy}")
    }
}

/// The answers of one node at one moment. See the [module's documentation](self).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    pub(crate) reasons: Vec<Reason>,
}

impl Health {
    /// Whether the process does its work. If not, restart it.
    pub fn is_live(&self) -> bool {
        !self.has(Question::Live)
    }

    /// Whether work may be sent to the node: it is live, has started, and nothing speaks against
    /// it.
    pub fn is_ready(&self) -> bool {
        self.reasons.is_empty()
    }

    /// Whether the node has been let in once and has had the agreed state. Never no again.
    pub fn is_started(&self) -> bool {
        !self.has(Question::Started)
    }

    /// Whether this question is answered with yes.
    pub fn answers(&self, question: Question) -> bool {
        match question {
            Question::Live => self.is_live(),
            Question::Ready => self.is_ready(),
            Question::Started => self.is_started(),
        }
    }

    /// Why not, in the order of the questions. Empty where all are answered with yes.
    pub fn reasons(&self) -> &[Reason] {
        &self.reasons
    }

    /// The reason of this name, if there is one.
    pub fn reason(&self, name: &str) -> Option<&Reason> {
        self.reasons.iter().find(|reason| reason.name == name)
    }

    /// Of a node that has not been let in yet.
    pub(crate) fn starting(since: Timestamp) -> Self {
        chart::Chart::default().take(since, vec![judgement::not_let_in()])
    }

    /// Of a node of which nothing is left.
    pub(crate) fn ended(since: Timestamp) -> Self {
        chart::Chart::default().take(since, vec![judgement::ended()])
    }

    fn has(&self, question: Question) -> bool {
        self.reasons.iter().any(|reason| reason.question == question)
    }
}

/// One line with the three answers, and one for each reason.
impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |yes: bool, word| if yes { format!("{word}") } else { format!("not {word}") };
        let live = word(self.is_live(), Question::Live);
        let ready = word(self.is_ready(), Question::Ready);
        write!(f, "{live}, {ready}, {}", word(self.is_started(), Question::Started))?;
        self.reasons.iter().try_for_each(|reason| write!(f, "\n{reason}"))
    }
}

/// Why a condition of a module or of the application does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotReady {
    /// What is wrong, for people.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

impl NotReady {
    /// What is wrong, and what to do about it. Texts that change all the time make news of what is
    /// none.
    pub fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into() }
    }
}
