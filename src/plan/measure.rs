//! Where an aggregation forces measures: each becomes an aggregate of its entity's eligible rows in
//! the group, each row once, whatever is joined.
//!
//! The measures' atoms are put into *branches*: one for each scan that they belong to and each time
//! that they count by, and one for aggregates of plain rows where no other serves. A branch is the
//! aggregation's own input, expanded for that scan and time, filtered to the rows that any of its
//! atoms counts, aggregated by the statement's keys. Several branches are united and aggregated
//! once more by the keys: so NULL keys match, and no group of any branch is lost.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, TableReference};
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams};
use datafusion::logical_expr::utils::grouping_set_to_exprlist;
use datafusion::logical_expr::{
    Aggregate, Distinct, Expr, ExprSchemable, LogicalPlan, Window, and, cast, lit, or,
};

use super::atoms::{Atom, Atoms, Earlier, Over, atom_name};
use super::error::PlanError;
use super::expand::{TimeOf, row_time};
use super::rewrite::{Needs, Rewriter, aggregated, filtered, formula_of, projected};
use super::shares::Share;
use super::trace::{Fanout, Scanned, scan_column, scans_of};
use crate::bind::markers;
use crate::functions::{Grain, Unit};
use crate::model::MetricVersion;
use crate::model::entity::BASE;

mod bounds;
mod carried;
mod fill;
mod last_day;
mod moment;
mod parts;
mod periods;
mod refusals;
mod rows;
mod sets;
mod together;
mod united;
mod windows;

pub(crate) use fill::KNOWN;
pub(crate) use last_day::KnownBy;
pub(crate) use moment::instant;
pub(crate) use rows::{counted_over_time, partner_condition, rows_before_time};
pub(crate) use windows::as_timestamp;

/// Whether an aggregation evaluates measures.
pub(crate) fn is_forced(aggregate: &Aggregate) -> bool {
    aggregate.aggr_expr.iter().any(|expr| mark_of(expr).is_some())
}

/// The argument and filter of a marked measure.
pub(crate) fn mark_of(expr: &Expr) -> Option<(&Expr, Option<&Expr>)> {
    let (args, filter) = marked(expr, markers::MEASURE)?;
    Some((args.first()?, filter))
}

/// The arguments and filter of a call of a mark.
pub(crate) fn marked<'e>(expr: &'e Expr, mark: &str) -> Option<(&'e [Expr], Option<&'e Expr>)> {
    let expr = match expr {
        Expr::Alias(alias) => alias.expr.as_ref(),
        other => other,
    };
    match expr {
        Expr::AggregateFunction(AggregateFunction {
            func,
            params: AggregateFunctionParams { args, filter, .. },
        }) if func.name() == mark => Some((args, filter.as_deref())),
        _ => None,
    }
}

/// The rows that some atoms are aggregated over.
#[derive(Debug, Clone)]
pub(super) struct Branch {
    /// The scan whose rows they are; None for aggregates of plain rows.
    pub(super) instance: Option<usize>,
    /// Whose rows they are.
    entity: Option<String>,
    time: Option<TimeOf>,
    over: Over,
    earlier: Option<Earlier>,
    /// As an atom's of this name.
    known_by: Vec<KnownBy>,
    /// How its rows count in groups of a many-side.
    share: Share,
    /// Indices of atoms.
    pub(super) atoms: Vec<usize>,
    /// Whether the statement's aggregates of plain rows are computed here.
    has_plain: bool,
}

/// An aggregation being evaluated.
pub(super) struct Evaluation<'a, 'r, 'm> {
    pub(super) rewriter: &'r mut Rewriter<'m>,
    pub(super) aggregate: &'a Aggregate,
    pub(super) input: &'a LogicalPlan,
    pub(super) atoms: Vec<Atom>,
    /// The metrics that the statement names, by scan.
    asked: Vec<(usize, Arc<MetricVersion>)>,
    /// Aggregates of plain rows.
    plain: Vec<Expr>,
    pub(super) fanout: Fanout,
    /// What tells a row of a branch over time from the others, where that is asked; over source
    /// columns.
    row_key: Vec<Expr>,
    /// Where each period of the asked range is to have a row.
    filling: Option<fill::Filling>,
    /// The keys of those periods.
    spine: Option<LogicalPlan>,
}

