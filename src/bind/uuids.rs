//! Which values are `uuid`, and what is written beside them.
//!
//! Inside canon a uuid is the text that Postgres prints for it. What makes it one are the dimensions
//! that it comes from: they tell which columns clients see as `uuid`, and where a quoted text or a
//! parameter is one too, whatever notation it is written in.

use std::collections::BTreeMap;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{AggregateFunction, InList, Placeholder};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Between, BinaryExpr, Cast, Expr, LogicalPlan};

use super::context::{RelationScan, ScanKind};
use super::property::{Property, Rows, columns, results};
use crate::functions::{is_comparison, keeping_names, quoted, read_text};
use crate::sql::types::PgType;

/// For each column of a bound plan, whether it is a `uuid` or an array of uuids; empty where no relation
/// of it has one.
pub fn uuid_columns(plan: &LogicalPlan) -> Vec<Uuids> {
    match reads_uuids(plan) {
        true => columns::<Uuid>(plan),
        false => Vec::new(),
    }
}

/// The plan with the quoted texts beside uuids in the notation that uuids have here, and which
/// parameters stand beside some.
///
/// # Errors
/// 22P02 for a text that is no uuid.
pub(super) fn read(plan: LogicalPlan) -> Result<(LogicalPlan, BTreeMap<usize, PgType>)> {
    let mut params = BTreeMap::new();
    if !reads_uuids(&plan) {
        return Ok((plan, params));
    }
    let plan = plan.transform_up_with_subqueries(|node| {
        let inputs = node.inputs();
        let schema = merge_schema(&inputs);
        let flags = inputs.into_iter().flat_map(columns::<Uuid>).collect();
        let rows = Rows::<Uuid>::with(&schema, flags);
        keeping_names(node, |expr| expr.transform_up(|expr| rows.read(expr, &mut params)))
    })?;
    Ok((plan.data, params))
}

fn reads_uuids(plan: &LogicalPlan) -> bool {
    let mut found = false;
    let visited = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(_) = node {
            found |= Uuid::made(node).contains(&Uuids::One);
        }
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    visited.is_ok() && found
}

/// What is known of a column: its texts are uuids, or the items of its arrays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Uuids {
    #[default]
    None,
    One,
    List,
}

struct Uuid;

impl Property for Uuid {
    type Known = Uuids;

    fn made(node: &LogicalPlan) -> Vec<Uuids> {
        let fields = node.schema().fields();
        let scan = match node {
            LogicalPlan::TableScan(node) => RelationScan::of(&node.source),
            _ => None,
        };
        let of = |name: &str| match scan.is_some_and(|scan| is_uuid(scan, name)) {
            true => Uuids::One,
            false => Uuids::None,
        };
        fields.iter().map(|field| of(field.name())).collect()
    }

    fn unnested(list: Uuids, _: &DataType) -> Uuids {
        if list == Uuids::List { Uuids::One } else { Uuids::None }
    }

    fn computed(rows: &Rows<'_, Self>, expr: &Expr) -> Uuids {
        let list_of = |one: Uuids| if one == Uuids::One { Uuids::List } else { Uuids::None };
        let item_of = |list: Uuids| if list == Uuids::List { Uuids::One } else { Uuids::None };
        let of_first = |args: &[Expr]| args.first().map(|arg| rows.value(arg)).unwrap_or_default();
        match expr {
            Expr::Cast(Cast { field, .. }) if PgType::of(field) == PgType::Uuid => Uuids::One,
            Expr::AggregateFunction(AggregateFunction { func, params })
                if func.name() == "array_agg" =>
            {
                list_of(of_first(&params.args))
            }
            Expr::WindowFunction(function) if function.fun.name() == "array_agg" => {
                list_of(of_first(&function.params.args))
            }
            Expr::Unnest(unnest) => item_of(rows.value(&unnest.expr)),
            Expr::ScalarFunction(call) => match call.func.name() {
                "make_array" => list_of(rows.all(&call.args)),
                "array_element" => item_of(of_first(&call.args)),
                "array_slice" | "array_append" | "array_remove" | "array_cat" | "array_concat" => {
                    match of_first(&call.args) {
                        Uuids::List => Uuids::List,
                        _ => Uuids::None,
                    }
                }
                _ => Uuids::None,
            },
            _ => Uuids::None,
        }
    }
}

