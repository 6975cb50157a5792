//! The types of parameters, as Postgres infers them: the first place in a statement that says what a
//! parameter is decides; at every other place it is a value of that type, to be cast like any other.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, ScalarValue, TableReference};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::expr::{InList, Placeholder};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Between, Case, Expr, ExprSchemable, Limit, LogicalPlan};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::{quoted, rows};
use crate::sql::catalog::signatures;
use crate::sql::types::{PG_TYPE_KEY, PgType, SystemForm};

/// Parameters of one statement: as many as a Bind message can have.
const PARAMETERS_MAX: usize = 65_535;

/// Plans of one statement that are made to find its parameters' types: what one of them is may tell
/// what another is.
const ROUNDS_MAX: usize = 4;

/// A plan in which each parameter has one type, and what stands beside it is cast.
#[derive(Debug)]
pub(crate) struct Typed {
    pub(crate) plan: LogicalPlan,
    /// Of `$1` and so on.
    pub(crate) types: Vec<FieldRef>,
}

/// The plan of a statement of whose parameters some are `announced`. What nothing says the type of,
/// is a text.
///
/// # Errors
/// Those of planning; 42P02 for numbers that no parameter has.
pub(crate) fn typed<E: From<DataFusionError>>(
    announced: Vec<Option<FieldRef>>,
    plan: impl Fn(&[Option<FieldRef>]) -> std::result::Result<LogicalPlan, E>,
) -> std::result::Result<Typed, E> {
    let mut types = announced;
    for round in 1..=ROUNDS_MAX + 1 {
        let given = types.clone();
        let planned = plan(&given)?;
        let uses = Uses::of(&planned, &given)?;
        let is_last = uses.told.is_empty() || round >= ROUNDS_MAX;
        types.resize(types.len().max(uses.highest), None);
        for (number, field) in &uses.told {
            types[number - 1] = Some(Arc::clone(field));
        }
        if is_last {
            types.iter_mut().for_each(|field| {
                field.get_or_insert_with(|| field_of(&PgType::Text));
            });
        }
        if uses.agree(&given, &types) {
            let text = || field_of(&PgType::Text);
            let types: Vec<FieldRef> =
                types.into_iter().map(|it| it.unwrap_or_else(text)).collect();
            return Ok(Typed { plan: with_types(planned, &types, &uses)?, types });
        }
    }
    Err(DataFusionError::Internal("a parameter has no one type".to_owned()).into())
}

/// The plan with types where parameters have none: the planner knows of none within an array.
fn with_types(plan: LogicalPlan, types: &[FieldRef], uses: &Uses) -> Result<LogicalPlan> {
    if uses.all.iter().all(|(_, field)| field.is_some()) {
        return Ok(plan);
    }
    let typed = |expr: Expr| match expr {
        Expr::Placeholder(Placeholder { id, field: None }) => {
            let field = types.get(number_of(&id)? - 1).cloned();
            Ok(Transformed::yes(Expr::Placeholder(Placeholder { id, field })))
        }
        other => Ok(Transformed::no(other)),
    };
    let plan = plan.transform_up_with_subqueries(|node| {
        let names = NamePreserver::new(&node);
        let node = node.map_expressions(|expr| {
            let name = names.save(&expr);
            Ok(expr.transform_up(typed)?.update_data(|expr| name.restore(expr)))
        })?;
        match node.transformed {
            true => Ok(Transformed::yes(node.data.recompute_schema()?)),
            false => Ok(node),
        }
    })?;
    Ok(plan.data)
}

/// The field of a type that a client announced.
pub(crate) fn field_of(pg_type: &PgType) -> FieldRef {
    let told = match pg_type {
        PgType::Json => Some("json"),
        PgType::Jsonb => Some("jsonb"),
        PgType::Oid => Some("oid"),
        _ => None,
    };
    let told = told.map(|name| (PG_TYPE_KEY.to_owned(), name.to_owned()));
    let field = Field::new("", pg_type.to_arrow(), true);
    Arc::new(field.with_metadata(told.into_iter().collect()))
}

