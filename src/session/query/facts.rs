//! What a session says of itself beside rows: `WHERE owner = current_user`. The catalogue has these as
//! functions; in a question of data they are constants.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Query, Value,
    visit_expressions,
};

use crate::bind::Fact;
use crate::session::engine::RequestContext;
use crate::sql::catalog::{folded, server_version};

/// The facts that a statement asks for, by their calls as they are written.
pub(super) fn of(
    query: &Query,
    search_path: &[String],
    context: &RequestContext,
) -> BTreeMap<String, Fact> {
    let mut facts = BTreeMap::new();
    let _ = visit_expressions(query, |expr| {
        if let Expr::Function(call) = expr
            && let Some(fact) = fact(call, search_path, context)
        {
            facts.insert(call.to_string(), fact);
        }
        ControlFlow::<()>::Continue(())
    });
    facts
}

fn fact(call: &Function, search_path: &[String], context: &RequestContext) -> Option<Fact> {
    let name = folded(call.name.0.last()?.as_ident()?);
    let arguments = constants(call)?;
    let setting = |name: &str| context.settings.get(&name.to_lowercase()).cloned();
    let text = match (name.as_str(), arguments.as_slice()) {
        ("current_user" | "session_user" | "user" | "current_role", []) => context.role.clone(),
        ("current_database" | "current_catalog", []) => context.database.clone(),
        ("current_schema", []) => search_path.first()?.clone(),
        ("version", []) => server_version(setting("server_version").as_deref()),
        ("current_setting", [name]) => setting(name)?,
        ("pg_backend_pid", []) => return Some(Fact::Number(context.backend_pid.into())),
        _ => return None,
    };
    Some(Fact::Text(text))
}

/// A call's arguments, where they are texts in quotes.
fn constants(call: &Function) -> Option<Vec<&str>> {
    let list = match &call.args {
        FunctionArguments::None => return Some(Vec::new()),
        FunctionArguments::List(list) => list,
        FunctionArguments::Subquery(_) => return None,
    };
    list.args.iter().map(constant).collect()
}

fn constant(argument: &FunctionArg) -> Option<&str> {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value))) => match &value.value {
            Value::SingleQuotedString(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}
