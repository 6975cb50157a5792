//! `canon.query('revenue, refund_rate@1', by => 'metric_time.month, customer_country', …)`: the
//! query over the metrics' relations that it stands for, so that it can't answer otherwise than they.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use chrono::{DateTime, Utc};
use datafusion::sql::sqlparser::ast::{
    CastKind, Expr, FunctionArg, FunctionArgExpr, FunctionArgOperator, Ident, Query, SetExpr,
    VisitMut, VisitorMut,
};

use super::binder::Binder;
use super::error::BindError;
use super::scope::{folded, nearest};
use super::table_function::{Named, identifier, parsed};
use crate::model::Project;
use crate::sql::settings::{as_of, parse_bool};
use crate::sql::timezone::TimeZone;
use crate::sql::{self, SqlError};

/// A table function written out, and how the relations in it are read.
pub(crate) struct Written {
    pub(crate) query: Query,
    pub(crate) as_of: Option<DateTime<Utc>>,
    pub(crate) fill: Option<bool>,
}

impl From<Query> for Written {
    fn from(query: Query) -> Self {
        Self { query, as_of: None, fill: None }
    }
}

/// More of them are nobody's question.
const ITEMS_MAX: usize = 100;

const HINT: &str = "Write canon.query('revenue, orders', by => 'metric_time.month, customer_country', where => 'customer_country = ''DE''', fill => true, as_of => '2026-10-01').";

/// The arguments, checked for their form.
#[derive(Default)]
struct Arguments {
    metrics: Option<String>,
    by: Option<String>,
    filter: Option<String>,
    fill: Option<bool>,
    as_of: Option<DateTime<Utc>>,
}

impl Binder<'_> {
    /// The query that a call of `canon.query` stands for.
    ///
    /// # Errors
    /// Arguments that aren't constants of the right form, unknown metrics and grains. Unknown
    /// dimensions are found when the query is bound.
    pub(super) fn metric_query(&mut self, args: &[FunctionArg]) -> Result<Written, BindError> {
        let arguments = self.arguments(args)?;
        let metrics = arguments.metrics.ok_or_else(|| invalid("canon.query takes metrics"))?;
        let mut columns: Vec<String> = Vec::new();
        let mut keys = 0;
        let asked = items(&metrics)?.into_iter().map(|item| self.named_metric(item));
        let asked = asked.collect::<Result<Vec<Named>, _>>()?;
        let first = asked.first().ok_or_else(|| invalid("canon.query takes metrics"))?;
        named_once(asked.iter().map(|asked| asked.relation.as_str()))?;
        let by = items(arguments.by.as_deref().unwrap_or_default())?;
        named_once(by.iter().copied())?;
        for item in by {
            columns.push(format!(
                "{} AS {}",
                key(item, first, &self.model.project)?,
                identifier(item)
            ));
            keys += 1;
        }
        let mut relations: Vec<String> = Vec::new();
        let mut names: Vec<String> = Vec::new();
        for asked in &asked {
            let name = match names.contains(&asked.metric) {
                true => asked.relation.clone(),
                false => asked.metric.clone(),
            };
            let relation = identifier(&asked.relation);
            let measure = identifier(&asked.metric);
            columns.push(format!("MEASURE({relation}.{measure}) AS {}", identifier(&name)));
            relations.push(format!("metrics.{relation}"));
            names.push(name);
        }
        let mut text = format!("SELECT {} FROM {}", columns.join(", "), relations.join(", "));
        if keys > 0 {
            let positions: Vec<String> = (1..=keys).map(|position| position.to_string()).collect();
            text.push_str(&format!(" GROUP BY {}", positions.join(", ")));
        }
        let mut query = parsed(&text)?;
        if let (Some(filter), SetExpr::Select(select)) = (&arguments.filter, query.body.as_mut()) {
            select.selection = Some(condition(filter, first)?);
        }
        Ok(Written { query, as_of: arguments.as_of, fill: arguments.fill })
    }

    fn arguments(&self, args: &[FunctionArg]) -> Result<Arguments, BindError> {
        let mut found = Arguments::default();
        for arg in args {
            let (name, value) = match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) if found.metrics.is_none() => {
                    ("metrics".to_owned(), value)
                }
                FunctionArg::Named {
                    name,
                    arg: FunctionArgExpr::Expr(value),
                    operator: FunctionArgOperator::RightArrow | FunctionArgOperator::Assignment,
                } => (folded(name), value),
                FunctionArg::ExprNamed {
                    name: Expr::Identifier(name),
                    arg: FunctionArgExpr::Expr(value),
                    operator: FunctionArgOperator::RightArrow | FunctionArgOperator::Assignment,
                } => (folded(name), value),
                other => {
                    return Err(invalid(&format!("canon.query does not take {other}")));
                }
            };
            let text = constant(value).ok_or_else(|| {
                invalid(&format!("argument \"{name}\" of canon.query must be a constant"))
            })?;
            match name.as_str() {
                "metrics" => found.metrics = Some(text),
                "by" => found.by = Some(text),
                "where" => found.filter = Some(text),
                "fill" => {
                    let fill = parse_bool(&text);
                    found.fill = Some(fill.ok_or_else(|| {
                        invalid(&format!("\"{text}\" is not a Boolean for fill"))
                    })?);
                }
                "as_of" => {
                    let zone = TimeZone::Named(self.model.project.timezone);
                    let moment = as_of(&text, &zone);
                    found.as_of = Some(moment.ok_or_else(|| {
                        invalid(&format!("\"{text}\" is not a date or timestamp for as_of"))
                    })?);
                }
                other => {
                    let known = ["metrics", "by", "where", "fill", "as_of"];
                    let near = nearest(other, known.into_iter());
                    let near = near.map(|near| format!("; did you mean \"{near}\"?"));
                    let near = near.unwrap_or_default();
                    return Err(invalid(&format!("canon.query has no argument \"{other}\"{near}")));
                }
            }
        }
        Ok(found)
    }
}

