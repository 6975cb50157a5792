//! A SELECT under construction.

use super::value::{Level, Value};
use super::{NotPushable, Result};

/// The last clause that a block has used, in SQL's order of evaluation: a node extends the block
/// only with a clause that comes later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    From,
    Where,
    Group,
    Having,
    Window,
    Distinct,
    Order,
    Limit,
}

/// One SELECT. Its columns are expressions over what FROM offers.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub(crate) stage: Stage,
    /// By position in the plan's schema; None where nobody asks for the column.
    pub(crate) columns: Vec<Option<Value>>,
    /// Whole lines, without the keyword; empty for a SELECT without a table.
    pub(crate) from: String,
    pub(crate) filters: Vec<String>,
    /// The whole clause behind GROUP BY; Some("") for one group of everything.
    pub(crate) group_by: Option<String>,
    pub(crate) having: Vec<String>,
    pub(crate) distinct: bool,
    pub(crate) order_by: Vec<String>,
    pub(crate) limit: Option<u64>,
    pub(crate) offset: u64,
}

impl Block {
    pub(crate) fn new(from: String, columns: Vec<Option<Value>>) -> Self {
        Self {
            stage: Stage::From,
            columns,
            from,
            filters: Vec::new(),
            group_by: None,
            having: Vec::new(),
            distinct: false,
            order_by: Vec::new(),
            limit: None,
            offset: 0,
        }
    }

    /// The column at a position of the plan's schema.
    pub(crate) fn column(&self, index: usize) -> Result<&Value> {
        self.columns
            .get(index)
            .and_then(Option::as_ref)
            .ok_or_else(|| NotPushable::new("internal: a column that nobody asked for"))
    }

    pub(crate) fn enter(&mut self, stage: Stage) {
        self.stage = self.stage.max(stage);
    }

    /// Whether an asked column is computed by a window function.
    pub(crate) fn has_windows(&self) -> bool {
        self.columns.iter().flatten().any(|value| value.level == Level::Window)
    }

    /// The statement, its lines not indented. `select` are the expressions, named by position.
    pub(crate) fn render(&self, select: &[String]) -> String {
        let mut sql = String::from(if self.distinct { "SELECT DISTINCT" } else { "SELECT" });
        if select.is_empty() {
            sql.push_str(" 1 AS c0");
        }
        for (index, expr) in select.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            sql.push_str(&format!("{comma}\n  {} AS c{index}", indented(expr)));
        }
        if !self.from.is_empty() {
            sql.push_str("\nFROM ");
            sql.push_str(&self.from);
        }
        conditions(&mut sql, "WHERE", &self.filters);
        match self.group_by.as_deref() {
            None | Some("") => {}
            Some(keys) => {
                sql.push_str("\nGROUP BY ");
                sql.push_str(keys);
            }
        }
        conditions(&mut sql, "HAVING", &self.having);
        if !self.order_by.is_empty() {
            sql.push_str("\nORDER BY ");
            sql.push_str(&self.order_by.join(", "));
        }
        if let Some(limit) = self.limit {
            sql.push_str(&format!("\nLIMIT {limit}"));
        }
        if self.offset > 0 {
            sql.push_str(&format!("\nOFFSET {}", self.offset));
        }
        sql
    }
}

fn conditions(sql: &mut String, keyword: &str, conditions: &[String]) {
    if !conditions.is_empty() {
        sql.push_str(&format!("\n{keyword} {}", conditions.join("\n  AND ")));
    }
}

/// Further lines two columns to the right. Literals have no raw newline, so no text changes.
pub(crate) fn indented(sql: &str) -> String {
    sql.replace('\n', "\n  ")
}

/// A statement as a table of another one's FROM.
pub(crate) fn parenthesised(sql: &str) -> String {
    format!("(\n  {}\n)", indented(sql))
}
