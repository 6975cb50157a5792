//! Functions in FROM: each is a query that is written out, then bound as a derived table.

use std::sync::Arc;

use chrono::{DateTime, Days, NaiveDate, SecondsFormat, Utc};
use datafusion::sql::sqlparser::ast::{
    CastKind, Expr, FunctionArg, FunctionArgExpr, ObjectName, Query, SetExpr, TableFactor,
    TableFunctionArgs, TableVersion, Value,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Tokenizer;

use super::binder::Binder;
use super::error::BindError;
use super::metric_query::Written;
use super::relation::{MeasureColumn, is_additive};
use super::scope::{folded, nearest};
use crate::functions::Postgres;
use crate::model::{AfterClose, Aggregation, MetricKind, MetricVersion, Zone};
use crate::sql::timezone::TimeZone;

/// Each day is asked on its own: more make a statement that nobody could read.
const DAYS_MAX: i64 = 100;

impl Binder<'_> {
    /// The query that a call of `canon.<name>` stands for.
    pub(crate) fn table_function(
        &mut self,
        name: &ObjectName,
        args: &TableFunctionArgs,
    ) -> Result<Written, BindError> {
        let parts: Vec<String> =
            name.0.iter().filter_map(|part| part.as_ident().map(folded)).collect();
        match parts.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["canon", "query"] => self.metric_query(&args.args),
            ["canon", "restatements"] => self.restatements(&args.args).map(Written::from),
            _ => {
                let known = ["canon.query", "canon.restatements"];
                let near = nearest(&parts.join("."), known.into_iter());
                let position = self.position_of(name);
                Err(BindError::UnknownFunction { name: parts.join("."), near, position })
            }
        }
    }

    /// `canon.restatements(metric, from, to)`: for each day what the metric was when the day closed,
    /// and what it is now.
    fn restatements(&mut self, args: &[FunctionArg]) -> Result<Query, BindError> {
        let [metric, from, to] = args else {
            return Err(invalid(
                "canon.restatements takes a metric, the first and the last day",
                "Write canon.restatements('revenue', '2026-09-01', '2026-09-30').",
            ));
        };
        let asked = self.asked_metric(&text_of(metric)?)?;
        let (from, to) = (date_of(from)?, date_of(to)?);
        let days = to.signed_duration_since(from).num_days() + 1;
        if !(1..=DAYS_MAX).contains(&days) {
            return Err(invalid(
                &format!("canon.restatements cannot answer for {days} days"),
                &format!("Ask for 1 to {DAYS_MAX} days, the first of them first."),
            ));
        }
        let closes = self.closes(&asked.version)?;
        let counts_late = asked.version.time.as_ref().is_some_and(|time| {
            // Under the other rules a closed day doesn't change.
            time.late_data.after == AfterClose::Restate
        });
        let late = match counts_late {
            true => Some(self.late_rows(&asked)?),
            false => None,
        };
        let mut moments = Vec::new();
        let mut branches = Vec::new();
        for day in from.iter_days().take(usize::try_from(days).unwrap_or_default()) {
            let closed = closes(day).ok_or_else(too_far)?;
            branches.push(asked.when_closed(day, closed, self.settings.as_of).ok_or_else(too_far)?);
            moments.push(closed);
        }
        let text = asked.compared(&branches, from, to, late.as_deref()).ok_or_else(too_far)?;
        let mut query = parsed(&text)?;
        as_of_each(&mut query, &moments)?;
        Ok(query)
    }

    /// The metric by its name, with the version that the session means.
    pub(super) fn named_metric(&self, written: &str) -> Result<Named, BindError> {
        let (name, major) = match written.split_once('@') {
            None => (written, None),
            Some((name, major)) => (name, major.parse::<u64>().ok()),
        };
        let unknown = || {
            let names = self.model.metrics.keys().map(String::as_str);
            BindError::UnknownMetric { metric: written.to_owned(), near: nearest(name, names) }
        };
        let metric = self.model.metrics.get(name).ok_or_else(unknown)?;
        let relation = match (major, written.contains('@')) {
            (None, true) => return Err(unknown()),
            (None, false) => name.to_owned(),
            (Some(major), _) => format!("{name}_v{major}"),
        };
        let measure = MeasureColumn { metric: Arc::clone(metric), major };
        let meant = major.or_else(|| self.settings.pins.get(name).copied());
        let version = self.meant(&measure).cloned();
        let version = version.ok_or_else(|| match meant {
            Some(major) if metric.of_major(major).is_some() => {
                self.not_served(metric, major, "42704", None)
            }
            _ => unknown(),
        })?;
        Ok(Named { relation, metric: name.to_owned(), version })
    }

    /// A metric whose restatements can be told.
    fn asked_metric(&self, written: &str) -> Result<Asked, BindError> {
        let Named { relation, metric: name, version } = self.named_metric(written)?;
        let counts = matches!(
            version.kind,
            MetricKind::Aggregate(Aggregation::Count | Aggregation::CountDistinct { .. })
        );
        let is_number = version.data_type.is_numeric();
        if !is_number || !matches!(version.kind, MetricKind::Aggregate(_)) {
            let what = format!("the restatements of metric \"{name}\"");
            let hint =
                "Ask for those of the numeric metrics that it is built on, or SET canon.as_of.";
            return Err(BindError::NotSupported {
                what,
                hint: Some(hint.to_owned()),
                position: None,
            });
        }
        let adds = is_additive(self.model, &version);
        Ok(Asked { relation, metric: name, version, counts, adds })
    }

    /// When a day of a metric closes.
    fn closes(
        &self,
        version: &MetricVersion,
    ) -> Result<impl Fn(NaiveDate) -> Option<DateTime<Utc>> + use<>, BindError> {
        let refused = |why: &str| BindError::NotSupported {
            what: format!("the restatements of metric \"{}\"", version.metric),
            hint: Some(why.to_owned()),
            position: None,
        };
        let Some(time) = &version.time else {
            return Err(refused("It has no event time, so no days."));
        };
        let zone = match &time.zone {
            Zone::Named(zone) => TimeZone::Named(*zone),
            Zone::Session => TimeZone::parse(&self.settings.time_zone).unwrap_or(TimeZone::UTC),
            Zone::OfRow { .. } => {
                return Err(refused("Its rows have days of several zones: SET canon.as_of."));
            }
        };
        let days = u64::from(time.late_data.window_days) + 1;
        Ok(move |day: NaiveDate| {
            let begin = day.checked_add_days(Days::new(days))?.and_hms_opt(0, 0, 0)?;
            let east = chrono::TimeDelta::seconds(i64::from(zone.offset_of_local(begin)));
            Some(begin.checked_sub_signed(east)?.and_utc())
        })
    }

    /// A relation whose measure counts the metric's rows that came after their day's close.
    fn late_rows(&mut self, asked: &Asked) -> Result<String, BindError> {
        let missing = || BindError::Internal(format!("no relation {}", asked.relation));
        let relation = self.relations.get("metrics", &asked.relation).ok_or_else(missing)?;
        let relation = self.pinned(Arc::clone(relation));
        let late = relation.counting_late(&asked.version).ok_or_else(missing)?;
        Ok(self.own_relation(Arc::new(late)))
    }
}

