//! Metrics as formulas over atoms, the aggregates that rows are put into.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::expr::{AggregateFunction, ScalarFunction, Sort};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, and, cast, lit, not, or, when};

use super::clock;
use super::error::PlanError;
use super::expand::TimeOf;
use super::journey;
use super::measure::{KNOWN, KnownBy};
use super::shift::Shift;
use crate::functions::{numeric, registry};
use crate::model::entity::reads_history;
use crate::model::{
    Aggregation, EntityFilter, Fill, ManySide, Metric, MetricKind, MetricRef, MetricVersion, Model,
    QuantileMethod, Series, Side, Window,
};

/// One aggregate over the rows of one scan.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Atom {
    /// The scan's number: `r3`.
    pub(crate) instance: usize,
    /// Whose rows it counts: the scan's entity, or another that shares its dimensions.
    pub(crate) entity: String,
    /// The metric it belongs to, for messages.
    pub(crate) metric: String,
    pub(crate) function: AtomFunction,
    /// Over source columns; None for a count of rows. A count of it leaves out NULLs.
    pub(crate) argument: Option<Expr>,
    /// Over source columns: a row counts if all are true.
    pub(crate) conditions: Vec<Expr>,
    pub(crate) time: Option<TimeOf>,
    pub(crate) over: Over,
    /// Of an offset of a window.
    pub(crate) earlier: Option<Earlier>,
    /// Of what ends with the last day that is known, where the statement has no periods: by what that
    /// is known.
    pub(crate) known_by: Vec<KnownBy>,
    /// How a row counts in groups of its many-side.
    pub(crate) many_side: Option<ManySide>,
    /// The statement's own FILTER, over the columns of the aggregate's input.
    pub(crate) filter: Option<Expr>,
}

/// Which rows of its entity a group counts.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Over {
    /// The group's.
    Group,
    /// Those of a window of time that ends with the group's period.
    Window(Window),
    /// One of each series.
    Series(Series),
}

impl Over {
    /// Whether its rows are of other times than the group's, up to the end of its period.
    pub(crate) fn ends_with_period(&self) -> bool {
        match self {
            Self::Window(_) | Self::Series(Series { carry: Some(_), .. }) => true,
            Self::Group | Self::Series(_) => false,
        }
    }
}

/// An offset of what is over a window: not its rows are moved, the window is that of the period as much
/// earlier. So seven days that end on March 3 are, a month before, those that end on February 3.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Earlier {
    pub(crate) by: Shift,
    /// How much the window's own rows are moved: of a window over an offset.
    pub(crate) rows: Option<Shift>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum AtomFunction {
    Count,
    Sum,
    Avg,
    Min,
    Max,
    CountDistinct { approximate: bool },
    Quantile { quantile: f64, method: QuantileMethod },
}

impl Atom {
    /// The aggregate over columns that hold the argument and the condition.
    pub(crate) fn aggregate(
        &self,
        argument: Option<Expr>,
        condition: Option<Expr>,
    ) -> Result<Expr, PlanError> {
        let (name, args, distinct, order) = self.call(argument)?;
        let udf = registry().aggregate.get(name);
        let udf = udf.ok_or_else(|| PlanError::Internal(format!("no aggregate {name}")))?;
        let filter = condition.map(Box::new);
        Ok(Expr::AggregateFunction(AggregateFunction::new_udf(
            Arc::clone(udf),
            args,
            distinct,
            filter,
            order,
            None,
        )))
    }

    #[allow(clippy::type_complexity)] // the parts of one constructor
    fn call(
        &self,
        argument: Option<Expr>,
    ) -> Result<(&'static str, Vec<Expr>, bool, Vec<Sort>), PlanError> {
        let one = || lit(1i64);
        let value = argument.unwrap_or_else(one);
        let plain = |name, value| (name, vec![value], false, Vec::new());
        Ok(match self.function {
            AtomFunction::Count => plain("count", value),
            AtomFunction::Sum => plain("sum", value),
            AtomFunction::Avg => plain("metric_avg", value),
            AtomFunction::Min => plain("min", value),
            AtomFunction::Max => plain("max", value),
            AtomFunction::CountDistinct { approximate: false } => {
                ("count", vec![value], true, Vec::new())
            }
            AtomFunction::CountDistinct { approximate: true } => plain("approx_distinct", value),
            AtomFunction::Quantile { quantile, method } => {
                let name = match method {
                    QuantileMethod::Continuous => "percentile_cont",
                    QuantileMethod::Discrete => "percentile_disc",
                    QuantileMethod::Approximate => "approx_percentile_cont",
                };
                let order = Sort { expr: value.clone(), asc: true, nulls_first: false };
                (name, vec![value, lit(quantile)], false, vec![order])
            }
        })
    }

