//! Every object that has an OID, found by OID and by name.

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

use super::definitions::{self, Definition};
use super::oids;
use super::snapshot::{CatalogRelation, CatalogSession, CatalogSnapshot};
use crate::sql::types::PgType;

/// The OID of the role that owns everything, PostgreSQL's bootstrap superuser.
pub(super) const OWNER: i64 = 10;
/// The name of that role.
pub(super) const OWNER_NAME: &str = "canon";
pub(super) const PG_CATALOG: i64 = 11;
pub(super) const PUBLIC: i64 = 2200;
/// The OIDs of the catalogues that name kinds of objects (`classoid`).
pub(super) const PG_CLASS: i64 = 1259;
pub(super) const PG_CONSTRAINT: i64 = 2606;
/// The one database's OID: whatever name a client connects to, it is this one.
pub(super) const DATABASE: i64 = 5;

/// An object of `pg_class`: a relation of the definitions, the index of its key, or one of
/// Postgres's own relations.
#[derive(Debug)]
pub(super) struct Relation {
    pub(super) oid: i64,
    pub(super) schema: String,
    pub(super) namespace: i64,
    pub(super) name: String,
    /// As in `pg_class.relkind`.
    pub(super) kind: &'static str,
    pub(super) comment: Option<String>,
    pub(super) columns: Vec<Attribute>,
    pub(super) estimated_rows: Option<i64>,
    pub(super) system: bool,
    /// The type of its rows and that of arrays of them; 0 where there is none.
    pub(super) row_type: i64,
    pub(super) row_array: i64,
}

#[derive(Debug)]
pub(super) struct Attribute {
    pub(super) name: String,
    pub(super) type_oid: i64,
    pub(super) typmod: i64,
    pub(super) not_null: bool,
    pub(super) comment: Option<String>,
}

/// A primary or foreign key.
#[derive(Debug)]
pub(super) struct Constraint {
    pub(super) oid: i64,
    pub(super) name: String,
    /// Position of the relation that it is on.
    pub(super) relation: usize,
    pub(super) columns: Vec<i64>,
    /// Position of the index, of the key itself or of the key that is referenced.
    pub(super) index: Option<usize>,
    /// The relation and columns that a foreign key refers to.
    pub(super) references: Option<(usize, Vec<i64>)>,
}

/// A type of `pg_type`, as far as functions ask.
#[derive(Debug)]
pub(super) struct TypeInfo {
    pub(super) oid: i64,
    pub(super) name: &'static str,
    pub(super) len: i64,
    pub(super) by_value: bool,
    pub(super) category: &'static str,
    /// Whether it is the one of its category that others become first.
    pub(super) preferred: bool,
    pub(super) element: i64,
    pub(super) align: &'static str,
    pub(super) storage: &'static str,
    pub(super) collation: i64,
}

/// The objects of one definition set.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) namespaces: Vec<(i64, String)>,
    pub(super) relations: Vec<Relation>,
    pub(super) constraints: Vec<Constraint>,
    by_oid: HashMap<i64, usize>,
    by_name: HashMap<String, HashMap<String, usize>>,
    constraint_by_oid: HashMap<i64, usize>,
}

impl Directory {
    pub(super) fn new(snapshot: CatalogSnapshot) -> Self {
        let mut names = BTreeSet::new();
        let mut schemas: BTreeSet<String> =
            ["canon", "metrics", "segments"].map(str::to_owned).into();
        for relation in &snapshot.relations {
            schemas.insert(relation.schema.clone());
            names.extend(oid_names(relation));
        }
        names.extend(schemas.iter().map(|schema| format!("schema {schema}")));
        let oids = oids::assign(names);
        let oid = |name: &str| oids.get(name).copied().unwrap_or_default();

        let mut namespaces = vec![(PG_CATALOG, "pg_catalog".to_owned()), (PUBLIC, "public".into())];
        namespaces.push((information_schema_oid(), "information_schema".to_owned()));
        for schema in schemas {
            if !namespaces.iter().any(|(_, known)| *known == schema) {
                namespaces.push((oid(&format!("schema {schema}")), schema));
            }
        }
        let mut directory = Self {
            namespaces,
            relations: Vec::new(),
            constraints: Vec::new(),
            by_oid: HashMap::new(),
            by_name: HashMap::new(),
            constraint_by_oid: HashMap::new(),
        };
        for definition in definitions::all() {
            directory.add_system(definition);
        }
        let mut keyed = Vec::with_capacity(snapshot.relations.len());
        for mut relation in snapshot.relations {
            let keys = (
                std::mem::take(&mut relation.primary_key),
                std::mem::take(&mut relation.foreign_keys),
            );
            keyed.push((directory.add_relation(relation, oid), keys));
        }
        for (position, (primary_key, _)) in &keyed {
            directory.add_primary_key(*position, primary_key, oid);
        }
        for (position, (_, foreign_keys)) in keyed {
            for key in foreign_keys {
                let target = directory.position(&key.schema, &key.relation);
                let columns = directory.numbers(position, &key.columns);
                let referenced =
                    target.and_then(|target| directory.numbers(target, &key.referenced_columns));
                if let (Some(target), Some(columns), Some(referenced)) =
                    (target, columns, referenced)
                {
                    let name = foreign_key_name(&directory.relations[position].name, &key.columns);
                    directory.add_foreign_key(position, name, columns, (target, referenced), oid);
                }
            }
        }
        directory
    }

