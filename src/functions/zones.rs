//! Operations whose meaning depends on the session's time zone, written out with the zone.
//!
//! A timestamptz is an instant. Postgres reads, prints, cuts and moves it on the wall clock of the
//! session's TimeZone; what has no zone written to it means UTC in canon ([`super::semantics`]), as
//! definitions do, whose numbers depend on nobody's session. So this is applied to a statement's own
//! plan, before the definitions come into it: `date_trunc('day', t)` becomes
//! `date_trunc('day', t, 'Europe/Berlin')`, `t::date` becomes `wall_clock(t, 'Europe/Berlin')::date`.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{InList, InSubquery, ScalarFunction};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Between, BinaryExpr, Case, Cast, EmptyRelation, Expr, ExprSchemable, Join, LogicalPlan,
    Operator, Projection, Subquery, Union, Volatility, lit,
};

use super::names::keeping_names;
use super::semantics::{all_of, cast_unless};
use super::udf::call;
use super::{Unit, is_comparison, quoted, rows, shows_zone, text, time};
use crate::sql::timezone::TimeZone;
use crate::sql::types::PgType;

/// The zones of a statement.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StatementZones {
    /// In which its texts of moments were read: that of the session when it was parsed.
    pub literals: TimeZone,
    /// The session's as it runs.
    pub session: TimeZone,
}

impl StatementZones {
    /// Of a statement that is parsed as it runs.
    pub fn of_session(session: TimeZone) -> Self {
        Self { literals: session.clone(), session }
    }
}

/// The plan of a statement with the session's zone in it; as it is where that is UTC.
///
/// # Errors
/// Texts that are no values of the types that they are compared with or cast to.
pub fn apply(plan: LogicalPlan, zones: &StatementZones) -> Result<LogicalPlan> {
    if zones.literals.is_utc() && zones.session.is_utc() {
        return Ok(plan);
    }
    let clock = Clock { zones, name: lit(zones.session.name()) };
    let mut changed = false;
    let plan = plan.transform_up_with_subqueries(|plan| {
        let rewritten = clock.node(plan)?;
        changed |= rewritten.transformed;
        if !changed {
            return Ok(rewritten);
        }
        Ok(Transformed::yes(rewritten.data.recompute_schema()?))
    })?;
    Ok(plan.data)
}

struct Clock<'z> {
    zones: &'z StatementZones,
    /// The session's, as an argument.
    name: Expr,
}