/// The aggregation without measures; its output columns have the names that they had.
pub(crate) fn evaluate(
    rewriter: &mut Rewriter<'_>,
    aggregate: &Aggregate,
) -> Result<LogicalPlan, PlanError> {
    let input = aggregate.input.as_ref();
    let has_sets = matches!(aggregate.group_expr.as_slice(), [Expr::GroupingSet(_)]);
    let filling = if has_sets { None } else { fill::asked(aggregate, input)? };
    let ends_last = last_day::is_asked_for(aggregate, input);
    let mut atoms = Atoms { is_filled: filling.is_some(), ends_last, ..Atoms::default() };
    let mut outputs = Vec::with_capacity(aggregate.aggr_expr.len());
    let mut plain = Vec::new();
    for expr in &aggregate.aggr_expr {
        match mark_of(expr) {
            Some((argument, filter)) => {
                let formula = formula_of(rewriter.model, &mut atoms, input, argument, filter)?;
                outputs.push(formula);
            }
            None => {
                outputs.push(Expr::Column(Column::new_unqualified(plain_name(plain.len()))));
                plain.push(expr.clone());
            }
        }
    }
    if let Some(sets) = sets::apart(aggregate, &atoms.list)? {
        return sets::united(rewriter, aggregate, sets);
    }
    let fanout = Fanout::of(input);
    let Atoms { list: atoms, asked, carried, .. } = atoms;
    let mut evaluation = Evaluation {
        rewriter,
        aggregate,
        input,
        atoms,
        asked,
        plain,
        fanout,
        row_key: Vec::new(),
        filling,
        spine: None,
    };
    evaluation.check()?;
    let branches = evaluation.branches()?;
    evaluation.spine = evaluation.spine(&branches)?;
    let (plan, values) = evaluation.combined(&branches)?;
    let plan = evaluation.carried_on(plan, carried, &values)?;
    evaluation.named(plan, outputs, &values)
}

fn plain_name(index: usize) -> String {
    format!("__p{index}")
}

pub(super) fn key_name(index: usize) -> String {
    format!("__g{index}")
}

/// The name of the column that tells which grouping set a row belongs to.
pub(super) const GROUPING_ID: &str = "__gid";

