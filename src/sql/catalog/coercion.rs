//! What depends on types: literals take the type of what they meet, casts to and from the `reg…`
//! types look names up, parameters get types. A pass over the plan, before DataFusion coerces.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::functions::core::named_struct;
use datafusion::logical_expr::expr::{
    Between, BinaryExpr, Case, InList, Like, Placeholder, ScalarFunction,
};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, LogicalPlan, Operator, ScalarUDF, lit};

use super::error::CatalogError;
use super::functions::{Value, parse_array};
use super::signatures;
use super::syntax::UNTYPED;
use super::typing::{
    field_of, holds_rows, is_reg, is_vector, list_of, pg_type_of, tag_of, type_name,
};
use crate::functions::{is_comparison, keeping_names, registry, retyped};
use crate::sql::timezone::TimeZone;
use crate::sql::types::PgType;
use crate::sql::value;

/// The functions behind casts of the `reg…` types, bound to a definition set.
#[derive(Debug, Clone)]
pub(super) struct RegCasts {
    pub(super) to_reg: Arc<ScalarUDF>,
    pub(super) to_regs: Arc<ScalarUDF>,
    pub(super) from_reg: Arc<ScalarUDF>,
    pub(super) from_regs: Arc<ScalarUDF>,
}

/// What casts depend on.
struct Casts<'c> {
    regs: &'c RegCasts,
    /// In which texts of moments are read.
    zone: &'c TimeZone,
}

/// Gives a plan and its subqueries Postgres's types.
pub(super) fn apply(plan: LogicalPlan, casts: &RegCasts, zone: &TimeZone) -> Result<LogicalPlan> {
    let casts = &Casts { regs: casts, zone };
    let done = plan.transform_up_with_subqueries(|node| {
        if matches!(node, LogicalPlan::Limit(_)) {
            return node.map_expressions(|expr| Ok(Transformed::yes(with_type(expr, "int8"))));
        }
        let schema = input_schema(&node);
        let node =
            keeping_names(node, |expr| expr.transform_up(|expr| rewrite(expr, &schema, casts)))?;
        Ok(Transformed::yes(retyped(node.data)?))
    })?;
    Ok(done.data)
}

/// The columns that a node's expressions see.
fn input_schema(node: &LogicalPlan) -> DFSchema {
    match node {
        LogicalPlan::TableScan(scan) => scan.projected_schema.as_ref().clone(),
        _ => merge_schema(&node.inputs()),
    }
}

