//! The rows of `information_schema`, from the relations of a definition set.

use datafusion::arrow::record_batch::RecordBatch;
use datafusion::error::Result;

use super::definitions::Definition;
use super::directory::{Constraint, Directory, OWNER_NAME, Relation};
use super::naming::ColumnType;
use super::rows::Rows;

/// The columns that hold the name of the database: filled in for each session.
pub(super) const DATABASE_COLUMNS: [&str; 6] = [
    "table_catalog",
    "constraint_catalog",
    "unique_constraint_catalog",
    "catalog_name",
    "udt_catalog",
    "default_collate_catalog",
];

/// The columns that hold the session's role.
pub(super) const ROLE_COLUMNS: [&str; 2] = ["grantee", "role_name"];

/// The rows of a relation of `information_schema`, but for the names of database and role.
pub(super) fn build(definition: &'static Definition, directory: &Directory) -> Result<RecordBatch> {
    let rows = match definition.name {
        "information_schema_catalog_name" | "enabled_roles" => Ok(Rows::new(definition, 1)),
        "schemata" => schemata(definition, directory),
        "tables" => tables(definition, directory),
        "columns" => columns(definition, directory),
        "views" => views(definition, directory),
        "table_constraints" => table_constraints(definition, directory),
        "key_column_usage" => key_column_usage(definition, directory),
        "referential_constraints" => referential_constraints(definition, directory),
        "constraint_column_usage" => constraint_column_usage(definition, directory),
        "constraint_table_usage" => constraint_table_usage(definition, directory),
        "character_sets" => character_sets(definition),
        "table_privileges" | "role_table_grants" => table_privileges(definition, directory),
        "column_privileges" | "role_column_grants" => column_privileges(definition, directory),
        _ => Ok(Rows::new(definition, 0)),
    };
    rows?.finish()
}

/// Relations without the indexes.
fn relations(directory: &Directory) -> impl Iterator<Item = &Relation> + Clone {
    directory.relations.iter().filter(|one| one.kind != "i")
}

fn schemata(definition: &'static Definition, directory: &Directory) -> Result<Rows> {
    let all = &directory.namespaces;
    let mut rows = Rows::new(definition, all.len());
    rows.texts("schema_name", all.iter().map(|(_, name)| Some(name)))?
        .all("schema_owner", OWNER_NAME)?;
    Ok(rows)
}

fn tables(definition: &'static Definition, directory: &Directory) -> Result<Rows> {
    let all = relations(directory);
    let kind = |one: &Relation| Some(if one.kind == "r" { "BASE TABLE" } else { "VIEW" });
    let mut rows = Rows::new(definition, all.clone().count());
    rows.texts("table_schema", all.clone().map(|one| Some(&one.schema)))?
        .texts("table_name", all.clone().map(|one| Some(&one.name)))?
        .texts("table_type", all.map(kind))?
        .all("is_insertable_into", "NO")?
        .all("is_typed", "NO")?;
    Ok(rows)
}

fn views(definition: &'static Definition, directory: &Directory) -> Result<Rows> {
    let all: Vec<_> = relations(directory).filter(|one| one.kind == "v").collect();
    let mut rows = Rows::new(definition, all.len());
    rows.texts("table_schema", all.iter().map(|one| Some(&one.schema)))?
        .texts("table_name", all.iter().map(|one| Some(&one.name)))?
        .all("check_option", "NONE")?
        .all("is_updatable", "NO")?
        .all("is_insertable_into", "NO")?
        .all("is_trigger_updatable", "NO")?
        .all("is_trigger_deletable", "NO")?
        .all("is_trigger_insertable_into", "NO")?;
    Ok(rows)
}

