//! The rows of `pg_catalog`, from the relations of a definition set.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

use datafusion::arrow::record_batch::RecordBatch;
use datafusion::error::Result;

use super::definitions::{self, Definition};
use super::directory::{
    Attribute, Constraint, Directory, OWNER, OWNER_NAME, PG_CATALOG, PG_CLASS, PG_CONSTRAINT,
    Relation, procedure_named, type_of_oid,
};
use super::naming::index_definition;
use super::rows::{Rows, from_text};

/// The access methods of tables and of the keys' indexes.
const HEAP: i64 = 2;
const BTREE: i64 = 403;

/// The rows of a relation of `pg_catalog` that don't depend on the session; what has no builder
/// here has the rows of its file, or none.
pub(super) fn build(definition: &'static Definition, directory: &Directory) -> Result<RecordBatch> {
    let rows = match definition.name {
        "pg_namespace" => namespaces(definition, directory),
        "pg_class" => classes(definition, directory),
        "pg_attribute" => attributes(definition, directory),
        "pg_description" => descriptions(definition, directory),
        "pg_constraint" => constraints(definition, directory),
        "pg_index" => indexes(definition, directory),
        "pg_depend" => dependencies(definition, directory),
        "pg_tables" => tables(definition, directory),
        "pg_views" => views(definition, directory),
        "pg_indexes" => index_list(definition, directory),
        "pg_stat_user_tables" | "pg_statio_user_tables" => statistics(definition, directory, false),
        "pg_stat_all_tables" | "pg_statio_all_tables" => statistics(definition, directory, true),
        "pg_proc" => procedures(definition),
        "pg_type" => types(definition, directory),
        name => from_text(definition, &definitions::rows(name), regproc),
    };
    rows?.finish()
}

/// Whether a relation has no rows, whatever the definitions and the session.
pub(super) fn is_always_empty(name: &str) -> bool {
    const EMPTY: [&str; 12] = [
        "pg_attrdef",
        "pg_auth_members",
        "pg_enum",
        "pg_extension",
        "pg_foreign_table",
        "pg_inherits",
        "pg_policy",
        "pg_publication",
        "pg_rewrite",
        "pg_sequence",
        "pg_statistic_ext",
        "pg_trigger",
    ];
    EMPTY.contains(&name)
}

fn regproc(name: &str) -> i64 {
    procedure_named(name).unwrap_or_default()
}

fn namespaces(definition: &'static Definition, directory: &Directory) -> Result<Rows> {
    let all = &directory.namespaces;
    let mut rows = Rows::new(definition, all.len());
    rows.ints("oid", all.iter().map(|(oid, _)| Some(*oid)))?
        .texts("nspname", all.iter().map(|(_, name)| Some(name)))?
        .all("nspowner", OWNER)?;
    Ok(rows)
}

fn classes(definition: &'static Definition, directory: &Directory) -> Result<Rows> {
    let all = &directory.relations;
    let keyed: Vec<bool> = marks(all.len(), directory.constraints.iter().filter_map(primary));
    let referring = directory.constraints.iter().filter_map(|one| {
        let (target, _) = one.references.as_ref()?;
        Some([one.relation, *target])
    });
    let triggered = marks(all.len(), referring.flatten());
    let mut rows = Rows::new(definition, all.len());
    rows.ints("oid", all.iter().map(|one| Some(one.oid)))?
        .texts("relname", all.iter().map(|one| Some(&one.name)))?
        .ints("relnamespace", all.iter().map(|one| Some(one.namespace)))?
        .all("relowner", OWNER)?
        .ints("reltype", all.iter().map(|one| Some(one.row_type)))?
        .ints("relam", all.iter().map(|one| Some(access_method(one))))?
        .ints("relfilenode", all.iter().map(|one| Some(if one.kind == "v" { 0 } else { one.oid })))?
        .floats("reltuples", all.iter().map(estimate))?
        .bools("relhasindex", keyed)?
        .all("relpersistence", "p")?
        .texts("relkind", all.iter().map(|one| Some(one.kind)))?
        .ints("relnatts", all.iter().map(|one| i64::try_from(one.columns.len()).ok()))?
        .bools("relhastriggers", triggered)?
        .all("relispopulated", true)?
        .texts("relreplident", all.iter().map(|one| Some(replica_identity(one))))?;
    Ok(rows)
}

