//! SQL's type names as canon's types.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, IntervalUnit};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, NullEquality};
use datafusion::error::Result;
use datafusion::functions_nested::expr_fn::array_element;
use datafusion::logical_expr::expr::{Alias, Cast};
use datafusion::logical_expr::planner::{
    ExprPlanner, PlannerResult, RawBinaryExpr, RawFieldAccessExpr, TypePlanner,
};
use datafusion::logical_expr::type_coercion::binary::type_union_resolution;
use datafusion::logical_expr::{
    Expr, ExprSchemable, GetFieldAccess, Join, JoinType, LogicalPlan, Projection, Union, Values,
};
use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, CharacterLength, ExactNumberInfo, TimezoneInfo,
};

use super::decimals;
use super::error::FunctionError;
use super::quoted;
use super::rows;
use super::time::{self, TIMESTAMP, timestamptz};
use super::udf::call;
use crate::sql::types::PG_TYPE_KEY;

/// Metadata of a cast's field: `numeric` without precision, which keeps the digits that there are.
const UNCONSTRAINED: &str = "canon.unconstrained";

/// Metadata of a cast's field: the characters that `varchar(n)` keeps.
const LENGTH: &str = "canon.length";

/// Where DataFusion's reading of a type name isn't Postgres's: timestamps count microseconds, and
/// `numeric` alone has no fixed scale.
#[derive(Debug)]
pub(super) struct PostgresTypes;

impl TypePlanner for PostgresTypes {
    fn plan_type_field(&self, sql_type: &ast::DataType) -> Result<Option<FieldRef>> {
        let plain = |data_type| Some(Arc::new(Field::new("", data_type, true)));
        Ok(match sql_type {
            ast::DataType::Timestamp(_, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
                plain(TIMESTAMP)
            }
            ast::DataType::Timestamp(_, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone) => {
                plain(timestamptz())
            }
            ast::DataType::Numeric(ExactNumberInfo::None)
            | ast::DataType::Decimal(ExactNumberInfo::None)
            | ast::DataType::Dec(ExactNumberInfo::None) => Some(Arc::new(unconstrained_numeric())),
            ast::DataType::Varchar(Some(CharacterLength::IntegerLength { length, .. }))
            | ast::DataType::CharacterVarying(Some(CharacterLength::IntegerLength {
                length,
                ..
            })) => Some(Arc::new(of_length(varchar(), *length))),
            ast::DataType::Varchar(None) | ast::DataType::CharacterVarying(None) => {
                Some(Arc::new(varchar()))
            }
            ast::DataType::Char(length) | ast::DataType::Character(length) => {
                Some(Arc::new(character(length.as_ref())))
            }
            ast::DataType::Interval { fields: Some(_), .. }
            | ast::DataType::Interval { precision: Some(_), .. } => {
                let what = "a cast to an interval of some fields or digits only";
                return Err(FunctionError::not_supported(what, "Write ::interval.").into());
            }
            ast::DataType::Time(_, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone) => {
                let hint = "Write time, or timestamptz for a moment.";
                return Err(FunctionError::not_supported("type time with time zone", hint).into());
            }
            ast::DataType::Interval { .. } => plain(DataType::Interval(IntervalUnit::MonthDayNano)),
            ast::DataType::JSON | ast::DataType::JSONB | ast::DataType::Uuid => {
                let name = match sql_type {
                    ast::DataType::JSON => "json",
                    ast::DataType::JSONB => "jsonb",
                    _ => "uuid",
                };
                let told = HashMap::from([(PG_TYPE_KEY.to_owned(), name.to_owned())]);
                Some(Arc::new(Field::new(name, DataType::Utf8, true).with_metadata(told)))
            }
            _ => None,
        })
    }
}

/// EXTRACT as Postgres's function from the beginning, so that what is written around it sees a
/// numeric: DataFusion makes its own `date_part` of it, a float8.
#[derive(Debug)]
pub(super) struct Extracts;