    /// A relation or index by its OID.
    pub(super) fn relation(&self, oid: i64) -> Option<&Relation> {
        self.by_oid.get(&oid).map(|position| &self.relations[*position])
    }

    /// A relation or index by schema and name.
    pub(super) fn relation_named(&self, schema: &str, name: &str) -> Option<&Relation> {
        self.position(schema, name).map(|position| &self.relations[position])
    }

    /// A relation by the name that a client writes, as `regclass` reads it: quoted or not, with a
    /// schema or found along the search path, or an OID in digits.
    pub(super) fn resolve(&self, text: &str, session: &CatalogSession) -> Option<&Relation> {
        if let Ok(oid) = text.trim().parse() {
            return self.relation(oid);
        }
        let parts = parse_identifier(text)?;
        match parts.as_slice() {
            [name] => self
                .effective_path(session)
                .iter()
                .find_map(|schema| self.relation_named(schema, name)),
            [schema, name] | [_, schema, name] => self.relation_named(schema, name),
            _ => None,
        }
    }

    /// The schemas in which bare names are looked for, `pg_catalog` first unless the path names it.
    pub(super) fn effective_path(&self, session: &CatalogSession) -> Vec<String> {
        let mut path = self.explicit_path(session);
        if !path.iter().any(|schema| schema == "pg_catalog") {
            path.insert(0, "pg_catalog".to_owned());
        }
        path
    }

    /// The schemas of the search path that exist.
    pub(super) fn explicit_path(&self, session: &CatalogSession) -> Vec<String> {
        let path = session.search_path();
        path.into_iter().filter(|schema| self.namespace_named(schema).is_some()).collect()
    }

    /// Whether a bare name finds this relation.
    pub(super) fn is_visible(&self, oid: i64, session: &CatalogSession) -> Option<bool> {
        let relation = self.relation(oid)?;
        let path = self.effective_path(session);
        let found = path.iter().find_map(|schema| self.relation_named(schema, &relation.name));
        Some(found.is_some_and(|found| found.oid == oid))
    }

    /// The name of the type of a relation's rows, or of arrays of them.
    pub(super) fn row_type_name(&self, oid: i64, session: &CatalogSession) -> Option<String> {
        let of_relation = |one: &&Relation| {
            !one.system && oid != 0 && (one.row_type == oid || one.row_array == oid)
        };
        let relation = self.relations.iter().find(of_relation)?;
        let name = super::naming::quote_identifier(&relation.name);
        let name = match self.is_visible(relation.oid, session) {
            Some(true) => name,
            _ => format!("{}.{name}", super::naming::quote_identifier(&relation.schema)),
        };
        Some(if relation.row_array == oid { format!("{name}[]") } else { name })
    }

    pub(super) fn namespace(&self, oid: i64) -> Option<&str> {
        self.namespaces.iter().find(|(one, _)| *one == oid).map(|(_, name)| name.as_str())
    }

    pub(super) fn namespace_named(&self, name: &str) -> Option<i64> {
        self.namespaces.iter().find(|(_, one)| one == name).map(|(oid, _)| *oid)
    }

    pub(super) fn constraint(&self, oid: i64) -> Option<&Constraint> {
        self.constraint_by_oid.get(&oid).map(|position| &self.constraints[*position])
    }

    /// The key whose index a relation is.
    pub(super) fn key_of_index(&self, index: i64) -> Option<&Constraint> {
        let position = *self.by_oid.get(&index)?;
        let is_key = |one: &&Constraint| one.index == Some(position) && one.references.is_none();
        self.constraints.iter().find(is_key)
    }

    /// The index of a relation's key.
    pub(super) fn index_of_key(&self, relation: i64) -> Option<i64> {
        let position = *self.by_oid.get(&relation)?;
        let is_key = |one: &&Constraint| one.relation == position && one.references.is_none();
        let index = self.constraints.iter().find(is_key)?.index?;
        Some(self.relations[index].oid)
    }

