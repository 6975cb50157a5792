//! An explanation in words, one fact a line, and as JSON.

use std::time::Duration;

use super::{
    CacheNote, Explanation, JoinNote, MetricNote, RowsNote, SegmentNote, SourceNote, status, words,
};
use crate::error::QueryError;
use crate::model::Status;
use crate::plan::PlanError;

impl Explanation {
    /// As one JSON document.
    pub(in crate::session::query) fn json(&self) -> Result<String, QueryError> {
        let internal = |error: serde_json::Error| PlanError::Internal(error.to_string());
        Ok(serde_json::to_string_pretty(self).map_err(internal)?)
    }

    /// As lines, one fact each.
    pub(in crate::session::query) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for metric in &self.metrics {
            metric.lines(&mut lines);
        }
        if self.metrics.is_empty() {
            lines.push("No metric: rows of entities as they are".to_owned());
        }
        for source in &self.sources {
            lines.push(source.line());
        }
        lines.push(match self.policies.is_empty() {
            true => "Policies: none, each role sees the same rows".to_owned(),
            false => format!("Policies: {}", self.policies.join(", ")),
        });
        lines.push(self.cache.line());
        lines.push(format!("Backend: {}", self.backend));
        for statement in &self.sent {
            lines.push(format!("Sent to {}:", self.backend));
            lines.extend(statement.lines().map(|line| format!("  {line}")));
        }
        lines
    }
}

impl MetricNote {
    fn lines(&self, lines: &mut Vec<String>) {
        lines.push(format!("Metric {} {}", self.metric, self.version));
        let mut fact = |text: String| lines.push(format!("  {text}"));
        fact(format!("Intent: {}", self.intent));
        if !self.not_for.is_empty() {
            fact(format!("Not for: {}", self.not_for.join("; ")));
        }
        fact(format!("Version {}: {}", self.version, self.chosen));
        if self.status == status(Status::Deprecated) {
            let until = self.sunset.as_ref().map(|date| format!(" until {date}"));
            let successor = self.replaced_by.as_ref().map(|it| format!(", use version {it}"));
            let (until, successor) = (until.unwrap_or_default(), successor.unwrap_or_default());
            fact(format!("Deprecated: can be asked for{until}{successor}"));
        }
        let contact = self.contact.as_ref().map(|contact| format!(" ({contact})"));
        fact(format!("Owner: {}{}", self.owner, contact.unwrap_or_default()));
        if let Some(unit) = &self.unit {
            fact(format!("Unit: {unit}"));
        }
        fact(format!("Computed as: {}", self.computed_as));
        if let Some(time) = &self.time {
            fact(format!("Time: {}, on the clock of {}", time.column, time.timezone));
        }
        if let Some(freshness) = &self.freshness {
            let budget = words(Duration::from_secs(freshness.budget_seconds));
            let decision = freshness.decision.as_ref().map(|it| format!(", in order to {it}"));
            fact(format!("Freshness: at most {budget} old{}", decision.unwrap_or_default()));
        }
        for rows in &self.rows {
            rows.lines(lines);
        }
    }
}

impl RowsNote {
    fn lines(&self, lines: &mut Vec<String>) {
        let role: String = self.role.iter().map(|role| format!(", {role}")).collect();
        lines.push(format!("  Rows for {} {}{role}:", self.metric, self.version));
        let mut fact = |text: String| lines.push(format!("    {text}"));
        fact(format!("In source {}: {}", self.source, self.source_rows));
        for step in &self.dropped {
            let why = step.why.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
            fact(match step.by {
                "dedupe" => format!("Dropped by dedupe, {}: {}{why}", step.what, step.rows),
                "question" => format!("Dropped by the question, {}: {}", step.what, step.rows),
                "rule" | "filter" => {
                    format!("Dropped by {} {}: {}{why}", step.by, step.what, step.rows)
                }
                _ => format!("Dropped, {}: {}{why}", step.what, step.rows),
            });
        }
        fact(format!("Rows that count: {}", self.counted));
        if let Some(rows) = self.without_time.filter(|rows| *rows > 0) {
            fact(format!("Of these without a time, in the group NULL: {rows}"));
        }
        for join in &self.joins {
            fact(join.line());
        }
        for segment in &self.segments {
            fact(segment.line());
        }
    }
}

impl JoinNote {
    fn line(&self) -> String {
        let label = |what: &str, label: &Option<String>| {
            label.as_ref().map(|label| format!("; {what} is shown as {label}")).unwrap_or_default()
        };
        let valid = match self.as_of {
            Some("event") => ", each row as it was valid at the counted row's own time",
            Some(_) => ", each row as it is valid at the statement's time",
            None => "",
        };
        format!(
            "Joined: {} as {} by {}{valid}, for {}; a row without one stays{}{}",
            self.relation,
            self.relationship,
            self.key.join(", "),
            self.needed_for.join(", "),
            label("no key", &self.missing),
            label("an unknown key", &self.unmatched),
        )
    }
}

impl SegmentNote {
    fn line(&self) -> String {
        let member = match self.relationship.as_str() {
            "" => String::new(),
            path => format!(" of {path}"),
        };
        let moment = match self.as_of {
            "event" => "at the counted row's own time",
            _ => "at the statement's time",
        };
        let reads = match self.reads.is_empty() {
            true => String::new(),
            false => format!("; its rules read {}", self.reads.join(", ")),
        };
        format!(
            "Joined: segment {} {}{member}, {moment}, for {}{reads}",
            self.segment,
            self.version,
            self.needed_for.join(", "),
        )
    }
}

impl SourceNote {
    fn line(&self) -> String {
        let as_of = match &self.data_as_of {
            Some(as_of) => format!("data as of {as_of}"),
            None => "its age is not known, as it has no ingestion time".to_owned(),
        };
        let verdict = match self.over_budget {
            Some(true) => ", which is older than the freshness budget",
            Some(false) => ", within the freshness budget",
            None => "",
        };
        format!("Source {}: {as_of}{verdict}", self.source)
    }
}

impl CacheNote {
    fn line(&self) -> String {
        let kept = words(Duration::from_secs(self.time_to_live_seconds));
        match self.age_seconds {
            Some(age) => {
                format!(
                    "Cache: a hit, computed {age} s ago; kept for {kept} or until the data change"
                )
            }
            None => format!(
                "Cache: no hit, it would be computed; kept for {kept} or until the data change"
            ),
        }
    }
}
