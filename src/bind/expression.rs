//! Expressions of a statement: names resolved to scans' columns, measures and aggregates marked.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CastKind, DataType, DuplicateTreatment, Expr, Function, FunctionArguments,
    Ident, ObjectName, ObjectNamePart, Value, ValueWithSpan, WindowType,
};

use super::aggregate::{self, Call};
use super::binder::{Binder, Clause, Fact, Found};
use super::error::BindError;
use super::pending::{PENDING, arguments, at_level, conditional, filtered, is_pending, marked};
use super::scope::{Kind, MeasureUse, Scope, folded, nearest, quoted};
use super::walk::{children_mut, subquery_mut};
use super::{literal, period, series, template};
use crate::functions::registry;
use crate::sql::spelling;

impl Binder<'_> {
    /// Resolves every name in an expression, in place; measures become pending marks.
    pub(crate) fn resolve(
        &mut self,
        expr: &mut Expr,
        scope: &Scope<'_>,
        clause: Clause,
    ) -> Result<Found, BindError> {
        spelling::in_none_of_parameter(expr);
        spelling::rewrite(expr);
        match expr {
            Expr::Identifier(ident) => {
                let idents = [ident.clone()];
                self.resolve_column(expr, &idents, scope, clause)
            }
            Expr::CompoundIdentifier(idents) => {
                let idents = idents.clone();
                self.resolve_column(expr, &idents, scope, clause)
            }
            Expr::Function(function) if let Some(array) = spelling::array_of_query(function) => {
                *expr = array;
                self.resolve(expr, scope, clause)
            }
            Expr::Function(function)
                if let Some(fact) = self.settings.facts.get(&function.to_string()) =>
            {
                *expr = constant(fact);
                Ok(Found::default())
            }
            Expr::Function(function) => {
                spelling::outside_of_catalogue(function);
                let replaced = self.resolve_function(function, scope, clause)?;
                let (found, replacement) = replaced;
                if let Some(replacement) = replacement {
                    *expr = replacement;
                }
                Ok(found)
            }
            Expr::Value(value) => {
                plain_string(&mut value.value);
                Ok(Found::default())
            }
            Expr::BinaryOp { left, op: BinaryOperator::At, right } => {
                let hint = major_of(left, right);
                let position = self.position_of(expr);
                Err(BindError::NotSupported { what: "operator @".to_owned(), hint, position })
            }
            _ => self.resolve_children(expr, scope, clause),
        }
    }

    fn resolve_children(
        &mut self,
        expr: &mut Expr,
        scope: &Scope<'_>,
        clause: Clause,
    ) -> Result<Found, BindError> {
        let mut found = Found::default();
        if let Some(query) = subquery_mut(expr) {
            spelling::arrays_as_calls(query);
            self.bind_query(query, Some(scope), true)?;
        }
        let position = self.position_of(expr);
        literal::simplify(expr);
        let shown = children_mut(expr).is_none().then(|| expr.to_string());
        let is_transparent = matches!(expr, Expr::Nested(_));
        match children_mut(expr) {
            Some(children) => {
                for child in children {
                    let of_child = self.resolve(child, scope, clause)?;
                    if is_transparent {
                        return Ok(of_child);
                    }
                    found.absorb(of_child);
                }
            }
            None => {
                let what = format!("the expression {}", shown.unwrap_or_default());
                return Err(BindError::NotSupported { what, hint: None, position });
            }
        }
        Ok(found)
    }

    fn resolve_column(
        &mut self,
        expr: &mut Expr,
        idents: &[Ident],
        scope: &Scope<'_>,
        clause: Clause,
    ) -> Result<Found, BindError> {
        let mut resolved = self.resolve_name(idents, scope)?;
        if let (Expr::CompoundIdentifier(written), Some(first)) =
            (&mut resolved.expr, idents.first())
        {
            // Later faults of this column are shown where the user named it.
            written.iter_mut().for_each(|ident| ident.span = first.span);
        }
        let mut found = Found { plain: resolved.plain.take(), ..Found::default() };
        match resolved.kind {
            Kind::OfSomeGroups { measure } if clause == Clause::Aggregate => {
                let what = format!("an aggregate of \"{measure}\" over the groups of a LIMIT");
                let hint = "Leave out the LIMIT; or write GROUP BY in the inner query for its groups' \
                            values, or select the key there for its rows'.";
                let position = idents.first().and_then(|ident| self.place_of(ident));
                return Err(BindError::NotSupported {
                    what,
                    hint: Some(hint.to_owned()),
                    position,
                });
            }
            Kind::Value | Kind::OfSomeGroups { .. } => {
                found.columns.push(resolved.expr.clone());
                *expr = resolved.expr;
            }
            Kind::Measure(used) => {
                if !clause.takes_measures() {
                    return Err(self.misplaced_measure(&used, clause, idents));
                }
                *expr = marked(PENDING, resolved.expr, None);
                found.measures = Some(used);
            }
        }
        Ok(found)
    }

    fn misplaced_measure(&self, used: &MeasureUse, clause: Clause, idents: &[Ident]) -> BindError {
        let measure = used.name();
        let hint = match clause {
            Clause::Where => format!(
                "A measure has a value only for a group: write HAVING MEASURE({measure}) …, or \
                 group in a subquery and filter its result."
            ),
            Clause::GroupBy => {
                "Group by dimensions; the measure is evaluated for each group.".to_owned()
            }
            _ => format!(
                "Evaluate it in a subquery first: SELECT …, MEASURE({measure}) AS value … GROUP BY …."
            ),
        };
        let position = idents.first().and_then(|ident| self.place_of(ident));
        BindError::MeasureNotAllowed { measure, clause: clause.name(), hint, position }
    }

    /// Resolves a call; gives what to write in its place, if that is something else.
    fn resolve_function(
        &mut self,
        function: &mut Function,
        scope: &Scope<'_>,
        clause: Clause,
    ) -> Result<(Found, Option<Expr>), BindError> {
        let position = self.position_of(&function.name);
        let name =
            function.name.0.last().and_then(|it| it.as_ident()).map(folded).unwrap_or_default();
        // Schemas in front of function names tell nothing: all functions are pg_catalog's.
        function.name = ObjectName(vec![ObjectNamePart::Identifier(quoted(&name))]);
        self.write_row_out(function, &name, scope);
        if matches!(name.as_str(), "measure" | "agg" | "aggregate") {
            return self.resolve_measure_call(function, &name, scope, clause, position);
        }
        if function.over.is_some() {
            return self.resolve_window(function, &name, scope, clause, position);
        }
        if registry().aggregate.contains_key(&name) {
            return self.resolve_aggregate(function, &name, scope, clause, position);
        }
        if let Some(mut rows) = series::in_select(&name, arguments(function)) {
            if clause != Clause::Projection {
                let what = format!("{name} in {}", clause.name());
                let hint = Some("It gives rows: write it in FROM.".to_owned());
                return Err(BindError::NotSupported { what, hint, position });
            }
            let found = self.resolve(&mut rows, scope, clause)?;
            return Ok((found, Some(rows)));
        }
        if let Some(mut cast) = template::as_cast(&name, function) {
            let found = self.resolve(&mut cast, scope, clause)?;
            return Ok((found, Some(cast)));
        }
        // The mark is left where its operands are too long to be written out.
        if spelling::is_symmetric(function) {
            return Err(BindError::TooComplex);
        }
        if !registry().scalar.contains_key(&name) && !is_special_form(&name) {
            let names = registry().scalar.keys().chain(registry().aggregate.keys());
            let near = nearest(&name, names.map(String::as_str));
            return Err(BindError::UnknownFunction { name, near, position });
        }
        period::resolve(&self.model.project, function, &name, position)?;
        let mut call = Expr::Function(function.clone());
        let found = self.resolve_children(&mut call, scope, clause)?;
        Ok((found, Some(call)))
    }

    /// `MEASURE(m)`, `AGG(m)`, `AGGREGATE(m)`: the same as the bare column, but for a FILTER.
    fn resolve_measure_call(
        &mut self,
        function: &mut Function,
        name: &str,
        scope: &Scope<'_>,
        clause: Clause,
        position: Option<usize>,
    ) -> Result<(Found, Option<Expr>), BindError> {
        let level = match function.over.take() {
            Some(over) => Some(self.level_keys(over, name, scope, clause, position)?),
            None => None,
        };
        let not_a_measure = || BindError::NotAMeasure { function: name.to_uppercase(), position };
        let [argument] = arguments(function).try_into().map_err(|_| not_a_measure())?;
        let mut argument: Expr = argument;
        let mut found = self.resolve(&mut argument, scope, clause)?;
        found.plain = None;
        if found.measures.is_none() {
            return Err(not_a_measure());
        }
        if let Some(mut filter) = function.filter.take() {
            self.resolve(&mut filter, scope, Clause::Filter)?;
            found.aggregate = true;
            argument = filtered(argument, filter, position)?;
        }
        if let Some(keys) = level {
            found.aggregate = true;
            at_level(&mut argument, &keys);
        }
        Ok((found, Some(argument)))
    }

    /// The keys of `OVER (PARTITION BY …)` behind a measure, resolved.
    fn level_keys(
        &mut self,
        over: WindowType,
        name: &str,
        scope: &Scope<'_>,
        clause: Clause,
        position: Option<usize>,
    ) -> Result<Vec<Expr>, BindError> {
        let refuse = |what: String, hint: &str| {
            Err(BindError::NotSupported { what, hint: Some(hint.to_owned()), position })
        };
        let name = name.to_uppercase();
        let WindowType::WindowSpec(spec) = over else {
            let what = format!("{name} OVER a named window");
            return refuse(what, "Write the window out: OVER (PARTITION BY …).");
        };
        if !spec.order_by.is_empty() || spec.window_frame.is_some() {
            let what = format!("{name} OVER (ORDER BY …)");
            return refuse(what, "For a running value, define a cumulative metric.");
        }
        if !matches!(clause, Clause::Projection | Clause::Having | Clause::OrderBy) {
            let what = format!("{name} OVER in {}", clause.name());
            return refuse(what, "Write it in the select list.");
        }
        let mut keys = spec.partition_by;
        for key in &mut keys {
            self.resolve(key, scope, Clause::GroupBy)?;
        }
        Ok(keys)
    }

    /// What is in the arguments of an aggregate call; of a single one also whether it is a metric
    /// and nothing else.
    fn resolve_arguments(
        &mut self,
        call: &mut Expr,
        scope: &Scope<'_>,
    ) -> Result<Found, BindError> {
        let mut found: Option<Found> = None;
        for child in children_mut(call).unwrap_or_default() {
            let of_child = self.resolve(child, scope, Clause::Aggregate)?;
            match &mut found {
                None => found = Some(of_child),
                Some(found) => found.absorb(of_child),
            }
        }
        Ok(found.unwrap_or_default())
    }

    fn resolve_aggregate(
        &mut self,
        function: &mut Function,
        name: &str,
        scope: &Scope<'_>,
        clause: Clause,
        position: Option<usize>,
    ) -> Result<(Found, Option<Expr>), BindError> {
        if !clause.takes_aggregates() {
            return Err(BindError::AggregateNotAllowed { clause: clause.name(), position });
        }
        let filter = function.filter.take();
        let mut call = Expr::Function(function.clone());
        let inner = self.resolve_arguments(&mut call, scope)?;
        let filter = match filter {
            Some(mut filter) => {
                self.resolve(&mut filter, scope, Clause::Filter)?;
                Some(filter)
            }
            None => None,
        };
        let mut found = Found { aggregate: true, ..Found::default() };
        let Some(mut measures) = inner.measures else {
            if let Expr::Function(resolved) = &mut call {
                resolved.filter = filter;
            }
            return Ok((found, Some(call)));
        };
        let Expr::Function(resolved) = call else {
            return Err(BindError::Internal("a call became something else".to_owned()));
        };
        let distinct = is_distinct(&resolved);
        let argument = arguments(&resolved).into_iter().next();
        let argument =
            argument.ok_or_else(|| BindError::Internal("a call lost its argument".to_owned()))?;
        measures.direct = is_pending(&argument);
        let call = Call { function: name, distinct, position };
        let (value, measures) = match conditional(&argument) {
            Some(conditional) => {
                let direct = MeasureUse { direct: true, ..measures };
                aggregate::check(
                    self.model,
                    self.settings.strict || conditional.or_zero,
                    call,
                    &direct,
                )?;
                (conditional.into_filtered(), direct)
            }
            None => {
                // Columns in it are of the group, so they are keys only where they are written as such.
                aggregate::check(self.model, self.settings.strict, call, &measures)?;
                (argument, measures)
            }
        };
        found.measures = Some(measures);
        let value = match filter {
            None => value,
            Some(filter) => filtered(value, filter, position)?,
        };
        Ok((found, Some(value)))
    }

    fn resolve_window(
        &mut self,
        function: &mut Function,
        name: &str,
        scope: &Scope<'_>,
        clause: Clause,
        position: Option<usize>,
    ) -> Result<(Found, Option<Expr>), BindError> {
        if !matches!(clause, Clause::Projection | Clause::OrderBy) {
            let what = format!("a window function in {}", clause.name());
            return Err(BindError::NotSupported { what, hint: None, position });
        }
        if !registry().window.contains_key(name) && !registry().aggregate.contains_key(name) {
            return Err(BindError::UnknownFunction { name: name.to_owned(), near: None, position });
        }
        let mut found = Found::default();
        for mut argument in arguments(function) {
            let of_argument = self.resolve(&mut argument, scope, clause)?;
            if let Some(used) = &of_argument.measures {
                let call = Call { function: name, distinct: false, position };
                aggregate::check_window(self.model, call, used)?;
            }
        }
        let mut call = Expr::Function(function.clone());
        found.absorb(self.resolve_children(&mut call, scope, clause)?);
        found.window = true;
        Ok((found, Some(call)))
    }
}