impl Evaluation<'_, '_, '_> {
    /// A column of a scan that an expression reads.
    pub(super) fn column_of(&self, expr: &Expr, instance: usize) -> Option<String> {
        expr.column_refs().into_iter().find_map(|column| {
            let (number, _, scanned) = scan_column(self.input, column)?;
            (number == instance).then(|| scanned.name.clone())
        })
    }

    // ---- branches ----

    fn branches(&self) -> Result<Vec<Branch>, PlanError> {
        let scans = scans_of(self.input);
        let mut branches: Vec<Branch> = Vec::new();
        for (index, atom) in self.atoms.iter().enumerate() {
            let scan = scans.get(&atom.instance);
            let uses_time = scan.is_some_and(|scan| scan.uses_time())
                || atom.reads_history()
                || atom.over != Over::Group;
            let time = match (uses_time, &atom.time) {
                (false, _) => None,
                (true, Some(time)) if scan.is_some_and(|scan| scan.judges_days()) => {
                    Some(time.clone())
                }
                (true, Some(time)) => Some(time.clone().without_window()),
                (true, None) => return Err(PlanError::NoTime { metric: atom.metric.clone() }),
            };
            let (instance, entity) = (Some(atom.instance), Some(atom.entity.clone()));
            let share = self.share_of(atom)?;
            let same = |it: &&mut Branch| {
                let together = atom.over == Over::Group
                    || atom.combines().is_some()
                        && matches!(atom.over, Over::Window(_))
                        && it.atoms.iter().all(|other| self.atoms[*other].combines().is_some());
                it.instance == instance
                    && it.entity == entity
                    && it.time == time
                    && it.over == atom.over
                    && it.earlier == atom.earlier
                    && it.known_by == atom.known_by
                    && it.share == share
                    && together
            };
            match branches.iter_mut().find(same) {
                Some(branch) => branch.atoms.push(index),
                None => {
                    branches.push(Branch {
                        instance,
                        entity,
                        time,
                        over: atom.over.clone(),
                        earlier: atom.earlier.clone(),
                        known_by: atom.known_by.clone(),
                        share,
                        atoms: vec![index],
                        has_plain: false,
                    });
                }
            }
        }
        if !self.plain.is_empty() {
            self.place_plain(&mut branches, &scans)?;
        }
        Ok(branches)
    }

    /// Plain rows are aggregated in a branch whose rows they are, or in one of their own.
    fn place_plain(
        &self,
        branches: &mut Vec<Branch>,
        scans: &BTreeMap<usize, Scanned<'_>>,
    ) -> Result<(), PlanError> {
        let mut own_times = BTreeMap::new();
        for (instance, scan) in scans {
            let time = row_time(self.rewriter.model, scan.relation)?;
            let time = time.map(|time| match scan.judges_days() {
                true => time,
                false => time.without_window(),
            });
            own_times.insert(*instance, time);
        }
        let has_rows_own_time = |branch: &Branch| match (branch.instance, &branch.time) {
            (_, None) => true,
            (Some(instance), Some(time)) => {
                own_times.get(&instance).and_then(Option::as_ref) == Some(time)
            }
            (None, Some(_)) => false,
        };
        let serves = |branch: &&mut Branch| {
            let repeated = branch.instance.is_some_and(|instance| self.fanout.repeats(instance));
            !repeated && branch.over == Over::Group && has_rows_own_time(branch)
        };
        match branches.iter_mut().find(serves) {
            Some(branch) => branch.has_plain = true,
            None => branches.push(Branch {
                instance: None,
                entity: None,
                time: None,
                over: Over::Group,
                earlier: None,
                known_by: Vec::new(),
                share: Share::Once,
                atoms: Vec::new(),
                has_plain: true,
            }),
        }
        Ok(())
    }

    /// The rows of one branch, aggregated by the keys: columns `__g…`, `__gid`, `__a…`, `__p…`.
    fn branch(&mut self, branch: &Branch, all: &[Branch]) -> Result<LogicalPlan, PlanError> {
        if branch.over != Over::Group {
            return self.over_time(branch, all);
        }
        let mut needs = Needs::default();
        let mut columns = Columns::default();
        if let Some(instance) = branch.instance {
            if let Some(time) = &branch.time {
                needs.times.insert(instance, time.clone());
            }
            needs.entities.extend(branch.entity.clone().map(|entity| (instance, entity)));
            columns = self.carry(branch, instance, &mut needs)?;
            if let Share::Allocated(lines) = &branch.share {
                self.carry_lines(lines, &mut needs, &mut columns)?;
            }
        }
        let mut rows = self.rewriter.rewrite(self.input, &needs)?;
        let mut conditions = std::mem::take(&mut columns.conditions);
        if !branch.has_plain {
            let shared = shared_conditions(&conditions);
            if let Some(predicate) = existence(&conditions, &shared) {
                let predicate = located(predicate, &rows_schema(&rows))?;
                rows = filtered(rows, predicate)?;
            }
            for own in conditions.values_mut() {
                own.retain(|condition| !shared.contains(condition));
            }
        }
        let repeated = branch.instance.is_some_and(|instance| self.fanout.repeats(instance));
        let mut keys = self.aggregate.group_expr.clone();
        let mut filters: BTreeMap<usize, Expr> = BTreeMap::new();
        for index in &branch.atoms {
            let own = conditions.get(index).into_iter().flatten().cloned();
            let condition = own.chain(self.atoms[*index].filter.clone()).reduce(and);
            filters.extend(condition.map(|condition| (*index, condition)));
        }
        match &branch.share {
            Share::Touched => return self.touched(branch, rows, &columns, &mut filters),
            Share::Allocated(lines) => {
                (rows, keys) = self.allocated(lines, rows, keys, &mut columns, &mut filters)?;
            }
            Share::Once if repeated => {
                (rows, keys) = self.once(rows, keys, &columns, &mut filters)?;
            }
            Share::Once => {}
        }
        let aggregates = self.aggregates(branch, &rows, &columns, &mut filters)?;
        let aggregated = aggregated(rows, keys, aggregates)?;
        self.keys_named(aggregated)
    }

    /// The branch's aggregates over rows that have its columns.
    pub(super) fn aggregates(
        &self,
        branch: &Branch,
        rows: &LogicalPlan,
        columns: &Columns,
        filters: &mut BTreeMap<usize, Expr>,
    ) -> Result<Vec<Expr>, PlanError> {
        let schema = rows_schema(rows);
        let mut aggregates = Vec::new();
        for index in &branch.atoms {
            let argument = columns.arguments.get(index).cloned();
            let argument = argument.map(|it| located(it, &schema)).transpose()?;
            let filter = filters.remove(index).map(|it| located(it, &schema)).transpose()?;
            let expr = self.atoms[*index].aggregate(argument, filter)?;
            aggregates.push(expr.alias(atom_name(*index)));
        }
        if branch.has_plain {
            let plain = self.plain.iter().cloned().enumerate();
            aggregates.extend(plain.map(|(index, expr)| expr.unalias().alias(plain_name(index))));
        }
        Ok(aggregates)
    }

    /// That a row has a place in the period to which it is shifted: March 31 has none in April. A row
    /// without a time is in no period, however much earlier.
    fn has_partner(&self, branch: &Branch) -> Result<Option<Expr>, PlanError> {
        let (Some(instance), Some(time)) = (branch.instance, &branch.time) else { return Ok(None) };
        let Some(shift) = &time.shift else { return Ok(None) };
        let periods = periods::Periods::of(self, instance)?;
        periods.check_shift(shift)?;
        let moved = branch.earlier.as_ref().map_or(Some(shift), |earlier| earlier.rows.as_ref());
        let Some(shift) = moved.filter(|shift| periods.has_gaps(shift)) else { return Ok(None) };
        let clock = time.unshifted()?;
        Ok(shift.has_later(clock.clone()).map(|has_later| or(has_later, clock.is_null())))
    }

    fn padded(&self, branch: &Branch) -> bool {
        branch.instance.is_some_and(|instance| self.fanout.padded.contains(&instance))
    }

    /// Asks the branch's scan for the arguments and conditions of its atoms.
    fn carry(
        &mut self,
        branch: &Branch,
        instance: usize,
        needs: &mut Needs,
    ) -> Result<Columns, PlanError> {
        let mut columns = Columns::default();
        let mut extras: Vec<(String, Expr)> = Vec::new();
        let mut carried = |rewriter: &mut Rewriter<'_>, expr: &Expr| {
            let known =
                extras.iter().find(|(_, known)| known == expr).map(|(name, _)| name.clone());
            let name = known.unwrap_or_else(|| {
                let name = rewriter.carried_name();
                extras.push((name.clone(), expr.clone()));
                name
            });
            Expr::Column(Column::new_unqualified(name))
        };
        // A row that an outer join has made up isn't one of the entity's.
        let mut present: Vec<Expr> = self.padded(branch).then(|| lit(true)).into_iter().collect();
        present.extend(self.has_partner(branch)?);
        for index in &branch.atoms {
            let atom = &self.atoms[*index];
            if let Some(argument) = &atom.argument {
                columns.arguments.insert(*index, carried(self.rewriter, argument));
            }
            let conditions = atom.conditions.iter().chain(&present);
            let conditions = conditions.map(|it| carried(self.rewriter, it)).collect();
            columns.conditions.insert(*index, conditions);
        }
        if self.fanout.repeats(instance) {
            for key in self.entity_key(branch)? {
                columns.key.push(carried(self.rewriter, &key));
            }
        }
        needs.extras.insert(instance, extras);
        Ok(columns)
    }

    /// The key of a scan's own entity, over source columns.
    pub(super) fn own_key(&self, instance: usize) -> Result<Vec<Expr>, PlanError> {
        let scans = scans_of(self.input);
        let missing = || PlanError::Internal(format!("no scan r{instance}"));
        let scan = scans.get(&instance).ok_or_else(missing)?;
        let base = || Some(TableReference::bare(BASE));
        let key = scan.relation.relation.entity.key.iter();
        Ok(key.map(|name| Expr::Column(Column::new(base(), name))).collect())
    }

    /// The key of a branch's entity, over source columns.
    pub(super) fn entity_key(&self, branch: &Branch) -> Result<Vec<Expr>, PlanError> {
        let missing = || PlanError::Internal("a branch without an entity".to_owned());
        let name = branch.entity.as_ref().ok_or_else(missing)?;
        let scans = scans_of(self.input);
        let scan = branch.instance.and_then(|instance| scans.get(&instance));
        let entity = match scan.map(|scan| &scan.relation.relation.entity) {
            Some(own) if own.name == *name => own.as_ref(),
            _ => self.rewriter.entity(name)?,
        };
        let base = || Some(TableReference::bare(BASE));
        let attribute = |name: &String| entity.attributes.iter().find(|it| it.name == *name);
        let of = |name: &String| match attribute(name) {
            Some(attribute) => attribute.expr.clone(),
            None => Expr::Column(Column::new(base(), name)),
        };
        Ok(entity.key.iter().map(of).collect())
    }

    /// Each row of the branch's scan once: distinct over its key, the statement's keys, and what is
    /// carried, all of which the key determines.
    pub(super) fn once(
        &self,
        rows: LogicalPlan,
        keys: Vec<Expr>,
        columns: &Columns,
        filters: &mut BTreeMap<usize, Expr>,
    ) -> Result<(LogicalPlan, Vec<Expr>), PlanError> {
        let schema = rows_schema(&rows);
        let (keys, mut exprs) = self.key_columns(keys, &schema, filters)?;
        let carried = columns.key.iter().chain(&columns.lines).chain(columns.arguments.values());
        for argument in carried {
            let column = located(argument.clone(), &schema)?;
            if !exprs.contains(&column) {
                exprs.push(column);
            }
        }
        let distinct = Distinct::All(Arc::new(projected(rows, exprs)?));
        Ok((LogicalPlan::Distinct(distinct), keys))
    }

    /// The statement's keys and the filters of its atoms as columns: the keys as they are read from
    /// those, and what the columns are.
    pub(super) fn key_columns(
        &self,
        keys: Vec<Expr>,
        schema: &RowsSchema,
        filters: &mut BTreeMap<usize, Expr>,
    ) -> Result<(Vec<Expr>, Vec<Expr>), PlanError> {
        let mut exprs = Vec::new();
        let singles: Vec<Expr> = grouping_set_to_exprlist(&keys)?.into_iter().cloned().collect();
        for (index, key) in singles.iter().enumerate() {
            exprs.push(key.clone().alias(key_name(index)));
        }
        for (index, filter) in filters.iter_mut() {
            let name = format!("__f{index}");
            exprs.push(located(filter.clone(), schema)?.alias(name.clone()));
            *filter = Expr::Column(Column::new_unqualified(name));
        }
        let renamed = |key: Expr| {
            let replaced = key.transform_down(|node| {
                Ok(match singles.iter().position(|single| *single == node) {
                    Some(index) => Transformed::new(
                        Expr::Column(Column::new_unqualified(key_name(index))),
                        true,
                        TreeNodeRecursion::Jump,
                    ),
                    None => Transformed::no(node),
                })
            });
            replaced.map(|it| it.data)
        };
        let keys = keys.into_iter().map(renamed).collect::<Result<Vec<_>, _>>()?;
        Ok((keys, exprs))
    }

    /// The aggregation's columns under names of our own.
    fn keys_named(&self, plan: LogicalPlan) -> Result<LogicalPlan, PlanError> {
        let keys = grouping_set_to_exprlist(&self.aggregate.group_expr)?.len();
        let mut exprs = Vec::new();
        for (index, (qualifier, field)) in plan.schema().iter().enumerate() {
            let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
            exprs.push(match index {
                index if index < keys => column.alias(key_name(index)),
                _ if field.name() == Aggregate::INTERNAL_GROUPING_ID => column.alias(GROUPING_ID),
                _ => column,
            });
        }
        projected(plan, exprs)
    }

    /// The aggregation's own columns, by the names that the nodes above know.
    fn named(
        &self,
        plan: LogicalPlan,
        outputs: Vec<Expr>,
        values: &BTreeMap<String, Expr>,
    ) -> Result<LogicalPlan, PlanError> {
        let keys = grouping_set_to_exprlist(&self.aggregate.group_expr)?.len();
        let fields: Vec<(Option<TableReference>, String)> = self
            .aggregate
            .schema
            .iter()
            .map(|(qualifier, field)| (qualifier.cloned(), field.name().clone()))
            .collect();
        let first_value = fields.len() - outputs.len();
        let mut outputs = outputs.into_iter();
        let mut exprs = Vec::with_capacity(fields.len());
        for (index, (qualifier, name)) in fields.into_iter().enumerate() {
            let expr = match index {
                index if index < keys => Expr::Column(Column::new_unqualified(key_name(index))),
                index if index < first_value => Expr::Column(Column::new_unqualified(GROUPING_ID)),
                _ => {
                    let missing = || PlanError::Internal("a measure has no value".to_owned());
                    substitute(outputs.next().ok_or_else(missing)?, values)?
                }
            };
            let declared = self.aggregate.schema.field(index).data_type();
            let expr = match index >= first_value && expr.get_type(plan.schema())? != *declared {
                true => cast(expr, declared.clone()),
                false => expr,
            };
            exprs.push(expr.alias_qualified(qualifier, name));
        }
        projected(plan, exprs)
    }
}