impl ExprPlanner for Extracts {
    fn plan_extract(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        // Their types aren't known yet.
        match args.last() {
            Some(Expr::Literal(..) | Expr::Placeholder(_)) => Ok(PlannerResult::Original(args)),
            _ => Ok(PlannerResult::Planned(call(time::extract(), args))),
        }
    }
}

/// An item of an aggregated array, as one of any other array: DataFusion makes another aggregate of it,
/// which the catalogue's plans can't compute.
#[derive(Debug)]
pub(super) struct AggregatedItems;

impl ExprPlanner for AggregatedItems {
    fn plan_field_access(
        &self,
        expr: RawFieldAccessExpr,
        _: &DFSchema,
    ) -> Result<PlannerResult<RawFieldAccessExpr>> {
        Ok(match expr {
            RawFieldAccessExpr {
                expr: array @ Expr::AggregateFunction(_),
                field_access: GetFieldAccess::ListIndex { key },
            } => PlannerResult::Planned(array_element(array, *key)),
            other => PlannerResult::Original(other),
        })
    }
}

/// Products and quotients of intervals and numbers, which have no type as operators.
#[derive(Debug)]
pub(super) struct IntervalProducts;

impl ExprPlanner for IntervalProducts {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        let is_interval = |data_type: &DataType| {
            matches!(data_type, DataType::Interval(_) | DataType::Duration(_))
        };
        // Types of deep expressions cost: nothing else is asked for them.
        if !matches!(expr.op, BinaryOperator::Multiply | BinaryOperator::Divide) {
            return Ok(PlannerResult::Original(expr));
        }
        let types = (expr.left.get_type(schema), expr.right.get_type(schema));
        let (Ok(left), Ok(right)) = types else { return Ok(PlannerResult::Original(expr)) };
        let (name, args) = match expr.op {
            BinaryOperator::Multiply if is_interval(&left) && right.is_numeric() => {
                ("interval_times", vec![expr.left, expr.right])
            }
            BinaryOperator::Multiply if is_interval(&right) && left.is_numeric() => {
                ("interval_times", vec![expr.right, expr.left])
            }
            BinaryOperator::Divide if is_interval(&left) && right.is_numeric() => {
                ("interval_divided", vec![expr.left, expr.right])
            }
            _ => return Ok(PlannerResult::Original(expr)),
        };
        Ok(PlannerResult::Planned(call(rows::named(name)?, args)))
    }
}

/// Refuses a UNION of texts and of something else, which DataFusion would write as texts; a quoted
/// literal is what the others are.
pub(super) fn check_union(union: &Union) -> Result<()> {
    let width = union.schema.fields().len();
    for column in 0..width {
        let mut known: Option<DataType> = None;
        for input in &union.inputs {
            let data_type = input.schema().field(column).data_type();
            if data_type.is_null() || is_open(input, column) {
                continue;
            }
            match &known {
                Some(first) if first.is_string() != data_type.is_string() => {
                    let names = (rows::type_name(first), rows::type_name(data_type));
                    let message =
                        format!("UNION types {} and {} cannot be matched", names.0, names.1);
                    return Err(FunctionError::new("42804", message).into());
                }
                _ => known = Some(data_type.clone()),
            }
        }
    }
    Ok(())
}

/// A UNION of moments or numbers of several types, in the one that holds them all: what is written around
/// it sees the first one's type, and of instants and other moments DataFusion would make wall clocks.
pub(super) fn union_alike(union: Union) -> Result<Transformed<Union>> {
    let width = union.schema.fields().len();
    let of = |input: &LogicalPlan, column: usize| input.schema().field(column).data_type().clone();
    let wanted: Vec<Option<DataType>> = (0..width)
        .map(|column| {
            let types: Vec<_> = union.inputs.iter().map(|input| of(input, column)).collect();
            common_moment(&types).or_else(|| decimals::common_number(&types))
        })
        .collect();
    if wanted.iter().all(Option::is_none) {
        return Ok(Transformed::no(union));
    }
    let inputs = union.inputs.iter().map(|input| columns_as(input, &wanted).map(Arc::new));
    let inputs = inputs.collect::<Result<Vec<_>>>()?;
    Ok(Transformed::yes(Union::try_new_with_loose_types(inputs)?))
}

