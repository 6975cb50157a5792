//! Entities: their own part, without the entities they belong to.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Column, TableReference};
use datafusion::logical_expr::Expr;
use semver::Version;

use super::at::At;
use super::source::{self, Columns};
use super::{Context, dimension, history, relationship, values};
use crate::diagnostic::Finding;
use crate::functions;
use crate::model::entity::BASE;
use crate::model::expr::{self, Compiled, Fault, Name, Resolved, Scope, cast};
use crate::model::load::{Body, Document};
use crate::model::raw::{RawAt, RawAttribute, RawChange, RawEntity};
use crate::model::types;
use crate::model::{AsOf, Attribute, Dimension, Entity, Relationship, Source, SourceColumn, near};

/// Column names that every relation of metrics has already.
pub(super) const RESERVED: [&str; 3] = ["metric_time", "metric_instant", "is_final"];

/// All entities of a folder.
pub(super) struct Entities<'a> {
    pub(super) drafts: Vec<Draft<'a>>,
    by_name: BTreeMap<&'a str, usize>,
    /// Documents without their shape: not to be called unknown.
    broken: BTreeSet<&'a str>,
    /// Segments that can be asked for, by their entity.
    segments: BTreeMap<&'a str, Vec<&'a str>>,
}

/// An entity on its way into the model.
pub(super) struct Draft<'a> {
    pub(super) raw: &'a RawEntity,
    pub(super) at: At<'a>,
    /// Without dimensions until all entities are known.
    pub(super) entity: Arc<Entity>,
    /// Attributes with a fault of their own.
    pub(super) broken: BTreeSet<String>,
    /// Roles whose entity has a fault, so that names below them can't be judged.
    pub(super) broken_roles: BTreeSet<String>,
    /// False where the table isn't known: then no name can be judged.
    pub(super) has_columns: bool,
}

/// What a name of an entity stands for.
pub(super) enum Found<'e, 'a> {
    Entity(&'e Draft<'a>),
    Broken,
    Unknown,
}

impl<'a> Entities<'a> {
    pub(super) fn find(&self, name: &str) -> Found<'_, 'a> {
        match self.by_name.get(name) {
            Some(index) => Found::Entity(&self.drafts[*index]),
            None if self.broken.contains(name) => Found::Broken,
            None => Found::Unknown,
        }
    }

    /// The segments of an entity: dimensions, unless an attribute has the name.
    pub(super) fn segments_of(&self, draft: &Draft<'_>) -> Vec<&'a str> {
        let names = self.segments.get(&*draft.raw.entity).into_iter().flatten().copied();
        let is_attribute =
            |name: &&str| draft.entity.attributes.iter().any(|other| other.name == *name);
        names.filter(|name| !is_attribute(name)).collect()
    }

    pub(super) fn names(&self) -> Vec<&'a str> {
        self.by_name.keys().copied().collect()
    }

    /// Notes when rows come in where only a metric says so.
    pub(super) fn tell_ingestion(&mut self, told: &BTreeMap<String, String>) {
        for draft in &mut self.drafts {
            let Some(entity) = Arc::get_mut(&mut draft.entity) else { continue };
            if entity.source.ingested.is_none() {
                entity.source.ingested = told.get(&entity.name).cloned();
            }
        }
    }

    pub(super) fn into_model(self) -> BTreeMap<String, Arc<Entity>> {
        self.drafts.into_iter().map(|draft| (draft.entity.name.clone(), draft.entity)).collect()
    }
}