fn rewrite(expr: Expr, schema: &DFSchema, casts: &Casts<'_>) -> Result<Transformed<Expr>> {
    Ok(match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (mut left, mut right) = (*left, *right);
            let is_bytes = |expr: &Expr| matches!(expr.get_type(schema), Ok(DataType::Binary));
            if op == Operator::StringConcat
                && is_bytes(&left)
                && is_bytes(&right)
                && let Some(joined) = registry().scalar.get("bytea_concat")
            {
                return Ok(Transformed::yes(joined.call(vec![left, right])));
            }
            if op == Operator::StringConcat && !joins_arrays(&left, &right, schema)? {
                // Whatever stands beside a text is written as one.
                right = as_text(right, schema, casts)?;
                left = as_text(left, schema, casts)?;
            } else if unifies(op) {
                right = meet(right, &left, schema, casts)?;
                left = meet(left, &right, schema, casts)?;
            }
            let days = op == Operator::Minus && is_date(&left, schema) && is_date(&right, schema);
            let binary = Expr::BinaryExpr(BinaryExpr::new(left.into(), op, right.into()));
            Transformed::yes(match days {
                true => Expr::Cast(Cast::new(Box::new(binary), DataType::Int32)),
                false => binary,
            })
        }
        Expr::InList(InList { expr, list, negated }) => {
            let list = list.into_iter().map(|item| meet(item, &expr, schema, casts));
            let list = list.collect::<Result<Vec<_>>>()?;
            let expr = match list.first() {
                Some(first) => meet(*expr, first, schema, casts)?,
                None => *expr,
            };
            Transformed::yes(Expr::InList(InList::new(Box::new(expr), list, negated)))
        }
        Expr::Between(Between { expr, negated, low, high }) => {
            let low = meet(*low, &expr, schema, casts)?;
            let high = meet(*high, &expr, schema, casts)?;
            Transformed::yes(Expr::Between(Between::new(expr, negated, low.into(), high.into())))
        }
        Expr::Like(Like { negated, expr, pattern, escape_char, case_insensitive }) => {
            let pattern = Box::new(as_pattern(*pattern));
            let expr = Box::new(with_type(*expr, "text"));
            Transformed::yes(Expr::Like(Like::new(
                negated,
                expr,
                pattern,
                escape_char,
                case_insensitive,
            )))
        }
        Expr::Case(case) if results_of(&case).any(is_marked) => {
            let case = with_typed_results(case, schema, casts)?;
            rewrite(Expr::Case(case), schema, casts)?
        }
        Expr::Case(Case { expr: Some(operand), when_then_expr, else_expr }) => {
            let arms = when_then_expr
                .into_iter()
                .map(|(when, then)| Ok((Box::new(meet(*when, &operand, schema, casts)?), then)));
            let arms = arms.collect::<Result<Vec<_>>>()?;
            let case = Case::new(Some(operand), arms, else_expr);
            Transformed::yes(as_its_results(case, schema)?)
        }
        Expr::Case(case) => Transformed::yes(as_its_results(case, schema)?),
        Expr::ScalarSubquery(subquery) => {
            let tag = tag_of(subquery.subquery.schema().field(0)).map(str::to_owned);
            let scalar = Expr::ScalarSubquery(subquery);
            match tag {
                Some(tag) => Transformed::yes(Expr::Cast(Cast::new_from_field(
                    Box::new(scalar),
                    field_of(&tag),
                ))),
                None => Transformed::no(scalar),
            }
        }
        Expr::Cast(Cast { expr, field }) => Transformed::yes(cast(*expr, &field, schema, casts)?),
        Expr::Placeholder(Placeholder { id, field: Some(field) }) if names_objects(&field) => {
            Transformed::yes(named_by_parameter(id, &field, schema, casts)?)
        }
        Expr::ScalarFunction(ScalarFunction { func, args }) => {
            let args = function_arguments(func.name(), args, schema, casts)?;
            let (branches, gives) = match func.name() {
                "coalesce" | "greatest" | "least" => (args.as_slice(), Gives::One),
                "nullif" => (args.get(..1).unwrap_or_default(), Gives::One),
                "make_array" => (args.as_slice(), Gives::Array),
                _ => (&[][..], Gives::One),
            };
            let branches = branches.to_vec();
            let call = Expr::ScalarFunction(ScalarFunction { func, args });
            let branches: Vec<&Expr> = branches.iter().collect();
            Transformed::yes(as_branches(call, &branches, gives, schema)?)
        }
        other => Transformed::no(other),
    })
}

/// Whether a type's values, or their items, are written as the names of objects.
fn names_objects(field: &Field) -> bool {
    tag_of(field).is_some_and(|tag| is_reg(tag.trim_start_matches('_')))
}

/// A parameter whose value is the name of an object, or its OID in digits: a text until it is run,
/// when the session tells which object has the name.
fn named_by_parameter(
    id: String,
    field: &FieldRef,
    schema: &DFSchema,
    casts: &Casts<'_>,
) -> Result<Expr> {
    let sent = if matches!(field.data_type(), DataType::List(_)) { "_text" } else { "text" };
    let name = Expr::Placeholder(Placeholder { id, field: Some(field_of(sent)) });
    cast(name, field, schema, casts)
}

fn is_date(expr: &Expr, schema: &DFSchema) -> bool {
    expr.get_type(schema).is_ok_and(|data_type| data_type == DataType::Date32)
}

