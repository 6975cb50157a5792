//! Filters on wall clocks, calendar days and truncated times as ranges of the event column itself,
//! so that they reach a primary key, a partition or a file's statistics.

use std::sync::Arc;

use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use datafusion::arrow::datatypes::{DataType, IntervalMonthDayNano};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeIterator};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    BinaryExpr, Expr, Filter, LogicalPlan, Operator, Projection, and, binary_expr,
};

use super::error::PlanError;
use crate::functions::{Grain, Unit, is_comparison};

/// Rewrites the comparisons in every filter of a plan, and in columns that are conditions.
pub(crate) fn apply(plan: LogicalPlan) -> std::result::Result<LogicalPlan, PlanError> {
    let rewritten = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Filter(filter) => {
            let predicate = filter.predicate.clone().transform_up(|expr| {
                Ok(match as_range(&expr) {
                    Some(range) => Transformed::yes(range),
                    None => Transformed::no(expr),
                })
            })?;
            let filter = Filter::try_new(predicate.data, Arc::clone(&filter.input))?;
            Ok(Transformed::new_transformed(LogicalPlan::Filter(filter), predicate.transformed))
        }
        LogicalPlan::Projection(projection) if projection.expr.iter().any(is_condition) => {
            of_instants(projection)
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(rewritten.data)
}

/// Whether a column of a projection is a condition that may have a range in it.
fn is_condition(expr: &Expr) -> bool {
    let Expr::Alias(alias) = expr else { return false };
    matches!(alias.expr.as_ref(), Expr::BinaryExpr(BinaryExpr { op, .. })
        if *op == Operator::And || is_comparison(*op))
}

/// The projection with its conditions on wall clocks as ranges of instants, where these say the
/// same: a stored time is compared at less cost than a clock.
fn of_instants(projection: Projection) -> Result<Transformed<LogicalPlan>> {
    let Projection { expr: exprs, input, schema, .. } = projection;
    let rewritten =
        exprs.into_iter().map_until_stop_and_collect(|expr| match is_condition(&expr) {
            true => expr.transform_up(|expr| {
                Ok(match as_exact_range(&expr) {
                    Some(range) => Transformed::yes(range),
                    None => Transformed::no(expr),
                })
            }),
            false => Ok(Transformed::no(expr)),
        })?;
    rewritten.map_data(|exprs| {
        Ok(LogicalPlan::Projection(Projection::try_new_with_schema(exprs, input, schema)?))
    })
}

/// `time op constant`, the time being a chain of truncations over a wall clock.
fn as_range(expr: &Expr) -> Option<Expr> {
    let (chain, op, constant) = compared(expr)?;
    if let Some(event) = event_of_booked(chain.instant) {
        return on_event(&Chain { instant: event, ..chain }, op, constant, expr);
    }
    let (on_instant, is_exact) = chain.range_of(op, constant)?;
    Some(match is_exact {
        true => on_instant,
        false => and(on_instant, expr.clone()),
    })
}

/// As [`as_range`], where the range says all.
fn as_exact_range(expr: &Expr) -> Option<Expr> {
    let (chain, op, constant) = compared(expr)?;
    chain.range_of(op, constant).filter(|(_, is_exact)| *is_exact).map(|(range, _)| range)
}

fn compared(expr: &Expr) -> Option<(Chain<'_>, Operator, NaiveDateTime)> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expr else { return None };
    let (chain, op, constant) = match (left.as_ref(), right.as_ref()) {
        (_, Expr::Literal(value, _)) => (left.as_ref(), *op, wall_of(value)?),
        (Expr::Literal(value, _), _) => (right.as_ref(), op.swap()?, wall_of(value)?),
        _ => return None,
    };
    Some((Chain::of(chain)?, op, constant))
}

/// The event of a time that is booked on arrival: `CASE WHEN arrival's day > … event's day … THEN
/// arrival ELSE event END`, as [`TimeOf`](super::expand::TimeOf) writes it.
fn event_of_booked(instant: &Expr) -> Option<&Expr> {
    let Expr::Case(case) = instant else { return None };
    let ([(condition, arrival)], None, Some(event)) =
        (case.when_then_expr.as_slice(), &case.expr, &case.else_expr)
    else {
        return None;
    };
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Gt, right }) = condition.as_ref() else {
        return None;
    };
    let last_open = match right.as_ref() {
        Expr::ScalarFunction(call) if call.func.name() == "add_days" => {
            match call.args.as_slice() {
                [day, Expr::Literal(ScalarValue::Int64(Some(0..)), _)] => day,
                _ => return None,
            }
        }
        day => day,
    };
    let is_day_of = |day: &Expr, instant: &Expr| match day {
        Expr::Cast(cast) if *cast.field.data_type() == DataType::Date32 => {
            matches!(cast.expr.as_ref(), Expr::ScalarFunction(call)
                if call.func.name() == "wall_clock" && call.args.first() == Some(instant))
        }
        _ => false,
    };
    let is_ours = is_day_of(left, arrival) && is_day_of(last_open, event);
    (is_ours && matches!(event.as_ref(), Expr::Column(_))).then_some(event)
}

