//! SQL expressions of the definitions: parsed, names resolved, compiled.

mod parse;

use std::collections::HashMap;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Cast, Expr, Volatility};
use datafusion::sql::sqlparser::ast::{
    self, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Spanned, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::tokenizer::Span;

use self::parse::{DEPTH_MAX, lower_first, parse, parse_over_metrics, parse_over_windows};
use super::near;
use super::types::{self, Family};
use crate::functions;

pub(crate) use self::parse::Fault;

/// Operators in a row, each of which is a level of the tree: planning one takes stack for each.
const CHAIN_MAX: usize = 256;

/// A name that an expression may use.
#[derive(Debug, Clone)]
pub(crate) struct Name {
    pub(crate) data_type: DataType,
    /// Over source columns, following the rule at [`Entity`](super::Entity).
    pub(crate) expr: Expr,
}

/// What a name turned out to be.
pub(crate) enum Resolved {
    Name(Box<Name>),
    /// Something with a fault of its own, reported elsewhere.
    Broken,
    Fault {
        code: &'static str,
        message: String,
        label: String,
        help: Option<String>,
    },
}

/// The names of an expression's surroundings.
pub(crate) trait Scope {
    /// `parts` are lower-cased already where they weren't quoted.
    fn resolve(&self, parts: &[String]) -> Resolved;
}

/// A compiled expression.
#[derive(Debug, Clone)]
pub(crate) struct Compiled {
    pub(crate) expr: Expr,
    /// One of the canonical types.
    pub(crate) data_type: DataType,
}

/// Why there is nothing compiled; empty where the cause is reported elsewhere.
pub(crate) type Faults = Vec<Fault>;

/// Parses and compiles an expression over the names of a scope.
pub(crate) fn compile(text: &str, scope: &dyn Scope) -> Result<Compiled, Faults> {
    let ast = parse(text).map_err(|fault| vec![fault])?;
    compile_ast(text, ast, scope)
}

/// As [`compile`], of an expression over metrics: `revenue@1` is a name, and `/` of whole numbers
/// doesn't drop the fraction. The names stay columns.
pub(crate) fn compile_over_metrics(
    text: &str,
    scope: &dyn Scope,
) -> Result<(Compiled, ast::Expr), Faults> {
    let ast = parse_over_metrics(text).map_err(|fault| vec![fault])?;
    let mut named = resolve_names(text, ast.clone(), scope)?;
    named.divide_exactly();
    let compiled = named.compile()?;
    Ok((named.substituted(compiled)?, ast))
}

/// The tree of an expression over rows; None where it doesn't parse.
pub(crate) fn parsed(text: &str) -> Option<ast::Expr> {
    parse(text).ok()
}

/// As [`parsed`], of an expression over metrics.
pub(crate) fn parsed_over_metrics(text: &str) -> Option<ast::Expr> {
    parse_over_metrics(text).ok()
}

/// The names in an expression, parts joined by dots, each once.
pub(crate) fn names(ast: &ast::Expr) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let _ = ast::visit_expressions(ast, |expr| {
        match expr {
            ast::Expr::Identifier(ident) => {
                names.insert(fold(ident));
            }
            ast::Expr::CompoundIdentifier(idents) => {
                names.insert(idents.iter().map(fold).collect::<Vec<_>>().join("."));
            }
            _ => {}
        }
        ControlFlow::<()>::Continue(())
    });
    names
}

/// As [`compile`], where `revenue@1` and `revenue@1 over 365 days` are names: see
/// [`windowed_metric`].
pub(crate) fn compile_over_windows(text: &str, scope: &dyn Scope) -> Result<Compiled, Faults> {
    let ast = parse_over_windows(text).map_err(|fault| vec![fault])?;
    compile_ast(text, ast, scope)
}

/// The metric of a name as [`compile_over_windows`] reads it, its major version, and what follows
/// `over`.
pub(crate) fn windowed_metric(name: &str) -> Option<(&str, u64, Option<&str>)> {
    let (pinned, window) = match name.split_once(parse::OVER) {
        Some((pinned, window)) => (pinned, Some(window)),
        None => (name, None),
    };
    let (metric, major) = pinned.split_once('@')?;
    Some((metric, major.parse().ok()?, window))
}