/// What an expression makes of its branches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gives {
    One,
    Array,
}

/// A CASE in the type of its results, of which Postgres looks at that of ELSE first.
fn as_its_results(case: Case, schema: &DFSchema) -> Result<Expr> {
    let otherwise = case.else_expr.as_deref().cloned();
    let results: Vec<Expr> = results_of(&case).cloned().collect();
    let branches: Vec<&Expr> = otherwise.iter().chain(&results).collect();
    as_branches(Expr::Case(case), &branches, Gives::One, schema)
}

fn results_of(case: &Case) -> impl Iterator<Item = &Expr> {
    let results = case.when_then_expr.iter().map(|(_, then)| then.as_ref());
    results.chain(case.else_expr.as_deref())
}

/// Whether a literal waits for the type of its neighbours.
fn is_marked(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(marker) if marker.func.name() == UNTYPED)
}

/// A CASE whose marked literals have the type of its other results.
fn with_typed_results(case: Case, schema: &DFSchema, casts: &Casts<'_>) -> Result<Case> {
    let is_null = |expr: &Expr| matches!(expr, Expr::Literal(value, _) if value.is_null());
    let has_type = |expr: &&Expr| !is_marked(expr) && !is_untyped(expr) && !is_null(expr);
    let typed = results_of(&case).find(has_type).cloned();
    let literal = |expr: Expr| -> Result<Expr> {
        match expr {
            Expr::ScalarFunction(ScalarFunction { func, mut args }) if func.name() == UNTYPED => {
                let literal = args.pop().unwrap_or(lit(ScalarValue::Null));
                match &typed {
                    Some(typed) => meet(literal, typed, schema, casts),
                    None => Ok(literal),
                }
            }
            other => Ok(other),
        }
    };
    let arms = case.when_then_expr.into_iter();
    let arms = arms.map(|(when, then)| Ok((when, Box::new(literal(*then)?))));
    let arms = arms.collect::<Result<Vec<_>>>()?;
    let otherwise = case.else_expr.map(|expr| literal(*expr)).transpose()?;
    Ok(Case::new(case.expr, arms, otherwise.map(Box::new)))
}

/// Whether `||` puts arrays together, or an array and an item.
fn joins_arrays(left: &Expr, right: &Expr, schema: &DFSchema) -> Result<bool> {
    for side in [left, right] {
        if matches!(side, Expr::Placeholder(Placeholder { field: None, .. })) {
            continue;
        }
        let (_, field) = side.to_field(schema)?;
        let is_vector = tag_of(&field).is_some_and(is_vector);
        if matches!(field.data_type(), DataType::List(_)) && !is_vector {
            return Ok(true);
        }
    }
    Ok(false)
}

fn as_text(expr: Expr, schema: &DFSchema, casts: &Casts<'_>) -> Result<Expr> {
    if let Expr::Placeholder(Placeholder { field: None, .. }) = &expr {
        return Ok(with_type(expr, "text"));
    }
    let (_, field) = expr.to_field(schema)?;
    let is_plain = tag_of(&field).is_none_or(|tag| !is_reg(tag) && !is_vector(tag));
    if field.data_type().is_null() || (is_text(field.data_type()) && is_plain) {
        return Ok(expr);
    }
    cast(expr, &field_of("text"), schema, casts)
}

/// An expression whose value is that of one of its branches, or an array of theirs, in the type that
/// Postgres takes them for. Literals take the type of the other branches.
fn as_branches(expr: Expr, branches: &[&Expr], gives: Gives, schema: &DFSchema) -> Result<Expr> {
    let Some(common) = common_type(branches, schema)? else { return Ok(expr) };
    let common = match gives {
        Gives::One => field_of(common),
        Gives::Array => field_of(&format!("_{common}")),
    };
    // Where Arrow's type tells it, nothing is to be said but that a branch's own type isn't meant.
    let is_known = tag_of(&common).is_none() && tag_of(&expr.to_field(schema)?.1).is_none();
    Ok(match is_known {
        true => expr,
        false => Expr::Cast(Cast::new_from_field(Box::new(expr), common)),
    })
}