impl Clock<'_> {
    fn node(&self, plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        let inputs = plan.inputs();
        let schema = match inputs.as_slice() {
            [input] => Arc::clone(input.schema()),
            _ => Arc::new(merge_schema(&inputs)),
        };
        let plan =
            keeping_names(plan, |expr| expr.transform_up(|expr| self.rewritten(expr, &schema)))?;
        match plan.data {
            LogicalPlan::Join(join) => {
                let join = self.keys_alike(join)?;
                let changed = plan.transformed || join.transformed;
                Ok(Transformed::new_transformed(LogicalPlan::Join(join.data), changed))
            }
            LogicalPlan::Union(union) => {
                let union = self.inputs_alike(union)?;
                let changed = plan.transformed || union.transformed;
                Ok(Transformed::new_transformed(LogicalPlan::Union(union.data), changed))
            }
            data => Ok(Transformed::new_transformed(data, plan.transformed)),
        }
    }

    fn rewritten(&self, expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
        match expr {
            Expr::Cast(cast) => self.cast(cast, schema),
            Expr::BinaryExpr(binary) => self.operator(binary, schema),
            Expr::Between(between) => {
                let Between { expr, negated, low, high } = between;
                let operands = self.alike(vec![*expr, *low, *high], schema)?;
                let changed = operands.transformed;
                let [expr, low, high] = all_of(operands.data)?.map(Box::new);
                let between = Expr::Between(Between { expr, negated, low, high });
                Ok(Transformed::new_transformed(between, changed))
            }
            Expr::InList(InList { expr, mut list, negated }) => {
                list.insert(0, *expr);
                let operands = self.alike(list, schema)?;
                let changed = operands.transformed;
                let mut list = operands.data;
                let expr = Box::new(list.remove(0));
                let list = Expr::InList(InList { expr, list, negated });
                Ok(Transformed::new_transformed(list, changed))
            }
            Expr::Case(case) => self.case(case, schema),
            Expr::InSubquery(test) => self.in_subquery(test, schema),
            Expr::ScalarFunction(function) => self.function(function, schema),
            Expr::AggregateFunction(mut aggregate) => {
                if !is_printing(aggregate.func.name()) {
                    return Ok(Transformed::no(Expr::AggregateFunction(aggregate)));
                }
                let args = self.all_shown(std::mem::take(&mut aggregate.params.args), schema)?;
                aggregate.params.args = args.data;
                let aggregate = Expr::AggregateFunction(aggregate);
                Ok(Transformed::new_transformed(aggregate, args.transformed))
            }
            other => Ok(Transformed::no(other)),
        }
    }

    fn wall_clock(&self, instant: Expr) -> Expr {
        call(time::wall_clock(), vec![instant, self.name.clone()])
    }

    fn instant_at(&self, wall: Expr) -> Expr {
        call(time::instant_at(), vec![wall, self.name.clone()])
    }

    fn text_of(&self, instant: Expr) -> Expr {
        call(time::timestamp_text(), vec![instant, self.name.clone()])
    }

    /// A text in quotes as an instant.
    fn read(&self, literal: &str) -> Result<Expr> {
        let value = text::read_in(&PgType::Timestamptz, literal, &self.zones.literals)?;
        Ok(Expr::Literal(value, None))
    }

    /// What stands where an instant is meant.
    fn as_instant(&self, expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
        if let Some(literal) = quoted(&expr) {
            return Ok(Transformed::yes(self.read(literal)?));
        }
        let data_type = expr.get_type(schema)?;
        if !is_wall_clock(&data_type) {
            return Ok(Transformed::no(expr));
        }
        let wall = cast_unless(expr, &data_type, &time::TIMESTAMP);
        Ok(Transformed::yes(self.instant_at(wall)))
    }

    /// Values of one type: instants, where any of them is one.
    fn alike(&self, exprs: Vec<Expr>, schema: &DFSchema) -> Result<Transformed<Vec<Expr>>> {
        if !any_instant(&exprs, schema)? {
            return Ok(Transformed::no(exprs));
        }
        let mut changed = false;
        let exprs = exprs.into_iter().map(|expr| {
            let expr = self.as_instant(expr, schema)?;
            changed |= expr.transformed;
            Ok(expr.data)
        });
        let exprs = exprs.collect::<Result<Vec<_>>>()?;
        Ok(Transformed::new_transformed(exprs, changed))
    }

    fn cast(&self, cast: Cast, schema: &DFSchema) -> Result<Transformed<Expr>> {
        let from = cast.expr.get_type(schema)?;
        let to = cast.field.data_type().clone();
        let recast = |expr: Expr, field: FieldRef| {
            let cast = Cast { expr: Box::new(expr), field };
            Ok(Transformed::yes(Expr::Cast(cast)))
        };
        let Cast { expr, field } = cast;
        match (&from, &to) {
            (_, DataType::Timestamp(TimeUnit::Microsecond, Some(_))) if !is_instant(&from) => {
                match quoted(&expr) {
                    None if from == DataType::Utf8 => {
                        let args = vec![*expr, self.name.clone()];
                        Ok(Transformed::yes(call(text::text_to_timestamptz(), args)))
                    }
                    _ => Ok(match self.as_instant(*expr, schema)? {
                        same if !same.transformed => {
                            Transformed::no(Expr::Cast(Cast { expr: Box::new(same.data), field }))
                        }
                        instant => instant,
                    }),
                }
            }
            (_, DataType::List(item)) if is_instant(item.data_type()) => match quoted(&expr) {
                Some(literal) => {
                    let pg_type = PgType::Array(Box::new(PgType::Timestamptz));
                    let items = text::read_in(&pg_type, literal, &self.zones.literals)?;
                    recast(Expr::Literal(items, None), field)
                }
                None => {
                    let items = self.items(*expr, schema)?;
                    let changed = items.transformed;
                    let cast = Expr::Cast(Cast { expr: Box::new(items.data), field });
                    Ok(Transformed::new_transformed(cast, changed))
                }
            },
            (
                DataType::Timestamp(_, Some(_)),
                DataType::Date32 | DataType::Time64(_) | DataType::Timestamp(_, None),
            ) => recast(self.wall_clock(*expr), field),
            (DataType::Timestamp(_, Some(_)), DataType::Utf8) if is_output(&field) => {
                recast(self.text_of(*expr), field)
            }
            (DataType::List(_), DataType::Utf8) => {
                let shown = self.shown(*expr, schema)?;
                let changed = shown.transformed;
                let cast = Expr::Cast(Cast { expr: Box::new(shown.data), field });
                Ok(Transformed::new_transformed(cast, changed))
            }
            _ => Ok(Transformed::no(Expr::Cast(Cast { expr, field }))),
        }
    }

    /// An array that is written out, of instants.
    fn items(&self, array: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
        let Expr::ScalarFunction(ScalarFunction { func, args }) = array else {
            return Ok(Transformed::no(array));
        };
        if func.name() != "make_array" {
            return Ok(Transformed::no(Expr::ScalarFunction(ScalarFunction { func, args })));
        }
        let mut changed = false;
        let items = args.into_iter().map(|item| {
            let cast = self.cast(Cast::new(Box::new(item), time::timestamptz()), schema)?;
            changed |= cast.transformed;
            Ok(cast.data)
        });
        let args = items.collect::<Result<Vec<_>>>()?;
        let array = Expr::ScalarFunction(ScalarFunction { func, args });
        Ok(Transformed::new_transformed(array, changed))
    }

    fn operator(&self, binary: BinaryExpr, schema: &DFSchema) -> Result<Transformed<Expr>> {
        let BinaryExpr { left, op, right } = binary;
        match op {
            op if is_comparison(op) => self.comparison(*left, op, *right, schema),
            Operator::Plus | Operator::Minus => self.sum(*left, op, *right, schema),
            Operator::StringConcat => {
                let sides = self.all_texts(vec![*left, *right], schema)?;
                let changed = sides.transformed;
                let [left, right] = all_of(sides.data)?.map(Box::new);
                let joined = Expr::BinaryExpr(BinaryExpr { left, op, right });
                Ok(Transformed::new_transformed(joined, changed))
            }
            op => Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right }))),
        }
    }

    fn comparison(
        &self,
        left: Expr,
        op: Operator,
        right: Expr,
        schema: &DFSchema,
    ) -> Result<Transformed<Expr>> {
        let types = (left.get_type(schema)?, right.get_type(schema)?);
        let beside = match (is_wall_clock(&types.0), is_wall_clock(&types.1)) {
            (true, _) => self.beside_instant(&right, &types.1)?.map(|wall| (left.clone(), wall)),
            (_, true) => self.beside_instant(&left, &types.0)?.map(|wall| (wall, right.clone())),
            _ => None,
        };
        if let Some((left, right)) = beside {
            let on_clock = |expr: Expr| {
                let own = expr.get_type(schema)?;
                Ok(Box::new(cast_unless(expr, &own, &time::TIMESTAMP)))
            };
            let (left, right): (Result<_>, Result<_>) = (on_clock(left), on_clock(right));
            let compared = BinaryExpr { left: left?, op, right: right? };
            return Ok(Transformed::yes(Expr::BinaryExpr(compared)));
        }
        let sides = self.alike(vec![left, right], schema)?;
        let changed = sides.transformed;
        let [left, right] = all_of(sides.data)?.map(Box::new);
        let compared = Expr::BinaryExpr(BinaryExpr { left, op, right });
        Ok(Transformed::new_transformed(compared, changed))
    }

    /// The wall clock of a constant instant, where wall clocks compare with it as their instants do
    /// with the constant: conditions on `metric_time` stay what they are.
    fn beside_instant(&self, expr: &Expr, data_type: &DataType) -> Result<Option<Expr>> {
        if !is_instant(data_type) {
            return Ok(None);
        }
        let Some(ScalarValue::TimestampMicrosecond(Some(instant), _)) = constant(expr) else {
            return Ok(None);
        };
        let wall = time::only_wall_clock(&self.zones.session, instant);
        let wall = wall.map(|wall| ScalarValue::TimestampMicrosecond(Some(wall), None));
        Ok(wall.map(|wall| Expr::Literal(wall, None)))
    }

    fn sum(
        &self,
        left: Expr,
        op: Operator,
        right: Expr,
        schema: &DFSchema,
    ) -> Result<Transformed<Expr>> {
        let types = (left.get_type(schema)?, right.get_type(schema)?);
        match (&types.0, op, &types.1) {
            (moment, _, by) if is_instant(moment) && is_interval(by) => self.moved(left, op, right),
            (by, Operator::Plus, moment) if is_interval(by) && is_instant(moment) => {
                self.moved(right, op, left)
            }
            (_, Operator::Minus, _) => {
                let sides = self.alike(vec![left, right], schema)?;
                let changed = sides.transformed;
                let [left, right] = all_of(sides.data)?.map(Box::new);
                let difference = Expr::BinaryExpr(BinaryExpr { left, op, right });
                Ok(Transformed::new_transformed(difference, changed))
            }
            _ => {
                let (left, right) = (Box::new(left), Box::new(right));
                Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })))
            }
        }
    }

    /// An instant so much later or earlier: months and days move the wall clock, one after the
    /// other, and time the instant itself.
    fn moved(&self, instant: Expr, op: Operator, by: Expr) -> Result<Transformed<Expr>> {
        let by = match constant(&by) {
            Some(ScalarValue::IntervalMonthDayNano(Some(by))) => by,
            _ => {
                let by = match op {
                    Operator::Minus => call(rows::named("interval_negative")?, vec![by]),
                    _ => by,
                };
                let args = vec![instant, by, self.name.clone()];
                return Ok(Transformed::yes(call(rows::named("instant_after")?, args)));
            }
        };
        let step = |moment: Expr, months: i32, days: i32, nanos: i64| {
            let by = Expr::Literal(ScalarValue::new_interval_mdn(months, days, nanos), None);
            Expr::BinaryExpr(BinaryExpr::new(Box::new(moment), op, Box::new(by)))
        };
        let mut moved = instant;
        for (months, days) in [(by.months, 0), (0, by.days)] {
            if (months, days) != (0, 0) {
                moved = self.instant_at(step(self.wall_clock(moved), months, days, 0));
            }
        }
        if by.nanoseconds != 0 || (by.months, by.days) == (0, 0) {
            moved = step(moved, 0, 0, by.nanoseconds);
        }
        Ok(Transformed::yes(moved))
    }

    fn case(&self, case: Case, schema: &DFSchema) -> Result<Transformed<Expr>> {
        let Case { expr, when_then_expr, else_expr } = case;
        let (whens, thens): (Vec<Expr>, Vec<Expr>) =
            when_then_expr.into_iter().map(|(when, then)| (*when, *then)).unzip();
        let has_else = else_expr.is_some();
        let results = thens.into_iter().chain(else_expr.map(|expr| *expr)).collect();
        let mut results = self.alike(results, schema)?;
        let otherwise = has_else.then(|| results.data.pop()).flatten();
        let (expr, whens) = match expr {
            Some(operand) => {
                let compared = std::iter::once(*operand).chain(whens).collect();
                let mut compared = self.alike(compared, schema)?;
                results.transformed |= compared.transformed;
                (Some(Box::new(compared.data.remove(0))), compared.data)
            }
            None => (None, whens),
        };
        let arms = whens.into_iter().zip(results.data);
        let arms = arms.map(|(when, then)| (Box::new(when), Box::new(then))).collect();
        let case = Expr::Case(Case::new(expr, arms, otherwise.map(Box::new)));
        Ok(Transformed::new_transformed(case, results.transformed))
    }

    fn in_subquery(&self, test: InSubquery, schema: &DFSchema) -> Result<Transformed<Expr>> {
        let InSubquery { expr, subquery, negated } = test;
        let of_rows = subquery.subquery.schema().field(0).data_type().clone();
        let own = expr.get_type(schema)?;
        let (expr, subquery, changed) = if is_instant(&of_rows) {
            let expr = self.as_instant(*expr, schema)?;
            (expr.data, subquery, expr.transformed)
        } else if is_instant(&own) && is_wall_clock(&of_rows) {
            let plan = self.instants_of(Arc::unwrap_or_clone(subquery.subquery), &[true])?;
            (*expr, Subquery { subquery: Arc::new(plan), ..subquery }, true)
        } else {
            (*expr, subquery, false)
        };
        let test = InSubquery { expr: Box::new(expr), subquery, negated };
        Ok(Transformed::new_transformed(Expr::InSubquery(test), changed))
    }

    fn function(&self, function: ScalarFunction, schema: &DFSchema) -> Result<Transformed<Expr>> {
        let ScalarFunction { func, args } = function;
        let unchanged = |args: Vec<Expr>| {
            Ok(Transformed::no(Expr::ScalarFunction(ScalarFunction {
                func: Arc::clone(&func),
                args,
            })))
        };
        let with = |args: Transformed<Vec<Expr>>| {
            let changed = args.transformed;
            let call = ScalarFunction { func: Arc::clone(&func), args: args.data };
            Ok(Transformed::new_transformed(Expr::ScalarFunction(call), changed))
        };
        let with_zone = |mut args: Vec<Expr>| {
            args.push(self.name.clone());
            with(Transformed::yes(args))
        };
        match (func.name(), args.len()) {
            ("coalesce" | "greatest" | "least" | "nullif", _) => with(self.alike(args, schema)?),
            ("date_trunc", 2) if is_instant(&args[1].get_type(schema)?) => with_zone(args),
            ("date_part" | "extract", 2) if is_instant(&args[1].get_type(schema)?) => {
                match args[0].as_literal().and_then(|unit| unit.try_as_str().flatten()) {
                    Some(unit) => match Unit::parse(unit) {
                        Some(Unit::Epoch) | None => unchanged(args),
                        Some(Unit::Timezone | Unit::TimezoneHour | Unit::TimezoneMinute) => {
                            self.offset_field(&func, args)
                        }
                        Some(_) => with(self.on_wall_clock(args, 1)),
                    },
                    None => unchanged(args),
                }
            }
            ("to_char", 2) if is_instant(&args[0].get_type(schema)?) => match quoted(&args[1]) {
                Some(pattern) if !shows_zone(pattern) => with(self.on_wall_clock(args, 0)),
                _ => with_zone(args),
            },
            ("to_timestamp", 2) | ("make_timestamptz", 6) => with_zone(args),
            ("timestamp_age", 2) if any_instant(&args, schema)? => {
                let instants = self.alike(args, schema)?.data;
                let walls = instants.into_iter().map(|instant| self.wall_clock(instant));
                with(Transformed::yes(walls.collect()))
            }
            ("overlaps", 4) if any_instant(&args, schema)? => self.overlaps(&func, args, schema),
            ("series", 3) if any_instant(&args, schema)? => {
                let mut args = args;
                let step = args.remove(2);
                let mut bounds = self.alike(args, schema)?.data;
                bounds.push(step);
                with_zone(bounds)
            }
            ("date_bin", 3) if any_instant(&args, schema)? => {
                let mut args = args;
                let width = args.remove(0);
                let mut moments = self.alike(args, schema)?;
                moments.data.insert(0, width);
                with(moments)
            }
            ("concat" | "concat_ws", _) => with(self.all_texts(args, schema)?),
            (name, _) if is_printing(name) => with(self.all_shown(args, schema)?),
            _ => unchanged(args),
        }
    }

    fn on_wall_clock(&self, mut args: Vec<Expr>, index: usize) -> Transformed<Vec<Expr>> {
        args[index] = self.wall_clock(std::mem::take(&mut args[index]));
        Transformed::yes(args)
    }

    /// How far the zone is from UTC.
    fn offset_field(
        &self,
        func: &Arc<datafusion::logical_expr::ScalarUDF>,
        mut args: Vec<Expr>,
    ) -> Result<Transformed<Expr>> {
        args.push(self.name.clone());
        let function = if func == time::date_part() { time::date_part() } else { time::extract() };
        Ok(Transformed::yes(call(function, args)))
    }

    /// Periods of instants, each with its end.
    fn overlaps(
        &self,
        func: &Arc<datafusion::logical_expr::ScalarUDF>,
        args: Vec<Expr>,
        schema: &DFSchema,
    ) -> Result<Transformed<Expr>> {
        let mut bounds = Vec::with_capacity(args.len());
        for pair in args.chunks(2) {
            let begin = self.as_instant(pair[0].clone(), schema)?.data;
            let end = match is_interval(&pair[1].get_type(schema)?) {
                true => self.moved(begin.clone(), Operator::Plus, pair[1].clone())?.data,
                false => self.as_instant(pair[1].clone(), schema)?.data,
            };
            bounds.extend([begin, end]);
        }
        Ok(Transformed::yes(call(func, bounds)))
    }

    /// What is written as a text, with each instant as the zone shows it.
    fn all_texts(&self, args: Vec<Expr>, schema: &DFSchema) -> Result<Transformed<Vec<Expr>>> {
        let mut changed = false;
        let args = args.into_iter().map(|arg| {
            Ok(match is_instant(&arg.get_type(schema)?) {
                true => {
                    changed = true;
                    self.text_of(arg)
                }
                false => {
                    let shown = self.shown(arg, schema)?;
                    changed |= shown.transformed;
                    shown.data
                }
            })
        });
        let args = args.collect::<Result<Vec<_>>>()?;
        Ok(Transformed::new_transformed(args, changed))
    }

    fn all_shown(&self, args: Vec<Expr>, schema: &DFSchema) -> Result<Transformed<Vec<Expr>>> {
        let mut changed = false;
        let args = args.into_iter().map(|arg| {
            let shown = self.shown(arg, schema)?;
            changed |= shown.transformed;
            Ok(shown.data)
        });
        let args = args.collect::<Result<Vec<_>>>()?;
        Ok(Transformed::new_transformed(args, changed))
    }

    /// A value that is going to be printed, whose instants know the zone in which.
    fn shown(&self, expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
        let data_type = expr.get_type(schema)?;
        Ok(match shown_type(&data_type, self.zones.session.name()) {
            Some(to) => Transformed::yes(Expr::Cast(Cast::new(Box::new(expr), to))),
            None => Transformed::no(expr),
        })
    }

    /// A join whose keys are compared as instants, where either is one.
    fn keys_alike(&self, mut join: Join) -> Result<Transformed<Join>> {
        let schema = merge_schema(&[&join.left, &join.right]);
        let mut changed = false;
        for (left, right) in &mut join.on {
            let keys = self.alike(vec![left.clone(), right.clone()], &schema)?;
            changed |= keys.transformed;
            [*left, *right] = all_of(keys.data)?;
        }
        Ok(Transformed::new_transformed(join, changed))
    }

    /// A union whose columns are instants in all inputs, where they are in any.
    fn inputs_alike(&self, union: Union) -> Result<Transformed<Union>> {
        let width = union.schema.fields().len();
        let has = |index: usize, is: fn(&DataType) -> bool| {
            let of = |input: &Arc<LogicalPlan>| is(input.schema().field(index).data_type());
            union.inputs.iter().any(of)
        };
        let mixed: Vec<bool> =
            (0..width).map(|index| has(index, is_instant) && has(index, is_wall_clock)).collect();
        if !mixed.contains(&true) {
            return Ok(Transformed::no(union));
        }
        let inputs = union.inputs.into_iter();
        let inputs =
            inputs.map(|input| self.instants_of(Arc::unwrap_or_clone(input), &mixed).map(Arc::new));
        let inputs = inputs.collect::<Result<Vec<_>>>()?;
        Ok(Transformed::yes(Union { inputs, schema: union.schema }))
    }

    /// A plan with some of its columns as instants.
    fn instants_of(&self, plan: LogicalPlan, which: &[bool]) -> Result<LogicalPlan> {
        let schema = Arc::clone(plan.schema());
        let columns = schema.iter().zip(which).map(|((qualifier, field), is_instant)| {
            let column = Expr::Column((qualifier, field).into());
            Ok(match is_instant {
                true => {
                    let instant = self.as_instant(column, &schema)?.data;
                    instant.alias_qualified(qualifier.cloned(), field.name())
                }
                false => column,
            })
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(plan))?))
    }
}