/// Columns that a branch's scan carries up, by atom.
#[derive(Debug, Default)]
pub(super) struct Columns {
    pub(super) arguments: BTreeMap<usize, Expr>,
    conditions: BTreeMap<usize, Vec<Expr>>,
    /// The entity's key, where rows have to be told apart.
    pub(super) key: Vec<Expr>,
    /// The key of the many-side among whose rows the arguments are divided.
    pub(super) lines: Vec<Expr>,
    /// Their weight, where the rows themselves are all that there is to divide among.
    pub(super) weight: Option<Expr>,
}

/// Names of carried columns with their qualifiers.
pub(crate) type RowsSchema = BTreeMap<String, Column>;

pub(crate) fn rows_schema(plan: &LogicalPlan) -> RowsSchema {
    let columns = plan.schema().iter();
    columns
        .filter(|(_, field)| field.name().starts_with("__"))
        .map(|(qualifier, field)| {
            (field.name().clone(), Column::new(qualifier.cloned(), field.name()))
        })
        .collect()
}

/// An expression with our own columns qualified as they are in a plan.
pub(crate) fn located(expr: Expr, schema: &RowsSchema) -> Result<Expr, PlanError> {
    let replaced = expr.transform_up(|node| {
        Ok(match node {
            Expr::Column(column) if column.relation.is_none() => match schema.get(&column.name) {
                Some(known) => Transformed::yes(Expr::Column(known.clone())),
                None => Transformed::no(Expr::Column(column)),
            },
            other => Transformed::no(other),
        })
    })?;
    Ok(replaced.data)
}