/// The name in `pg_type` of the type of expressions that stand for one another.
fn common_type(branches: &[&Expr], schema: &DFSchema) -> Result<Option<&'static str>> {
    let mut names = Vec::new();
    for branch in branches.iter().filter(|branch| !is_untyped(branch)) {
        let (_, field) = branch.to_field(schema)?;
        if !field.data_type().is_null() {
            let tag = tag_of(&field).map(str::to_owned);
            names.push(tag.unwrap_or_else(|| type_name(&pg_type_of(&field))));
        }
    }
    // A numeric has the places of each of its values.
    let is_mixed = |common: &str| names.iter().any(|name| name != common);
    let common = signatures::common_type(&names);
    Ok(common.filter(|common| *common != "numeric" || !is_mixed(common)))
}

/// Operators whose sides take each other's type.
fn unifies(op: Operator) -> bool {
    let is_pattern = matches!(
        op,
        Operator::RegexMatch
            | Operator::RegexIMatch
            | Operator::RegexNotMatch
            | Operator::RegexNotIMatch
    );
    is_comparison(op) || op.is_numerical_operators() || is_pattern
}

/// A literal or parameter of no type of its own, in the type of what it meets.
fn meet(expr: Expr, other: &Expr, schema: &DFSchema, casts: &Casts<'_>) -> Result<Expr> {
    let untyped = match &expr {
        Expr::Placeholder(placeholder) => placeholder.field.is_none(),
        Expr::Literal(ScalarValue::Utf8(Some(_)), None) => true,
        _ => false,
    };
    if !untyped {
        return Ok(expr);
    }
    let (_, field) = other.to_field(schema)?;
    match expr {
        Expr::Placeholder(Placeholder { id, .. }) => {
            let field = match field.data_type() {
                DataType::Null => field_of("text"),
                _ => type_field(&field),
            };
            Ok(Expr::Placeholder(Placeholder { id, field: Some(field) }))
        }
        literal if is_text(field.data_type()) || field.data_type().is_null() => Ok(literal),
        literal => cast(literal, &type_field(&field), schema, casts),
    }
}