/// Checks all entities, relationships and dimensions included.
pub(super) fn check<'a>(context: &mut Context<'a>, documents: &'a [Document]) -> Entities<'a> {
    let is_entity = |document: &&Document| matches!(document.body, Body::Entity(_));
    let broken =
        documents.iter().filter(|document| matches!(document.body, Body::Broken("entity")));
    let mut entities = Entities {
        drafts: Vec::new(),
        by_name: BTreeMap::new(),
        broken: broken.map(Document::name).collect(),
        segments: super::segment::dimensions(documents),
    };
    for document in context.unique("entity", documents.iter().filter(is_entity)) {
        if let Body::Entity(raw) = &document.body {
            entities.by_name.insert(document.name(), entities.drafts.len());
            let draft = own_part(context, raw, document.at());
            entities.drafts.push(draft);
        }
    }
    unique_relations(context, &entities.drafts);
    let relationships = relationship::check(context, &entities);
    for (draft, found) in entities.drafts.iter_mut().zip(relationships) {
        draft.broken_roles = found.broken_roles;
        update(&mut draft.entity, |entity| entity.relationships = found.relationships);
    }
    let dimensions: Vec<Vec<Dimension>> = (0..entities.drafts.len())
        .map(|index| dimension::check(context, &entities, index))
        .collect();
    for (draft, dimensions) in entities.drafts.iter_mut().zip(dimensions) {
        update(&mut draft.entity, |entity| entity.dimensions = dimensions);
    }
    entities
}

/// Changes an entity that nobody else holds yet.
fn update(entity: &mut Arc<Entity>, change: impl FnOnce(&mut Entity)) {
    if let Some(entity) = Arc::get_mut(entity) {
        change(entity);
    }
}

fn unique_relations(context: &mut Context<'_>, drafts: &[Draft<'_>]) {
    let mut first: BTreeMap<&str, &Draft<'_>> = BTreeMap::new();
    for draft in drafts {
        if let Some(other) = first.get(&*draft.raw.relation) {
            let message = format!("relation \"{}\" has two entities", draft.raw.relation);
            let finding = Finding::error("duplicate_name", message)
                .at(draft.at.key("relation").place("again here"))
                .at(other.at.key("relation").place("first here"))
                .help("Give one of them another relation.");
            context.push(finding);
        } else {
            first.insert(&draft.raw.relation, draft);
        }
    }
}

fn own_part<'a>(context: &mut Context<'a>, raw: &'a RawEntity, at: At<'a>) -> Draft<'a> {
    values::name(&raw.entity, at.key("entity"), "entity", &mut context.findings);
    values::name(&raw.relation, at.key("relation"), "relation", &mut context.findings);
    let version = values::version(&raw.version, at.key("version"), &mut context.findings);
    changelog(context, &raw.changelog, version.as_ref(), at);
    let help = "Leave it out for now: nothing runs it.";
    context.not_yet_key(at, "checks", help);
    let columns = source::columns(context, &raw.source, at.key("source"));
    let source = source::check(context, &raw.source, at.key("source"), columns.as_ref());
    let (attributes, broken) = match &columns {
        Some(columns) => Attributes::check(context, raw, at, columns),
        None => (Vec::new(), BTreeSet::new()),
    };
    let entity = Entity {
        name: raw.entity.to_string(),
        relation: raw.relation.to_string(),
        intent: raw.intent.as_ref().map(|text| text.to_string()),
        owner: values::owner(&raw.owner),
        domain: raw.domain.map(|domain| domain.name().to_owned()),
        version: version.unwrap_or(Version::new(0, 0, 0)),
        key: raw.key.0.iter().map(|name| name.to_string()).collect(),
        source: Source { ..source },
        attributes,
        relationships: Vec::<Relationship>::new(),
        dimensions: Vec::new(),
    };
    Draft {
        raw,
        at,
        entity: Arc::new(entity),
        broken,
        broken_roles: BTreeSet::new(),
        has_columns: columns.is_some(),
    }
}