/// An INTERSECT or EXCEPT with both sides in the types that hold the values of both, which those that it
/// leaves are of; DataFusion makes a join of one, and leaves the left side's.
pub(super) fn sides_alike(mut join: Join) -> Result<Transformed<Join>> {
    let is_set = matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti)
        && join.null_equality == NullEquality::NullEqualsNull
        && join.on.len() == join.left.schema().fields().len();
    if !is_set {
        return Ok(Transformed::no(join));
    }
    let fields = join.left.schema().fields().iter().zip(join.right.schema().fields());
    let wanted: Vec<Option<DataType>> = fields
        .map(|(left, right)| {
            let types = [left.data_type().clone(), right.data_type().clone()];
            let common = || common_moment(&types).or_else(|| decimals::common_number(&types));
            let is_text = types.iter().any(DataType::is_string);
            // Constants are of the wider of two types of integers, whichever they are in Postgres.
            let are_integers = types.iter().all(DataType::is_integer);
            match types[0] == types[1] || is_text || are_integers {
                true => None,
                false => common().or_else(|| type_union_resolution(&types)),
            }
        })
        .collect();
    if wanted.iter().all(Option::is_none) {
        return Ok(Transformed::no(join));
    }
    for side in [&mut join.left, &mut join.right] {
        *side = Arc::new(columns_as(side, &wanted)?);
    }
    Ok(Transformed::yes(join))
}

/// A plan's columns, of which some are cast to the types that are `wanted`.
fn columns_as(input: &Arc<LogicalPlan>, wanted: &[Option<DataType>]) -> Result<LogicalPlan> {
    let columns = input.schema().columns().into_iter().zip(input.schema().fields()).zip(wanted);
    let exprs = columns.map(|((column, own), wanted)| {
        let (relation, name) = (column.relation.clone(), column.name.clone());
        let own = own.data_type();
        match wanted {
            Some(to) if !own.is_null() && own != to => {
                super::semantics::cast_unless(Expr::Column(column), own, to)
                    .alias_qualified(relation, name)
            }
            _ => Expr::Column(column),
        }
    });
    Ok(LogicalPlan::Projection(Projection::try_new(exprs.collect(), Arc::clone(input))?))
}

/// The type of instants among other moments; None of others.
fn common_moment(types: &[DataType]) -> Option<DataType> {
    let is_instant = |data_type: &DataType| matches!(data_type, DataType::Timestamp(_, Some(_)));
    let is_moment = |data_type: &DataType| {
        matches!(data_type, DataType::Timestamp(..) | DataType::Date32 | DataType::Null)
    };
    let is_mixed = types.iter().any(is_instant)
        && types.iter().all(is_moment)
        && types.iter().any(|it| !is_instant(it) && !it.is_null());
    is_mixed.then(timestamptz)
}

/// Whether a query's column is a literal in quotes.
fn is_open(query: &LogicalPlan, column: usize) -> bool {
    match query {
        LogicalPlan::Projection(projection) => match projection.expr.get(column) {
            Some(Expr::Column(_)) => is_open(&projection.input, column),
            Some(expr) => quoted(&expr.clone().unalias()).is_some(),
            None => false,
        },
        LogicalPlan::SubqueryAlias(alias) => is_open(&alias.input, column),
        LogicalPlan::Values(values) => {
            values.values.iter().all(|row| row.get(column).is_some_and(|it| quoted(it).is_some()))
        }
        _ => false,
    }
}