fn compile_ast(text: &str, ast: ast::Expr, scope: &dyn Scope) -> Result<Compiled, Faults> {
    let named = resolve_names(text, ast, scope)?;
    let compiled = named.compile()?;
    named.substituted(compiled)
}

/// An expression whose names are known, each replaced by one quoted identifier.
struct Named<'a> {
    text: &'a str,
    ast: ast::Expr,
    names: BTreeMap<String, Name>,
    schema: DFSchema,
}

fn resolve_names<'a>(
    text: &'a str,
    mut ast: ast::Expr,
    scope: &dyn Scope,
) -> Result<Named<'a>, Faults> {
    let mut resolver = Resolver {
        depth: 0,
        text,
        scope,
        names: BTreeMap::new(),
        faults: Vec::new(),
        broken: false,
    };
    if let ControlFlow::Break(fault) = ast.visit(&mut resolver) {
        return Err(vec![*fault]);
    }
    if resolver.broken || !resolver.faults.is_empty() {
        return Err(resolver.faults);
    }
    let fields: Vec<Field> = resolver
        .names
        .iter()
        .map(|(name, found)| Field::new(name, found.data_type.clone(), true))
        .collect();
    let schema = DFSchema::from_unqualified_fields(
        fields.into_iter().map(Arc::new).collect(),
        HashMap::new(),
    )
    .or_else(|_| DFSchema::try_from(Schema::empty()))
    .map_err(|error| vec![of_datafusion(&error)])?;
    Ok(Named { text, ast, names: resolver.names, schema })
}

/// Resolves names, and refuses what an expression over rows can't have.
struct Resolver<'a> {
    /// Expressions around the current one.
    depth: usize,
    text: &'a str,
    scope: &'a dyn Scope,
    names: BTreeMap<String, Name>,
    faults: Faults,
    broken: bool,
}