/// A field's type without its name.
fn type_field(field: &Field) -> FieldRef {
    match tag_of(field) {
        Some(tag) if !field.data_type().is_decimal() => field_of(tag),
        _ => Arc::new(Field::new("value", field.data_type().clone(), true)),
    }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// A parameter of no type, typed.
fn with_type(expr: Expr, type_name: &str) -> Expr {
    match expr {
        Expr::Placeholder(Placeholder { id, field: None }) => {
            Expr::Placeholder(Placeholder { id, field: Some(field_of(type_name)) })
        }
        other => other,
    }
}

/// A parameter that is a pattern: a text, whatever it is matched with.
fn as_pattern(expr: Expr) -> Expr {
    match expr {
        Expr::Placeholder(Placeholder { id, field }) => {
            let field = match field {
                Some(field) if !is_text(field.data_type()) => field,
                _ => field_of("text"),
            };
            Expr::Placeholder(Placeholder { id, field: Some(field) })
        }
        other => other,
    }
}

fn cast(expr: Expr, target: &FieldRef, schema: &DFSchema, casts: &Casts<'_>) -> Result<Expr> {
    let tag = tag_of(target).unwrap_or_default().to_owned();
    if let Expr::Placeholder(Placeholder { id, field: None }) = expr {
        if names_objects(target) {
            return named_by_parameter(id, target, schema, casts);
        }
        let typed = Expr::Placeholder(Placeholder { id, field: Some(Arc::clone(target)) });
        return cast(typed, target, schema, casts);
    }
    let (_, source) = expr.to_field(schema)?;
    let source_tag = tag_of(&source).unwrap_or_default().to_owned();
    let plain = |expr: Expr| Expr::Cast(Cast::new_from_field(Box::new(expr), Arc::clone(target)));
    // `numeric` alone keeps the digits that there are.
    if tag == "numeric" {
        match source.data_type() {
            DataType::Decimal128(_, _) => return Ok(expr),
            DataType::Float32 | DataType::Float64 => {
                let target = crate::functions::unconstrained_numeric();
                return Ok(Expr::Cast(Cast::new_from_field(Box::new(expr), Arc::new(target))));
            }
            whole if whole.is_integer() => {
                return Ok(Expr::Cast(Cast::new(Box::new(expr), DataType::Decimal128(20, 0))));
            }
            _ => {}
        }
    }
    let from_text = is_text(source.data_type());
    let to_text = is_text(target.data_type());
    if let (Expr::Literal(ScalarValue::Utf8(Some(text)), _), DataType::List(_)) =
        (&expr, target.data_type())
        && names_objects(target)
    {
        let names = array_literal(text, "_text", &DataType::Utf8)?;
        return Ok(plain(call(&casts.regs.to_regs, vec![lit(names), lit(tag)])));
    }
    if let (Expr::Literal(ScalarValue::Utf8(Some(text)), _), DataType::List(item)) =
        (&expr, target.data_type())
    {
        let items = match pg_type_of(target) {
            PgType::Array(of) if *of == PgType::Timestamptz => {
                let items = value::from_text(&PgType::Array(of), Some(text), casts.zone);
                items.map_err(|fault| {
                    let (sqlstate, message) = (fault.sqlstate, fault.message);
                    CatalogError::BadCast { sqlstate, message }
                })?
            }
            _ => array_literal(text, &tag, item.data_type())?,
        };
        return Ok(plain(lit(items)));
    }
    if let Expr::Literal(ScalarValue::Utf8(Some(text)), _) = &expr
        && !is_reg(&tag)
        && !crate::functions::is_unconstrained(target)
    {
        let pg_type = match pg_type_of(target) {
            PgType::Numeric(_) if tag == "numeric" => {
                PgType::Numeric(Some((38, value::written_scale(text))))
            }
            other => other,
        };
        match value::from_text(&pg_type, Some(text), casts.zone) {
            Ok(read) if matches!(pg_type, PgType::Numeric(_)) && tag == "numeric" => {
                return Ok(Expr::Literal(read, None));
            }
            Ok(read) if read.data_type() == *target.data_type() && !to_text => {
                return Ok(plain(Expr::Literal(read, None)));
            }
            Ok(_) => {}
            // Digits that the type has no place for are rounded.
            Err(fault)
                if fault.sqlstate == "22003"
                    && ScalarValue::from(text.trim()).cast_to(target.data_type()).is_ok() => {}
            Err(fault) if fault.sqlstate == "22P02" || fault.sqlstate == "22007" => {
                return Err(CatalogError::invalid_text(&type_name(&pg_type), text).into());
            }
            Err(fault) => {
                let (sqlstate, message) = (fault.sqlstate, fault.message);
                return Err(CatalogError::BadCast { sqlstate, message }.into());
            }
        }
    }
    if from_text && is_reg(&tag) {
        let args = vec![expr, lit(tag)];
        return Ok(plain(call(&casts.regs.to_reg, args)));
    }
    let from_texts =
        matches!(source.data_type(), DataType::List(item) if is_text(item.data_type()));
    if from_texts && tag.starts_with("_reg") {
        return Ok(plain(call(&casts.regs.to_regs, vec![expr, lit(tag)])));
    }
    if to_text && is_reg(&source_tag) {
        let args = vec![expr, lit(source_tag)];
        return Ok(plain(call(&casts.regs.from_reg, args)));
    }
    if source_tag.starts_with("_reg") {
        let function = match target.data_type() {
            DataType::List(item) if is_text(item.data_type()) => Some(&casts.regs.from_regs),
            _ if to_text => Some(&casts.regs.from_reg),
            _ => None,
        };
        if let Some(function) = function {
            return Ok(plain(call(function, vec![expr, lit(source_tag)])));
        }
    }
    // As text an address has the length of its network's part, which it doesn't show alone.
    if to_text && source_tag == "inet" && tag != "inet" {
        return Ok(plain(call(&casts.regs.from_reg, vec![expr, lit(source_tag)])));
    }
    if to_text && let Some(texts) = texts_of_rows(source.data_type()) {
        let text = call(texts, vec![expr]);
        return Ok(match source.data_type() {
            DataType::List(_) => plain(call(&casts.regs.from_reg, vec![text, lit("array")])),
            _ => plain(text),
        });
    }
    if to_text && is_vector(&source_tag) {
        return Ok(plain(array_to_string(expr, " ")));
    }
    let of_moments =
        matches!(source.data_type(), DataType::List(item) if item.data_type().is_temporal());
    if to_text && matches!(source.data_type(), DataType::List(_)) && !of_moments {
        let bare = Expr::Cast(Cast::new(Box::new(expr), list_of(DataType::Utf8)));
        return Ok(plain(call(&casts.regs.from_reg, vec![bare, lit("array")])));
    }
    Ok(plain(expr))
}

fn array_literal(text: &str, tag: &str, item: &DataType) -> Result<ScalarValue> {
    let items = if is_vector(tag) {
        text.split_whitespace().map(Value::text).collect()
    } else {
        parse_array(text)?
    };
    let scalars = items.into_iter().map(|item_value| match item_value {
        Value::Text(text) => ScalarValue::Utf8(Some(text)).cast_to(item),
        _ => ScalarValue::try_from(item),
    });
    let scalars = scalars.collect::<Result<Vec<_>>>()?;
    Ok(ScalarValue::List(ScalarValue::new_list_nullable(&scalars, item)))
}

fn array_to_string(array: Expr, separator: &str) -> Expr {
    datafusion::functions_nested::expr_fn::array_to_string(array, lit(separator))
}

fn call(function: &Arc<ScalarUDF>, args: Vec<Expr>) -> Expr {
    Expr::ScalarFunction(ScalarFunction { func: Arc::clone(function), args })
}

fn function_arguments(
    name: &str,
    mut args: Vec<Expr>,
    schema: &DFSchema,
    casts: &Casts<'_>,
) -> Result<Vec<Expr>> {
    match name {
        // Subscripts of the vectors count from 0.
        "array_element" if args.len() == 2 => {
            let (_, array) = args[0].to_field(schema)?;
            if tag_of(&array).is_some_and(is_vector) {
                let index = args.remove(1);
                let next = BinaryExpr::new(index.into(), Operator::Plus, lit(1).into());
                args.push(Expr::BinaryExpr(next));
            }
        }
        "canon_any" | "canon_all" if args.len() == 3 => {
            let (_, left) = args[1].to_field(schema)?;
            if let Expr::Placeholder(Placeholder { id, field: None }) = &args[2] {
                let item = type_name(&pg_type_of(&left));
                let field = Some(field_of(&format!("_{item}")));
                args[2] = Expr::Placeholder(Placeholder { id: id.clone(), field });
            }
            let array = args[2].to_field(schema)?.1;
            let array_is_list = matches!(array.data_type(), DataType::List(_));
            if array_is_list && let Expr::Placeholder(Placeholder { id, field: None }) = &args[1] {
                let array = type_name(&pg_type_of(&array));
                let field = Some(field_of(array.strip_prefix('_').unwrap_or("text")));
                args[1] = Expr::Placeholder(Placeholder { id: id.clone(), field });
            }
        }
        "nullif" | "coalesce" if args.len() >= 2 => {
            let typed = args.iter().find(|arg| !is_untyped(arg)).cloned();
            if let Some(typed) = typed {
                let met = args.into_iter().map(|arg| meet(arg, &typed, schema, casts));
                args = met.collect::<Result<Vec<_>>>()?;
            }
        }
        _ => {}
    }
    let args = with_objects(name, args, schema, casts)?;
    Ok(args.into_iter().map(|arg| with_type(arg, "text")).collect())
}

/// Names of objects in a call, where the function takes objects: `pg_relation_size('orders')`.
fn with_objects(
    name: &str,
    args: Vec<Expr>,
    schema: &DFSchema,
    casts: &Casts<'_>,
) -> Result<Vec<Expr>> {
    let type_of = |arg: &Expr| match is_untyped(arg) {
        true => None,
        false => arg.to_field(schema).ok().map(|(_, field)| field),
    };
    let fields: Vec<Option<FieldRef>> = args.iter().map(type_of).collect();
    let object = |(index, arg): (usize, Expr)| {
        let may_name = fields[index].as_ref().is_none_or(|field| is_text(field.data_type()));
        let taken = if may_name { signatures::taken(name, &fields, index) } else { None };
        match taken.filter(|taken| names_objects(taken)) {
            Some(taken) => cast(arg, &taken, schema, casts),
            None => Ok(arg),
        }
    };
    args.into_iter().enumerate().map(object).collect()
}

fn is_untyped(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::Placeholder(Placeholder { field: None, .. })
            | Expr::Literal(ScalarValue::Utf8(_), None)
    )
}