/// A node with the schema that its expressions give, whose types may have changed. DataFusion's
/// `recompute_schema` leaves that of VALUES as it was (55.2).
pub(crate) fn retyped(plan: LogicalPlan) -> Result<LogicalPlan> {
    match plan {
        LogicalPlan::Values(values) => retyped_values(values).map(LogicalPlan::Values),
        other => other.recompute_schema(),
    }
}

/// Every column in the type that holds all its values.
fn retyped_values(mut values: Values) -> Result<Values> {
    let empty = DFSchema::empty();
    let mut fields = Vec::with_capacity(values.schema.fields().len());
    for (index, (qualifier, field)) in values.schema.iter().enumerate() {
        let types = values.values.iter().map(|row| row[index].get_type(&empty));
        let types = types.collect::<Result<Vec<_>>>()?;
        // NULL is of any type, whatever it was taken for.
        let told = values.values.iter().zip(&types).filter(|(row, _)| !is_null(&row[index]));
        let told: Vec<DataType> = told.map(|(_, data_type)| data_type.clone()).collect();
        let common = type_union_resolution(&told).unwrap_or_else(|| field.data_type().clone());
        for (row, data_type) in values.values.iter_mut().zip(&types) {
            let value = std::mem::take(&mut row[index]);
            row[index] = super::semantics::cast_unless(value, data_type, &common);
        }
        let field = field.as_ref().clone().with_data_type(common);
        fields.push((qualifier.cloned(), Arc::new(field)));
    }
    let metadata = values.schema.metadata().clone();
    values.schema = Arc::new(DFSchema::new_with_metadata(fields, metadata)?);
    Ok(values)
}

fn is_null(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(value, _) => value.is_null(),
        Expr::Alias(Alias { expr, .. }) | Expr::Cast(Cast { expr, .. }) => is_null(expr),
        _ => false,
    }
}

/// A field of `varchar`. It has a name, since DataFusion takes a target without one for a mere Arrow
/// type.
pub(super) fn varchar() -> Field {
    let told = HashMap::from([(PG_TYPE_KEY.to_owned(), "varchar".to_owned())]);
    Field::new("varchar", DataType::Utf8, true).with_metadata(told)
}

/// A field of `char(n)`.
pub(crate) fn character(length: Option<&CharacterLength>) -> Field {
    let length = match length {
        Some(CharacterLength::IntegerLength { length, .. }) => *length,
        _ => 1,
    };
    blank_padded(of_length(Field::new("", DataType::Utf8, true), length))
}

/// A field of `numeric` without precision.
pub(crate) fn unconstrained_numeric() -> Field {
    let mark = HashMap::from([(UNCONSTRAINED.to_owned(), "numeric".to_owned())]);
    Field::new("", DataType::Decimal128(38, 10), true).with_metadata(mark)
}

/// Whether a cast is to `numeric` without precision.
pub(crate) fn is_unconstrained(field: &Field) -> bool {
    field.metadata().contains_key(UNCONSTRAINED)
}

/// A field of `varchar(length)`.
pub(crate) fn of_length(field: Field, length: u64) -> Field {
    let mut metadata = field.metadata().clone();
    metadata.insert(LENGTH.to_owned(), length.to_string());
    field.with_metadata(metadata)
}

/// Metadata of a cast's field: `char(n)`, whose blanks at the end mean nothing.
const BLANK_PADDED: &str = "canon.blank_padded";

fn blank_padded(field: Field) -> Field {
    let mut metadata = field.metadata().clone();
    metadata.insert(BLANK_PADDED.to_owned(), String::new());
    field.with_metadata(metadata)
}

/// Whether a cast is to `char(n)`.
pub(super) fn is_blank_padded(field: &Field) -> bool {
    field.metadata().contains_key(BLANK_PADDED)
}

/// The characters that a cast keeps, where it is to a `varchar(n)`.
pub(super) fn length_of(field: &Field) -> Option<i64> {
    field.metadata().get(LENGTH)?.parse().ok()
}