fn invalid(message: &str) -> BindError {
    BindError::BadArgument { message: message.to_owned(), hint: HINT.to_owned() }
}

/// The parts of a list.
fn items(list: &str) -> Result<Vec<&str>, BindError> {
    if list.trim().is_empty() {
        return Ok(Vec::new());
    }
    let items: Vec<&str> = list.split(',').map(str::trim).collect();
    if items.iter().any(|item| item.is_empty()) {
        return Err(invalid(&format!("\"{list}\" has an empty item")));
    }
    match items.len() > ITEMS_MAX {
        true => Err(invalid(&format!("canon.query takes at most {ITEMS_MAX} items of a list"))),
        false => Ok(items),
    }
}

/// Each is a column of the answer.
fn named_once<'n>(names: impl Iterator<Item = &'n str>) -> Result<(), BindError> {
    let mut known = BTreeSet::new();
    for name in names {
        if !known.insert(name) {
            return Err(BindError::DuplicateColumn { name: name.to_owned() });
        }
    }
    Ok(())
}

/// A dimension, or a time cut to a grain, of the first metric's relation: joined metrics share them.
fn key(item: &str, first: &Named, project: &Project) -> Result<String, BindError> {
    let relation = identifier(&first.relation);
    let Some((column, grain)) = item.split_once('.') else {
        return Ok(format!("{relation}.{}", identifier(item)));
    };
    if !matches!(column, "metric_time" | "metric_instant") {
        let message = format!("\"{item}\" is no dimension: only times have a grain");
        return Err(invalid(&message));
    }
    match project.grain(grain) {
        Ok(_) => Ok(format!(
            "date_trunc('{}', {relation}.{})",
            grain.to_ascii_lowercase().replace('\'', "''"),
            identifier(column)
        )),
        Err(_) => Err(invalid(&format!("\"{grain}\" is not a grain of time"))),
    }
}

/// A filter: its columns are those of the first metric's relation.
fn condition(text: &str, first: &Named) -> Result<Expr, BindError> {
    let mut filter = sql::parse::expression(text).map_err(|error| match error {
        SqlError::TooComplex { .. } => BindError::TooComplex,
        other => invalid(&format!("the filter of canon.query can't be read: {other}")),
    })?;
    let _ = VisitMut::visit(&mut filter, &mut Qualify { relation: &first.relation });
    Ok(Expr::Nested(Box::new(filter)))
}

/// Puts the first relation before plain names.
struct Qualify<'a> {
    relation: &'a str,
}

impl VisitorMut for Qualify<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Identifier(name) = expr {
            *expr =
                Expr::CompoundIdentifier(vec![Ident::with_quote('"', self.relation), name.clone()]);
        }
        ControlFlow::Continue(())
    }
}

fn constant(value: &Expr) -> Option<String> {
    match value {
        Expr::Value(value) => match &value.value {
            datafusion::sql::sqlparser::ast::Value::Boolean(value) => Some(value.to_string()),
            value => value.clone().into_string(),
        },
        Expr::TypedString(typed) => typed.value.value.clone().into_string(),
        Expr::Identifier(word) if word.quote_style.is_none() => {
            let word = folded(word);
            parse_bool(&word).is_some().then_some(word)
        }
        Expr::Cast { kind: CastKind::Cast | CastKind::DoubleColon, expr, .. } => constant(expr),
        _ => None,
    }
}
