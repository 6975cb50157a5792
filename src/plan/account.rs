//! How many rows of a source a measure counts, and what drops the others: for EXPLAIN (CANON).
//!
//! Each place where a statement evaluates a measure is looked at: the rows that reach it are those
//! of the statement's own plan, expanded by the same [`Rewriter`], so what is counted is what the
//! answer is made of. The counts are conditional counts over these rows, united with the counts of
//! the source before and after dedupe, and of the rows that windows and series of time leave: one
//! statement for each metric and place.

mod counting;
mod leaves;

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::common::TableReference;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan};

use super::atoms::{Atoms, Over};
use super::error::PlanError;
use super::expand::{Reading, row_time};
use super::levels;
use super::measure::{self, mark_of, marked};
use super::rules;
use super::trace::{Below, Scanned, below, columns_of, instance_of, scans_of};
use crate::bind::{ScanClock, ScanKind, markers};
use crate::model::entity::{AT_EVENT, AsOf, BASE};
use crate::model::segment::SegmentColumn;
use crate::model::{Entity, MetricVersion, Model, Pick, SegmentVersion};
use leaves::{Followed, Leaf};

/// A metric over rows, at one place of a statement.
#[derive(Debug)]
pub struct Account {
    /// The versions that were asked for and count these rows.
    pub asked: Vec<Arc<MetricVersion>>,
    /// The version whose rows are counted: the asked one, or one that it is built on.
    pub version: Arc<MetricVersion>,
    /// What the asked version makes of it: `1 year earlier`, `as numerator`.
    pub role: Vec<String>,
    /// The entity whose rows they are.
    pub entity: Arc<Entity>,
    /// What drops rows, in order; a row is counted at the first that drops it.
    pub steps: Vec<Step>,
    /// Related entities that are joined, parents first.
    pub joins: Vec<Join>,
    /// Segments that are joined.
    pub segments: Vec<SegmentJoin>,
    /// Gives one row for each place in [`Account::counts`].
    pub plan: LogicalPlan,
    /// Whether the statement groups, filters or shows by the metric's time.
    pub uses_time: bool,
}

/// Something that drops rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Had not come in at the moment as of which the statement asks.
    NotYet(DateTime<Utc>),
    /// Older versions of a row, and rows that are deleted.
    Dedupe,
    /// The statement's WHERE, joins and FILTER.
    Statement,
    /// An eligibility rule, by its place among those of the version.
    Rule(usize),
    /// Came after its day was closed: so many days after its end.
    Late(u32),
    /// The filter of a metric that is built on the version, as written.
    Filter(String),
    /// The row's day has none beside it in the period to which it is shifted.
    /// How much later that would be: `1 month`.
    NoPartner(String),
    /// Outside of the windows of all periods shown.
    Window,
    /// Stands for its series in none of the periods shown.
    Series(Pick),
    /// There is nobody to follow.
    NoMember,
    /// An event without a time has no place in anybody's journey.
    NoTime,
}

impl Step {
    /// Whether it looks at a row by itself, after the statement's own filters.
    fn is_of_row(&self) -> bool {
        !matches!(self, Self::NotYet(_) | Self::Dedupe | Self::Window | Self::Series(_))
    }
}

/// A join to a related entity, always left: a row without a partner stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    /// The relationships that lead there: `order.customer`.
    pub path: String,
    pub entity: String,
    pub relation: String,
    /// Which of an entity's rows it is; None where the source keeps one for each key.
    pub as_of: Option<AsOf>,
    /// Columns of the parent's source that hold its key.
    pub key: Vec<String>,
    pub missing: Option<String>,
    pub unmatched: Option<String>,
    /// What it is joined for.
    pub reasons: Vec<String>,
}

