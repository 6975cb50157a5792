//! Metrics as formulas over atoms, the aggregates that rows are put into.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::expr::{AggregateFunction, ScalarFunction, Sort};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, and, cast, lit, when};

use super::clock;
use super::error::PlanError;
use super::expand::TimeOf;
use crate::functions::{numeric, registry};
use crate::model::{Aggregation, MetricKind, MetricRef, MetricVersion, Model, QuantileMethod};

/// One aggregate over the rows of one scan.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Atom {
    /// The scan's number: `r3`.
    pub(crate) instance: usize,
    /// The metric it belongs to, for messages.
    pub(crate) metric: String,
    pub(crate) function: AtomFunction,
    /// Over source columns; None for a count of rows.
    pub(crate) argument: Option<Expr>,
    /// Over source columns: a row counts if all are true.
    pub(crate) conditions: Vec<Expr>,
    pub(crate) time: Option<TimeOf>,
    /// The statement's own FILTER, over the columns of the aggregate's input.
    pub(crate) filter: Option<Expr>,
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
            AtomFunction::Count => plain("count", lit(1i64)),
            AtomFunction::Sum => plain("sum", value),
            AtomFunction::Avg => plain("avg", value),
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
            (AtomFunction::CountDistinct { .. }, Some(argument)) => {
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

    /// Whether no rows give 0 rather than NULL.
    pub(crate) fn counts(&self) -> bool {
        matches!(self.function, AtomFunction::Count | AtomFunction::CountDistinct { .. })
    }
}

/// The name of an atom's value in a formula.
pub(crate) fn atom_name(index: usize) -> String {
    format!("__a{index}")
}

/// Collects the atoms of the measures of one place of evaluation.
#[derive(Debug, Default)]
pub(crate) struct Atoms {
    pub(crate) list: Vec<Atom>,
    /// The metrics that were asked for, by scan.
    pub(crate) asked: Vec<(usize, Arc<MetricVersion>)>,
    /// For how long the days of the metric that is asked for stay open: those of its parts too.
    window_days: Option<u32>,
}

impl Atoms {
    /// The formula of a metric over atoms, of the metric's declared type.
    pub(crate) fn formula(
        &mut self,
        model: &Model,
        version: &MetricVersion,
        instance: usize,
        filter: Option<&Expr>,
    ) -> Result<Expr, PlanError> {
        let outer = self.window_days;
        let own = version.time.as_ref().map(|time| time.late_data.window_days);
        self.window_days = outer.or(own);
        let formula = match &version.kind {
            MetricKind::Aggregate(aggregation) => {
                self.aggregation(version, aggregation, instance, filter)?
            }
            MetricKind::Ratio { numerator, denominator } => {
                let (numerator, numerator_type) = self.part(model, numerator, instance, filter)?;
                let (denominator, denominator_type) =
                    self.part(model, denominator, instance, filter)?;
                ratio((numerator, &numerator_type), (denominator, &denominator_type))?
            }
            MetricKind::Derived { expr, parts } => {
                let mut formulas = Vec::with_capacity(parts.len());
                for part in parts {
                    let (formula, _) = self.part(model, part, instance, filter)?;
                    formulas.push((part.to_string(), formula));
                }
                derived(expr.clone(), &formulas)?
            }
        };
        self.window_days = outer;
        Ok(cast(formula, version.data_type.clone()))
    }

    fn part(
        &mut self,
        model: &Model,
        part: &MetricRef,
        instance: usize,
        filter: Option<&Expr>,
    ) -> Result<(Expr, DataType), PlanError> {
        let unknown = || PlanError::Internal(format!("metric {part} is missing"));
        let (_, version) = model.version_of(part).ok_or_else(unknown)?;
        let formula = self.formula(model, version, instance, filter)?;
        Ok((formula, version.data_type.clone()))
    }

    fn aggregation(
        &mut self,
        version: &MetricVersion,
        aggregation: &Aggregation,
        instance: usize,
        filter: Option<&Expr>,
    ) -> Result<Expr, PlanError> {
        let (time, late_data) = self.time(version)?;
        let mut atom = |function, argument: Option<&Expr>, present: Vec<Expr>| {
            let mut conditions: Vec<Expr> =
                version.eligibility.iter().map(|rule| rule.expr.clone()).collect();
            conditions.extend(present);
            conditions.extend(late_data.clone());
            self.add(Atom {
                instance,
                metric: version.metric.clone(),
                function,
                argument: argument.cloned(),
                conditions,
                time: time.clone(),
                filter: filter.cloned(),
            })
        };
        let none = Vec::new;
        Ok(match aggregation {
            Aggregation::Count => atom(AtomFunction::Count, None, none()),
            Aggregation::Sum(expr) => atom(AtomFunction::Sum, Some(expr), none()),
            Aggregation::Avg(expr) => atom(AtomFunction::Avg, Some(expr), none()),
            Aggregation::Min(expr) => atom(AtomFunction::Min, Some(expr), none()),
            Aggregation::Max(expr) => atom(AtomFunction::Max, Some(expr), none()),
            Aggregation::CountDistinct { expr, approximate } => {
                atom(AtomFunction::CountDistinct { approximate: *approximate }, Some(expr), none())
            }
            Aggregation::Quantile { expr, quantile, method } => {
                let function = AtomFunction::Quantile { quantile: *quantile, method: *method };
                atom(function, Some(expr), none())
            }
            Aggregation::WeightedAvg { expr, weight } => {
                // A row without a value must not weigh, and one without a weight has none.
                let product = Expr::BinaryExpr(BinaryExpr::new(
                    Box::new(expr.clone()),
                    Operator::Multiply,
                    Box::new(weight.clone()),
                ));
                let weighed = vec![expr.clone().is_not_null()];
                let sum = atom(AtomFunction::Sum, Some(&product), none());
                let weights = atom(AtomFunction::Sum, Some(weight), weighed);
                let float = |value| cast(value, DataType::Float64);
                match version.data_type {
                    DataType::Float64 => quotient(float(sum), float(weights)),
                    _ => quotient(sum, weights),
                }
            }
        })
    }

    /// When rows of a version count, and the condition that its late data puts on them.
    fn time(&self, version: &MetricVersion) -> Result<(Option<TimeOf>, Option<Expr>), PlanError> {
        let Some(time) = &version.time else { return Ok((None, None)) };
        let of_row = TimeOf::of(time)?;
        let window_days = self.window_days.unwrap_or(of_row.window_days);
        Ok((Some(TimeOf { window_days, ..of_row }), clock::counts(time)?))
    }

    fn add(&mut self, atom: Atom) -> Expr {
        let known = self.list.iter().position(|other| *other == atom);
        let index = known.unwrap_or_else(|| {
            self.list.push(atom);
            self.list.len() - 1
        });
        Expr::Column(Column::new_unqualified(atom_name(index)))
    }
}

/// Numerator over denominator: exact where either is a decimal, else in floating point.
fn ratio(
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

/// A derived metric's expression with formulas in the metrics' places; divisors of 0 give NULL, as
/// in ratios.
fn derived(expr: Expr, formulas: &[(String, Expr)]) -> Result<Expr, PlanError> {
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
