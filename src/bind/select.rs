//! A select: FROM, names, grouping, and where its measures are evaluated.

use std::collections::BTreeSet;

use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, GroupByWithModifier, Ident, ObjectName, OrderBy, OrderByKind, Select,
    SelectFlavor, SelectItem, SelectItemQualifiedWildcardKind, TableFactor, TableWithJoins, Value,
    WildcardAdditionalOptions,
};

use super::binder::{Binder, Clause, Found};
use super::distinct_on;
use super::error::BindError;
use super::from::both;
use super::keys::{is_grouping_set, is_key, listed, written_out};
use super::markers;
use super::pending::{Evaluation, arguments, is_call_of, settle};
use super::preview::{Shown, Wanted};
use super::query::{order_by_all, ordinal, output_position};
use super::relation::{METRIC_INSTANT, METRIC_TIME};
use super::scope::{
    Columns, Item, Kind, MeasureUse, Origin, OutputColumn, PlainColumn, Scope, Shared,
    carries_measures, column, derived_name, derived_position, folded, quoted,
};
use super::walk::{children_mut, subquery_mut};
use crate::functions::registry;
use crate::sql::catalog::label_of;
use crate::sql::{spelling, windows};

/// A select item, resolved.
struct Output {
    name: String,
    expr: Expr,
    found: Found,
    origin: Option<Origin>,
    plain: Option<PlainColumn>,
    /// Written as a name and nothing else.
    is_name: bool,
}

