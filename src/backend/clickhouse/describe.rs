//! What a table is: its columns under canonical types, and the facts that the generator needs.

use datafusion::arrow::datatypes::DataType;

use super::client::Connection;
use super::facts::TableFacts;
use super::types::{NativeType, split_top_level};
use crate::backend::BackendError;
use crate::model::SourceColumn;

const COLUMNS: &str = "
    SELECT name, type, toBool(is_in_partition_key) AS partitions
    FROM system.columns
    WHERE database = currentDatabase() AND table = ? AND default_kind != 'EPHEMERAL'
    ORDER BY position";

const TABLE: &str = "
    SELECT engine, engine_full, sorting_key, primary_key
    FROM system.tables
    WHERE database = currentDatabase() AND name = ?";

/// None where there is no such table.
pub(super) async fn describe(
    connection: &Connection,
    table: &str,
) -> Result<Option<(Vec<SourceColumn>, TableFacts)>, BackendError> {
    let found = connection.look_up::<(String, String, String, String)>(TABLE, &[table]).await?;
    let Some((engine, engine_full, sorting_key, primary_key)) = found.into_iter().next() else {
        return Ok(None);
    };
    let columns = connection.look_up::<(String, String, bool)>(COLUMNS, &[table]).await?;
    let mut facts = facts_of(&engine, &engine_full, &sorting_key, &primary_key);
    facts.prunes_before_final = !connection.prunes_after_final().await?;
    let mut shown = Vec::new();
    for (name, native, partitions) in columns {
        if partitions {
            facts.partition_columns.push(name.clone());
        }
        match shown_column(&name, &native) {
            Some(column) => shown.push(column),
            None => facts.left_out.push((name, native)),
        }
    }
    if !facts.left_out.is_empty() {
        tracing::info!(table, columns = ?facts.left_out, "columns without a type in canon");
    }
    Ok(Some((shown, facts)))
}

fn shown_column(name: &str, native: &str) -> Option<SourceColumn> {
    let parsed = NativeType::parse(native)?;
    let data_type: DataType = parsed.canonical()?;
    Some(SourceColumn {
        name: name.to_owned(),
        data_type,
        nullable: parsed.nullable,
        native: native.to_owned(),
    })
}

fn facts_of(engine: &str, engine_full: &str, sorting_key: &str, primary_key: &str) -> TableFacts {
    let family = engine.strip_prefix("Replicated").or_else(|| engine.strip_prefix("Shared"));
    let family = family.unwrap_or(engine);
    let mut facts = TableFacts {
        engine: family.to_owned(),
        sorting_key: key_elements(sorting_key),
        primary_key: key_elements(primary_key),
        ..TableFacts::default()
    };
    if family == "ReplacingMergeTree" {
        // Paths and replica names come first, as string literals.
        let mut columns = engine_arguments(engine, engine_full)
            .into_iter()
            .filter(|argument| !argument.starts_with('\''))
            .map(|argument| unquoted(&argument));
        facts.version_column = columns.next();
        facts.deleted_column = columns.next();
    }
    facts
}

/// `a, b` in `ReplacingMergeTree(a, b) ORDER BY id`.
fn engine_arguments(engine: &str, engine_full: &str) -> Vec<String> {
    let Some(rest) = engine_full.strip_prefix(engine) else { return Vec::new() };
    let Some(rest) = rest.strip_prefix('(') else { return Vec::new() };
    // The first part that ends a bracket which it didn't open ends the arguments.
    let mut depth = 0_usize;
    let mut quoted = false;
    let mut end = rest.len();
    let mut chars = rest.char_indices();
    while let Some((index, char)) = chars.next() {
        match char {
            '\\' => {
                chars.next();
            }
            '\'' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted && depth == 0 => {
                end = index;
                break;
            }
            ')' if !quoted => depth -= 1,
            _ => {}
        }
    }
    split_top_level(&rest[..end])
}

/// `id, toDate(at)` or `` `odd name` `` as bare names, expressions as they are.
fn key_elements(key: &str) -> Vec<String> {
    let inner = key.strip_prefix("tuple(").and_then(|rest| rest.strip_suffix(')'));
    split_top_level(inner.unwrap_or(key)).iter().map(|element| unquoted(element)).collect()
}

fn unquoted(name: &str) -> String {
    let inner = name.strip_prefix('`').and_then(|rest| rest.strip_suffix('`'));
    let Some(inner) = inner else { return name.to_owned() };
    let mut plain = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(char) = chars.next() {
        match char {
            '\\' => plain.extend(chars.next()),
            _ => plain.push(char),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_tells_version_and_tombstone() {
        let cases = [
            (
                "ReplacingMergeTree",
                "ReplacingMergeTree(_version, _deleted) ORDER BY id SETTINGS index_granularity = 8192",
                (Some("_version"), Some("_deleted")),
            ),
            ("ReplacingMergeTree", "ReplacingMergeTree ORDER BY (id)", (None, None)),
            (
                "ReplicatedReplacingMergeTree",
                "ReplicatedReplacingMergeTree('/t/{uuid}/{shard}', '{replica}', `the \\`version`) ORDER BY id",
                (Some("the `version"), None),
            ),
            (
                "SharedReplacingMergeTree",
                "SharedReplacingMergeTree('/(t)', '{replica}', v, d) PARTITION BY f(x) ORDER BY id",
                (Some("v"), Some("d")),
            ),
            ("MergeTree", "MergeTree PARTITION BY toYYYYMM(at) ORDER BY id", (None, None)),
        ];
        for (engine, full, (version, deleted)) in cases {
            let facts = facts_of(engine, full, "id, `odd, name`, toDate(at)", "id");
            assert_eq!(facts.version_column.as_deref(), version, "{full}");
            assert_eq!(facts.deleted_column.as_deref(), deleted, "{full}");
            assert_eq!(facts.sorting_key, ["id", "odd, name", "toDate(at)"]);
            assert!(facts.engine.ends_with("MergeTree") && !facts.engine.starts_with('S'));
        }
    }
}