/// A join to the rows of a segment, one for each member.
#[derive(Debug, Clone)]
pub struct SegmentJoin {
    pub version: Arc<SegmentVersion>,
    /// The relationships that lead to the member; empty where the rows are of members themselves.
    pub path: String,
    pub as_of: AsOf,
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
    /// The counts in the rows of [`Account::plan`]: `[part, c0, c1, …]`, part 0 the source, 4 what of
    /// it had come in, 1 that deduped, 2 what is left after each step that looks at rows by themselves, then the
    /// rows without time, 3 what is left after windows and series.
    pub fn counts(&self, rows: &[Vec<i64>]) -> Option<Counts> {
        let part = |number: i64| rows.iter().find(|row| row.first() == Some(&number));
        let source = *part(0)?.get(1)?;
        let kept = part(2)?;
        let mut left = vec![source];
        left.extend(part(4).and_then(|row| row.get(1)).copied());
        left.extend(part(1).and_then(|row| row.get(1)).copied());
        let of_rows = self.steps.iter().filter(|step| step.is_of_row()).count();
        left.extend(kept.get(1..=of_rows)?);
        left.extend(part(3).and_then(|row| row.get(1)).copied());
        let dropped: Vec<i64> = left.windows(2).map(|pair| pair[0] - pair[1]).collect();
        let counted = *left.last()?;
        let is_whole = dropped.len() == self.steps.len();
        is_whole.then_some(Counts {
            source,
            dropped,
            counted,
            without_time: *kept.get(of_rows + 1)?,
        })
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
    let mut known: Vec<(&Place, Leaf, usize)> = Vec::new();
    for place in &places {
        for leaf in leaves::of(model, &place.asked)? {
            let counted = known.iter().find(|(other, known, _)| {
                known.is_like(&leaf) && (leaf.followed.is_some() || other.has_rows_of(place))
            });
            if let Some((.., index)) = counted {
                let asked = &mut accounts[*index].asked;
                if !asked.iter().any(|known| Arc::ptr_eq(known, &place.asked)) {
                    asked.push(Arc::clone(&place.asked));
                }
            } else if let Some(account) = account(model, place, &leaf, at)? {
                known.push((place, leaf, accounts.len()));
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
    /// What evaluates it; None: each row of the entity, by the time of plain rows.
    aggregate: Option<Aggregate>,
}

impl Place {
    fn has_rows_of(&self, other: &Self) -> bool {
        let keys = |place: &Self| place.aggregate.as_ref().map(|it| it.group_expr.clone());
        self.instance == other.instance
            && self.filter == other.filter
            && self.input == other.input
            && keys(self) == keys(other)
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
                let rows = Rows { input: &aggregate.input, filter, aggregate: Some(aggregate) };
                collect(&rows, &aggregate.input, argument, &mut places);
            }
        } else if let Some(input) = node.inputs().first().copied() {
            node.apply_expressions(|expr| {
                expr.apply(|expr| {
                    if let Expr::ScalarFunction(call) = expr
                        && call.func.name() == markers::MEASURE_OF_ROW
                        && let Some(argument) = call.args.first()
                    {
                        let rows = Rows { input, filter: None, aggregate: None };
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
    aggregate: Option<&'p Aggregate>,
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
                        aggregate: rows.aggregate.cloned(),
                    });
                }
            }
            Below::Expr(input, inner) => collect(rows, input, inner, places),
            Below::Value => {}
        }
    }
}

/// None where the scan is gone.
fn account(
    model: &Model,
    place: &Place,
    leaf: &Leaf,
    at: DateTime<Utc>,
) -> Result<Option<Account>, PlanError> {
    let version = &leaf.version;
    let scans = scans_of(&place.input);
    let Some(scanned) = scans.get(&place.instance) else { return Ok(None) };
    let Scanned { node, relation: scan } = *scanned;
    if leaf.followed.is_some() {
        return account_of_events(Reading { model, clock: &scan.clock }, place, leaf).map(Some);
    }
    let Some(entity) = model.entities.get(&version.entity).cloned() else { return Ok(None) };
    let mut atoms = Atoms::default();
    atoms.formula(model, version, place.instance, None)?;
    let uses_time = scanned.uses_time() && leaf.over == Over::Group;
    let time = match &place.aggregate {
        None => row_time(model, scan)?,
        Some(_) => leaf.time()?,
    };
    let time = time.filter(|_| scanned.uses_time() || leaf.over != Over::Group);
    let mut steps = steps_of_source(&entity, &scan.clock);
    steps.push(Step::Statement);
    steps.extend((0..version.eligibility.len()).map(Step::Rule));
    if leaf.late_data()?.is_some() {
        steps.extend(version.time.as_ref().map(|time| Step::Late(time.late_data.window_days)));
    }
    steps.extend(leaf.filters.iter().map(|filter| Step::Filter(filter.text.clone())));
    let mut joins = Joins::new(model, &entity, &scan.segments);
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
    for filter in &leaf.filters {
        joins.add(&filter.expr, &format!("the filter {}", filter.text));
    }
    if let Over::Series(series) = &leaf.over {
        series.per.iter().for_each(|expr| joins.add(expr, "the series"));
    }
    let Joins { found: joins, found_segments: segments, .. } = joins;
    let counting = counting::Counting { model, at, clock: &scan.clock, place, leaf, time };
    let (plan, more) = counting.plan()?;
    steps.extend(more);
    Ok(Some(Account {
        asked: vec![Arc::clone(&place.asked)],
        version: Arc::clone(version),
        role: leaf.role.clone(),
        entity,
        steps,
        joins,
        segments,
        plan,
        uses_time,
    }))
}

/// What drops rows of a source before anything is asked of them.
fn steps_of_source(entity: &Entity, clock: &ScanClock) -> Vec<Step> {
    let known = clock.as_of.map(Step::NotYet);
    known.into_iter().chain(entity.source.dedupe.as_ref().map(|_| Step::Dedupe)).collect()
}

/// Which rows of a metric take part in journeys. The statement's filters are on the journeys, so
/// they drop none of these.
fn account_of_events(from: Reading<'_>, place: &Place, leaf: &Leaf) -> Result<Account, PlanError> {
    let model = from.model;
    let version = &leaf.version;
    let missing = || PlanError::Internal(format!("no events of {}", version.metric));
    let events = leaf.followed.as_ref().and_then(Followed::events).ok_or_else(missing)?;
    let entity = Arc::clone(model.entities.get(&events.entity).ok_or_else(missing)?);
    let mut steps = steps_of_source(&entity, from.clock);
    steps.extend((0..version.eligibility.len()).map(Step::Rule));
    if leaf.late_data()?.is_some() {
        steps.push(Step::Late(events.time.late_data.window_days));
    }
    steps.extend([Step::NoMember, Step::NoTime]);
    let segments = BTreeMap::new();
    let mut joins = Joins::new(model, &entity, &segments);
    for rule in &version.eligibility {
        joins.add(&rule.expr, &format!("rule {}", rule.rule));
    }
    events.member.iter().for_each(|expr| joins.add(expr, "the member"));
    events.constants.iter().for_each(|expr| joins.add(expr, "what stays the same"));
    joins.add(&events.time.expr, "the time");
    let Joins { found: joins, found_segments: segments, .. } = joins;
    Ok(Account {
        asked: vec![Arc::clone(&place.asked)],
        version: Arc::clone(version),
        role: leaf.role.clone(),
        plan: counting::of_events(from, &entity, events, &version.eligibility)?,
        entity,
        steps,
        joins,
        segments,
        uses_time: false,
    })
}

/// The joins that expressions over sources need.
struct Joins<'m> {
    model: &'m Model,
    entity: &'m Entity,
    /// The versions that the statement means, by segment.
    segments: &'m BTreeMap<String, Arc<SegmentVersion>>,
    found: Vec<Join>,
    found_segments: Vec<SegmentJoin>,
}

impl<'m> Joins<'m> {
    fn new(
        model: &'m Model,
        entity: &'m Entity,
        segments: &'m BTreeMap<String, Arc<SegmentVersion>>,
    ) -> Self {
        Self { model, entity, segments, found: Vec::new(), found_segments: Vec::new() }
    }

    fn add(&mut self, expr: &Expr, reason: &str) {
        let columns = expr.column_refs();
        let segments = columns.iter().filter_map(|column| SegmentColumn::of(column));
        segments.for_each(|segment| self.add_segment(&segment, reason));
        let mut paths: Vec<&str> = columns
            .into_iter()
            .filter(|column| SegmentColumn::of(column).is_none())
            .filter_map(|column| column.relation.as_ref())
            .map(TableReference::table)
            .filter(|path| *path != BASE)
            .collect();
        paths.sort_unstable();
        paths.dedup();
        paths.into_iter().for_each(|path| self.add_path(path, reason));
    }

    /// A segment is joined by its member's key, which the row before the member holds.
    fn add_segment(&mut self, segment: &SegmentColumn, reason: &str) {
        if let Some((_, before)) = segment.path.split_last()
            && !before.is_empty()
        {
            self.add_path(&before.join("."), reason);
        }
        let Some(version) = self.segments.get(&segment.segment) else { return };
        let path = segment.path.join(".");
        let as_of = if segment.at_event { AsOf::Event } else { AsOf::Current };
        let known = self.found_segments.iter_mut().find(|join| {
            join.path == path && join.as_of == as_of && join.version.segment == segment.segment
        });
        match known {
            Some(join) => add_reason(&mut join.reasons, reason),
            None => self.found_segments.push(SegmentJoin {
                version: Arc::clone(version),
                path,
                as_of,
                reasons: vec![reason.to_owned()],
            }),
        }
    }

    fn add_path(&mut self, path: &str, reason: &str) {
        let mut current = self.entity;
        let mut walked = String::new();
        for step in path.split('.') {
            let role = step.strip_suffix(AT_EVENT).unwrap_or(step);
            let link = current.relationships.iter().find(|link| link.name == role);
            let target = link.and_then(|link| self.model.entities.get(&link.entity));
            let (Some(link), Some(target)) = (link, target) else { return };
            walked = if walked.is_empty() { role.to_owned() } else { format!("{walked}.{role}") };
            let as_of = if role == step { AsOf::Current } else { AsOf::Event };
            let as_of = target.source.history.as_ref().map(|_| as_of);
            let known =
                self.found.iter_mut().find(|join| join.path == walked && join.as_of == as_of);
            match known {
                Some(join) => add_reason(&mut join.reasons, reason),
                None => self.found.push(Join {
                    path: walked.clone(),
                    entity: target.name.clone(),
                    relation: target.relation.clone(),
                    as_of,
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

fn add_reason(reasons: &mut Vec<String>, reason: &str) {
    if !reasons.iter().any(|known| known == reason) {
        reasons.push(reason.to_owned());
    }
}