/// The cells of `pg_type` for the type of a relation's rows; the last three are NULL. The owner is
/// [`OWNER`].
const OF_ROWS: &str = "TYPE NAME NAMESPACE 10 -1 f c C f t , RELATION - 0 ARRAY record_in \
                       record_out record_recv record_send - - - d x f 0 -1 0 0";
/// As [`OF_ROWS`], for arrays of them.
const OF_ARRAYS: &str = "ARRAY _NAME NAMESPACE 10 -1 f b A f t , 0 array_subscript_handler TYPE 0 \
                         array_in array_out array_recv array_send - - array_typanalyze d x f 0 -1 \
                         0 0";

/// Postgres's own types, and for each relation the type of its rows and of arrays of them.
fn types(definition: &'static Definition, directory: &Directory) -> Result<Rows> {
    let own = definitions::rows("pg_type").into_iter();
    let mut rows: Vec<Vec<Option<Cow<'static, str>>>> =
        own.map(|row| row.into_iter().map(|cell| cell.map(Cow::Borrowed)).collect()).collect();
    for relation in directory.relations.iter().filter(|one| one.row_type != 0) {
        for of_type in [OF_ROWS, OF_ARRAYS] {
            let cells = of_type.split(' ').map(|cell| match cell {
                "TYPE" => Cow::Owned(relation.row_type.to_string()),
                "ARRAY" => Cow::Owned(relation.row_array.to_string()),
                "NAME" => Cow::Owned(relation.name.clone()),
                "_NAME" => Cow::Owned(format!("_{}", relation.name)),
                "NAMESPACE" => Cow::Owned(relation.namespace.to_string()),
                "RELATION" => Cow::Owned(relation.oid.to_string()),
                same => Cow::Borrowed(same),
            });
            rows.push(cells.map(Some).collect());
        }
    }
    from_text(definition, &rows, regproc)
}

fn primary(constraint: &Constraint) -> Option<usize> {
    constraint.references.is_none().then_some(constraint.relation)
}

fn marks(len: usize, positions: impl Iterator<Item = usize>) -> Vec<bool> {
    let mut marks = vec![false; len];
    positions.for_each(|position| marks[position] = true);
    marks
}

fn access_method(relation: &Relation) -> i64 {
    match relation.kind {
        "r" => HEAP,
        "i" => BTREE,
        _ => 0,
    }
}

/// `reltuples`, -1 where nobody has counted.
#[expect(clippy::cast_precision_loss, reason = "the estimate is a float4 in Postgres too")]
fn estimate(relation: &Relation) -> f32 {
    match relation.kind {
        "v" => 0.0,
        _ => relation.estimated_rows.map_or(-1.0, |rows| rows as f32),
    }
}

fn replica_identity(relation: &Relation) -> &'static str {
    if relation.kind == "r" && !relation.system { "d" } else { "n" }
}

/// Each column of each relation and index, with its relation and its number.
fn columns(directory: &Directory) -> impl Iterator<Item = (&Relation, i64, &Attribute)> + Clone {
    directory.relations.iter().flat_map(|relation| {
        (1..).zip(&relation.columns).map(move |(number, column)| (relation, number, column))
    })
}