impl VisitorMut for Resolver<'_> {
    type Break = Box<Fault>;

    /// Stops here: the names inside a subquery aren't ours to judge.
    fn pre_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<Self::Break> {
        let fault = Fault::new("subquery", "an expression can't contain a subquery", "a subquery")
            .help("Use attributes, and dimensions of related entities such as customer.country.")
            .at(self.text, query.span());
        ControlFlow::Break(Box::new(fault))
    }

    fn post_visit_expr(&mut self, _: &mut ast::Expr) -> ControlFlow<Self::Break> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut ast::Expr) -> ControlFlow<Self::Break> {
        self.depth += 1;
        if self.depth > CHAIN_MAX {
            let message = format!("an expression has more than {CHAIN_MAX} operators in a row");
            let fault = Fault::new("too_large", message, "too long")
                .help("Compare with a list: status in ('a', 'b', …).");
            return ControlFlow::Break(Box::new(fault));
        }
        match expr {
            ast::Expr::Identifier(ident) => {
                let (parts, span) = ([fold(ident)], ident.span);
                self.name(&parts, span, expr);
            }
            ast::Expr::CompoundIdentifier(idents) => {
                let parts: Vec<String> = idents.iter().map(fold).collect();
                let span = expr.span();
                self.name(&parts, span, expr);
            }
            ast::Expr::Function(function) => self.function(function),
            ast::Expr::Value(value) if matches!(value.value, ast::Value::Placeholder(_)) => {
                let message = format!("there is no parameter {}", value.value);
                self.faults.push(
                    Fault::new("syntax_error", message, "a parameter").at(self.text, value.span),
                );
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// A name as it is looked up: in lower case, where it isn't quoted.
pub(crate) fn fold(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    }
}

impl Resolver<'_> {
    fn name(&mut self, parts: &[String], span: Span, expr: &mut ast::Expr) {
        let written = parts.join(".");
        match self.scope.resolve(parts) {
            Resolved::Name(name) => {
                let ident = Ident { value: written.clone(), quote_style: Some('"'), span };
                *expr = ast::Expr::Identifier(ident);
                self.names.insert(written, *name);
            }
            Resolved::Broken => self.broken = true,
            Resolved::Fault { code, message, label, help } => {
                let fault = Fault { help, ..Fault::new(code, message, label) };
                self.faults.push(fault.at(self.text, span));
            }
        }
    }

    fn function(&mut self, function: &ast::Function) {
        let span = function.name.span();
        let name = function.name.to_string().to_lowercase();
        let registry = functions::registry();
        let fault = if function.over.is_some()
            || registry.window.contains_key(&name)
                && !registry.scalar.contains_key(&name)
                && !registry.aggregate.contains_key(&name)
        {
            Fault::new(
                "aggregate_in_expression",
                format!("window function {name} can't be used in an expression over rows"),
                "a window function",
            )
        } else if let Some(udf) = registry.scalar.get(&name) {
            if udf.signature().volatility == Volatility::Immutable {
                return;
            }
            let message = format!("function {name} doesn't give the same answer each time");
            Fault::new("unstable_function", message, "depends on more than the row")
                .help("Filter by metric_time in the query instead.")
        } else if registry.aggregate.contains_key(&name) {
            let message =
                format!("aggregate function {name} can't be used in an expression over rows");
            Fault::new("aggregate_in_expression", message, "an aggregate")
                .help("The metric's type is the aggregate: give the expression of one row.")
        } else {
            let known = registry.scalar.keys().map(String::as_str);
            let help = near::nearest(&name, known).map(|near| format!("Did you mean {near}?"));
            let message = format!("function {name} does not exist");
            Fault { help, ..Fault::new("unknown_function", message, "no such function") }
        };
        self.faults.push(fault.at(self.text, span));
    }
}

impl Named<'_> {
    fn compile(&self) -> Result<Compiled, Faults> {
        if let Some(fault) = self.incomparable(&self.ast, 0) {
            return Err(vec![fault]);
        }
        let (expr, data_type) = functions::compile(self.ast.clone(), &self.schema)
            .map_err(|_| vec![self.located(&self.ast, 0)])?;
        match types::canonical(&data_type) {
            Some(canonical) if canonical == data_type => Ok(Compiled { expr, data_type }),
            Some(canonical) => Ok(Compiled { expr: cast(expr, &canonical), data_type: canonical }),
            None if data_type == DataType::Null => Ok(Compiled { expr, data_type }),
            None => {
                let message = format!("an expression can't have type {}", types::shown(&data_type));
                let fault = Fault::new("wrong_type", message, types::shown(&data_type))
                    .help("Make it a number, text, a time or a truth value.");
                Err(vec![fault])
            }
        }
    }

    /// Each name replaced by what it stands for.
    fn substituted(&self, compiled: Compiled) -> Result<Compiled, Faults> {
        let expr = compiled.expr.transform(|expr| match &expr {
            Expr::Column(column) => match self.names.get(&column.name) {
                Some(name) => Ok(Transformed::yes(name.expr.clone())),
                None => Ok(Transformed::no(expr)),
            },
            _ => Ok(Transformed::no(expr)),
        });
        match expr {
            Ok(expr) => Ok(Compiled { expr: expr.data, data_type: compiled.data_type }),
            Err(error) => Err(vec![of_datafusion(&error)]),
        }
    }

    fn type_of(&self, ast: &ast::Expr) -> Option<DataType> {
        functions::compile(ast.clone(), &self.schema).ok().map(|(_, data_type)| data_type)
    }

    /// Whole numbers divided in a derived metric become floats first: 1 of 2 orders is 0.5.
    fn divide_exactly(&mut self) {
        let ast = self.ast.clone();
        let mut divider = Divider { named: self };
        let mut divided = ast;
        let ControlFlow::Continue(()) = divided.visit(&mut divider) else { return };
        self.ast = divided;
    }

    /// Comparisons that coercion would allow and that are mistakes: of text with a number, say.
    fn incomparable(&self, ast: &ast::Expr, depth: usize) -> Option<Fault> {
        if depth > 2 * DEPTH_MAX {
            return None;
        }
        let pairs: Vec<(&ast::Expr, &ast::Expr)> = match ast {
            ast::Expr::BinaryOp { left, op, right } if is_comparison(op) => vec![(left, right)],
            ast::Expr::InList { expr, list, .. } => {
                list.iter().map(|item| (expr.as_ref(), item)).collect()
            }
            ast::Expr::Between { expr, low, high, .. } => vec![(expr, low), (expr, high)],
            _ => Vec::new(),
        };
        for (left, right) in pairs {
            let (Some(left_type), Some(right_type)) = (self.leaf(left), self.leaf(right)) else {
                continue;
            };
            let (a, b) = (types::family(&left_type), types::family(&right_type));
            if a != b && a != Family::Other && b != Family::Other {
                let message = format!(
                    "{} can't be compared with {}",
                    types::shown(&left_type),
                    types::shown(&right_type)
                );
                return Some(
                    Fault::new("wrong_type", message, "different types")
                        .help(comparison_help(right, a))
                        .at(self.text, ast.span()),
                );
            }
        }
        children(ast).into_iter().find_map(|child| self.incomparable(child, depth + 1))
    }

    /// The type of a name or of a literal that has one; text literals take the other side's.
    fn leaf(&self, ast: &ast::Expr) -> Option<DataType> {
        match ast {
            ast::Expr::Nested(inner) => self.leaf(inner),
            ast::Expr::Identifier(ident) => {
                self.names.get(&ident.value).map(|name| name.data_type.clone())
            }
            ast::Expr::Value(value) => match &value.value {
                ast::Value::Number(..) => Some(DataType::Int32),
                ast::Value::Boolean(_) => Some(DataType::Boolean),
                _ => None,
            },
            _ => None,
        }
    }

    /// The smallest part that doesn't compile by itself though its own parts do.
    fn located(&self, ast: &ast::Expr, depth: usize) -> Fault {
        if depth < DEPTH_MAX {
            for child in children(ast) {
                if self.type_of(child).is_none() {
                    return self.located(child, depth + 1);
                }
            }
        }
        let shown = |ast: &ast::Expr| {
            self.type_of(ast).map_or("unknown".to_owned(), |data_type| types::shown(&data_type))
        };
        let fault = match ast {
            ast::Expr::BinaryOp { left, op, right } => {
                let operands = format!("{} {op} {}", shown(left), shown(right));
                Fault::new("wrong_type", format!("operator does not exist: {operands}"), operands)
                    .help("Cast one side to the other's type.")
            }
            ast::Expr::Function(function) => {
                let name = function.name.to_string().to_lowercase();
                let types: Vec<String> = children(ast).into_iter().map(shown).collect();
                let call = format!("{name}({})", types.join(", "));
                Fault::new("wrong_type", format!("function {call} does not exist"), call)
                    .help("The function exists, but not for arguments of these types.")
            }
            _ => match functions::compile(ast.clone(), &self.schema) {
                Err(error) => of_datafusion(&error),
                Ok(_) => Fault::new("wrong_type", "the expression can't be compiled", "here"),
            },
        };
        fault.at(self.text, ast.span())
    }
}