fn is_alike(one: &Field, other: &Field) -> bool {
    let told = |field: &Field| field.metadata().get(PG_TYPE_KEY).cloned();
    one.data_type() == other.data_type() && told(one) == told(other)
}

/// Where a plan uses parameters.
#[derive(Default)]
struct Uses {
    /// In the plan's order, with the type that each has there.
    all: Vec<(usize, Option<FieldRef>)>,
    /// Of parameters without a type, what the first place says that says something.
    told: BTreeMap<usize, FieldRef>,
    highest: usize,
}

impl Uses {
    fn of(plan: &LogicalPlan, types: &[Option<FieldRef>]) -> Result<Self> {
        let mut uses = Self::default();
        plan.apply_with_subqueries(|node| {
            if has_parameter(node)? {
                uses.read_node(node, types)?;
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(uses)
    }

    /// Whether all have the `types` that are known now; those that the planner gave none were
    /// `given` theirs before the plan was made.
    fn agree(&self, given: &[Option<FieldRef>], types: &[Option<FieldRef>]) -> bool {
        let type_in =
            |types: &'_ [Option<FieldRef>], number: usize| types.get(number - 1).cloned().flatten();
        self.all.iter().all(|(number, field)| match (field, type_in(types, *number)) {
            (Some(field), Some(known)) => is_alike(field, &known),
            (None, _) => type_in(given, *number).is_some(),
            (Some(_), None) => false,
        })
    }

    fn read_node(&mut self, node: &LogicalPlan, types: &[Option<FieldRef>]) -> Result<()> {
        let inputs = node.inputs();
        let merged;
        let schema: &DFSchema = match inputs.as_slice() {
            [input] => input.schema(),
            _ => {
                merged = merge_schema(&inputs);
                &merged
            }
        };
        let mut told = told_by_node(node, schema);
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                told.extend(told_by(expr, schema));
                if let Expr::Placeholder(Placeholder { id, field }) = expr {
                    let number = number_of(id)?;
                    self.highest = self.highest.max(number);
                    self.all.push((number, field.clone()));
                    // What stands beside it has told the planner.
                    told.extend(field.as_ref().map(|field| (number, Arc::clone(field))));
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })?;
        for (number, field) in told {
            let is_known = types.get(number - 1).is_some_and(Option::is_some);
            if let (false, Some(field)) = (is_known, of_parameter(&field)) {
                self.told.entry(number).or_insert(field);
            }
        }
        Ok(())
    }
}

fn has_parameter(node: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    node.apply_expressions(|expr| {
        found = expr.exists(|expr| Ok(matches!(expr, Expr::Placeholder(_))))?;
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found || matches!(node, LogicalPlan::Union(_)))
}

fn number_of(id: &str) -> Result<usize> {
    let number = id.strip_prefix('$').and_then(|digits| digits.parse().ok());
    number.filter(|number| (1..=PARAMETERS_MAX).contains(number)).ok_or_else(|| {
        super::FunctionError::new("42P02", format!("there is no parameter {id}")).into()
    })
}

/// The number of a parameter that nobody has said the type of, or whose neighbour has told.
fn parameter(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Placeholder(Placeholder { id, .. }) => number_of(id).ok(),
        Expr::Alias(alias) => parameter(&alias.expr),
        _ => None,
    }
}

/// A type that a parameter has, from that of what it stands beside: numbers have all their digits.
fn of_parameter(field: &Field) -> Option<FieldRef> {
    let told = field.metadata().get(PG_TYPE_KEY).cloned();
    let told = told.filter(|name| name != "numeric");
    let data_type = match field.data_type() {
        DataType::Null => return None,
        data_type if told.is_some() => data_type.clone(),
        // Of row_number and its like.
        DataType::UInt64 => DataType::Int64,
        data_type => unscaled(PgType::of_arrow(data_type)).to_arrow(),
    };
    let told = told.map(|name| (PG_TYPE_KEY.to_owned(), name));
    let field = Field::new("", data_type, true);
    Some(Arc::new(field.with_metadata(told.into_iter().collect())))
}

fn unscaled(pg_type: PgType) -> PgType {
    match pg_type {
        PgType::Numeric(_) => PgType::Numeric(None),
        PgType::Array(item) => PgType::Array(Box::new(unscaled(*item))),
        other => other,
    }
}

/// The type that a parameter is announced with to clients.
pub(crate) fn announced(field: &Field) -> PgType {
    unscaled(PgType::of(field))
}

// ---- what says something

type Told = Vec<(usize, FieldRef)>;

/// What a node itself says of the parameters in its expressions.
fn told_by_node(node: &LogicalPlan, schema: &DFSchema) -> Told {
    let is = |expr: &Expr, pg_type: &PgType| parameter(expr).map(|it| (it, field_of(pg_type)));
    match node {
        LogicalPlan::Limit(Limit { skip, fetch, .. }) => {
            let bounds = [skip, fetch].into_iter().flatten();
            bounds.filter_map(|bound| is(bound, &PgType::Int8)).collect()
        }
        LogicalPlan::Filter(filter) => is(&filter.predicate, &PgType::Bool).into_iter().collect(),
        LogicalPlan::Values(values) => {
            let columns = 0..values.schema.fields().len();
            let column = |index| values.values.iter().map(move |row: &Vec<Expr>| &row[index]);
            columns.flat_map(|index| told_alike(column(index), schema)).collect()
        }
        LogicalPlan::Union(union) => {
            let columns = 0..union.schema.fields().len();
            columns.flat_map(|index| told_by_union(&union.inputs, index)).collect()
        }
        _ => Vec::new(),
    }
}

/// Columns of a union are alike.
fn told_by_union(inputs: &[Arc<LogicalPlan>], index: usize) -> Told {
    let field = |input: &Arc<LogicalPlan>| input.schema().fields().get(index).cloned();
    let typed = inputs.iter().filter_map(field).find(|field| !field.data_type().is_null());
    let Some(typed) = typed else { return Vec::new() };
    let parameter = |input: &Arc<LogicalPlan>| match input.as_ref() {
        LogicalPlan::Projection(projection) => projection.expr.get(index).and_then(parameter),
        _ => None,
    };
    inputs.iter().filter_map(parameter).map(|it| (it, Arc::clone(&typed))).collect()
}

/// What an expression says of the parameters that are its operands.
fn told_by(expr: &Expr, schema: &DFSchema) -> Told {
    let is = |expr: &Expr, pg_type: &PgType| parameter(expr).map(|it| (it, field_of(pg_type)));
    let one = |told: Option<(usize, FieldRef)>| told.into_iter().collect();
    match expr {
        Expr::Cast(cast) => one(parameter(&cast.expr).map(|it| (it, Arc::clone(&cast.field)))),
        Expr::Not(inner)
        | Expr::IsTrue(inner)
        | Expr::IsFalse(inner)
        | Expr::IsUnknown(inner)
        | Expr::IsNotTrue(inner)
        | Expr::IsNotFalse(inner)
        | Expr::IsNotUnknown(inner) => one(is(inner, &PgType::Bool)),
        Expr::Like(like) | Expr::SimilarTo(like) => {
            let sides = [&like.expr, &like.pattern];
            sides.into_iter().filter_map(|side| is(side, &PgType::Text)).collect()
        }
        Expr::Between(Between { expr, low, high, .. }) => {
            told_alike([expr, low, high].map(AsRef::as_ref), schema)
        }
        Expr::InList(InList { expr, list, .. }) => {
            told_alike([expr.as_ref()].into_iter().chain(list), schema)
        }
        Expr::Case(case) => told_by_case(case, schema),
        Expr::ScalarFunction(call) => told_by_call(call.func.name(), &call.args, schema),
        Expr::AggregateFunction(call) => {
            let filter = call.params.filter.as_deref();
            let filter = filter.and_then(|filter| is(filter, &PgType::Bool));
            let args = told_by_call(call.func.name(), &call.params.args, schema);
            args.into_iter().chain(filter).collect()
        }
        Expr::WindowFunction(call) => told_by_call(call.fun.name(), &call.params.args, schema),
        _ => Vec::new(),
    }
}

fn told_by_case(case: &Case, schema: &DFSchema) -> Told {
    let conditions = case.when_then_expr.iter().map(|(when, _)| when.as_ref());
    let conditions = match &case.expr {
        Some(operand) => told_alike([operand.as_ref()].into_iter().chain(conditions), schema),
        None => {
            let is = |when| parameter(when).map(|it| (it, field_of(&PgType::Bool)));
            conditions.filter_map(is).collect()
        }
    };
    let results = case.when_then_expr.iter().map(|(_, then)| then.as_ref());
    let results = told_alike(results.chain(case.else_expr.as_deref()), schema);
    conditions.into_iter().chain(results).collect()
}

/// Of expressions that have one type, the parameters: they are what the first is that has a type.
fn told_alike<'e>(exprs: impl IntoIterator<Item = &'e Expr>, schema: &DFSchema) -> Told {
    let exprs: Vec<&Expr> = exprs.into_iter().collect();
    if !exprs.iter().any(|expr| parameter(expr).is_some()) {
        return Vec::new();
    }
    let Some(typed) = exprs.iter().find_map(|expr| own_type(expr, schema)) else {
        return Vec::new();
    };
    exprs.into_iter().filter_map(|it| Some((parameter(it)?, Arc::clone(&typed)))).collect()
}

/// The type of what has one by itself.
fn own_type(expr: &Expr, schema: &DFSchema) -> Option<FieldRef> {
    match expr {
        Expr::Placeholder(Placeholder { field, .. }) => field.clone(),
        Expr::Alias(alias) => own_type(&alias.expr, schema),
        // The planner takes every whole number for a bigint.
        Expr::Literal(ScalarValue::Int64(Some(number)), _) if i32::try_from(*number).is_ok() => {
            Some(field_of(&PgType::Int4))
        }
        expr if quoted(expr).is_some() => None,
        expr => {
            let (_, field): (Option<TableReference>, FieldRef) = expr.to_field(schema).ok()?;
            (!field.data_type().is_null()).then_some(field)
        }
    }
}

fn told_by_call(name: &str, args: &[Expr], schema: &DFSchema) -> Told {
    if !args.iter().any(|arg| parameter(arg).is_some()) {
        return Vec::new();
    }
    match (name, args) {
        ("coalesce" | "nullif" | "greatest" | "least" | "make_array" | "mod", args) => {
            return told_alike(args, schema);
        }
        ("array_has", [array, item]) | ("canon_any" | "canon_all", [_, item, array]) => {
            return told_by_membership(array, item, schema);
        }
        (
            "array_append" | "array_remove" | "array_position" | "array_positions",
            [array, item, ..],
        )
        | ("array_prepend", [item, array]) => return told_by_membership(array, item, schema),
        _ => {}
    }
    let fields: Vec<Option<FieldRef>> = args.iter().map(|arg| own_type(arg, schema)).collect();
    let types: Vec<DataType> = fields
        .iter()
        .map(|field| field.as_ref().map_or(DataType::Null, |field| field.data_type().clone()))
        .collect();
    let argument = |(index, arg): (usize, &Expr)| {
        let number = parameter(arg)?;
        let told = argument(name, index, args.len()).or_else(|| rows::taken(name, &types, index));
        let told = told.map(|told| field_of(&told));
        Some((number, told.or_else(|| signatures::taken(name, &fields, index))?))
    };
    args.iter().enumerate().filter_map(argument).collect()
}

/// `item = ANY (array)`.
fn told_by_membership(array: &Expr, item: &Expr, schema: &DFSchema) -> Told {
    if let (Some(number), Some(item)) = (parameter(array), own_type(item, schema)) {
        let told = item.metadata().get(PG_TYPE_KEY);
        let told = told.map(|name| (PG_TYPE_KEY.to_owned(), format!("_{name}")));
        let list = Field::new("", DataType::new_list(item.data_type().clone(), true), true);
        return vec![(number, Arc::new(list.with_metadata(told.into_iter().collect())))];
    }
    let array = own_type(array, schema);
    match (parameter(item), array.as_ref().map(|array| array.data_type())) {
        (Some(number), Some(DataType::List(item))) => vec![(number, Arc::clone(item))],
        _ => Vec::new(),
    }
}

/// What functions take that aren't in the table of [`rows`], where nothing else is known.
fn argument(name: &str, index: usize, count: usize) -> Option<PgType> {
    Some(match (name, index, count) {
        ("round" | "trunc", 0, 2) => PgType::Numeric(None),
        ("round" | "trunc", 1, _) => PgType::Int4,
        (
            "round" | "trunc" | "floor" | "ceil" | "ceiling" | "abs" | "sign" | "sqrt" | "cbrt"
            | "exp" | "ln" | "log" | "log10" | "power" | "pow" | "degrees" | "radians",
            ..,
        )
        | ("to_timestamp", 0, 1) => PgType::Float8,
        ("left" | "right" | "repeat" | "lpad" | "rpad" | "lag" | "lead" | "nth_value", 1, _)
        | ("substr" | "substring", 1 | 2, _)
        | ("split_part", 2, _)
        | ("array_element", 1, _)
        | ("array_slice", 1 | 2, _)
        | ("ntile" | "chr", 0, _)
        | ("make_date", _, _) => PgType::Int4,
        ("percentile_cont" | "percentile_disc", 1, _) => PgType::Float8,
        _ => return None,
    })
}

/// Operators whose other side isn't what a parameter is, where DataFusion would take it for that.
#[derive(Debug)]
pub(super) struct Operands;

impl ExprPlanner for Operands {
    fn plan_binary_op(
        &self,
        mut expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        let RawBinaryExpr { op, left, right } = &mut expr;
        match (is_open(left), is_open(right)) {
            (true, false) => tell(left, op, right, Side::Left, schema),
            (false, true) => tell(right, op, left, Side::Right, schema),
            _ => {}
        }
        Ok(PlannerResult::Original(expr))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

fn is_open(expr: &Expr) -> bool {
    matches!(expr, Expr::Placeholder(Placeholder { field: None, .. }))
}

/// Gives a parameter its type as an operand.
fn tell(expr: &mut Expr, op: &BinaryOperator, other: &Expr, side: Side, schema: &DFSchema) {
    let Some(other) = own_type(other, schema) else { return };
    if let (Expr::Placeholder(parameter), Some(pg_type)) = (expr, operand(op, &other, side)) {
        parameter.field = Some(field_of(&pg_type));
    }
}

/// What an operand is whose other one is known; None where the two are alike.
///
/// Source: PostgreSQL 15, 10.2, step 2a: alike, where there is such an operator.
fn operand(op: &BinaryOperator, other: &Field, side: Side) -> Option<PgType> {
    use BinaryOperator as Op;
    let other = PgType::of(other);
    match (op, &other) {
        (Op::And | Op::Or, _) => Some(PgType::Bool),
        (Op::StringConcat, PgType::Array(_) | PgType::Jsonb) => None,
        (Op::StringConcat, _) => Some(PgType::Text),
        (
            Op::PGRegexMatch
            | Op::PGRegexIMatch
            | Op::PGRegexNotMatch
            | Op::PGRegexNotIMatch
            | Op::PGLikeMatch
            | Op::PGILikeMatch,
            _,
        ) => Some(PgType::Text),
        (Op::AtArrow | Op::ArrowAt, PgType::Jsonb) => Some(PgType::Jsonb),
        (Op::Plus, PgType::Timestamp | PgType::Timestamptz | PgType::Time) => {
            Some(PgType::Interval)
        }
        (Op::Multiply, PgType::Interval) => Some(PgType::Float8),
        (Op::Divide, PgType::Interval) if side == Side::Right => Some(PgType::Float8),
        // No operator takes objects but as their OIDs.
        (_, PgType::Regclass | PgType::Regtype | PgType::Regproc) => Some(PgType::Oid),
        (_, PgType::System(system)) if system.form == SystemForm::ObjectName => Some(PgType::Oid),
        // It has no operators of its own.
        (_, PgType::Varchar) => Some(PgType::Text),
        (_, PgType::Int4) => Some(PgType::Int4),
        _ => None,
    }
}