fn attributes(definition: &'static Definition, directory: &Directory) -> Result<Rows> {
    let all = columns(directory);
    let types = all.clone().map(|(_, _, column)| type_of_oid(column.type_oid));
    let mut rows = Rows::new(definition, all.clone().count());
    rows.ints("attrelid", all.clone().map(|(relation, _, _)| Some(relation.oid)))?
        .texts("attname", all.clone().map(|(_, _, column)| Some(&column.name)))?
        .ints("atttypid", all.clone().map(|(_, _, column)| Some(column.type_oid)))?
        .all("attstattarget", -1_i64)?
        .ints("attlen", types.clone().map(|one| Some(one.map_or(-1, |one| one.len))))?
        .ints("attnum", all.clone().map(|(_, number, _)| Some(number)))?
        .ints("attndims", types.clone().map(|one| Some(i64::from(is_array(one)))))?
        .all("attcacheoff", -1_i64)?
        .ints("atttypmod", all.clone().map(|(_, _, column)| Some(column.typmod)))?
        .bools("attbyval", types.clone().map(|one| one.is_some_and(|one| one.by_value)))?
        .texts("attalign", types.clone().map(|one| Some(one.map_or("i", |one| one.align))))?
        .texts("attstorage", types.clone().map(|one| Some(one.map_or("p", |one| one.storage))))?
        .bools("attnotnull", all.clone().map(|(_, _, column)| column.not_null))?
        .all("attislocal", true)?
        .ints("attcollation", types.map(|one| Some(one.map_or(0, |one| one.collation))))?;
    Ok(rows)
}

fn is_array(info: Option<&super::directory::TypeInfo>) -> bool {
    info.is_some_and(|info| info.category == "A" && info.element != 0 && info.len == -1)
}

fn descriptions(definition: &'static Definition, directory: &Directory) -> Result<Rows> {
    let relations = directory.relations.iter();
    let of_relations = relations.filter_map(|one| Some((one.oid, 0, one.comment.as_deref()?)));
    let of_columns = columns(directory).filter_map(|(relation, number, column)| {
        Some((relation.oid, number, column.comment.as_deref()?))
    });
    let all: Vec<_> = of_relations.chain(of_columns).collect();
    let mut rows = Rows::new(definition, all.len());
    rows.ints("objoid", all.iter().map(|(oid, _, _)| Some(*oid)))?
        .all("classoid", PG_CLASS)?
        .ints("objsubid", all.iter().map(|(_, number, _)| Some(*number)))?
        .texts("description", all.iter().map(|(_, _, text)| Some(*text)))?;
    Ok(rows)
}

fn constraints(definition: &'static Definition, directory: &Directory) -> Result<Rows> {
    let all = &directory.constraints;
    let relation = |one: &Constraint| &directory.relations[one.relation];
    let foreign = |one: &Constraint, yes: &'static str, no| {
        Some(if one.references.is_some() { yes } else { no })
    };
    let referenced = |one: &Constraint| {
        let target = one.references.as_ref().map(|(target, _)| *target);
        target.map_or(0, |target| directory.relations[target].oid)
    };
    let mut rows = Rows::new(definition, all.len());
    rows.ints("oid", all.iter().map(|one| Some(one.oid)))?
        .texts("conname", all.iter().map(|one| Some(&one.name)))?
        .ints("connamespace", all.iter().map(|one| Some(relation(one).namespace)))?
        .texts("contype", all.iter().map(|one| foreign(one, "f", "p")))?
        .all("convalidated", true)?
        .ints("conrelid", all.iter().map(|one| Some(relation(one).oid)))?
        .ints("conindid", all.iter().map(|one| Some(index_oid(directory, one))))?
        .ints("confrelid", all.iter().map(|one| Some(referenced(one))))?
        .texts("confupdtype", all.iter().map(|one| foreign(one, "a", " ")))?
        .texts("confdeltype", all.iter().map(|one| foreign(one, "a", " ")))?
        .texts("confmatchtype", all.iter().map(|one| foreign(one, "s", " ")))?
        .all("conislocal", true)?
        .all("connoinherit", true)?
        .int_lists("conkey", all.iter().map(|one| Some(one.columns.clone())))?
        .int_lists("confkey", all.iter().map(|one| Some(one.references.clone()?.1)))?;
    Ok(rows)
}

fn index_oid(directory: &Directory, constraint: &Constraint) -> i64 {
    constraint.index.map_or(0, |index| directory.relations[index].oid)
}

