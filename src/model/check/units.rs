//! Units through expressions: what is added has one unit, and a declared unit is what comes out.
//!
//! Where a part says no unit, nothing is claimed of what it is in: a sum of EUR and something is
//! neither EUR nor an error. Plain numbers take the unit of their neighbour.

use std::collections::HashMap;

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, FunctionArg, FunctionArgExpr, FunctionArguments, Spanned,
};

use super::Context;
use super::at::At;
use super::entity::{Draft as EntityDraft, Entities, Found, base_column};
use super::metric::{Draft, Metrics, Surroundings, Target};
use super::scope::EntityScope;
use crate::diagnostic::Finding;
use crate::model::MetricRef;
use crate::model::expr::{self, Fault};
use crate::model::raw::{RawMetricType, RawOutput, RawSide, RawVersion, Text};
use crate::model::units::{COUNT, Counting, Unit};

/// Levels of an expression, and metrics built on each other: more were refused before.
const DEPTH_MAX: usize = 300;

/// What is known of an expression's unit.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Claim {
    /// A plain number: of the unit that its neighbour has.
    Any,
    Unknown,
    Is(Unit),
}

/// Checks all units, and gives metrics that declare none the one that follows.
pub(super) fn check(
    context: &mut Context<'_>,
    surroundings: &Surroundings<'_, '_>,
    metrics: &Metrics<'_>,
) {
    let counting = counting(surroundings.entities, metrics);
    for draft in &surroundings.entities.drafts {
        attributes(context, draft, surroundings, &counting);
    }
    let known = HashMap::new();
    let mut walk = Walk { surroundings, metrics, counting, known };
    for (metric, draft) in metrics.drafts.iter().enumerate() {
        for version in 0..draft.raw.versions.len() {
            let claim = walk.version(context, metric, version, 0);
            let mut checked = draft.versions.borrow_mut();
            if let (Claim::Is(unit), Some(Some(checked))) = (claim, checked.get_mut(version))
                && checked.unit.is_none()
            {
                Arc::make_mut(checked).unit = Some(unit.to_string());
            }
        }
    }
}

fn counts(metric_type: RawMetricType) -> bool {
    matches!(metric_type, RawMetricType::Count | RawMetricType::CountDistinct)
}

/// The unit that a version declares, and where.
fn declared<'t, 'a>(draft: &'t Draft<'a>, index: usize) -> Option<(&'t Text, At<'a>)> {
    let own = draft.raw.versions[index].unit.as_ref();
    let of_version = || draft.at.key("versions").item(index).key("unit");
    own.map(|unit| (unit, of_version()))
        .or_else(|| draft.raw.unit.as_ref().map(|unit| (unit, draft.at.key("unit"))))
}

/// Which names of units count, by the metrics that declare them.
fn counting(entities: &Entities<'_>, metrics: &Metrics<'_>) -> Counting {
    let names = |text: &str| -> Vec<String> {
        let unit = Unit::parse(text).unwrap_or_default();
        unit.names().map(str::to_owned).collect()
    };
    let mut counting = Counting::default();
    for attribute in entities.drafts.iter().flat_map(|draft| &draft.raw.attributes) {
        counting.measured.extend(attribute.unit.iter().flat_map(|unit| names(unit)));
    }
    for draft in &metrics.drafts {
        for (index, raw) in draft.raw.versions.iter().enumerate() {
            let Some((unit, _)) = declared(draft, index) else { continue };
            match raw.metric_type {
                metric_type if counts(metric_type) => counting.counted.extend(names(unit)),
                // Of a quotient, what is below the line may be a count.
                RawMetricType::Ratio | RawMetricType::Derived => {}
                _ => counting.measured.extend(names(unit)),
            }
        }
    }
    counting
}

/// The written unit; a finding where it isn't one.
fn read(context: &mut Context<'_>, text: &Text, at: At<'_>) -> Option<Unit> {
    let unit = Unit::parse(text);
    if unit.is_none() {
        let finding = Finding::error("bad_unit", format!("\"{text}\" is not a unit"))
            .at(at.place("not a unit"))
            .help("Write a name such as EUR, or a product such as \"EUR per count\".");
        context.push(finding);
    }
    unit
}