struct Divider<'a, 'b> {
    named: &'a Named<'b>,
}

impl VisitorMut for Divider<'_, '_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut ast::Expr) -> ControlFlow<()> {
        if let ast::Expr::BinaryOp { left, op: ast::BinaryOperator::Divide, right } = expr {
            let whole = |side: &ast::Expr| {
                self.named.type_of(side).is_some_and(|data_type| data_type.is_integer())
            };
            if whole(left) && whole(right) {
                **left = as_double(std::mem::replace(left, nothing()));
                **right = as_double(std::mem::replace(right, nothing()));
            }
        }
        ControlFlow::Continue(())
    }
}

fn nothing() -> ast::Expr {
    ast::Expr::Value(ast::Value::Null.into())
}

fn as_double(expr: ast::Expr) -> ast::Expr {
    ast::Expr::Cast {
        kind: ast::CastKind::Cast,
        expr: Box::new(expr),
        data_type: ast::DataType::DoublePrecision,
        array: false,
        format: None,
    }
}

fn comparison_help(right: &ast::Expr, left: Family) -> String {
    match (right, left) {
        (ast::Expr::Value(value), Family::Text) => format!("Write '{}' in quotes.", value.value),
        (ast::Expr::Value(_), Family::Boolean) => "Write true or false.".to_owned(),
        _ => "Cast one side to the other's type.".to_owned(),
    }
}