/// The keys that have an index: its relation, the key's relation, the key.
fn keys(directory: &Directory) -> Vec<(&Relation, &Relation, &Constraint)> {
    let primary = directory.constraints.iter().filter(|one| one.references.is_none());
    let with_index = primary.filter_map(|one| {
        Some((&directory.relations[one.index?], &directory.relations[one.relation], one))
    });
    with_index.collect()
}

fn indexes(definition: &'static Definition, directory: &Directory) -> Result<Rows> {
    let all = keys(directory);
    let count = |key: &Constraint| i64::try_from(key.columns.len()).ok();
    let per_column = |index: &Relation, value: fn(&Attribute) -> i64| {
        Some(index.columns.iter().map(value).collect())
    };
    let mut rows = Rows::new(definition, all.len());
    rows.ints("indexrelid", all.iter().map(|(index, _, _)| Some(index.oid)))?
        .ints("indrelid", all.iter().map(|(_, relation, _)| Some(relation.oid)))?
        .ints("indnatts", all.iter().map(|(_, _, key)| count(key)))?
        .ints("indnkeyatts", all.iter().map(|(_, _, key)| count(key)))?
        .all("indisunique", true)?
        .all("indisprimary", true)?
        .all("indimmediate", true)?
        .all("indisvalid", true)?
        .all("indisready", true)?
        .all("indislive", true)?
        .int_lists("indkey", all.iter().map(|(_, _, key)| Some(key.columns.clone())))?
        .int_lists(
            "indcollation",
            all.iter().map(|(index, _, _)| {
                per_column(index, |column| {
                    type_of_oid(column.type_oid).map_or(0, |one| one.collation)
                })
            }),
        )?
        .int_lists(
            "indclass",
            all.iter()
                .map(|(index, _, _)| per_column(index, |column| btree_class(column.type_oid))),
        )?
        .int_lists("indoption", all.iter().map(|(index, _, _)| per_column(index, |_| 0)))?;
    Ok(rows)
}

/// The operator class by which a btree orders a type.
fn btree_class(type_oid: i64) -> i64 {
    static CLASSES: LazyLock<HashMap<i64, i64>> = LazyLock::new(|| {
        let rows = definitions::rows("pg_opclass");
        let number = |cell: Option<&Option<&str>>| cell.copied().flatten()?.parse::<i64>().ok();
        let defaults = rows.iter().filter(|row| row.get(7) == Some(&Some("t")));
        let btree = defaults.filter(|row| number(row.get(1)) == Some(BTREE));
        btree.filter_map(|row| Some((number(row.get(6))?, number(row.first())?))).collect()
    });
    const VARCHAR: i64 = 1043;
    const TEXT: i64 = 25;
    let type_oid = if type_oid == VARCHAR { TEXT } else { type_oid };
    CLASSES.get(&type_oid).copied().unwrap_or_default()
}

fn dependencies(definition: &'static Definition, directory: &Directory) -> Result<Rows> {
    // An index belongs to its constraint; a foreign key needs the index of the key it refers to.
    let all = directory.constraints.iter().filter(|one| one.index.is_some());
    let pairs: Vec<_> = all
        .map(|one| {
            let (index, constraint) = (index_oid(directory, one), one.oid);
            match one.references {
                Some(_) => (PG_CONSTRAINT, constraint, PG_CLASS, index, "n"),
                None => (PG_CLASS, index, PG_CONSTRAINT, constraint, "i"),
            }
        })
        .collect();
    let mut rows = Rows::new(definition, pairs.len());
    rows.ints("classid", pairs.iter().map(|one| Some(one.0)))?
        .ints("objid", pairs.iter().map(|one| Some(one.1)))?
        .ints("refclassid", pairs.iter().map(|one| Some(one.2)))?
        .ints("refobjid", pairs.iter().map(|one| Some(one.3)))?
        .texts("deptype", pairs.iter().map(|one| Some(one.4)))?;
    Ok(rows)
}