fn columns(definition: &'static Definition, directory: &Directory) -> Result<Rows> {
    let all = relations(directory).flat_map(|relation| {
        (1_i64..).zip(&relation.columns).map(move |(number, column)| (relation, number, column))
    });
    let types = all.clone().map(|(_, _, column)| ColumnType::of(column.type_oid, column.typmod));
    let mut rows = Rows::new(definition, all.clone().count());
    rows.texts("table_schema", all.clone().map(|(relation, _, _)| Some(&relation.schema)))?
        .texts("table_name", all.clone().map(|(relation, _, _)| Some(&relation.name)))?
        .texts("column_name", all.clone().map(|(_, _, column)| Some(&column.name)))?
        .ints("ordinal_position", all.clone().map(|(_, number, _)| Some(number)))?
        .texts("is_nullable", all.clone().map(|(_, _, column)| Some(yes_or_no(!column.not_null))))?
        .texts("data_type", types.clone().map(|one| Some(one.data_type)))?
        .ints("character_octet_length", types.clone().map(|one| one.octets))?
        .ints("numeric_precision", types.clone().map(|one| one.precision))?
        .ints("numeric_precision_radix", types.clone().map(|one| one.radix))?
        .ints("numeric_scale", types.clone().map(|one| one.scale))?
        .ints("datetime_precision", types.clone().map(|one| one.fraction))?
        .all("udt_schema", "pg_catalog")?
        .texts("udt_name", types.map(|one| Some(one.udt)))?
        .texts("dtd_identifier", all.map(|(_, number, _)| Some(number.to_string())))?
        .all("is_self_referencing", "NO")?
        .all("is_identity", "NO")?
        .all("identity_cycle", "NO")?
        .all("is_generated", "NEVER")?
        .all("is_updatable", "NO")?;
    Ok(rows)
}

fn yes_or_no(yes: bool) -> &'static str {
    if yes { "YES" } else { "NO" }
}

fn is_foreign(constraint: &Constraint) -> bool {
    constraint.references.is_some()
}

fn table_constraints(definition: &'static Definition, directory: &Directory) -> Result<Rows> {
    let all = &directory.constraints;
    let relation = |one: &Constraint| &directory.relations[one.relation];
    let kind = |one: &Constraint| Some(if is_foreign(one) { "FOREIGN KEY" } else { "PRIMARY KEY" });
    let mut rows = Rows::new(definition, all.len());
    rows.texts("constraint_schema", all.iter().map(|one| Some(&relation(one).schema)))?
        .texts("constraint_name", all.iter().map(|one| Some(&one.name)))?
        .texts("table_schema", all.iter().map(|one| Some(&relation(one).schema)))?
        .texts("table_name", all.iter().map(|one| Some(&relation(one).name)))?
        .texts("constraint_type", all.iter().map(kind))?
        .all("is_deferrable", "NO")?
        .all("initially_deferred", "NO")?
        .all("enforced", "YES")?;
    Ok(rows)
}

fn key_column_usage(definition: &'static Definition, directory: &Directory) -> Result<Rows> {
    let all: Vec<_> = directory
        .constraints
        .iter()
        .flat_map(|one| {
            let names = directory.column_names(one.relation, &one.columns);
            (1_i64..).zip(names).map(move |(number, name)| (one, number, name))
        })
        .collect();
    let relation = |one: &Constraint| &directory.relations[one.relation];
    let in_unique = |one: &Constraint, number: i64| is_foreign(one).then_some(number);
    let mut rows = Rows::new(definition, all.len());
    rows.texts("constraint_schema", all.iter().map(|(one, _, _)| Some(&relation(one).schema)))?
        .texts("constraint_name", all.iter().map(|(one, _, _)| Some(&one.name)))?
        .texts("table_schema", all.iter().map(|(one, _, _)| Some(&relation(one).schema)))?
        .texts("table_name", all.iter().map(|(one, _, _)| Some(&relation(one).name)))?
        .texts("column_name", all.iter().map(|(_, _, name)| Some(*name)))?
        .ints("ordinal_position", all.iter().map(|(_, number, _)| Some(*number)))?
        .ints(
            "position_in_unique_constraint",
            all.iter().map(|(one, number, _)| in_unique(one, *number)),
        )?;
    Ok(rows)
}

/// Foreign keys, each with the key that it refers to, where that is one.
fn foreign_keys(directory: &Directory) -> Vec<(&Constraint, Option<&Constraint>)> {
    let all = directory.constraints.iter().filter_map(|one| {
        let (target, _) = one.references.as_ref()?;
        let key = |other: &&Constraint| other.relation == *target && !is_foreign(other);
        Some((one, directory.constraints.iter().find(key)))
    });
    all.collect()
}