/// What a comparison of a booked time says of the event: a late row came after its event, so an
/// upper bound holds for both. A lower bound says nothing: an old event may have come today.
fn on_event(
    chain: &Chain<'_>,
    op: Operator,
    constant: NaiveDateTime,
    whole: &Expr,
) -> Option<Expr> {
    let bounds = chain.bounds(op, constant)?.into_iter();
    let upper = bounds.filter(|bound| matches!(bound.op, Operator::Lt | Operator::LtEq));
    let upper = upper.map(|bound| chain.on_instant(bound)).collect::<Option<Vec<_>>>()?;
    let upper = upper.into_iter().map(|range| range.predicate).reduce(and)?;
    Some(and(upper, whole.clone()))
}

/// A constant as microseconds of a wall clock.
fn wall_of(value: &ScalarValue) -> Option<NaiveDateTime> {
    let of_us = |us: i64| DateTime::from_timestamp_micros(us).map(|it| it.naive_utc());
    match value {
        ScalarValue::TimestampMicrosecond(Some(us), _) => of_us(*us),
        ScalarValue::TimestampMillisecond(Some(ms), _) => of_us(ms.checked_mul(1_000)?),
        ScalarValue::TimestampSecond(Some(s), _) => of_us(s.checked_mul(1_000_000)?),
        ScalarValue::TimestampNanosecond(Some(ns), _) if ns % 1_000 == 0 => of_us(ns / 1_000),
        ScalarValue::Date32(Some(days)) => {
            NaiveDate::from_num_days_from_ce_opt(days.checked_add(719_163)?)?.and_hms_opt(0, 0, 0)
        }
        _ => None,
    }
}

/// A wall clock, perhaps cut to a grain, as a function of an instant.
struct Chain<'e> {
    instant: &'e Expr,
    /// The zone of its wall clock; None where each row has its own.
    zone: Option<Tz>,
    /// By how much later, one after the other, it is read than it shows, before it is cut.
    shift: Vec<IntervalMonthDayNano>,
    /// What it is cut to, if it is.
    grain: Option<Grain>,
}

/// One side of a range of wall clocks.
struct Bound {
    op: Operator,
    wall: NaiveDateTime,
}

impl Bound {
    /// What a bound of a time says of the time before an interval was added to it, and whether it
    /// says all. Adding months cuts days off that the month hasn't got, so a bound on such a day may
    /// be passed by the last days of a longer month as well.
    fn earlier(self, by: IntervalMonthDayNano) -> Option<(Self, bool)> {
        let wall = self.wall.checked_sub_signed(TimeDelta::nanoseconds(by.nanoseconds))?;
        let wall = wall.checked_sub_signed(TimeDelta::days(i64::from(by.days)))?;
        let months = Months::new(by.months.unsigned_abs());
        if by.months < 0 {
            return None;
        }
        let earlier = wall.checked_sub_months(months)?;
        let is_exact = by.months == 0 || wall.day() < SHORTEST_MONTH;
        let is_upper = matches!(self.op, Operator::Lt | Operator::LtEq);
        let wall = match is_upper && !is_exact {
            true => earlier.checked_add_signed(DAYS_CUT_OFF_MAX)?,
            false => earlier,
        };
        Some((Self { wall, ..self }, is_exact))
    }
}