/// The value of an expression without columns; None of others, and of what is known only as the
/// statement runs.
fn constant(expr: &Expr) -> Option<ScalarValue> {
    if let Expr::Literal(value, _) = expr
        && quoted(expr).is_none()
    {
        return Some(value.clone());
    }
    let is_known = |expr: &Expr| match expr {
        Expr::Literal(..) | Expr::Cast(_) | Expr::Negative(_) | Expr::BinaryExpr(_) => true,
        Expr::ScalarFunction(call) => call.func.signature().volatility == Volatility::Immutable,
        _ => false,
    };
    if expr.exists(|part| Ok(!is_known(part))).ok()? {
        return None;
    }
    // What has no value is refused where it is computed, if it is.
    let (expr, _) = super::coerce(expr.clone(), &DFSchema::empty()).ok()?;
    let schema = Arc::new(DFSchema::empty());
    let row = LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: true, schema });
    let row = Projection::try_new(vec![expr], Arc::new(row)).ok()?;
    let value = super::simplify(LogicalPlan::Projection(row)).ok()?.expressions().pop()?;
    match value.unalias() {
        Expr::Literal(value, _) => Some(value),
        _ => None,
    }
}

/// The type in which a value's instants know the zone in which they are printed; None where it has
/// none.
fn shown_type(data_type: &DataType, zone: &str) -> Option<DataType> {
    Some(match data_type {
        DataType::Timestamp(unit, Some(_)) => DataType::Timestamp(*unit, Some(zone.into())),
        DataType::List(item) => {
            let to = shown_type(item.data_type(), zone)?;
            DataType::List(Arc::new(item.as_ref().clone().with_data_type(to)))
        }
        DataType::Struct(fields) => {
            let shown = |field: &FieldRef| shown_type(field.data_type(), zone);
            if !fields.iter().any(|field| shown(field).is_some()) {
                return None;
            }
            let fields = fields.iter().map(|field| match shown(field) {
                Some(to) => Arc::new(field.as_ref().clone().with_data_type(to)),
                None => Arc::clone(field),
            });
            DataType::Struct(fields.collect())
        }
        _ => return None,
    })
}

/// Functions that write whatever they are given.
fn is_printing(name: &str) -> bool {
    const NAMES: [&str; 19] = [
        "format",
        "quote_literal",
        "quote_nullable",
        "output_text",
        "record_texts",
        "to_json",
        "array_to_json",
        "row_to_json",
        "json_build_object",
        "json_build_array",
        "json_agg",
        "json_object_agg",
        "to_jsonb",
        "jsonb_build_object",
        "jsonb_build_array",
        "jsonb_agg",
        "jsonb_object_agg",
        "json_list",
        "jsonb_list",
    ];
    NAMES.contains(&name)
}

fn any_instant(exprs: &[Expr], schema: &DFSchema) -> Result<bool> {
    for expr in exprs {
        if is_instant(&expr.get_type(schema)?) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_instant(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(_, Some(_)))
}

/// Whether values are on a wall clock, or on its calendar.
fn is_wall_clock(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date32 | DataType::Timestamp(_, None))
}

fn is_interval(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Interval(_) | DataType::Duration(_))
}

/// Whether a cast to a text is what Postgres prints: other types' are refused where casts are.
fn is_output(field: &Field) -> bool {
    !matches!(PgType::of(field), PgType::Json | PgType::Jsonb | PgType::Uuid)
}