    /// The value of one row, as if it were a group of its own.
    pub(crate) fn of_row(
        &self,
        argument: Option<Expr>,
        condition: Option<Expr>,
    ) -> Result<Expr, PlanError> {
        let counted = match (&self.function, &argument) {
            (AtomFunction::Count | AtomFunction::CountDistinct { .. }, Some(argument)) => {
                Some(argument.clone().is_not_null())
            }
            _ => None,
        };
        let condition = match (condition, counted) {
            (Some(condition), Some(counted)) => Some(and(condition, counted)),
            (condition, counted) => condition.or(counted),
        };
        match self.function {
            AtomFunction::Count | AtomFunction::CountDistinct { .. } => match condition {
                Some(condition) => Ok(when(condition, lit(1i64)).otherwise(lit(0i64))?),
                None => Ok(lit(1i64)),
            },
            _ => {
                let value = argument.unwrap_or_else(|| lit(1i64));
                match condition {
                    Some(condition) => Ok(when(condition, value).end()?),
                    None => Ok(value),
                }
            }
        }
    }

    /// How the values of the parts of a group give that of the group, where they do.
    pub(crate) fn combines(&self) -> Option<&'static str> {
        match self.function {
            AtomFunction::Count | AtomFunction::Sum => Some("sum"),
            AtomFunction::Min => Some("min"),
            AtomFunction::Max => Some("max"),
            AtomFunction::Avg
            | AtomFunction::CountDistinct { .. }
            | AtomFunction::Quantile { .. } => None,
        }
    }

    /// Whether its rows are counted by what was valid at their own time.
    pub(crate) fn reads_history(&self) -> bool {
        self.argument.iter().chain(&self.conditions).any(reads_history)
    }

    /// Whether no rows give 0 rather than NULL.
    pub(crate) fn counts(&self) -> bool {
        matches!(self.function, AtomFunction::Count | AtomFunction::CountDistinct { .. })
    }
}

/// The name of an atom's value in a formula.
pub(crate) fn atom_name(index: usize) -> String {
    format!("__a{index}")
}

fn atom_index(name: &str) -> Option<usize> {
    name.strip_prefix("__a")?.parse().ok()
}

/// Where a metric is evaluated.
#[derive(Clone)]
pub(super) struct Place<'p> {
    model: &'p Model,
    /// The scan's number.
    instance: usize,
    /// The statement's own FILTER.
    filter: Option<&'p Expr>,
    /// The conditions of the metrics that this one is a part of.
    restricted: Vec<&'p EntityFilter>,
    /// How much earlier the rows are that count.
    shift: Option<Shift>,
    /// Over which window, and how much earlier it is.
    window: Option<(Window, Option<Shift>)>,
    /// How much earlier than the window's period its rows are.
    inside: Option<Shift>,
    /// For how long the days of the metric that is asked for stay open: those of its parts too.
    window_days: Option<u32>,
    /// By what it is known up to when the metric is that is asked for.
    known_by: Vec<KnownBy>,
}

