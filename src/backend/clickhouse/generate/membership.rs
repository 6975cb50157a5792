//! Semi and anti joins on one key as tests of membership: ClickHouse keeps the keys alone, and
//! drops rows before it joins or groups them.

use datafusion::common::{JoinType, NullEquality};
use datafusion::logical_expr::Join;

use super::block::{Block, Stage, parenthesised};
use super::expr::Scope;
use super::nodes::{Generator, columns_of, with_columns_of};
use super::value::{Binding, Value};
use super::{Result, nan};

impl Generator<'_> {
    /// `key IN (SELECT …)`, or NOT IN; None of other joins, and where the sides' types differ.
    pub(crate) fn membership_join(&mut self, join: &Join, asked: &[bool]) -> Result<Option<Block>> {
        let is_anti = match join.join_type {
            JoinType::LeftSemi => false,
            JoinType::LeftAnti => true,
            _ => return Ok(None),
        };
        let [(left_key, right_key)] = join.on.as_slice() else { return Ok(None) };
        if join.filter.is_some() || join.null_equality == NullEquality::NullEqualsNull {
            return Ok(None);
        }
        let (left_schema, right_schema) = (join.left.schema(), join.right.schema());
        let left = self.build(&join.left, &with_columns_of(asked, [left_key], left_schema))?;
        let is_closed = left.stage > Stage::Where || left.has_windows();
        let mut left = if is_closed { self.nest(left)? } else { left };
        let scope = Scope { schema: left_schema, columns: &left.columns };
        let key = self.expr(left_key, scope)?;

        let right = self.build(&join.right, &columns_of([right_key], right_schema))?;
        let right = if right.stage > Stage::Where { self.nest(right)? } else { right };
        let scope = Scope { schema: right_schema, columns: &right.columns };
        let member = self.expr(right_key, scope)?;
        let Some((key_sql, member_sql)) = alike(&key, &member) else { return Ok(None) };

        let members = parenthesised(&right.render(&[member_sql]));
        let test = match (is_anti, key.nullable) {
            (false, _) => format!("{key_sql} IN {members}"),
            (true, false) => format!("{key_sql} NOT IN {members}"),
            (true, true) => format!("({key_sql} IS NULL OR {key_sql} NOT IN {members})"),
        };
        left.filters.push(test);
        left.enter(Stage::Where);
        Ok(Some(left))
    }
}

/// Two keys of one type, as stored where they are stored alike. ClickHouse would convert one type to
/// the other, whatever that loses.
fn alike(key: &Value, member: &Value) -> Option<(String, String)> {
    if key.data_type != member.data_type || nan::is_possible(key) || nan::is_possible(member) {
        return None;
    }
    if let (Some(one), Some(other)) = (&key.native, &member.native)
        && one.stored == other.stored
        && one.is_injective()
    {
        return Some((one.sql.clone(), other.sql.clone()));
    }
    Some((key.at(Binding::Sum), member.sql.clone()))
}
