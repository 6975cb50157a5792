//! Window functions: a clause of their own behind HAVING.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::{
    Expr, ExprSchemable, Window, WindowFrame, WindowFrameBound, WindowFrameUnits,
    WindowFunctionDefinition,
};

use super::block::{Block, Stage};
use super::expr::Scope;
use super::functions::{self, AggregateCall, WindowCall};
use super::nodes::{Generator, repeats, with_columns_of};
use super::value::{Level, Value};
use super::{NotPushable, Result, nan};

impl Generator<'_> {
    pub(crate) fn window(&mut self, window: &Window, asked: &[bool]) -> Result<Block> {
        let schema = window.input.schema();
        let width = schema.fields().len();
        let exprs: Vec<Option<&Expr>> = window
            .window_expr
            .iter()
            .zip(&asked[width..])
            .map(|(expr, asked)| asked.then_some(expr))
            .collect();
        let used = exprs.iter().flatten().copied();
        let mut block =
            self.build(&window.input, &with_columns_of(&asked[..width], used, schema))?;
        if exprs.iter().all(Option::is_none) {
            block.columns.extend(exprs.iter().map(|_| None));
            return Ok(block);
        }
        // A window over the rows of a SELECT with groups, or over another window, has a block of its own.
        let kept = schema.columns().into_iter().zip(&asked[..width]);
        let kept = kept.filter_map(|(column, asked)| asked.then_some(Expr::Column(column)));
        let kept: Vec<Expr> = kept.collect();
        let is_again = repeats(&block, exprs.iter().flatten().copied().chain(&kept), schema);
        if block.stage > Stage::Where || block.has_windows() || is_again {
            block = self.nest(block)?;
        }
        for expr in exprs {
            let column = match expr {
                Some(expr) => {
                    let scope = Scope { schema, columns: &block.columns[..width] };
                    Some(self.window_call(expr, scope)?)
                }
                None => None,
            };
            block.columns.push(column);
        }
        block.enter(Stage::Window);
        Ok(block)
    }

    fn window_call(&mut self, expr: &Expr, scope: Scope) -> Result<Value> {
        let call = match expr {
            Expr::Alias(alias) => return self.window_call(&alias.expr, scope),
            Expr::WindowFunction(call) => call,
            other => {
                return Err(NotPushable::new(format!("{} as a window", other.variant_name())));
            }
        };
        let WindowFunction { fun, params } = call.as_ref();
        let WindowFunctionParams { args, filter, null_treatment, distinct, window_frame, .. } =
            params;
        if filter.is_some() || null_treatment.is_some() || *distinct {
            return Err(NotPushable::new("FILTER, DISTINCT or IGNORE NULLS in a window"));
        }
        let args: Result<Vec<Value>> = args.iter().map(|arg| self.expr(arg, scope)).collect();
        let args = args?;
        let data_type = expr.get_type(scope.schema).map_err(super::expr::untyped)?;
        let mut over = Vec::new();
        if !params.partition_by.is_empty() {
            let mut keys = Vec::new();
            for key in &params.partition_by {
                let key = nan::key(self.expr(key, scope)?)?;
                if key.literal.is_none() {
                    keys.push(key.sql);
                }
            }
            if !keys.is_empty() {
                over.push(format!("PARTITION BY {}", keys.join(", ")));
            }
        }
        let keys = self.sort_keys(&params.order_by, scope)?;
        if !keys.is_empty() {
            over.push(format!("ORDER BY {}", keys.join(", ")));
        }
        let value = match fun {
            WindowFunctionDefinition::WindowUDF(function) => {
                let (over, frame) = (over.join(" "), frame_text(window_frame));
                functions::window(function.name(), &WindowCall { args, over, frame, data_type })?
            }
            WindowFunctionDefinition::AggregateUDF(function) => {
                over.push(frame_text(window_frame)?);
                let call = AggregateCall {
                    args,
                    distinct: false,
                    filter: None,
                    order: Vec::new(),
                    over: format!(" OVER ({})", over.join(" ")),
                    data_type,
                };
                functions::aggregate(function.name(), &call)?
            }
        };
        Ok(Value { level: Level::Window, plain: false, native: None, ..value })
    }
}

fn frame_text(frame: &WindowFrame) -> Result<String> {
    let units = match frame.units {
        WindowFrameUnits::Rows => "ROWS",
        WindowFrameUnits::Range => "RANGE",
        WindowFrameUnits::Groups => return Err(NotPushable::new("a window frame of groups")),
    };
    let start = bound_text(frame.units, &frame.start_bound)?;
    let end = bound_text(frame.units, &frame.end_bound)?;
    Ok(format!("{units} BETWEEN {start} AND {end}"))
}

fn bound_text(units: WindowFrameUnits, bound: &WindowFrameBound) -> Result<String> {
    let (distance, direction) = match bound {
        WindowFrameBound::CurrentRow => return Ok("CURRENT ROW".to_owned()),
        WindowFrameBound::Preceding(distance) => (distance, "PRECEDING"),
        WindowFrameBound::Following(distance) => (distance, "FOLLOWING"),
    };
    if distance.is_null() {
        return Ok(format!("UNBOUNDED {direction}"));
    }
    match (units, distance) {
        (WindowFrameUnits::Rows, ScalarValue::UInt64(Some(rows))) => {
            Ok(format!("{rows} {direction}"))
        }
        _ => Err(NotPushable::new("a window frame by values")),
    }
}
