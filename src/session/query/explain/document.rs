//! A plan as the document that Postgres makes of its own: `[{"Plan": {"Node Type": …}}]`.
//!
//! Nodes go by the names that tools know from Postgres. There are no costs: canon doesn't estimate
//! any, and Postgres leaves them out as well where it is told `COSTS OFF`.
//!
//! Source: the PostgreSQL 15 manual, EXPLAIN, and `src/backend/commands/explain.c`.

use datafusion::common::JoinType;
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan};
use serde_json::{Map, Value, json};

use super::Measured;
use crate::backend::clickhouse::Pushed;
use crate::session::engine::Column;

type Node = Map<String, Value>;

/// What an explanation is made of.
pub(super) struct Document<'a> {
    /// With the border in it.
    pub(super) plan: &'a LogicalPlan,
    pub(super) columns: &'a [Column],
    pub(super) backend: &'a str,
    /// The metrics that are asked for, a line each.
    pub(super) metrics: Vec<String>,
    /// With ANALYZE.
    pub(super) measured: Option<Measured>,
}

impl Document<'_> {
    pub(super) fn value(&self) -> Value {
        let mut plan = node(self.plan);
        put(&mut plan, "Output", names(self.columns));
        let mut root = Node::new();
        if let Some(measured) = &self.measured {
            put(&mut plan, "Actual Total Time", ms(measured.total_us));
            put(&mut plan, "Actual Rows", measured.rows_returned);
            put(&mut plan, "Actual Loops", 1);
        }
        put(&mut root, "Plan", with_children_last(plan));
        put(&mut root, "Backend", self.backend);
        put(&mut root, "Metrics", self.metrics.clone());
        if let Some(measured) = &self.measured {
            put(&mut root, "Cache", measured.cache.as_str());
            put(&mut root, "Rows Read", measured.rows_read);
            put(&mut root, "Bytes Read", measured.bytes_read);
            put(&mut root, "Backend Time", ms(measured.backend_us));
            put(&mut root, "Execution Time", ms(measured.total_us));
            put(&mut root, "Query Id", measured.query_id.as_str());
        }
        json!([root])
    }
}

/// Of an answer that is in memory already; `said` are lines about it.
pub(super) fn of_memory(provider: &str, columns: &[Column], said: &[String]) -> Value {
    let mut plan = named("Custom Scan");
    put(&mut plan, "Custom Plan Provider", provider);
    put(&mut plan, "Output", names(columns));
    if !said.is_empty() {
        put(&mut plan, "Notes", said.to_vec());
    }
    json!([{ "Plan": plan }])
}

fn names(columns: &[Column]) -> Vec<String> {
    columns.iter().map(|column| column.name.clone()).collect()
}

fn ms(us: u64) -> Value {
    json!(us as f64 / 1_000.0)
}

fn put(node: &mut Node, key: &str, value: impl Into<Value>) {
    node.insert(key.to_owned(), value.into());
}

fn named(node_type: &str) -> Node {
    let mut node = Node::new();
    put(&mut node, "Node Type", node_type);
    put(&mut node, "Parallel Aware", false);
    put(&mut node, "Async Capable", false);
    node
}

/// As Postgres orders them, which people read.
fn with_children_last(mut node: Node) -> Node {
    if let Some(children) = node.remove("Plans") {
        put(&mut node, "Plans", children);
    }
    node
}

fn node(plan: &LogicalPlan) -> Node {
    // Postgres has no node for what a node below it may compute.
    if let LogicalPlan::Projection(projection) = plan {
        let mut node = node(&projection.input);
        put(&mut node, "Output", outputs(plan));
        return node;
    }
    let mut node = kind(plan);
    put(&mut node, "Output", outputs(plan));
    let inputs = plan.inputs();
    let is_join = matches!(plan, LogicalPlan::Join(_));
    let relationship = |index: usize| match plan {
        LogicalPlan::Union(_) | LogicalPlan::RecursiveQuery(_) => "Member",
        LogicalPlan::Subquery(_) | LogicalPlan::SubqueryAlias(_) => "Subquery",
        _ if is_join && index == 1 => "Inner",
        _ => "Outer",
    };
    let children: Vec<Value> = inputs
        .iter()
        .enumerate()
        .map(|(index, input)| {
            let mut child = self::node(input);
            put(&mut child, "Parent Relationship", relationship(index));
            Value::Object(with_children_last(child))
        })
        .collect();
    if !children.is_empty() {
        put(&mut node, "Plans", children);
    }
    node
}