/// Refuses a declared unit that isn't the computed one.
fn compare(
    context: &mut Context<'_>,
    what: &str,
    (declared, at): (&Unit, At<'_>),
    computed: &Claim,
    counting: &Counting,
) {
    let Claim::Is(computed) = computed else { return };
    if counting.allows(declared, computed) {
        return;
    }
    let message = format!("{what} is in {computed}, not {declared}");
    let finding = Finding::error("unit_mismatch", message)
        .at(at.place(format!("computed: {computed}")))
        .help(format!("Write \"{computed}\", or correct the units that it is computed from."));
    context.push(finding);
}

// ---- attributes ----

fn attributes(
    context: &mut Context<'_>,
    draft: &EntityDraft<'_>,
    surroundings: &Surroundings<'_, '_>,
    counting: &Counting,
) {
    let Some(scope) = surroundings.scopes.get(draft.entity.name.as_str()) else { return };
    for (index, raw) in draft.raw.attributes.iter().enumerate() {
        let at = draft.at.key("attributes").item(index);
        let unit = raw.unit.as_ref().and_then(|unit| read(context, unit, at.key("unit")));
        let Some(text) = &raw.expression else { continue };
        let rows = Rows { scope, depth: 0 };
        let computed = over_rows(context, text, at.key("expression"), &rows, counting);
        if let Some(unit) = unit {
            let what = format!("attribute \"{}\"", raw.name);
            compare(context, &what, (&unit, at.key("unit")), &computed, counting);
        }
    }
}

/// The names of an expression over rows.
struct Rows<'s, 'e, 'a> {
    scope: &'s EntityScope<'e, 'a>,
    /// Attributes around this one.
    depth: usize,
}

/// Attributes that are expressions over each other: deeper ones claim nothing.
const ATTRIBUTES_DEPTH_MAX: usize = 8;

impl Rows<'_, '_, '_> {
    fn claim(&self, parts: &[String], counting: &Counting) -> Claim {
        let draft = self.scope.draft;
        let entity = &draft.entity;
        let own = match parts {
            [name] => Some(name),
            [of, name] if *of == entity.name => Some(name),
            _ => None,
        };
        let Some(name) = own else {
            let dimension = self.scope.dimension(&parts.join("."));
            return of_text(dimension.and_then(|dimension| dimension.unit.as_deref()));
        };
        if let Some(raw) = draft.raw.attributes.iter().find(|raw| *raw.name == **name) {
            return match (&raw.unit, &raw.expression) {
                (Some(unit), _) => of_text(Some(unit)),
                (None, Some(text)) if self.depth < ATTRIBUTES_DEPTH_MAX => {
                    let rows = Rows { scope: self.scope, depth: self.depth + 1 };
                    // What is wrong in there is reported there.
                    let Some(ast) = expr::parsed(text) else { return Claim::Unknown };
                    let names = |parts: &[String]| rows.claim(parts, counting);
                    Computation { names: &names, counting, faults: Vec::new(), text }.claim(&ast, 0)
                }
                _ => Claim::Unknown,
            };
        }
        let column = base_column(name);
        let shown = entity.attributes.iter().find(|attribute| attribute.expr == column);
        let of_column = shown.and_then(|attribute| attribute.unit.as_deref());
        let dimension = || self.scope.dimension(name).and_then(|it| it.unit.as_deref());
        of_text(of_column.or_else(dimension))
    }
}

fn of_text(text: Option<&str>) -> Claim {
    text.and_then(Unit::parse).map_or(Claim::Unknown, Claim::Is)
}

fn over_rows(
    context: &mut Context<'_>,
    text: &str,
    at: At<'_>,
    rows: &Rows<'_, '_, '_>,
    counting: &Counting,
) -> Claim {
    let Some(ast) = expr::parsed(text) else { return Claim::Unknown };
    let names = |parts: &[String]| rows.claim(parts, counting);
    let mut computation = Computation { names: &names, counting, faults: Vec::new(), text };
    let claim = computation.claim(&ast, 0);
    context.faults(at, computation.faults);
    claim
}

// ---- metrics ----

struct Walk<'w, 'e, 'a> {
    surroundings: &'w Surroundings<'e, 'a>,
    metrics: &'w Metrics<'a>,
    counting: Counting,
    /// By metric and version.
    known: HashMap<(usize, usize), Claim>,
}

