//! How many rows of a source a measure counts, and what drops the others: for EXPLAIN (CANON).
//!
//! Each place where a statement evaluates a measure is looked at: the rows that reach it are those
//! of the statement's own plan, expanded by the same [`Rewriter`], so what is counted is what the
//! answer is made of. The counts are conditional counts over these rows, united with the counts of
//! the source before and after dedupe: one statement for each metric and place.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, TableReference};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan, TableScanBuilder, Union, and, lit};

use super::atoms::Atoms;
use super::error::PlanError;
use super::expand::{TimeOf, row_time};
use super::latest::Latest;
use super::levels;
use super::measure::{self, located, mark_of, marked, rows_schema};
use super::rewrite::{Needs, Rewriter, aggregated, projected};
use super::rules;
use super::source::SourceTable;
use super::trace::{Below, Fanout, Scanned, below, columns_of, instance_of, scans_of};
use crate::bind::{ScanKind, markers};
use crate::functions::registry;
use crate::model::entity::BASE;
use crate::model::{Entity, MetricKind, MetricVersion, Model};

/// A metric over rows, at one place of a statement.
#[derive(Debug)]
pub struct Account {
    /// The versions that were asked for and count these rows.
    pub asked: Vec<Arc<MetricVersion>>,
    /// The version whose rows are counted: the asked one, or one that it is built on.
    pub version: Arc<MetricVersion>,
    /// The entity whose rows they are.
    pub entity: Arc<Entity>,
    /// What drops rows, in order; a row is counted at the first that drops it.
    pub steps: Vec<Step>,
    /// Related entities that are joined, parents first.
    pub joins: Vec<Join>,
    /// Gives one row for each place in [`Account::counts`].
    pub plan: LogicalPlan,
    /// Whether the statement groups, filters or shows by the metric's time.
    pub uses_time: bool,
}

/// Something that drops rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Older versions of a row, and rows that are deleted.
    Dedupe,
    /// The statement's WHERE, joins and FILTER.
    Statement,
    /// An eligibility rule, by its place among those of the version.
    Rule(usize),
}

/// A join to a related entity, always left: a row without a partner stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    /// The relationships that lead there: `order.customer`.
    pub path: String,
    pub entity: String,
    pub relation: String,
    /// Columns of the parent's source that hold its key.
    pub key: Vec<String>,
    pub missing: Option<String>,
    pub unmatched: Option<String>,
    /// What it is joined for.
    pub reasons: Vec<String>,
}

/// Rows counted, as a plan's answer tells them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    pub source: i64,
    /// Dropped by each of the account's steps.
    pub dropped: Vec<i64>,
    pub counted: i64,
    /// Of those that count, the ones without an event time.
    pub without_time: i64,
}

impl Account {
    /// The counts in the rows of [`Account::plan`]: `[part, c0, c1, …]`, part 0 the source, 1 the
    /// source deduped, 2 what is left after the statement's filters and each rule, then the rows
    /// without time.
    pub fn counts(&self, rows: &[Vec<i64>]) -> Option<Counts> {
        let part = |number: i64| rows.iter().find(|row| row.first() == Some(&number));
        let source = *part(0)?.get(1)?;
        let kept = part(2)?;
        let mut left = vec![source];
        left.extend(part(1).and_then(|row| row.get(1)).copied());
        let rules = self.version.eligibility.len();
        left.extend(kept.get(1..=rules + 1)?);
        let dropped = left.windows(2).map(|pair| pair[0] - pair[1]).collect();
        let counted = *left.last()?;
        Some(Counts { source, dropped, counted, without_time: *kept.get(rules + 2)? })
    }
}