/// What to write for `revenue@2`, as definitions name a version.
fn major_of(metric: &Expr, major: &Expr) -> Option<String> {
    let Expr::Identifier(metric) = metric else { return None };
    let Expr::Value(ValueWithSpan { value: Value::Number(major, _), .. }) = major else {
        return None;
    };
    Some(format!("Another major version has a column of its own: write {}_v{major}.", metric.value))
}

/// What a session's function gives, as if it were written.
fn constant(fact: &Fact) -> Expr {
    let (value, data_type) = match fact {
        Fact::Text(text) => (Value::SingleQuotedString(text.clone()), DataType::Text),
        Fact::Number(number) => (Value::Number(number.to_string(), false), DataType::Int4(None)),
    };
    let (kind, expr) = (CastKind::DoubleColon, Box::new(Expr::value(value)));
    Expr::Cast { kind, expr, data_type, array: false, format: None }
}

/// A string written in another way is the same string.
fn plain_string(value: &mut Value) {
    if let Value::UnicodeStringLiteral(text) | Value::EscapedStringLiteral(text) = value {
        *value = Value::SingleQuotedString(std::mem::take(text));
    }
}

/// Forms that the parser gives as calls and the planner knows itself.
fn is_special_form(name: &str) -> bool {
    matches!(
        name,
        "coalesce" | "greatest" | "least" | "nullif" | "row" | "struct" | "array" | "unnest"
    )
}

fn is_distinct(function: &Function) -> bool {
    matches!(&function.args, FunctionArguments::List(list)
        if list.duplicate_treatment == Some(DuplicateTreatment::Distinct))
}
