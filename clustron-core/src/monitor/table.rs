//! The overview as a table for people.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use super::{ClusterHealth, NodeHealth};
use crate::identity::NodeId;
use crate::roles;

const HEADINGS: [&str; 9] =
    ["node", "roles", "state", "part", "health", "epoch", "applied", "round trip", "report"];

impl fmt::Display for ClusterHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.leader {
            Some(leader) => write!(f, "led by {} in epoch {}", leader.name, leader.epoch)?,
            None => write!(f, "no leader")?,
        }
        write!(f, "; {} more voters may fail", self.tolerates)?;
        let heading = HEADINGS.map(str::to_owned);
        let rows: Vec<[String; 9]> = [heading].into_iter().chain(self.rows()).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
        let widths: Vec<usize> = (0..HEADINGS.len()).map(|at| width(at).unwrap_or(0)).collect();
        for row in &rows {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            write!(f, "\n{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        for node in self.nodes.values() {
            let reasons = node.report.iter().flat_map(|report| report.health.reasons());
            for reason in reasons.filter(|_| node.error.is_none()) {
                write!(f, "\n{}: {reason}", node.info.name)?;
            }
            if let Some(error) = &node.error {
                write!(f, "\n{}: does not answer: {error}", node.info.name)?;
            }
            if !node.suspected_by.is_empty() {
                let by = self.names(&node.suspected_by);
                write!(f, "\n{}: suspected by {by}", node.info.name)?;
            }
        }
        for (id, peers) in &self.unreachable {
            write!(f, "\n{} does not reach {}", self.name(*id), self.names(peers))?;
        }
        Ok(())
    }
}

impl ClusterHealth {
    fn rows(&self) -> impl Iterator<Item = [String; 9]> {
        self.nodes.values().map(row)
    }

    fn name(&self, id: NodeId) -> String {
        self.nodes.get(&id).map_or_else(|| id.to_string(), |node| node.info.name.to_string())
    }

    fn names(&self, ids: &BTreeSet<NodeId>) -> String {
        ids.iter().map(|id| self.name(*id)).collect::<Vec<_>>().join(", ")
    }
}

fn row(node: &NodeHealth) -> [String; 9] {
    let part = match (node.leads, node.votes) {
        (true, _) => "leader",
        (false, true) => "voter",
        (false, false) => "",
    };
    let report = node.report.as_ref();
    let of = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let applied = report.map(|report| match node.behind {
        Some(0) | None => report.applied.to_string(),
        Some(behind) => format!("{} ({behind} behind)", report.applied),
    });
    [
        node.info.name.to_string(),
        roles::listed(&node.info.roles),
        node.state.to_string(),
        part.to_owned(),
        node.condition.to_string(),
        of(report.map(|report| report.epoch.to_string())),
        of(applied),
        of(report.map(|report| format!("{:.1} ms", ms(report.round_trip)))),
        of(report.map(|report| format!("{:.1} s ago", report.age.as_secs_f64()))),
    ]
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