/// What writes a row, or an array of rows, as Postgres does.
fn texts_of_rows(data_type: &DataType) -> Option<&'static Arc<ScalarUDF>> {
    match data_type {
        DataType::Struct(_) => registry().scalar.get("output_text"),
        data_type if holds_rows(data_type) => registry().scalar.get("record_texts"),
        _ => None,
    }
}

/// The columns of a plan in the types in which they are sent: for the `reg…` types structs of name
/// and OID, since text shows the one and the binary format the other; text for the vectors, and
/// Arrow's variants of a type as one.
pub(super) fn for_the_wire(plan: LogicalPlan, casts: &RegCasts) -> Result<LogicalPlan> {
    let casts = &Casts { regs: casts, zone: &TimeZone::UTC };
    let schema = Arc::clone(plan.schema());
    let mut exprs = Vec::with_capacity(schema.fields().len());
    for (qualifier, field) in schema.iter() {
        let column = Expr::Column((qualifier, field).into());
        let tag = tag_of(field).unwrap_or_default();
        let pg_type = pg_type_of(field);
        let sent = pg_type.to_arrow();
        let text = field_of("text");
        let expr = if is_reg(tag) {
            let name = cast(column.clone(), &text, &schema, casts)?;
            call(&named_struct(), vec![lit("name"), name, lit("oid"), column])
        } else if is_vector(tag) {
            cast(column, &text, &schema, casts)?
        } else if tag.starts_with("_reg") {
            cast(column, &field_of("_text"), &schema, casts)?
        } else if let Some(texts) = texts_of_rows(field.data_type()) {
            call(texts, vec![column])
        } else if *field.data_type() != sent {
            Expr::Cast(Cast::new(Box::new(column), sent))
        } else {
            column
        };
        exprs.push(expr.alias_qualified(qualifier.cloned(), field.name()));
    }
    let unchanged = exprs.iter().all(|expr| match expr {
        Expr::Alias(alias) => matches!(alias.expr.as_ref(), Expr::Column(_)),
        _ => false,
    });
    if unchanged {
        return Ok(plan);
    }
    let projection = datafusion::logical_expr::Projection::try_new(exprs, Arc::new(plan))?;
    Ok(LogicalPlan::Projection(projection))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::catalog::typing::inner_type;

    #[test]
    fn array_literals_take_the_type_of_their_elements() {
        let literal = array_literal("{1,2,NULL}", "_int2", &DataType::Int16).expect("a literal");
        assert_eq!(literal.data_type(), inner_type("_int2"));
        assert!(array_literal("{a}", "_int2", &DataType::Int16).is_err());
    }
}