impl<'p> Place<'p> {
    fn within(&self, filters: &'p [EntityFilter]) -> Place<'p> {
        let restricted = self.restricted.iter().copied().chain(filters).collect();
        Place { restricted, ..self.clone() }
    }

    /// When rows of a version count here.
    fn time(&self, version: &MetricVersion) -> Result<Option<TimeOf>, PlanError> {
        let Some(time) = &version.time else { return Ok(None) };
        let of_row = journey::time_of(self.model, version.rows_entity(), time)?;
        let window_days = self.window_days.unwrap_or(of_row.window_days);
        Ok(Some(TimeOf { window_days, shift: self.shift.clone(), ..of_row }))
    }

    /// A count of the rows of a version over rows, by what is said of them here; the version's own
    /// rules are left to it.
    pub(super) fn count(
        &self,
        version: &MetricVersion,
        series: Option<&Series>,
    ) -> Result<Atom, PlanError> {
        let counted = version.rows_entity();
        let restrictions = self.restricted.iter().filter(|it| it.entity == counted);
        let (over, by) = match (series, &self.window) {
            (Some(series), _) => {
                let by = self.shift.clone().filter(|_| series.carry.is_some());
                (Over::Series(series.clone()), by)
            }
            (None, Some((window, by))) => (Over::Window(*window), by.clone()),
            (None, None) => (Over::Group, None),
        };
        Ok(Atom {
            instance: self.instance,
            entity: counted.to_owned(),
            metric: version.metric.clone(),
            function: AtomFunction::Count,
            argument: None,
            conditions: restrictions.map(|it| it.expr.clone()).collect(),
            time: self.time(version)?,
            known_by: match over.ends_with_period() {
                true => self.known_by.clone(),
                false => Vec::new(),
            },
            over,
            earlier: by.map(|by| Earlier { by, rows: self.inside.clone() }),
            many_side: version.many_side.clone(),
            filter: self.filter.cloned(),
        })
    }
}

/// Collects the atoms of the measures of one place of evaluation.
#[derive(Debug, Default)]
pub(crate) struct Atoms {
    pub(crate) list: Vec<Atom>,
    /// The metrics that were asked for, by scan.
    pub(crate) asked: Vec<(usize, Arc<MetricVersion>)>,
    /// Whether groups are filled up: then a metric says what it is in one without rows.
    pub(crate) is_filled: bool,
    /// Whether what is over time may end with the last day that is known.
    pub(crate) ends_last: bool,
    /// Values that groups without rows take from the period before: by position the name that stands
    /// for each in formulas.
    pub(crate) carried: Vec<Carried>,
}

/// A value that a group without rows takes from the period before.
#[derive(Debug)]
pub(crate) struct Carried {
    pub(crate) formula: Expr,
    /// Whether the group has rows.
    pub(crate) is_present: Expr,
}

/// The name of a carried value in a formula.
pub(crate) fn carried_name(index: usize) -> String {
    format!("__carried{index}")
}

impl Atoms {
    /// The formula of a metric over atoms, of the metric's declared type. `filter` is the statement's
    /// own FILTER.
    pub(crate) fn formula(
        &mut self,
        model: &Model,
        version: &MetricVersion,
        instance: usize,
        filter: Option<&Expr>,
    ) -> Result<Expr, PlanError> {
        let place = Place {
            model,
            instance,
            filter,
            restricted: Vec::new(),
            shift: None,
            window: None,
            inside: None,
            window_days: None,
            known_by: match self.ends_last {
                true => KnownBy::all(model, version),
                false => Vec::new(),
            },
        };
        let formula = self.formula_at(&place, version)?;
        match version.fill.filter(|_| self.is_filled) {
            Some(fill) => self.filled(formula, version, fill),
            None => Ok(formula),
        }
    }

    /// A formula that is the metric's fill in groups without rows, as far as its sources are known.
    fn filled(
        &mut self,
        formula: Expr,
        version: &MetricVersion,
        fill: Fill,
    ) -> Result<Expr, PlanError> {
        let is_known = Expr::Column(Column::new_unqualified(KNOWN)).is_not_null();
        let Some(is_present) = self.presence(&formula) else { return Ok(formula) };
        let filler = match fill {
            Fill::Zero => cast(lit(0i64), version.data_type.clone()),
            Fill::Null => cast(lit(ScalarValue::Null), version.data_type.clone()),
            Fill::Previous => {
                let name = carried_name(self.carried.len());
                self.carried
                    .push(Carried { formula: formula.clone(), is_present: is_present.clone() });
                Expr::Column(Column::new_unqualified(name))
            }
        };
        let is_filled = and(is_known, not(is_present));
        Ok(when(is_filled, filler).otherwise(formula)?)
    }