    /// The names of columns by their numbers.
    pub(super) fn column_names(&self, relation: usize, numbers: &[i64]) -> Vec<&str> {
        let columns = &self.relations[relation].columns;
        numbers
            .iter()
            .filter_map(|number| columns.get(usize::try_from(number - 1).ok()?))
            .map(|column| column.name.as_str())
            .collect()
    }

    fn position(&self, schema: &str, name: &str) -> Option<usize> {
        self.by_name.get(schema)?.get(name).copied()
    }

    /// The numbers of columns by their names; `None` when one of them is missing.
    fn numbers(&self, relation: usize, names: &[String]) -> Option<Vec<i64>> {
        let columns = &self.relations[relation].columns;
        let number = |name: &String| columns.iter().position(|column| column.name == *name);
        names.iter().map(|name| i64::try_from(number(name)? + 1).ok()).collect()
    }

    fn push(&mut self, relation: Relation) -> usize {
        let position = self.relations.len();
        self.by_oid.insert(relation.oid, position);
        let schema = self.by_name.entry(relation.schema.clone()).or_default();
        schema.insert(relation.name.clone(), position);
        self.relations.push(relation);
        position
    }

    fn add_system(&mut self, definition: &'static Definition) {
        let columns = definition.columns.iter().map(|column| Attribute {
            name: column.name.to_owned(),
            type_oid: type_named(column.type_name).map_or(25, |one| one.oid),
            typmod: -1,
            not_null: column.not_null,
            comment: None,
        });
        let namespace = self.namespace_named(definition.schema).unwrap_or(PG_CATALOG);
        self.push(Relation {
            oid: definition.oid,
            schema: definition.schema.to_owned(),
            namespace,
            name: definition.name.to_owned(),
            kind: definition.kind,
            comment: None,
            columns: columns.collect(),
            estimated_rows: None,
            system: true,
            row_type: 0,
            row_array: 0,
        });
    }

    fn add_relation(&mut self, relation: CatalogRelation, oid: impl Fn(&str) -> i64) -> usize {
        let columns = relation.columns.into_iter().map(|column| Attribute {
            type_oid: i64::from(column.pg_type.oid()),
            typmod: typmod_of(&column.pg_type),
            name: column.name,
            not_null: column.not_null,
            comment: column.comment,
        });
        let columns = columns.collect();
        let [row_type, row_array] = type_oid_names(&relation.schema, &relation.name);
        self.push(Relation {
            oid: oid(&relation_oid_name(&relation.schema, &relation.name)),
            row_type: oid(&row_type),
            row_array: oid(&row_array),
            namespace: self.namespace_named(&relation.schema).unwrap_or(PUBLIC),
            schema: relation.schema,
            name: relation.name,
            kind: "r",
            comment: relation.comment,
            columns,
            estimated_rows: relation.estimated_rows,
            system: false,
        })
    }

    fn add_primary_key(&mut self, position: usize, key: &[String], oid: impl Fn(&str) -> i64) {
        let Some(numbers) = self.numbers(position, key).filter(|numbers| !numbers.is_empty())
        else {
            return;
        };
        let relation = &self.relations[position];
        let name = primary_key_name(&relation.name);
        let columns = numbers.iter().filter_map(|number| {
            let column = relation.columns.get(usize::try_from(number - 1).ok()?)?;
            Some(Attribute {
                name: column.name.clone(),
                type_oid: column.type_oid,
                typmod: column.typmod,
                not_null: false,
                comment: None,
            })
        });
        let index = Relation {
            oid: oid(&relation_oid_name(&relation.schema, &name)),
            schema: relation.schema.clone(),
            namespace: relation.namespace,
            name: name.clone(),
            kind: "i",
            comment: None,
            columns: columns.collect(),
            estimated_rows: relation.estimated_rows,
            system: false,
            row_type: 0,
            row_array: 0,
        };
        let constraint = constraint_oid_name(&relation.schema, &relation.name, &name);
        for number in &numbers {
            let column = usize::try_from(number - 1).ok();
            let columns = &mut self.relations[position].columns;
            if let Some(column) = column.and_then(|column| columns.get_mut(column)) {
                column.not_null = true;
            }
        }
        let index = self.push(index);
        self.push_constraint(Constraint {
            oid: oid(&constraint),
            name,
            relation: position,
            columns: numbers,
            index: Some(index),
            references: None,
        });
    }