fn is_comparison(op: &ast::BinaryOperator) -> bool {
    use ast::BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq)
}

/// The parts of an expression that are expressions.
fn children(ast: &ast::Expr) -> Vec<&ast::Expr> {
    match ast {
        ast::Expr::BinaryOp { left, right, .. } => vec![left, right],
        ast::Expr::UnaryOp { expr, .. }
        | ast::Expr::Nested(expr)
        | ast::Expr::Cast { expr, .. }
        | ast::Expr::IsNull(expr)
        | ast::Expr::IsNotNull(expr)
        | ast::Expr::IsTrue(expr)
        | ast::Expr::IsNotTrue(expr)
        | ast::Expr::IsFalse(expr)
        | ast::Expr::IsNotFalse(expr)
        | ast::Expr::Extract { expr, .. } => vec![expr],
        ast::Expr::IsDistinctFrom(left, right) | ast::Expr::IsNotDistinctFrom(left, right) => {
            vec![left, right]
        }
        ast::Expr::AtTimeZone { timestamp, time_zone } => vec![timestamp, time_zone],
        ast::Expr::Between { expr, low, high, .. } => vec![expr, low, high],
        ast::Expr::InList { expr, list, .. } => {
            std::iter::once(expr.as_ref()).chain(list).collect()
        }
        ast::Expr::Like { expr, pattern, .. }
        | ast::Expr::ILike { expr, pattern, .. }
        | ast::Expr::SimilarTo { expr, pattern, .. } => vec![expr, pattern],
        ast::Expr::Case { operand, conditions, else_result, .. } => operand
            .iter()
            .map(AsRef::as_ref)
            .chain(conditions.iter().flat_map(|when| [&when.condition, &when.result]))
            .chain(else_result.iter().map(AsRef::as_ref))
            .collect(),
        ast::Expr::Function(function) => match &function.args {
            FunctionArguments::List(list) => list.args.iter().filter_map(argument).collect(),
            FunctionArguments::None | FunctionArguments::Subquery(_) => Vec::new(),
        },
        _ => Vec::new(),
    }
}

fn argument(argument: &FunctionArg) -> Option<&ast::Expr> {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))
        | FunctionArg::Named { arg: FunctionArgExpr::Expr(expr), .. }
        | FunctionArg::ExprNamed { arg: FunctionArgExpr::Expr(expr), .. } => Some(expr),
        _ => None,
    }
}

fn of_datafusion(error: &DataFusionError) -> Fault {
    let text = error.strip_backtrace();
    let fact = ["Error during planning: ", "SQL error: ", "type_coercion\ncaused by\n"]
        .iter()
        .fold(text.as_str(), |text, prefix| text.strip_prefix(prefix).unwrap_or(text));
    let fact = fact.lines().next().unwrap_or(fact).trim_end_matches('.');
    Fault::new("wrong_type", lower_first(fact), "here")
}

