//! `row_to_json(t)` of an item of FROM: its columns as one value.

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Value,
};

use super::binder::Binder;
use super::scope::{Scope, folded, quoted};
use crate::sql::ast::call;

/// The functions that take rows.
const OF_ROWS: [&str; 5] = ["row_to_json", "to_json", "json_agg", "to_jsonb", "jsonb_agg"];

impl Binder<'_> {
    /// Writes the row out where the one argument names an item of FROM, and no column.
    pub(crate) fn write_row_out(&mut self, function: &mut Function, name: &str, scope: &Scope<'_>) {
        let FunctionArguments::List(list) = &mut function.args else { return };
        let [FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))] = list.args.as_mut_slice()
        else {
            return;
        };
        let Expr::Identifier(ident) = argument else { return };
        if !OF_ROWS.contains(&name) || self.resolve_name(std::slice::from_ref(ident), scope).is_ok()
        {
            return;
        }
        let relation = folded(ident);
        let found = scope.items.iter().find(|item| item.name.as_ref() == Some(&relation));
        let Some(item) = found else { return };
        let fields = self.shown_columns(item).into_iter().flat_map(|column| {
            let mut written = [quoted(&relation), quoted(&column)];
            written.iter_mut().for_each(|part| part.span = ident.span);
            let value = Expr::CompoundIdentifier(written.to_vec());
            [Expr::value(Value::SingleQuotedString(column)), value]
        });
        *argument = call("named_struct", fields.collect());
    }
}