    fn add_foreign_key(
        &mut self,
        position: usize,
        name: String,
        columns: Vec<i64>,
        references: (usize, Vec<i64>),
        oid: impl Fn(&str) -> i64,
    ) {
        let relation = &self.relations[position];
        let key = constraint_oid_name(&relation.schema, &relation.name, &name);
        let referenced_key = self
            .constraints
            .iter()
            .find(|one| one.relation == references.0 && one.references.is_none());
        let constraint = Constraint {
            oid: oid(&key),
            name,
            relation: position,
            columns,
            index: referenced_key.and_then(|key| key.index),
            references: Some(references),
        };
        self.push_constraint(constraint);
    }

    fn push_constraint(&mut self, constraint: Constraint) {
        self.constraint_by_oid.insert(constraint.oid, self.constraints.len());
        self.constraints.push(constraint);
    }
}

/// The names under which a relation's objects get their OIDs.
fn oid_names(relation: &CatalogRelation) -> Vec<String> {
    let (schema, table) = (&relation.schema, &relation.name);
    let key = primary_key_name(table);
    let mut names = vec![
        relation_oid_name(schema, table),
        relation_oid_name(schema, &key),
        constraint_oid_name(schema, table, &key),
    ];
    names.extend(type_oid_names(schema, table));
    names.extend(
        relation
            .foreign_keys
            .iter()
            .map(|one| constraint_oid_name(schema, table, &foreign_key_name(table, &one.columns))),
    );
    names
}

/// Of the type of a relation's rows, and of arrays of them.
fn type_oid_names(schema: &str, relation: &str) -> [String; 2] {
    [format!("type {schema}.{relation}"), format!("type {schema}.{relation}[]")]
}

fn relation_oid_name(schema: &str, name: &str) -> String {
    format!("relation {schema}.{name}")
}

fn constraint_oid_name(schema: &str, table: &str, name: &str) -> String {
    format!("constraint {schema}.{table}.{name}")
}

fn primary_key_name(table: &str) -> String {
    format!("{table}_pkey")
}

fn foreign_key_name(table: &str, columns: &[String]) -> String {
    format!("{table}_{}_fkey", columns.join("_"))
}

fn information_schema_oid() -> i64 {
    // Postgres gives it an OID when a cluster is made; any below the users' range does.
    13_000
}

/// `atttypmod`: precision and scale of a numeric, -1 for the rest.
fn typmod_of(pg_type: &PgType) -> i64 {
    match pg_type {
        PgType::Numeric(Some((precision, scale))) => {
            ((i64::from(*precision) << 16) | (i64::from(*scale) & 0x7ff)) + 4
        }
        PgType::Array(item) => typmod_of(item),
        _ => -1,
    }
}

/// The parts of a dotted name as a client writes it: folded to lower case unless quoted.
pub(super) fn parse_identifier(text: &str) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    let mut chars = text.trim().chars().peekable();
    loop {
        let mut part = String::new();
        if chars.peek() == Some(&'"') {
            chars.next();
            loop {
                match chars.next()? {
                    '"' if chars.peek() == Some(&'"') => {
                        chars.next();
                        part.push('"');
                    }
                    '"' => break,
                    other => part.push(other),
                }
            }
        } else {
            while let Some(next) = chars.next_if(|next| *next != '.') {
                part.extend(next.to_lowercase());
            }
        }
        let part = if part.contains('"') { part } else { part.trim_end().to_owned() };
        if part.is_empty() {
            return None;
        }
        parts.push(part);
        match chars.next() {
            Some('.') => {}
            Some(_) => return None,
            None => return Some(parts),
        }
    }
}

/// All types, in the order of their OIDs.
pub(super) fn types() -> &'static [TypeInfo] {
    static TYPES: LazyLock<Vec<TypeInfo>> = LazyLock::new(|| {
        let parse = |cell: &Option<&'static str>| cell.and_then(|text| text.parse().ok());
        let rows = definitions::rows("pg_type");
        let types = rows.iter().filter_map(|row| {
            Some(TypeInfo {
                oid: parse(row.first()?)?,
                name: (*row.get(1)?)?,
                len: parse(row.get(4)?)?,
                by_value: *row.get(5)? == Some("t"),
                category: (*row.get(7)?)?,
                preferred: *row.get(8)? == Some("t"),
                element: parse(row.get(13)?)?,
                align: (*row.get(22)?)?,
                storage: (*row.get(23)?)?,
                collation: parse(row.get(28)?)?,
            })
        });
        types.collect()
    });
    &TYPES
}

pub(super) fn type_of_oid(oid: i64) -> Option<&'static TypeInfo> {
    let types = types();
    types.binary_search_by_key(&oid, |one| one.oid).ok().map(|position| &types[position])
}