/// A cast, where the type isn't the wanted one already.
pub(crate) fn cast(expr: Expr, data_type: &DataType) -> Expr {
    Expr::Cast(Cast::new(Box::new(expr), data_type.clone()))
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::col;

    use super::*;

    /// Names of one letter and a type: `n` bigint, `i` integer, `d` decimal, `f` double, `t` text, `b`
    /// boolean, `m@1` bigint.
    struct Letters;

    impl Scope for Letters {
        fn resolve(&self, parts: &[String]) -> Resolved {
            let data_type = match parts.join(".").as_str() {
                "n" | "m@1" | "a.n" => DataType::Int64,
                "i" => DataType::Int32,
                "d" => DataType::Decimal128(18, 2),
                "f" => DataType::Float64,
                "t" => DataType::Utf8,
                "b" => DataType::Boolean,
                "x" => return Resolved::Broken,
                _ => {
                    return Resolved::Fault {
                        code: "unknown_column",
                        message: String::new(),
                        label: String::new(),
                        help: None,
                    };
                }
            };
            Resolved::Name(Box::new(Name { data_type, expr: col("source") }))
        }
    }

    fn type_of(text: &str) -> DataType {
        compile(text, &Letters).unwrap().data_type
    }

    /// The code and the part of the text that a fault points to.
    fn fault(text: &str) -> (&'static str, String) {
        let fault = compile(text, &Letters).unwrap_err().remove(0);
        let chars: Vec<char> = text.chars().collect();
        let range = fault.chars.unwrap_or(0..chars.len());
        (fault.code, chars[range].iter().collect())
    }

    #[test]
    fn types_of_expressions() {
        assert_eq!(type_of("n + i"), DataType::Int64);
        assert_eq!(type_of("d * 0.5"), DataType::Decimal128(20, 3));
        assert_eq!(type_of("t = 'a' and not b"), DataType::Boolean);
        assert_eq!(type_of("a.n"), DataType::Int64);
        assert_eq!(type_of("upper(t) || 'x'"), DataType::Utf8);
        assert_eq!(type_of("coalesce(f, n)"), DataType::Float64);
        assert_eq!(type_of("case when b then 1 end"), DataType::Int64);
    }

    #[test]
    fn names_become_their_expressions() {
        let compiled = compile("n", &Letters).unwrap();
        assert_eq!(compiled.expr, col("source"));
    }

    #[test]
    fn faults_point_to_their_part() {
        let at = |code, part: &str| (code, part.to_owned());
        assert_eq!(fault("n + wrong"), at("unknown_column", "wrong"));
        assert_eq!(fault("'ü' = t and\n  t + n > 1"), at("wrong_type", "t + n"));
        assert_eq!(fault("n + nofunc(n)"), at("unknown_function", "nofunc"));
        assert_eq!(fault("n +\n count(*)"), at("aggregate_in_expression", "count"));
        assert_eq!(fault("n > (select 1)").0, "subquery");
        assert_eq!(fault("exists (select 1)").0, "subquery");
        assert_eq!(fault("n in (select 1)").0, "subquery");
        assert_eq!(fault("random()"), at("unstable_function", "random"));
        assert_eq!(fault("n > $1"), at("syntax_error", "$1"));
        assert_eq!(fault("n = 't' or t = 1"), at("wrong_type", "t = 1"));
        assert_eq!(fault("n; drop table x"), at("syntax_error", ";"));
        assert_eq!(fault("n m@1").0, "syntax_error");
        assert_eq!(fault("  ").0, "empty_value");
    }

    #[test]
    fn broken_names_are_silent() {
        assert_eq!(compile("x + 1", &Letters).unwrap_err(), []);
    }

    #[test]
    fn long_and_deep_expressions_are_refused() {
        let thread = std::thread::Builder::new().stack_size(functions::STACK_BYTES);
        thread.spawn(refuse_long_and_deep_expressions).unwrap().join().unwrap();
    }

    fn refuse_long_and_deep_expressions() {
        assert_eq!(fault(&"(".repeat(1_000)).0, "too_large");
        assert_eq!(fault(&"n+".repeat(20_000)).0, "too_large");
        assert_eq!(fault(&format!("{}n", "n + ".repeat(4_000))).0, "too_large");
        assert_eq!(type_of(&format!("{}n", "n + ".repeat(CHAIN_MAX - 1))), DataType::Int64);
        let list = vec!["1"; 5_000].join(", ");
        assert_eq!(type_of(&format!("n in ({list})")), DataType::Boolean);
    }

    #[test]
    fn whole_metrics_divide_exactly() {
        let compile = |text| compile_over_metrics(text, &Letters).map(|(compiled, _)| compiled);
        assert_eq!(compile("m@1/m@1").unwrap().data_type, DataType::Float64);
        assert_eq!(compile("1 - (m@1 / 7)").unwrap().data_type, DataType::Float64);
        assert_eq!(compile("M@1-m@1").unwrap().data_type, DataType::Int64);
        assert_eq!(compile("m@2").unwrap_err()[0].chars, Some(0..3));
        // With a blank it is an operator between two things.
        assert_eq!(compile("m @1").unwrap_err()[0].code, "unknown_column");
    }
}