impl Binder<'_> {
    /// Binds a select in place, with the ORDER BY of the query around it.
    pub(crate) fn bind_select(
        &mut self,
        select: &mut Select,
        mut order_by: Option<&mut OrderBy>,
        parent: Option<&Scope<'_>>,
        wanted: Wanted,
    ) -> Result<Vec<OutputColumn>, BindError> {
        self.refuse_select(select)?;
        windows::written_out(select, order_by.as_deref_mut()).map_err(BindError::Function)?;
        let mut groups = distinct_on::taken(select);
        let takes_first = groups.is_some();
        let mut scope = Scope { parent, ..Scope::default() };
        let filters = self.bind_from(&mut select.from, &mut scope)?;
        select.selection.iter_mut().chain(&mut select.having).for_each(spelling::filter);
        if let Some(selection) = &mut select.selection {
            self.resolve(selection, &scope, Clause::Where)?;
        }
        if !filters.is_empty() {
            let selection = select.selection.take().map(|it| Expr::Nested(Box::new(it)));
            select.selection = selection.into_iter().chain(filters).reduce(both);
        }
        let mut outputs = self.outputs(std::mem::take(&mut select.projection), &scope)?;
        let mut keys = self.group_keys(select, &outputs, &scope)?;
        if keys.iter().any(is_grouping_set) {
            let plain = outputs.iter_mut().filter_map(|output| output.plain.as_mut());
            plain.for_each(|plain| plain.optional = true);
        }
        let mut seen = Found::default();
        if let Some(having) = &mut select.having {
            seen.absorb(self.resolve(having, &scope, Clause::Having)?);
        }
        let mut order_items = self.order_items(order_by.as_deref_mut(), &outputs, &scope)?;
        let group_items = self.order_items(groups.as_mut(), &outputs, &scope)?;
        order_items.exprs.extend(group_items.exprs);
        order_items.found.absorb(group_items.found);
        seen.absorb(std::mem::take(&mut order_items.found));
        let forced = wanted.forces() || takes_first;
        let has_keys = !keys.is_empty();
        let mut evaluation = self.evaluation(select, &outputs, &seen, has_keys, forced);
        if wanted == Wanted::FirstRows
            && evaluation == Evaluation::PerGroup
            && !has_keys
            && self.previews(select, &outputs, &scope)
        {
            evaluation = Evaluation::PerRow;
        }
        let measured =
            seen.measures.is_some() || outputs.iter().any(|it| it.found.measures.is_some());
        if evaluation == Evaluation::PerGroup && keys.is_empty() && measured {
            keys = implied_keys(&outputs);
        }
        let is_grouped = evaluation == Evaluation::PerGroup;
        let are_some = wanted == Wanted::FirstRows && !has_keys && !keys.is_empty();
        let settle_all = |exprs: &mut dyn Iterator<Item = &mut Expr>| {
            exprs.for_each(|it| settle(it, evaluation))
        };
        settle_all(&mut outputs.iter_mut().map(|output| &mut output.expr));
        settle_all(&mut select.having.iter_mut());
        settle_all(&mut order_items.exprs.iter_mut().map(|expr| &mut **expr));
        if is_grouped {
            let checked = outputs.iter().map(|it| it.expr.clone());
            let checked = checked.chain(select.having.clone());
            let checked: Vec<Expr> =
                checked.chain(order_items.exprs.iter().map(|it| (**it).clone())).collect();
            for mut expr in checked {
                self.check_grouped(&mut expr, &mut keys, &scope)?;
            }
        }
        select.group_by = GroupByExpr::Expressions(keys, Vec::new());
        let mut columns = write_outputs(select, outputs, evaluation);
        columns.iter_mut().filter(|_| !are_some).for_each(OutputColumn::settle);
        if let Some(groups) = groups {
            self.first_of_each(select, &groups, order_by)?;
        }
        Ok(columns)
    }

    /// Whether a select is a preview: bare columns, and measures that can't be grouped by them.
    fn previews(&mut self, select: &Select, outputs: &[Output], scope: &Scope<'_>) -> bool {
        let plain = |it: &Output| !it.found.aggregate && !it.found.window;
        let bare = |it: &Output| it.found.measures.is_none() || it.is_name;
        let is_plain = select.distinct.is_none() && select.having.is_none();
        if !is_plain || !outputs.iter().all(|output| plain(output) && bare(output)) {
            return false;
        }
        let measures: Vec<_> = outputs.iter().filter_map(|it| it.found.measures.as_ref()).collect();
        // Beside rows of another relation a row's value would be repeated.
        let joined =
            |instance: &usize| self.relation(*instance).is_none_or(|it| !it.parts.is_empty());
        let is_alone = match scope.items.as_slice() {
            [item] => matches!(item.columns, Columns::Relation(_)) || self.relation_count() == 1,
            _ => false,
        };
        if !is_alone || measures.iter().any(|used| used.instances.iter().any(joined)) {
            return false;
        }
        let columns = outputs.iter().filter(|it| it.found.measures.is_none());
        let exprs = columns.flat_map(|it| match it.is_name {
            true => vec![&it.expr],
            false => dimensions_of(it),
        });
        let shown = Shown { exprs: exprs.collect(), measures };
        let previews = self.ungroupable(&shown, scope);
        let found = !previews.is_empty();
        self.previews.extend(previews);
        found
    }

    /// How the measures of a select are evaluated.
    fn evaluation(
        &self,
        select: &Select,
        outputs: &[Output],
        seen: &Found,
        has_keys: bool,
        forced: bool,
    ) -> Evaluation {
        let found = || outputs.iter().map(|output| &output.found).chain([seen]);
        let aggregates = found().any(|it| it.aggregate);
        let measures = || found().filter_map(|it| it.measures.as_ref());
        let has_measures = measures().next().is_some();
        if has_keys || select.having.is_some() || aggregates {
            return Evaluation::PerGroup;
        }
        let forced = forced || select.distinct.is_some() || found().any(|it| it.window);
        match (has_measures, forced) {
            (false, _) | (true, false) => Evaluation::Deferred,
            (true, true)
                if measures().all(|used| self.is_row_wise(used))
                    && self.shows_rows(outputs, measures()) =>
            {
                Evaluation::PerRow
            }
            (true, true) => Evaluation::PerGroup,
        }
    }

    /// Whether a row of its entity has a value of each measure of its own.
    fn is_row_wise(&self, used: &MeasureUse) -> bool {
        used.metrics.iter().all(|version| self.model.is_row_wise(version))
    }

    /// Whether the key of each measured entity is among the outputs: then each row is one of its.
    fn shows_rows<'f>(
        &self,
        outputs: &[Output],
        measures: impl Iterator<Item = &'f MeasureUse>,
    ) -> bool {
        let instances: BTreeSet<usize> =
            measures.flat_map(|used| used.instances.iter().copied()).collect();
        let shown: BTreeSet<&Origin> =
            outputs.iter().filter_map(|output| output.origin.as_ref()).collect();
        // Of relations of metrics that are joined, each is aggregated on its own.
        let is_one =
            |instance: &usize| self.relation(*instance).is_some_and(|it| it.parts.is_empty());
        instances.iter().all(|instance| is_one(instance) && self.has_key(*instance, &shown))
    }

    fn has_key(&self, instance: usize, shown: &BTreeSet<&Origin>) -> bool {
        let Some(relation) = self.relation(instance) else { return false };
        relation
            .entity
            .key
            .iter()
            .all(|key| shown.contains(&Origin { instance, dimension: key.clone() }))
    }

    // ---- select list ----

    fn outputs(
        &mut self,
        projection: Vec<SelectItem>,
        scope: &Scope<'_>,
    ) -> Result<Vec<Output>, BindError> {
        let mut outputs = Vec::new();
        for item in projection {
            match item {
                SelectItem::Wildcard(options) => {
                    self.plain_wildcard(&options)?;
                    if scope.items.is_empty() {
                        let what = "SELECT * without FROM".to_owned();
                        return Err(BindError::NotSupported { what, hint: None, position: None });
                    }
                    for index in 0..scope.items.len() {
                        self.expand_shared(scope, index, &mut outputs);
                        self.expand_item(scope, index, false, &mut outputs)?;
                    }
                }
                SelectItem::QualifiedWildcard(kind, options) => {
                    self.plain_wildcard(&options)?;
                    let index = self.wildcard_item(&kind, scope)?;
                    self.expand_item(scope, index, true, &mut outputs)?;
                }
                SelectItem::UnnamedExpr(expr) => {
                    let name = label_of(&expr);
                    outputs.push(self.output(name, expr, scope)?);
                }
                SelectItem::ExprWithAlias { expr, alias } => {
                    outputs.push(self.output(folded(&alias), expr, scope)?);
                }
                SelectItem::ExprWithAliases { expr, .. } => {
                    let what = "an alias of several names".to_owned();
                    let position = self.position_of(&expr);
                    return Err(BindError::NotSupported { what, hint: None, position });
                }
            }
        }
        Ok(outputs)
    }

    fn output(
        &mut self,
        name: String,
        mut expr: Expr,
        scope: &Scope<'_>,
    ) -> Result<Output, BindError> {
        let is_name = matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
        let mut found = self.resolve(&mut expr, scope, Clause::Projection)?;
        let (origin, plain) = (self.origin_of(&expr, scope), found.plain.take());
        Ok(Output { name, expr, found, origin, plain, is_name })
    }

    /// The dimension that a resolved expression is, if it is one and nothing else.
    fn origin_of(&self, expr: &Expr, scope: &Scope<'_>) -> Option<Origin> {
        let Expr::CompoundIdentifier(idents) = expr else { return None };
        let [alias, name] = idents.as_slice() else { return None };
        let item = scope.items.iter().find(|item| item.alias == alias.value)?;
        match &item.columns {
            Columns::Relation(instance) => {
                let relation = self.relation(*instance)?;
                let column = &relation.columns[relation.position(&name.value)?];
                let super::relation::ColumnKind::Dimension(index) = column.kind else {
                    return None;
                };
                let dimension = &relation.entity.dimensions[index];
                let dimension = match dimension.path.is_empty() {
                    true => dimension.attribute.clone(),
                    false => dimension.name.clone(),
                };
                Some(Origin { instance: *instance, dimension })
            }
            Columns::Derived(columns) if carries_measures(columns) => {
                columns.get(derived_position(&name.value)?)?.origin.clone()
            }
            Columns::Derived(_) => None,
        }
    }

    fn plain_wildcard(&self, options: &WildcardAdditionalOptions) -> Result<(), BindError> {
        let is_plain = options.opt_ilike.is_none()
            && options.opt_exclude.is_none()
            && options.opt_except.is_none()
            && options.opt_replace.is_none()
            && options.opt_rename.is_none()
            && options.opt_alias.is_none();
        match is_plain {
            true => Ok(()),
            false => Err(BindError::NotSupported {
                what: "an option of *".to_owned(),
                hint: Some("Name the columns.".to_owned()),
                position: None,
            }),
        }
    }

    fn wildcard_item(
        &self,
        kind: &SelectItemQualifiedWildcardKind,
        scope: &Scope<'_>,
    ) -> Result<usize, BindError> {
        let SelectItemQualifiedWildcardKind::ObjectName(name) = kind else {
            let what = "* of an expression".to_owned();
            return Err(BindError::NotSupported { what, hint: None, position: None });
        };
        let table = name.0.last().and_then(|part| part.as_ident()).map(folded).unwrap_or_default();
        let found = scope.items.iter().position(|item| item.name.as_ref() == Some(&table));
        found.ok_or_else(|| BindError::UnknownTable {
            name: table,
            position: self.position_of(name),
        })
    }

    /// The names of the columns of a FROM item that `*` shows.
    pub(crate) fn shown_columns(&self, item: &Item) -> Vec<String> {
        match &item.columns {
            Columns::Relation(instance) => {
                let relation = self.relation(*instance);
                let columns = relation.into_iter().flat_map(|relation| {
                    let columns = relation.columns_in(item.part).iter();
                    columns.filter(|it| !it.hidden && self.is_here(relation, it))
                });
                columns.map(|it| it.name.clone()).collect()
            }
            Columns::Derived(columns) => columns.iter().map(|it| it.name.clone()).collect(),
        }
    }

    /// The columns that the joins beginning with a FROM item share by USING: `*` shows them first,
    /// those of the outermost join before the others.
    fn expand_shared(&self, scope: &Scope<'_>, index: usize, outputs: &mut Vec<Output>) {
        let is_shown = |item: &usize, name: &String| {
            scope.items.get(*item).is_some_and(|item| self.shown_columns(item).contains(name))
        };
        let begins = |it: &&Shared| it.items.iter().min() == Some(&index);
        let mut shared: Vec<&Shared> = scope.shared.iter().filter(begins).collect();
        shared.retain(|it| it.items.iter().any(|item| is_shown(item, &it.name)));
        shared.sort_by_key(|it| std::cmp::Reverse(it.items.len()));
        for Shared { name, expr, plain, .. } in shared {
            let found = Found { columns: vec![expr.clone()], ..Found::default() };
            let origin = self.origin_of(expr, scope);
            outputs.push(Output {
                name: name.clone(),
                expr: expr.clone(),
                found,
                origin,
                plain: plain.clone(),
                is_name: true,
            });
        }
    }

    /// All columns of a FROM item that `*` shows; of a bare `*` without those shared by USING.
    fn expand_item(
        &mut self,
        scope: &Scope<'_>,
        index: usize,
        qualified: bool,
        outputs: &mut Vec<Output>,
    ) -> Result<(), BindError> {
        let names = self.shown_columns(&scope.items[index]);
        for (position, name) in names.into_iter().enumerate() {
            let shared = scope.shared.iter().any(|it| it.name == name && it.items.contains(&index));
            if shared && !qualified {
                continue;
            }
            let mut expr = self.item_column(scope, index, position, &name)?;
            let plain = self.plain_column_at(&scope.items[index], position, &name);
            let mut found = Found::default();
            if let Some(measure) = self.measure_of(scope, index, &name)? {
                expr = super::pending::pending(expr);
                found.measures = Some(measure);
            } else {
                found.columns.push(expr.clone());
            }
            let origin = self.origin_of(&expr, scope);
            outputs.push(Output { name, expr, found, origin, plain, is_name: true });
        }
        Ok(())
    }

    fn plain_column_at(&self, item: &Item, position: usize, name: &str) -> Option<PlainColumn> {
        match &item.columns {
            Columns::Derived(columns) => {
                let plain = columns.get(position)?.plain.clone()?;
                Some(PlainColumn { optional: plain.optional || item.optional, ..plain })
            }
            Columns::Relation(_) => self.plain_column(item, name),
        }
    }

    fn item_column(
        &mut self,
        scope: &Scope<'_>,
        index: usize,
        position: usize,
        name: &str,
    ) -> Result<Expr, BindError> {
        let item = &scope.items[index];
        match &item.columns {
            Columns::Derived(columns) => {
                let name = derived_name(&item.alias, columns, position);
                Ok(column(&item.alias, &name))
            }
            Columns::Relation(instance) => {
                let missing = || BindError::Internal(format!("no column {name}"));
                let found = self.position_in(item, *instance, name, &[])?;
                let position = found.ok_or_else(missing)?;
                Ok(self.use_column(*instance, position, &[quoted(name)])?.expr)
            }
        }
    }

    fn measure_of(
        &mut self,
        scope: &Scope<'_>,
        index: usize,
        name: &str,
    ) -> Result<Option<MeasureUse>, BindError> {
        let kind = match &scope.items[index].columns {
            Columns::Derived(columns) => {
                columns.iter().find(|it| it.name == name).map(|it| it.kind.clone())
            }
            Columns::Relation(instance) => {
                match self.position_in(&scope.items[index], *instance, name, &[])? {
                    Some(position) => {
                        Some(self.use_column(*instance, position, &[quoted(name)])?.kind)
                    }
                    None => None,
                }
            }
        };
        Ok(match kind {
            Some(Kind::Measure(used)) => Some(used),
            Some(Kind::Value | Kind::OfSomeGroups { .. }) | None => None,
        })
    }

    // ---- GROUP BY ----

    fn group_keys(
        &mut self,
        select: &mut Select,
        outputs: &[Output],
        scope: &Scope<'_>,
    ) -> Result<Vec<Expr>, BindError> {
        let group_by = std::mem::replace(
            &mut select.group_by,
            GroupByExpr::Expressions(Vec::new(), Vec::new()),
        );
        let (mut keys, modifiers) = match group_by {
            GroupByExpr::All(modifiers) => (implied_keys(outputs), modifiers),
            GroupByExpr::Expressions(keys, modifiers) => {
                (self.explicit_keys(keys, outputs, scope)?, modifiers)
            }
        };
        for modifier in modifiers {
            let singles = || keys.iter().map(|key| vec![key.clone()]).collect();
            keys = match modifier {
                GroupByWithModifier::Rollup => vec![Expr::Rollup(singles())],
                GroupByWithModifier::Cube => vec![Expr::Cube(singles())],
                GroupByWithModifier::Totals | GroupByWithModifier::GroupingSets(_) => {
                    let what = "WITH TOTALS".to_owned();
                    let hint = Some("Write GROUP BY ROLLUP (…).".to_owned());
                    return Err(BindError::NotSupported { what, hint, position: None });
                }
            };
        }
        // An empty pair of parentheses is the total, which an aggregate makes.
        let written = keys.len();
        keys.retain(|key| !matches!(key, Expr::Tuple(items) if items.is_empty()));
        let aggregates = |it: &Output| it.found.aggregate || it.found.measures.is_some();
        if keys.len() < written && keys.is_empty() && !outputs.iter().any(aggregates) {
            return Err(BindError::NotSupported {
                what: "GROUP BY () without an aggregate".to_owned(),
                hint: Some("Count the rows, or leave the GROUP BY out.".to_owned()),
                position: None,
            });
        }
        Ok(keys)
    }

    /// The keys as written, without measures. Tools group by every column that they show; a measure
    /// has one value for each group of the others, so it makes no further groups. Alone it has none.
    fn explicit_keys(
        &mut self,
        keys: Vec<Expr>,
        outputs: &[Output],
        scope: &Scope<'_>,
    ) -> Result<Vec<Expr>, BindError> {
        let (mut kept, mut refused) = (Vec::new(), None);
        for key in keys.into_iter().flat_map(listed) {
            let mut key = written_out(key)?;
            let is_set = is_grouping_set(&key);
            match self.group_key(&mut key, outputs, scope) {
                Ok(()) if kept.contains(&key) => {}
                Ok(()) => kept.push(key),
                Err(error @ BindError::MeasureNotAllowed { .. }) if !is_set => {
                    refused = refused.or(Some(error));
                }
                Err(error) => return Err(error),
            }
        }
        match (kept.is_empty(), refused) {
            (true, Some(error)) => Err(error),
            _ => Ok(kept),
        }
    }

    /// Resolves a key: an ordinal, a column, an output's name, or any expression.
    fn group_key(
        &mut self,
        key: &mut Expr,
        outputs: &[Output],
        scope: &Scope<'_>,
    ) -> Result<(), BindError> {
        if let Expr::GroupingSets(sets) | Expr::Cube(sets) | Expr::Rollup(sets) = key {
            for inner in sets.iter_mut().flatten() {
                self.group_key(inner, outputs, scope)?;
            }
            return Ok(());
        }
        if let Some(index) = self.ordinal_of(key, outputs.len(), "GROUP BY")? {
            return self.use_output(key, &outputs[index]);
        }
        if let Expr::Identifier(ident) = &*key {
            let name = folded(ident);
            let is_input = scope.items.iter().any(|item| self.item_has(item, &name))
                || scope.shared.iter().any(|shared| shared.name == name);
            let output = outputs.iter().find(|output| output.name == name);
            if let (false, Some(output)) = (is_input, output) {
                return self.use_output(key, output);
            }
        }
        self.resolve(key, scope, Clause::GroupBy).map(drop)
    }

    fn use_output(&self, key: &mut Expr, output: &Output) -> Result<(), BindError> {
        let position = self.position_of(key);
        if let Some(used) = &output.found.measures {
            return Err(BindError::MeasureNotAllowed {
                measure: used.name(),
                clause: "GROUP BY",
                hint: "Group by dimensions; the measure is evaluated for each group.".to_owned(),
                position,
            });
        }
        if output.found.aggregate {
            return Err(BindError::AggregateNotAllowed { clause: "GROUP BY", position });
        }
        *key = output.expr.clone();
        Ok(())
    }

    fn item_has(&self, item: &super::scope::Item, name: &str) -> bool {
        match &item.columns {
            Columns::Relation(instance) => {
                let relation = self.relation(*instance);
                let found = relation.map(|relation| relation.position_in(item.part, name));
                !matches!(found, None | Some(Ok(None)))
            }
            Columns::Derived(columns) => columns.iter().any(|column| column.name == name),
        }
    }

    fn ordinal_of(
        &self,
        expr: &Expr,
        width: usize,
        clause: &'static str,
    ) -> Result<Option<usize>, BindError> {
        let Expr::Value(value) = expr else { return Ok(None) };
        let Value::Number(digits, _) = &value.value else { return Ok(None) };
        let index = digits.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        match index.filter(|index| *index < width) {
            Some(index) => Ok(Some(index)),
            None => Err(BindError::OrdinalOutOfRange {
                clause,
                ordinal: digits.clone(),
                position: self.position_of(expr),
            }),
        }
    }

    /// Refuses columns that aren't grouped. A column of a relation whose key is grouped is, too: it
    /// has one value for the key, and joins the keys.
    fn check_grouped(
        &self,
        expr: &mut Expr,
        keys: &mut Vec<Expr>,
        scope: &Scope<'_>,
    ) -> Result<(), BindError> {
        if is_call_of(expr, markers::MEASURE_AT) {
            return self.check_level(expr, keys);
        }
        if is_key(expr, keys) || is_aggregate(expr) || subquery_mut(expr).is_some() {
            return Ok(());
        }
        if let Expr::CompoundIdentifier(idents) = &*expr {
            let [alias, name] = idents.as_slice() else { return Ok(()) };
            let Some(item) = scope.items.iter().find(|item| item.alias == alias.value) else {
                return Ok(()); // a column of an enclosing query: one value here
            };
            if self.depends_on_keys(expr, keys, scope) {
                keys.push(expr.clone());
                return Ok(());
            }
            let column = match &item.columns {
                Columns::Derived(columns) => {
                    let index = derived_position(&name.value);
                    index.and_then(|it| columns.get(it)).map(|it| it.name.clone())
                }
                Columns::Relation(_) => Some(name.value.clone()),
            };
            let column = column.unwrap_or_else(|| name.value.clone());
            let column = match &item.name {
                Some(table) => format!("{table}.{column}"),
                None => column,
            };
            let position = self.position_of(expr);
            return Err(BindError::NotGrouped { column, position });
        }
        for child in children_mut(expr).unwrap_or_default() {
            self.check_grouped(child, keys, scope)?;
        }
        Ok(())
    }

    /// The keys of a measure's level are some of the group's: a value has to be one for the group.
    fn check_level(&self, expr: &Expr, keys: &[Expr]) -> Result<(), BindError> {
        let Expr::Function(function) = expr else { return Ok(()) };
        let level = arguments(function).into_iter().skip(1);
        match level.into_iter().find(|key| !is_key(key, keys)) {
            None => Ok(()),
            Some(key) => Err(BindError::LevelNotGrouped { position: self.position_of(&key) }),
        }
    }

    fn depends_on_keys(&self, expr: &Expr, keys: &[Expr], scope: &Scope<'_>) -> bool {
        let Some(origin) = self.origin_of(expr, scope) else { return false };
        let plain = keys.iter().filter_map(|key| self.origin_of(key, scope)).collect::<Vec<_>>();
        self.has_key(origin.instance, &plain.iter().collect())
    }

    // ---- ORDER BY, WINDOW ----

    fn order_items<'o>(
        &mut self,
        order_by: Option<&'o mut OrderBy>,
        outputs: &[Output],
        scope: &Scope<'_>,
    ) -> Result<OrderItems<'o>, BindError> {
        let mut items = OrderItems { exprs: Vec::new(), found: Found::default() };
        let Some(order_by) = order_by else { return Ok(items) };
        let OrderByKind::Expressions(expressions) = &mut order_by.kind else {
            return Err(order_by_all());
        };
        let named: Vec<OutputColumn> = outputs.iter().map(value_column).collect();
        for item in expressions {
            if matches!(item.expr, Expr::Value(_)) {
                self.ordinal_of(&item.expr, outputs.len(), "ORDER BY")?;
            }
            if let Some(index) = output_position(&item.expr, &named) {
                item.expr = ordinal(index);
                continue;
            }
            let found = self.resolve(&mut item.expr, scope, Clause::OrderBy)?;
            match outputs.iter().position(|output| output.expr == item.expr) {
                Some(index) => item.expr = ordinal(index),
                None => {
                    items.found.absorb(found);
                    items.exprs.push(&mut item.expr);
                }
            }
        }
        Ok(items)
    }

    fn refuse_select(&self, select: &Select) -> Result<(), BindError> {
        let refused = [
            (select.into.is_some(), "SELECT INTO"),
            (select.top.is_some(), "TOP"),
            (select.exclude.is_some(), "EXCLUDE"),
            (!select.lateral_views.is_empty(), "LATERAL VIEW"),
            (select.prewhere.is_some(), "PREWHERE"),
            (!select.connect_by.is_empty(), "CONNECT BY"),
            (!select.cluster_by.is_empty(), "CLUSTER BY"),
            (!select.distribute_by.is_empty(), "DISTRIBUTE BY"),
            (!select.sort_by.is_empty(), "SORT BY"),
            (select.qualify.is_some(), "QUALIFY"),
            (select.value_table_mode.is_some(), "AS STRUCT or AS VALUE"),
        ];
        match refused.iter().find(|(present, _)| *present) {
            None => Ok(()),
            Some((_, what)) => Err(BindError::NotSupported {
                what: (*what).to_owned(),
                hint: None,
                position: self.position_of(select),
            }),
        }
    }
}