/// Days.
const SHORTEST_MONTH: u32 = 28;
/// By which months differ.
const DAYS_CUT_OFF_MAX: TimeDelta = TimeDelta::days(3);

struct Range {
    predicate: Expr,
    is_exact: bool,
}

impl<'e> Chain<'e> {
    fn of(expr: &'e Expr) -> Option<Self> {
        if let Some((grain, inner)) = Grain::of_call(expr) {
            return Self::of(inner)?.cut(grain);
        }
        Some(match expr {
            Expr::Cast(cast) => {
                let inner = Self::of(&cast.expr)?;
                match cast.field.data_type() {
                    DataType::Date32 => inner.cut(Grain::Of(Unit::Day))?,
                    DataType::Timestamp(_, None) => inner,
                    _ => return None,
                }
            }
            Expr::ScalarFunction(call) if call.func.name() == "wall_clock" => {
                let [instant, zone] = call.args.as_slice() else { return None };
                let zone = match zone {
                    Expr::Literal(zone, _) => Some(zone.try_as_str()??.parse::<Tz>().ok()?),
                    _ => None,
                };
                Self { instant, zone, shift: Vec::new(), grain: None }
            }
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Plus, right }) => {
                let Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(by)), _) = right.as_ref()
                else {
                    return None;
                };
                let mut inner = Self::of(left).filter(|inner| inner.grain.is_none())?;
                inner.shift.push(*by);
                inner
            }
            _ => return None,
        })
    }

    fn cut(self, grain: Grain) -> Option<Self> {
        match self.grain {
            None => Some(Self { grain: Some(grain), ..self }),
            Some(known) if known == grain => Some(self),
            // A day of a month's beginning is that beginning.
            Some(known) if grain == Grain::Of(Unit::Day) && known.unit() >= Unit::Day => Some(self),
            Some(_) => None,
        }
    }

    /// A range of the stored time that the comparison lets through, and whether it says all.
    fn range_of(&self, op: Operator, constant: NaiveDateTime) -> Option<(Expr, bool)> {
        if !matches!(self.instant, Expr::Column(_)) {
            return None;
        }
        let ranges = self.bounds(op, constant)?.into_iter().map(|bound| self.on_instant(bound));
        let ranges = ranges.collect::<Option<Vec<_>>>()?;
        let is_exact = ranges.iter().all(|range| range.is_exact);
        let range = ranges.into_iter().map(|range| range.predicate).reduce(and)?;
        Some((range, is_exact))
    }

    /// The range of wall clocks that the comparison lets through.
    fn bounds(&self, op: Operator, constant: NaiveDateTime) -> Option<Vec<Bound>> {
        let bound = |op, wall| Some(vec![Bound { op, wall }]);
        let Some(grain) = self.grain else {
            return match op {
                Operator::Eq => Some(vec![
                    Bound { op: Operator::GtEq, wall: constant },
                    Bound { op: Operator::LtEq, wall: constant },
                ]),
                Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq => {
                    bound(op, constant)
                }
                _ => None,
            };
        };
        let (floor, next) = period(grain, constant)?;
        let ceiling = if floor == constant { floor } else { next };
        match op {
            Operator::GtEq => bound(Operator::GtEq, ceiling),
            Operator::Gt => bound(Operator::GtEq, next),
            Operator::Lt => bound(Operator::Lt, ceiling),
            Operator::LtEq => bound(Operator::Lt, next),
            Operator::Eq if floor == constant => Some(vec![
                Bound { op: Operator::GtEq, wall: floor },
                Bound { op: Operator::Lt, wall: next },
            ]),
            _ => None,
        }
    }

    /// A side of the range on the instant. Around a change of the clock a wall clock isn't one
    /// instant: there the range is widened, and not exact; and so where rows have their own zones.
    fn on_instant(&self, bound: Bound) -> Option<Range> {
        let is_lower = matches!(bound.op, Operator::Gt | Operator::GtEq);
        let (mut bound, mut is_exact) = (bound, true);
        for by in self.shift.iter().rev() {
            let (earlier, says_all) = bound.earlier(*by)?;
            (bound, is_exact) = (earlier, is_exact && says_all);
        }
        let resolved = self.zone.map(|zone| zone.from_local_datetime(&bound.wall));
        Some(match (resolved.and_then(|resolved| resolved.single()), is_lower) {
            (Some(instant), _) => self.range(bound.op, instant.to_utc(), is_exact),
            (None, true) => {
                let early = bound.wall.checked_sub_signed(TimeDelta::days(1))?.and_utc();
                self.range(Operator::GtEq, early, false)
            }
            (None, false) => {
                let late = bound.wall.checked_add_signed(TimeDelta::days(1))?.and_utc();
                self.range(Operator::LtEq, late, false)
            }
        })
    }

    fn range(&self, op: Operator, instant: DateTime<Utc>, is_exact: bool) -> Range {
        let constant =
            ScalarValue::TimestampMicrosecond(Some(instant.timestamp_micros()), Some("UTC".into()));
        let predicate = binary_expr(self.instant.clone(), op, Expr::Literal(constant, None));
        Range { predicate, is_exact }
    }
}