/// A metric that a table function names.
pub(super) struct Named {
    /// Its relation in schema `metrics`.
    pub(super) relation: String,
    pub(super) metric: String,
    version: Arc<MetricVersion>,
}

/// The metric of a call, and how it is named in queries.
struct Asked {
    relation: String,
    metric: String,
    version: Arc<MetricVersion>,
    /// No rows are 0, not NULL.
    counts: bool,
    /// Parts sum to the whole, so what is missing is 0.
    adds: bool,
}

impl Asked {
    /// One row: a day, and its value when it closed. Whether it is closed is judged as of the
    /// moment that the session asks about.
    fn when_closed(
        &self,
        day: NaiveDate,
        closed: DateTime<Utc>,
        as_of: Option<DateTime<Utc>>,
    ) -> Option<String> {
        let (metric, next) = (identifier(&self.metric), day.succ_opt()?);
        let is_closed = match as_of {
            Some(as_of) => (as_of >= closed).to_string(),
            None => {
                let closed = closed.to_rfc3339_opts(SecondsFormat::Secs, true);
                format!("now() >= timestamptz '{closed}'")
            }
        };
        Some(format!(
            "SELECT date '{day}' AS day, {is_closed} AS closed, \
             CASE WHEN {is_closed} THEN MEASURE({metric}) END AS value \
             FROM metrics.{} \
             WHERE metric_time >= timestamp '{day} 00:00:00' \
             AND metric_time < timestamp '{next} 00:00:00'",
            identifier(&self.relation)
        ))
    }

    fn compared(
        &self,
        branches: &[String],
        from: NaiveDate,
        to: NaiveDate,
        late: Option<&str>,
    ) -> Option<String> {
        let (metric, relation) = (identifier(&self.metric), identifier(&self.relation));
        let end = to.succ_opt()?;
        let days = |relation: &str, measure: &str| {
            format!(
                "(SELECT CAST(metric_time AS date) AS day, MEASURE({measure}) AS value \
                 FROM {relation} WHERE metric_time >= timestamp '{from} 00:00:00' \
                 AND metric_time < timestamp '{end} 00:00:00' GROUP BY 1)"
            )
        };
        let current = match self.counts {
            true => "coalesce(c.value, 0)",
            false => "c.value",
        };
        let difference = match self.adds {
            true => "coalesce(c.value, 0) - coalesce(f.value, 0)".to_owned(),
            false => format!("{current} - f.value"),
        };
        let (restated, join) = match late {
            Some(late) => {
                let join = days(late, &identifier(super::relation::LATE_ROWS));
                ("coalesce(l.value, 0)", format!("LEFT JOIN {join} AS l ON l.day = f.day"))
            }
            None => ("cast(0 AS bigint)", String::new()),
        };
        // Without UNION the measure would stay a calculation; a LIMIT makes it the day's value.
        let limit = if branches.len() == 1 { " LIMIT 1" } else { "" };
        let now = days(&format!("metrics.{relation}"), &metric);
        Some(format!(
            "SELECT f.day AS date, f.value AS first_final, {current} AS current, \
             CASE WHEN f.closed THEN {difference} END AS difference, \
             {restated} AS restated_rows \
             FROM ({}{limit}) AS f LEFT JOIN {now} AS c ON c.day = f.day {join}",
            branches.join(" UNION ALL ")
        ))
    }
}

