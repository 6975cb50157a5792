//! The catalogue's relations as DataFusion scans them.

use std::any::Any;
use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, StringArray};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::config::{ConfigEntry, ConfigExtension, ExtensionOptions};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;

use super::configuration;
use super::definitions::Definition;
use super::directory::{DATABASE, Directory, OWNER, OWNER_NAME};
use super::information_schema::{self, DATABASE_COLUMNS, ROLE_COLUMNS};
use super::oids;
use super::origins::ColumnOrigin;
use super::rows::Rows;
use super::sessions;
use super::snapshot::CatalogSession;
use super::tables;
use super::zones;

/// Postgres's code of UTF8 in `pg_database.encoding`.
const UTF8: i64 = 6;
/// The tablespace `pg_default`.
const DEFAULT_TABLESPACE: i64 = 1663;

/// The session, where DataFusion hands its options to functions and tables.
#[derive(Debug, Clone)]
pub(super) struct SessionFacts(pub(super) Arc<CatalogSession>);

impl ConfigExtension for SessionFacts {
    const PREFIX: &'static str = "catalog_session";
}

impl ExtensionOptions for SessionFacts {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, key: &str, _value: &str) -> Result<()> {
        Err(DataFusionError::Internal(format!("the session fact {key} cannot be set")))
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        Vec::new()
    }
}

/// A relation of `pg_catalog` or `information_schema`. Its rows are built when it is first read,
/// and kept; what depends on the session is filled in at each scan.
#[derive(Debug)]
pub(super) struct CatalogTable {
    definition: &'static Definition,
    directory: Arc<Directory>,
    rows: OnceLock<RecordBatch>,
}

impl CatalogTable {
    pub(super) fn new(definition: &'static Definition, directory: Arc<Directory>) -> Self {
        Self { definition, directory, rows: OnceLock::new() }
    }

    /// Whether it has no rows in any definition set: canon has no such objects.
    pub(super) fn is_always_empty(&self) -> bool {
        self.definition.schema == "pg_catalog" && tables::is_always_empty(self.definition.name)
    }

    /// One of its columns, and whether it is never NULL; None for the rows of a function.
    pub(super) fn origin_of(&self, column: &str) -> Option<(ColumnOrigin, bool)> {
        let definition = self.definition;
        self.directory.relation(definition.oid)?;
        let position = definition.columns.iter().position(|it| it.name == column)?;
        let not_null = definition.columns[position].not_null;
        ColumnOrigin::of(definition.oid, position).map(|origin| (origin, not_null))
    }

    fn rows(&self, session: &CatalogSession) -> Result<RecordBatch> {
        if let Some(rows) = session_rows(self.definition, session) {
            return rows?.finish();
        }
        let rows = match self.rows.get() {
            Some(rows) => rows,
            None => {
                let built = if self.definition.schema == "information_schema" {
                    information_schema::build(self.definition, &self.directory)?
                } else {
                    tables::build(self.definition, &self.directory)?
                };
                self.rows.get_or_init(|| built)
            }
        };
        if self.definition.schema == "information_schema" {
            with_names(rows, session)
        } else {
            Ok(rows.clone())
        }
    }
}

#[async_trait]
impl TableProvider for CatalogTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.definition.arrow)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let facts = state.config_options().extensions.get::<SessionFacts>();
        let facts = facts.ok_or_else(|| {
            DataFusionError::Internal("a catalogue relation was read without a session".to_owned())
        })?;
        let rows = self.rows(&facts.0)?;
        let schema = self.schema();
        let exec = MemorySourceConfig::try_new_exec(&[vec![rows]], schema, projection.cloned())?;
        Ok(exec)
    }
}

/// The rows of `information_schema` with the session's names of database and role.
fn with_names(rows: &RecordBatch, session: &CatalogSession) -> Result<RecordBatch> {
    let schema = rows.schema();
    let filled = schema.fields().iter().zip(rows.columns()).map(|(field, column)| {
        let name = field.name().as_str();
        if DATABASE_COLUMNS.contains(&name) {
            repeated(&session.database, rows.num_rows())
        } else if ROLE_COLUMNS.contains(&name) {
            repeated(&session.role, rows.num_rows())
        } else {
            Arc::clone(column)
        }
    });
    let columns = filled.collect();
    Ok(RecordBatch::try_new(schema, columns)?)
}