/// What is left of ORDER BY to be settled with the rest of the select.
struct OrderItems<'o> {
    exprs: Vec<&'o mut Expr>,
    found: Found,
}

/// Expressions of the outputs that hold no measure and no aggregate, and the columns beside
/// measures in the others.
fn implied_keys(outputs: &[Output]) -> Vec<Expr> {
    let mut keys: Vec<Expr> = Vec::new();
    for output in outputs {
        let found = &output.found;
        let is_plain = found.measures.is_none() && !found.aggregate && !found.window;
        let candidates = match (is_plain, found.columns.is_empty()) {
            (_, true) => Vec::new(),
            (true, false) => vec![output.expr.clone()],
            (false, false) => found.columns.clone(),
        };
        for key in candidates {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
    }
    keys
}

/// The columns in an expression whose time, if it reads one, isn't the bare one.
fn dimensions_of(output: &Output) -> Vec<&Expr> {
    let is_dimension = |it: &&Expr| match it {
        Expr::CompoundIdentifier(idents) => {
            let name = idents.last().map(|ident| ident.value.as_str());
            !matches!(name, Some(METRIC_TIME | METRIC_INSTANT))
        }
        _ => true,
    };
    output.found.columns.iter().filter(is_dimension).collect()
}

fn is_aggregate(expr: &Expr) -> bool {
    if is_call_of(expr, markers::MEASURE) {
        return true;
    }
    let Expr::Function(function) = expr else { return false };
    let name = function.name.0.last().and_then(|part| part.as_ident()).map(|it| it.value.as_str());
    function.over.is_none() && name.is_some_and(|name| registry().aggregate.contains_key(name))
}

fn value_column(output: &Output) -> OutputColumn {
    OutputColumn { name: output.name.clone(), kind: Kind::Value, origin: None, plain: None }
}

/// Writes the select list with our own names, and tells the user's.
fn write_outputs(
    select: &mut Select,
    outputs: Vec<Output>,
    evaluation: Evaluation,
) -> Vec<OutputColumn> {
    let mut columns = Vec::with_capacity(outputs.len());
    for (index, output) in outputs.into_iter().enumerate() {
        let alias = quoted(&format!("c{index}"));
        select.projection.push(SelectItem::ExprWithAlias { expr: output.expr, alias });
        let kind = match (evaluation, output.found.measures) {
            (Evaluation::Deferred, Some(used)) => Kind::Measure(used),
            (Evaluation::PerGroup, Some(used)) => Kind::OfSomeGroups { measure: used.name() },
            _ => Kind::Value,
        };
        let origin = match evaluation {
            Evaluation::PerGroup => None,
            Evaluation::Deferred | Evaluation::PerRow => output.origin,
        };
        columns.push(OutputColumn { name: output.name, kind, origin, plain: output.plain });
    }
    columns
}

/// `SELECT * FROM name`.
pub(crate) fn select_all_from(name: ObjectName) -> Select {
    Select {
        select_token: AttachedToken::empty(),
        optimizer_hints: Vec::new(),
        distinct: None,
        select_modifiers: None,
        top: None,
        top_before_distinct: false,
        projection: vec![SelectItem::Wildcard(WildcardAdditionalOptions::default())],
        exclude: None,
        into: None,
        from: vec![TableWithJoins { relation: table(name), joins: Vec::new() }],
        lateral_views: Vec::new(),
        prewhere: None,
        selection: None,
        connect_by: Vec::new(),
        group_by: GroupByExpr::Expressions(Vec::new(), Vec::new()),
        cluster_by: Vec::new(),
        distribute_by: Vec::new(),
        sort_by: Vec::new(),
        having: None,
        named_window: Vec::new(),
        qualify: None,
        window_before_qualify: false,
        value_table_mode: None,
        flavor: SelectFlavor::Standard,
    }
}

/// A table factor of a bare name.
pub(crate) fn table(name: ObjectName) -> TableFactor {
    TableFactor::Table {
        name,
        alias: None,
        args: None,
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    }
}

/// A quoted identifier as an object name.
pub(crate) fn object_name(name: &str) -> ObjectName {
    ObjectName::from(vec![Ident::with_quote('"', name)])
}