fn changelog(
    context: &mut Context<'_>,
    changes: &[RawChange],
    version: Option<&Version>,
    at: At<'_>,
) {
    for (index, change) in changes.iter().enumerate() {
        let at = at.key("changelog").item(index);
        values::date(&change.date, at.key("date"), &mut context.findings);
        let changed = values::version(&change.version, at.key("version"), &mut context.findings);
        if let (Some(changed), Some(version)) = (changed, version)
            && changed > *version
        {
            let message =
                format!("the changelog has version {changed}, newer than the entity's own");
            let finding = Finding::error("version_order", message)
                .at(at.key("version").place("newer"))
                .help(format!("Set \"version\" to {changed}, or correct the changelog."));
            context.push(finding);
        }
    }
}

/// Compiles an entity's attributes, which may be defined by each other.
struct Attributes<'a, 'c> {
    entity: &'a RawEntity,
    columns: &'c Columns<'a>,
    declared: BTreeMap<&'a str, (&'a RawAttribute, At<'a>)>,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    done: BTreeMap<String, Option<Compiled>>,
    /// Attributes whose expressions are being compiled, outermost first.
    open: Vec<String>,
    findings: Vec<Finding>,
}

impl<'a> Attributes<'a, '_> {
    /// All attributes in the order of `SELECT *`, and the names of those with faults.
    fn check(
        context: &mut Context<'a>,
        entity: &'a RawEntity,
        at: At<'a>,
        columns: &Columns<'a>,
    ) -> (Vec<Attribute>, BTreeSet<String>) {
        let declared = declared(context, entity, at);
        let attributes =
            Attributes { entity, columns, declared, state: RefCell::new(State::default()) };
        let mut list: Vec<Attribute> = Vec::new();
        let mut broken = BTreeSet::new();
        let mut keys: Vec<(&str, At<'_>)> = Vec::new();
        let key_at = at.key("key");
        keys.extend(entity.key.0.iter().enumerate().map(|(i, name)| (&**name, key_at.item(i))));
        for (index, link) in entity.relationships.iter().enumerate() {
            let at = at.key("relationships").item(index).key("key");
            keys.extend(link.key.0.iter().enumerate().map(|(i, name)| (&**name, at.item(i))));
        }
        for (name, at) in keys {
            let Some(column) = columns.find(context, name, at) else {
                broken.insert(name.to_owned());
                continue;
            };
            if list.iter().any(|attribute| attribute.name == name) || broken.contains(name) {
                continue;
            }
            if !attributes.declared.contains_key(name) {
                list.push(undeclared(column));
            } else if let Some(attribute) = attributes.finished(context, name) {
                attributes.same_as_column(context, &attribute, at);
                list.push(attribute);
            } else {
                broken.insert(name.to_owned());
            }
        }
        for raw in &entity.attributes {
            let name: &str = &raw.name;
            if list.iter().any(|attribute| attribute.name == name) || broken.contains(name) {
                continue;
            }
            match attributes.finished(context, name) {
                Some(attribute) => list.push(attribute),
                None => {
                    broken.insert(name.to_owned());
                }
            }
        }
        context.findings.extend(attributes.state.into_inner().findings);
        (list, broken)
    }

    /// An attribute under a key's name is that key.
    fn same_as_column(&self, context: &mut Context<'_>, attribute: &Attribute, key: At<'_>) {
        let inner = match &attribute.expr {
            Expr::Cast(cast) => cast.expr.as_ref(),
            Expr::ScalarFunction(read) if attribute.is_uuid => {
                read.args.first().unwrap_or(&attribute.expr)
            }
            other => other,
        };
        if *inner == base_column(&attribute.name) {
            return;
        }
        let name = &attribute.name;
        let (_, at) = self.declared[name.as_str()];
        let finding = Finding::error(
            "name_clash",
            format!("attribute \"{name}\" is not the key column \"{name}\""),
        )
        .at(at.key("name").place("defined as something else"))
        .at(key.place("the key"))
        .help("Give the attribute another name: keys are attributes under their own names.");
        context.push(finding);
    }

    /// A declared attribute with all that is said of it.
    fn finished(&self, context: &mut Context<'a>, name: &str) -> Option<Attribute> {
        let (raw, at) = *self.declared.get(name)?;
        let compiled = self.compiled(context.texts, name)?;
        if !raw.values.is_empty() && compiled.data_type != DataType::Utf8 {
            let shown = types::shown(&compiled.data_type);
            let message =
                format!("attribute \"{name}\" is {shown}; only text has a list of values");
            let place = at.key("values").place(format!("of {shown}"));
            context.push(Finding::error("wrong_type", message).at(place));
        }
        Some(Attribute {
            name: name.to_owned(),
            data_type: compiled.data_type,
            is_uuid: self.is_uuid(raw, &compiled.expr),
            expr: compiled.expr,
            hidden: raw.hidden,
            sensitive: raw.sensitive,
            unit: raw.unit.as_ref().map(|text| text.to_string()),
            description: raw.description.as_ref().map(|text| text.to_string()),
            values: raw.values.iter().map(|text| text.to_string()).collect(),
            as_of: match raw.at {
                Some(RawAt::Event) => AsOf::Event,
                Some(RawAt::Current) | None => AsOf::Current,
            },
        })
    }

    /// Whether an attribute's texts are uuids: it is declared so, or is such a column as it stands.
    fn is_uuid(&self, raw: &RawAttribute, expr: &Expr) -> bool {
        match &raw.type_name {
            Some(name) => types::is_uuid(name),
            None => self.reads_uuids(expr),
        }
    }

    /// Whether an expression is a column in which the source stores uuids.
    fn reads_uuids(&self, expr: &Expr) -> bool {
        let column = |name: &str| self.columns.get(name).is_some_and(SourceColumn::is_uuid);
        matches!(expr, Expr::Column(it) if *expr == base_column(&it.name) && column(&it.name))
    }

    /// Compiles an attribute once; None where it has a fault, which is reported then.
    fn compiled(&self, texts: &crate::diagnostic::Texts, name: &str) -> Option<Compiled> {
        if let Some(done) = self.state.borrow().done.get(name) {
            return done.clone();
        }
        let (raw, at) = *self.declared.get(name)?;
        self.state.borrow_mut().open.push(name.to_owned());
        let compiled = self.compile(texts, raw, at);
        let mut state = self.state.borrow_mut();
        state.open.pop();
        state.done.insert(name.to_owned(), compiled.clone());
        compiled
    }

    fn compile(
        &self,
        texts: &crate::diagnostic::Texts,
        raw: &'a RawAttribute,
        at: At<'a>,
    ) -> Option<Compiled> {
        let (found, at_value) = match (&raw.column, &raw.expression) {
            (Some(_), Some(_)) => {
                let message =
                    format!("attribute \"{}\" has both a column and an expression", raw.name);
                let finding = Finding::error("key_not_allowed", message)
                    .at(at.place_of_key("expression", "second"))
                    .at(at.place_of_key("column", "first"))
                    .help("Keep one of them.");
                self.report(finding);
                return None;
            }
            (None, Some(text)) => {
                let at = at.key("expression");
                match expr::compile(text, &AttributeScope { attributes: self, texts }) {
                    Ok(compiled) => (compiled, at),
                    Err(faults) => {
                        let mut context =
                            Context { texts, sources: &BTreeMap::new(), findings: Vec::new() };
                        context.faults(at, faults);
                        self.state.borrow_mut().findings.append(&mut context.findings);
                        return None;
                    }
                }
            }
            (column, None) => {
                let name = column.as_ref().unwrap_or(&raw.name);
                let at = at.key(if column.is_some() { "column" } else { "name" });
                (self.column(name, at)?, at)
            }
        };
        self.typed(raw, at, found, at_value)
    }

    fn column(&self, name: &str, at: At<'_>) -> Option<Compiled> {
        if let Some(column) = self.columns.get(name) {
            return Some(Compiled { expr: base_column(name), data_type: column.data_type.clone() });
        }
        let message =
            format!("column \"{name}\" of table \"{}\" does not exist", self.columns.table);
        let known = self.columns.list.iter().map(|column| column.name.as_str());
        let help = near::help(name, known, "The table has");
        let place = at.place("no such column");
        self.report(Finding::error("unknown_column", message).at(place).maybe_help(help));
        None
    }

    /// The declared type, where the expression's goes into it without loss.
    fn typed(
        &self,
        raw: &RawAttribute,
        at: At<'_>,
        found: Compiled,
        at_value: At<'_>,
    ) -> Option<Compiled> {
        let Some(name) = &raw.type_name else {
            if found.data_type != DataType::Null {
                return Some(found);
            }
            let message = format!("attribute \"{}\" has no type", raw.name);
            let finding = Finding::error("missing_key", message)
                .at(at_value.place("NULL of any type"))
                .help("Add \"type\".");
            self.report(finding);
            return None;
        };
        let Some(declared) = types::parse(name) else {
            let message = format!("type \"{name}\" does not exist");
            let help = near::help(name, types::TYPE_NAMES, "The types are");
            let place = at.key("type").place("no such type");
            self.report(Finding::error("unknown_type", message).at(place).maybe_help(help));
            return None;
        };
        if declared == found.data_type {
            // The backend stores a text, which may be written otherwise than Postgres prints uuids.
            let is_read = types::is_uuid(name) && !self.reads_uuids(&found.expr);
            return Some(match is_read {
                true => Compiled { expr: functions::uuid_of(found.expr), ..found },
                false => found,
            });
        }
        if found.data_type == DataType::Null || types::widens(&found.data_type, &declared) {
            return Some(Compiled { expr: cast(found.expr, &declared), data_type: declared });
        }
        let shown = types::shown(&found.data_type);
        let message = format!("attribute \"{}\" is declared {name}, but is {shown}", raw.name);
        let finding = Finding::error("wrong_type", message)
            .at(at.key("type").place(format!("the source gives {shown}")))
            .help(format!("Write \"{shown}\", or an expression that casts."));
        self.report(finding);
        None
    }

    fn report(&self, finding: Finding) {
        self.state.borrow_mut().findings.push(finding);
    }
}