/// Puts each day's close behind the relation that its branch reads.
fn as_of_each(query: &mut Query, moments: &[DateTime<Utc>]) -> Result<(), BindError> {
    let lost = || BindError::Internal("a branch of restatements is missing".to_owned());
    let SetExpr::Select(outer) = query.body.as_mut() else { return Err(lost()) };
    let first = outer.from.first_mut().ok_or_else(lost)?;
    let TableFactor::Derived { subquery, .. } = &mut first.relation else { return Err(lost()) };
    let mut body = subquery.body.as_mut();
    // A UNION ALL of three is the union of two, and the last.
    for moment in moments.iter().rev() {
        let (select, rest) = match body {
            SetExpr::SetOperation { left, right, .. } => (right.as_mut(), Some(left.as_mut())),
            select => (select, None),
        };
        let SetExpr::Select(select) = select else { return Err(lost()) };
        let from = select.from.first_mut().ok_or_else(lost)?;
        let TableFactor::Table { version, .. } = &mut from.relation else { return Err(lost()) };
        let text = moment.to_rfc3339_opts(SecondsFormat::Micros, true);
        let moment = Expr::value(Value::SingleQuotedString(text));
        *version = Some(TableVersion::ForSystemTimeAsOf(moment));
        match rest {
            Some(rest) => body = rest,
            None => return Ok(()),
        }
    }
    Err(lost())
}

/// The moment that [`as_of_each`] has put behind a relation.
pub(crate) fn as_of(version: &TableVersion) -> Result<DateTime<Utc>, BindError> {
    let refused = || BindError::NotSupported {
        what: format!("{version}"),
        hint: Some("SET canon.as_of for the whole statement.".to_owned()),
        position: None,
    };
    match version {
        TableVersion::ForSystemTimeAsOf(Expr::Value(moment)) => match &moment.value {
            Value::SingleQuotedString(text) => {
                let moment = DateTime::parse_from_rfc3339(text).map_err(|_| refused())?;
                Ok(moment.to_utc())
            }
            _ => Err(refused()),
        },
        _ => Err(refused()),
    }
}

/// A query in a text of ours.
pub(super) fn parsed(text: &str) -> Result<Query, BindError> {
    let fault = |error: ParserError| BindError::Internal(error.to_string());
    // Without places: they would be taken for those of the statement's text.
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, text).tokenize();
    let tokens = tokens.map_err(|error| fault(error.into()))?;
    let dialect = Postgres::for_tokens(tokens.len());
    let mut parser = Parser::new(&dialect).with_tokens(tokens);
    parser.parse_query().map(|query| *query).map_err(fault)
}

/// A name that means exactly this.
pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn invalid(message: &str, hint: &str) -> BindError {
    BindError::BadArgument { message: message.to_owned(), hint: hint.to_owned() }
}

fn too_far() -> BindError {
    invalid("the days are too far away", "Ask for days of this calendar.")
}

/// The text of a constant argument.
fn text_of(arg: &FunctionArg) -> Result<String, BindError> {
    let constant = |expr: &Expr| match expr {
        Expr::Value(value) => value.value.clone().into_string(),
        Expr::TypedString(typed) => typed.value.value.clone().into_string(),
        Expr::Cast { kind: CastKind::Cast | CastKind::DoubleColon, expr, .. } => match &**expr {
            Expr::Value(value) => value.value.clone().into_string(),
            _ => None,
        },
        _ => None,
    };
    let text = match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => constant(expr),
        _ => None,
    };
    text.ok_or_else(|| {
        invalid(
            "the arguments of canon.restatements must be constants",
            "Write canon.restatements('revenue', '2026-09-01', '2026-09-30').",
        )
    })
}

fn date_of(arg: &FunctionArg) -> Result<NaiveDate, BindError> {
    let text = text_of(arg)?;
    let date = NaiveDate::parse_from_str(text.trim(), "%Y-%m-%d");
    date.map_err(|_| {
        invalid(&format!("\"{text}\" is not a date"), "Write year-month-day, such as 2026-09-01.")
    })
}
