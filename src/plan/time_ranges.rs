//! Filters on wall clocks, calendar days and truncated times as ranges of the event column itself,
//! so that they reach a primary key, a partition or a file's statistics.

use std::sync::Arc;

use chrono::{
    DateTime, Datelike, Days, Months, NaiveDate, NaiveDateTime, TimeDelta, TimeZone, Timelike, Utc,
};
use chrono_tz::Tz;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::{BinaryExpr, Expr, Filter, LogicalPlan, Operator, and, binary_expr};

use super::error::PlanError;

/// Rewrites the comparisons in every filter of a plan.
pub(crate) fn apply(plan: LogicalPlan) -> Result<LogicalPlan, PlanError> {
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
        other => Ok(Transformed::no(other)),
    })?;
    Ok(rewritten.data)
}

/// `time op constant`, the time being a chain of truncations over a wall clock.
fn as_range(expr: &Expr) -> Option<Expr> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expr else { return None };
    let (chain, op, constant) = match (left.as_ref(), right.as_ref()) {
        (_, Expr::Literal(value, _)) => (left.as_ref(), *op, wall_of(value)?),
        (Expr::Literal(value, _), _) => (right.as_ref(), op.swap()?, wall_of(value)?),
        _ => return None,
    };
    let chain = Chain::of(chain)?;
    let bounds = chain.bounds(op, constant)?;
    let ranges = bounds.into_iter().map(|bound| chain.on_instant(bound));
    let ranges = ranges.collect::<Option<Vec<_>>>()?;
    let is_exact = ranges.iter().all(|range| range.is_exact);
    let on_instant = ranges.into_iter().map(|range| range.predicate).reduce(and)?;
    Some(match is_exact {
        true => on_instant,
        false => and(on_instant, expr.clone()),
    })
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
    /// The zone of its wall clock.
    zone: Tz,
    /// What it is cut to, if it is.
    grain: Option<Grain>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grain {
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

/// One side of a range of wall clocks.
struct Bound {
    op: Operator,
    wall: NaiveDateTime,
}

struct Range {
    predicate: Expr,
    is_exact: bool,
}

impl<'e> Chain<'e> {
    fn of(expr: &'e Expr) -> Option<Self> {
        Some(match expr {
            Expr::Cast(cast) => {
                let inner = Self::of(&cast.expr)?;
                match cast.field.data_type() {
                    DataType::Date32 => inner.cut(Grain::Day)?,
                    DataType::Timestamp(_, None) => inner,
                    _ => return None,
                }
            }
            Expr::ScalarFunction(call) if call.func.name() == "date_trunc" => {
                let [Expr::Literal(grain, _), inner] = call.args.as_slice() else { return None };
                Self::of(inner)?.cut(Grain::named(grain.try_as_str()??)?)?
            }
            Expr::ScalarFunction(call) if call.func.name() == "wall_clock" => {
                let [instant @ Expr::Column(_), Expr::Literal(zone, _)] = call.args.as_slice()
                else {
                    return None;
                };
                let zone = zone.try_as_str()??.parse::<Tz>().ok()?;
                Self { instant, zone, grain: None }
            }
            _ => return None,
        })
    }

    fn cut(self, grain: Grain) -> Option<Self> {
        match self.grain {
            None => Some(Self { grain: Some(grain), ..self }),
            Some(known) if known == grain => Some(self),
            // A day of a month's beginning is that beginning.
            Some(known) if grain == Grain::Day && known.is_whole_days() => Some(self),
            Some(_) => None,
        }
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
        let floor = grain.floor(constant)?;
        let next = grain.next(floor)?;
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
    /// instant: there the range is widened, and not exact.
    fn on_instant(&self, bound: Bound) -> Option<Range> {
        let is_lower = matches!(bound.op, Operator::Gt | Operator::GtEq);
        let resolved = self.zone.from_local_datetime(&bound.wall);
        Some(match (resolved.single(), is_lower) {
            (Some(instant), _) => self.range(bound.op, instant.to_utc(), true),
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

impl Grain {
    fn named(name: &str) -> Option<Self> {
        Some(match name.to_lowercase().as_str() {
            "minute" => Self::Minute,
            "hour" => Self::Hour,
            "day" => Self::Day,
            "week" => Self::Week,
            "month" => Self::Month,
            "quarter" => Self::Quarter,
            "year" => Self::Year,
            _ => return None,
        })
    }

    fn is_whole_days(self) -> bool {
        !matches!(self, Self::Minute | Self::Hour)
    }

    /// The beginning of the period that a time is in.
    fn floor(self, at: NaiveDateTime) -> Option<NaiveDateTime> {
        let date = at.date();
        let midnight = |date: NaiveDate| date.and_hms_opt(0, 0, 0);
        match self {
            Self::Minute => date.and_hms_opt(at.hour(), at.minute(), 0),
            Self::Hour => date.and_hms_opt(at.hour(), 0, 0),
            Self::Day => midnight(date),
            Self::Week => {
                let since_monday = u64::from(date.weekday().num_days_from_monday());
                midnight(date.checked_sub_days(Days::new(since_monday))?)
            }
            Self::Month => midnight(date.with_day(1)?),
            Self::Quarter => {
                midnight(date.with_day(1)?.with_month((date.month() - 1) / 3 * 3 + 1)?)
            }
            Self::Year => midnight(NaiveDate::from_ymd_opt(date.year(), 1, 1)?),
        }
    }

    /// The beginning of the period after the one that begins at `floor`.
    fn next(self, floor: NaiveDateTime) -> Option<NaiveDateTime> {
        match self {
            Self::Minute => floor.checked_add_signed(TimeDelta::minutes(1)),
            Self::Hour => floor.checked_add_signed(TimeDelta::hours(1)),
            Self::Day => floor.checked_add_days(Days::new(1)),
            Self::Week => floor.checked_add_days(Days::new(7)),
            Self::Month => floor.checked_add_months(Months::new(1)),
            Self::Quarter => floor.checked_add_months(Months::new(3)),
            Self::Year => floor.checked_add_months(Months::new(12)),
        }
    }
}