/// The beginning of the period that a wall clock is in, and of the next one.
fn period(grain: Grain, at: NaiveDateTime) -> Option<(NaiveDateTime, NaiveDateTime)> {
    let floor = grain.floor(at.and_utc().timestamp_micros())?;
    let wall = |us| DateTime::from_timestamp_micros(us).map(|it| it.naive_utc());
    Some((wall(floor)?, wall(grain.following(floor)?)?))
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{col, lit};

    use super::*;
    use crate::plan::expand::{TimeOf, call};

    fn wall_clock(window_days: u32, zone: Expr) -> Expr {
        let of_event =
            TimeOf { instant: col("event"), zone: zone.clone(), window_days, shift: None };
        let booked = of_event.booked(&col("arrival")).unwrap();
        call("wall_clock", vec![booked.instant, zone]).unwrap()
    }

    fn constant() -> Expr {
        let day = NaiveDate::from_ymd_opt(2026, 3, 7).unwrap().and_hms_opt(0, 0, 0).unwrap();
        lit(ScalarValue::TimestampMicrosecond(Some(day.and_utc().timestamp_micros()), None))
    }

    /// The day before in UTC, at eleven in the evening.
    const BOUND: &str = "event < TimestampMicrosecond(1772838000000000, Some(\"UTC\"))";

    #[test]
    fn an_upper_bound_of_a_booked_time_is_one_of_its_event() {
        for window_days in [0, 3] {
            let asked = wall_clock(window_days, lit("Europe/Berlin")).lt(constant());
            let range = as_range(&asked).unwrap();
            assert_eq!(range.to_string(), format!("{BOUND} AND {asked}"));
        }
    }

    #[test]
    fn a_lower_bound_of_a_booked_time_says_nothing_of_its_event() {
        let asked = wall_clock(3, lit("Europe/Berlin")).gt_eq(constant());
        assert!(as_range(&asked).is_none());
    }

    #[test]
    fn where_rows_have_zones_of_their_own_a_range_is_a_day_wider() {
        let clock = call("wall_clock", vec![col("event"), col("zone")]).unwrap();
        let range = as_range(&clock.clone().gt_eq(constant())).unwrap().to_string();
        assert!(range.starts_with("event >= TimestampMicrosecond(1772755200000000"), "{range}");
        assert!(range.ends_with(&clock.gt_eq(constant()).to_string()), "{range}");
    }

    #[test]
    fn other_cases_are_left_alone() {
        let mut case = datafusion::logical_expr::when(col("late"), col("arrival"));
        let case = case.otherwise(col("event")).unwrap();
        let clock = call("wall_clock", vec![case, lit("Europe/Berlin")]).unwrap();
        assert!(as_range(&clock.lt(constant())).is_none());
    }
}