/// The attributes by name; doubles are reported.
fn declared<'a>(
    context: &mut Context<'a>,
    entity: &'a RawEntity,
    at: At<'a>,
) -> BTreeMap<&'a str, (&'a RawAttribute, At<'a>)> {
    let mut declared: BTreeMap<&str, (&RawAttribute, At<'_>)> = BTreeMap::new();
    for (index, raw) in entity.attributes.iter().enumerate() {
        let at = at.key("attributes").item(index);
        let name: &str = &raw.name;
        let is_key = entity.key.0.iter().any(|key| **key == *name)
            || entity.relationships.iter().any(|link| link.key.0.iter().any(|key| **key == *name));
        if !is_key {
            values::name(name, at.key("name"), "attribute", &mut context.findings);
        }
        if RESERVED.contains(&name) {
            let message =
                format!("attribute \"{name}\" has a name that every relation has already");
            let finding = Finding::error("reserved_name", message)
                .at(at.key("name").place("reserved"))
                .help("Give it another name, with \"column\" for the column's own.");
            context.push(finding);
        }
        history::attribute(context, entity, raw, at);
        match declared.get(name) {
            Some((_, first)) => {
                let message = format!("attribute \"{name}\" is defined twice");
                let finding = Finding::error("duplicate_name", message)
                    .at(at.key("name").place("again here"))
                    .at(first.key("name").place("defined here"))
                    .help("Give one of them another name.");
                context.push(finding);
            }
            None => {
                declared.insert(name, (raw, at));
            }
        }
    }
    declared
}