    /// Whether any row counts for a formula's atoms.
    fn presence(&mut self, formula: &Expr) -> Option<Expr> {
        let of_atom = |column: &&Column| atom_index(&column.name);
        let mut indices: Vec<usize> = formula.column_refs().iter().filter_map(of_atom).collect();
        indices.sort_unstable();
        let present = indices.into_iter().map(|index| {
            let atom = self.list[index].clone();
            match atom.over {
                Over::Group | Over::Window(_) => {
                    let count = Atom { function: AtomFunction::Count, argument: None, ..atom };
                    self.add(count).gt(lit(0i64))
                }
                // Rows without a value are no snapshots.
                Over::Series(_) => {
                    Expr::Column(Column::new_unqualified(atom_name(index))).is_not_null()
                }
            }
        });
        present.collect::<Vec<_>>().into_iter().reduce(or)
    }

    fn formula_at(
        &mut self,
        place: &Place<'_>,
        version: &MetricVersion,
    ) -> Result<Expr, PlanError> {
        let own = version.time.as_ref().map(|time| time.late_data.window_days);
        let window_days = place.window_days.or(own);
        let place = &Place { window_days, ..place.within(&version.filter) };
        let formula = match &version.kind {
            MetricKind::Aggregate(aggregation) => self.aggregation(place, version, aggregation)?,
            MetricKind::Ratio { numerator, denominator } => {
                let mut side = |side: &Side| {
                    let place = place.within(&side.filter);
                    self.part(&place, &side.metric)
                };
                let (numerator, denominator) = (side(numerator)?, side(denominator)?);
                ratio((numerator.0, &numerator.1), (denominator.0, &denominator.1))?
            }
            MetricKind::Snapshot { expr, series } => {
                self.atom_of(place, version, AtomFunction::Sum, Some(expr), None, Some(series))?
            }
            MetricKind::Cumulative { metric, window } => {
                let window = Some((*window, place.shift.clone()));
                let place = Place { window, ..place.within(&[]) };
                self.part(&place, metric)?.0
            }
            MetricKind::Offset { metric, by } => {
                let moved = |outer: &Option<Shift>| Shift::then(*by, outer.as_ref());
                let inside = place.window.as_ref().map(|_| moved(&place.inside));
                let shift = Some(moved(&place.shift));
                let place = Place { shift, inside, ..place.within(&[]) };
                self.part(&place, metric)?.0
            }
            MetricKind::Derived { expr, parts } => {
                let mut formulas = Vec::with_capacity(parts.len());
                for part in parts {
                    let (formula, _) = self.part(place, part)?;
                    formulas.push((part.to_string(), formula));
                }
                derived(expr.clone(), &formulas)?
            }
            MetricKind::Journey(journey) => self.journey(place.count(version, None)?, journey)?,
        };
        Ok(cast(formula, version.data_type.clone()))
    }

    fn part(&mut self, place: &Place<'_>, part: &MetricRef) -> Result<(Expr, DataType), PlanError> {
        let (_, version) = version_of(place.model, part)?;
        let formula = self.formula_at(place, version)?;
        Ok((formula, version.data_type.clone()))
    }

    fn aggregation(
        &mut self,
        place: &Place<'_>,
        version: &MetricVersion,
        aggregation: &Aggregation,
    ) -> Result<Expr, PlanError> {
        let mut atom = |function, argument: Option<&Expr>, present: Option<Expr>| {
            self.atom_of(place, version, function, argument, present, None)
        };
        let none = || None;
        Ok(match aggregation {
            Aggregation::Count => atom(AtomFunction::Count, None, none())?,
            Aggregation::Sum(expr) => atom(AtomFunction::Sum, Some(expr), none())?,
            Aggregation::Avg(expr) => atom(AtomFunction::Avg, Some(expr), none())?,
            Aggregation::Min(expr) => atom(AtomFunction::Min, Some(expr), none())?,
            Aggregation::Max(expr) => atom(AtomFunction::Max, Some(expr), none())?,
            Aggregation::CountDistinct { expr, approximate } => {
                atom(AtomFunction::CountDistinct { approximate: *approximate }, Some(expr), none())?
            }
            Aggregation::Quantile { expr, quantile, method } => {
                let function = AtomFunction::Quantile { quantile: *quantile, method: *method };
                atom(function, Some(expr), none())?
            }
            Aggregation::WeightedAvg { expr, weight } => {
                // A row without a value must not weigh, and one without a weight has none.
                let product = Expr::BinaryExpr(BinaryExpr::new(
                    Box::new(expr.clone()),
                    Operator::Multiply,
                    Box::new(weight.clone()),
                ));
                let weighed = Some(expr.clone().is_not_null());
                let sum = atom(AtomFunction::Sum, Some(&product), none())?;
                let weights = atom(AtomFunction::Sum, Some(weight), weighed)?;
                let float = |value| cast(value, DataType::Float64);
                match version.data_type {
                    DataType::Float64 => quotient(float(sum), float(weights)),
                    _ => quotient(sum, weights),
                }
            }
        })
    }