pub(super) fn type_named(name: &str) -> Option<&'static TypeInfo> {
    static BY_NAME: LazyLock<HashMap<&str, usize>> =
        LazyLock::new(|| types().iter().enumerate().map(|(at, one)| (one.name, at)).collect());
    BY_NAME.get(name).map(|position| &types()[*position])
}

/// A function of `pg_proc`.
#[derive(Debug)]
pub(super) struct Procedure {
    pub(super) oid: i64,
    pub(super) name: &'static str,
    pub(super) returns: i64,
    pub(super) returns_set: bool,
    pub(super) arguments: Vec<i64>,
    /// How many of the last may be left out.
    pub(super) defaults: usize,
}

/// The functions of `pg_proc`, in the order of their OIDs.
pub(super) fn procedures() -> &'static [Procedure] {
    static PROCEDURES: LazyLock<Vec<Procedure>> = LazyLock::new(|| {
        let rows = definitions::rows("pg_proc");
        let parsed = rows.iter().filter_map(|row| {
            let arguments = row.get(10).copied().flatten().unwrap_or_default();
            Some(Procedure {
                oid: (*row.first()?)?.parse().ok()?,
                name: (*row.get(1)?)?,
                returns: (*row.get(9)?)?.parse().ok()?,
                defaults: (*row.get(8)?)?.parse().ok()?,
                returns_set: *row.get(5)? == Some("t"),
                arguments: arguments.split(' ').filter_map(|oid| oid.parse().ok()).collect(),
            })
        });
        parsed.collect()
    });
    &PROCEDURES
}

pub(super) fn procedure(oid: i64) -> Option<&'static Procedure> {
    let procedures = procedures();
    let found = procedures.binary_search_by_key(&oid, |one| one.oid).ok()?;
    Some(&procedures[found])
}

/// An operator of `pg_operator`.
#[derive(Debug)]
pub(super) struct Operator {
    pub(super) oid: i64,
    pub(super) name: &'static str,
    /// 0 of one that stands before its operand.
    pub(super) left: i64,
    pub(super) right: i64,
}

/// The operators of `pg_operator`.
pub(super) fn operators() -> &'static [Operator] {
    static OPERATORS: LazyLock<Vec<Operator>> = LazyLock::new(|| {
        let rows = definitions::rows("pg_operator");
        let parsed = rows.iter().filter_map(|row| {
            let number = |at: usize| row.get(at).copied().flatten()?.parse().ok();
            let name = (*row.get(1)?)?;
            Some(Operator { oid: number(0)?, name, left: number(7)?, right: number(8)? })
        });
        parsed.collect()
    });
    &OPERATORS
}

pub(super) fn operator(oid: i64) -> Option<&'static Operator> {
    operators().iter().find(|one| one.oid == oid)
}

/// The OID of an object whose catalogue's rows are the same in every definition set, by its name.
pub(super) fn named_object(catalogue: &str, name: &str) -> Option<i64> {
    let row = definitions::rows(catalogue).into_iter().find(|row| row.get(1) == Some(&Some(name)));
    row?.first().copied().flatten()?.parse().ok()
}

/// The name of such an object.
pub(super) fn object_name(catalogue: &str, oid: i64) -> Option<&'static str> {
    let oid = oid.to_string();
    let rows = definitions::rows(catalogue).into_iter();
    let row = rows.into_iter().find(|row| row.first() == Some(&Some(oid.as_str())));
    row?.get(1).copied().flatten()
}

/// The OID of the function of that name; of the first, where several share it.
pub(super) fn procedure_named(name: &str) -> Option<i64> {
    static BY_NAME: LazyLock<HashMap<&str, i64>> =
        LazyLock::new(|| procedures().iter().rev().map(|one| (one.name, one.oid)).collect());
    BY_NAME.get(name).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_postgres_reads_them() {
        let parse = |text| parse_identifier(text).unwrap_or_default();
        assert_eq!(parse("Orders"), ["orders"]);
        assert_eq!(parse("\"Sales\".\"a.b\""), ["Sales", "a.b"]);
        assert_eq!(parse("\"a\"\"b\""), ["a\"b"]);
        assert!(parse("a..b").is_empty());
        assert!(parse("\"a").is_empty());
    }

    #[test]
    fn types_are_found_by_oid_and_name() {
        assert_eq!(type_of_oid(1700).map(|one| one.name), Some("numeric"));
        assert_eq!(type_named("_text").map(|one| (one.oid, one.element)), Some((1009, 25)));
        assert_eq!(
            procedure_named("array_in").and_then(procedure).map(|one| one.name),
            Some("array_in")
        );
    }
}
