//! `canon schema`: the JSON Schema of the definitions, for editors.

use std::io::{self, Write};

use crate::model::schema::json_schema;

/// Writes the schema; to be named in an editor, or in a first line
/// `# yaml-language-server: $schema=canon.schema.json`.
///
/// # Errors
/// Those of `out`.
pub fn run(out: &mut impl Write) -> io::Result<u8> {
    writeln!(out, "{:#}", json_schema())?;
    Ok(0)
}