    fn atom_of(
        &mut self,
        place: &Place<'_>,
        version: &MetricVersion,
        function: AtomFunction,
        argument: Option<&Expr>,
        present: Option<Expr>,
        series: Option<&Series>,
    ) -> Result<Expr, PlanError> {
        let count = place.count(version, series)?;
        let rules = version.eligibility.iter().map(|rule| rule.expr.clone());
        let late_data = version.time.as_ref().map_or(Ok(None), clock::counts)?;
        let conditions = rules.chain(present).chain(late_data).chain(count.conditions);
        let conditions = conditions.collect();
        Ok(self.add(Atom { function, argument: argument.cloned(), conditions, ..count }))
    }

    pub(super) fn add(&mut self, atom: Atom) -> Expr {
        let known = self.list.iter().position(|other| *other == atom);
        let index = known.unwrap_or_else(|| {
            self.list.push(atom);
            self.list.len() - 1
        });
        Expr::Column(Column::new_unqualified(atom_name(index)))
    }
}

/// Numerator over denominator: exact where either is a decimal, else in floating point.
pub(super) fn ratio(
    (numerator, numerator_type): (Expr, &DataType),
    (denominator, denominator_type): (Expr, &DataType),
) -> Result<Expr, PlanError> {
    let is_decimal =
        |it: &DataType| matches!(it, DataType::Decimal128(..) | DataType::Decimal256(..));
    let is_float = |it: &DataType| matches!(it, DataType::Float32 | DataType::Float64);
    let exact = (is_decimal(numerator_type) || is_decimal(denominator_type))
        && !is_float(numerator_type)
        && !is_float(denominator_type);
    Ok(match exact {
        true => quotient(numerator, denominator),
        false => quotient(cast(numerator, DataType::Float64), cast(denominator, DataType::Float64)),
    })
}

/// `a / b`, NULL where `b` is 0.
fn quotient(dividend: Expr, divisor: Expr) -> Expr {
    let divisor = datafusion::functions::core::expr_fn::nullif(divisor, lit(0i64));
    Expr::BinaryExpr(BinaryExpr::new(Box::new(dividend), Operator::Divide, Box::new(divisor)))
}

/// The version that a definition's reference names.
pub(super) fn version_of<'m>(
    model: &'m Model,
    reference: &MetricRef,
) -> Result<(&'m Arc<Metric>, &'m Arc<MetricVersion>), PlanError> {
    let missing = || PlanError::Internal(format!("metric {reference} is missing"));
    model.version_of(reference).ok_or_else(missing)
}

/// A derived metric's expression with formulas in the metrics' places; divisors of 0 give NULL, as
/// in ratios.
pub(crate) fn derived(expr: Expr, formulas: &[(String, Expr)]) -> Result<Expr, PlanError> {
    let replaced = expr.transform_up(|node| {
        Ok(match node {
            Expr::Column(column) => {
                let formula = formulas.iter().find(|(name, _)| *name == column.name);
                match formula {
                    Some((_, formula)) => Transformed::yes(formula.clone()),
                    None => Transformed::no(Expr::Column(column)),
                }
            }
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Divide, right }) => {
                Transformed::yes(quotient(*left, *right))
            }
            // A definition's own division has Postgres's meaning already; the types choose it anew.
            Expr::ScalarFunction(call) if is_division(&call) => {
                let [dividend, divisor] = <[Expr; 2]>::try_from(call.args).map_err(|_| {
                    DataFusionError::Internal("a division takes two arguments".to_owned())
                })?;
                Transformed::yes(quotient(dividend, divisor))
            }
            other => Transformed::no(other),
        })
    })?;
    Ok(replaced.data)
}

fn is_division(call: &ScalarFunction) -> bool {
    [numeric::numeric_div(), numeric::float_div()].contains(&&call.func)
}