fn referential_constraints(definition: &'static Definition, directory: &Directory) -> Result<Rows> {
    let all = foreign_keys(directory);
    let schema = |one: &Constraint| directory.relations[one.relation].schema.clone();
    let mut rows = Rows::new(definition, all.len());
    rows.texts("constraint_schema", all.iter().map(|(one, _)| Some(schema(one))))?
        .texts("constraint_name", all.iter().map(|(one, _)| Some(&one.name)))?
        .texts("unique_constraint_schema", all.iter().map(|(_, key)| key.map(schema)))?
        .texts("unique_constraint_name", all.iter().map(|(_, key)| key.map(|key| &key.name)))?
        .all("match_option", "NONE")?
        .all("update_rule", "NO ACTION")?
        .all("delete_rule", "NO ACTION")?;
    Ok(rows)
}

fn constraint_column_usage(definition: &'static Definition, directory: &Directory) -> Result<Rows> {
    // The columns that a constraint reads: of the referenced relation where it is a foreign key.
    let all: Vec<_> = directory
        .constraints
        .iter()
        .flat_map(|one| {
            let (relation, numbers) = match &one.references {
                Some((target, numbers)) => (*target, numbers),
                None => (one.relation, &one.columns),
            };
            let names = directory.column_names(relation, numbers);
            names.into_iter().map(move |name| (one, &directory.relations[relation], name))
        })
        .collect();
    let schema = |one: &Constraint| directory.relations[one.relation].schema.clone();
    let mut rows = Rows::new(definition, all.len());
    rows.texts("table_schema", all.iter().map(|(_, relation, _)| Some(&relation.schema)))?
        .texts("table_name", all.iter().map(|(_, relation, _)| Some(&relation.name)))?
        .texts("column_name", all.iter().map(|(_, _, name)| Some(*name)))?
        .texts("constraint_schema", all.iter().map(|(one, _, _)| Some(schema(one))))?
        .texts("constraint_name", all.iter().map(|(one, _, _)| Some(&one.name)))?;
    Ok(rows)
}

fn constraint_table_usage(definition: &'static Definition, directory: &Directory) -> Result<Rows> {
    let all = &directory.constraints;
    let read = |one: &Constraint| {
        let target = one.references.as_ref().map_or(one.relation, |(target, _)| *target);
        &directory.relations[target]
    };
    let schema = |one: &Constraint| directory.relations[one.relation].schema.clone();
    let mut rows = Rows::new(definition, all.len());
    rows.texts("table_schema", all.iter().map(|one| Some(&read(one).schema)))?
        .texts("table_name", all.iter().map(|one| Some(&read(one).name)))?
        .texts("constraint_schema", all.iter().map(|one| Some(schema(one))))?
        .texts("constraint_name", all.iter().map(|one| Some(&one.name)))?;
    Ok(rows)
}

fn character_sets(definition: &'static Definition) -> Result<Rows> {
    let mut rows = Rows::new(definition, 1);
    rows.all("character_set_name", "UTF8")?
        .all("character_repertoire", "UCS")?
        .all("form_of_use", "UTF8")?;
    Ok(rows)
}

fn table_privileges(definition: &'static Definition, directory: &Directory) -> Result<Rows> {
    let all = relations(directory).filter(|one| !one.system);
    let mut rows = Rows::new(definition, all.clone().count());
    rows.all("grantor", OWNER_NAME)?
        .texts("table_schema", all.clone().map(|one| Some(&one.schema)))?
        .texts("table_name", all.map(|one| Some(&one.name)))?
        .all("privilege_type", "SELECT")?
        .all("is_grantable", "NO")?
        .all("with_hierarchy", "YES")?;
    Ok(rows)
}

/// What may be read of a relation may be read of its columns.
fn column_privileges(definition: &'static Definition, directory: &Directory) -> Result<Rows> {
    let all = relations(directory).filter(|one| !one.system);
    let all = all.flat_map(|one| one.columns.iter().map(move |column| (one, column)));
    let mut rows = Rows::new(definition, all.clone().count());
    rows.all("grantor", OWNER_NAME)?
        .texts("table_schema", all.clone().map(|(relation, _)| Some(&relation.schema)))?
        .texts("table_name", all.clone().map(|(relation, _)| Some(&relation.name)))?
        .texts("column_name", all.map(|(_, column)| Some(&column.name)))?
        .all("privilege_type", "SELECT")?
        .all("is_grantable", "NO")?;
    Ok(rows)
}