/// Conditions that every atom of a branch has.
fn shared_conditions(conditions: &BTreeMap<usize, Vec<Expr>>) -> Vec<Expr> {
    let mut each = conditions.values();
    let mut shared = each.next().cloned().unwrap_or_default();
    for own in each {
        shared.retain(|condition| own.contains(condition));
    }
    shared
}

/// Whether a row counts for any atom: the shared conditions, and the rest of one of them.
fn existence(conditions: &BTreeMap<usize, Vec<Expr>>, shared: &[Expr]) -> Option<Expr> {
    let rest = |own: &Vec<Expr>| {
        own.iter().filter(|condition| !shared.contains(condition)).cloned().reduce(and)
    };
    let mut alternatives: Vec<Expr> = Vec::new();
    let mut any_row = false;
    for own in conditions.values() {
        match rest(own) {
            Some(alternative) if !alternatives.contains(&alternative) => {
                alternatives.push(alternative);
            }
            Some(_) => {}
            None => any_row = true,
        }
    }
    let any = if any_row { None } else { alternatives.into_iter().reduce(or) };
    shared.iter().cloned().chain(any).reduce(and)
}

/// A formula with values in the places of atoms.
pub(crate) fn substitute(
    formula: Expr,
    values: &BTreeMap<String, Expr>,
) -> Result<Expr, PlanError> {
    let replaced = formula.transform_up(|node| {
        Ok(match &node {
            Expr::Column(column) if column.relation.is_none() => match values.get(&column.name) {
                Some(value) => Transformed::yes(value.clone()),
                None => Transformed::no(node),
            },
            _ => Transformed::no(node),
        })
    })?;
    Ok(replaced.data)
}