/// The accounts of all measures that a bound plan evaluates at a time, parameters filled in. A measure in a
/// correlated subquery has none: its rows are others for each row around it.
///
/// # Errors
/// As [`plan`](super::plan).
pub fn accounts(
    model: &Model,
    bound: &LogicalPlan,
    at: DateTime<Utc>,
) -> Result<Vec<Account>, PlanError> {
    let places = places_of(&rules::pruned(model, bound)?)?;
    let mut accounts: Vec<Account> = Vec::new();
    let mut known: Vec<(&Place, usize)> = Vec::new();
    for place in places.iter().filter(|place| counts_own_rows(model, &place.asked)) {
        for version in leaves(model, &place.asked) {
            let is_same = |(other, index): &&(&Place, usize)| {
                Arc::ptr_eq(&accounts[*index].version, &version) && other.has_rows_of(place)
            };
            let counted = known.iter().find(is_same).map(|(_, index)| *index);
            if let Some(index) = counted {
                let asked = &mut accounts[index].asked;
                if !asked.iter().any(|known| Arc::ptr_eq(known, &place.asked)) {
                    asked.push(Arc::clone(&place.asked));
                }
            } else if let Some(account) = account(model, place, version, at)? {
                known.push((place, accounts.len()));
                accounts.push(account);
            }
        }
    }
    Ok(accounts)
}