/// A node by itself, by the name of the node of Postgres that does the same.
fn kind(plan: &LogicalPlan) -> Node {
    match plan {
        LogicalPlan::TableScan(scan) => {
            let mut node = named("Seq Scan");
            put(&mut node, "Relation Name", scan.table_name.table());
            put(&mut node, "Alias", scan.table_name.table());
            if !scan.filters.is_empty() {
                let parts: Vec<String> = scan.filters.iter().map(|it| format!("({it})")).collect();
                put(&mut node, "Filter", parts.join(" AND "));
            }
            node
        }
        LogicalPlan::Filter(filter) => {
            let mut node = named("Result");
            put(&mut node, "Filter", filter.predicate.to_string());
            node
        }
        LogicalPlan::Aggregate(aggregate) => {
            let mut node = named("Aggregate");
            let by_keys = !aggregate.group_expr.is_empty();
            put(&mut node, "Strategy", if by_keys { "Hashed" } else { "Plain" });
            put(&mut node, "Partial Mode", "Simple");
            if by_keys {
                put(&mut node, "Group Key", texts(&aggregate.group_expr));
            }
            node
        }
        LogicalPlan::Distinct(distinct) => {
            let mut node = named("Aggregate");
            put(&mut node, "Strategy", "Hashed");
            put(&mut node, "Partial Mode", "Simple");
            if let Distinct::On(on) = distinct {
                put(&mut node, "Group Key", texts(&on.on_expr));
            }
            node
        }
        LogicalPlan::Sort(sort) => {
            let mut node = named("Sort");
            let keys: Vec<String> = sort.expr.iter().map(ToString::to_string).collect();
            put(&mut node, "Sort Key", keys);
            node
        }
        LogicalPlan::Join(join) => {
            let mut node = named(if join.on.is_empty() { "Nested Loop" } else { "Hash Join" });
            put(&mut node, "Join Type", join_type(join.join_type));
            let pairs: Vec<String> =
                join.on.iter().map(|(left, right)| format!("({left} = {right})")).collect();
            if !pairs.is_empty() {
                put(&mut node, "Hash Cond", pairs.join(" AND "));
            }
            if let Some(filter) = &join.filter {
                put(&mut node, "Join Filter", filter.to_string());
            }
            node
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let mut node = named("Subquery Scan");
            put(&mut node, "Alias", alias.alias.table());
            node
        }
        LogicalPlan::Extension(extension) => match Pushed::of(extension) {
            Some(pushed) => {
                let mut node = named("Foreign Scan");
                put(&mut node, "Operation", "Select");
                put(&mut node, "Relations", pushed.tables.join(", "));
                put(&mut node, "Remote SQL", pushed.sql.as_str());
                node
            }
            None => custom(extension.node.name()),
        },
        LogicalPlan::Window(_) => named("WindowAgg"),
        LogicalPlan::Limit(_) => named("Limit"),
        LogicalPlan::Union(_) => named("Append"),
        LogicalPlan::Values(_) => named("Values Scan"),
        LogicalPlan::Subquery(_) => named("Subquery Scan"),
        LogicalPlan::RecursiveQuery(_) => named("Recursive Union"),
        LogicalPlan::EmptyRelation(_) => named("Result"),
        LogicalPlan::Unnest(_) => named("ProjectSet"),
        other => custom(other.display().to_string().split(':').next().unwrap_or_default()),
    }
}

fn custom(provider: &str) -> Node {
    let mut node = named("Custom Scan");
    put(&mut node, "Custom Plan Provider", provider);
    node
}

fn join_type(join_type: JoinType) -> &'static str {
    match join_type {
        JoinType::Inner => "Inner",
        JoinType::Left | JoinType::LeftMark => "Left",
        JoinType::Right | JoinType::RightMark => "Right",
        JoinType::Full => "Full",
        JoinType::LeftSemi | JoinType::RightSemi => "Semi",
        JoinType::LeftAnti | JoinType::RightAnti => "Anti",
    }
}

fn texts(exprs: &[Expr]) -> Vec<String> {
    exprs.iter().map(ToString::to_string).collect()
}

fn outputs(plan: &LogicalPlan) -> Vec<String> {
    let columns = plan.schema().columns();
    columns.iter().map(|column| column.flat_name()).collect()
}