fn repeated(text: &str, len: usize) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, len)))
}

/// The rows of the relations that are about the session itself.
fn session_rows(definition: &'static Definition, session: &CatalogSession) -> Option<Result<Rows>> {
    if definition.schema != "pg_catalog" {
        return None;
    }
    Some(match definition.name {
        "pg_settings" => configuration::rows(definition, session),
        "pg_database" => databases(definition, session),
        "pg_roles" | "pg_authid" => roles(definition, session),
        "pg_user" | "pg_shadow" => users(definition, session),
        "pg_stat_activity" => sessions::activity(definition, session),
        "pg_stat_database" => sessions::databases(definition, session),
        "pg_stat_ssl" | "pg_stat_gssapi" => sessions::encryption(definition, session),
        "pg_prepared_statements" => sessions::statements(definition, session),
        "pg_cursors" => sessions::cursors(definition, session),
        "pg_timezone_names" => zones::names(definition, session),
        _ => return None,
    })
}

fn databases(definition: &'static Definition, session: &CatalogSession) -> Result<Rows> {
    let mut rows = Rows::new(definition, 1);
    rows.all("oid", DATABASE)?
        .all("datname", session.database.as_str())?
        .all("datdba", OWNER)?
        .all("encoding", UTF8)?
        .all("datlocprovider", "c")?
        .all("datallowconn", true)?
        .all("datconnlimit", -1_i64)?
        .all("dattablespace", DEFAULT_TABLESPACE)?
        .all("datcollate", "C.UTF-8")?
        .all("datctype", "C.UTF-8")?;
    Ok(rows)
}

/// The role's OID: the owner's own, or one that follows from the name.
pub(super) fn role_oid(role: &str) -> i64 {
    if role == OWNER_NAME {
        return OWNER;
    }
    let name = format!("role {role}");
    oids::assign(BTreeSet::from([name.clone()])).remove(&name).unwrap_or(OWNER)
}

/// The roles that a session sees: the owner of everything, itself, and those of other sessions.
pub(super) fn known_roles(session: &CatalogSession) -> Vec<(&str, i64)> {
    let others: BTreeSet<&str> =
        session.seen.sessions.iter().map(|one| one.role.as_str()).collect();
    let others = others.into_iter().filter(|role| *role != session.role);
    let known = [OWNER_NAME, session.role.as_str()].into_iter().chain(others);
    let mut roles: Vec<(&str, i64)> = known.map(|role| (role, role_oid(role))).collect();
    let mut seen = BTreeSet::new();
    roles.retain(|(role, _)| seen.insert(*role));
    roles
}

fn roles(definition: &'static Definition, session: &CatalogSession) -> Result<Rows> {
    let all = known_roles(session);
    let owns = |oid: i64| oid == OWNER;
    let mut rows = Rows::new(definition, all.len());
    rows.ints("oid", all.iter().map(|(_, oid)| Some(*oid)))?
        .texts("rolname", all.iter().map(|(name, _)| Some(name)))?
        .bools("rolsuper", all.iter().map(|(_, oid)| owns(*oid)))?
        .all("rolinherit", true)?
        .all("rolcreaterole", false)?
        .all("rolcreatedb", false)?
        .all("rolcanlogin", true)?
        .all("rolreplication", false)?
        .all("rolbypassrls", false)?
        .all("rolconnlimit", -1_i64)?;
    if definition.name == "pg_roles" {
        rows.all("rolpassword", "********")?;
    }
    Ok(rows)
}

fn users(definition: &'static Definition, session: &CatalogSession) -> Result<Rows> {
    let all = known_roles(session);
    let mut rows = Rows::new(definition, all.len());
    rows.ints("usesysid", all.iter().map(|(_, oid)| Some(*oid)))?
        .texts("usename", all.iter().map(|(name, _)| Some(name)))?
        .all("usecreatedb", false)?
        .bools("usesuper", all.iter().map(|(_, oid)| *oid == OWNER))?
        .all("userepl", false)?
        .all("usebypassrls", false)?
        .all("passwd", "********")?;
    Ok(rows)
}