fn undeclared(column: &SourceColumn) -> Attribute {
    Attribute {
        name: column.name.clone(),
        data_type: column.data_type.clone(),
        is_uuid: column.is_uuid(),
        expr: base_column(&column.name),
        hidden: false,
        sensitive: false,
        unit: None,
        description: None,
        values: Vec::new(),
        as_of: AsOf::Current,
    }
}

/// A column of an entity's own source.
pub(super) fn base_column(name: &str) -> Expr {
    column(BASE, name)
}

/// A column of the source at the end of a path.
pub(super) fn column(path: &str, name: &str) -> Expr {
    Expr::Column(Column::new(Some(TableReference::bare(path)), name))
}

/// What an attribute's expression may name: the other attributes, and columns.
struct AttributeScope<'s, 'a, 'c> {
    attributes: &'s Attributes<'a, 'c>,
    texts: &'s crate::diagnostic::Texts,
}

impl Scope for AttributeScope<'_, '_, '_> {
    fn resolve(&self, parts: &[String]) -> Resolved {
        let entity = self.attributes.entity;
        let name = match parts {
            [name] => name,
            [qualifier, name] if **qualifier == *entity.entity => name,
            _ => return self.elsewhere(parts),
        };
        let open = self.attributes.state.borrow().open.clone();
        let own_name = open.last() == Some(name);
        let column = self.attributes.columns.get(name);
        if self.attributes.declared.contains_key(name.as_str()) && !(own_name && column.is_some()) {
            if let Some(start) = open.iter().position(|other| other == name) {
                return cycle(&open[start..], name);
            }
            return match self.attributes.compiled(self.texts, name) {
                Some(Compiled { expr, data_type }) => {
                    Resolved::Name(Box::new(Name { data_type, expr }))
                }
                None => Resolved::Broken,
            };
        }
        match column {
            Some(column) => Resolved::Name(Box::new(Name {
                data_type: column.data_type.clone(),
                expr: base_column(name),
            })),
            None => self.unknown(name),
        }
    }
}