impl Walk<'_, '_, '_> {
    fn version(
        &mut self,
        context: &mut Context<'_>,
        metric: usize,
        version: usize,
        depth: usize,
    ) -> Claim {
        if let Some(known) = self.known.get(&(metric, version)) {
            return known.clone();
        }
        // A cycle has been reported; here it claims nothing.
        self.known.insert((metric, version), Claim::Unknown);
        if depth > DEPTH_MAX {
            return Claim::Unknown;
        }
        let draft = &self.metrics.drafts[metric];
        let raw = &draft.raw.versions[version];
        let at = draft.at.key("versions").item(version);
        let computed = self.computed(context, raw, at, depth);
        let claim = match declared(draft, version) {
            Some((text, at)) => {
                let unit = read(context, text, at);
                if let Some(unit) = unit.as_ref().filter(|_| !counts(raw.metric_type)) {
                    let what = format!("metric \"{}\"", draft.raw.metric);
                    compare(context, &what, (unit, at), &computed, &self.counting);
                }
                unit.map_or(Claim::Unknown, Claim::Is)
            }
            None => computed,
        };
        self.known.insert((metric, version), claim.clone());
        claim
    }

    fn computed(
        &mut self,
        context: &mut Context<'_>,
        raw: &RawVersion,
        at: At<'_>,
        depth: usize,
    ) -> Claim {
        match raw.metric_type {
            RawMetricType::Count | RawMetricType::CountDistinct => {
                self.aggregated(context, raw, at);
                Claim::Is(Unit::named(COUNT))
            }
            RawMetricType::Sum
            | RawMetricType::Avg
            | RawMetricType::Min
            | RawMetricType::Max
            | RawMetricType::Quantile
            | RawMetricType::WeightedAvg
            | RawMetricType::Snapshot => self.aggregated(context, raw, at),
            RawMetricType::Ratio => {
                let numerator = self.side(context, raw.numerator.as_ref(), depth);
                let denominator = self.side(context, raw.denominator.as_ref(), depth);
                quotient(numerator, denominator)
            }
            RawMetricType::Derived => self.derived(context, raw, at, depth),
            RawMetricType::Cumulative | RawMetricType::Offset => {
                self.reference(context, raw.metric.as_deref(), depth)
            }
            RawMetricType::Conversion => match raw.output {
                Some(RawOutput::Count) => Claim::Is(Unit::named(COUNT)),
                _ => Claim::Is(Unit::dimensionless()),
            },
            RawMetricType::Retention => Claim::Is(Unit::dimensionless()),
            RawMetricType::Funnel => Claim::Unknown,
        }
    }

    fn aggregated(&self, context: &mut Context<'_>, raw: &RawVersion, at: At<'_>) -> Claim {
        let (Some(entity), Some(text)) = (&raw.entity, &raw.expression) else {
            return Claim::Unknown;
        };
        let Found::Entity(_) = self.surroundings.entities.find(entity) else {
            return Claim::Unknown;
        };
        let Some(scope) = self.surroundings.scopes.get(&**entity) else { return Claim::Unknown };
        let rows = Rows { scope, depth: 0 };
        match over_rows(context, text, at.key("expression"), &rows, &self.counting) {
            // A sum of plain numbers counts something, but nobody says what.
            Claim::Any => Claim::Unknown,
            claim => claim,
        }
    }

    fn side(&mut self, context: &mut Context<'_>, side: Option<&RawSide>, depth: usize) -> Claim {
        let written = side.map(|side| match side {
            RawSide::Text(text) => text.as_ref(),
            RawSide::Map(side) => &*side.metric,
        });
        self.reference(context, written, depth)
    }

    fn reference(
        &mut self,
        context: &mut Context<'_>,
        written: Option<&str>,
        depth: usize,
    ) -> Claim {
        let reference = written.and_then(|written| {
            let (metric, major) = written.split_once('@')?;
            Some(MetricRef { metric: metric.to_owned(), major: major.parse().ok()? })
        });
        match reference.map(|reference| self.metrics.target(&reference)) {
            Some(Target::Version(metric, version)) => {
                self.version(context, metric, version, depth + 1)
            }
            _ => Claim::Unknown,
        }
    }

    fn derived(
        &mut self,
        context: &mut Context<'_>,
        raw: &RawVersion,
        at: At<'_>,
        depth: usize,
    ) -> Claim {
        let Some(text) = &raw.expression else { return Claim::Unknown };
        let Some(ast) = expr::parsed_over_metrics(text) else { return Claim::Unknown };
        let mut claims: HashMap<String, Claim> = HashMap::new();
        for name in expr::names(&ast) {
            let claim = self.reference(context, Some(&name), depth);
            claims.insert(name, claim);
        }
        let names =
            |parts: &[String]| claims.get(&parts.join(".")).cloned().unwrap_or(Claim::Unknown);
        let counting = &self.counting;
        let mut computation = Computation { names: &names, counting, faults: Vec::new(), text };
        let claim = computation.claim(&ast, 0);
        context.faults(at.key("expression"), computation.faults);
        claim
    }
}

// ---- expressions ----

