//! `WINDOW w AS (…)`: each window that names another is written out where it stands.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, NamedWindowExpr, OrderBy, Select, VisitMut, VisitorMut, WindowSpec, WindowType,
};

use super::catalog::folded;
use crate::functions::FunctionError;

/// Writes the named windows of a select out, in its list and in the ORDER BY around it.
///
/// # Errors
/// 42704 for a name that there isn't, 42P20 for what a window can't add to another.
pub(crate) fn written_out(
    select: &mut Select,
    order_by: Option<&mut OrderBy>,
) -> Result<(), FunctionError> {
    let mut known = Windows::default();
    for definition in std::mem::take(&mut select.named_window) {
        let spec = match definition.1 {
            NamedWindowExpr::NamedWindow(name) => known.named(&name)?.clone(),
            NamedWindowExpr::WindowSpec(spec) => known.whole(spec)?,
        };
        known.0.push((folded(&definition.0), spec));
    }
    let visited = match select.projection.visit(&mut known) {
        ControlFlow::Continue(()) => match order_by {
            Some(order_by) => order_by.visit(&mut known),
            None => ControlFlow::Continue(()),
        },
        stopped => stopped,
    };
    match visited {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// The windows of a select, by name.
#[derive(Default)]
struct Windows(Vec<(String, WindowSpec)>);

impl Windows {
    fn named(&self, name: &Ident) -> Result<&WindowSpec, FunctionError> {
        let name = folded(name);
        let known = self.0.iter().find(|(known, _)| *known == name);
        known.map(|(_, spec)| spec).ok_or_else(|| {
            let message = format!("window \"{name}\" does not exist");
            FunctionError::new("42704", message)
        })
    }

    /// A window with what the one that it names has.
    ///
    /// Source: PostgreSQL 15 `src/backend/parser/parse_clause.c`, `transformWindowDefinitions`.
    fn whole(&self, spec: WindowSpec) -> Result<WindowSpec, FunctionError> {
        let Some(name) = &spec.window_name else { return Ok(spec) };
        let base = self.named(name)?.clone();
        let name = folded(name);
        let refuse = |message: String| Err(FunctionError::new("42P20", message));
        if !spec.partition_by.is_empty() {
            return refuse(format!("cannot override PARTITION BY clause of window \"{name}\""));
        }
        if !spec.order_by.is_empty() && !base.order_by.is_empty() {
            return refuse(format!("cannot override ORDER BY clause of window \"{name}\""));
        }
        if base.window_frame.is_some() {
            let message = "because it has a frame clause";
            return refuse(format!("cannot copy window \"{name}\" {message}"));
        }
        let order_by = if base.order_by.is_empty() { spec.order_by } else { base.order_by };
        Ok(WindowSpec { window_name: None, order_by, window_frame: spec.window_frame, ..base })
    }
}

impl VisitorMut for Windows {
    type Break = FunctionError;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<FunctionError> {
        let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        let whole = match &function.over {
            Some(WindowType::NamedWindow(name)) => self.named(name).cloned(),
            Some(WindowType::WindowSpec(spec)) if spec.window_name.is_some() => {
                self.whole(spec.clone())
            }
            _ => return ControlFlow::Continue(()),
        };
        match whole {
            Ok(spec) => {
                function.over = Some(WindowType::WindowSpec(spec));
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error),
        }
    }
}