impl AttributeScope<'_, '_, '_> {
    fn elsewhere(&self, parts: &[String]) -> Resolved {
        let related = self.attributes.entity.relationships.iter().any(|link| {
            let role = link.role.as_ref().unwrap_or(&link.entity);
            parts.first().is_some_and(|first| **first == **role)
        });
        match related {
            true => Resolved::Fault {
                code: "related_in_attribute",
                message: format!("an attribute can't be defined by \"{}\"", parts.join(".")),
                label: "of another entity".to_owned(),
                help: Some(
                    "Define it in that entity; metrics and queries reach it from here.".to_owned(),
                ),
            },
            false => self.unknown(&parts.join(".")),
        }
    }

    fn unknown(&self, name: &str) -> Resolved {
        let attributes = self.attributes.declared.keys().copied();
        let columns = self.attributes.columns.list.iter().map(|column| column.name.as_str());
        let known: BTreeSet<&str> = attributes.chain(columns).collect();
        unknown_name(name, &self.attributes.entity.entity, &known)
    }
}

/// A name that nothing in an entity has.
pub(super) fn unknown_name(name: &str, entity: &str, known: &BTreeSet<&str>) -> Resolved {
    let folded = known.iter().find(|other| other.to_lowercase() == name);
    let help = match folded {
        Some(other) => Some(format!("Write \"{other}\" in double quotes.")),
        None => near::help(name, known.iter().copied(), "There are"),
    };
    Resolved::Fault {
        code: "unknown_column",
        message: format!("entity \"{entity}\" has no attribute or column \"{name}\""),
        label: "no such name".to_owned(),
        help,
    }
}

fn cycle(path: &[String], name: &str) -> Resolved {
    let path: Vec<&str> = path.iter().map(String::as_str).chain([name]).collect();
    let fault = Fault {
        code: "cycle",
        message: format!("attribute \"{name}\" is defined by itself"),
        label: path.join(" → "),
        help: Some("Define one of them by columns alone.".to_owned()),
        chars: None,
    };
    Resolved::Fault {
        code: fault.code,
        message: fault.message,
        label: fault.label,
        help: fault.help,
    }
}