fn product(left: Claim, right: Claim) -> Claim {
    match (left, right) {
        (Claim::Is(left), Claim::Is(right)) => Claim::Is(left.times(&right)),
        (Claim::Any, other) | (other, Claim::Any) => other,
        _ => Claim::Unknown,
    }
}

fn quotient(left: Claim, right: Claim) -> Claim {
    match (left, right) {
        (Claim::Is(left), Claim::Is(right)) => Claim::Is(left.over(&right)),
        (left, Claim::Any) => left,
        (Claim::Any, Claim::Is(right)) => Claim::Is(Unit::dimensionless().over(&right)),
        _ => Claim::Unknown,
    }
}

/// The unit of one expression.
struct Computation<'c> {
    names: &'c dyn Fn(&[String]) -> Claim,
    counting: &'c Counting,
    faults: Vec<Fault>,
    text: &'c str,
}

impl Computation<'_> {
    fn claim(&mut self, ast: &ast::Expr, depth: usize) -> Claim {
        if depth > DEPTH_MAX {
            return Claim::Unknown;
        }
        let depth = depth + 1;
        match ast {
            ast::Expr::Nested(inner)
            | ast::Expr::UnaryOp { expr: inner, .. }
            | ast::Expr::Cast { expr: inner, .. } => self.claim(inner, depth),
            ast::Expr::Value(value) => match value.value {
                ast::Value::Number(..) | ast::Value::Null => Claim::Any,
                _ => Claim::Unknown,
            },
            ast::Expr::Identifier(ident) => (self.names)(&[expr::fold(ident)]),
            ast::Expr::CompoundIdentifier(idents) => {
                (self.names)(&idents.iter().map(expr::fold).collect::<Vec<_>>())
            }
            ast::Expr::BinaryOp { left, op, right } => {
                let (left, right) = (self.claim(left, depth), self.claim(right, depth));
                match op {
                    BinaryOperator::Plus | BinaryOperator::Minus => {
                        self.alike(left, right, "be added", ast)
                    }
                    BinaryOperator::Multiply => product(left, right),
                    BinaryOperator::Divide => quotient(left, right),
                    BinaryOperator::Modulo => left,
                    _ => Claim::Unknown,
                }
            }
            ast::Expr::Case { conditions, else_result, .. } => {
                let results = conditions.iter().map(|when| &when.result);
                let results: Vec<&ast::Expr> =
                    results.chain(else_result.iter().map(AsRef::as_ref)).collect();
                self.all_alike(&results, ast, depth)
            }
            ast::Expr::Function(function) => self.function(function, ast, depth),
            ast::Expr::Floor { expr, .. } | ast::Expr::Ceil { expr, .. } => self.claim(expr, depth),
            _ => Claim::Unknown,
        }
    }

    fn function(&mut self, function: &ast::Function, ast: &ast::Expr, depth: usize) -> Claim {
        let FunctionArguments::List(list) = &function.args else { return Claim::Unknown };
        let argument = |argument: &'_ FunctionArg| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
            _ => None,
        };
        let args: Vec<ast::Expr> = list.args.iter().filter_map(argument).collect();
        let args: Vec<&ast::Expr> = args.iter().collect();
        match function.name.to_string().to_lowercase().as_str() {
            "coalesce" | "greatest" | "least" | "nullif" => self.all_alike(&args, ast, depth),
            "abs" | "round" | "floor" | "ceil" | "ceiling" | "trunc" => {
                args.first().map_or(Claim::Unknown, |first| self.claim(first, depth))
            }
            _ => Claim::Unknown,
        }
    }

    fn all_alike(&mut self, parts: &[&ast::Expr], around: &ast::Expr, depth: usize) -> Claim {
        let mut whole = Claim::Any;
        for part in parts {
            let claim = self.claim(part, depth);
            whole = self.alike(whole, claim, "stand for each other", around);
        }
        whole
    }

    /// The unit of two values that have to be of one.
    fn alike(&mut self, left: Claim, right: Claim, verb: &str, around: &ast::Expr) -> Claim {
        match (left, right) {
            (Claim::Any, other) | (other, Claim::Any) => other,
            (Claim::Is(left), Claim::Is(right)) => match self.counting.adds(&left, &right) {
                Some(true) => Claim::Is(left),
                None => Claim::Unknown,
                Some(false) => {
                    let message = format!("{left} and {right} can't {verb}");
                    let label = format!("{left} and {right}");
                    let fault = Fault::new("unit_mismatch", message, label)
                        .help("Convert one of them, or correct the units.")
                        .at(self.text, around.span());
                    self.faults.push(fault);
                    Claim::Unknown
                }
            },
            _ => Claim::Unknown,
        }
    }
}
