//! The JSON Schema of the file format, made from the Rust types: for editors, and for
//! [`super::shape`].

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::raw::{RawConsumer, RawEntity, RawMetric, RawPolicy, RawProject, RawSegment};

/// What a document may define, by its first key, and the name of its type in the schema.
pub const KINDS: [(&str, &str); 6] = [
    ("project", "RawProject"),
    ("entity", "RawEntity"),
    ("metric", "RawMetric"),
    ("segment", "RawSegment"),
    ("consumer", "RawConsumer"),
    ("policy", "RawPolicy"),
];

/// The schema of a document, draft 2020-12.
pub fn json_schema() -> &'static Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(generated);
    &SCHEMA
}

fn generated() -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let documents = [
        reference::<RawProject>(&mut generator),
        reference::<RawEntity>(&mut generator),
        reference::<RawMetric>(&mut generator),
        reference::<RawSegment>(&mut generator),
        reference::<RawConsumer>(&mut generator),
        reference::<RawPolicy>(&mut generator),
    ];
    let mut schema = Schema::try_from(json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "canon definitions",
        "description": "A document of a definitions folder; its first key says what it defines.",
        "anyOf": documents,
        "$defs": generator.take_definitions(true),
    }))
    .unwrap_or_default();
    WithoutNull.transform(&mut schema);
    schema.to_value()
}

fn reference<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

/// Keys that may be left out aren't keys that may be empty.
#[derive(Clone)]
struct WithoutNull;

impl Transform for WithoutNull {
    fn transform(&mut self, schema: &mut Schema) {
        if let Some(object) = schema.as_object_mut() {
            without_null(object);
        }
        transform_subschemas(self, schema);
    }
}

fn without_null(object: &mut Map<String, Value>) {
    if let Some(Value::Array(names)) = object.get_mut("type") {
        names.retain(|name| name != "null");
        if let [name] = names.as_slice() {
            let name = name.clone();
            object.insert("type".to_owned(), name);
        }
    }
    if let Some(Value::Array(forms)) = object.get_mut("anyOf") {
        forms.retain(|form| form.get("type").is_none_or(|name| name != "null"));
        if let [Value::Object(only)] = forms.as_mut_slice() {
            let only = std::mem::take(only);
            object.remove("anyOf");
            for (key, value) in only {
                object.entry(key).or_insert(value);
            }
        }
    }
    if object.get("default").is_some_and(Value::is_null) {
        object.remove("default");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_definition_and_no_key_takes_null() {
        let schema = json_schema();
        for (kind, definition) in KINDS {
            let required = &schema["$defs"][definition]["required"];
            assert!(required.as_array().unwrap().contains(&json!(kind)), "{kind}: {required}");
            assert_eq!(schema["$defs"][definition]["additionalProperties"], json!(false));
        }
        assert!(!schema.to_string().contains("\"null\"]"), "{schema:#}");
        assert!(!schema.to_string().contains("{\"type\":\"null\"}"), "{schema:#}");
    }
}