fn tables(definition: &'static Definition, directory: &Directory) -> Result<Rows> {
    let keyed = marks(directory.relations.len(), directory.constraints.iter().filter_map(primary));
    let all: Vec<_> =
        directory.relations.iter().zip(keyed).filter(|(one, _)| one.kind == "r").collect();
    let mut rows = Rows::new(definition, all.len());
    rows.texts("schemaname", all.iter().map(|(one, _)| Some(&one.schema)))?
        .texts("tablename", all.iter().map(|(one, _)| Some(&one.name)))?
        .all("tableowner", OWNER_NAME)?
        .bools("hasindexes", all.iter().map(|(_, keyed)| *keyed))?
        .all("hasrules", false)?
        .all("hastriggers", false)?
        .all("rowsecurity", false)?;
    Ok(rows)
}

fn views(definition: &'static Definition, directory: &Directory) -> Result<Rows> {
    let all: Vec<_> = directory.relations.iter().filter(|one| one.kind == "v").collect();
    let mut rows = Rows::new(definition, all.len());
    rows.texts("schemaname", all.iter().map(|one| Some(&one.schema)))?
        .texts("viewname", all.iter().map(|one| Some(&one.name)))?
        .all("viewowner", OWNER_NAME)?;
    Ok(rows)
}

fn index_list(definition: &'static Definition, directory: &Directory) -> Result<Rows> {
    let all = keys(directory);
    let mut rows = Rows::new(definition, all.len());
    rows.texts("schemaname", all.iter().map(|(_, relation, _)| Some(&relation.schema)))?
        .texts("tablename", all.iter().map(|(_, relation, _)| Some(&relation.name)))?
        .texts("indexname", all.iter().map(|(index, _, _)| Some(&index.name)))?
        .texts("indexdef", all.iter().map(|(_, _, key)| Some(index_definition(directory, key))))?;
    Ok(rows)
}

fn statistics(
    definition: &'static Definition,
    directory: &Directory,
    with_system: bool,
) -> Result<Rows> {
    let tables = directory.relations.iter().filter(|one| one.kind == "r");
    let all: Vec<_> = tables.filter(|one| with_system || !one.system).collect();
    let mut rows = Rows::new(definition, all.len());
    rows.ints("relid", all.iter().map(|one| Some(one.oid)))?
        .texts("schemaname", all.iter().map(|one| Some(&one.schema)))?
        .texts("relname", all.iter().map(|one| Some(&one.name)))?;
    if definition.name.starts_with("pg_stat_") {
        rows.ints("n_live_tup", all.iter().map(|one| one.estimated_rows))?;
    }
    Ok(rows)
}

/// The functions that clients look for. Their rows carry what `data/pg_proc.tsv` lists: OID, name,
/// kind, flags, volatility, numbers of arguments, result and argument types.
fn procedures(definition: &'static Definition) -> Result<Rows> {
    const INTERNAL_LANGUAGE: i64 = 12;
    let all = definitions::rows("pg_proc");
    let text = |at: usize| all.iter().map(move |row| row.get(at).copied().flatten());
    let number = |at: usize| text(at).map(|cell| cell.and_then(|cell| cell.parse().ok()));
    let flag = |at: usize| text(at).map(|cell| cell == Some("t"));
    let arguments = text(10).map(|cell| {
        Some(cell.unwrap_or_default().split(' ').filter_map(|oid| oid.parse().ok()).collect())
    });
    let mut rows = Rows::new(definition, all.len());
    rows.ints("oid", number(0))?
        .texts("proname", text(1))?
        .all("pronamespace", PG_CATALOG)?
        .all("proowner", OWNER)?
        .all("prolang", INTERNAL_LANGUAGE)?
        .floats("procost", all.iter().map(|_| 1.0))?
        .texts("prokind", text(2))?
        .bools("prosecdef", flag(3))?
        .bools("proisstrict", flag(4))?
        .bools("proretset", flag(5))?
        .texts("provolatile", text(6))?
        .all("proparallel", "s")?
        .ints("pronargs", number(7))?
        .ints("pronargdefaults", number(8))?
        .ints("prorettype", number(9))?
        .int_lists("proargtypes", arguments)?
        .texts("prosrc", text(1))?;
    Ok(rows)
}