/// The versions whose measures a bound plan reads: a `SELECT *` in a subquery names more.
///
/// # Errors
/// As [`plan`](super::plan).
pub fn asked(model: &Model, bound: &LogicalPlan) -> Result<Vec<Arc<MetricVersion>>, PlanError> {
    let mut asked = Vec::new();
    rules::pruned(model, bound)?.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some((_, relation)) = instance_of(scan)
        {
            for column in columns_of(scan, relation) {
                if let ScanKind::Measure(version) = &column.kind {
                    asked.push(Arc::clone(version));
                }
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(asked)
}

/// Where a statement evaluates a measure.
#[derive(Debug)]
struct Place {
    /// The rows that reach it.
    input: LogicalPlan,
    filter: Option<Expr>,
    instance: usize,
    asked: Arc<MetricVersion>,
    /// Evaluated for each row of the entity, by the time of plain rows.
    is_per_row: bool,
}

impl Place {
    fn has_rows_of(&self, other: &Self) -> bool {
        self.instance == other.instance && self.filter == other.filter && self.input == other.input
    }
}

fn places_of(plan: &LogicalPlan) -> Result<Vec<Place>, PlanError> {
    let mut places = Vec::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Aggregate(aggregate) = node
            && (measure::is_forced(aggregate) || levels::has_levels(aggregate))
        {
            let at_level = |expr| {
                let (args, filter) = marked(expr, markers::MEASURE_AT)?;
                Some((args.first()?, filter))
            };
            let marks =
                aggregate.aggr_expr.iter().filter_map(|it| mark_of(it).or_else(|| at_level(it)));
            for (argument, filter) in marks {
                let rows = Rows { input: &aggregate.input, filter, is_per_row: false };
                collect(&rows, &aggregate.input, argument, &mut places);
            }
        } else if let Some(input) = node.inputs().first().copied() {
            node.apply_expressions(|expr| {
                expr.apply(|expr| {
                    if let Expr::ScalarFunction(call) = expr
                        && call.func.name() == markers::MEASURE_OF_ROW
                        && let Some(argument) = call.args.first()
                    {
                        let rows = Rows { input, filter: None, is_per_row: true };
                        collect(&rows, input, argument, &mut places);
                    }
                    Ok(TreeNodeRecursion::Continue)
                })
            })?;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    places.retain(|place| !place.input.contains_outer_reference());
    Ok(places)
}

/// The rows that reach a marker.
struct Rows<'p> {
    input: &'p LogicalPlan,
    filter: Option<&'p Expr>,
    is_per_row: bool,
}

/// Follows an expression of measures down to the scans that they are of.
fn collect(rows: &Rows<'_>, plan: &LogicalPlan, expr: &Expr, places: &mut Vec<Place>) {
    for column in expr.column_refs() {
        match below(plan, column) {
            Below::Scan(instance, scanned) => {
                if let ScanKind::Measure(version) = &scanned.kind {
                    places.push(Place {
                        input: rows.input.clone(),
                        filter: rows.filter.cloned(),
                        instance,
                        asked: Arc::clone(version),
                        is_per_row: rows.is_per_row,
                    });
                }
            }
            Below::Expr(input, inner) => collect(rows, input, inner, places),
            Below::Value => {}
        }
    }
}

/// Whether a metric counts the rows of its groups under no other rules than those of its parts: one
/// over a window of time counts others, and a filtered part fewer.
fn counts_own_rows(model: &Model, version: &MetricVersion) -> bool {
    let is_filtered = match &version.kind {
        MetricKind::Aggregate(_) => return true,
        MetricKind::Ratio { numerator, denominator } => {
            !numerator.filter.is_empty() || !denominator.filter.is_empty()
        }
        MetricKind::Derived { .. } => false,
        _ => return false,
    };
    let mut parts = version.kind.parts().into_iter();
    !is_filtered
        && version.filter.is_empty()
        && parts.all(|part| {
            model.version_of(part).is_some_and(|(_, part)| counts_own_rows(model, part))
        })
}

/// The versions over rows that a version is built on; itself, where it is one.
fn leaves(model: &Model, version: &Arc<MetricVersion>) -> Vec<Arc<MetricVersion>> {
    let parts = version.kind.parts();
    if parts.is_empty() {
        return vec![Arc::clone(version)];
    }
    let mut found: Vec<Arc<MetricVersion>> = Vec::new();
    for (_, part) in parts.into_iter().filter_map(|part| model.version_of(part)) {
        for leaf in leaves(model, part) {
            if !found.iter().any(|known| Arc::ptr_eq(known, &leaf)) {
                found.push(leaf);
            }
        }
    }
    found
}

/// None where the scan is gone.
fn account(
    model: &Model,
    place: &Place,
    version: Arc<MetricVersion>,
    at: DateTime<Utc>,
) -> Result<Option<Account>, PlanError> {
    let scans = scans_of(&place.input);
    let Some(scanned) = scans.get(&place.instance) else { return Ok(None) };
    let Scanned { node, relation: scan } = *scanned;
    let Some(entity) = model.entities.get(&version.entity).cloned() else { return Ok(None) };
    let mut atoms = Atoms::default();
    atoms.formula(model, &version, place.instance, None)?;
    let uses_time = scanned.uses_time();
    let time = match place.is_per_row {
        true => row_time(model, scan)?,
        false => atoms.list.first().and_then(|atom| atom.time.clone()),
    };
    let time = time.filter(|_| uses_time);
    let mut steps = Vec::new();
    steps.extend(entity.source.dedupe.as_ref().map(|_| Step::Dedupe));
    steps.push(Step::Statement);
    steps.extend((0..version.eligibility.len()).map(Step::Rule));
    let mut joins = Joins::new(model, &entity);
    for column in columns_of(node, scan) {
        if let ScanKind::Dimension(_) = column.kind
            && let Some(dimension) = entity.dimension_named(&column.name)
        {
            let reason = format!("dimension {}", column.name);
            joins.add(&dimension.expr, &reason);
        }
    }
    for atom in &atoms.list {
        atom.argument.iter().for_each(|expr| joins.add(expr, "the value"));
        atom.time.iter().for_each(|time| joins.add(&time.instant, "the time"));
    }
    for rule in &version.eligibility {
        joins.add(&rule.expr, &format!("rule {}", rule.rule));
    }
    let plan = counting_plan((model, at), place, &version, time)?;
    let (asked, joins) = (vec![Arc::clone(&place.asked)], joins.found);
    Ok(Some(Account { asked, version, entity, steps, joins, plan, uses_time }))
}

/// The joins that expressions over sources need.
struct Joins<'m> {
    model: &'m Model,
    entity: &'m Entity,
    found: Vec<Join>,
}

impl<'m> Joins<'m> {
    fn new(model: &'m Model, entity: &'m Entity) -> Self {
        Self { model, entity, found: Vec::new() }
    }

    fn add(&mut self, expr: &Expr, reason: &str) {
        let mut paths: Vec<&str> = expr
            .column_refs()
            .into_iter()
            .filter_map(|column| column.relation.as_ref())
            .map(TableReference::table)
            .filter(|path| *path != BASE)
            .collect();
        paths.sort_unstable();
        paths.dedup();
        paths.into_iter().for_each(|path| self.add_path(path, reason));
    }

    fn add_path(&mut self, path: &str, reason: &str) {
        let mut current = self.entity;
        let mut walked = String::new();
        for role in path.split('.') {
            let link = current.relationships.iter().find(|link| link.name == role);
            let target = link.and_then(|link| self.model.entities.get(&link.entity));
            let (Some(link), Some(target)) = (link, target) else { return };
            walked = if walked.is_empty() { role.to_owned() } else { format!("{walked}.{role}") };
            let known = self.found.iter_mut().find(|join| join.path == walked);
            match known {
                Some(join) if join.reasons.iter().any(|known| known == reason) => {}
                Some(join) => join.reasons.push(reason.to_owned()),
                None => self.found.push(Join {
                    path: walked.clone(),
                    entity: target.name.clone(),
                    relation: target.relation.clone(),
                    key: link.key.clone(),
                    missing: link.missing.clone(),
                    unmatched: link.unmatched.clone(),
                    reasons: vec![reason.to_owned()],
                }),
            }
            current = target;
        }
    }
}

// ---- the plan that counts ----

/// The columns that a place's rows carry for the counts.
struct Carried {
    key: Vec<Expr>,
    /// Whether the row is one of the entity's: an outer join makes up others.
    present: Expr,
    rules: Vec<Expr>,
    has_time: Expr,
}

fn counting_plan(
    (model, at): (&Model, DateTime<Utc>),
    place: &Place,
    version: &MetricVersion,
    time: Option<TimeOf>,
) -> Result<LogicalPlan, PlanError> {
    let missing = || PlanError::Internal(format!("no entity {}", version.entity));
    let entity = Arc::clone(model.entities.get(&version.entity).ok_or_else(missing)?);
    let zeros = version.eligibility.len() + 1;
    let mut parts = vec![counted(0, source_rows(&entity)?, [None], zeros)?];
    if let Some(dedupe) = &entity.source.dedupe {
        let latest = Latest::plan(source_rows(&entity)?, dedupe.clone());
        parts.push(counted(1, latest, [None], zeros)?);
    }
    let mut rewriter = Rewriter::new(model, at);
    let mut needs = Needs::default();
    if let Some(time) = &time {
        needs.times.insert(place.instance, time.clone());
    }
    needs.entities.insert(place.instance, version.entity.clone());
    let key = entity.key.iter().map(|name| base_column(name));
    let key = key.map(|expr| carry(&mut rewriter, &mut needs, place.instance, expr)).collect();
    let mut extra = |expr: Expr| carry(&mut rewriter, &mut needs, place.instance, expr);
    let carried = Carried {
        key,
        present: extra(lit(true)),
        rules: version.eligibility.iter().map(|rule| extra(rule.expr.clone())).collect(),
        has_time: match time {
            Some(time) => extra(time.instant.is_not_null()),
            None => extra(lit(true)),
        },
    };
    let rows = rewriter.rewrite(&place.input, &needs)?;
    parts.push(kept(rows, carried, place)?);
    let parts = parts.into_iter().map(Arc::new).collect();
    rules::finished(LogicalPlan::Union(Union::try_new_with_loose_types(parts)?))
}

fn base_column(name: &str) -> Expr {
    Expr::Column(Column::new(Some(TableReference::bare(BASE)), name))
}

/// Asks a scan for an expression; gives the column that it arrives in.
fn carry(rewriter: &mut Rewriter<'_>, needs: &mut Needs, instance: usize, expr: Expr) -> Expr {
    let extras = needs.extras.entry(instance).or_default();
    let known = extras.iter().find(|(_, known)| *known == expr).map(|(name, _)| name.clone());
    let name = known.unwrap_or_else(|| {
        let name = rewriter.carried_name();
        extras.push((name.clone(), expr));
        name
    });
    Expr::Column(Column::new_unqualified(name))
}

/// The entity's source as it is stored, with the columns that dedupe needs.
fn source_rows(entity: &Entity) -> Result<LogicalPlan, PlanError> {
    let source = &entity.source;
    let wanted = |name: &String| {
        entity.key.contains(name)
            || source.dedupe.as_ref().is_some_and(|dedupe| {
                dedupe.by.contains(name)
                    || dedupe.latest == *name
                    || dedupe.deleted.as_ref() == Some(name)
            })
    };
    let columns = source.columns.iter().enumerate();
    let projection = columns.filter(|(_, column)| wanted(&column.name)).map(|(index, _)| index);
    let table = SourceTable::new(source.table.clone(), source.columns.clone());
    let scan = TableScanBuilder::new(TableReference::bare(source.table.as_str()), Arc::new(table))
        .with_projection(Some(projection.collect()))
        .build()?;
    Ok(LogicalPlan::TableScan(scan))
}

/// The rows that the statement leaves, counted under each rule and those before it.
fn kept(rows: LogicalPlan, carried: Carried, place: &Place) -> Result<LogicalPlan, PlanError> {
    let schema = rows_schema(&rows);
    let locate = |expr: &Expr| located(expr.clone(), &schema);
    let Carried { key, present, rules, has_time } = &carried;
    let mut exprs: Vec<Expr> = Vec::new();
    for expr in key.iter().chain([present]).chain(rules).chain([has_time]) {
        let column = locate(expr)?;
        if !exprs.contains(&column) {
            exprs.push(column);
        }
    }
    let mut condition = locate(present)?;
    if let Some(filter) = &place.filter {
        const FILTER: &str = "__filter";
        exprs.push(locate(filter)?.alias(FILTER));
        condition = and(condition, Expr::Column(Column::new_unqualified(FILTER)));
    }
    let mut rows = projected(rows, exprs)?;
    if Fanout::of(&place.input).repeats(place.instance) {
        rows = LogicalPlan::Distinct(Distinct::All(Arc::new(rows)));
    }
    let mut conditions = vec![condition.clone()];
    for rule in rules {
        condition = and(condition, locate(rule)?);
        conditions.push(condition.clone());
    }
    conditions.push(and(condition, locate(has_time)?.is_not_true()));
    counted(2, rows, conditions.into_iter().map(Some), 0)
}

/// One row: the part's number, how many of the rows meet each condition, and zeros.
fn counted(
    part: i64,
    rows: LogicalPlan,
    conditions: impl IntoIterator<Item = Option<Expr>>,
    zeros: usize,
) -> Result<LogicalPlan, PlanError> {
    let count = registry().aggregate.get("count");
    let count = count.ok_or_else(|| PlanError::Internal("no aggregate count".to_owned()))?;
    let name = |index: usize| format!("__c{index}");
    let count_if = |(index, condition): (usize, Option<Expr>)| {
        let (args, filter) = (vec![lit(1i64)], condition.map(Box::new));
        let call =
            AggregateFunction::new_udf(Arc::clone(count), args, false, filter, Vec::new(), None);
        Expr::AggregateFunction(call).alias(name(index))
    };
    let counts: Vec<Expr> = conditions.into_iter().enumerate().map(count_if).collect();
    let known = counts.len();
    let mut exprs = vec![lit(part).alias("__part")];
    exprs.extend((0..known).map(|index| Expr::Column(Column::new_unqualified(name(index)))));
    exprs.extend((known..known + zeros).map(|index| lit(0i64).alias(name(index))));
    projected(aggregated(rows, Vec::new(), counts)?, exprs)
}
