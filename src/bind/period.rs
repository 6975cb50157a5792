//! Periods of the project's calendars: `date_trunc('retail.month', …)`, `date_part('retail.year', …)`.

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectName, ObjectNamePart,
    Value,
};

use super::error::BindError;
use super::scope::quoted;
use crate::functions::Grain;
use crate::model::project::{Project, UnknownGrain};

/// Writes a call that names a period of a calendar as a call over that calendar; leaves any other
/// call as it is.
///
/// # Errors
/// Calendars and periods that don't exist.
pub(super) fn resolve(
    project: &Project,
    function: &mut Function,
    name: &str,
    position: Option<usize>,
) -> Result<(), BindError> {
    let replaced = match name {
        "date_trunc" => "fiscal_trunc",
        "date_part" => "fiscal_part",
        _ => return Ok(()),
    };
    let FunctionArguments::List(list) = &mut function.args else { return Ok(()) };
    let Some(written) = list.args.first().and_then(text).filter(|text| text.contains('.')) else {
        return Ok(());
    };
    let unknown = |what: String| BindError::UnknownPeriod { what, hint: hint(project), position };
    let grain = project.grain(&written).map_err(|fault| match fault {
        UnknownGrain::Calendar => {
            let calendar = written.split('.').next().unwrap_or_default();
            unknown(format!("calendar \"{calendar}\" does not exist"))
        }
        UnknownGrain::Unit => unknown(format!("\"{written}\" is not a period of a calendar")),
    })?;
    if let Grain::Fiscal(calendar, unit) = grain {
        let constants = [calendar.to_string(), unit.name().to_owned()].map(constant);
        list.args.splice(..1, constants);
        function.name = ObjectName(vec![ObjectNamePart::Identifier(quoted(replaced))]);
    }
    Ok(())
}

fn text(argument: &FunctionArg) -> Option<String> {
    let FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value))) = argument else {
        return None;
    };
    match &value.value {
        Value::SingleQuotedString(text) => Some(text.clone()),
        _ => None,
    }
}

fn constant(text: String) -> FunctionArg {
    let value = Expr::Value(Value::SingleQuotedString(text).with_empty_span());
    FunctionArg::Unnamed(FunctionArgExpr::Expr(value))
}

fn hint(project: &Project) -> String {
    let known: Vec<String> = project.fiscal_grains().collect();
    match known.is_empty() {
        true => {
            "The project has no calendars: define one under \"calendars\" in canon.yaml.".to_owned()
        }
        false => format!("The periods are {}.", known.join(", ")),
    }
}