fn is_uuid(scan: &RelationScan, name: &str) -> bool {
    let column = scan.columns.iter().find(|column| column.name == name);
    match column.map(|column| &column.kind) {
        Some(ScanKind::Dimension(index)) => scan.relation.entity.dimensions[*index].is_uuid,
        _ => false,
    }
}

impl Rows<'_, Uuid> {
    /// One operator or call, with its operands read before.
    fn read(&self, expr: Expr, params: &mut BTreeMap<usize, PgType>) -> Result<Transformed<Expr>> {
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(op) => {
                let (mut left, mut right) = (left, right);
                let sides = [&left, &right].map(|side| self.value(side) == Uuids::One);
                if sides[0] {
                    written(&mut right, params)?;
                } else if sides[1] {
                    written(&mut left, params)?;
                }
                Ok(Transformed::yes(Expr::BinaryExpr(BinaryExpr { left, op, right })))
            }
            Expr::Between(mut between) if self.value(&between.expr) == Uuids::One => {
                let Between { low, high, .. } = &mut between;
                written(low, params)?;
                written(high, params)?;
                Ok(Transformed::yes(Expr::Between(between)))
            }
            Expr::InList(InList { expr, mut list, negated }) if self.value(&expr) == Uuids::One => {
                list.iter_mut().try_for_each(|item| written(item, params))?;
                Ok(Transformed::yes(Expr::InList(InList { expr, list, negated })))
            }
            Expr::Case(mut case) if self.all(results(&case)) == Uuids::One => {
                let results = case.when_then_expr.iter_mut().map(|(_, then)| then);
                results.chain(case.else_expr.as_mut()).try_for_each(|it| written(it, params))?;
                Ok(Transformed::yes(Expr::Case(case)))
            }
            Expr::ScalarFunction(mut call) => {
                match (call.func.name(), call.args.as_mut_slice()) {
                    ("coalesce" | "greatest" | "least" | "nullif", args)
                        if self.all(&*args) == Uuids::One =>
                    {
                        args.iter_mut().try_for_each(|arg| written(arg, params))?;
                    }
                    ("array_has", [array, item]) if self.value(item) == Uuids::One => {
                        items(array, params)?
                    }
                    _ => {}
                }
                Ok(Transformed::yes(Expr::ScalarFunction(call)))
            }
            other => Ok(Transformed::no(other)),
        }
    }
}

/// What stands beside a uuid: a quoted text is one, and a parameter.
fn written(expr: &mut Expr, params: &mut BTreeMap<usize, PgType>) -> Result<()> {
    if let Some(text) = quoted(expr) {
        *expr = Expr::Literal(read_text(&PgType::Uuid, text)?, None);
    } else if let Some(number) = number_of(expr) {
        params.insert(number, PgType::Uuid);
    }
    Ok(())
}

/// The array that a uuid is looked for in.
fn items(array: &mut Expr, params: &mut BTreeMap<usize, PgType>) -> Result<()> {
    match array {
        Expr::ScalarFunction(made) if made.func.name() == "make_array" => {
            made.args.iter_mut().try_for_each(|item| written(item, params))
        }
        Expr::Cast(cast) => items(&mut cast.expr, params),
        other => {
            if let Some(number) = number_of(other) {
                params.insert(number, PgType::Array(Box::new(PgType::Uuid)));
            }
            Ok(())
        }
    }
}

fn number_of(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Placeholder(Placeholder { id, .. }) => id.strip_prefix('$')?.parse().ok(),
        _ => None,
    }
}