/// The predicates of the filters under an aggregation, with the plans that they read.
pub(super) fn collect_filters<'p>(
    plan: &'p LogicalPlan,
    found: &mut Vec<(&'p LogicalPlan, &'p Expr)>,
) {
    match plan {
        LogicalPlan::Filter(filter) => {
            found.push((filter.input.as_ref(), &filter.predicate));
            collect_filters(&filter.input, found);
        }
        LogicalPlan::Projection(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Join(_) => {
            plan.inputs().into_iter().for_each(|input| collect_filters(input, found));
        }
        _ => {}
    }
}

/// The grain and the column of a truncated column, cast to a date or not, and of `column::date`.
pub(crate) fn truncation(expr: &Expr) -> Option<(Grain, &Column)> {
    match expr {
        Expr::Alias(alias) => truncation(&alias.expr),
        Expr::Cast(cast) => {
            let is_date = match cast.field.data_type() {
                DataType::Date32 => true,
                DataType::Timestamp(_, None) => false,
                _ => return None,
            };
            if let (true, Expr::Column(column)) = (is_date, cast.expr.as_ref()) {
                return Some((Grain::Of(Unit::Day), column));
            }
            let (grain, column) = truncation(&cast.expr)?;
            let is_finer = is_date && grain.unit() < Unit::Day;
            Some((if is_finer { Grain::Of(Unit::Day) } else { grain }, column))
        }
        _ => match Grain::of_call(expr)? {
            (grain, Expr::Column(column)) => Some((grain, column)),
            _ => None,
        },
    }
}
